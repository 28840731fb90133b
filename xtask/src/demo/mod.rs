//! `demo`: the whole system at work, and its oldest server killed while calls go on.

mod jobs;
mod timeline;

use crate::say::{self, Step, step};
use crate::{Verdict, python};
use clap::{Args, ValueEnum};
use doyen_tests::cluster::{Cluster, Options as ClusterOptions};
use doyen_tests::events::now_ms;
use doyen_tests::load::{Jobs, Load, Plan, Sample, gap_ms, sum_up};
use doyen_tests::program::{Profile, build_doyen};
use doyen_tests::{Outcome, leftovers, procfs, trouble, wait};
use jobs::Work;
use serde_json::json;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How long the long job lasts: it must outlive the failover and the killed server's return.
const LONG_JOB_SECONDS: u64 = 20;
/// Calls before the fault, and after it before the server is started again.
const BEFORE: Duration = Duration::from_secs(1);
const AFTER: Duration = Duration::from_secs(3);
/// The context of jobs that are over at once.
const QUICK: &str = "quick";
/// The context of the main jobs.
const MAIN: &str = "demo";

#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// What runs the jobs: Spark (needs Java 11 and Python 3), or processes (needs Python 3 only).
    #[arg(long, value_enum, default_value_t = Engine::Spark)]
    engine: Engine,
    /// Leave the servers up at the end, and say how to play with them.
    #[arg(long)]
    keep: bool,
    /// End with one JSON object on one line.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    Spark,
    Process,
}

/// What the demo found.
#[derive(Debug, Default)]
struct Findings {
    failover_ms: f64,
    calls: usize,
    failed_calls: usize,
    longest_call_ms: f64,
    driver_survived: bool,
    leftovers: usize,
}

/// # Errors
/// Something that the demo needs is missing, or a step of it does not do what it should.
pub(crate) async fn run(options: Options) -> Outcome<Verdict> {
    let start = Instant::now();
    let mut cluster = set_up(&options).await?;
    let mut findings = play(&mut cluster, options.engine).await?;
    if options.keep {
        say_how_to_play(cluster);
    } else {
        findings.leftovers = tear_down(cluster).await?;
    }
    let good = findings.failed_calls == 0 && findings.driver_survived && findings.leftovers == 0;
    let seconds = start.elapsed().as_secs_f64();
    say::line(if good {
        "All as it should be."
    } else {
        "Not all is as it should be: see above."
    });
    if options.json {
        say::json(&json!({
            "ok": good,
            "seconds": (seconds * 10.0).round() / 10.0,
            "failover_ms": (findings.failover_ms * 100.0).round() / 100.0,
            "calls": findings.calls,
            "failed_calls": findings.failed_calls,
            "longest_call_ms": (findings.longest_call_ms * 100.0).round() / 100.0,
            "driver_survived": findings.driver_survived,
            "leftovers": findings.leftovers,
        }));
    }
    Ok(Verdict::of(good))
}

async fn set_up(options: &Options) -> Outcome<Cluster> {
    // What is missing is said before anything takes time.
    let python = match options.engine {
        Engine::Spark => Some(python::spark_python()?),
        Engine::Process => None,
    };
    let building = Step::begin("build doyen");
    let program = build_doyen(Profile::Debug)?;
    building.done("");
    let mut cluster = ClusterOptions::new(&program, 3);
    cluster.python = python;
    let cluster = step("start three servers", Cluster::start(cluster)).await?;
    for index in 0..cluster.len() {
        let server = cluster.server(index);
        let (http, pid) = (server.http, server.pid().unwrap_or(0));
        say::line(format!(
            "server {index}: http://127.0.0.1:{http}, pid {pid}"
        ));
    }
    Ok(cluster)
}

