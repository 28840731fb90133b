//! Every server serves everything, and a write acknowledged by one is seen at every other.
#![allow(clippy::unwrap_used, reason = "a test tells what broke by panicking")]

use doyen_tests::fixtures::{CONTEXT, SOON, cluster, prepare_process_context, stop_clean};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_runs_through_each_server_and_is_read_at_each_other_at_once() {
    let cluster = cluster(3).await;
    prepare_process_context(&cluster.api(0)).await.unwrap();
    for index in 0..3 {
        let job = cluster
            .api(index)
            .start_job(CONTEXT, "quick", "quick", &json!({"n": index}))
            .await;
        let job = job.unwrap();
        for other in 0..3 {
            // Right after the acknowledgement: a 404 here is a lost write.
            let report = cluster.api(other).job(&job).await.unwrap();
            assert_eq!(report["jobId"], job.as_str());
            assert_eq!(report["context"], CONTEXT);
            assert_eq!(report["classPath"], "quick");
        }
        for other in 0..3 {
            let report = cluster
                .api(other)
                .wait_job(&job, "FINISHED", SOON)
                .await
                .unwrap();
            assert_eq!(report["result"], json!({"ok": true}));
            assert!(
                report["duration"].as_str().unwrap().ends_with(" secs"),
                "{report}"
            );
            let config = cluster
                .api(other)
                .get(format!("/jobs/{job}/config"))
                .await
                .unwrap();
            assert_eq!(config.expect(&[200]).unwrap().json()["n"], index);
        }
    }
    let listed = cluster.api(2).get("/jobs").await.unwrap().json();
    assert_eq!(listed.as_array().unwrap().len(), 3, "{listed}");
    stop_clean(cluster, &[CONTEXT]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contexts_and_binaries_written_at_one_server_are_seen_at_the_next_read_of_every_other() {
    let cluster = cluster(3).await;
    prepare_process_context(&cluster.api(0)).await.unwrap();
    for index in 0..3 {
        let name = format!("by-{index}");
        let api = cluster.api(index);
        let created = api.create_context(&name, &[("doyen.engine", "process")]);
        let created = created.await.unwrap().expect(&[200]).unwrap();
        assert_eq!(
            created.json(),
            json!({"status": "SUCCESS", "result": "Context initialized"})
        );
        for other in 0..3 {
            let api = cluster.api(other);
            let listed = api.get("/contexts").await.unwrap().json();
            assert!(
                listed.as_array().unwrap().contains(&json!(name)),
                "{listed}"
            );
            assert_eq!(api.context_state(&name).await.unwrap(), "RUNNING");
            let binaries = api.get("/binaries").await.unwrap().json();
            assert_eq!(binaries["quick"]["binary-type"], "Executable", "{binaries}");
        }
        let next = (index + 1) % 3;
        let deleted = cluster.api(next).delete_context(&name).await.unwrap();
        deleted.expect(&[200, 202]).unwrap();
        for other in 0..3 {
            let listed = cluster.api(other).get("/contexts").await.unwrap().json();
            assert!(
                !listed.as_array().unwrap().contains(&json!(name)),
                "{listed}"
            );
            let api = cluster.api(other);
            api.wait_context(&name, &["FINISHED"], SOON).await.unwrap();
        }
    }
    stop_clean(cluster, &[CONTEXT]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_view_of_the_cluster_is_the_same_everywhere() {
    let cluster = cluster(3).await;
    let holder = cluster.holder().await.unwrap();
    for index in 0..3 {
        let body = cluster
            .api(index)
            .get("/cluster")
            .await
            .unwrap()
            .expect(&[200])
            .unwrap();
        let body = body.json();
        let members = body["members"].as_array().unwrap();
        assert_eq!(members.len(), 3, "{body}");
        for name in [
            "address",
            "incarnation",
            "status",
            "age",
            "role",
            "version",
            "reachable",
        ] {
            assert!(
                members.iter().all(|member| member.get(name).is_some()),
                "{name}: {body}"
            );
        }
        let state = cluster.state(index).await.unwrap();
        assert_eq!(state.holder, Some(cluster.server(holder).address()));
        assert_eq!(state.epoch, 1);
        for path in ["/livez", "/readyz", "/healthz"] {
            cluster
                .api(index)
                .get(path)
                .await
                .unwrap()
                .expect(&[200])
                .unwrap();
        }
    }
    stop_clean(cluster, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn synchronous_jobs_and_ad_hoc_contexts_answer_with_the_result() {
    let cluster = cluster(1).await;
    let api = cluster.api(0);
    prepare_process_context(&api).await.unwrap();
    let result = api
        .run_job(CONTEXT, "quick", "quick", &Value::Null)
        .await
        .unwrap();
    assert_eq!(result, json!({"ok": true}));
    let query = [
        ("cp", "quick"),
        ("mainClass", "quick"),
        ("sync", "true"),
        ("timeout", "30"),
    ];
    let body = json!({"spark": {"context-settings": {"doyen": {"engine": "process"}}}});
    let reply = api
        .submit(&query, &body)
        .await
        .unwrap()
        .expect(&[200])
        .unwrap();
    assert_eq!(
        reply.json()["result"],
        json!({"ok": true}),
        "{}",
        reply.brief()
    );
    let job = reply.json()["jobId"].as_str().unwrap().to_owned();
    let context = api.job(&job).await.unwrap()["context"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(context.ends_with("-quick"), "{context}");
    api.wait_context(&context, &["FINISHED"], SOON)
        .await
        .unwrap();
    stop_clean(cluster, &[CONTEXT]).await;
}
