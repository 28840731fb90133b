//! `bench flap`: the machine is busy, nobody is broken: how often does the singleton move?

use super::machine::Machine;
use super::spin::Spinners;
use super::stats::rounded;
use super::{report, start_cluster, stop_cluster};
use crate::say::{self, Step};
use crate::{BenchCommon, Verdict};
use clap::Args;
use doyen_tests::Outcome;
use doyen_tests::load::{Load, Plan, sum_up};
use doyen_tests::procfs::MachineTicks;
use serde_json::{Map, Value};
use std::time::{Duration, Instant};

/// Other work, at the same nice value (design.md §10).
const BUSY_PROCESSES: usize = 4;
/// A deciding call at each of three servers: 100 commits a second.
const DECIDING_EVERY: Duration = Duration::from_millis(30);
/// How often the epoch is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    common: BenchCommon,
    /// How long.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
}

/// # Errors
/// The cluster does not come up, or no server answers any more.
pub(crate) async fn run(options: Options) -> Outcome<Verdict> {
    let mut cluster = start_cluster(&options.common, 3).await?;
    let machine = Machine::before();
    let first = cluster.state(0).await?.epoch;
    let mut last = first;
    let spinners = Spinners::start(BUSY_PROCESSES)?;
    let targets: Vec<(usize, u16)> = (0..cluster.len())
        .map(|index| (index, cluster.server(index).http))
        .collect();
    let ticks = MachineTicks::now();
    let step = Step::begin(format!("{} minutes of other work", options.minutes));
    let end = Instant::now() + Duration::from_secs(options.minutes * 60);
    let (mut calls, mut failed, mut minute) = (0, 0, 0_u64);
    while Instant::now() < end {
        // A load of its own for each minute bounds what is kept of it.
        let plan = Plan {
            deciding: DECIDING_EVERY,
            contexts: None,
            jobs: None,
        };
        let load = Load::start(&targets, &plan, &format!("m{minute}"));
        minute += 1;
        let minute_end = (Instant::now() + Duration::from_secs(60)).min(end);
        while Instant::now() < minute_end {
            tokio::time::sleep(LOOK_EVERY).await;
            for index in 0..cluster.len() {
                last = last.max(cluster.state(index).await?.epoch);
            }
            step.progress(&format!("minute {minute}, {} moves", last - first));
        }
        let summary = sum_up(&load.finish().await);
        for failure in &summary.failures {
            say::note(format!("failed call: {failure}"));
        }
        calls += summary.calls;
        failed += summary.failed;
    }
    let busy = MachineTicks::now().percent_since(ticks, |t| t.busy);
    drop(spinners);
    step.done(format!(
        "{calls} calls, {failed} failed, {} moves",
        last - first
    ));
    let all: Vec<usize> = (0..cluster.len()).collect();
    let ended = cluster.ended(&all);
    for (index, code) in &ended {
        say::note(format!("server {index} ended by itself with {code:?}"));
    }
    let mut result = Map::new();
    let values: [(&str, Value); 3] = [
        ("minutes", options.minutes.into()),
        ("moves", (last - first).into()),
        ("busy_percent", rounded(busy).into()),
    ];
    result.extend(values.map(|(name, value)| (name.to_owned(), value)));
    machine.after(&options.common, &mut result);
    if ended.is_empty() {
        stop_cluster(cluster).await?;
    }
    report(&options.common, result);
    Ok(Verdict::of(ended.is_empty() && failed == 0))
}
