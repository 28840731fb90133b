//! `doyen-sim selfcheck`: is the simulator itself to be trusted?

#[cfg(madsim)]
mod conformance;
mod determinism;
#[cfg(feature = "planted")]
mod planted;

use super::arguments::parse_seeds;
use super::{EngineName, Exit, Outcome};
use clap::Args;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::PathBuf;

pub(super) use determinism::{DigestOptions, digests};

#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = true)]
struct Checks {
    /// Run every seed in two processes and compare hash and length of everything that was seen.
    #[arg(long)]
    determinism: bool,
    /// Plant every known bug, one by one, and see that it is found. Needs a build with the feature
    /// `planted`: `cargo xtask sim selfcheck --planted`.
    #[arg(long)]
    planted: bool,
    /// Replay what each process was fed under madsim into a bare core and compare outputs byte for
    /// byte. Needs the madsim build: `cargo xtask sim selfcheck --conformance`.
    #[arg(long)]
    conformance: bool,
}

#[derive(Args, Clone, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    checks: Checks,
    /// Which seeds: from A up to, without, B.
    #[arg(long, value_name = "A..B", value_parser = parse_seeds, default_value = "0..1000")]
    seeds: Range<u64>,
    /// Which engine.
    #[arg(long, value_enum, default_value_t = EngineName::Direct)]
    engine: EngineName,
    /// On how many threads. Default: one for each core.
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Planted bugs: give one up after so many seconds of one core.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    patience: u64,
    /// Planted bugs: only this one.
    #[arg(long, value_name = "NAME")]
    bug: Option<String>,
    /// Planted bugs: instead, plant what each schedule of this folder says that it catches, and see
    /// it fail, and pass without.
    #[arg(long, value_name = "FOLDER", requires = "planted")]
    corpus: Option<PathBuf>,
    /// End with one JSON object on one line of standard output for each check.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(options: &Options) -> Outcome {
    let mut worst = Exit::Passed;
    if options.checks.determinism {
        worst = worst.max(determinism::check(options)?);
    }
    if options.checks.planted {
        worst = worst.max(check_planted(options)?);
    }
    if options.checks.conformance {
        worst = worst.max(check_conformance(options)?);
    }
    Ok(worst)
}

#[cfg(feature = "planted")]
fn check_planted(options: &Options) -> Outcome {
    match &options.corpus {
        Some(folder) => planted::check_catches(folder, options.json),
        None => planted::check(options),
    }
}

#[cfg(not(feature = "planted"))]
fn check_planted(_: &Options) -> Outcome {
    Err("this build holds no bugs: use `cargo xtask sim selfcheck --planted`".to_owned())
}

#[cfg(madsim)]
fn check_conformance(options: &Options) -> Outcome {
    conformance::check(options)
}

#[cfg(not(madsim))]
fn check_conformance(_: &Options) -> Outcome {
    Err("this build has no madsim engine: use `cargo xtask sim selfcheck --conformance`".to_owned())
}
