//! Real Spark: Python wheels in local mode. `cargo xtask ci` and `cargo xtask test` name a Python
//! with PySpark in DOYEN_TEST_PYTHON; without it these tests say so and pass.
#![allow(clippy::unwrap_used, reason = "a test tells what broke by panicking")]

use doyen_tests::api::Api;
use doyen_tests::fixtures::{CONTEXT, cluster, drivers, example_wheel, stop_clean};
use doyen_tests::http::Call;
use doyen_tests::program::spark_python;
use doyen_tests::wheel;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// A JVM and a Spark session on a busy machine.
const SPARK_SOON: Duration = Duration::from_secs(90);
const FACTORY: (&str, &str) = (
    "context-factory",
    "spark.jobserver.python.PythonSessionContextFactory",
);

fn has_spark() -> bool {
    let has = spark_python().is_some();
    if !has {
        eprintln!(
            "skipped: DOYEN_TEST_PYTHON names no Python with PySpark; use `cargo xtask test`"
        );
    }
    has
}

async fn prepare(api: &Api) {
    api.upload_wheel("examples", example_wheel().unwrap())
        .await
        .unwrap();
    api.create_context(CONTEXT, &[FACTORY])
        .await
        .unwrap()
        .expect(&[200])
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_word_count_runs_through_each_server_and_a_long_job_outlives_the_oldest() {
    if !has_spark() {
        return;
    }
    let mut cluster = cluster(3).await;
    prepare(&cluster.api(0)).await;
    let class = "example_jobs.word_count.WordCountSparkSessionJob";
    let config = json!({"input": {"strings": ["a b", "b c b"]}});
    for index in 0..3 {
        let counts = cluster
            .api(index)
            .run_job(CONTEXT, "examples", class, &config)
            .await;
        let counts: BTreeMap<String, u64> = serde_json::from_value(counts.unwrap()).unwrap();
        let expected = [("a", 1), ("b", 3), ("c", 1)].map(|(word, n)| (word.to_owned(), n));
        assert_eq!(counts, BTreeMap::from(expected), "server {index}");
    }
    let long = "example_jobs.long_job.LongJob";
    let api = cluster.api(2);
    let job = api
        .start_job(CONTEXT, "examples", long, &json!({"seconds": 10}))
        .await
        .unwrap();
    let before = drivers(&cluster);
    let victim = cluster.holder().await.unwrap();
    cluster.kill(victim).await.unwrap();
    cluster.start_server(victim).unwrap();
    cluster.wait_up(&[0, 1, 2]).await.unwrap();
    let report = cluster
        .api(victim)
        .wait_job(&job, "FINISHED", SPARK_SOON)
        .await
        .unwrap();
    assert!(!report["result"].is_null(), "{report}");
    assert_eq!(drivers(&cluster), before);
    stop_clean(cluster, &[CONTEXT]).await;
}

/// A wheel with this module `bad`.
fn wheel_of(source: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let package = folder.path().join("bad_jobs");
    std::fs::create_dir(&package).unwrap();
    std::fs::write(package.join("__init__.py"), "").unwrap();
    std::fs::write(package.join("bad.py"), source).unwrap();
    wheel::build(folder.path(), "bad_jobs", "1.0").unwrap()
}

const BAD_JOBS: &str = r#"
from sparkjobserver.api import SparkJob, build_problems


class Base(SparkJob):
    def validate(self, context, runtime, config):
        return config

    def run_job(self, context, runtime, data):
        return 1


class RaisesInValidate(Base):
    def validate(self, context, runtime, config):
        raise ValueError("validate is broken")


class Refuses(Base):
    def validate(self, context, runtime, config):
        return build_problems(["no such thing"])


class RaisesInRun(Base):
    def run_job(self, context, runtime, data):
        raise ValueError("run is broken")


class Never(Base):
    def run_job(self, context, runtime, data):
        import time
        while True:
            time.sleep(1)


class Exits(Base):
    def run_job(self, context, runtime, data):
        import os
        os._exit(9)
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_jobs_are_told_and_the_context_serves_on() {
    if !has_spark() {
        return;
    }
    let cluster = cluster(1).await;
    let api = cluster.api(0);
    prepare(&api).await;
    api.upload_wheel("bad", wheel_of(BAD_JOBS)).await.unwrap();
    let whole = example_wheel().unwrap();
    api.upload_wheel("cut", whole[..whole.len() / 2].to_vec())
        .await
        .unwrap();
    check_refusals(&api).await;
    check_failures(&api).await;
    let class = "example_jobs.word_count.WordCountSparkSessionJob";
    let config = json!({"input": {"strings": ["a"]}});
    let counts = api
        .run_job(CONTEXT, "examples", class, &config)
        .await
        .unwrap();
    assert_eq!(counts, json!({"a": 1}), "the context serves on");
    stop_clean(cluster, &[CONTEXT]).await;
}

/// Jobs that are refused before they run: nothing of them is listed.
async fn check_refusals(api: &Api) {
    let submit = async |binary: &str, class: &str| {
        let query = [("cp", binary), ("mainClass", class), ("context", CONTEXT)];
        api.submit(&query, &Value::Null).await.unwrap()
    };
    for (binary, class, status, part) in [
        ("bad", "bad_jobs.bad.Missing", 404, "bad_jobs.bad.Missing"),
        (
            "bad",
            "bad_jobs.nowhere.Missing",
            404,
            "bad_jobs.nowhere.Missing",
        ),
        ("bad", "bad_jobs.bad.Refuses", 400, "no such thing"),
        (
            "cut",
            "example_jobs.word_count.WordCountSparkSessionJob",
            400,
            "JOB LOADING FAILED",
        ),
    ] {
        let reply = submit(binary, class).await;
        assert_eq!(reply.status, status, "{class}: {}", reply.brief());
        assert!(reply.text().contains(part), "{class}: {}", reply.brief());
    }
    let class = "example_jobs.word_count.WordCountSparkSessionJob";
    let empty = submit("examples", class).await.expect(&[400]).unwrap();
    assert_eq!(
        empty.json()["status"],
        "VALIDATION FAILED",
        "{}",
        empty.brief()
    );
    let listed = api.get("/jobs").await.unwrap().json();
    assert_eq!(listed, json!([]), "refused jobs are not listed");
}

/// Jobs that fail, or never end. One that raises in validate is an ordinary job error (job-api.md 9),
/// unlike one that returns problems; but it was never acknowledged, so its error is the answer, also
/// to a client that does not wait (rest-api.md 5.4).
async fn check_failures(api: &Api) {
    let class = "bad_jobs.bad.RaisesInValidate";
    for sync in ["false", "true"] {
        let query = [
            ("cp", "bad"),
            ("mainClass", class),
            ("context", CONTEXT),
            ("sync", sync),
            ("timeout", "30"),
        ];
        let reply = api.submit(&query, &Value::Null).await.unwrap();
        let reply = reply.expect(&[200]).unwrap();
        let answer = reply.json();
        assert_eq!(answer["status"], "ERROR", "{}", reply.brief());
        assert_eq!(answer["result"]["message"], "validate is broken");
        assert_eq!(answer["result"]["errorClass"], "ValueError");
        let id = answer["jobId"].as_str().unwrap();
        let report = api.job(id).await.unwrap();
        assert_eq!(report["status"], "ERROR", "it is kept: {report}");
    }
    for (class, part) in [("RaisesInRun", "run is broken"), ("Exits", "9")] {
        let class = format!("bad_jobs.bad.{class}");
        let job = api
            .start_job(CONTEXT, "bad", &class, &Value::Null)
            .await
            .unwrap();
        let report = api.wait_job(&job, "ERROR", SPARK_SOON).await.unwrap();
        assert!(
            report["result"].to_string().contains(part),
            "{class}: {report}"
        );
    }
    let class = "bad_jobs.bad.Never";
    let never = api
        .start_job(CONTEXT, "bad", class, &Value::Null)
        .await
        .unwrap();
    let killed = api
        .call(Call::delete(format!("/jobs/{never}")))
        .await
        .unwrap();
    killed.expect(&[200]).unwrap();
    api.wait_job(&never, "KILLED", SPARK_SOON).await.unwrap();
}
