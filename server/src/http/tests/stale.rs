//! Reads while the store is away, and servers that are not listed (protocol.md B3, F8).

use super::support::{World, context, job};
use axum::body::Body;
use doyen_core::output::Answer;
use doyen_core::records::context::ContextState;
use doyen_core::records::job::JobState;
use std::sync::atomic::Ordering;
use std::time::Duration;

#[tokio::test]
async fn while_the_store_is_away_reads_are_answered_from_the_last_answer_and_marked() {
    let world = World::new();
    let etl = context("etl", ContextState::Running);
    world.put_context(&etl);
    let one = job(&etl, JobState::Running);
    world.put_job(&one);
    let known = [
        String::from("/contexts"),
        String::from("/contexts/etl"),
        String::from("/jobs?limit=5"),
        format!("/jobs/{}", one.id),
        format!("/jobs/{}/config", one.id),
        String::from("/binaries"),
    ];
    let mut before = Vec::new();
    for path in &known {
        let seen = world.get(path).await;
        assert_eq!(
            (seen.status.as_u16(), seen.header("doyen-stale")),
            (200, None),
            "{path}"
        );
        before.push(seen.body);
    }
    world.store.away.store(true, Ordering::SeqCst);
    for (path, before) in known.iter().zip(before) {
        let seen = world.get(path).await;
        seen.is(path, 200, &before);
        let seconds: u64 = seen.header("doyen-stale").unwrap().parse().unwrap();
        assert!((1..60).contains(&seconds), "{path}: {seconds}");
    }
    let seen = world.get("/contexts/other").await;
    assert_eq!(
        (seen.status.as_u16(), seen.header("retry-after")),
        (503, Some("1"))
    );
    let text = seen.json()["result"].as_str().unwrap().to_owned();
    assert!(text.starts_with("the store is out of reach: "), "{text}");
}

#[tokio::test]
async fn a_store_that_comes_back_in_time_is_waited_for() {
    let world = World::with(|settings| settings.short_timeout = Duration::from_secs(20));
    world.put_context(&context("etl", ContextState::Running));
    world.store.away.store(true, Ordering::SeqCst);
    let back = async {
        while world.store.reads.load(Ordering::SeqCst) < 3 {
            tokio::task::yield_now().await;
        }
        world.store.away.store(false, Ordering::SeqCst);
    };
    let (seen, ()) = tokio::join!(world.get("/contexts"), back);
    seen.is("B3", 200, r#"["etl"]"#);
    assert_eq!(seen.header("doyen-stale"), None);
}

#[tokio::test]
async fn writes_wait_for_a_store_that_is_away_for_a_moment() {
    let world = World::with(|settings| settings.gateway_hold = Duration::from_secs(20));
    let seen = world.upload("b", "application/x-executable", "x").await;
    assert_eq!(seen.status, 201);
    let etl = context("etl", ContextState::Running);
    let one = job(&etl, JobState::Running);
    world.put_job(&one);
    let kill = format!("DELETE /jobs/{}", one.id);
    let submit = "POST /jobs?cp=b&mainClass=m&context=etl";
    for (line, answer, status) in [
        (kill.as_str(), Some(Answer::JobNotFound), 404),
        (submit, Some(Answer::ContextNotFound), 404),
        ("DELETE /binaries/b", None, 200),
    ] {
        world.gateway.answers.lock().unwrap().extend(answer);
        world.store.away.store(true, Ordering::SeqCst);
        let before = world.store.reads.load(Ordering::SeqCst);
        let back = async {
            while world.store.reads.load(Ordering::SeqCst) < before + 3 {
                tokio::task::yield_now().await;
            }
            world.store.away.store(false, Ordering::SeqCst);
        };
        let (seen, ()) = tokio::join!(world.send(line, &[], Body::empty()), back);
        assert_eq!(seen.status.as_u16(), status, "{line}: {}", seen.body);
    }
}

#[tokio::test]
async fn a_server_that_is_not_listed_marks_its_reads_and_takes_no_writes() {
    let world = World::new();
    world.change_view(|view| {
        view.ready = false;
        view.takes_calls = false;
        view.not_ready = Some("left out".into());
        view.store_age_ms = Some(2_500);
    });
    let seen = world.get("/contexts").await;
    assert_eq!(
        (seen.status.as_u16(), seen.header("doyen-stale")),
        (200, Some("3"))
    );
    for line in [
        "POST /binaries/b",
        "DELETE /binaries/b",
        "POST /jobs?cp=a&mainClass=b",
    ] {
        let headers = ["content-type: application/java-archive"];
        let seen = world.send(line, &headers, Body::empty()).await;
        seen.is(
            line,
            503,
            r#"{"status":"ERROR","result":"this server takes no calls now: left out"}"#,
        );
    }
    world.change_view(|view| view.cluster = None);
    let seen = world.get("/jobs").await;
    assert_eq!(
        (seen.status.as_u16(), seen.header("retry-after")),
        (503, Some("1"))
    );
}
