//! Drivers are processes of their own: they outlive servers, and their engines do not outlive them.
#![allow(clippy::unwrap_used, reason = "a test tells what broke by panicking")]

use doyen_tests::fixtures::{
    CONTEXT, SOON, cluster, drivers, executable, prepare_process_context, stop_clean,
};
use doyen_tests::running::{Fault, send};
use doyen_tests::{leftovers, procfs, wait};
use serde_json::json;
use std::time::Duration;

/// protocol.md E4: no engine process outlives its driver by more than 5 s; and a look around.
const ENGINE_GONE_WITHIN: Duration = Duration::from_millis(5_500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_driver_outlives_all_servers_and_finishes_its_job() {
    let mut cluster = cluster(3).await;
    prepare_process_context(&cluster.api(0)).await.unwrap();
    let config = json!({"seconds": 6});
    let job = cluster
        .api(0)
        .start_job(CONTEXT, "long", "long", &config)
        .await
        .unwrap();
    let before = drivers(&cluster);
    assert_eq!(before.len(), 1, "one context, one driver");
    for index in 0..3 {
        cluster.kill(index).await.unwrap();
    }
    // The job ends while no server lives: its engine's process goes, its driver stays.
    wait::until("the job's process has ended", SOON, async || {
        let sleeping = leftovers::of_folder(cluster.path())
            .iter()
            .filter(|left| left.command.contains("sleep"))
            .count();
        if sleeping == 0 {
            Ok(())
        } else {
            Err(format!("{sleeping} sleep"))
        }
    })
    .await
    .unwrap();
    assert!(procfs::is_alive(before[0]));
    for index in 0..3 {
        cluster.start_server(index).unwrap();
    }
    cluster.wait_up(&[0, 1, 2]).await.unwrap();
    let report = cluster
        .api(2)
        .wait_job(&job, "FINISHED", SOON)
        .await
        .unwrap();
    assert_eq!(report["result"], json!({"worked_seconds": 6}));
    assert_eq!(drivers(&cluster), before, "the same driver");
    let result = cluster
        .api(1)
        .run_job(CONTEXT, "quick", "quick", &json!({}))
        .await
        .unwrap();
    assert_eq!(result, json!({"ok": true}), "and it takes jobs again");
    stop_clean(cluster, &[CONTEXT]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_a_driver_leaves_no_engine_process_and_ends_its_context_with_an_error() {
    let cluster = cluster(2).await;
    prepare_process_context(&cluster.api(0)).await.unwrap();
    let config = json!({"seconds": 300});
    let job = cluster
        .api(0)
        .start_job(CONTEXT, "long", "long", &config)
        .await
        .unwrap();
    let servers: Vec<u32> = (0..2)
        .filter_map(|index| cluster.server(index).pid())
        .collect();
    let is_engine = |left: &leftovers::Leftover| {
        !servers.contains(&left.pid) && left.command.split(' ').nth(1) != Some("store")
    };
    let engine = || {
        let mut found = leftovers::of_folder(cluster.path());
        found.retain(is_engine);
        found
    };
    wait::until("the job's process runs", SOON, async || {
        let found = engine();
        let runs = found
            .iter()
            .any(|left| left.command.contains("long_job") || left.command.contains("sleep"));
        if runs {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        }
    })
    .await
    .unwrap();
    send(drivers(&cluster)[0], Fault::Kill).unwrap();
    wait::until("no engine process", ENGINE_GONE_WITHIN, async || {
        let found = engine();
        if found.is_empty() {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        }
    })
    .await
    .unwrap();
    let report = cluster.api(1).wait_job(&job, "ERROR", SOON).await.unwrap();
    let message = report["result"]["message"]
        .as_str()
        .unwrap_or("")
        .to_owned();
    assert!(
        message.contains("Unexpected termination of context"),
        "{report}"
    );
    cluster
        .api(1)
        .wait_context(CONTEXT, &["KILLED"], SOON)
        .await
        .unwrap();
    // Its name is free again.
    cluster
        .api(0)
        .create_process_context(CONTEXT)
        .await
        .unwrap();
    stop_clean(cluster, &[CONTEXT]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_job_is_gone_and_its_slot_is_free() {
    let cluster = cluster_with_one_slot().await;
    let api = cluster.api(0);
    let config = json!({"seconds": 300});
    let job = api
        .start_job(CONTEXT, "long", "long", &config)
        .await
        .unwrap();
    let query = [
        ("cp", "quick"),
        ("mainClass", "quick"),
        ("context", CONTEXT),
    ];
    let refused = api
        .submit(&query, &json!({}))
        .await
        .unwrap()
        .expect(&[503])
        .unwrap();
    assert_eq!(refused.json()["status"], "NO SLOTS AVAILABLE");
    let text = format!("Too many running jobs (1) for job context '{CONTEXT}'");
    assert_eq!(refused.result(), text);
    let killed = api
        .call(doyen_tests::http::Call::delete(format!("/jobs/{job}")))
        .await
        .unwrap();
    assert_eq!(
        killed.expect(&[200]).unwrap().json(),
        json!({"status": "KILLED"})
    );
    let report = api.wait_job(&job, "KILLED", SOON).await.unwrap();
    assert!(
        report["result"]["message"]
            .as_str()
            .unwrap()
            .starts_with("Job "),
        "{report}"
    );
    wait::until("the slot is free", SOON, async || {
        let reply = api
            .submit(&query, &json!({}))
            .await
            .map_err(|e| e.to_string())?;
        if reply.status == 202 {
            Ok(())
        } else {
            Err(reply.brief())
        }
    })
    .await
    .unwrap();
    let sleeping = leftovers::of_folder(cluster.path());
    assert!(
        !sleeping
            .iter()
            .any(|left| left.command.contains("sleep 300")),
        "{sleeping:?}"
    );
    stop_clean(cluster, &[CONTEXT]).await;
}

async fn cluster_with_one_slot() -> doyen_tests::cluster::Cluster {
    let extra = "spark.jobserver.max-jobs-per-context = 1";
    let cluster = doyen_tests::fixtures::cluster_with(1, extra).await;
    let api = cluster.api(0);
    for (name, file) in [("quick", "quick_job"), ("long", "long_job")] {
        api.upload_executable(name, executable(file).unwrap())
            .await
            .unwrap();
    }
    api.create_process_context(CONTEXT).await.unwrap();
    cluster
}
