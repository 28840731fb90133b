//! `GET /jobs/<id>/config` (rest-api.md 6.4).

use super::App;
use super::jobs::{find, no_such_job};
use super::reply::{self, Failure, Outcome};
use axum::body::Bytes;
use axum::http::StatusCode;
use doyen_core::records::job::Payload;
use doyen_runtime::store::BinaryError;
use futures_util::StreamExt;
use serde_json::Value;

/// The posted configuration, pretty-printed; jobs that were waited for show none.
pub(crate) async fn get(app: &App, id: &str) -> Outcome {
    let Some(job) = find(app, id).await?.filter(|job| !job.sync) else {
        return Ok(no_such_job(id));
    };
    let Some(text) = payload(app, &job.config).await? else {
        return Ok(no_such_job(id));
    };
    let pretty = serde_json::from_str::<Value>(&text)
        .and_then(|value| serde_json::to_vec_pretty(&value))
        .map_err(|error| unreadable(id, &error.to_string()))?;
    Ok(reply::json_bytes(StatusCode::OK, Bytes::from(pretty)))
}

/// The text of a payload, at most as long as a body may be; `None` when its object is gone.
async fn payload(app: &App, payload: &Payload) -> Result<Option<String>, Failure> {
    let name = match payload {
        Payload::Inline(text) => return Ok(Some(text.clone())),
        Payload::Object(name) => name,
    };
    let mut content = match app.binaries.get(name).await {
        Ok(content) => content,
        Err(BinaryError::NotFound(_)) => return Ok(None),
        Err(error) => return Err(Failure::StoreAway(error.to_string())),
    };
    let mut bytes = Vec::new();
    let limit = usize::try_from(app.settings.max_content_length).unwrap_or(usize::MAX);
    // JSON of a HOCON text may be longer than the text, since keys are written out.
    let limit = limit.saturating_mul(4);
    while let Some(piece) = content.next().await {
        let piece = piece.map_err(|error| Failure::StoreAway(error.to_string()))?;
        if bytes.len() + piece.len() > limit {
            return Err(unreadable(name, "it is over the bound of a body"));
        }
        bytes.extend_from_slice(&piece);
    }
    let text = String::from_utf8(bytes).map_err(|error| unreadable(name, &error.to_string()))?;
    Ok(Some(text))
}

fn unreadable(what: &str, reason: &str) -> Failure {
    tracing::error!(what, reason, "a stored configuration cannot be read");
    let text = format!("the configuration of {what} cannot be read: {reason}");
    reply::error(StatusCode::INTERNAL_SERVER_ERROR, &text).into()
}
