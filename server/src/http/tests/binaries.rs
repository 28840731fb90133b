//! rest-api.md 3.

use super::support::{World, context, job};
use axum::body::Body;
use doyen_core::records::context::ContextState;
use doyen_core::records::job::{BINARY_VERSIONS_MAX, BinaryRecord, JobState};
use sha2::{Digest, Sha256};
use std::sync::atomic::Ordering;

const ZIP: &[u8] = b"PK\x03\x04 and more";
const JAR: &str = "application/java-archive";
const WHEEL: &str = "application/python-wheel";
const CREATED: &str = r#"{"status":"SUCCESS"}"#;
const WRONG: &str = r#"{"status":"ERROR","result":"Binary is not of the right format"}"#;

/// Row, content type, body (`zip` is a good one), what is stored or the content type refused.
const TABLE_3_3: &str = "
    jar               | application/java-archive                | zip          | 201 | Jar
    case and charset  | Application/Java-Archive; charset=utf-8 | zip          | 201 | Jar
    egg               | application/python-egg                  | zip          | 201 | Egg
    wheel             | application/python-wheel                | zip          | 201 | Wheel
    alias             | application/python-archive              | zip          | 201 | Egg
    executable        | application/x-executable                | #!/bin/sh    | 201 | Executable
    empty executable  | application/x-executable                |              | 400 | -
    other parameter   | application/java-archive;a=b            | zip          | 415 | \
        application/java-archive; a=b
    other type        | text/plain                              | zip          | 415 | text/plain
    type, then format | text/plain                              |              | 415 | text/plain
    empty             | application/java-archive                |              | 400 | -
    four bytes        | application/python-wheel                | PK\x03\x04   | 400 | -
    no signature      | application/java-archive                | PK\x05\x06 x | 400 | -
    short and wrong   | application/python-egg                  | PQ           | 400 | -";

#[tokio::test]
async fn the_table_of_3_3_by_content_type_and_format() {
    let world = World::new();
    let unsupported =
        |kind: &str| format!(r#"{{"status":"ERROR","result":"Unsupported binary type {kind}"}}"#);
    for (index, line) in TABLE_3_3.trim().lines().enumerate() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [row, kind, body, status, last] = cells[..] else {
            panic!("not five cells: {line}");
        };
        let body = if body == "zip" { ZIP } else { body.as_bytes() };
        let name = format!("b{index}");
        let seen = world.upload(&name, kind, body).await;
        let answer = match status {
            "201" => CREATED.to_owned(),
            "400" => WRONG.to_owned(),
            _ => unsupported(last),
        };
        seen.is(row, status.parse().unwrap(), &answer);
        let shown = world.get(&format!("/binaries/{name}")).await;
        match status {
            "201" => assert_eq!(shown.json()["binary-type"], last, "{row}"),
            _ => assert_eq!(shown.status, 404, "{row}"),
        }
    }
    let seen = world.send("POST /binaries/x", &[], ZIP.to_vec()).await;
    let missing = unsupported("application/octet-stream");
    seen.is("missing type", 415, &missing);
}

#[tokio::test]
async fn lists_and_reports_show_the_newest_version_of_each_name() {
    let world = World::new();
    world.get("/binaries").await.is("3.1 empty", 200, "{}");
    world.get("/binaries/wordcount").await.is(
        "3.2 unknown",
        404,
        r#"{"status":"ERROR","result":"Can't find binary with name wordcount"}"#,
    );
    assert_eq!(world.upload("wordcount", JAR, ZIP).await.status, 201);
    let first = world.get("/binaries/wordcount").await.json();
    assert_eq!(first["app-name"], "wordcount");
    assert_eq!(first["upload-time"], "2024-03-05T09:10:11.120Z");
    assert_eq!(world.upload("wordcount", WHEEL, ZIP).await.status, 201);
    let second = world.get("/binaries/wordcount").await.json();
    assert_eq!(second["binary-type"], "Wheel");
    assert!(second["upload-time"].as_str() > first["upload-time"].as_str());
    let all = world.get("/binaries/").await.json();
    assert_eq!(all["wordcount"]["binary-type"], "Wheel");
    assert_eq!(all.as_object().unwrap().len(), 1);
    let objects = world.objects.objects.lock().unwrap();
    let hash = crate::http::upload::hex(&Sha256::digest(ZIP));
    assert_eq!(
        objects.keys().collect::<Vec<_>>(),
        [&hash],
        "one object for equal bytes"
    );
    assert_eq!(objects[&hash], ZIP);
}

