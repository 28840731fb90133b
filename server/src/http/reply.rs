//! The shapes of answers (rest-api.md 1.2 and 1.6).

use axum::body::{Body, Bytes};
use axum::http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use doyen_core::records::job::JobError;
use serde::Serialize;

/// Why a handler has no ordinary answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It has this answer instead.
    Answer(Box<Response>),
    /// The store did not answer; says why, for logs.
    StoreAway(String),
}

/// What a handler gives.
pub(crate) type Outcome = Result<Response, Failure>;

impl From<Response> for Failure {
    fn from(response: Response) -> Self {
        Self::Answer(Box::new(response))
    }
}

/// The body of a JSON answer, kept beside the response so that it may be remembered.
#[derive(Clone, Debug)]
pub(crate) struct Remembered(pub(crate) Bytes);

#[derive(Serialize)]
struct Envelope<'a, T> {
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<T>,
}

/// An answer of these bytes of JSON.
pub(crate) fn json_bytes(status: StatusCode, bytes: Bytes) -> Response {
    let mut response = Response::new(Body::from(bytes.clone()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response.extensions_mut().insert(Remembered(bytes));
    response
}

/// A JSON answer, compact (rest-api.md 1.1).
pub(crate) fn json<T: Serialize>(status: StatusCode, value: &T) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => json_bytes(status, Bytes::from(bytes)),
        Err(error) => {
            tracing::error!(%error, "an answer cannot be written as JSON");
            text(
                StatusCode::INTERNAL_SERVER_ERROR,
                "There was an internal server error.",
            )
        }
    }
}

/// `{"status":"SUCCESS"}`, with a message if there is one.
pub(crate) fn success(status: StatusCode, result: Option<&str>) -> Response {
    let envelope = Envelope {
        status: "SUCCESS",
        result,
    };
    json(status, &envelope)
}

/// `{"status":"<label>"}`.
pub(crate) fn status_only(label: &str) -> Response {
    let envelope = Envelope::<()> {
        status: label,
        result: None,
    };
    json(StatusCode::OK, &envelope)
}

/// The plain error shape under a label.
pub(crate) fn labelled(status: StatusCode, label: &str, result: &str) -> Response {
    let envelope = Envelope {
        status: label,
        result: Some(result),
    };
    json(status, &envelope)
}

/// The plain error shape.
pub(crate) fn error(status: StatusCode, result: &str) -> Response {
    labelled(status, "ERROR", result)
}

/// The error shape that carries an exception.
pub(crate) fn exception(status: StatusCode, label: &str, error: &JobError) -> Response {
    let envelope = Envelope {
        status: label,
        result: Some(error),
    };
    json(status, &envelope)
}

/// An internal request that had no answer in time (rest-api.md 1.2).
pub(crate) fn ask_timeout(message: &str) -> Response {
    let error = JobError::new("akka.pattern.AskTimeoutException", message);
    exception(StatusCode::INTERNAL_SERVER_ERROR, "ERROR", &error)
}

/// A 503 with `Retry-After` in seconds.
pub(crate) fn unavailable(label: &str, result: &str, retry_after: u32) -> Response {
    let mut response = labelled(StatusCode::SERVICE_UNAVAILABLE, label, result);
    let seconds = HeaderValue::from(retry_after);
    response.headers_mut().insert(RETRY_AFTER, seconds);
    response
}

/// A 503 since the store is out of reach.
pub(crate) fn store_away(reason: &str) -> Response {
    let text = format!("the store is out of reach: {reason}");
    unavailable("ERROR", &text, 1)
}

/// What comes in a later release (501), with the reason.
pub(crate) fn not_built(what: &str) -> Response {
    let text = format!("{what} not built yet in this release of Doyen");
    error(StatusCode::NOT_IMPLEMENTED, &text)
}

/// A generic answer of the HTTP layer, in plain text (rest-api.md 1.6).
pub(crate) fn text(status: StatusCode, body: &str) -> Response {
    let mut response = Response::new(Body::from(body.to_owned()));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=UTF-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

/// No such route.
pub(crate) fn no_route() -> Response {
    text(
        StatusCode::NOT_FOUND,
        "The requested resource could not be found.",
    )
}

/// The path is known, the method is not.
pub(crate) fn wrong_method(allowed: &[Method]) -> Response {
    let names: Vec<&str> = allowed.iter().map(Method::as_str).collect();
    let names = names.join(", ");
    let body = format!("HTTP method not allowed, supported methods: {names}");
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, &body);
    if let Ok(value) = HeaderValue::from_str(&names) {
        response.headers_mut().insert(ALLOW, value);
    }
    response
}

/// A typed query parameter that cannot be read.
pub(crate) fn bad_parameter(name: &str, reason: &str) -> Response {
    let body = format!("The query parameter '{name}' was malformed:\n{reason}");
    text(StatusCode::BAD_REQUEST, &body)
}

/// The body is over its bound (rest-api.md 1.1).
pub(crate) fn too_large(limit: u64) -> Response {
    let body = format!(
        "The request content was malformed:\n\
         the body exceeds the size limit of {limit} bytes \
         (akka.http.server.parsing.max-content-length)"
    );
    text(StatusCode::PAYLOAD_TOO_LARGE, &body)
}
