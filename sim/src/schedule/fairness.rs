//! How long a cluster may take to come together after the last fault: derived from its settings,
//! term by term, so that the bound is neither too short for what is legal nor without end.

use super::model::{At, FaultKind, Request, Schedule};
use super::settings;
use doyen_core::config::{Config, Times};
use std::time::Duration;

/// For what no setting bounds: gossip, reads, starts of processes, delays of the network.
const SLACK: Duration = Duration::from_secs(10);

/// A part of the time that convergence may take, and what for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// What for, by the names of settings.
    pub name: &'static str,
    /// How long at most.
    pub lasts: Duration,
}

/// What the time from the heal to the end is made of.
#[must_use]
pub fn terms(schedule: &Schedule) -> Vec<Term> {
    let t = slowest(schedule);
    let servers = u32::try_from(schedule.servers.len()).unwrap_or(u32::MAX);
    let turns = if stays_away(schedule) {
        servers.saturating_sub(1)
    } else {
        0
    };
    let claim = t
        .hung_after
        .saturating_add(t.claim_after)
        .saturating_add(t.challenge_wait)
        .saturating_add(t.candidate_step.saturating_mul(servers));
    let all = [
        ("last ask", last_ask(schedule)),
        ("detection", t.detection),
        ("stable-after", t.stable_after),
        ("witness-delay", t.witness_delay),
        ("2 × join-retry", t.join_retry.saturating_mul(2)),
        ("refound-after", t.refound_after),
        ("seed-node-timeout", t.seed_node_timeout),
        (
            "seed-takeover × turns",
            t.seed_takeover.saturating_mul(turns),
        ),
        ("hung-after + claim-after + challenge-wait + turns", claim),
        (
            "drain-delay + leave-bound",
            t.drain_delay.saturating_add(t.leave_bound),
        ),
        ("client-deadline", t.client_deadline),
        ("driver-take", t.driver_take),
        ("context-init", t.context_init),
        ("jobs", jobs(schedule)),
        ("context-stop", t.context_stop),
        // A host that no server of it lives on proves no death (E6). A run that needs less ends
        // when it has come to rest.
        ("driver-lost-after", t.driver_lost_after),
        ("slack", SLACK),
    ];
    all.map(|(name, lasts)| Term { name, lasts }).to_vec()
}

/// When a run of this schedule ends at the latest.
#[must_use]
pub fn end(schedule: &Schedule) -> At {
    let sum = terms(schedule)
        .iter()
        .fold(Duration::ZERO, |sum, term| sum.saturating_add(term.lasts));
    let seconds = sum.as_secs().saturating_add(1);
    let end = schedule
        .phases
        .heal
        .0
        .saturating_add(At::from_secs(seconds).0);
    At(end).min(super::check::TIME_MAX)
}

/// Whether a server leaves, or is never started again, so that its turn passes unused.
fn stays_away(schedule: &Schedule) -> bool {
    schedule.faults.iter().any(|fault| {
        fault.until.is_none()
            && matches!(
                fault.kind,
                FaultKind::Leave { .. } | FaultKind::Crash { .. }
            )
    })
}

fn last_ask(schedule: &Schedule) -> Duration {
    let last = schedule
        .workload
        .iter()
        .map(|ask| ask.at)
        .max()
        .unwrap_or_default();
    At(last.0.saturating_sub(schedule.phases.heal.0)).duration()
}

/// All jobs one after the other would be too much: the two longest, and all of one context's slots.
fn jobs(schedule: &Schedule) -> Duration {
    let mut lasts: Vec<_> = schedule
        .workload
        .iter()
        .filter_map(|ask| match &ask.what {
            Request::Submit { lasts, .. } => Some(lasts.duration()),
            Request::CreateContext { .. }
            | Request::DeleteContext { .. }
            | Request::Kill { .. }
            | Request::ReadJob { .. }
            | Request::ReadContext { .. } => None,
        })
        .collect();
    let slots = Config::new(Vec::new()).limits.jobs_per_context;
    let slots = schedule
        .servers
        .iter()
        .filter_map(|server| settings::config_of(schedule, Some(server)).ok())
        .map(|config| config.limits().jobs_per_context)
        .min()
        .unwrap_or(slots)
        .max(1);
    lasts.sort_unstable();
    let sum = lasts
        .iter()
        .fold(Duration::ZERO, |sum, one| sum.saturating_add(*one));
    let longest = lasts.last().copied().unwrap_or_default();
    longest.saturating_add(sum.checked_div(slots).unwrap_or(sum))
}

/// Of each time the longest that any server has.
fn slowest(schedule: &Schedule) -> Times {
    let mut slowest = Times::default();
    let mut first = true;
    for server in &schedule.servers {
        let Ok(config) = settings::config_of(schedule, Some(server)) else {
            continue;
        };
        let times = config.times();
        if first {
            slowest = times.clone();
            first = false;
            continue;
        }
        settings::take_longer(&mut slowest, times);
    }
    slowest
}
