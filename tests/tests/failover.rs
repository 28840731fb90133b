//! The holder of the office is killed, stopped or asked to go: the others serve, no call fails.
#![allow(clippy::unwrap_used, reason = "a test tells what broke by panicking")]

use doyen_tests::cluster::Cluster;
use doyen_tests::fixtures::{CONTEXT, SOON, cluster, prepare_process_context, stop_clean};
use doyen_tests::load::{Jobs, Kind, Load, Plan, Sample, Summary, gap_ms, sum_up};
use doyen_tests::running::Fault;
use doyen_tests::wait;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Claim after silence takes 1.2 s, a grant its drain of 2 s; a debug build on a busy machine more.
const GAP_MAX_MS: f64 = 10_000.0;

fn start_load(cluster: &Cluster, servers: &[usize]) -> Load {
    let targets: Vec<(usize, u16)> = servers
        .iter()
        .map(|index| (*index, cluster.server(*index).http))
        .collect();
    let plan = Plan {
        deciding: Duration::from_millis(20),
        contexts: Some(Duration::from_millis(700)),
        jobs: Some(Jobs {
            every: Duration::from_millis(250),
            context: CONTEXT.to_owned(),
            binary: "quick".to_owned(),
            class: "quick".to_owned(),
        }),
    };
    Load::start(&targets, &plan, "t")
}

/// Waits until each kind of call has succeeded (again) since this moment.
async fn all_kinds_succeed(load: &Load, since: Instant) {
    wait::until("each kind of call succeeds", SOON, async || {
        let samples = load.samples();
        let good = |kind| {
            samples
                .iter()
                .any(|s| s.kind == kind && s.sent >= since && s.failure.is_none())
        };
        let kinds = [Kind::Deciding, Kind::Submit, Kind::Create, Kind::Delete];
        let missing: Vec<Kind> = kinds.into_iter().filter(|kind| !good(*kind)).collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(format!("not yet: {missing:?}"))
        }
    })
    .await
    .unwrap();
}

fn assert_none_failed(samples: &[Sample], servers: &[usize], fault: Instant) -> Summary {
    let summary = sum_up(samples);
    assert_eq!(summary.failed, 0, "{summary:#?}");
    let gap = gap_ms(samples, servers, fault).expect("each survivor answered");
    assert!(gap < GAP_MAX_MS, "gap {gap} ms");
    summary
}

