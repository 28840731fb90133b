//! Bad input over HTTP: each with a clear answer, and nothing lost (issue 4).
#![allow(clippy::unwrap_used, reason = "a test tells what broke by panicking")]

use doyen_tests::api::{Api, path};
use doyen_tests::fixtures::{CONTEXT, SOON, cluster, prepare_process_context, stop_clean};
use doyen_tests::http::Call;
use doyen_tests::procfs;
use serde_json::{Value, json};
use std::time::Duration;

const UNKNOWN_JOB: &str = "0d5f7c2a-8f0e-4f0f-9c55-b0a3f3c8a001";

/// A call, the status and a part of the result that it must be answered with.
type Case = (&'static str, Call, u16, &'static str);

fn submit(query: &[(&str, &str)], body: impl Into<String>) -> Call {
    Call::post(path("/jobs", query), body.into())
}

fn upload(media: &'static str, body: impl Into<Vec<u8>>) -> Call {
    Call::post("/binaries/bad", body.into()).header("content-type", media)
}

async fn check(api: &Api, cases: Vec<Case>) {
    for (what, call, status, part) in cases {
        let reply = api
            .call(call)
            .await
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        let (got, text) = (reply.status, reply.text());
        assert!(
            got == status && text.contains(part),
            "{what}: expected {status} {part}, got {got} {text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_and_duplicate_names_are_told_as_the_predecessor_tells_them() {
    let cluster = cluster(1).await;
    let api = cluster.api(0);
    prepare_process_context(&api).await.unwrap();
    check(&api, unknown_names()).await;
    check(&api, unfit_requests()).await;
    stop_clean(cluster, &[CONTEXT]).await;
}

fn unknown_names() -> Vec<Case> {
    let job = |rest: &str| format!("/jobs/{UNKNOWN_JOB}{rest}");
    let get = |path: &str| Call::get(path);
    let delete = |path: &str| Call::delete(path);
    let in_work = [("cp", "nope"), ("mainClass", "x"), ("context", CONTEXT)];
    let in_none = [("cp", "quick"), ("mainClass", "x"), ("context", "nope")];
    vec![
        (
            "context",
            get("/contexts/nope"),
            404,
            "can't find context with name nope",
        ),
        (
            "context to delete",
            delete("/contexts/nope"),
            404,
            "context nope not found",
        ),
        ("job", get(&job("")), 404, "No such job ID"),
        ("job's config", get(&job("/config")), 404, "No such job ID"),
        ("job to kill", delete(&job("")), 404, "No such job ID"),
        (
            "no job id at all",
            get("/jobs/nonsense"),
            404,
            "No such job ID nonsense",
        ),
        (
            "binary",
            get("/binaries/nope"),
            404,
            "Can't find binary with name nope",
        ),
        (
            "binary to delete",
            delete("/binaries/nope"),
            404,
            "can't find binary with name nope",
        ),
        (
            "job's binary",
            submit(&in_work, ""),
            404,
            "appName nope not found",
        ),
        (
            "job's context",
            submit(&in_none, ""),
            404,
            "context nope not found",
        ),
    ]
}

fn unfit_requests() -> Vec<Case> {
    let context = |rest: &str| Call::post(format!("/contexts/{rest}"), "");
    let duplicate = context("work?doyen.engine=process");
    let reset = Call::new(hyper::Method::PUT, "/contexts?reset=reboot");
    let no_path = "To start the job appName or cp parameters should be configured!";
    let no_class = "mainClass parameter is missing!";
    vec![
        ("duplicate context", duplicate, 400, "context work exists"),
        (
            "no name",
            context("1st"),
            400,
            "context name must start with letters",
        ),
        (
            "no class path",
            submit(&[("mainClass", "x")], ""),
            400,
            no_path,
        ),
        ("no class", submit(&[("cp", "quick")], ""), 400, no_class),
        (
            "a limit that is no number",
            Call::get("/jobs?limit=many"),
            400,
            "limit",
        ),
        (
            "no such engine",
            context("odd?doyen.engine=steam"),
            400,
            "steam",
        ),
        ("not built yet", reset, 501, "reset"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_are_empty_huge_cyclic_or_deep_are_refused_and_the_server_lives() {
    let cluster = cluster(1).await;
    let api = cluster.api(0);
    prepare_process_context(&api).await.unwrap();
    check(&api, bad_uploads()).await;
    check(&api, bad_configurations()).await;
    // 31 MiB: over the limit. The answer may come before the body is read, so a broken pipe is
    // an answer too; what matters is that nothing was stored and memory did not grow.
    let before = procfs::resident_bytes(cluster.server(0).pid().unwrap()).unwrap();
    let huge = vec![b'P'; 31 * 1024 * 1024];
    if let Ok(reply) = api.call(upload("application/python-wheel", huge)).await {
        assert_eq!(reply.status, 413, "{}", reply.brief());
    }
    let after = procfs::resident_bytes(cluster.server(0).pid().unwrap()).unwrap();
    assert!(
        after < before + 16 * 1024 * 1024,
        "memory grew from {before} to {after}"
    );
    let binaries = api.get("/binaries").await.unwrap().json();
    assert_eq!(binaries.get("bad"), None, "{binaries}");
    let result = api
        .run_job(CONTEXT, "quick", "quick", &Value::Null)
        .await
        .unwrap();
    assert_eq!(result, json!({"ok": true}), "the server lives");
    stop_clean(cluster, &[CONTEXT]).await;
}

fn bad_uploads() -> Vec<Case> {
    let wheel = |body: &str| upload("application/python-wheel", body);
    let zip = "PK\x03\x04xx";
    let untyped = Call::post("/binaries/bad", zip);
    vec![
        ("empty", wheel(""), 400, "Binary is not of the right format"),
        (
            "no ZIP",
            wheel("hello there"),
            400,
            "Binary is not of the right format",
        ),
        ("no type", untyped, 415, "Unsupported binary type"),
        (
            "odd type",
            upload("text/html", zip),
            415,
            "Unsupported binary type text/html",
        ),
    ]
}

fn bad_configurations() -> Vec<Case> {
    let job = |body: String| {
        submit(
            &[
                ("cp", "quick"),
                ("mainClass", "quick"),
                ("context", CONTEXT),
            ],
            body,
        )
    };
    let text = |body: &str| job(body.to_owned());
    let brackets = format!("a={}", "[".repeat(100_000));
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let twice = text("a = ${b}\na = ${b}\nb = ${a}\nb = ${a}");
    let parse = "Cannot parse config";
    vec![
        ("cycle", text("a = ${b}\nb = ${a}"), 400, parse),
        ("cycle twice", twice, 400, parse),
        ("cycle of one", text("a = ${a}"), 400, parse),
        ("unresolved", text("a = ${nowhere}"), 400, parse),
        ("unbalanced", text("{ a = [1, 2"), 400, parse),
        ("100,000 brackets", job(brackets.clone()), 400, parse),
        ("100,000 braces", job("a={".repeat(100_000)), 400, parse),
        ("deep JSON", job(deep), 400, parse),
        (
            "brackets for a context",
            Call::post("/contexts/odd", brackets),
            400,
            "",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_of_30_mib_is_streamed_in_constant_memory_and_read_back_by_a_job() {
    let cluster = cluster(2).await;
    let api = cluster.api(0);
    let pid = cluster.server(0).pid().unwrap();
    let before = procfs::resident_bytes(pid).unwrap();
    let mut script = b"#!/bin/sh\nwc -c < \"$0\" >&3\nexit 0\n".to_vec();
    script.resize(29 * 1024 * 1024, b'#');
    api.upload_executable("big", script).await.unwrap();
    let after = procfs::resident_bytes(pid).unwrap();
    assert!(
        after < before + 12 * 1024 * 1024,
        "memory grew from {before} to {after}"
    );
    cluster
        .api(1)
        .create_process_context(CONTEXT)
        .await
        .unwrap();
    let result = cluster
        .api(1)
        .run_job(CONTEXT, "big", "big", &Value::Null)
        .await
        .unwrap();
    assert_eq!(result, json!(29 * 1024 * 1024), "whole at the other server");
    stop_clean(cluster, &[CONTEXT]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_that_behave_badly_end_with_an_error_that_shows_their_last_words() {
    let cluster = cluster(1).await;
    let api = cluster.api(0);
    prepare_process_context(&api).await.unwrap();
    for (class, part) in [("fails", "the last words"), ("nonsense", "JSON")] {
        let job = api
            .start_job(CONTEXT, "brute", class, &Value::Null)
            .await
            .unwrap();
        let report = api.wait_job(&job, "ERROR", SOON).await.unwrap();
        assert!(
            report["result"].to_string().contains(part),
            "{class}: {report}"
        );
        assert!(report["result"]["message"].is_string(), "{class}: {report}");
    }
    let query = [
        ("cp", "brute"),
        ("mainClass", "fails"),
        ("context", CONTEXT),
        ("sync", "true"),
        ("timeout", "30"),
    ];
    let reply = api
        .submit(&query, &Value::Null)
        .await
        .unwrap()
        .expect(&[200])
        .unwrap();
    assert_eq!(reply.json()["status"], "ERROR", "{}", reply.brief());
    let silent = api
        .start_job(CONTEXT, "brute", "silent", &Value::Null)
        .await
        .unwrap();
    let report = api.wait_job(&silent, "FINISHED", SOON).await.unwrap();
    assert!(report.get("result").is_none_or(Value::is_null), "{report}");
    let never = api
        .start_job(CONTEXT, "brute", "never", &Value::Null)
        .await
        .unwrap();
    let killed = api
        .call(Call::delete(format!("/jobs/{never}")))
        .await
        .unwrap();
    killed.expect(&[200]).unwrap();
    api.wait_job(&never, "KILLED", SOON).await.unwrap();
    stop_clean(cluster, &[CONTEXT]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_prints_a_gigabyte_finishes_and_fills_no_disk() {
    let cluster = cluster(1).await;
    let api = cluster.api(0);
    prepare_process_context(&api).await.unwrap();
    let job = api
        .start_job(CONTEXT, "brute", "prints", &Value::Null)
        .await
        .unwrap();
    let report = api
        .wait_job(&job, "FINISHED", Duration::from_secs(120))
        .await
        .unwrap();
    assert_eq!(report["result"], "printed");
    let kept = folder_bytes(cluster.path());
    assert!(kept < 200 * 1024 * 1024, "{kept} bytes of output are kept");
    stop_clean(cluster, &[CONTEXT]).await;
}

fn folder_bytes(folder: &std::path::Path) -> u64 {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(data) = entry.metadata() else { continue };
        bytes += if data.is_dir() {
            folder_bytes(&entry.path())
        } else {
            data.len()
        };
    }
    bytes
}
