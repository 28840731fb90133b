//! Jobs' results: checked, then kept in the record or in the binary store (protocol.md J4).

use super::driver_setup::ResultStore;
use super::job::{JobControl, raised};
use bytes::Bytes;
use doyen_core::identity::JobId;
use doyen_core::records::job::{INLINE_BYTES_MAX, Payload};
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::sync::watch;

/// The most bytes of a job's result.
pub(super) const RESULT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// How deep a job's result may be nested.
const RESULT_DEPTH_MAX: usize = 100;
/// The pauses between two attempts to store a result.
const STORE_PAUSE: Duration = Duration::from_millis(250);
const STORE_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Keeps a result of at most [`RESULT_BYTES_MAX`]: in the record when small, else in the binary
/// store, tried until it is there (J4). `None` when a kill came first.
pub(super) async fn keep_result(
    job: &JobId,
    text: String,
    results: &dyn ResultStore,
    spooled: &watch::Sender<usize>,
    control: &mut JobControl,
) -> Option<Payload> {
    if text.len() <= INLINE_BYTES_MAX {
        return Some(Payload::Inline(text));
    }
    let name = format!("result-{job}");
    let bytes = Bytes::from(text);
    let mut pause = STORE_PAUSE;
    let mut waits = false;
    let kept = loop {
        match results.put(&name, bytes.clone()).await {
            Ok(()) => break Some(Payload::Object(name)),
            Err(e) => tracing::warn!("the result of job {job} cannot be stored yet: {e}"),
        }
        if !waits {
            waits = true;
            spooled.send_modify(|count| *count += 1);
        }
        tokio::select! {
            biased;
            () = raised(&mut control.kill) => break None,
            () = tokio::time::sleep(pause) => {}
        }
        pause = pause.saturating_mul(2).min(STORE_PAUSE_MAX);
    };
    if waits {
        spooled.send_modify(|count| *count = count.saturating_sub(1));
    }
    kept
}

/// Reads a result file and checks that it is JSON; nothing at all is `null`.
pub(super) fn read_result(path: &Path) -> Result<String, String> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(format!("its result cannot be read: {e}")),
    };
    if bytes.len() as u64 > RESULT_BYTES_MAX {
        return Err(too_large(bytes.len() as u64));
    }
    let text = String::from_utf8(bytes).map_err(|e| format!("its result is not UTF-8: {e}"))?;
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Ok("null".into());
    }
    serde_json::from_str::<serde::de::IgnoredAny>(trimmed).map_err(|e| {
        format!(
            "its result is not JSON: {e}; it begins `{}`",
            begin_of(trimmed)
        )
    })?;
    let depth = depth_of(trimmed);
    if depth > RESULT_DEPTH_MAX {
        return Err(format!(
            "its result is nested {depth} levels; at most {RESULT_DEPTH_MAX} are kept"
        ));
    }
    Ok(trimmed.to_owned())
}

/// How deep JSON is nested. Its check takes any depth, its readers 128 levels.
fn depth_of(json: &str) -> usize {
    let (mut depth, mut deepest, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

pub(super) fn too_large(bytes: u64) -> String {
    let size = if bytes == u64::MAX {
        "cannot be kept (the disk is full, or it was cut off)".to_owned()
    } else {
        format!("has {bytes} bytes")
    };
    format!(
        "its result {size}; at most {RESULT_BYTES_MAX} bytes are kept: write large results to \
         storage and return their place"
    )
}

fn begin_of(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_is_a_result() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result");
        assert_eq!(read_result(&path).unwrap(), "null");
        for (text, result) in [("", "null"), (" \n", "null"), ("[1,\"a\"]\n", "[1,\"a\"]")] {
            fs::write(&path, text).unwrap();
            assert_eq!(read_result(&path).unwrap(), result);
        }
        for (bytes, part) in [
            (&b"hello"[..], "not JSON"),
            (b"NaN", "not JSON"),
            (b"{} {}", "not JSON"),
            (b"\"\xff\"", "not UTF-8"),
        ] {
            fs::write(&path, bytes).unwrap();
            assert!(read_result(&path).unwrap_err().contains(part));
        }
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        fs::write(&path, deep).unwrap();
        let refused = read_result(&path).unwrap_err();
        assert!(refused.contains("nested 100000 levels"), "{refused}");
        assert_eq!(depth_of(r#"{"a[\"[":[1,[2]],"b":{}}"#), 3);
    }
}
