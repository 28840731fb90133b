//! Every known bug is planted and must be found.

use super::Options;
use crate::cli::run::cores;
use crate::cli::{Exit, Outcome, note, say_json};
use crate::engine::direct::Direct;
use crate::judge::Verdict;
use crate::runner::run_all;
use crate::schedule::generate::generate;
use crate::schedule::model::Schedule;
use crate::schedule::profile::ValidProfile;
use crate::shrink::shrink;
use crate::trial::trial;
use doyen_core::planted::{Bug, plant};
use serde_json::json;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

/// Runs for shrinking one finding.
const SHRINK_RUNS_MAX: u32 = 600;

/// How a bug was found.
#[derive(Clone, Debug)]
struct Found {
    /// Seeds run until then, itself included.
    seeds: u64,
    /// Seconds of one core until then.
    core_seconds: f64,
    oracle: &'static str,
    /// Faults of the smallest schedule.
    faults: usize,
    /// Asks of the smallest schedule.
    asks: usize,
}

pub(super) fn check(options: &Options) -> Outcome {
    let bugs: Vec<Bug> = Bug::ALL
        .iter()
        .copied()
        .filter(|bug| options.bug.as_deref().is_none_or(|name| name == bug.name()))
        .collect();
    if bugs.is_empty() {
        let names: Vec<_> = Bug::ALL.iter().map(|bug| bug.name()).collect();
        return Err(format!(
            "--bug: no such bug; there are {}",
            names.join(", ")
        ));
    }
    let jobs = options.jobs.map_or_else(cores, NonZeroUsize::get);
    let length = u64::try_from(bugs.len()).unwrap_or(u64::MAX);
    let patience = Duration::from_secs(options.patience);
    let mut rows = Vec::new();
    let one = |number: u64| {
        let bug = bugs.get(usize::try_from(number).ok()?)?;
        Some((*bug, find(*bug, options.seeds.start, patience)))
    };
    run_all(0..length, jobs, one, |_, row| {
        if let Some((bug, found)) = row {
            note(&told(bug, found.as_ref()));
            rows.push((bug, found));
        }
        true
    });
    let mut seconds: Vec<f64> = rows
        .iter()
        .filter_map(|(_, found)| found.as_ref().map(|found| found.core_seconds))
        .collect();
    seconds.sort_by(f64::total_cmp);
    let median = seconds.get(seconds.len() / 2).copied();
    let mut events: Vec<usize> = rows
        .iter()
        .filter_map(|(_, found)| found.as_ref().map(|found| found.faults))
        .collect();
    events.sort_unstable();
    note(&format!(
        "{} of {} found, median {} core-seconds, median {} faults after shrinking",
        seconds.len(),
        rows.len(),
        median.map_or("no".to_owned(), |median| format!("{median:.2}")),
        events.get(events.len() / 2).copied().unwrap_or_default(),
    ));
    if options.json {
        say_json(&json!({
            "planted": rows.len(),
            "found": seconds.len(),
            "median_core_seconds": median,
            "median_faults": events.get(events.len() / 2),
        }));
    }
    let all = seconds.len() == rows.len();
    Ok(if all { Exit::Passed } else { Exit::Violation })
}

fn told(bug: Bug, found: Option<&Found>) -> String {
    let name = bug.name();
    match found {
        Some(found) => format!(
            "{name}: found by {} after {} seeds, {:.2} core-seconds; smallest: {} faults, {} asks",
            found.oracle, found.seeds, found.core_seconds, found.faults, found.asks
        ),
        None => format!("{name}: NOT FOUND"),
    }
}

/// Plants a bug and runs generated schedules until an oracle sees it.
fn find(bug: Bug, first: u64, patience: Duration) -> Option<Found> {
    plant(Some(bug));
    let found = search(bug, first, patience);
    plant(None);
    found
}

/// Whether it is the planted bug that a schedule shows.
fn passes_without_it(schedule: &Schedule, bug: Bug) -> bool {
    plant(None);
    let passes = fingerprint(schedule).is_none();
    plant(Some(bug));
    passes
}

fn search(bug: Bug, first: u64, patience: Duration) -> Option<Found> {
    let profile = ValidProfile::default();
    let started = Instant::now();
    for seed in first.. {
        if started.elapsed() > patience {
            return None;
        }
        let schedule = generate(seed, &profile);
        let Ok(trial) = trial(&Direct, &schedule) else {
            continue;
        };
        let Verdict::Violation(violation) = trial.verdict else {
            continue;
        };
        if !passes_without_it(&schedule, bug) {
            continue;
        }
        let core_seconds = started.elapsed().as_secs_f64();
        let shrunk = shrink(&schedule, SHRINK_RUNS_MAX, &mut |candidate| {
            fingerprint(candidate).as_deref() == Some(violation.fingerprint.as_str())
        });
        return Some(Found {
            seeds: seed.saturating_sub(first).saturating_add(1),
            core_seconds,
            oracle: violation.oracle,
            faults: shrunk.schedule.faults.len(),
            asks: shrunk.schedule.workload.len(),
        });
    }
    None
}

/// The fingerprint of the violation that a schedule leads to.
fn fingerprint(schedule: &Schedule) -> Option<String> {
    match trial(&Direct, schedule).ok()?.verdict {
        Verdict::Violation(violation) => Some(violation.fingerprint),
        Verdict::Pass | Verdict::Undecided(_) => None,
    }
}
