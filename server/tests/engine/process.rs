//! The engine `process`.

use crate::harness::{Trial, bytes_below, failure, finished, killed, running, script, until};
use doyen_core::input::EffectReport;
use doyen_core::records::job::{JobRefusal, Payload};
use std::sync::atomic::Ordering;

const PROCESS: &str = r#"{"doyen":{"engine":"process"}}"#;

async fn ready(settings: &str) -> Trial {
    let trial = Trial::new(settings).await;
    assert_eq!(trial.expect_ready().await, None);
    trial
}

#[tokio::test]
async fn a_job_gets_its_class_and_configuration_and_answers_on_descriptor_three() {
    let trial = ready(PROCESS).await;
    let echo = script("printf '{\"class\":\"%s\",\"config\":%s}' \"$1\" \"$(cat)\" >&3");
    trial.submit("a", echo, "main", r#"{"n":1}"#).await;
    assert_eq!(trial.next().await, running("a"));
    let result = r#"{"class":"main","config":{"n":1}}"#;
    assert_eq!(trial.next().await, finished("a", result));
    trial.submit("b", script("exit 0"), "main", "{}").await;
    assert_eq!(trial.next().await, running("b"));
    assert_eq!(trial.next().await, finished("b", "null"));
    let jobs = std::fs::read_dir(trial.folder.jobs()).unwrap();
    let left: Vec<_> = jobs.map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        left.iter()
            .all(|name| name.to_string_lossy().ends_with(".log")),
        "configuration or result were left: {left:?}"
    );
    trial.stop().await;
}

