//! rest-api.md 1, and design.md 8.

use super::support::{World, context, loopback};
use axum::body::Body;
use axum::http::Request;
use doyen_core::output::Answer;
use doyen_core::records::call::CallOutcome;
use doyen_core::records::context::ContextState;
use std::sync::atomic::Ordering;
use std::time::Duration;

const NO_ROUTE: &str = "The requested resource could not be found.";

#[tokio::test]
async fn the_generic_answers_of_1_6() {
    let world = World::new();
    let methods = |names: &str| format!("HTTP method not allowed, supported methods: {names}");
    for (line, status, body) in [
        ("GET /nothing", 404, NO_ROUTE.to_owned()),
        ("GET /", 404, NO_ROUTE.to_owned()),
        ("GET /jars", 404, NO_ROUTE.to_owned()),
        ("GET /binaries/a/b", 404, NO_ROUTE.to_owned()),
        ("POST /nothing", 405, methods("GET")),
        ("PUT /jobs", 405, methods("GET, POST")),
        ("PATCH /contexts/c", 405, methods("GET, POST, DELETE")),
        ("POST /binaries", 405, methods("GET")),
        ("DELETE /cluster", 405, methods("GET")),
        ("OPTIONS /jobs", 405, methods("GET, POST")),
        (
            "PUT /contexts",
            404,
            "Request is missing required query parameter 'reset'".to_owned(),
        ),
        (
            "GET /jobs?limit=x",
            400,
            "The query parameter 'limit' was malformed:\n'x' is not a valid 32-bit signed integer value".to_owned(),
        ),
        (
            "POST /jobs?cp=a&mainClass=b&sync=perhaps",
            400,
            "The query parameter 'sync' was malformed:\n'perhaps' is not a valid Boolean value".to_owned(),
        ),
        (
            "POST /jobs?cp=a&mainClass=b&timeout=1.5",
            400,
            "The query parameter 'timeout' was malformed:\n'1.5' is not a valid 32-bit signed integer value".to_owned(),
        ),
    ] {
        let seen = world.send(line, &[], Body::empty()).await;
        seen.is(line, status, &body);
        assert_eq!(seen.header("content-type"), Some("text/plain; charset=UTF-8"), "{line}");
        let allow = body.strip_prefix("HTTP method not allowed, supported methods: ");
        assert_eq!(seen.header("allow"), allow, "{line}");
    }
}

#[tokio::test]
async fn what_is_not_built_says_so() {
    let world = World::new();
    for line in [
        "PUT /contexts?reset=reboot",
        "GET /data",
        "GET /data/",
        "POST /data/x",
        "DELETE /data/x",
        "PUT /data?reset=reboot",
        "POST /jobs?cp=a&mainClass=b&callbackUrl=http%3A%2F%2Fh%2F",
    ] {
        let seen = world.send(line, &[], Body::empty()).await;
        assert_eq!(seen.status, 501, "{line}");
        let json = seen.json();
        assert_eq!(json["status"], "ERROR", "{line}");
        assert!(
            json["result"].as_str().unwrap().contains("not built yet"),
            "{line}"
        );
    }
}

