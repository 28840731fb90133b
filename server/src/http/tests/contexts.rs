//! rest-api.md 4 and protocol.md C.

use super::support::{THEN, World, context};
use axum::body::Body;
use doyen_core::identity::ContextId;
use doyen_core::output::Answer;
use doyen_core::records::call::{CallOperation, CallOutcome};
use doyen_core::records::context::{ContextState, DriverPhase, LifeRecord};
use doyen_core::records::encode;
use doyen_core::records::job::JobError;
use doyen_core::time::Stamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn id() -> ContextId {
    ContextId::new("5f0c9a1e-2d0b-4d64-8f3e-0a6f2c1b7d11")
}

fn error(class: &str, message: &str) -> JobError {
    JobError::new(class, message)
}

/// An exception shape.
fn shape(label: &str, class: &str, message: &str) -> String {
    format!(
        r#"{{"status":"{label}","result":{{"message":"{message}","errorClass":"{class}","stack":""}}}}"#
    )
}

fn plain(text: &str) -> String {
    format!(r#"{{"status":"ERROR","result":"{text}"}}"#)
}

#[tokio::test]
async fn the_table_of_4_3() {
    let failed = |class: &str, message: &str| {
        Answer::Call(CallOutcome::ContextFailed {
            context: id(),
            error: error(class, message),
        })
    };
    let late = "Context failed to connect back within initialization time";
    let url = "java.net.MalformedURLException";
    for (row, answer, status, body) in [
        (
            "created",
            Answer::Call(CallOutcome::ContextCreated { context: id() }),
            200,
            String::from(r#"{"status":"SUCCESS","result":"Context initialized"}"#),
        ),
        (
            "exists",
            Answer::Call(CallOutcome::ContextExists),
            400,
            plain("context etl exists"),
        ),
        (
            "malformed",
            failed(url, "unknown protocol: x"),
            400,
            shape(
                "CONTEXT INIT ERROR: Malformed URL",
                url,
                "unknown protocol: x",
            ),
        ),
        (
            "failed",
            failed("E", late),
            500,
            shape("CONTEXT INIT ERROR", "E", late),
        ),
    ] {
        creation_answers(row, answer, status, &body).await;
    }
}

async fn creation_answers(row: &str, answer: Answer, status: u16, body: &str) {
    let world = World::new();
    let line = "POST /contexts/etl";
    let seen = world.will_answer(answer).send(line, &[], "").await;
    seen.is(row, status, body);
    assert_eq!(seen.header("retry-after").is_some(), status == 503, "{row}");
    let content_type = seen.header("content-type");
    assert_eq!(content_type, Some("application/json"), "{row}");
}

#[tokio::test]
async fn what_the_cluster_cannot_settle_is_503_with_a_time_to_come_again() {
    let unknown = "unknown: whether the request was taken is not known; a retry with the same \
                   Idempotency-Key tells";
    for (row, answer, status, body) in [
        ("C4 unknown", Answer::Unknown, 503, plain(unknown)),
        (
            "C4 in progress",
            Answer::CallInProgress { context: id() },
            503,
            plain(&format!(
                "in progress: context etl ({}); ask GET /contexts/<name>",
                id()
            )),
        ),
        (
            "C4 expired",
            Answer::Call(CallOutcome::Expired),
            503,
            plain("nobody decided the call in time; try again"),
        ),
        (
            "C6",
            Answer::TooMany {
                limit: "1000 held calls".into(),
            },
            503,
            plain("too many requests: 1000 held calls"),
        ),
        (
            "F8",
            Answer::NotReady {
                reason: "leaving".into(),
            },
            503,
            plain("this server takes no calls now: leaving"),
        ),
        (
            "C5",
            Answer::KeyMismatch,
            422,
            plain("this Idempotency-Key was used with another request"),
        ),
    ] {
        creation_answers(row, answer, status, &body).await;
    }
}

#[tokio::test]
async fn the_name_must_begin_with_a_letter_and_nothing_is_called_otherwise() {
    let world = World::new();
    for name in ["1a", "_a", "..", "%2Fx", "-"] {
        let seen = world.send(&format!("POST /contexts/{name}"), &[], "").await;
        seen.is(name, 400, &plain("context name must start with letters"));
    }
    let seen = world
        .send(&format!("POST /contexts/{}", "a".repeat(256)), &[], "")
        .await;
    assert_eq!(seen.status, 400);
    assert!(world.gateway.calls.lock().unwrap().is_empty());
    let created = Answer::Call(CallOutcome::ContextCreated { context: id() });
    let seen = world
        .will_answer(created)
        .send("POST /contexts/%C3%BC%2F1", &[], "")
        .await;
    assert_eq!(seen.status, 200);
    assert_eq!(
        world.gateway.calls.lock().unwrap()[0]
            .operation
            .context_name(),
        "ü/1"
    );
}

#[tokio::test]
async fn settings_are_merged_and_a_bad_body_is_named() {
    let world = World::with(|settings| {
        settings.context_defaults = json!({"num-cpu-cores": 4, "memory-per-node": "512m"});
    });
    let body = r#"{"spark":{"context-settings":{"override_me":3}},"other":1}"#;
    let created = Answer::Call(CallOutcome::ContextCreated { context: id() });
    let line = "POST /contexts/etl?override_me=2&spark.executor.cores=2&num-cpu-cores=8";
    let form = ["content-type: application/x-www-form-urlencoded"];
    assert_eq!(
        world
            .will_answer(created)
            .send(line, &form, body)
            .await
            .status,
        200
    );
    let calls = world.gateway.calls.lock().unwrap().clone();
    let CallOperation::CreateContext {
        settings, adhoc, ..
    } = &calls[0].operation
    else {
        panic!("no creation");
    };
    let settings: Value = serde_json::from_str(settings).unwrap();
    let merged = json!({"num-cpu-cores": "8", "memory-per-node": "512m", "override_me": 3,
                        "spark": {"executor": {"cores": "2"}}});
    assert_eq!((settings, *adhoc), (merged, false));
    assert_eq!(calls[0].route, "POST /contexts");
    for bad in [
        "{",
        "[1]",
        &"[".repeat(100_000),
        &format!("{{\"a\":{}", "[".repeat(100_000)),
    ] {
        let seen = world.send("POST /contexts/etl", &[], bad.to_owned()).await;
        assert_eq!(seen.status, 400);
        let text = seen.json()["result"].as_str().unwrap().to_owned();
        assert!(text.starts_with("Cannot parse config: "), "{text}");
    }
    let deep = format!("POST /contexts/etl?a{}=1", ".a".repeat(100));
    assert_eq!(world.send(&deep, &[], "").await.status, 400);
    assert_eq!(world.gateway.calls.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn the_table_of_4_4() {
    for (row, answer, status, body) in [
        (
            "stopped",
            Answer::Call(CallOutcome::ContextStopped { context: id() }),
            200,
            String::from(r#"{"status":"SUCCESS","result":"Context stopped"}"#),
        ),
        (
            "slow",
            Answer::Call(CallOutcome::StopInProgress { context: id() }),
            202,
            String::new(),
        ),
        (
            "held",
            Answer::CallInProgress { context: id() },
            202,
            String::new(),
        ),
        (
            "unknown",
            Answer::Call(CallOutcome::ContextNotFound),
            404,
            plain("context etl not found"),
        ),
        (
            "failed",
            Answer::Call(CallOutcome::ContextFailed {
                context: id(),
                error: error("E", "m"),
            }),
            500,
            shape("CONTEXT DELETE ERROR", "E", "m"),
        ),
    ] {
        let world = World::new();
        world.will_answer(answer);
        let headers = ["host: h:8090"];
        let seen = world
            .send("DELETE /contexts/etl?a=b", &headers, Body::empty())
            .await;
        seen.is(row, status, &body);
        let location = (status == 202).then_some("http://h:8090/contexts/etl?a=b");
        assert_eq!(seen.header("location"), location, "{row}");
        let calls = world.gateway.calls.lock().unwrap();
        let expected = CallOperation::DeleteContext { name: "etl".into() };
        assert_eq!(calls[0].operation, expected);
    }
}

#[tokio::test]
async fn a_forced_stop_is_refused_outside_standalone_mode() {
    let world = World::new();
    let line = "DELETE /contexts/etl?force=true";
    world
        .send(line, &[], "")
        .await
        .is("unknown", 404, &plain("context etl not found"));
    world.put_context(&context("etl", ContextState::Running));
    world.send(line, &[], "").await.is(
        "4.4 force",
        500,
        &shape(
            "CONTEXT DELETE ERROR",
            "java.lang.UnsupportedOperationException",
            "Tried to do a standalone mode only action for other mode",
        ),
    );
    world
        .send("DELETE /contexts/etl?force=maybe", &[], "")
        .await
        .is(
            "1.6",
            400,
            "The query parameter 'force' was malformed:\n'maybe' is not a valid Boolean value",
        );
    let standalone = World::with(|settings| settings.spark_master = "spark://h:7077".into());
    standalone.put_context(&context("etl", ContextState::Running));
    assert_eq!(standalone.send(line, &[], "").await.status, 501);
}

#[tokio::test]
async fn lists_show_running_stopping_and_restarting_ones_newest_first() {
    let world = World::new();
    world.get("/contexts").await.is("4.1 empty", 200, "[]");
    for (age, (name, state)) in [
        ("a", ContextState::Running),
        ("b", ContextState::Started),
        ("c", ContextState::Stopping),
        ("d", ContextState::Restarting),
        ("e", ContextState::Finished),
    ]
    .into_iter()
    .enumerate()
    {
        let mut one = context(name, state);
        one.started = Stamp(THEN + u64::try_from(age).unwrap());
        world.put_context(&one);
    }
    world
        .get("/contexts")
        .await
        .is("4.1", 200, r#"["d","c","a"]"#);
    world
        .get("/contexts/")
        .await
        .is("1.7", 200, r#"["d","c","a"]"#);
}

#[tokio::test]
async fn a_context_is_shown_in_whatever_state_the_live_one_first() {
    let world = World::new();
    world.get("/contexts/etl").await.is(
        "4.2 unknown",
        404,
        &plain("can't find context with name etl"),
    );
    let mut old = context("etl", ContextState::Finished);
    old.application_id = Some("app-0".into());
    world.put_context(&old);
    let ended = format!(
        r#"{{"id":"{}","name":"etl","startTime":"2024-03-05T09:10:11.120Z","endTime":"2024-03-05T09:10:12.120Z","state":"FINISHED"}}"#,
        old.id
    );
    world
        .get("/contexts/etl")
        .await
        .is("4.2 final", 200, &ended);
    let live = context("etl", ContextState::Running);
    world.put_context(&live);
    let head = format!(
        r#"{{"id":"{}","name":"etl","startTime":"2024-03-05T09:10:11.120Z","endTime":"Empty","state":"RUNNING""#,
        live.id
    );
    world
        .get("/contexts/etl")
        .await
        .is("4.2 live", 200, &format!("{head}}}"));
    let life = LifeRecord {
        driver: None,
        phase: DriverPhase::Ready {
            application_id: Some("app-1".into()),
            url: Some("http://10.0.0.7:4040".into()),
        },
        count: 1,
        rest: BTreeMap::new(),
    };
    world.put(world.layout.life(&live.id), encode(&life));
    let ready = format!(r#"{head},"applicationId":"app-1","url":"http://10.0.0.7:4040"}}"#);
    world
        .get("/contexts/etl")
        .await
        .is("4.2 ready", 200, &ready);
}

#[tokio::test]
async fn a_context_that_becomes_final_between_the_reads_is_found() {
    let world = World::new();
    // The name still says live; the record has moved already.
    let moved = context("etl", ContextState::Finished);
    world.put(world.layout.ended(&moved.id), encode(&moved));
    let name = format!(r#"{{"context":"{}"}}"#, moved.id);
    world.put(world.layout.context_name("etl"), name);
    assert_eq!(world.get("/contexts/etl").await.json()["state"], "FINISHED");
}
