//! `Idempotency-Key`: the same request, sent again anywhere, is done once (protocol.md C5).
#![allow(clippy::unwrap_used, reason = "a test tells what broke by panicking")]

use doyen_tests::api::path;
use doyen_tests::cluster::Cluster;
use doyen_tests::fixtures::{CONTEXT, SOON, cluster, prepare_process_context, stop_clean};
use doyen_tests::http::{Call, Reply};
use doyen_tests::wait;
use serde_json::json;
use std::collections::BTreeSet;

fn job(key: &str, body: &str) -> Call {
    let query = [
        ("cp", "quick"),
        ("mainClass", "quick"),
        ("context", CONTEXT),
    ];
    Call::post(path("/jobs", &query), body.to_owned()).header("idempotency-key", key)
}

fn context(key: &str, name: &str, body: &str) -> Call {
    let path = path(&format!("/contexts/{name}"), &[("doyen.engine", "process")]);
    Call::post(path, body.to_owned()).header("idempotency-key", key)
}

/// A job for a context of its own.
fn alone(key: &str, input: u32) -> Call {
    let settings = json!({"context-settings": {"doyen": {"engine": "process"}}});
    let body = json!({"spark": settings, "input": input});
    let query = [("cp", "quick"), ("mainClass", "quick"), ("timeout", "30")];
    Call::post(path("/jobs", &query), body.to_string()).header("idempotency-key", key)
}

/// The contexts whose attempts ended, as the servers tell.
fn ended(cluster: &Cluster) -> BTreeSet<String> {
    let events = (0..cluster.len()).flat_map(|index| cluster.events(index, 0.0));
    events
        .filter(|event| event.name == "attempt-ended")
        .map(|event| event.text("context"))
        .collect()
}

