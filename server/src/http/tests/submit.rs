//! rest-api.md 5, and keys of idempotency of jobs (protocol.md C5).

use super::support::{World, context, job};
use doyen_core::identity::{ContextId, JobId};
use doyen_core::output::Answer;
use doyen_core::records::call::CallOutcome;
use doyen_core::records::context::ContextState;
use doyen_core::records::job::{BinaryType, JobError, JobRecord, JobRefusal, JobState, Payload};
use serde_json::{Value, json};
use std::time::Duration;

const ZIP: &[u8] = b"PK\x03\x04 and more";
const SUBMIT: &str = "POST /jobs?cp=wordcount&mainClass=com.acme.Count&context=etl";

fn plain(text: &str) -> String {
    format!(r#"{{"status":"ERROR","result":"{text}"}}"#)
}

async fn world() -> World {
    let world = World::new();
    let seen = world
        .upload("wordcount", "application/python-wheel", ZIP)
        .await;
    assert_eq!(seen.status, 201);
    world
}

fn taken(state: JobState) -> JobRecord {
    job(&context("etl", ContextState::Running), state)
}

#[tokio::test]
async fn the_answers_of_5_4_that_core_gives() {
    let refused = Answer::JobRefused;
    let error = JobError::new("java.lang.Throwable", "One(SparkJobInvalid(No input))");
    let shape = |label: &str| {
        format!(
            r#"{{"status":"{label}","result":{{"message":"One(SparkJobInvalid(No input))","errorClass":"java.lang.Throwable","stack":""}}}}"#
        )
    };
    let mut url = error.clone();
    url.error_class = "java.net.MalformedURLException".into();
    for (row, answer, status, body) in [
        (
            "slots",
            refused(JobRefusal::NoSlots { max: 8 }),
            503,
            r#"{"status":"NO SLOTS AVAILABLE","result":"Too many running jobs (8) for job context 'etl'"}"#.to_owned(),
        ),
        (
            "validation",
            refused(JobRefusal::ValidationFailed { error: error.clone() }),
            400,
            shape("VALIDATION FAILED"),
        ),
        ("class", refused(JobRefusal::ClassNotFound), 404, plain("classPath com.acme.Count not found")),
        (
            "loading",
            refused(JobRefusal::LoadingFailed { error }),
            400,
            shape("JOB LOADING FAILED"),
        ),
        (
            "url",
            refused(JobRefusal::LoadingFailed { error: url }),
            400,
            shape("JOB LOADING FAILED: Malformed URL")
                .replace("java.lang.Throwable", "java.net.MalformedURLException"),
        ),
        ("type", refused(JobRefusal::WrongType), 400, plain("Invalid job type for this context")),
        ("stopping", refused(JobRefusal::ContextStopping), 409, plain("Context stop in progress")),
        ("gone", refused(JobRefusal::ContextGone), 404, plain("context etl not found")),
        ("no context", Answer::ContextNotFound, 404, plain("context etl not found")),
        (
            "C5",
            Answer::KeyMismatch,
            422,
            plain("this Idempotency-Key was used with another request"),
        ),
        (
            "time",
            Answer::JobWaiting { job: JobId::new("j1") },
            500,
            r#"{"status":"ERROR","result":{"message":"Ask timed out after [10000 ms]: job j1 goes on; ask GET /jobs/j1","errorClass":"akka.pattern.AskTimeoutException","stack":""}}"#.to_owned(),
        ),
    ] {
        let world = world().await;
        world.will_answer(answer).send(SUBMIT, &[], "").await.is(row, status, &body);
    }
}

#[tokio::test]
async fn an_asynchronous_job_is_202_started_whatever_it_has_become() {
    let world = world().await;
    for state in [JobState::Running, JobState::Finished, JobState::Error] {
        let mut one = taken(state);
        one.result = Some(Payload::Inline("1".into()));
        world.will_answer(Answer::JobAccepted(Box::new(one.clone())));
        let seen = world.send(SUBMIT, &[], r#"{"input":{"a":1}}"#).await;
        let body = format!(
            r#"{{"jobId":"{}","startTime":"2024-03-05T09:10:11.120Z","classPath":"com.acme.Count","context":"etl","contextId":"{}","duration":"Job not done yet","status":"STARTED"}}"#,
            one.id, one.context
        );
        seen.is("5.4 async", 202, &body);
    }
    let jobs = world.gateway.jobs.lock().unwrap();
    assert_eq!(
        jobs[0].config,
        Payload::Inline(r#"{"input":{"a":1}}"#.into())
    );
    assert_eq!(
        (jobs[0].sync, jobs[0].wait),
        (false, Duration::from_secs(10))
    );
    assert_eq!(jobs[0].context_name, "etl");
    let entry = &jobs[0].class_path[0];
    assert_eq!(
        (entry.name.as_str(), entry.binary_type),
        ("wordcount", BinaryType::Wheel)
    );
    assert!(
        world
            .objects
            .objects
            .lock()
            .unwrap()
            .contains_key(entry.hash.as_ref().unwrap())
    );
    assert!(doyen_core::identity::hour_of(jobs[0].id.as_str()).is_some());
}

#[tokio::test]
async fn a_synchronous_job_answers_with_its_result_or_error() {
    let world = world().await;
    let line = format!("{SUBMIT}&sync=true&timeout=70");
    let error = Some(JobError::new("E", "boom"));
    for (state, result, error, more) in [
        (
            JobState::Finished,
            Some("{\"a\":1}"),
            None,
            r#""result":{"a":1}"#,
        ),
        (JobState::Finished, None, None, r#""result":[]"#),
        (
            JobState::Error,
            None,
            error,
            r#""status":"ERROR","result":{"message":"boom","errorClass":"E","stack":""}"#,
        ),
    ] {
        let mut one = taken(state);
        one.result = result.map(|text| Payload::Inline(text.into()));
        one.error = error;
        world.will_answer(Answer::JobDone(Box::new(one.clone())));
        let seen = world.send(&line, &[], "").await;
        seen.is(
            "5.4 sync",
            200,
            &format!(r#"{{"jobId":"{}",{more}}}"#, one.id),
        );
    }
    let jobs = world.gateway.jobs.lock().unwrap();
    assert_eq!(
        (jobs[0].sync, jobs[0].wait),
        (true, Duration::from_secs(40))
    );
}

/// The last row of 200 in 5.4: core answers so for a job that ended before it was acknowledged.
#[tokio::test]
async fn an_asynchronous_job_that_never_ran_is_200_with_its_error() {
    let world = world().await;
    let mut one = taken(JobState::Error);
    one.never_ran = true;
    one.error = Some(JobError::new("ValueError", "validate is broken"));
    world.will_answer(Answer::JobDone(Box::new(one.clone())));
    let body = format!(
        r#"{{"jobId":"{}","status":"ERROR","result":{{"message":"validate is broken","errorClass":"ValueError","stack":""}}}}"#,
        one.id
    );
    let seen = world.send(SUBMIT, &[], "").await;
    seen.is("5.4 async, threw", 200, &body);
    assert!(!world.gateway.jobs.lock().unwrap()[0].sync);
}

#[tokio::test]
async fn checks_come_in_the_order_of_5_3_and_nothing_is_submitted() {
    let world = world().await;
    let config = |text: &str| plain(&format!("Cannot parse config: {text}"));
    let callback = r#"{"status":"ERROR","result":{"message":"Callback Url has to be 'http'/'https'","errorClass":"java.lang.IllegalArgumentException","stack":""}}"#;
    let protocol = r#"{"status":"JOB LOADING FAILED: Malformed URL","result":{"message":"unknown protocol: hdfs","errorClass":"java.net.MalformedURLException","stack":""}}"#;
    let neither = config("To start the job appName or cp parameters should be configured!");
    let class_path = config("classPath parameter is missing!");
    let main_class = config("mainClass parameter is missing!");
    for (line, status, body) in [
        ("POST /jobs?callbackUrl=ftp://x", 500, callback.to_owned()),
        ("POST /jobs", 400, neither.clone()),
        ("POST /jobs?mainClass=a&classPath=b", 400, neither),
        ("POST /jobs?appName=a&mainClass=b", 400, class_path),
        ("POST /jobs?cp=a&classPath=b", 400, main_class),
        (
            "POST /jobs?cp=nope&mainClass=b",
            404,
            plain("appName nope not found"),
        ),
        (
            "POST /jobs?cp=wordcount,nope&mainClass=b",
            404,
            plain("appName nope not found"),
        ),
        (
            "POST /jobs?appName=nope&classPath=b",
            404,
            plain("appName nope not found"),
        ),
        (
            "POST /jobs?cp=hdfs://h/x.jar&mainClass=b",
            400,
            protocol.to_owned(),
        ),
    ] {
        world.send(line, &[], "").await.is(line, status, &body);
    }
    let nested = "[".repeat(100_000);
    for bad in ["{", "[1]", "\"text\"", nested.as_str()] {
        let seen = world
            .send("POST /jobs?callbackUrl=ftp://x", &[], bad.to_owned())
            .await;
        assert_eq!(seen.status, 400, "the body is parsed first");
        assert!(seen.body.contains("Cannot parse config: "));
    }
    assert!(world.gateway.jobs.lock().unwrap().is_empty());
    assert!(world.gateway.calls.lock().unwrap().is_empty());
}

#[tokio::test]
async fn without_a_context_a_job_asks_for_one_of_its_own() {
    let world = world().await;
    let body = r#"{"spark":{"context-settings":{"doyen":{"engine":"process"}}},"x":1}"#;
    world.will_answer(Answer::JobRefused(JobRefusal::NoSlots { max: 8 }));
    let line = "POST /jobs?cp=wordcount&mainClass=com.acme.Count&spark.proxy.user=alice";
    let seen = world.send(line, &["idempotency-key: k1"], body).await;
    seen.is(
        "5.5 slots",
        503,
        r#"{"status":"NO SLOTS AVAILABLE","result":"Too many running jobs (8) for job context 'ad-hoc'"}"#,
    );
    let jobs = world.gateway.jobs.lock().unwrap();
    let (job, adhoc) = (&jobs[0], jobs[0].adhoc.as_ref().unwrap());
    let name = &job.context_name;
    let uuid = name
        .strip_prefix("alice~")
        .and_then(|n| n.strip_suffix("-com.acme.Count"));
    assert_eq!(uuid.map(str::len), Some(36), "{name}");
    let settings: Value = serde_json::from_str(&adhoc.settings).unwrap();
    let expected = json!({"doyen": {"engine": "process"}, "spark": {"proxy": {"user": "alice"}}});
    assert_eq!(settings, expected);
    assert!(doyen_core::identity::hour_of(adhoc.call.as_str()).is_some());
    assert_eq!(adhoc.wait, Duration::from_secs(60));
    assert!(job.key.is_some(), "core protects both steps with it (C5)");
    assert!(world.gateway.calls.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_may_become_of_an_ad_hoc_context_is_told() {
    let context = ContextId::new("x");
    let error = JobError::new("java.io.IOException", "no java");
    for (row, answer, status, body) in [
        (
            "5.4 last row",
            Answer::Call(CallOutcome::ContextFailed { context: context.clone(), error }),
            500,
            r#"{"status":"ERROR","result":{"message":"java.io.IOException: no java","errorClass":"java.lang.RuntimeException","stack":""}}"#.to_owned(),
        ),
        (
            "C4",
            Answer::CallInProgress { context },
            503,
            plain("in progress: ad-hoc context x is still starting"),
        ),
        (
            "C4 open",
            Answer::Call(CallOutcome::Expired),
            503,
            plain("nobody decided the call in time; try again"),
        ),
        (
            "C5",
            Answer::KeyMismatch,
            422,
            plain("this Idempotency-Key was used with another request"),
        ),
        (
            "C5 refused",
            Answer::JobNotFound,
            503,
            plain("the job was refused; another request of its Idempotency-Key was told why"),
        ),
    ] {
        let world = world().await;
        world.will_answer(answer);
        let line = "POST /jobs?cp=wordcount&mainClass=M";
        world.send(line, &[], "").await.is(row, status, &body);
    }
}

#[tokio::test]
async fn a_large_configuration_is_an_object_that_goes_when_the_job_is_not_taken() {
    let world = world().await;
    let body = json!({"text": "x".repeat(40_000)}).to_string();
    world.will_answer(Answer::Unknown);
    assert_eq!(world.send(SUBMIT, &[], body.clone()).await.status, 503);
    let config = world.gateway.jobs.lock().unwrap()[0].config.clone();
    let Payload::Object(name) = config else {
        panic!("inline");
    };
    let kept = world.objects.objects.lock().unwrap().get(&name).cloned();
    assert_eq!(
        kept.unwrap(),
        body,
        "it may have been taken: the object stays"
    );
    world.will_answer(Answer::JobRefused(JobRefusal::WrongType));
    assert_eq!(world.send(SUBMIT, &[], body).await.status, 400);
    let Payload::Object(second) = world.gateway.jobs.lock().unwrap()[1].config.clone() else {
        panic!("inline");
    };
    let there = || world.objects.objects.lock().unwrap().contains_key(&second);
    let end = std::time::Instant::now() + Duration::from_secs(5);
    while there() && std::time::Instant::now() < end {
        tokio::task::yield_now().await;
    }
    assert!(!there());
}
