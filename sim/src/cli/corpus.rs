//! `doyen-sim corpus`: named schedules that stay.

use super::shrink::violation;
use super::{EngineName, Exit, Outcome, engine_of, note, run::cores, say_json, schedule_of};
use crate::report::{Standing, standing};
use crate::runner::run_all;
use crate::schedule::model::{Expect, Schedule};
use crate::shrink::shrink;
use crate::suite::{read_schedule, schedule_files, write_schedule};
use crate::trial::{alone, trial};
use clap::Subcommand;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Where the repository keeps its own.
const FOLDER: &str = "tests/corpus";

#[derive(Subcommand, Debug)]
pub(super) enum Verb {
    /// Put a schedule into the corpus, with a name and its story.
    Add {
        /// A schedule's file, or the seed of a generated one.
        #[arg(value_name = "FILE|SEED")]
        what: String,
        /// Its name: lower-case words joined by `-`.
        #[arg(long)]
        name: String,
        /// What happens, and why it is kept, in sentences.
        #[arg(long)]
        story: String,
        /// The corpus.
        #[arg(long, default_value = FOLDER)]
        folder: PathBuf,
    },
    /// Run every schedule and see that it ends as it says.
    Check {
        /// The corpus: folders and files.
        #[arg(default_value = FOLDER)]
        paths: Vec<PathBuf>,
        /// Which engine.
        #[arg(long, value_enum, default_value_t = EngineName::Direct)]
        engine: EngineName,
        /// End with one JSON object on one line of standard output.
        #[arg(long)]
        json: bool,
    },
    /// Shrink those that expect a violation, in place.
    Minimise {
        /// The corpus: folders and files.
        #[arg(default_value = FOLDER)]
        paths: Vec<PathBuf>,
        /// At most so many runs for each.
        #[arg(long, value_name = "N", default_value_t = 2_000)]
        runs: u32,
    },
}

pub(super) fn run(verb: &Verb) -> Outcome {
    match verb {
        Verb::Add {
            what,
            name,
            story,
            folder,
        } => add(what, name, story, folder),
        Verb::Check {
            paths,
            engine,
            json,
        } => check(paths, *engine, *json),
        Verb::Minimise { paths, runs } => minimise(paths, *runs),
    }
}

fn add(what: &str, name: &str, story: &str, folder: &Path) -> Outcome {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || !name.chars().all(plain) {
        return Err(format!(
            "--name {name}: expected lower-case words joined by `-`"
        ));
    }
    let mut schedule = schedule_of(what, None)?;
    name.clone_into(&mut schedule.name);
    story.clone_into(&mut schedule.story);
    let engine = engine_of(EngineName::Direct)?;
    if let Some(violation) = violation(&*engine, &schedule)? {
        note(&format!(
            "it fails now: {} ({}); mend that, or give it `expect` by hand",
            violation.oracle, violation.what
        ));
    }
    let file = folder.join(format!("{name}.toml"));
    if file.exists() {
        return Err(format!("{} is there already", file.display()));
    }
    write_schedule(&file, &schedule)?;
    note(&format!("kept in {}", file.display()));
    Ok(Exit::Passed)
}

fn read(paths: &[PathBuf]) -> Result<Vec<(PathBuf, Schedule)>, String> {
    let mut found = Vec::new();
    for path in paths {
        for file in schedule_files(path)? {
            let schedule = read_schedule(&file)?;
            found.push((file, schedule));
        }
    }
    Ok(found)
}

fn check(paths: &[PathBuf], engine: EngineName, json: bool) -> Outcome {
    let engine = engine_of(engine)?;
    let all = read(paths)?;
    let is_waiting = |schedule: &Schedule| matches!(schedule.expect, Expect::Waiting(_));
    let (waiting, ready): (Vec<_>, Vec<_>) = all
        .into_iter()
        .partition(|(_, schedule)| is_waiting(schedule));
    let (mut failed, mut undecided, mut fault) = (0_u32, 0_u32, None);
    let length = u64::try_from(ready.len()).unwrap_or(u64::MAX);
    let one = |number: u64| {
        let (_, schedule) = ready.get(usize::try_from(number).ok()?)?;
        let result = alone(|| trial(&*engine, schedule)).map_err(|fault| fault.0);
        Some(standing(schedule, &result))
    };
    run_all(0..length, cores(), one, |number, standing| {
        let file = usize::try_from(number)
            .ok()
            .and_then(|index| ready.get(index));
        let name = file
            .map(|(file, _)| file.display().to_string())
            .unwrap_or_default();
        match standing {
            None | Some(Standing::AsExpected) => {}
            Some(Standing::Failed(why)) => {
                failed = failed.saturating_add(1);
                note(&format!("{name}: {why}"));
            }
            Some(Standing::Undecided(why)) => {
                undecided = undecided.saturating_add(1);
                note(&format!("{name}: undecided: {why}"));
            }
            Some(Standing::Fault(why)) => fault = Some(format!("{name}: {why}")),
        }
        fault.is_none()
    });
    if let Some(fault) = fault {
        return Err(fault);
    }
    note(&format!(
        "{length} schedules: {failed} failed, {undecided} undecided; {} wait for arbitration by \
         gossip",
        waiting.len()
    ));
    if json {
        say_json(&json!({
            "checked": length, "failed": failed, "undecided": undecided, "waiting": waiting.len(),
        }));
    }
    Ok(match (failed, undecided) {
        (0, 0) => Exit::Passed,
        (0, _) => Exit::Undecided,
        _ => Exit::Violation,
    })
}

fn minimise(paths: &[PathBuf], runs: u32) -> Outcome {
    let engine = engine_of(EngineName::Direct)?;
    for (file, schedule) in read(paths)? {
        let Some(first) = violation(&*engine, &schedule)? else {
            continue;
        };
        let shrunk = shrink(&schedule, runs, &mut |candidate| {
            let found = violation(&*engine, candidate).ok().flatten();
            found.is_some_and(|found| found.fingerprint == first.fingerprint)
        });
        let mut smallest = shrunk.schedule;
        smallest.expect = schedule.expect.clone();
        write_schedule(&file, &smallest)?;
        note(&format!(
            "{}: faults {} → {}, asks {} → {}",
            file.display(),
            schedule.faults.len(),
            smallest.faults.len(),
            schedule.workload.len(),
            smallest.workload.len()
        ));
    }
    Ok(Exit::Passed)
}