async fn assert_jobs_finished(cluster: &Cluster, index: usize, samples: &[Sample]) {
    let api = cluster.api(index);
    let jobs: Vec<&str> = samples.iter().filter_map(|s| s.job.as_deref()).collect();
    assert!(!jobs.is_empty());
    for job in jobs {
        api.wait_job(job, "FINISHED", SOON).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_the_oldest_with_calls_in_flight_fails_none_and_loses_nothing() {
    let mut cluster = cluster(3).await;
    prepare_process_context(&cluster.api(0)).await.unwrap();
    let config = json!({"seconds": 12});
    let long = cluster
        .api(1)
        .start_job(CONTEXT, "long", "long", &config)
        .await
        .unwrap();
    let victim = cluster.holder().await.unwrap();
    let survivors = cluster.others(victim);
    let epoch = cluster.state(survivors[0]).await.unwrap().epoch;
    let load = start_load(&cluster, &survivors);
    all_kinds_succeed(&load, Instant::now()).await;

    let fault = Instant::now();
    cluster.kill(victim).await.unwrap();
    all_kinds_succeed(&load, fault).await;
    let holder = cluster.holder().await.unwrap();
    assert!(survivors.contains(&holder), "the office went to {holder}");
    let state = cluster.state(holder).await.unwrap();
    assert!(state.epoch > epoch, "epoch {} after {epoch}", state.epoch);

    cluster.start_server(victim).unwrap();
    cluster.wait_up(&[0, 1, 2]).await.unwrap();
    let samples = load.finish().await;
    assert_none_failed(&samples, &survivors, fault);
    // What the survivors acknowledged is read at the server that was dead meanwhile.
    assert_jobs_finished(&cluster, victim, &samples).await;
    let report = cluster
        .api(victim)
        .wait_job(&long, "FINISHED", SOON)
        .await
        .unwrap();
    assert_eq!(report["result"], json!({"worked_seconds": 12}));
    stop_clean(cluster, &[CONTEXT]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graceful_stop_of_the_holder_grants_the_office_and_exits_0() {
    let mut cluster = cluster(3).await;
    prepare_process_context(&cluster.api(0)).await.unwrap();
    let victim = cluster.holder().await.unwrap();
    let survivors = cluster.others(victim);
    let load = start_load(&cluster, &survivors);
    all_kinds_succeed(&load, Instant::now()).await;
    let fault = Instant::now();
    let status = cluster.stop(victim).await.unwrap();
    assert_eq!(status.code(), Some(0));
    all_kinds_succeed(&load, Instant::now()).await;
    let samples = load.finish().await;
    assert_none_failed(&samples, &survivors, fault);
    assert_jobs_finished(&cluster, survivors[1], &samples).await;
    let addresses: Vec<String> = survivors
        .iter()
        .map(|i| cluster.server(*i).address())
        .collect();
    let state = wait::until("the leaver is off the roster", SOON, async || {
        let state = cluster
            .state(survivors[0])
            .await
            .map_err(|e| e.to_string())?;
        state.all_up(&addresses).map(|()| state)
    })
    .await
    .unwrap();
    assert!(state.holder.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_holder_continues_fenced_and_serves_on_as_an_ordinary_member() {
    let mut cluster = cluster(3).await;
    prepare_process_context(&cluster.api(0)).await.unwrap();
    let victim = cluster.holder().await.unwrap();
    let survivors = cluster.others(victim);
    let load = start_load(&cluster, &survivors);
    all_kinds_succeed(&load, Instant::now()).await;
    let fault = Instant::now();
    cluster.fault(victim, Fault::Stop).unwrap();
    all_kinds_succeed(&load, fault).await;
    cluster.fault(victim, Fault::Continue).unwrap();
    cluster.wait_up(&[0, 1, 2]).await.unwrap();
    let samples = load.finish().await;
    assert_none_failed(&samples, &survivors, fault);
    assert_eq!(cluster.ended(&[0, 1, 2]), [], "nobody was downed");
    let api = cluster.api(victim);
    assert_ne!(
        api.cluster().await.unwrap().holder,
        Some(cluster.server(victim).address())
    );
    api.delete_context("absent")
        .await
        .unwrap()
        .expect(&[404])
        .unwrap();
    api.create_process_context("through-the-old-holder")
        .await
        .unwrap();
    let result = api
        .run_job(CONTEXT, "quick", "quick", &Value::Null)
        .await
        .unwrap();
    assert_eq!(result, json!({"ok": true}));
    stop_clean(cluster, &[CONTEXT, "through-the-old-holder"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_servers_the_survivor_serves_whatever_happens_to_the_other() {
    for fault in [Fault::Kill, Fault::Stop, Fault::Terminate] {
        let mut cluster = cluster(2).await;
        prepare_process_context(&cluster.api(0)).await.unwrap();
        let victim = cluster.holder().await.unwrap();
        let survivors = cluster.others(victim);
        let load = start_load(&cluster, &survivors);
        all_kinds_succeed(&load, Instant::now()).await;
        let start = Instant::now();
        cluster.fault(victim, fault).unwrap();
        if fault != Fault::Stop {
            cluster.reap(victim, SOON).await.unwrap();
        }
        all_kinds_succeed(&load, Instant::now()).await;
        match fault {
            Fault::Stop => cluster.fault(victim, Fault::Continue).unwrap(),
            Fault::Kill | Fault::Terminate | Fault::Continue => {
                cluster.start_server(victim).unwrap();
            }
        }
        cluster.wait_up(&[0, 1]).await.unwrap();
        assert_eq!(cluster.ended(&[0, 1]), [], "nobody went down ({fault:?})");
        assert_none_failed(&load.finish().await, &survivors, start);
        stop_clean(cluster, &[CONTEXT]).await;
    }
}
