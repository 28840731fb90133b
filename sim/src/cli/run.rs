//! `doyen-sim run`: generated schedules, or a suite, on every core.

use super::arguments::{parse_seeds, parse_shard, parse_time, shard_of};
use super::{EngineName, Exit, Outcome, engine_of, note, say_json};
use crate::engine::Engine;
use crate::report::{Counts, Report, Tried, summary};
use crate::runner::run_all;
use crate::sometimes::Thing;
use crate::suite::{Suite, Work};
use crate::trial::{alone, trial};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How many failures are told one by one; the rest is counted and lies in the report.
const FAILURES_TOLD_MAX: u64 = 10;
/// After so many failures the run ends: more of them teach nothing, and each is kept on disk.
const FAILURES_MAX: u64 = 100;
/// Seeds when neither command nor suite names any.
const SEEDS: Range<u64> = 0..1_000;
/// From so many generated schedules on, everything interesting must have happened.
const SOMETIMES_FROM: u64 = 10_000;

#[derive(Args, Clone, Debug)]
pub(super) struct Options {
    /// Which seeds: from A up to, without, B. Default: the suite's, or 0..1000.
    #[arg(long, value_name = "A..B", value_parser = parse_seeds)]
    seeds: Option<Range<u64>>,
    /// Which engine. Default: the suite's, or direct.
    #[arg(long, value_enum)]
    engine: Option<EngineName>,
    /// On how many threads. Default: one for each core.
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Begin no further schedule after so long: `90s`, `10m`, `2h`. Without --seeds there is no
    /// other end.
    #[arg(long = "for", value_name = "TIME", value_parser = parse_time)]
    for_: Option<Duration>,
    /// Only the I-th of N equal parts of the seeds, from 1.
    #[arg(long, value_name = "I/N", value_parser = parse_shard)]
    shard: Option<(u64, u64)>,
    /// A suite of your own: settings, weights, seeds, named schedules.
    #[arg(long, value_name = "FILE")]
    suite: Option<PathBuf>,
    /// Keep junit.xml, summary.json and each failure's schedule here.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// End with one JSON object on one line of standard output.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &Options) -> Outcome {
    let suite = match &options.suite {
        Some(file) => Suite::read(file)?,
        None => Suite::default(),
    };
    let engine = engine_of(engine_name(options, &suite)?)?;
    let seeds = seeds_of(options, &suite)?;
    let work = Work::new(&suite, seeds)?;
    let jobs = options.jobs.map_or_else(cores, NonZeroUsize::get);
    let mut report = Report::new(engine.name(), options.report.clone())?;
    let started = Instant::now();
    let mut trouble = None;
    let bar = progress_bar(&work, options);
    run_all(
        0..work.len(),
        jobs,
        |number| tried(&*engine, &work, number),
        |_, tried| {
            match tried.map_or(Ok(None), |tried| report.add(&tried)) {
                Ok(Some(text)) if failures(report.counts()) <= FAILURES_TOLD_MAX => {
                    bar.suspend(|| note(&text));
                }
                Ok(_) => {}
                Err(error) => trouble = Some(error),
            }
            show(&bar, report.counts(), started, options.for_);
            let in_time = options.for_.is_none_or(|bound| started.elapsed() < bound);
            trouble.is_none() && in_time && failures(report.counts()) < FAILURES_MAX
        },
    );
    bar.finish_and_clear();
    match trouble {
        Some(error) => Err(error),
        None => end(options, &suite, report, started.elapsed(), jobs),
    }
}

fn tried(engine: &(dyn Engine + Sync), work: &Work, number: u64) -> Option<Tried> {
    let schedule = work.schedule(number)?;
    let result = alone(|| trial(engine, &schedule)).map_err(|fault| fault.0);
    Some((schedule, result))
}

/// Tells what came of it.
fn end(options: &Options, suite: &Suite, report: Report, took: Duration, jobs: usize) -> Outcome {
    let line = summary(&report, took, jobs);
    let counts = report.counts();
    let missing = never(suite, &report);
    report.finish(&suite.name, took, &line)?;
    note(&format!(
        "{} schedules, {} simulated seconds in {:.1} s ({} a second): {} violations, {} undecided, \
         {} faults",
        counts.trials,
        counts.simulated.as_secs(),
        took.as_secs_f64(),
        line["seeds_per_second"],
        counts.violations,
        counts.undecided,
        counts.faults,
    ));
    for name in &missing {
        note(&format!(
            "never happened, and should in a suite of this size: {name}"
        ));
    }
    if options.json {
        say_json(&line);
    }
    Ok(match counts {
        counts if counts.faults > 0 => Exit::Fault,
        counts if counts.violations > 0 || !missing.is_empty() => Exit::Violation,
        counts if counts.undecided > 0 => Exit::Undecided,
        _ => Exit::Passed,
    })
}

/// What the suite needs to have happened and never did.
fn never(suite: &Suite, report: &Report) -> Vec<String> {
    let all = report.counts().trials >= SOMETIMES_FROM;
    let needed = |thing: &Thing| match &suite.sometimes {
        Some(things) => things.contains(thing),
        None => all,
    };
    let missing = report.sometimes().never().filter(needed);
    missing
        .map(|thing| format!("{} ({})", thing.word(), thing.sentence()))
        .collect()
}

const fn failures(counts: Counts) -> u64 {
    counts.violations.saturating_add(counts.faults)
}

fn engine_name(options: &Options, suite: &Suite) -> Result<EngineName, String> {
    match (options.engine, suite.engine.as_deref()) {
        (Some(engine), _) => Ok(engine),
        (None, None | Some("direct")) => Ok(EngineName::Direct),
        (None, Some("madsim")) => Ok(EngineName::Madsim),
        (None, Some(other)) => Err(format!(
            "suite {}: engine = \"{other}\" is none: expected \"direct\" or \"madsim\"",
            suite.name
        )),
    }
}

fn seeds_of(options: &Options, suite: &Suite) -> Result<Range<u64>, String> {
    let named = match (&options.seeds, &suite.seeds) {
        (Some(seeds), _) => Some(seeds.clone()),
        (None, Some(text)) => Some(parse_seeds(text)?),
        (None, None) => None,
    };
    let all = match (named, options.for_) {
        (Some(seeds), _) => seeds,
        (None, Some(_)) => 0..u64::MAX / 2,
        (None, None) => SEEDS,
    };
    Ok(options
        .shard
        .map_or(all.clone(), |shard| shard_of(&all, shard)))
}

/// One thread for each core.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

fn progress_bar(work: &Work, options: &Options) -> ProgressBar {
    let length = options
        .for_
        .map_or(work.len(), |bound| bound.as_secs().max(1));
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr_with_hz(5));
    let style = ProgressStyle::with_template("{wide_bar} {percent}% {msg}");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}

fn show(bar: &ProgressBar, counts: Counts, started: Instant, bound: Option<Duration>) {
    let elapsed = started.elapsed();
    bar.set_position(if bound.is_some() {
        elapsed.as_secs()
    } else {
        counts.trials
    });
    let millis = u64::try_from(elapsed.as_millis())
        .unwrap_or(u64::MAX)
        .max(1);
    let per_second = counts.trials.saturating_mul(1_000).checked_div(millis);
    bar.set_message(format!(
        "{} schedules, {}/s, {} failed",
        counts.trials,
        per_second.unwrap_or_default(),
        failures(counts)
    ));
}
