//! `doyen-sim shrink`: the smallest schedule with the same failure, as file, as test, as story.

use super::{EngineName, Exit, Outcome, engine_of, note, plant, say, say_json, schedule_of};
use crate::engine::Engine;
use crate::judge::Verdict;
use crate::oracle::Violation;
use crate::schedule::model::{Expect, Schedule};
use crate::shrink::shrink;
use crate::story;
use crate::suite::write_schedule;
use crate::trial::{alone, trial};
use clap::Args;
use indicatif::ProgressBar;
use serde_json::json;
use std::path::PathBuf;
use std::time::{Duration, Instant};

#[derive(Args, Clone, Debug)]
pub(super) struct Options {
    /// A schedule's file, or the seed of a generated one.
    #[arg(value_name = "FILE|SEED")]
    what: String,
    /// Which engine.
    #[arg(long, value_enum, default_value_t = EngineName::Direct)]
    engine: EngineName,
    /// The suite whose profile the seed is generated from.
    #[arg(long, value_name = "FILE")]
    suite: Option<PathBuf>,
    /// Plant this bug of `selfcheck --planted` first; needs a build with `--features planted`.
    #[arg(long, value_name = "NAME")]
    bug: Option<String>,
    /// Where the smallest schedule goes. Default: NAME.shrunk.toml here.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// At most so many runs.
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    runs: u32,
    /// End with one JSON object on one line of standard output.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &Options) -> Outcome {
    let schedule = schedule_of(&options.what, options.suite.as_deref())?;
    let engine = engine_of(options.engine)?;
    plant(options.bug.as_deref())?;
    let Some(violation) = violation(&*engine, &schedule)? else {
        note(&format!(
            "{} does not fail: there is nothing to shrink",
            schedule.name
        ));
        return Ok(Exit::Passed);
    };
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(200));
    let started = Instant::now();
    let mut runs = 0_u64;
    let shrunk = shrink(&schedule, options.runs, &mut |candidate| {
        runs = runs.saturating_add(1);
        bar.set_message(format!(
            "run {runs}: {} faults, {} asks, {} servers",
            candidate.faults.len(),
            candidate.workload.len(),
            candidate.servers.len()
        ));
        let found = self::violation(&*engine, candidate).ok().flatten();
        found.is_some_and(|found| found.fingerprint == violation.fingerprint)
    });
    bar.finish_and_clear();
    let mut smallest = shrunk.schedule;
    smallest.name = format!("{}-shrunk", schedule.name);
    smallest.expect = Expect::Violation(violation.oracle.to_owned());
    let found = self::violation(&*engine, &smallest)?.ok_or("the shrunk schedule passes")?;
    smallest.story = story::tell(&smallest, &found);
    let file = options
        .output
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("{}.shrunk.toml", schedule.name)));
    write_schedule(&file, &smallest)?;
    say(&story::test(&smallest));
    note(&format!(
        "{}\n{} runs in {:.1} s: faults {} → {}, asks {} → {}, servers {} → {}{}\nkept in {}",
        smallest.story,
        shrunk.runs,
        started.elapsed().as_secs_f64(),
        schedule.faults.len(),
        smallest.faults.len(),
        schedule.workload.len(),
        smallest.workload.len(),
        schedule.servers.len(),
        smallest.servers.len(),
        if shrunk.ended_early {
            " (ended by --runs)"
        } else {
            ""
        },
        file.display()
    ));
    if options.json {
        say_json(&json!({
            "oracle": violation.oracle,
            "runs": shrunk.runs,
            "faults_before": schedule.faults.len(),
            "faults": smallest.faults.len(),
            "asks": smallest.workload.len(),
            "servers": smallest.servers.len(),
            "file": file.display().to_string(),
        }));
    }
    Ok(Exit::Violation)
}

/// The violation that a schedule leads to.
pub(super) fn violation(
    engine: &(dyn Engine + Sync),
    schedule: &Schedule,
) -> Result<Option<Violation>, String> {
    let trial = alone(|| trial(engine, schedule)).map_err(|fault| fault.0)?;
    Ok(match trial.verdict {
        Verdict::Violation(violation) => Some(violation),
        Verdict::Pass | Verdict::Undecided(_) => None,
    })
}
