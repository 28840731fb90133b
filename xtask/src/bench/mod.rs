//! Measuring. Every bench ends with one line whose names are those of design.md §9.

pub(crate) mod bare;
pub(crate) mod failover;
pub(crate) mod flap;
pub(crate) mod idle;
mod machine;
mod spin;
mod stats;
pub(crate) mod store;

use crate::BenchCommon;
use crate::say::{self, Step};
use doyen_tests::Outcome;
use doyen_tests::cluster::{Cluster, Options};
use doyen_tests::program::{Profile, build_doyen};
use serde_json::{Map, Value};

/// Builds the program and starts `servers` servers.
async fn start_cluster(common: &BenchCommon, servers: usize) -> Outcome<Cluster> {
    let profile = Profile::from(common.profile);
    let step = Step::begin(format!("build doyen ({})", profile.folder()));
    let program = build_doyen(profile)?;
    step.done("");
    say::step(
        format!("start {servers} servers"),
        Cluster::start(Options::new(&program, servers)),
    )
    .await
}

/// Ends a bench: stops everything in order, and says if something was left over.
async fn stop_cluster(mut cluster: Cluster) -> Outcome<()> {
    let step = Step::begin("stop all");
    let left = cluster.stop_all().await?;
    for leftover in &left {
        say::note(format!("left over (killed now): {leftover}"));
    }
    cluster.remove()?;
    step.done("");
    Ok(())
}

/// The table for people and, if asked for, the line for programs.
fn report(common: &BenchCommon, result: Map<String, Value>) {
    if common.json {
        say::json(&Value::Object(result));
        return;
    }
    for (name, value) in &result {
        match value.as_array() {
            Some(rows) => rows
                .iter()
                .for_each(|row| say::line(format!("{name:>16}  {row}"))),
            None => say::line(format!("{name:>16}  {value}")),
        }
    }
}
