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
use crate::suite::{read_schedule, schedule_files};
use crate::trial::trial;
use comfy_table::Table;
use doyen_core::planted::{Bug, plant};
use serde_json::json;
use std::num::NonZeroUsize;
use std::path::Path;
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
    /// The smallest schedule, run once more, fails in the same way, and passes without the bug.
    reproduces: bool,
}

pub(super) fn check(options: &Options) -> Outcome {
    let bugs = chosen(options)?;
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
            let how = found.as_ref().map_or("NOT FOUND", |found| found.oracle);
            note(&format!("{}: {how}", bug.name()));
            rows.push((bug, found));
        }
        true
    });
    note(&table(&rows).to_string());
    let found: Vec<&Found> = rows
        .iter()
        .filter_map(|(_, found)| found.as_ref())
        .collect();
    let mut seconds: Vec<f64> = found.iter().map(|found| found.core_seconds).collect();
    seconds.sort_by(f64::total_cmp);
    let median = seconds.get(seconds.len() / 2).copied();
    let mut events: Vec<usize> = found.iter().map(|found| found.faults).collect();
    events.sort_unstable();
    let median_faults = events.get(events.len() / 2).copied();
    let reproduced = found.iter().filter(|found| found.reproduces).count();
    let number = |median: Option<String>| median.unwrap_or_else(|| "no".to_owned());
    note(&format!(
        "{} of {} found, median {} core-seconds, median {} faults after shrinking, {reproduced} \
         shrunk schedules reproduce",
        found.len(),
        rows.len(),
        number(median.map(|median| format!("{median:.2}"))),
        number(median_faults.map(|median| median.to_string())),
    ));
    if options.json {
        say_json(&json!({
            "planted": rows.len(),
            "found": found.len(),
            "median_core_seconds": median,
            "median_faults": median_faults,
            "reproduced": reproduced,
        }));
    }
    let all = found.len() == rows.len() && reproduced == found.len();
    Ok(if all { Exit::Passed } else { Exit::Violation })
}

/// The bugs that were asked for.
fn chosen(options: &Options) -> Result<Vec<Bug>, String> {
    let wanted = |bug: &Bug| options.bug.as_deref().is_none_or(|name| name == bug.name());
    let bugs: Vec<Bug> = Bug::ALL.iter().copied().filter(wanted).collect();
    if bugs.is_empty() {
        let names: Vec<_> = Bug::ALL.iter().map(|bug| bug.name()).collect();
        let names = names.join(", ");
        return Err(format!("--bug: no such bug; there are {names}"));
    }
    Ok(bugs)
}

/// What was found of each bug. An oracle that was not expected is marked as another one.
fn table(rows: &[(Bug, Option<Found>)]) -> Table {
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header([
        "bug",
        "found by",
        "expected",
        "seeds",
        "core-seconds",
        "faults",
        "asks",
    ]);
    for (bug, found) in rows {
        let mut row = vec![bug.name().to_owned()];
        row.push(match found {
            None => "NOT FOUND".to_owned(),
            Some(found) if bug.oracles().contains(&found.oracle) => found.oracle.to_owned(),
            Some(found) => format!("other: {}", found.oracle),
        });
        row.push(bug.oracles().join(", "));
        if let Some(found) = found {
            row.push(found.seeds.to_string());
            row.push(format!("{:.2}", found.core_seconds));
            row.push(found.faults.to_string());
            row.push(found.asks.to_string());
        }
        table.add_row(row);
    }
    table
}

/// Every schedule of a corpus fails with each bug that it says it catches, and passes without.
pub(super) fn check_catches(folder: &Path, json: bool) -> Outcome {
    let (mut checked, mut broken) = (0_u32, 0_u32);
    for file in schedule_files(folder)? {
        let schedule = read_schedule(&file)?;
        if schedule.catches.is_empty() {
            continue;
        }
        let passes = fingerprint(&schedule).is_none();
        for name in &schedule.catches {
            checked = checked.saturating_add(1);
            let bug = Bug::ALL.iter().find(|bug| bug.name() == name);
            let why = bug.map_or(Some("there is no such bug"), |bug| {
                plant(Some(*bug));
                let fails = fingerprint(&schedule).is_some();
                plant(None);
                match (passes, fails) {
                    (false, _) => Some("it does not pass without the bug"),
                    (true, false) => Some("it passes with the bug"),
                    (true, true) => None,
                }
            });
            if let Some(why) = why {
                broken = broken.saturating_add(1);
                note(&format!("{}: catches {name}: {why}", file.display()));
            }
        }
    }
    note(&format!("{checked} catches checked, {broken} do not hold"));
    if json {
        say_json(&json!({ "catches": checked, "broken": broken }));
    }
    if checked == 0 {
        let folder = folder.display();
        return Err(format!(
            "--corpus: no schedule in {folder} names a bug that it catches"
        ));
    }
    Ok(if broken == 0 {
        Exit::Passed
    } else {
        Exit::Violation
    })
}

/// Time that this thread spent on a core, as Linux counts it; elsewhere the time that passed.
struct CoreTime {
    began: Instant,
    spent: Option<Duration>,
}

impl CoreTime {
    fn start() -> Self {
        Self {
            began: Instant::now(),
            spent: spent(),
        }
    }

    fn elapsed(&self) -> Duration {
        match (self.spent, spent()) {
            (Some(before), Some(now)) => now.saturating_sub(before),
            _ => self.began.elapsed(),
        }
    }
}

fn spent() -> Option<Duration> {
    let line = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos = line.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
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
    let started = CoreTime::start();
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
        let again = fingerprint(&shrunk.schedule);
        let reproduces = again.as_deref() == Some(violation.fingerprint.as_str())
            && passes_without_it(&shrunk.schedule, bug);
        return Some(Found {
            reproduces,
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
