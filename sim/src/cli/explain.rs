//! `doyen-sim explain`: a schedule as a picture.

use super::{EngineName, Exit, Outcome, engine_of, note, plant, schedule_of};
use crate::explain::page;
use crate::explain::record::Recorder;
use crate::judge::Verdict;
use crate::trial::recorded;
use clap::Args;
use std::path::PathBuf;

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
    /// Where the page goes. Default: NAME.html here.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(options: &Options) -> Outcome {
    let schedule = schedule_of(&options.what, options.suite.as_deref())?;
    let engine = engine_of(options.engine)?;
    plant(options.bug.as_deref())?;
    let mut recorder = Recorder::new(&schedule, engine.name());
    let trial = recorded(&*engine, &schedule, &mut recorder).map_err(|fault| fault.0)?;
    let (violation, exit) = match &trial.verdict {
        Verdict::Violation(violation) => (Some(violation), Exit::Violation),
        Verdict::Pass => (None, Exit::Passed),
        Verdict::Undecided(_) => (None, Exit::Undecided),
    };
    let picture = recorder.finish(violation);
    let text = page::html(&picture).map_err(|error| error.to_string())?;
    let file = options
        .output
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("{}.html", schedule.name)));
    std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    note(&format!(
        "{}: {} items on {} lanes, {} of them led to {}",
        file.display(),
        picture.items.len(),
        picture.lanes.len(),
        picture.items.iter().filter(|item| item.in_slice).count(),
        violation.map_or("nothing: no violation", |violation| violation.oracle),
    ));
    Ok(exit)
}
