//! The `doyen-sim` program.

mod arguments;
mod corpus;
mod explain;
mod replay;
mod run;
mod selfcheck;
mod shrink;

use crate::engine::Engine;
use crate::engine::direct::Direct;
use crate::schedule::generate::generate;
use crate::schedule::model::Schedule;
use crate::suite::{Suite, read_schedule};
use clap::{Parser, Subcommand, ValueEnum};
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

/// Simulates whole Doyen clusters under faults, thousands of minutes a second.
///
/// Every failure is a schedule: a text file that is replayed, shrunk and explained.
#[derive(Parser, Debug)]
#[command(name = "doyen-sim", version, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

const EXAMPLES: &str = "Examples:
  doyen-sim run --seeds 0..10000                    10,000 schedules on every core
  doyen-sim run --for 10m --report out              as many as ten minutes allow, with a report
  doyen-sim run --suite nightly.toml --shard 1/4    the first quarter of a suite of your own
  doyen-sim replay 4711                             one seed again
  doyen-sim shrink out/failures/4711.toml           the shortest schedule with the same failure
  doyen-sim explain out/failures/4711.toml          a picture of it: one offline HTML file

Exit codes: 0 all passed, 1 a violation, 2 undecided, 3 a fault of usage, schedule or simulator.";

#[derive(Subcommand, Debug)]
enum Verb {
    /// Run generated schedules, or a suite of your own, and judge them.
    Run(run::Options),
    /// Run one schedule again.
    Replay(replay::Options),
    /// Find the smallest schedule with the same failure.
    Shrink(shrink::Options),
    /// Draw a schedule's run: one offline HTML file.
    Explain(explain::Options),
    /// Keep, check and shrink named schedules.
    #[command(subcommand)]
    Corpus(corpus::Verb),
    /// Check the simulator itself.
    Selfcheck(selfcheck::Options),
    /// Print what `selfcheck` compares.
    #[command(hide = true)]
    Digests(selfcheck::DigestOptions),
}

/// Which engine carries schedules out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum EngineName {
    /// Core's state machines in a discrete-event world: the volume engine.
    Direct,
    /// The real runtime on madsim: finds lost timers, shutdown races, back-pressure.
    Madsim,
}

/// How a verb ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Exit {
    Passed,
    Violation,
    Undecided,
    Fault,
}

impl Exit {
    const fn code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Violation => 1,
            Self::Undecided => 2,
            Self::Fault => 3,
        }
    }
}

/// What a verb gives back: its end, or why it could not begin.
type Outcome = Result<Exit, String>;

/// Runs the program with the arguments of the process.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no faults; clap's own code for usage means "undecided" here.
            let code = if error.use_stderr() { 3 } else { 0 };
            return error
                .print()
                .map_or(ExitCode::from(3), |()| ExitCode::from(code));
        }
    };
    let outcome = match arguments.verb {
        Verb::Run(options) => run::run(&options),
        Verb::Replay(options) => replay::run(&options),
        Verb::Shrink(options) => shrink::run(&options),
        Verb::Explain(options) => explain::run(&options),
        Verb::Corpus(verb) => corpus::run(&verb),
        Verb::Selfcheck(options) => selfcheck::run(&options),
        Verb::Digests(options) => selfcheck::digests(&options),
    };
    match outcome {
        Ok(exit) => ExitCode::from(exit.code()),
        Err(error) => {
            note(&format!("error: {error}"));
            ExitCode::from(Exit::Fault.code())
        }
    }
}

/// The engine of this name.
fn engine_of(name: EngineName) -> Result<Box<dyn Engine + Sync>, String> {
    match name {
        EngineName::Direct => Ok(Box::new(Direct)),
        #[cfg(madsim)]
        EngineName::Madsim => Ok(Box::new(crate::engine::madsim::Madsim)),
        #[cfg(not(madsim))]
        EngineName::Madsim => Err(
            "this build has no madsim engine: use `cargo xtask sim … --engine madsim`, or the \
             program doyen-sim-madsim"
                .to_owned(),
        ),
    }
}

/// Plants the bug of this name for this thread, if one is named: only in a build that has bugs.
fn plant(bug: Option<&str>) -> Result<(), String> {
    let Some(name) = bug else {
        return Ok(());
    };
    #[cfg(feature = "planted")]
    {
        let known = doyen_core::planted::Bug::ALL;
        let found = known.iter().find(|bug| bug.name() == name);
        let Some(bug) = found else {
            let names: Vec<_> = known.iter().map(|bug| bug.name()).collect();
            return Err(format!(
                "--bug {name}: no such bug; there are {}",
                names.join(", ")
            ));
        };
        doyen_core::planted::plant(Some(*bug));
        Ok(())
    }
    #[cfg(not(feature = "planted"))]
    Err(format!(
        "--bug {name}: this build has no planted bugs: build it with `--features planted`"
    ))
}

/// The schedule in a file, or the one that a seed generates under a suite's profile.
fn schedule_of(what: &str, suite: Option<&Path>) -> Result<Schedule, String> {
    // Generated schedules are called by their seed.
    match what.strip_prefix("seed-").unwrap_or(what).parse::<u64>() {
        Ok(seed) => {
            let suite = suite.map_or_else(|| Ok(Suite::default()), Suite::read)?;
            Ok(generate(seed, &suite.profile()?))
        }
        Err(_) => read_schedule(Path::new(what)),
    }
}

/// A line for people: to standard error, so that standard output stays for programs.
fn note(text: &str) {
    // Nobody can be told that standard error is closed.
    _ = writeln!(std::io::stderr(), "{text}");
}

/// A text that was asked for, to standard output.
fn say(text: &str) {
    // Nobody reads on (a closed pipe): there is nobody to tell either.
    _ = writeln!(std::io::stdout(), "{text}");
}

/// The last line of standard output, for programs.
fn say_json(line: &serde_json::Value) {
    say(&line.to_string());
}
