//! Equal seeds give equal runs, also in another process.

use super::Options;
use crate::cli::arguments::parse_seeds;
use crate::cli::run::cores;
use crate::cli::{EngineName, Exit, Outcome, engine_of, note, say, say_json};
use crate::runner::run_all;
use crate::schedule::generate::generate;
use crate::schedule::profile::ValidProfile;
use crate::trace::differ::{Scribe, Window};
use crate::trial::{alone, recorded, trial};
use clap::Args;
use serde_json::json;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::process::{Child, Command, Stdio};

/// Mismatches that are told with their first differing event.
const TOLD_MAX: usize = 5;

/// What a process of its own prints for `selfcheck`.
#[derive(Args, Clone, Debug)]
pub(crate) struct DigestOptions {
    #[arg(long, value_parser = parse_seeds)]
    seeds: Range<u64>,
    #[arg(long, value_enum)]
    engine: EngineName,
    #[arg(long)]
    jobs: NonZeroUsize,
    /// Print every observation instead of their hash.
    #[arg(long)]
    events: bool,
}

/// Prints a line for each seed, `SEED HASH LENGTH`, or every observation of it.
pub(crate) fn digests(options: &DigestOptions) -> Outcome {
    let engine = engine_of(options.engine)?;
    let mut fault = None;
    run_all(
        options.seeds.clone(),
        options.jobs.get(),
        |seed| {
            let schedule = generate(seed, &ValidProfile::default());
            if options.events {
                let (from, to) = (0, u64::MAX);
                let mut scribe = Scribe::new(Window { from, to });
                recorded(&*engine, &schedule, &mut scribe)?;
                return Ok(scribe.lines.join("\n"));
            }
            let trail = alone(|| trial(&*engine, &schedule))?.trail;
            Ok(format!("{seed} {:016x} {}", trail.hash(), trail.length()))
        },
        |_, line: Result<String, crate::engine::HarnessFault>| match line {
            Ok(line) => {
                say(&line);
                true
            }
            Err(error) => {
                fault = Some(error.0);
                false
            }
        },
    );
    fault.map_or(Ok(Exit::Passed), Err)
}

/// Runs every seed in two processes and compares.
pub(super) fn check(options: &Options) -> Outcome {
    let seeds = &options.seeds;
    note(&format!(
        "seeds {}..{} in two processes",
        seeds.start, seeds.end
    ));
    let half = options
        .jobs
        .map_or_else(cores, NonZeroUsize::get)
        .div_ceil(2);
    // The second one uses another number of threads, so that order of work differs too.
    let first = start(options, seeds, half, false)?;
    let second = start(options, seeds, half.saturating_add(1), false)?;
    let (first, second) = (by_seed(&output(first)?)?, by_seed(&output(second)?)?);
    let checked = first.len();
    let expected = usize::try_from(seeds.end.saturating_sub(seeds.start)).unwrap_or(usize::MAX);
    if checked != expected || second.len() != expected {
        return Err(format!(
            "{expected} seeds were asked, {checked} and {} came",
            second.len()
        ));
    }
    let differing: Vec<u64> = first
        .iter()
        .filter(|(seed, digest)| second.get(seed) != Some(digest))
        .map(|(seed, _)| *seed)
        .collect();
    for seed in differing.iter().take(TOLD_MAX) {
        note(&first_difference(options, *seed)?);
    }
    note(&format!("{checked} seeds, {} mismatches", differing.len()));
    if options.json {
        say_json(&json!({ "checked": checked, "mismatches": differing.len() }));
    }
    Ok(if differing.is_empty() {
        Exit::Passed
    } else {
        Exit::Violation
    })
}

fn first_difference(options: &Options, seed: u64) -> Result<String, String> {
    let seeds = seed..seed.saturating_add(1);
    let first = output(start(options, &seeds, 1, true)?)?;
    let second = output(start(options, &seeds, 1, true)?)?;
    let mut lines = first.lines().zip(second.lines()).enumerate();
    Ok(match lines.find(|(_, (one, other))| one != other) {
        Some((index, (one, other))) => {
            format!("seed {seed} differs first at observation {index}:\n  {one}\n  {other}")
        }
        None if first.len() == second.len() => {
            format!("seed {seed} differed, but not when run again alone")
        }
        None => format!("seed {seed}: one of two runs ends earlier"),
    })
}

fn start(
    options: &Options,
    seeds: &Range<u64>,
    jobs: usize,
    events: bool,
) -> Result<Child, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let engine = match options.engine {
        EngineName::Direct => "direct",
        EngineName::Madsim => "madsim",
    };
    let mut command = Command::new(&program);
    command
        .args(["digests", "--engine", engine])
        .args(["--seeds", &format!("{}..{}", seeds.start, seeds.end)])
        .args(["--jobs", &jobs.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    if events {
        command.arg("--events");
    }
    command
        .spawn()
        .map_err(|error| format!("{}: {error}", program.display()))
}

fn output(child: Child) -> Result<String, String> {
    let output = child
        .wait_with_output()
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!(
            "a process of the check ended with {}",
            output.status
        ));
    }
    String::from_utf8(output.stdout).map_err(|error| error.to_string())
}

fn by_seed(text: &str) -> Result<BTreeMap<u64, String>, String> {
    let line = |line: &str| {
        let (seed, digest) = line.split_once(' ')?;
        Some((seed.parse().ok()?, digest.to_owned()))
    };
    let lines = text
        .lines()
        .map(|text| line(text).ok_or_else(|| format!("a process of the check printed `{text}`")));
    lines.collect()
}
