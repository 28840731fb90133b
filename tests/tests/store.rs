//! The embedded store's process is killed or stopped under load: a short outage, nothing lost.
#![allow(clippy::unwrap_used, reason = "a test tells what broke by panicking")]

use doyen_tests::cluster::Cluster;
use doyen_tests::fixtures::{CONTEXT, SOON, cluster, prepare_process_context, stop_clean};
use doyen_tests::load::{Jobs, Load, Plan, gap_ms, sum_up};
use doyen_tests::running::{Fault, send};
use doyen_tests::{leftovers, procfs, wait};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn store(cluster: &Cluster) -> Result<u32, String> {
    match leftovers::with_verb(cluster.path(), "store").as_slice() {
        [store] => Ok(store.pid),
        other => Err(format!("{other:?}")),
    }
}

async fn survive(fault: Fault) {
    let cluster = cluster(3).await;
    prepare_process_context(&cluster.api(0)).await.unwrap();
    let all = [0, 1, 2];
    let targets = all.map(|index| (index, cluster.server(index).http));
    let jobs = Jobs {
        every: Duration::from_millis(100),
        context: CONTEXT.to_owned(),
        binary: "quick".to_owned(),
        class: "quick".to_owned(),
    };
    let plan = Plan {
        deciding: Duration::from_millis(20),
        contexts: None,
        jobs: Some(jobs),
    };
    let load = Load::start(&targets, &plan, "store");
    wait::until("calls succeed", SOON, async || {
        let count = load.samples().len();
        if count > 30 {
            Ok(())
        } else {
            Err(format!("{count}"))
        }
    })
    .await
    .unwrap();
    let old = store(&cluster).unwrap();
    let start = Instant::now();
    send(old, fault).unwrap();
    // How long it takes is what `cargo xtask bench store` measures; here it only must.
    wait::until("calls succeed again", SOON, async || {
        let gap = gap_ms(&load.samples(), &all, start);
        gap.map(drop).ok_or_else(|| "not yet".to_owned())
    })
    .await
    .unwrap();
    let new = wait::until("one other store", SOON, async || {
        let pid = store(&cluster)?;
        if pid == old {
            Err("the old one".to_owned())
        } else {
            Ok(pid)
        }
    })
    .await
    .unwrap();
    assert!(procfs::is_alive(new) && !procfs::is_alive(old));
    let samples = load.finish().await;
    let summary = sum_up(&samples);
    assert_eq!(summary.failed, 0, "{summary:#?}");
    for job in samples.iter().filter_map(|sample| sample.job.as_deref()) {
        cluster
            .api(2)
            .wait_job(job, "FINISHED", SOON)
            .await
            .unwrap();
    }
    stop_clean(cluster, &[CONTEXT]).await;
}

// The targets are 1 s and 3 s in a release build; a debug build on a busy machine gets three times.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_killed_under_load_is_replaced_and_loses_nothing() {
    survive(Fault::Kill).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_stopped_under_load_is_replaced_and_loses_nothing() {
    survive(Fault::Stop).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_there_after_everything_was_killed_at_once() {
    let mut cluster = cluster(2).await;
    prepare_process_context(&cluster.api(0)).await.unwrap();
    let result = cluster
        .api(1)
        .run_job(CONTEXT, "quick", "quick", &Value::Null)
        .await
        .unwrap();
    assert_eq!(result, json!({"ok": true}));
    let jobs = cluster.api(0).get("/jobs").await.unwrap().json();
    for index in 0..2 {
        cluster.kill(index).await.unwrap();
    }
    leftovers::sweep(cluster.path(), SOON);
    for index in 0..2 {
        cluster.start_server(index).unwrap();
    }
    cluster.wait_up(&[0, 1]).await.unwrap();
    let api = cluster.api(1);
    assert_eq!(api.get("/jobs").await.unwrap().json(), jobs);
    assert!(
        api.get("/binaries")
            .await
            .unwrap()
            .json()
            .get("long")
            .is_some()
    );
    // Its driver was killed too: the context is over, with an error.
    api.wait_context(CONTEXT, &["KILLED"], SOON).await.unwrap();
    stop_clean(cluster, &[]).await;
}
