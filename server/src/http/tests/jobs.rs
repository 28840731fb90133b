//! rest-api.md 6.

use super::support::{THEN, World, context, job};
use axum::body::{Body, Bytes};
use doyen_core::identity::JobId;
use doyen_core::output::Answer;
use doyen_core::records::context::ContextState;
use doyen_core::records::encode;
use doyen_core::records::job::{JobError, JobRecord, JobRefusal, JobState, Payload};
use doyen_core::time::Stamp;
use serde_json::json;
use std::time::{SystemTime, UNIX_EPOCH};

fn plain(text: &str) -> String {
    format!(r#"{{"status":"ERROR","result":"{text}"}}"#)
}

fn report(job: &JobRecord, duration: &str, status: &str, more: &str) -> String {
    format!(
        r#"{{"jobId":"{}","startTime":"2024-03-05T09:10:11.120Z","classPath":"com.acme.Count","context":"etl","contextId":"{}","duration":"{duration}","status":"{status}"{more}}}"#,
        job.id, job.context
    )
}

#[tokio::test]
async fn reports_by_state() {
    let world = World::new();
    let etl = context("etl", ContextState::Running);
    world.put_context(&etl);
    let failed = JobError::new("E", "boom");
    let killed = |job: &JobRecord| {
        format!(
            r#","result":{{"message":"Job {} killed","errorClass":"spark.jobserver.JobManagerActor$JobKilledException","stack":""}}"#,
            job.id
        )
    };
    let not_done = "Job not done yet";
    let refused = JobState::Refused {
        refusal: JobRefusal::WrongType,
    };
    for (state, duration, status, more) in [
        (JobState::Submitted, not_done, "STARTED", ""),
        (JobState::Running, not_done, "RUNNING", ""),
        (JobState::Finished, "6.341 secs", "FINISHED", ""),
        (
            JobState::Error,
            "6.341 secs",
            "ERROR",
            r#","result":{"message":"boom","errorClass":"E","stack":""}"#,
        ),
        (JobState::Killed, "6.341 secs", "KILLED", "killed"),
        (refused, "", "", ""),
    ] {
        let mut one = job(&etl, state.clone());
        one.error = (state == JobState::Error).then(|| failed.clone());
        world.put_job(&one);
        let seen = world.get(&format!("/jobs/{}", one.id)).await;
        if let JobState::Refused { .. } = state {
            seen.is("J3", 404, &plain(&format!("No such job ID {}", one.id)));
            continue;
        }
        let more = if more == "killed" {
            killed(&one)
        } else {
            more.to_owned()
        };
        seen.is("6.2", 200, &report(&one, duration, status, &more));
    }
    for odd in ["x", "..", "a%2Fb"] {
        assert_eq!(world.get(&format!("/jobs/{odd}")).await.status, 404);
    }
}

#[tokio::test]
async fn results_are_inserted_or_streamed_or_left_out() {
    let world = World::new();
    let etl = context("etl", ContextState::Finished);
    world.objects.objects.lock().unwrap().insert(
        "result-1".into(),
        Bytes::from_static(br#"{"words":[["the",3],["a",2]]}"#),
    );
    for (result, more) in [
        (None, ""),
        (Some(Payload::Inline("[1,2]".into())), r#","result":[1,2]"#),
        (Some(Payload::Inline("null".into())), r#","result":null"#),
        (Some(Payload::Inline("not json".into())), ""),
        (
            Some(Payload::Object("result-1".into())),
            r#","result":{"words":[["the",3],["a",2]]}"#,
        ),
        (Some(Payload::Object("gone".into())), ""),
    ] {
        let mut one = job(&etl, JobState::Finished);
        one.result = result;
        world.put_job(&one);
        let seen = world.get(&format!("/jobs/{}", one.id)).await;
        seen.is("6.3", 200, &report(&one, "6.341 secs", "FINISHED", more));
        assert_eq!(seen.header("content-type"), Some("application/json"));
    }
}

#[tokio::test]
async fn configurations_are_shown_of_asynchronous_jobs() {
    let world = World::new();
    let etl = context("etl", ContextState::Running);
    let one = job(&etl, JobState::Running);
    world.put_job(&one);
    let seen = world.get(&format!("/jobs/{}/config", one.id)).await;
    assert_eq!(seen.json(), json!({"a": {"c": "x"}, "b": 1}));
    assert!(seen.body.contains("\n  "), "6.4: pretty-printed");
    let mut large = job(&etl, JobState::Running);
    large.config = Payload::Object("config-1".into());
    world.put_job(&large);
    let path = format!("/jobs/{}/config", large.id);
    assert_eq!(world.get(&path).await.status, 404);
    let text = Bytes::from_static(br#"{"k":"v"}"#);
    world
        .objects
        .objects
        .lock()
        .unwrap()
        .insert("config-1".into(), text);
    assert_eq!(world.get(&path).await.json(), json!({"k": "v"}));
    let mut sync = job(&etl, JobState::Running);
    sync.sync = true;
    world.put_job(&sync);
    for id in [sync.id.as_str(), "unknown"] {
        let seen = world.get(&format!("/jobs/{id}/config")).await;
        seen.is("6.4", 404, &plain(&format!("No such job ID {id}")));
    }
}

#[tokio::test]
async fn the_table_of_6_5() {
    let world = World::new();
    let etl = context("etl", ContextState::Running);
    world.put_context(&etl);
    let delete = async |id: &JobId| {
        world
            .send(&format!("DELETE /jobs/{id}"), &[], Body::empty())
            .await
    };
    let ended = |state: JobState, error: Option<JobError>| {
        let mut one = job(&etl, state);
        one.error = error;
        one
    };
    let error = Some(JobError::new("E", "boom"));
    let errored = r#"{"status":"ERROR","ERROR":{"message":"boom","errorClass":"E","stack":""}}"#;
    let unexpected = plain("Received an unexpected message");
    for (row, one, status, body) in [
        (
            "errored",
            ended(JobState::Error, error.clone()),
            200,
            errored.to_owned(),
        ),
        ("no error", ended(JobState::Error, None), 500, unexpected),
        (
            "finished",
            ended(JobState::Finished, None),
            404,
            String::new(),
        ),
        ("killed", ended(JobState::Killed, None), 404, String::new()),
    ] {
        world.put_job(&one);
        let none = plain(&format!("No running job with ID {}", one.id));
        let body = if body.is_empty() { none } else { body };
        delete(&one.id).await.is(row, status, &body);
    }
    assert!(world.gateway.kills.lock().unwrap().is_empty());
    let one = job(&etl, JobState::Running);
    world.put_job(&one);
    let mut done = one.clone();
    done.state = JobState::Killed;
    world.will_answer(Answer::JobDone(Box::new(done.clone())));
    delete(&one.id)
        .await
        .is("running", 200, r#"{"status":"KILLED"}"#);
    done.state = JobState::Error;
    done.error = error;
    world.will_answer(Answer::JobDone(Box::new(done.clone())));
    delete(&one.id).await.is("failed meanwhile", 200, errored);
    done.state = JobState::Finished;
    world.will_answer(Answer::JobDone(Box::new(done)));
    assert_eq!(delete(&one.id).await.status, 404, "finished meanwhile");
    world.will_answer(Answer::JobWaiting {
        job: one.id.clone(),
    });
    let seen = delete(&one.id).await;
    assert_eq!(seen.status, 500);
    assert_eq!(
        seen.json()["result"]["errorClass"],
        "akka.pattern.AskTimeoutException"
    );
    let unknown = JobId::new("unknown");
    delete(&unknown)
        .await
        .is("unknown", 404, &plain("No such job ID unknown"));
}

/// A job id of so many hours ago.
fn id_hours_ago(hours: u64) -> JobId {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let stamp = uuid::Timestamp::from_unix(uuid::NoContext, now - hours * 3600, 0);
    JobId::new(uuid::Uuid::new_v7(stamp).to_string())
}

#[tokio::test]
async fn lists_filter_then_limit_newest_first_over_live_jobs_and_history() {
    let world = World::new();
    world.get("/jobs").await.is("6.1 empty", 200, "[]");
    let etl = context("etl", ContextState::Running);
    world.put_context(&etl);
    let mut ids = Vec::new();
    for (hours, state) in [
        (100, JobState::Finished),
        (72, JobState::Error),
        (30, JobState::Finished),
        (2, JobState::Finished),
        (1, JobState::Killed),
        (0, JobState::Finished),
        (0, JobState::Running),
        (0, JobState::Submitted),
    ] {
        let mut one = job(&etl, state);
        one.id = id_hours_ago(hours);
        one.started = Stamp(THEN + 3_600_000 * (1_000 - hours) + u64::try_from(ids.len()).unwrap());
        world.put_job(&one);
        ids.push(one.id.to_string());
    }
    // Seen twice while it moves: the final one counts.
    let mut moving = job(&etl, JobState::Running);
    moving.started = Stamp(THEN + 3_600_000 * 1_000 - 1);
    world.put_job(&moving);
    moving.state = JobState::Finished;
    world.put(world.layout.done(&moving.id), encode(&moving));
    for (query, expected) in [
        ("", vec![6, 5, 99, 4, 3, 2, 1]),
        ("?limit=2", vec![6, 5]),
        ("?limit=0", vec![]),
        ("?limit=-1", vec![]),
        // The one that moves was running when the live ones were read.
        ("?status=running", vec![6, 99]),
        ("?status=FINISHED&limit=3", vec![5, 99, 3]),
        ("?status=error", vec![1]),
        ("?status=KILLED", vec![4]),
        ("?status=STARTED", vec![]),
        ("?status=nonsense", vec![]),
    ] {
        let seen = world.get(&format!("/jobs{query}")).await;
        let found: Vec<String> = seen
            .json()
            .as_array()
            .unwrap()
            .iter()
            .map(|job| job["jobId"].as_str().unwrap().to_owned())
            .collect();
        let name = |index: &usize| ids.get(*index).cloned().unwrap_or(moving.id.to_string());
        let expected: Vec<String> = expected.iter().map(name).collect();
        assert_eq!(found, expected, "{query}");
        assert_eq!(seen.status, 200, "{query}");
    }
}

#[tokio::test]
async fn an_unreadable_record_hides_only_itself() {
    let world = World::new();
    let etl = context("etl", ContextState::Running);
    world.put_context(&etl);
    world.put_job(&job(&etl, JobState::Running));
    world.put(
        world.layout.job(&etl.id, &JobId::new("damaged")),
        "{".into(),
    );
    assert_eq!(world.get("/jobs").await.json().as_array().unwrap().len(), 1);
}
