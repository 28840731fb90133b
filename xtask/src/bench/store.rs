//! `bench store`: the `doyen store` process is killed or stopped under load, again and again.

use super::machine::Machine;
use super::stats::Times;
use super::{report, start_cluster, stop_cluster};
use crate::say::{self, Step};
use crate::{BenchCommon, Verdict};
use clap::{Args, ValueEnum};
use doyen_tests::cluster::Cluster;
use doyen_tests::load::{Jobs, Load, Plan, Sample, gap_ms, sum_up};
use doyen_tests::running::{Fault, send};
use doyen_tests::{Outcome, leftovers, program, trouble, wait};
use serde_json::{Map, Value};
use std::time::{Duration, Instant};

/// The context that takes the jobs.
const CONTEXT: &str = "steady";
/// The longest that a gateway holds a call is 30 s.
const AWAY_MAX: Duration = Duration::from_secs(45);
/// An acknowledged quick job that is not over after this is lost.
const JOB_WITHIN: Duration = Duration::from_secs(60);

#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    common: BenchCommon,
    /// What happens to the store's process.
    #[arg(long, value_enum)]
    fault: FaultKind,
    /// How often.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    rounds: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FaultKind {
    /// SIGKILL.
    Kill,
    /// SIGSTOP: it is never continued, its users must replace it.
    Stop,
}

#[derive(Default)]
struct Totals {
    away: Times,
    calls: usize,
    failed: usize,
    lost: usize,
}

/// # Errors
/// The cluster does not come up, or the store never comes back.
pub(crate) async fn run(options: Options) -> Outcome<Verdict> {
    let cluster = start_cluster(&options.common, 3).await?;
    let api = cluster.api(0);
    let quick = std::fs::read(program::root().join("demo/jobs/quick_job"))?;
    api.upload_executable("quick", quick).await?;
    api.create_process_context(CONTEXT).await?;
    let machine = Machine::before();
    let mut totals = Totals::default();
    let step = Step::begin(format!("{} rounds", options.rounds));
    for number in 0..options.rounds {
        let (away_ms, samples) = round(&cluster, options.fault, number).await?;
        let summary = sum_up(&samples);
        for failure in &summary.failures {
            say::note(format!("failed call: {failure}"));
        }
        totals.away.add(away_ms);
        totals.calls += summary.calls;
        totals.failed += summary.failed;
        totals.lost += lost_jobs(&cluster, &samples).await;
        step.progress(&format!(
            "{} of {}: {away_ms:.0} ms",
            number + 1,
            options.rounds
        ));
    }
    step.done(format!(
        "{} calls, {} failed, {} lost",
        totals.calls, totals.failed, totals.lost
    ));
    let mut result = Map::new();
    let fault = if options.fault == FaultKind::Kill {
        "kill"
    } else {
        "stop"
    };
    let values: [(&str, Value); 7] = [
        ("fault", fault.into()),
        ("rounds", options.rounds.into()),
        ("away_p50_ms", totals.away.json(50)),
        ("away_max_ms", totals.away.json(100)),
        ("calls", totals.calls.into()),
        ("failed_calls", totals.failed.into()),
        ("lost", totals.lost.into()),
    ];
    result.extend(values.map(|(name, value)| (name.to_owned(), value)));
    machine.after(&options.common, &mut result);
    api.delete_context(CONTEXT).await?.expect(&[200, 202])?;
    stop_cluster(cluster).await?;
    report(&options.common, result);
    Ok(Verdict::of(totals.failed == 0 && totals.lost == 0))
}

/// The pid of the one store of this cluster.
fn store_pid(cluster: &Cluster) -> Result<u32, String> {
    match leftovers::with_verb(cluster.path(), "store").as_slice() {
        [store] => Ok(store.pid),
        others => Err(format!("{} stores: {others:?}", others.len())),
    }
}

async fn round(cluster: &Cluster, fault: FaultKind, number: u64) -> Outcome<(f64, Vec<Sample>)> {
    let servers: Vec<usize> = (0..cluster.len()).collect();
    let targets: Vec<(usize, u16)> = servers
        .iter()
        .map(|index| (*index, cluster.server(*index).http))
        .collect();
    let jobs = Jobs {
        every: Duration::from_millis(100),
        context: CONTEXT.to_owned(),
        binary: "quick".to_owned(),
        class: "quick".to_owned(),
    };
    let plan = Plan {
        deciding: Duration::from_millis(10),
        contexts: None,
        jobs: Some(jobs),
    };
    let load = Load::start(&targets, &plan, &format!("s{number}"));
    wait::until(
        "calls succeed before the fault",
        Duration::from_secs(20),
        async || {
            let good = load
                .samples()
                .iter()
                .filter(|s| s.failure.is_none())
                .count();
            if good >= 30 {
                Ok(())
            } else {
                Err(sum_up(&load.samples()).failures.join("; "))
            }
        },
    )
    .await?;
    tokio::time::sleep(Duration::from_micros(number * 3_700 % 10_000)).await;
    let old = store_pid(cluster).map_err(trouble)?;
    let start = Instant::now();
    send(
        old,
        if fault == FaultKind::Kill {
            Fault::Kill
        } else {
            Fault::Stop
        },
    )?;
    let away = wait::until("a deciding call is answered", AWAY_MAX, async || {
        gap_ms(&load.samples(), &servers, start).ok_or_else(|| "none yet".to_owned())
    })
    .await
    .map_err(|e| trouble(format!("{e}\n{}", cluster.logs(30))))?;
    wait::until("another store runs, and one only", AWAY_MAX, async || {
        let pid = store_pid(cluster)?;
        if pid == old {
            Err(format!("{old} is still there"))
        } else {
            Ok(())
        }
    })
    .await?;
    Ok((away, load.finish().await))
}

/// How many acknowledged jobs are missing or never end.
async fn lost_jobs(cluster: &Cluster, samples: &[Sample]) -> usize {
    let api = cluster.api(1);
    let mut lost = 0;
    for job in samples.iter().filter_map(|sample| sample.job.as_deref()) {
        if let Err(error) = api.wait_job(job, "FINISHED", JOB_WITHIN).await {
            say::note(format!("lost: {error}"));
            lost += 1;
        }
    }
    lost
}