/// Everything between start and stop.
async fn play(cluster: &mut Cluster, engine: Engine) -> Outcome<Findings> {
    let work = Work::of(engine)?;
    let api = cluster.api(1);
    step("upload the binaries", work.upload(&api)).await?;
    step(
        "create the context, its driver and its engine",
        work.create_context(&api, MAIN),
    )
    .await?;
    let counts = step("count the words", work.count_words(&cluster.api(2), MAIN)).await?;
    say::line(format!("{}:", work.source()));
    for (word, count) in counts {
        say::line(format!("{count:>8}  {word}"));
    }
    api.create_process_context(QUICK).await?;
    let long_job = work.start_long_job(&api, MAIN, LONG_JOB_SECONDS).await?;
    say::line(format!("long job {long_job} runs for {LONG_JOB_SECONDS} s"));
    let drivers = drivers_of_main(cluster)?;

    let victim = cluster.holder().await?;
    let survivors = cluster.others(victim);
    let fault = Faulted::new(cluster, victim).await?;
    let (start, samples) = step(
        format!("kill server {victim} (pid {}), the oldest", fault.pid),
        async { kill_under_load(cluster, victim, &survivors).await },
    )
    .await?;
    let mut findings = Findings::default();
    let summary = sum_up(&samples);
    for failure in &summary.failures {
        say::line(format!("failed call: {failure}"));
    }
    findings.calls = summary.calls;
    findings.failed_calls = summary.failed;
    findings.longest_call_ms = summary.longest_ms;
    findings.failover_ms = gap_ms(&samples, &survivors, start.instant)
        .ok_or_else(|| trouble("a survivor has answered no deciding call"))?;
    timeline::tell(
        cluster,
        &survivors,
        &fault.address,
        fault.epoch,
        &start,
        &samples,
    );

    check_jobs(cluster, survivors[0], &samples).await?;
    findings.driver_survived = survived(cluster, &drivers, victim, &long_job).await?;
    Ok(findings)
}

/// The server that will be killed, as it was.
struct Faulted {
    address: String,
    pid: u32,
    epoch: u64,
}

impl Faulted {
    async fn new(cluster: &Cluster, victim: usize) -> Outcome<Self> {
        let server = cluster.server(victim);
        let pid = server
            .pid()
            .ok_or_else(|| trouble("the holder does not run"))?;
        let epoch = cluster.state(victim).await?.epoch;
        Ok(Self {
            address: server.address(),
            pid,
            epoch,
        })
    }
}

/// The moment of a fault on both clocks.
pub(crate) struct Moment {
    pub(crate) instant: Instant,
    pub(crate) wall_ms: f64,
    /// When the kill was seen to be done, after `instant`.
    pub(crate) gone_ms: f64,
}

async fn kill_under_load(
    cluster: &mut Cluster,
    victim: usize,
    survivors: &[usize],
) -> Outcome<(Moment, Vec<Sample>)> {
    let targets: Vec<(usize, u16)> = survivors
        .iter()
        .map(|index| (*index, cluster.server(*index).http))
        .collect();
    let plan = Plan {
        // At each of two survivors in turn: one in 10 ms.
        deciding: Duration::from_millis(20),
        contexts: Some(Duration::from_secs(1)),
        jobs: Some(Jobs {
            every: Duration::from_millis(250),
            context: QUICK.to_owned(),
            binary: jobs::QUICK_BINARY.to_owned(),
            class: "quick".to_owned(),
        }),
    };
    let load = Load::start(&targets, &plan, "demo");
    tokio::time::sleep(BEFORE).await;
    let wall_ms = now_ms();
    let instant = Instant::now();
    cluster.kill(victim).await?;
    let gone_ms = doyen_tests::load::millis(instant.elapsed());
    tokio::time::sleep(AFTER).await;
    cluster.start_server(victim)?;
    let all: Vec<usize> = (0..cluster.len()).collect();
    cluster.wait_up(&all).await?;
    Ok((
        Moment {
            instant,
            wall_ms,
            gone_ms,
        },
        load.finish().await,
    ))
}

/// Every job that was acknowledged has finished.
async fn check_jobs(cluster: &Cluster, index: usize, samples: &[Sample]) -> Outcome<()> {
    let ids: BTreeSet<&str> = samples.iter().filter_map(|s| s.job.as_deref()).collect();
    let api = cluster.api(index);
    step(
        format!("{} jobs submitted meanwhile have finished", ids.len()),
        async {
            for id in &ids {
                api.wait_job(id, "FINISHED", Duration::from_secs(30))
                    .await?;
            }
            Ok(())
        },
    )
    .await
}

