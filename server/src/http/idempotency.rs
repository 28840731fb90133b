//! Keys of idempotency: the header, and the two digests that go with a request (protocol.md C5).

use super::reply::{self, Failure};
use super::request::Asked;
use super::upload::hex;
use axum::http::StatusCode;
use axum::response::Response;
use doyen_core::input::RequestKey;
use sha2::{Digest, Sha256};

/// The most bytes of a key.
const KEY_BYTES_MAX: usize = 255;

/// The key of a request, if it has one.
pub(crate) fn key_of(
    asked: &Asked,
    user: &str,
    route: &str,
    body: &[u8],
) -> Result<Option<RequestKey>, Failure> {
    let Some(value) = asked.headers.get("idempotency-key") else {
        return Ok(None);
    };
    let bytes = value.as_bytes();
    let printable = bytes.iter().all(|byte| (0x20..=0x7E).contains(byte));
    if bytes.is_empty() || bytes.len() > KEY_BYTES_MAX || !printable {
        let text = format!("Idempotency-Key must be 1 to {KEY_BYTES_MAX} printable characters");
        return Err(reply::error(StatusCode::BAD_REQUEST, &text).into());
    }
    let method = asked.method.as_str().as_bytes();
    let path = asked.uri.path().as_bytes();
    let query = asked.uri.query().unwrap_or("").as_bytes();
    Ok(Some(RequestKey {
        digest: digest(&[user.as_bytes(), route.as_bytes(), bytes]),
        request: digest(&[method, path, query, body]),
    }))
}

/// The 422 of a key that another request has used.
pub(crate) fn mismatch() -> Response {
    reply::error(
        StatusCode::UNPROCESSABLE_ENTITY,
        "this Idempotency-Key was used with another request",
    )
}

/// SHA-256 of the parts, parted by a zero byte, as hexadecimal digits.
fn digest(parts: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            hasher.update([0]);
        }
        hasher.update(part);
    }
    hex(&hasher.finalize())
}
