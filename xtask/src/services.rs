//! `services`: real servers on free loopback ports, left running for play and for tests by hand.
//!
//! Their data and what is known of them lie under `target/services/<name>/`.

use crate::Verdict;
use crate::say::{self, Step};
use clap::{Args, Subcommand, ValueEnum};
use comfy_table::Table;
use doyen_tests::services::zookeeper::{self, ZooKeeper, mode};
use doyen_tests::{Outcome, program, trouble};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fs;
use std::path::PathBuf;

#[derive(Subcommand, Clone, Debug)]
pub(crate) enum Verb {
    /// Fetch what is not there yet, start the servers, and say where they listen.
    Up(Options),
    /// Stop the servers and remove their data.
    Down(Options),
    /// Say which servers run.
    Status(Options),
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Which service.
    #[arg(value_enum, default_value_t = Service::Zookeeper)]
    service: Service,
    /// How many servers `up` starts: one, or an ensemble.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=3))]
    servers: u8,
    /// End with one JSON object on one line.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Service {
    Zookeeper,
}

/// A server that was left running.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    address: String,
    pid: u32,
}

pub(crate) async fn run(verb: Verb) -> Outcome<Verdict> {
    match verb {
        Verb::Up(options) => up(&options).await,
        Verb::Down(options) => down(&options).await,
        Verb::Status(options) => status(&options).await,
    }
}

fn folder(options: &Options) -> PathBuf {
    match options.service {
        Service::Zookeeper => program::target().join("services/zookeeper"),
    }
}

fn known(options: &Options) -> Vec<Kept> {
    let text = fs::read_to_string(folder(options).join("running.json")).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

async fn up(options: &Options) -> Outcome<Verdict> {
    let running = known(options);
    if !running.is_empty() {
        say::note("they are up already; `cargo xtask services down` stops them");
        return tell(options, &running).await;
    }
    let step = Step::begin(format!("ZooKeeper {}", zookeeper::VERSION));
    let folder = folder(options);
    fs::create_dir_all(&folder)?;
    let wanted = zookeeper::Options {
        servers: options.servers.into(),
        is_old: false,
        folder: Some(folder.clone()),
    };
    let started = ZooKeeper::start(wanted, &mut |text| step.progress(text)).await;
    let started = match started {
        Ok(started) => started,
        Err(error) => {
            step.failed();
            return Err(error);
        }
    };
    let all = started.connection_string();
    let kept: Vec<Kept> = started
        .keep()
        .into_iter()
        .map(|(address, pid)| Kept { address, pid })
        .collect();
    let text = serde_json::to_string(&kept).map_err(|error| trouble(error.to_string()))?;
    fs::write(folder.join("running.json"), text)?;
    step.done(&all);
    tell(options, &kept).await
}

async fn down(options: &Options) -> Outcome<Verdict> {
    let folder = folder(options);
    let step = Step::begin("stopping ZooKeeper");
    for server in known(options) {
        zookeeper::end_kept(server.pid, &folder).await?;
    }
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    step.done("");
    tell(options, &[]).await
}

async fn status(options: &Options) -> Outcome<Verdict> {
    tell(options, &known(options)).await
}

/// Lists the servers; good if all of them serve.
async fn tell(options: &Options, servers: &[Kept]) -> Outcome<Verdict> {
    let (mut rows, mut good) = (Vec::new(), true);
    for server in servers {
        let port = server.address.rsplit_once(':');
        let port = port.and_then(|(_, port)| port.parse().ok()).unwrap_or(0);
        let state = mode(port).await;
        good &= state.is_some();
        rows.push(json!({
            "name": "zookeeper",
            "address": server.address,
            "pid": server.pid,
            "state": state.unwrap_or_else(|| "does not answer".to_owned()),
        }));
    }
    if options.json {
        say::json(&json!({ "services": rows }));
        return Ok(Verdict::of(good));
    }
    if rows.is_empty() {
        say::line("no ZooKeeper runs; `cargo xtask services up zookeeper` starts one");
        return Ok(Verdict::Good);
    }
    let mut table = Table::new();
    table.set_header(["service", "address", "pid", "state"]);
    for row in &rows {
        let text = |name: &str| {
            row[name]
                .as_str()
                .map_or(row[name].to_string(), str::to_owned)
        };
        table.add_row(["name", "address", "pid", "state"].map(text));
    }
    say::line(table.to_string());
    Ok(Verdict::of(good))
}