fn job_id(reply: &Reply) -> String {
    reply.json()["jobId"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_with_a_key_runs_once_whichever_server_is_asked() {
    let cluster = cluster(3).await;
    prepare_process_context(&cluster.api(0)).await.unwrap();
    let first = cluster
        .api(0)
        .call(job("k-1", "{\"a\":1}"))
        .await
        .unwrap()
        .expect(&[202])
        .unwrap();
    let id = job_id(&first);
    assert!(!id.is_empty());
    for index in 0..3 {
        let again = cluster
            .api(index)
            .call(job("k-1", "{\"a\":1}"))
            .await
            .unwrap();
        assert_eq!(job_id(&again.expect(&[202, 200]).unwrap()), id);
    }
    let other = cluster.api(1).call(job("k-2", "{\"a\":1}")).await.unwrap();
    assert_ne!(
        job_id(&other.expect(&[202]).unwrap()),
        id,
        "another key is another job"
    );
    let mismatch = cluster.api(2).call(job("k-1", "{\"a\":2}")).await.unwrap();
    assert_eq!(mismatch.status, 422, "{}", mismatch.brief());
    let jobs = cluster.api(2).get("/jobs").await.unwrap().json();
    assert_eq!(jobs.as_array().unwrap().len(), 2, "{jobs}");
    stop_clean(cluster, &[CONTEXT]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_key_sent_to_all_servers_at_once_makes_one_job() {
    let cluster = cluster(3).await;
    prepare_process_context(&cluster.api(0)).await.unwrap();
    let apis = [cluster.api(0), cluster.api(1), cluster.api(2)];
    let (a, b, c) = tokio::join!(
        apis[0].call(job("race", "{}")),
        apis[1].call(job("race", "{}")),
        apis[2].call(job("race", "{}")),
    );
    let ids = [a, b, c].map(|reply| job_id(&reply.unwrap().expect(&[202, 200]).unwrap()));
    assert!(
        ids.iter().all(|id| *id == ids[0] && !id.is_empty()),
        "{ids:?}"
    );
    stop_clean(cluster, &[CONTEXT]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_context_with_a_key_is_created_once_and_a_refusal_frees_the_key() {
    let cluster = cluster(3).await;
    for index in 0..3 {
        let created = cluster
            .api(index)
            .call(context("k-3", "keyed", ""))
            .await
            .unwrap();
        let created = created.expect(&[200]).unwrap();
        assert_eq!(
            created.json()["result"],
            "Context initialized",
            "at server {index}"
        );
    }
    // Without the key the same request is a duplicate.
    let twice = cluster
        .api(1)
        .create_context("keyed", &[("doyen.engine", "process")])
        .await;
    let twice = twice.unwrap().expect(&[400]).unwrap();
    assert_eq!(
        twice.json(),
        json!({"status": "ERROR", "result": "context keyed exists"})
    );
    let refused = cluster
        .api(0)
        .call(context("k-4", "keyed", ""))
        .await
        .unwrap();
    refused.expect(&[400]).unwrap();
    let used = cluster
        .api(2)
        .call(context("k-4", "fresh", ""))
        .await
        .unwrap();
    used.expect(&[200]).unwrap();
    stop_clean(cluster, &["keyed", "fresh"]).await;
}

/// The key protects both steps: the context's creation, and the job.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_keyed_job_without_a_context_at_all_servers_at_once_is_one_job_in_one_context() {
    let cluster = cluster(3).await;
    prepare_process_context(&cluster.api(0)).await.unwrap();
    let keys = ["a-1", "a-2", "a-3", "a-4"];
    let mut sent = tokio::task::JoinSet::new();
    for key in keys {
        for index in 0..3 {
            let api = cluster.api(index);
            sent.spawn(async move { (key, api.call(alone(key, 1)).await) });
        }
    }
    let mut seen = BTreeSet::new();
    for (key, reply) in sent.join_all().await {
        let reply = reply.unwrap().expect(&[202]).unwrap();
        let context = reply.json()["contextId"].as_str().unwrap().to_owned();
        seen.insert((key, job_id(&reply), context));
    }
    assert_eq!(seen.len(), keys.len(), "one job each: {seen:?}");
    let contexts: BTreeSet<_> = seen.iter().map(|(_, _, context)| context.clone()).collect();
    assert_eq!(contexts.len(), keys.len(), "{seen:?}");
    for (_, job, _) in &seen {
        let done = cluster.api(1).wait_job(job, "FINISHED", SOON).await;
        done.unwrap();
    }
    wait::until("the contexts are over", SOON, async || {
        let over = ended(&cluster);
        if over.len() >= keys.len() {
            Ok(())
        } else {
            Err(format!("{over:?}"))
        }
    })
    .await
    .unwrap();
    // Long after: the same job, and no context for it.
    for (key, job, _) in &seen {
        for index in 0..3 {
            let again = cluster.api(index).call(alone(key, 1)).await.unwrap();
            assert_eq!(job_id(&again.expect(&[202]).unwrap()), *job);
        }
        let other = cluster.api(2).call(alone(key, 2)).await.unwrap();
        other.expect(&[422]).unwrap();
    }
    // An attempt is ended a few steps before its context is.
    wait::until("no ad-hoc context runs", SOON, async || {
        let names = cluster.api(0).get("/contexts").await.unwrap().json();
        if names == json!([CONTEXT]) {
            Ok(())
        } else {
            Err(names.to_string())
        }
    })
    .await
    .unwrap();
    assert_eq!(ended(&cluster), contexts, "no other context was ever made");
    stop_clean(cluster, &[CONTEXT]).await;
}

/// A job that is refused frees its key, and its context that of its creation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyed_job_without_a_context_that_is_refused_may_be_sent_again() {
    let cluster = cluster(3).await;
    prepare_process_context(&cluster.api(0)).await.unwrap();
    let bad = b"no program".to_vec();
    let api = cluster.api(0);
    api.upload_executable("quick", bad).await.unwrap();
    let refused = api.call(alone("a-5", 1)).await.unwrap();
    refused.expect(&[400]).unwrap();
    let good = doyen_tests::fixtures::executable("quick_job").unwrap();
    api.upload_executable("quick", good).await.unwrap();
    let taken = cluster.api(1).call(alone("a-5", 1)).await.unwrap();
    let taken = taken.expect(&[202]).unwrap();
    let again = cluster.api(2).call(alone("a-5", 1)).await.unwrap();
    assert_eq!(job_id(&again.expect(&[202]).unwrap()), job_id(&taken));
    let done = api.wait_job(&job_id(&taken), "FINISHED", SOON).await;
    done.unwrap();
    stop_clean(cluster, &[CONTEXT]).await;
}