#[tokio::test]
async fn odd_names_are_names_like_any_other() {
    let world = World::new();
    for (path, name) in [
        ("a%2Fb", "a/b"),
        ("%C3%BC", "ü"),
        ("..", ".."),
        ("%2e", "."),
        ("1", "1"),
    ] {
        assert_eq!(world.upload(path, JAR, ZIP).await.status, 201, "{name}");
        let shown = world.get(&format!("/binaries/{path}")).await.json();
        assert_eq!(shown["app-name"], name);
    }
    assert_eq!(
        world
            .get("/binaries")
            .await
            .json()
            .as_object()
            .unwrap()
            .len(),
        5
    );
    let long = "x".repeat(256);
    assert_eq!(world.upload(&long, JAR, ZIP).await.status, 400);
}

#[tokio::test]
async fn versions_are_bounded_and_survive_refusals_and_lost_answers() {
    let world = World::new();
    for round in 0..BINARY_VERSIONS_MAX + 2 {
        world
            .store
            .refuse
            .store(u32::from(round == 1) * 3, Ordering::SeqCst);
        world
            .store
            .lose
            .store(u32::from(round == 2), Ordering::SeqCst);
        assert_eq!(world.upload("b", JAR, ZIP).await.status, 201);
        if round == 2 {
            assert_eq!(
                versions(&world),
                3,
                "a lost answer is not committed twice (W4)"
            );
        }
    }
    assert_eq!(versions(&world), BINARY_VERSIONS_MAX);
}

fn versions(world: &World) -> usize {
    let model = world.store.model.lock().unwrap();
    let (_, stored) = model.records().next().unwrap();
    let record: BinaryRecord = serde_json::from_str(&stored.value).unwrap();
    record.versions.len()
}

#[tokio::test]
async fn failing_stores_are_a_storage_failure_and_a_full_spool_names_its_folder() {
    let world = World::new();
    *world.objects.failure.lock().unwrap() = Some(String::from("no space left"));
    let seen = world.upload("b", JAR, ZIP).await;
    assert_eq!(
        (seen.status.as_u16(), &seen.json()["status"]),
        (500, &"Storage Failure".into())
    );
    assert_eq!(seen.json()["result"]["message"], "no space left");
    *world.objects.failure.lock().unwrap() = None;
    world.store.away.store(true, Ordering::SeqCst);
    let seen = world.upload("b", JAR, ZIP).await;
    assert_eq!(
        (seen.status.as_u16(), &seen.json()["status"]),
        (500, &"Storage Failure".into())
    );

    let world = World::with(|settings| settings.spool_dir = "/nonexistent/spool".into());
    let seen = world.upload("b", JAR, ZIP).await;
    assert_eq!(seen.status, 500);
    let message = seen.json()["result"]["message"].to_string();
    assert!(message.contains("/nonexistent/spool"), "{message}");
}

#[tokio::test]
async fn the_table_of_3_4() {
    let world = World::new();
    let missing = r#"{"status":"ERROR","result":"can't find binary with name wordcount"}"#;
    let delete = async |world: &World| {
        world
            .send("DELETE /binaries/wordcount", &[], Body::empty())
            .await
    };
    delete(&world).await.is("unknown", 404, missing);
    world.upload("wordcount", JAR, ZIP).await;
    let etl = context("etl", ContextState::Running);
    world.put_context(&etl);
    let (first, second) = (job(&etl, JobState::Running), job(&etl, JobState::Submitted));
    for one in [&first, &second, &job(&etl, JobState::Finished)] {
        world.put_job(one);
    }
    let used = format!(
        r#"{{"status":"ERROR","result":"Binary is in use by job(s): {}, {}"}}"#,
        first.id, second.id
    );
    delete(&world).await.is("in use", 403, &used);

    let world = World::new();
    world.upload("wordcount", JAR, ZIP).await;
    world.store.lose.store(1, Ordering::SeqCst);
    delete(&world).await.is("lost answer", 200, CREATED);
    world.get("/binaries").await.is("gone", 200, "{}");
    delete(&world).await.is("again", 404, missing);
}

#[tokio::test]
async fn bodies_over_the_bound_are_413_announced_or_not() {
    let world = World::with(|settings| settings.max_content_length = 100);
    let large = vec![b'x'; 101];
    let announced = world
        .send(
            "POST /binaries/b",
            &[
                "content-type: application/java-archive",
                "content-length: 101",
            ],
            large.clone(),
        )
        .await;
    assert_eq!(announced.status, 413);
    assert!(
        announced
            .body
            .starts_with("The request content was malformed:")
    );
    let pieces = futures_util::stream::iter(
        [ZIP.to_vec(), vec![b'x'; 90], vec![b'x'; 90]].map(Ok::<_, std::io::Error>),
    );
    let seen = world.upload("b", JAR, Body::from_stream(pieces)).await;
    assert_eq!(seen.status, 413);
    for path in ["/contexts/c", "/jobs"] {
        let seen = world
            .send(&format!("POST {path}"), &[], large.clone())
            .await;
        assert_eq!(seen.status, 413, "{path}");
    }
    assert!(world.objects.objects.lock().unwrap().is_empty());
}
