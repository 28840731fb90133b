//! `/readyz`, `/cluster`, `/cluster/leave` (design.md 8).

use super::request::Asked;
use super::server::Peer;
use super::{App, guard, reply};
use axum::http::StatusCode;
use axum::response::Response;
use doyen_core::process::ClusterView;
use serde_json::json;

/// `GET /cluster`: what this server knows of the cluster, as `doyen members` reads it.
pub(crate) fn show(app: &App) -> Response {
    reply::json(StatusCode::OK, app.gateway.view().as_ref())
}

/// How a server stands towards its proxy.
enum Readiness {
    Ready,
    /// Nobody has the store: the proxy keeps its backends, reads are marked stale.
    Degraded,
    NotReady(String),
}

fn readiness(app: &App, view: &ClusterView) -> Readiness {
    if !view.ready {
        let why = view.not_ready.as_deref().unwrap_or("it is not listed");
        return Readiness::NotReady(why.to_owned());
    }
    let lost_after = app.settings.store_lost_after.as_millis();
    let has_store = view
        .store_age_ms
        .is_some_and(|age| u128::from(age) <= lost_after);
    match (has_store, view.others_have_store) {
        (true, _) => Readiness::Ready,
        (false, true) => Readiness::NotReady(String::from(
            "this server does not reach the store, others do",
        )),
        (false, false) => Readiness::Degraded,
    }
}

/// `GET /readyz`.
pub(crate) fn ready(app: &App) -> Response {
    let warnings = &app.settings.warnings;
    match readiness(app, &app.gateway.view()) {
        Readiness::Ready => {
            let body = json!({"status": "ready", "warnings": warnings});
            reply::json(StatusCode::OK, &body)
        }
        Readiness::Degraded => {
            let reason = "no server reaches the store: reads are marked stale, writes wait";
            let body = json!({"status": "degraded", "reason": reason, "warnings": warnings});
            reply::json(StatusCode::OK, &body)
        }
        Readiness::NotReady(reason) => {
            let body = json!({"status": "not ready", "reason": reason, "warnings": warnings});
            reply::json(StatusCode::SERVICE_UNAVAILABLE, &body)
        }
    }
}

/// `POST /cluster/leave`, from this host only.
pub(crate) fn leave(app: &App, peer: Option<Peer>, asked: &Asked) -> Response {
    if !guard::is_from_loopback(peer, &asked.headers, &asked.uri) {
        let text = "A server leaves only when asked from its own host.";
        return reply::text(StatusCode::FORBIDDEN, text);
    }
    app.gateway.leave();
    reply::success(StatusCode::ACCEPTED, Some("leaving"))
}
