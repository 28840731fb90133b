//! The engine `spark`, on a real JVM in local mode.

use crate::harness::{Trial, bytes_below, failure, finished, killed, running, until};
use doyen::engine::process_table::descendants_of;
use doyen_core::identity::JobId;
use doyen_core::input::EffectReport;
use doyen_core::records::job::{BinaryType, ClassPathEntry, JobRefusal, Payload};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A Python that has PySpark.
fn python() -> String {
    let prepared = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../target/pyspark-venv/bin/python"
    );
    let python = std::env::var("DOYEN_TEST_PYTHON").unwrap_or_else(|_| prepared.to_owned());
    assert!(
        Path::new(&python).exists(),
        "{python} is not there. Make it with `python3 -m venv target/pyspark-venv && \
         target/pyspark-venv/bin/pip install pyspark==3.5.6`, or name one by DOYEN_TEST_PYTHON"
    );
    python
}

/// The shipped example jobs as a wheel.
fn wheel() -> PathBuf {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/drivers/examples/wordcount");
        let made = Command::new(python())
            .args(["-m", "zipfile", "-c"])
            .arg(folder.path().join("example_jobs.whl"))
            .arg("example_jobs")
            .current_dir(sources)
            .status()
            .unwrap();
        assert!(made.success());
        folder
    });
    folder.path().join("example_jobs.whl")
}

fn entry(path: &Path, hash: &str) -> ClassPathEntry {
    ClassPathEntry {
        name: path.to_string_lossy().into_owned(),
        binary_type: BinaryType::Wheel,
        hash: Some(hash.into()),
    }
}

async fn ready() -> Trial {
    let settings = json!({
        "python.executable": python(),
        "memory-per-node": "512m",
        "spark": {"sql": {"shuffle.partitions": 2}, "executor.memory": "600m"},
        "launcher": {"spark.driver.memory": "512m"},
    });
    let trial = Trial::new(&settings.to_string()).await;
    let application = trial.expect_ready().await.unwrap();
    assert!(application.starts_with("local-"), "{application}");
    trial
}

async fn submit(trial: &Trial, id: &str, class: &str, config: &Value) {
    let class = format!("example_jobs.{class}");
    let path = vec![entry(&wheel(), "wheel")];
    trial
        .submit_with(id, path, &class, &config.to_string())
        .await;
}

/// Runs a job to its end; the report after `JobRunning`.
async fn run(trial: &Trial, id: &str, class: &str, config: Value) -> EffectReport {
    submit(trial, id, class, &config).await;
    assert_eq!(trial.next().await, running(id));
    trial.next().await
}

#[track_caller]
fn refusal(report: EffectReport) -> JobRefusal {
    match report {
        EffectReport::JobRefused { refusal, .. } => refusal,
        other => panic!("the job was not refused: {other:#?}"),
    }
}

