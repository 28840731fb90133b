//! `bench idle`: what three servers, two idle drivers and the store cost when nobody asks anything.

use super::machine::Machine;
use super::stats::rounded;
use super::{report, start_cluster, stop_cluster};
use crate::say::Step;
use crate::{BenchCommon, Verdict};
use clap::Args;
use doyen_tests::leftovers::{self, Leftover};
use doyen_tests::procfs::{processor_time, resident_bytes};
use doyen_tests::{Outcome, trouble};
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};

/// From the last start to the first look: founding and joining are no rest.
const SETTLE: Duration = Duration::from_secs(5);

#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    #[command(flatten)]
    common: BenchCommon,
    /// How long to look.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(5..))]
    seconds: u64,
}

/// A process that is looked at.
struct Subject {
    what: &'static str,
    pid: u32,
    before: Duration,
}

/// # Errors
/// The cluster does not come up, or one of its processes ends meanwhile.
pub(crate) async fn run(options: Options) -> Outcome<Verdict> {
    let cluster = start_cluster(&options.common, 3).await?;
    let api = cluster.api(0);
    for name in ["rest-one", "rest-two"] {
        api.create_process_context(name).await?;
    }
    let machine = Machine::before();
    tokio::time::sleep(SETTLE).await;
    let servers: Vec<u32> = (0..cluster.len())
        .filter_map(|i| cluster.server(i).pid())
        .collect();
    let start = Instant::now();
    let subjects = leftovers::of_folder(cluster.path())
        .iter()
        .map(|found| Subject::look(found, &servers))
        .collect::<Outcome<Vec<_>>>()?;
    for what in ["driver", "store"] {
        if !subjects.iter().any(|subject| subject.what == what) {
            return Err(trouble(format!("no {what} process found")));
        }
    }
    let step = Step::begin(format!("{} s of rest", options.seconds));
    tokio::time::sleep(Duration::from_secs(options.seconds)).await;
    let seconds = start.elapsed().as_secs_f64();
    let rows = subjects
        .iter()
        .map(|subject| subject.row(seconds))
        .collect::<Outcome<Vec<_>>>()?;
    step.done("");
    let worst = |name: &str| {
        rounded(
            rows.iter()
                .filter_map(|row| row[name].as_f64())
                .fold(0.0, f64::max),
        )
    };
    let mut result = Map::new();
    result.insert("what".to_owned(), "worst of all".into());
    result.insert("rss_mib".to_owned(), worst("rss_mib").into());
    result.insert("cpu_percent".to_owned(), worst("cpu_percent").into());
    result.insert("seconds".to_owned(), rounded(seconds).into());
    result.insert("rows".to_owned(), rows.into());
    machine.after(&options.common, &mut result);
    for name in ["rest-one", "rest-two"] {
        api.delete_context(name).await?.expect(&[200, 202])?;
    }
    stop_cluster(cluster).await?;
    report(&options.common, result);
    Ok(Verdict::Good)
}

impl Subject {
    fn look(found: &Leftover, servers: &[u32]) -> Outcome<Self> {
        let verb = |verb: &str| found.command.split(' ').nth(1) == Some(verb);
        let what = if servers.contains(&found.pid) {
            "server"
        } else if verb("driver") {
            "driver"
        } else if verb("store") {
            "store"
        } else {
            // A keeper or an engine child: shown, so that nothing is hidden.
            "other"
        };
        Ok(Self {
            what,
            pid: found.pid,
            before: processor_time(found.pid)?,
        })
    }

    fn row(&self, seconds: f64) -> Outcome<Value> {
        let ended = |e| trouble(format!("{} {} ended at rest: {e}", self.what, self.pid));
        let used = processor_time(self.pid)
            .map_err(ended)?
            .saturating_sub(self.before);
        let resident = resident_bytes(self.pid).map_err(ended)?;
        // Exact enough: memory in KiB is far below 2^32.
        let mib =
            u32::try_from(resident / 1024).map_or(f64::INFINITY, |kib| f64::from(kib) / 1024.0);
        Ok(json!({
            "what": self.what,
            "rss_mib": rounded(mib),
            "cpu_percent": rounded(used.as_secs_f64() * 100.0 / seconds),
            "seconds": rounded(seconds),
        }))
    }
}
