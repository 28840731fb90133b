//! The settings of a schedule as core's configuration.

use super::PORT;
use crate::engine::HarnessFault;
use crate::schedule::model::{Schedule, Setting};
use doyen_core::config::{Config, ValidConfig};
use doyen_core::identity::Address;
use std::collections::BTreeMap;
use std::time::Duration;

/// The configuration of each server of a schedule, in order.
///
/// # Errors
/// A setting is unknown, of another type, or breaks a rule between settings.
pub fn configs(schedule: &Schedule) -> Result<Vec<ValidConfig>, HarnessFault> {
    let all: Vec<String> = schedule
        .servers
        .iter()
        .map(|one| one.name.clone())
        .collect();
    let mut configs = Vec::with_capacity(all.len());
    for server in &schedule.servers {
        let seeds = if server.seed_list.is_empty() {
            &all
        } else {
            &server.seed_list
        };
        let seeds = seeds.iter().map(|name| Address::new(&**name, PORT));
        let mut config = Config::new(seeds.collect());
        apply(&mut config, &schedule.settings)?;
        apply(&mut config, &server.settings)?;
        let valid = config.validate();
        configs.push(valid.map_err(|e| HarnessFault(format!("server `{}`: {e}", server.name)))?);
    }
    Ok(configs)
}

fn apply(config: &mut Config, settings: &BTreeMap<String, Setting>) -> Result<(), HarnessFault> {
    for (name, value) in settings {
        set(config, name, value)?;
    }
    Ok(())
}

fn set(config: &mut Config, name: &str, value: &Setting) -> Result<(), HarnessFault> {
    let wrong = |wanted: &str| HarnessFault(format!("setting `{name}` must be {wanted}"));
    if let Some(time) = time_of(config, name) {
        let Setting::Time(at) = value else {
            return Err(wrong("a duration, like \"1.5s\""));
        };
        *time = at.duration();
        return Ok(());
    }
    if name == "down-if-alone" {
        let Setting::Switch(on) = value else {
            return Err(wrong("true or false"));
        };
        config.down_if_alone = *on;
        return Ok(());
    }
    let Setting::Number(number) = value else {
        return Err(wrong("a number; or no setting has this name"));
    };
    let size = usize::try_from(*number).map_err(|_| wrong("smaller"))?;
    let limits = &mut config.limits;
    match name {
        "calls-max" => limits.calls_max = size,
        "held-max" => limits.held_max = size,
        "members-max" => limits.members_max = size,
        "contexts-max" => limits.contexts_max = size,
        "monitored-by" => limits.monitored_by = size,
        "jobs-per-context" => {
            limits.jobs_per_context = u32::try_from(*number).map_err(|_| wrong("smaller"))?;
        }
        _ => return Err(HarnessFault(format!("no setting is named `{name}`"))),
    }
    Ok(())
}

fn time_of<'a>(config: &'a mut Config, name: &str) -> Option<&'a mut Duration> {
    let times = &mut config.times;
    Some(match name {
        "beat" => &mut times.beat,
        "slow-beat" => &mut times.slow_beat,
        "beat-renewal" => &mut times.beat_renewal,
        "detection" => &mut times.detection,
        "claim-after" => &mut times.claim_after,
        "challenge-wait" => &mut times.challenge_wait,
        "challenge-pause" => &mut times.challenge_pause,
        "candidate-step" => &mut times.candidate_step,
        "pulse" => &mut times.pulse,
        "hung-after" => &mut times.hung_after,
        "idle-barrier" => &mut times.idle_barrier,
        "vacant-after" => &mut times.vacant_after,
        "stable-after" => &mut times.stable_after,
        "witness-delay" => &mut times.witness_delay,
        "seed-node-timeout" => &mut times.seed_node_timeout,
        "seed-takeover" => &mut times.seed_takeover,
        "refound-after" => &mut times.refound_after,
        "join-retry" => &mut times.join_retry,
        "drain-delay" => &mut times.drain_delay,
        "leave-bound" => &mut times.leave_bound,
        "store-call" => &mut times.store_call,
        "gateway-hold" => &mut times.gateway_hold,
        "client-deadline" => &mut times.client_deadline,
        "driver-take" => &mut times.driver_take,
        "context-init" => &mut times.context_init,
        "context-stop" => &mut times.context_stop,
        "driver-lost-after" => &mut times.driver_lost_after,
        "driver-stamp" => &mut times.driver_stamp,
        "driver-beat" => &mut times.driver_beat,
        "adhoc-idle" => &mut times.adhoc_idle,
        "cleanup-after" => &mut times.cleanup_after,
        _ => return None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "only tests use it")]
mod tests {
    use super::*;
    use crate::schedule::model::At;

    #[test]
    fn settings_have_the_names_of_the_configuration() {
        let mut config = Config::new(Vec::new());
        let at = Setting::Time(At::from_secs(7));
        set(&mut config, "stable-after", &at).unwrap();
        set(&mut config, "jobs-per-context", &Setting::Number(2)).unwrap();
        set(&mut config, "down-if-alone", &Setting::Switch(false)).unwrap();
        assert_eq!(config.times.stable_after, Duration::from_secs(7));
        assert_eq!(config.limits.jobs_per_context, 2);
        assert!(!config.down_if_alone);
        for (name, value) in [
            ("stable-after", Setting::Number(7)),
            ("jobs-per-context", at),
            ("down-if-alone", Setting::Number(1)),
            ("nonsense", Setting::Number(1)),
        ] {
            let error = set(&mut config, name, &value).unwrap_err();
            assert!(error.0.contains(name), "{error}");
        }
    }
}