#[track_caller]
fn loading_error(report: EffectReport) -> String {
    match refusal(report) {
        JobRefusal::LoadingFailed { error } => error.message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_python_package_passes_its_own_tests() {
    let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/drivers/python");
    let output = Command::new(python())
        .args(["-B", "-m", "unittest", "test_sparkjobserver"])
        .current_dir(sources)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("Ran 7 tests"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_count_words_fail_and_return_as_the_specification_has_it() {
    let trial = ready().await;
    results_are_mapped(&trial).await;
    failures_are_told(&trial).await;
    refusals_come_before_the_run(&trial).await;
    packages_are_checked(&trial).await;
    trial.stop().await;
    assert!(!trial.folder.temporary().exists());
}

async fn results_are_mapped(trial: &Trial) {
    let config = json!({"input": {"strings": ["a b", "b"]}});
    let report = run(trial, "a1", "word_count.WordCountSparkSessionJob", config).await;
    let EffectReport::JobFinished {
        result: Payload::Inline(text),
        ..
    } = report
    else {
        panic!("{report:#?}");
    };
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap(),
        json!({"a": 1, "b": 2})
    );

    let report = run(trial, "a2", "trials.OddResultsJob", json!({})).await;
    let text = r#"{"set": "[1, 2, 3]", "nan": null, "tuple": [20, 1250.0], "row": [1, "a"], "#;
    let text = text.to_owned()
        + r#""none": null, "big": "1180591620717411303424", "5": [true, "\u00e9"]}"#;
    assert_eq!(report, finished("a2", &text));

    let report = run(trial, "a3", "trials.EnvironmentJob", json!({})).await;
    let EffectReport::JobFinished {
        result: Payload::Inline(text),
        ..
    } = report
    else {
        panic!("{report:#?}");
    };
    let seen: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(seen["job"], "a3");
    assert_eq!(seen["context"], "600m");
    assert_eq!(seen["secret_in_sight"], false);

    let report = run(
        trial,
        "a4",
        "trials.LargeResultJob",
        json!({"bytes": 50000}),
    )
    .await;
    let result = Payload::Object("result-a4".into());
    let job = JobId::new("a4");
    assert_eq!(report, EffectReport::JobFinished { job, result });
    assert_eq!(
        trial.store.results.lock().unwrap()["result-a4"].len(),
        50_002
    );

    // The context is shared: a job cannot stop it for the others.
    let report = run(trial, "a5", "trials.StopsContextJob", json!({})).await;
    assert_eq!(report, finished("a5", "3"));
    let report = run(trial, "a6", "trials.LoudJob", json!({"bytes": 30_000_000})).await;
    assert_eq!(report, finished("a6", "\"printed\""));
    assert!(bytes_below(&trial.folder.jobs()) < 9 * 1024 * 1024);
}

async fn failures_are_told(trial: &Trial) {
    let error = failure(run(trial, "b1", "trials.FailingRunJob", json!({})).await);
    assert_eq!(error.message, "run failed as asked");
    assert_eq!(error.error_class, "ValueError");
    assert!(error.stack.contains("trials.py"), "{}", error.stack);
    let error = failure(run(trial, "b2", "trials.FailingTaskJob", json!({})).await);
    assert!(
        error.message.contains("ZeroDivisionError"),
        "{}",
        error.message
    );
    let error = failure(run(trial, "b3", "trials.SuddenEndJob", json!({})).await);
    assert!(error.message.contains("signal 9"), "{}", error.message);
    assert!(
        error.stack.contains("about to end suddenly"),
        "{}",
        error.stack
    );
    // An exception in validate is an error of the job, not a refusal (job-api.md 9).
    submit(trial, "b4", "trials.FailingValidateJob", &json!({})).await;
    let error = failure(trial.next().await);
    assert_eq!(error.message, "validate failed as asked");
}

async fn refusals_come_before_the_run(trial: &Trial) {
    submit(
        trial,
        "c1",
        "word_count.WordCountSparkSessionJob",
        &json!({}),
    )
    .await;
    let JobRefusal::ValidationFailed { error } = refusal(trial.next().await) else {
        panic!("it was not its validation");
    };
    assert!(
        error.message.contains("config input.strings not found"),
        "{}",
        error.message
    );
    assert_eq!(error.error_class, "java.lang.Throwable");
    for (id, class, expected) in [
        ("c2", "trials.Absent", JobRefusal::ClassNotFound),
        ("c3", "absent.Job", JobRefusal::ClassNotFound),
        ("c4", "trials.NoJob", JobRefusal::WrongType),
    ] {
        submit(trial, id, class, &json!({})).await;
        assert_eq!(refusal(trial.next().await), expected, "{class}");
    }
    submit(trial, "c5", "trials.FailingConstructorJob", &json!({})).await;
    assert_eq!(loading_error(trial.next().await), "constructed in vain");
}

async fn packages_are_checked(trial: &Trial) {
    let whole = std::fs::read(wheel()).unwrap();
    let cut = trial.folder.path().join("cut.whl");
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let class = "example_jobs.trials.NoOpJob";
    trial
        .submit_with("d1", vec![entry(&cut, "cut")], class, "{}")
        .await;
    let message = loading_error(trial.next().await);
    assert!(message.contains("no whole wheel or egg"), "{message}");
    for count in [0, 2] {
        let path = vec![entry(&wheel(), "wheel"); count];
        trial.submit_with("d2", path, class, "{}").await;
        assert_eq!(
            loading_error(trial.next().await),
            format!("Python should have exactly one package file! Found: {count}")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_take_the_rung_that_they_need_and_a_dead_jvm_ends_the_engine() {
    let trial = ready().await;
    let config = json!({"seconds": 600});
    submit(&trial, "a", "long_job.LongJob", &config).await;
    assert_eq!(trial.next().await, running("a"));
    // Until its task runs there is nothing to cancel.
    until("the task runs", || worker_count(&trial) > 0).await;
    trial.kill("a").await;
    assert_eq!(trial.next().await, killed("a", "cancelled"));

    submit(&trial, "b", "long_job.SleepJob", &config).await;
    assert_eq!(trial.next().await, running("b"));
    trial.kill("b").await;
    assert_eq!(trial.next().await, killed("b", "terminated"));

    submit(&trial, "c", "trials.StubbornJob", &config).await;
    assert_eq!(trial.next().await, running("c"));
    let log = trial.folder.jobs().join("c.log");
    until("the job is stubborn", || {
        std::fs::read_to_string(&log).is_ok_and(|log| log.contains("stubborn"))
    })
    .await;
    trial.kill("c").await;
    assert_eq!(trial.next().await, killed("c", "killed"));

    submit(&trial, "d", "long_job.LongJob", &config).await;
    assert_eq!(trial.next().await, running("d"));
    let jvm = named(&trial, "java")[0];
    kill_process(
        Pid::from_raw(i32::try_from(jvm).unwrap()).unwrap(),
        Signal::KILL,
    )
    .unwrap();
    let error = failure(trial.next().await);
    assert!(!error.message.is_empty());
    let EffectReport::EngineEnded { orderly, error } = trial.next().await else {
        panic!("the engine did not end");
    };
    let message = error.unwrap().message;
    assert!(
        !orderly && message.contains("JVM was ended by signal 9"),
        "{message}"
    );
    trial.expect_nothing_left().await;
}

/// The processes of a trial that run a program of this name.
fn named(trial: &Trial, program: &str) -> Vec<u32> {
    let is_it = |pid: &u32| {
        std::fs::read_to_string(format!("/proc/{pid}/comm"))
            .is_ok_and(|comm| comm.trim() == program)
    };
    trial.processes().into_iter().filter(is_it).collect()
}

/// Spark's Python workers: what descends from the JVM.
fn worker_count(trial: &Trial) -> usize {
    named(trial, "java")
        .into_iter()
        .map(|jvm| descendants_of(jvm).len())
        .sum()
}

#[tokio::test]
async fn what_spark_needs_and_is_not_there_is_named() {
    let empty = tempfile::tempdir().unwrap();
    let absent = empty.path().join("python3");
    for (settings, part) in [
        (json!({"python.executable": absent}), "Install Python"),
        // An interpreter without site-packages has no PySpark.
        (
            json!({"python.executable": bare_python(empty.path())}),
            "pip install pyspark",
        ),
        (
            json!({"python.executable": python(), "spark.master": "nonsense"}),
            "Master must",
        ),
    ] {
        let trial = Trial::new(&settings.to_string()).await;
        let EffectReport::EngineEnded { orderly, error } = trial.next().await else {
            panic!("it started with {settings}");
        };
        let error = error.unwrap();
        let said = format!("{}\n{}", error.message, error.stack);
        assert!(!orderly && said.contains(part), "{said}");
        assert!(
            error.message.contains("doyen.engine = process"),
            "{}",
            error.message
        );
        trial.expect_nothing_left().await;
    }
}

fn bare_python(folder: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join("bare");
    std::fs::write(&path, format!("#!/bin/sh\nexec {} -S \"$@\"\n", python())).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    path
}
