//! How the repository is worked: `cargo xtask help`.

mod bench;
mod chromium;
mod ci;
mod demo;
mod madsim;
mod python;
mod say;
mod services;
mod sim;
mod tidy;

use clap::{Args, Parser, Subcommand, ValueEnum};
use doyen_tests::Outcome;
use std::process::ExitCode;

/// How the repository of Doyen is worked.
///
/// Everything is built and set up as needed. Progress goes to standard error; with --json the last
/// line of standard output is one JSON object, whose names are listed in `docs/` and stay.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

const EXAMPLES: &str = "Examples:
  cargo xtask demo                       see it work: three servers, a Spark job, a killed server
  cargo xtask demo --engine process      the same without Spark, Java and network
  cargo xtask demo --keep                and leave it up for play
  cargo xtask ci                         everything that CI checks, with the seconds of each step
  cargo xtask bench failover --fault kill --rounds 300 --json
  cargo xtask bench idle --json
  cargo xtask services up zookeeper --servers 3
  cargo xtask sim run --seeds 0..10000   10,000 simulated clusters under faults

Exit codes: 0 as hoped, 1 not so, 2 usage.";

#[derive(Subcommand)]
enum Verb {
    /// Run three servers, a real job and a killed oldest server, and show what happens.
    Demo(demo::Options),
    /// Check everything that CI checks: format, lints, tidy, docs, tests, licences, fuzz targets.
    Ci(ci::Options),
    /// Run the tests: one step of `ci`.
    Test(ci::TestOptions),
    /// Run cargo on the simulated flavour of runtime and sim, with a target folder of its own:
    /// `cargo xtask madsim test -p doyen-sim`.
    #[command(disable_help_flag = true)]
    Madsim {
        /// What cargo is told: a command and its arguments.
        #[arg(
            required = true,
            num_args = 1..,
            trailing_var_arg = true,
            allow_hyphen_values = true
        )]
        arguments: Vec<String>,
    },
    /// Measure: failover, the store's outage, needless moves, the cost of rest.
    #[command(subcommand)]
    Bench(Bench),
    /// Real servers on free loopback ports, fetched once: up, down, status.
    #[command(subcommand)]
    Services(services::Verb),
    /// Build the simulator in the flavour that its arguments need, and run it: `cargo xtask sim help`.
    Sim(sim::Options),
    /// Check the rules of the repository that no compiler knows: directions, sizes, docs.
    Tidy,
    /// A part of a bench that runs as a process of its own.
    #[command(hide = true)]
    BareHolder,
}

#[derive(Subcommand)]
enum Bench {
    /// How long calls wait when the singleton's holder fails, and whether any fails.
    ///
    /// A gap runs from the fault to the first success, at the worst of the survivors, of a deciding
    /// call sent after it (DELETE of an absent context, every 10 ms at each survivor); creates and
    /// deletes of a `process` context go on beside them. For `graceful`, where the holder serves on
    /// while it hands over, the gap is the longest time in which a survivor answered no deciding
    /// call, from the SIGTERM to shortly after the holder's end, if that is longer.
    /// A failed call is any transport error and any unexpected answer; a 503 counts.
    Failover(bench::failover::Options),
    /// How long the store is away when its process is killed or stopped under load, and whether
    /// anything acknowledged is lost.
    Store(bench::store::Options),
    /// How often the singleton moves without need while the machine is busy.
    Flap(bench::flap::Options),
    /// What servers, idle drivers and the store cost at rest.
    Idle(bench::idle::Options),
}

/// What all benches take.
#[derive(Args, Clone, Debug)]
struct BenchCommon {
    /// End with one JSON object on one line.
    #[arg(long)]
    json: bool,
    /// How the servers are built. Published figures are of `release`.
    #[arg(long, value_enum, default_value_t = BuildProfile::Release)]
    profile: BuildProfile,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum BuildProfile {
    Release,
    Debug,
}

impl From<BuildProfile> for doyen_tests::program::Profile {
    fn from(profile: BuildProfile) -> Self {
        match profile {
            BuildProfile::Release => Self::Release,
            BuildProfile::Debug => Self::Debug,
        }
    }
}

/// How a verb ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// As hoped.
    Good,
    /// It ran, and something is not as it should be; it has been told.
    Bad,
    /// What was asked is not built yet; it has been told.
    NotBuilt,
}

impl Verdict {
    const fn of(good: bool) -> Self {
        if good { Self::Good } else { Self::Bad }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.verb {
        Verb::Demo(options) => block_on(demo::run(options)),
        Verb::Ci(options) => ci::run(&options),
        Verb::Test(options) => ci::test(&options),
        Verb::Sim(options) => return sim::main(&options),
        Verb::Madsim { arguments } => madsim::run(&arguments),
        Verb::Services(verb) => block_on(services::run(verb)),
        Verb::Tidy => tidy::run(),
        Verb::BareHolder => bench::bare::hold().map(|()| Verdict::Good),
        Verb::Bench(Bench::Failover(options)) => block_on(bench::failover::run(options)),
        Verb::Bench(Bench::Store(options)) => block_on(bench::store::run(options)),
        Verb::Bench(Bench::Flap(options)) => block_on(bench::flap::run(options)),
        Verb::Bench(Bench::Idle(options)) => block_on(bench::idle::run(options)),
    };
    match outcome {
        Ok(Verdict::Good) => ExitCode::SUCCESS,
        Ok(Verdict::Bad) => ExitCode::FAILURE,
        Ok(Verdict::NotBuilt) => ExitCode::from(2),
        Err(error) => {
            say::note(format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs to the end, or until Ctrl-C or SIGTERM, which end it as a failure: owners of processes and
/// folders are dropped and clean up.
fn block_on(work: impl Future<Output = Outcome<Verdict>>) -> Outcome<Verdict> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let mut terminate =
            tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => Err(doyen_tests::trouble("interrupted")),
            _ = terminate.recv() => Err(doyen_tests::trouble("terminated")),
            outcome = work => outcome,
        }
    })
}