#[tokio::test]
async fn the_shipped_examples_work() {
    let trial = ready(PROCESS).await;
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/drivers/examples/process/");
    let read = |name: &str| std::fs::read_to_string(format!("{examples}{name}")).unwrap();
    let config = r#"{"input":{"text":"A rose is a rose\nis a rose"},"top":2}"#;
    trial
        .submit("a", read("example_job.py"), "word-count", config)
        .await;
    assert_eq!(trial.next().await, running("a"));
    assert_eq!(trial.next().await, finished("a", r#"{"a": 3, "rose": 3}"#));
    trial
        .submit("b", read("noop_job.sh"), "nothing", "{}")
        .await;
    assert_eq!(trial.next().await, running("b"));
    assert_eq!(trial.next().await, finished("b", "\"nothing\""));
    trial.stop().await;
}

#[tokio::test]
async fn a_failed_job_shows_its_exit_code_and_last_output() {
    let trial = ready(PROCESS).await;
    let failing = script("echo out; echo it broke >&2; exit 7");
    trial.submit("a", failing, "main", "{}").await;
    assert_eq!(trial.next().await, running("a"));
    let error = failure(trial.next().await);
    assert_eq!(error.message, "the job's program ended with exit code 7");
    assert_eq!(error.stack, "out\nit broke\n");
    trial
        .submit("b", script("kill -SEGV $$"), "main", "{}")
        .await;
    assert_eq!(trial.next().await, running("b"));
    let error = failure(trial.next().await);
    assert_eq!(error.message, "the job's program was ended by signal 11");
    trial.stop().await;
}

#[tokio::test]
async fn what_is_not_json_is_no_result() {
    let trial = ready(PROCESS).await;
    trial
        .submit("a", script("echo hello >&3"), "main", "{}")
        .await;
    assert_eq!(trial.next().await, running("a"));
    let error = failure(trial.next().await);
    assert!(error.message.contains("not JSON"), "{}", error.message);
    assert!(error.message.contains("`hello`"), "{}", error.message);
    let endless = script("head -c 70000000 /dev/zero | tr '\\0' 1 >&3");
    trial.submit("b", endless, "main", "{}").await;
    assert_eq!(trial.next().await, running("b"));
    let error = failure(trial.next().await);
    assert!(
        error.message.contains("has 70000000 bytes"),
        "{}",
        error.message
    );
    trial.stop().await;
}

#[tokio::test]
async fn what_is_no_program_is_refused() {
    let trial = ready(PROCESS).await;
    for (job, program, told) in [
        ("a", "#!/no/such/interpreter\n", "cannot start"),
        ("c", "echo the C library would run this\n", "is no program"),
        ("d", "", "is no program"),
    ] {
        trial.submit(job, program.to_owned(), "main", "{}").await;
        let EffectReport::JobRefused { refusal, .. } = trial.next().await else {
            panic!("it was taken");
        };
        let JobRefusal::LoadingFailed { error } = refusal else {
            panic!("{refusal:?}");
        };
        assert!(error.message.contains(told), "{}", error.message);
    }
    trial.submit_with("b", Vec::new(), "main", "{}").await;
    assert!(matches!(
        trial.next().await,
        EffectReport::JobRefused {
            refusal: JobRefusal::LoadingFailed { .. },
            ..
        }
    ));
    trial.stop().await;
}

#[tokio::test]
async fn a_gigabyte_of_output_does_not_fill_the_disk() {
    let trial = ready(PROCESS).await;
    let loud = script("echo first; head -c 1000000000 /dev/zero; echo; echo last; exit 1");
    trial.submit("a", loud, "main", "{}").await;
    assert_eq!(trial.next().await, running("a"));
    let error = failure(trial.next().await);
    assert!(error.stack.ends_with("last\n") && error.stack.len() <= 4096);
    let jobs = trial.folder.jobs();
    assert!(
        bytes_below(&jobs) < 9 * 1024 * 1024,
        "{}",
        bytes_below(&jobs)
    );
    let head = std::fs::read(jobs.join("a.log")).unwrap();
    assert!(head.starts_with(b"first\n"));
    trial.stop().await;
}

#[tokio::test]
async fn a_kill_says_which_rung_worked_and_leaves_nothing() {
    let trial = ready(PROCESS).await;
    let before = trial.processes().len();
    trial
        .submit("a", script("exec sleep 600"), "main", "{}")
        .await;
    assert_eq!(trial.next().await, running("a"));
    trial.kill("a").await;
    assert_eq!(trial.next().await, killed("a", "terminated"));
    // It ignores SIGTERM, and what it started has a session of its own.
    let stubborn =
        script("trap '' TERM; setsid sleep 600 & echo; touch up; while :; do sleep 1; done");
    trial.submit("b", stubborn, "main", "{}").await;
    assert_eq!(trial.next().await, running("b"));
    let up = trial.folder.work().join("up");
    until("the stubborn job is up", || up.exists()).await;
    trial.kill("b").await;
    assert_eq!(trial.next().await, killed("b", "killed"));
    until("what the jobs started is gone", || {
        trial.processes().len() == before
    })
    .await;
    trial.kill("never-started").await;
    assert_eq!(trial.next().await, killed("never-started", "cancelled"));
    trial.stop().await;
}

#[tokio::test]
async fn validation_is_asked_first_when_the_context_wants_it() {
    let settings = r#"{"doyen":{"engine":"process","validate":true}}"#;
    let trial = ready(settings).await;
    let program = script(
        "if [ \"$1\" = --validate ]; then echo ignored; echo \"no $2\" >&2; [ \"$2\" = good ]; \
         exit; fi; printf 1 >&3",
    );
    trial.submit("a", program.clone(), "bad", "{}").await;
    let EffectReport::JobRefused { refusal, .. } = trial.next().await else {
        panic!("it was taken");
    };
    let JobRefusal::ValidationFailed { error } = refusal else {
        panic!("{refusal:?}");
    };
    assert_eq!(error.message, "no bad");
    trial.submit("b", program, "good", "{}").await;
    assert_eq!(trial.next().await, running("b"));
    assert_eq!(trial.next().await, finished("b", "1"));
    trial.stop().await;
}

#[tokio::test]
async fn a_large_result_waits_for_the_store_and_holds_the_next_job_back() {
    let trial = ready(PROCESS).await;
    trial.store.refusals.store(3, Ordering::SeqCst);
    let large = script("printf '\"'>&3; head -c 40000 /dev/zero | tr '\\0' x >&3; printf '\"'>&3");
    trial.submit("a", large, "main", "{}").await;
    assert_eq!(trial.next().await, running("a"));
    until("the store refused once", || {
        trial.store.refusals.load(Ordering::SeqCst) < 3
    })
    .await;
    trial.submit("b", script("exit 0"), "main", "{}").await;
    let EffectReport::JobFinished { result, .. } = trial.next().await else {
        panic!("the second job began before the first one's result was kept");
    };
    assert_eq!(result, Payload::Object("result-a".into()));
    assert_eq!(
        trial.store.results.lock().unwrap()["result-a"].len(),
        40_002
    );
    assert_eq!(trial.next().await, running("b"));
    assert_eq!(trial.next().await, finished("b", "null"));
    trial.stop().await;
}

#[tokio::test]
async fn an_unknown_engine_is_refused_by_name() {
    let trial = Trial::new(r#"{"doyen.engine":"steam"}"#).await;
    let EffectReport::EngineEnded { orderly, error } = trial.next().await else {
        panic!("it started");
    };
    let message = error.unwrap().message;
    assert!(!orderly && message.contains("`steam`"), "{message}");
    trial.expect_nothing_left().await;
}

#[tokio::test]
async fn jobs_of_a_stopped_engine_are_killed() {
    let trial = ready(PROCESS).await;
    trial
        .submit("a", script("exec sleep 600"), "main", "{}")
        .await;
    assert_eq!(trial.next().await, running("a"));
    trial.stop().await;
}
