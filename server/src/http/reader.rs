//! Reads of the store, and what is answered while it is away (protocol.md B).

use super::App;
use super::reply::{self, Failure, Outcome, Remembered};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use doyen_core::records::key::{Key, Layout};
use doyen_core::records::transaction::{Query, ReadOutcome, Snapshot};
use doyen_core::records::{Versioned, decode};
use serde::de::DeserializeOwned;
use std::future::Future;
use std::time::{Duration, Instant};

/// How stale an answer is, in seconds.
const STALE: HeaderName = HeaderName::from_static("doyen-stale");
/// The pause between two tries of a store that fails at once.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

impl App {
    /// Where this cluster's records lie.
    pub(crate) fn layout(&self) -> Result<Layout, Failure> {
        let view = self.gateway.view();
        let cluster = view.cluster.as_ref();
        cluster.map(Layout::new).ok_or_else(|| {
            let why = view.not_ready.as_deref().unwrap_or("it is starting");
            let text = format!("this server is in no cluster yet: {why}");
            reply::unavailable("ERROR", &text, 1).into()
        })
    }

    /// Refuses a write while this server takes none (protocol.md F8).
    pub(crate) fn check_ready(&self) -> Result<(), Failure> {
        let view = self.gateway.view();
        if view.takes_calls {
            return Ok(());
        }
        let why = view.not_ready.as_deref().unwrap_or("it is not listed");
        Err(not_ready(why).into())
    }

    /// One read; its barrier begins now.
    pub(crate) async fn read(&self, query: Query) -> Result<Snapshot, Failure> {
        let deadline = self.settings.read_deadline;
        match tokio::time::timeout(deadline, self.metadata.read(query)).await {
            Ok(ReadOutcome::Snapshot(snapshot)) => Ok(snapshot),
            Ok(ReadOutcome::Failed { reason }) => Err(Failure::StoreAway(reason)),
            Err(_) => Err(Failure::StoreAway(format!(
                "no answer within {} ms",
                deadline.as_millis()
            ))),
        }
    }

    /// Reads again and again until `bound` has passed: for requests that must not be answered
    /// from an older view, and must not fail because the store is away for a moment.
    pub(crate) async fn patiently<T, R>(
        &self,
        bound: Duration,
        read: impl Fn() -> R,
    ) -> Result<T, Failure>
    where
        R: Future<Output = Result<T, Failure>>,
    {
        let until = Instant::now() + bound;
        loop {
            match read().await {
                Err(Failure::StoreAway(_)) if Instant::now() < until => {
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                other => return other,
            }
        }
    }

    /// One read, patiently.
    pub(crate) async fn read_within(
        &self,
        query: Query,
        bound: Duration,
    ) -> Result<Snapshot, Failure> {
        self.patiently(bound, || self.read(query.clone())).await
    }
}

/// The 503 of a server that takes no calls now.
pub(crate) fn not_ready(why: &str) -> Response {
    reply::unavailable(
        "ERROR",
        &format!("this server takes no calls now: {why}"),
        1,
    )
}

/// The record under this key, if it is there and can be read; one that cannot is reported.
pub(crate) fn record<T: DeserializeOwned>(
    snapshot: &Snapshot,
    key: &Key,
    what: &'static str,
) -> Option<Versioned<T>> {
    let stored = snapshot.records.get(key)?;
    decode(key, what, stored)
        .inspect_err(|error| tracing::error!(%error, "skipping a record"))
        .ok()
}

/// The records of a folder; those that cannot be read are reported and left out.
pub(crate) fn records<T: DeserializeOwned>(
    snapshot: &Snapshot,
    folder: &Key,
    what: &'static str,
) -> Vec<T> {
    snapshot
        .in_folder(folder)
        .filter_map(|(key, _)| record(snapshot, key, what))
        .map(|versioned| versioned.value)
        .collect()
}

/// Answers a read: from the store; when it is away for `read-deadline`, from the last answer of
/// this resource; without one, the store gets the rest of `short-timeout`, then it is a 503.
pub(crate) async fn answer<F, R>(app: &App, resource: &str, handler: F) -> Response
where
    F: Fn() -> R,
    R: Future<Output = Outcome>,
{
    let start = Instant::now();
    loop {
        let reason = match handler().await {
            Ok(response) => return fresh(app, resource, response),
            Err(Failure::Answer(response)) => return *response,
            Err(Failure::StoreAway(reason)) => reason,
        };
        let waited = start.elapsed();
        if waited >= app.settings.read_deadline
            && let Some((bytes, read_at)) = app.answers.last(resource)
        {
            tracing::debug!(resource, reason, "answering from an older read");
            let answer = reply::json_bytes(StatusCode::OK, bytes);
            return stale(answer, read_at.elapsed());
        }
        if waited >= app.settings.short_timeout {
            return reply::store_away(&reason);
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

/// Remembers a good answer; marks it when this server is not listed (protocol.md F8).
fn fresh(app: &App, resource: &str, response: Response) -> Response {
    if response.status() == StatusCode::OK
        && let Some(Remembered(bytes)) = response.extensions().get()
    {
        app.answers.remember(resource, bytes.clone());
    }
    let view = app.gateway.view();
    if view.ready {
        return response;
    }
    stale(
        response,
        Duration::from_millis(view.store_age_ms.unwrap_or(0)),
    )
}

fn stale(mut response: Response, age: Duration) -> Response {
    let seconds = age.as_millis().div_ceil(1_000).max(1);
    if let Ok(value) = HeaderValue::from_str(&seconds.to_string()) {
        response.headers_mut().insert(STALE, value);
    }
    response
}