#[tokio::test]
async fn health_and_life_answer_whatever_the_store_does() {
    let world = World::new();
    world.store.away.store(true, Ordering::SeqCst);
    for path in ["/healthz", "/healthz/x", "/livez"] {
        world
            .get(path)
            .await
            .is("8", 200, r#"{"status":"SUCCESS"}"#);
    }
    assert_eq!(world.store.reads.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn only_a_post_may_override_its_method() {
    let world = World::new();
    let stopped = || {
        let context = doyen_core::identity::ContextId::new("x");
        Answer::Call(CallOutcome::ContextStopped { context })
    };
    let seen = world
        .will_answer(stopped())
        .send("POST /contexts/c1?_method=delete", &[], "")
        .await;
    seen.is(
        "1.4",
        200,
        r#"{"status":"SUCCESS","result":"Context stopped"}"#,
    );
    let seen = world
        .send("POST /contexts/c1?_method=EXPLODE", &[], "")
        .await;
    assert_eq!(seen.status, 501);
    let seen = world.get("/contexts/c1?_method=DELETE").await;
    assert_eq!(seen.status, 404, "a GET stays a GET");
    assert_eq!(world.gateway.calls.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn head_is_get_without_its_body() {
    let world = World::new();
    world.put_context(&context("etl", ContextState::Running));
    for (line, status) in [
        ("HEAD /contexts", 200),
        ("HEAD /contexts/x", 404),
        ("HEAD /nothing", 404),
    ] {
        world
            .send(line, &[], Body::empty())
            .await
            .is(line, status, "");
    }
}

#[tokio::test]
async fn an_accept_without_json_is_406() {
    let world = World::new();
    for (accept, status) in [
        ("text/html", 406),
        ("application/json;q=0", 406),
        ("text/html, */*;q=0.1", 200),
        ("application/*", 200),
        ("Application/JSON; charset=utf-8", 200),
    ] {
        let seen = world
            .send("GET /jobs", &[&format!("accept: {accept}")], "")
            .await;
        assert_eq!(seen.status.as_u16(), status, "{accept}");
    }
}

#[tokio::test]
async fn on_loopback_the_host_must_be_this_host() {
    let world = World::new();
    for (host, status) in [
        (Some("localhost:8090"), 200),
        (Some("127.0.0.1"), 200),
        (Some("[::1]:8090"), 200),
        (Some("evil.example"), 403),
        (None, 403),
    ] {
        let mut request = Request::builder().uri("/jobs").extension(loopback());
        if let Some(host) = host {
            request = request.header("host", host);
        }
        let seen = world.ask(request.body(Body::empty()).unwrap()).await;
        assert_eq!(seen.status.as_u16(), status, "{host:?}");
    }
}

#[tokio::test]
async fn foreign_origins_are_refused_unless_listed() {
    let world =
        World::with(|settings| settings.allowed_origins = vec!["https://ui.example".into()]);
    for (origin, status) in [
        ("https://evil.example", 403),
        ("null", 403),
        ("https://ui.example", 200),
        ("http://h:8090", 200),
    ] {
        let headers = ["host: h:8090", &format!("origin: {origin}")];
        let seen = world.send("GET /jobs", &headers, "").await;
        assert_eq!(seen.status.as_u16(), status, "{origin}");
        let allowed = (status == 200).then_some(origin);
        assert_eq!(seen.header("access-control-allow-origin"), allowed);
    }
    let asks = [
        "origin: https://ui.example",
        "access-control-request-method: DELETE",
    ];
    let seen = world.send("OPTIONS /contexts/c", &asks, "").await;
    assert_eq!(seen.status, 200);
    assert_eq!(seen.header("access-control-max-age"), Some("1800"));
}

#[tokio::test]
async fn readiness_follows_listing_and_store() {
    let world = World::with(|settings| settings.warnings = vec!["binds beyond loopback".into()]);
    let seen = world.get("/readyz").await;
    seen.is(
        "ready",
        200,
        r#"{"status":"ready","warnings":["binds beyond loopback"]}"#,
    );
    world.change_view(|view| view.store_age_ms = Some(60_000));
    let seen = world.get("/readyz").await;
    assert_eq!(
        (seen.status.as_u16(), &seen.json()["status"]),
        (503, &"not ready".into())
    );
    world.change_view(|view| view.others_have_store = false);
    let seen = world.get("/readyz").await;
    assert_eq!(
        (seen.status.as_u16(), &seen.json()["status"]),
        (200, &"degraded".into())
    );
    world.change_view(|view| {
        view.ready = false;
        view.not_ready = Some("leaving".into());
    });
    let seen = world.get("/readyz").await;
    assert_eq!(
        (seen.status.as_u16(), &seen.json()["reason"]),
        (503, &"leaving".into())
    );
}

#[tokio::test]
async fn the_cluster_is_shown_as_in_design_8() {
    let shown = World::new().get("/cluster").await.json();
    let own = serde_json::json!({"address": "127.0.0.1:2552", "incarnation": "0000000000000007"});
    assert_eq!(shown["epoch"], 3);
    assert_eq!(shown["generation"], 2);
    assert_eq!(shown["holder"], own);
    let member = serde_json::json!({
        "address": "127.0.0.1:2552", "incarnation": "0000000000000007", "status": "Up", "age": 0,
        "role": "server", "version": "0.1.0", "reachable": true, "context": null,
    });
    assert_eq!(shown["members"], serde_json::json!([member]));
}

#[tokio::test]
async fn a_server_leaves_only_when_its_own_host_asks() {
    let world = World::new();
    let ask = |headers: &[(&str, &str)], peer| {
        let mut request = Request::builder().method("POST").uri("/cluster/leave");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(peer) = peer {
            request = request.extension(peer);
        }
        world.ask(request.body(Body::empty()).unwrap())
    };
    let local = ("host", "localhost:8090");
    let mut far = loopback();
    far.remote = "10.0.0.9:4000".parse().unwrap();
    assert_eq!(ask(&[local], None).await.status, 403);
    assert_eq!(ask(&[local], Some(far)).await.status, 403);
    let proxied = [local, ("x-forwarded-for", "10.0.0.9")];
    assert_eq!(ask(&proxied, Some(loopback())).await.status, 403);
    assert!(!world.gateway.left.load(Ordering::SeqCst));
    assert_eq!(ask(&[local], Some(loopback())).await.status, 202);
    assert!(world.gateway.left.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_500_and_its_work_goes_on() {
    let world = World::with(|settings| settings.request_timeout = Duration::from_millis(50));
    for line in ["DELETE /contexts/etl", "POST /contexts/etl"] {
        world.send(line, &[], r"{}").await.is(
            "1.6 request timeout",
            500,
            r#"{"status":"ERROR","result":"Request timed out. Try using the /jobs/<jobID>, /jobs APIs to get status/results"}"#,
        );
    }
    assert_eq!(world.gateway.calls.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn keys_of_idempotency_are_digested_and_bounded() {
    let world = World::new();
    let send = async |key: &str, body: &'static str| {
        world.will_answer(Answer::Unknown);
        let header = format!("idempotency-key: {key}");
        world
            .send("POST /contexts/etl", &[&header], body)
            .await
            .status
            .as_u16()
    };
    let long = "k".repeat(255);
    for (key, body) in [
        ("k1", "{}"),
        ("k1", "{ }"),
        ("k2", "{}"),
        (long.as_str(), "{}"),
    ] {
        assert_eq!(send(key, body).await, 503);
    }
    let keys: Vec<_> = {
        let calls = world.gateway.calls.lock().unwrap();
        calls.iter().map(|call| call.key.clone().unwrap()).collect()
    };
    assert_eq!(keys[0].digest, keys[1].digest);
    assert_ne!(keys[0].request, keys[1].request, "another body");
    assert_ne!(keys[0].digest, keys[2].digest);
    assert_eq!(keys[0].request, keys[2].request);
    assert_eq!(keys[0].digest.len(), 64);
    for bad in ["", &"k".repeat(256), "ü"] {
        assert_eq!(send(bad, "{}").await, 400, "{bad}");
    }
}
