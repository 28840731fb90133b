//! Hosts on which the engine `spark` cannot start: creating its context says what to install and
//! which engine needs none of it, and the server serves on.
#![allow(clippy::unwrap_used, reason = "a test tells what broke by panicking")]

use doyen_tests::cluster::{Cluster, Options};
use doyen_tests::fixtures::{CONTEXT, SOON, prepare_process_context, stop_clean};
use doyen_tests::program::{find_doyen, spark_python};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// A server that sees these variables, and whose contexts use this Python.
async fn server(python: &Path, environment: &[(&str, &str)]) -> Cluster {
    let mut options = Options::new(find_doyen(), 1);
    options.python = Some(python.to_owned());
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    options.environment = environment.iter().map(pair).collect();
    Cluster::start(options).await.unwrap()
}

/// Creates a context of `spark`, which fails with all of these words and is listed so; then a
/// `process` context runs a job on the same server.
async fn spark_is_refused_and_process_works(mut cluster: Cluster, parts: &[&str]) {
    let api = cluster.api(0);
    let settings = [("doyen.engine", "spark")];
    let reply = api.create_context("sparkless", &settings).await.unwrap();
    let reply = reply.expect(&[500]).unwrap();
    let body = reply.json();
    assert_eq!(body["status"], "CONTEXT INIT ERROR", "{}", reply.brief());
    let message = body["result"]["message"].as_str().unwrap_or_default();
    for part in parts.iter().chain(&["doyen.engine = process"]) {
        assert!(message.contains(part), "no `{part}` in: {message}");
    }
    api.wait_context("sparkless", &["ERROR"], SOON)
        .await
        .unwrap();
    assert_eq!(cluster.ended(&[0]), [], "the server lives");
    prepare_process_context(&api).await.unwrap();
    let result = api.run_job(CONTEXT, "quick", "quick", &Value::Null).await;
    assert_eq!(result.unwrap(), json!({"ok": true}));
    stop_clean(cluster, &[CONTEXT]).await;
}

/// `path` and `java_home` have no Java in them; the answer names this place and the remedies.
async fn java_is_missing(path: &str, java_home: &str, place: &str) {
    let Some(python) = spark_python() else {
        eprintln!("skipped: DOYEN_TEST_PYTHON names no Python; use `cargo xtask test`");
        return;
    };
    let cluster = server(&python, &[("PATH", path), ("JAVA_HOME", java_home)]).await;
    let install = "Install Java 11 or 17, e.g. `apt-get install openjdk-17-jre-headless`";
    let parts = ["Java is not there", place, install, "set JAVA_HOME"];
    spark_is_refused_and_process_works(cluster, &parts).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_java_in_path_the_answer_says_to_install_it() {
    let empty = tempfile::tempdir().unwrap();
    let path = empty.path().to_str().unwrap();
    java_is_missing(path, "", "no `java` is in PATH").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_java_home_without_java_is_named() {
    let empty = tempfile::tempdir().unwrap();
    let home = empty.path().to_str().unwrap();
    java_is_missing(home, home, &format!("JAVA_HOME is {home}")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_pyspark_the_answer_says_how_to_install_it_for_this_python() {
    let folder = tempfile::tempdir().unwrap();
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv", "--without-pip"])
        .arg(folder.path());
    assert!(venv.status().unwrap().success(), "python3 -m venv");
    let python = folder.path().join("bin/python");
    let cluster = server(&python, &[]).await;
    let install = format!("`{} -m pip install pyspark==", python.display());
    let parts = ["PySpark is not there", &install, "python.executable"];
    spark_is_refused_and_process_works(cluster, &parts).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_python_the_answer_names_the_path_and_what_to_install() {
    let cluster = server(Path::new("/no/such/python"), &[]).await;
    let parts = [
        "/no/such/python",
        "Install Python 3.8 or later with `pip install pyspark==",
        "python.executable",
    ];
    spark_is_refused_and_process_works(cluster, &parts).await;
}
