//! Bodies: bounded, timed, and texts only within a budget of memory for all requests.

use super::App;
use super::reply::{self, Failure};
use super::settings::HttpSettings;
use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use serde_json::{Map, Value};
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// Memory for text bodies of all requests together.
const TEXTS_KIB_MAX: u64 = 64 * 1024;
/// A parse of more bytes than this is taken off the I/O threads.
const PARSE_INLINE_BYTES: usize = 16 * 1024;
/// How much of a refused body is still read, so that the client sees the answer and no reset.
const DISCARD_BYTES_MAX: usize = 64 * 1024 * 1024;
/// For how long a refused body is still read.
const DISCARD_TIME_MAX: Duration = Duration::from_secs(2);

/// How many kibibytes of texts may be in memory at once; at least one whole body fits.
pub(crate) fn budget_kib(settings: &HttpSettings) -> usize {
    let one = settings.max_content_length.div_ceil(1024) + 1;
    usize::try_from(one.max(TEXTS_KIB_MAX))
        .unwrap_or(usize::MAX)
        .min(tokio::sync::Semaphore::MAX_PERMITS)
}

/// A body that is read piece by piece, within its bound of bytes and of time between pieces.
pub(crate) struct Bounded {
    body: Body,
    left: u64,
    limit: u64,
    idle: Duration,
}

impl Bounded {
    /// Refuses a body whose announced length is over the bound, before any of it is read.
    pub(crate) fn new(app: &App, headers: &HeaderMap, body: Body) -> Result<Self, Failure> {
        let limit = app.settings.max_content_length;
        let announced = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok());
        let announced = announced.and_then(|text| text.parse::<u64>().ok());
        if announced.is_some_and(|length| length > limit) {
            discard(body);
            return Err(reply::too_large(limit).into());
        }
        Ok(Self {
            body,
            left: limit,
            limit,
            idle: app.settings.idle_timeout,
        })
    }

    /// The next piece; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let frame = match tokio::time::timeout(self.idle, self.body.frame()).await {
                Err(_) => {
                    let text = "The request body stood still for longer than the idle timeout.";
                    return Err(reply::text(StatusCode::REQUEST_TIMEOUT, text).into());
                }
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => {
                    let text = format!("The request content was malformed:\n{error}");
                    return Err(reply::text(StatusCode::BAD_REQUEST, &text).into());
                }
                Ok(Some(Ok(frame))) => frame,
            };
            let Ok(bytes) = frame.into_data() else {
                continue;
            };
            let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            let Some(left) = self.left.checked_sub(length) else {
                discard(std::mem::take(&mut self.body));
                return Err(reply::too_large(self.limit).into());
            };
            self.left = left;
            return Ok(Some(bytes));
        }
    }

    /// Gives up the rest.
    pub(crate) fn refuse(self) {
        discard(self.body);
    }
}

/// Reads on a little and forgets: a connection that is closed with unread bytes is reset, and the
/// reset may overtake the answer.
pub(crate) fn discard(mut body: Body) {
    if body.is_end_stream() {
        return;
    }
    tokio::spawn(async move {
        let reading = async {
            let mut read = 0_usize;
            while let Some(Ok(frame)) = body.frame().await {
                read = read.saturating_add(frame.data_ref().map_or(0, Bytes::len));
                if read > DISCARD_BYTES_MAX {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(DISCARD_TIME_MAX, reading).await;
    });
}

/// A text body.
pub(crate) struct TextBody {
    /// Its bytes, for digests.
    pub(crate) bytes: Vec<u8>,
    /// Its text.
    pub(crate) text: String,
    /// Its share of the budget.
    _permit: Option<OwnedSemaphorePermit>,
}

/// Reads a text body whole, within the budget.
pub(crate) async fn text(app: &App, headers: &HeaderMap, body: Body) -> Result<TextBody, Failure> {
    let mut bounded = Bounded::new(app, headers, body)?;
    let mut bytes = Vec::new();
    let mut permit: Option<OwnedSemaphorePermit> = None;
    while let Some(piece) = bounded.next().await? {
        bytes.extend_from_slice(&piece);
        let held = permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let missing = bytes.len().div_ceil(1024).saturating_sub(held);
        let missing = u32::try_from(missing).unwrap_or(u32::MAX);
        let Ok(more) = app.body_budget.clone().try_acquire_many_owned(missing) else {
            bounded.refuse();
            let text = "too many large bodies at once; try again";
            return Err(reply::unavailable("ERROR", text, 1).into());
        };
        match &mut permit {
            Some(held) => held.merge(more),
            None => permit = Some(more),
        }
    }
    let text = decode(headers, &bytes)?;
    Ok(TextBody {
        bytes,
        text,
        _permit: permit,
    })
}

/// The text in the charset of the content type, otherwise UTF-8 (rest-api.md 1.1).
fn decode(headers: &HeaderMap, bytes: &[u8]) -> Result<String, Failure> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let charset = content_type
        .into_iter()
        .flat_map(|text| text.split(';').skip(1))
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))
        .map(|(_, value)| value.trim().trim_matches('"').to_ascii_lowercase());
    match charset.as_deref() {
        None | Some("utf-8" | "utf8" | "us-ascii") => {
            Ok(String::from_utf8_lossy(bytes).into_owned())
        }
        Some("iso-8859-1" | "latin1") => Ok(bytes.iter().copied().map(char::from).collect()),
        Some(other) => {
            let text = format!("charset `{other}` is not supported: send UTF-8");
            Err(reply::error(StatusCode::UNSUPPORTED_MEDIA_TYPE, &text).into())
        }
    }
}

/// A posted configuration: an empty body is an empty one (rest-api.md 4.3, 5.2).
pub(crate) async fn configuration(
    app: &App,
    body: &TextBody,
) -> Result<Map<String, Value>, Failure> {
    if body.text.trim().is_empty() {
        return Ok(Map::new());
    }
    let parse = app.settings.parse_body;
    let parsed = if body.text.len() <= PARSE_INLINE_BYTES {
        parse(&body.text)
    } else {
        let text = body.text.clone();
        tokio::task::spawn_blocking(move || parse(&text))
            .await
            .unwrap_or_else(|_| Err(String::from("the parser failed")))
    };
    match parsed {
        Ok(Value::Object(map)) => Ok(map),
        Ok(_) => Err(cannot_parse("the body must be an object of settings")),
        Err(message) => Err(cannot_parse(&message)),
    }
}

/// The 400 of a configuration that cannot be used (rest-api.md 5.4).
pub(crate) fn cannot_parse(message: &str) -> Failure {
    let text = format!("Cannot parse config: {message}");
    reply::error(StatusCode::BAD_REQUEST, &text).into()
}