/// The drivers of the contexts that stay.
fn drivers_of_main(cluster: &Cluster) -> Outcome<BTreeSet<u32>> {
    let drivers: BTreeSet<u32> = leftovers::with_verb(cluster.path(), "driver")
        .iter()
        .map(|driver| driver.pid)
        .collect();
    if drivers.len() < 2 {
        return Err(trouble(format!("two contexts, but drivers {drivers:?}")));
    }
    Ok(drivers)
}

/// The same driver processes live, and the long job's result is read at the server that was killed.
async fn survived(
    cluster: &Cluster,
    drivers: &BTreeSet<u32>,
    victim: usize,
    long_job: &str,
) -> Outcome<bool> {
    let living = drivers.iter().filter(|pid| procfs::is_alive(**pid)).count();
    say::line(format!(
        "server {victim} is Up again; {living} of {} drivers live",
        drivers.len()
    ));
    let limit = Duration::from_secs(LONG_JOB_SECONDS + 30);
    let report = step("the long job finishes", async {
        cluster
            .api(victim)
            .wait_job(long_job, "FINISHED", limit)
            .await
    })
    .await?;
    say::line(format!(
        "long job, read at server {victim}: {} in {}, result {}",
        report["status"].as_str().unwrap_or(""),
        report["duration"].as_str().unwrap_or(""),
        report["result"],
    ));
    Ok(living == drivers.len() && !report["result"].is_null())
}

/// Deletes the contexts, stops the servers, and counts what is left: processes and files.
async fn tear_down(mut cluster: Cluster) -> Outcome<usize> {
    let stopping = Step::begin("stop everything");
    let api = cluster.api(0);
    for name in [MAIN, QUICK] {
        api.delete_context(name).await?.expect(&[200, 202])?;
        let states = ["FINISHED", "KILLED", "ERROR"];
        api.wait_context(name, &states, Duration::from_secs(30))
            .await?;
    }
    wait::until(
        "all drivers have ended",
        Duration::from_secs(15),
        async || {
            let drivers = leftovers::with_verb(cluster.path(), "driver");
            if drivers.is_empty() {
                Ok(())
            } else {
                Err(format!("{drivers:?}"))
            }
        },
    )
    .await?;
    let left = cluster.stop_all().await?;
    let path = cluster.path().to_path_buf();
    cluster.remove()?;
    let files = usize::from(path.exists());
    stopping.done(format!(
        "{} processes and {files} folders left over",
        left.len()
    ));
    for leftover in &left {
        say::line(format!("left over (killed now): {leftover}"));
    }
    Ok(left.len() + files)
}

fn say_how_to_play(cluster: Cluster) {
    let ports: Vec<u16> = (0..cluster.len())
        .map(|index| cluster.server(index).http)
        .collect();
    let urls: Vec<String> = ports
        .iter()
        .map(|port| format!("http://127.0.0.1:{port}"))
        .collect();
    let pids: Vec<String> = (0..cluster.len())
        .filter_map(|index| cluster.server(index).pid())
        .map(|pid| pid.to_string())
        .collect();
    let stores: Vec<String> = leftovers::with_verb(cluster.path(), "store")
        .iter()
        .map(|store| store.pid.to_string())
        .collect();
    let folder = cluster.keep();
    let (first, second) = (ports[0], ports[1]);
    say::line(format!(
        "\nLeft up. Folder: {}; servers: {}\n\
         \x20 curl -s http://127.0.0.1:{first}/cluster\n\
         \x20 curl -s http://127.0.0.1:{second}/contexts\n\
         \x20 curl -s http://127.0.0.1:{second}/jobs?limit=5\n\
         \x20 curl -s -X POST 'http://127.0.0.1:{first}/contexts/mine?doyen.engine=process'\n\
         \x20 curl -s -X POST 'http://127.0.0.1:{second}/jobs?cp=quick&mainClass=quick&context=mine&sync=true'\n\
         \x20 curl -s -X DELETE http://127.0.0.1:{second}/contexts/mine\n\
         To end it: delete the contexts `mine`, `{MAIN}` and `{QUICK}` in this way, then the servers,\n\
         which take 2 s to drain, and their store:\n\
         \x20 kill {}; sleep 5; kill {}; rm -r {}",
        folder.display(),
        urls.join(", "),
        pids.join(" "),
        stores.join(" "),
        folder.display(),
    ));
}
