//! The times and bounds of core, from the configuration, with their inequalities checked.

use super::checks::Context;
use super::report::Problem;
use super::values::Values;
use doyen_core::config::{Config, ConfigError, Limits, Times, ValidConfig};
use doyen_core::identity::Address;
use std::time::Duration;

/// What core is given; a rule that does not hold is reported by the keys of both sides.
pub(super) fn core(
    context: &mut Context<'_>,
    seeds: &[Address],
    client_deadline: Duration,
) -> Option<ValidConfig> {
    let values = context.values;
    let jobs = values.whole("spark.jobserver.max-jobs-per-context");
    let mut config = Config::new(seeds.to_vec());
    config.version = env!("CARGO_PKG_VERSION").to_owned();
    config.times = times(values, client_deadline);
    config.limits = Limits {
        jobs_per_context: u32::try_from(jobs).unwrap_or(u32::MAX),
        ..Limits::default()
    };
    match config.validate() {
        Ok(valid) => Some(valid),
        Err(error) => {
            context.report.errors.push(broken_rule(values, &error));
            None
        }
    }
}

fn times(values: &Values, client_deadline: Duration) -> Times {
    let own = |key: &str| values.time(&format!("doyen.times.{key}"));
    let hold = (client_deadline / 4 * 3).min(Duration::from_secs(30));
    Times {
        beat: own("beat"),
        slow_beat: own("slow-beat"),
        beat_renewal: Times::default().beat_renewal,
        detection: own("detection"),
        claim_after: own("claim-after"),
        challenge_wait: own("challenge-wait"),
        challenge_pause: own("challenge-pause"),
        candidate_step: own("candidate-step"),
        pulse: own("pulse"),
        hung_after: own("hung-after"),
        idle_barrier: own("idle-barrier"),
        vacant_after: own("vacant-after"),
        stable_after: values.time("custom-downing.stable-after"),
        witness_delay: own("witness-delay"),
        seed_node_timeout: values.time("akka.cluster.seed-node-timeout"),
        seed_takeover: own("seed-takeover"),
        refound_after: own("refound-after"),
        join_retry: values.time("akka.cluster.retry-unsuccessful-join-after"),
        drain_delay: own("drain-delay"),
        leave_bound: own("leave-bound"),
        store_call: own("store-call"),
        gateway_hold: values
            .maybe_time("doyen.times.gateway-hold")
            .unwrap_or(hold),
        client_deadline,
        driver_take: values.time("spark.context-settings.forked-jvm-init-timeout"),
        context_init: values.time("spark.context-settings.context-init-timeout"),
        context_stop: values.time("spark.jobserver.context-deletion-timeout"),
        driver_lost_after: own("driver-lost-after"),
        driver_stamp: own("driver-stamp"),
        driver_beat: own("driver-beat"),
        adhoc_idle: own("adhoc-idle"),
        cleanup_after: values.time("spark.jobserver.dao-cleanup-after"),
    }
}

/// Core's name of a side of a rule, as keys of the configuration.
fn keys(side: &str) -> String {
    side.split(" + ")
        .map(|term| {
            let name = without_factor(term);
            let factor = term.strip_suffix(name).unwrap_or_default();
            let key = match name {
                "stable-after" => "custom-downing.stable-after".to_owned(),
                "request-timeout" => "akka.http.server.request-timeout".to_owned(),
                "challenge" => "doyen.times.challenge-wait".to_owned(),
                other => format!("doyen.times.{}", other.replace(' ', "-")),
            };
            format!("{factor}{key}")
        })
        .collect::<Vec<_>>()
        .join(" + ")
}

/// `3 × name` is `name`.
fn without_factor(term: &str) -> &str {
    term.split_once(" × ").map_or(term, |(_, name)| name)
}

fn broken_rule(values: &Values, error: &ConfigError) -> Problem {
    let (left, right) = (keys(error.left), keys(error.right));
    let place = right
        .split(" + ")
        .chain(left.split(" + "))
        .map(without_factor)
        .find_map(|key| values.source(key).place().map(str::to_owned));
    Problem {
        place,
        key: None,
        message: format!(
            "{left} ({} ms) must be {} {right} ({} ms)",
            error.left_ms, error.relation, error.right_ms
        ),
    }
}
