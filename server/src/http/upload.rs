//! `POST /binaries/<name>` (rest-api.md 3.3): streamed to a spool file while it is hashed, then
//! into the binary store under its hash, then recorded.

use super::App;
use super::binaries;
use super::body::Bounded;
use super::reply::{self, Failure, Outcome};
use super::request::Asked;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use doyen_core::records::job::{
    BINARY_VERSIONS_MAX, BinaryRecord, BinaryType, BinaryVersion, JobError,
};
use doyen_core::time::Stamp;
use doyen_runtime::store::{BinaryError, Content};
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use std::io::SeekFrom;
use std::time::Instant;
use tokio::fs::File;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};
use tokio_util::io::ReaderStream;

/// The most bytes of a name: it is one part of a path in every store, escaped threefold.
pub(crate) const NAME_BYTES_MAX: usize = 255;
const ZIP_SIGNATURE: [u8; 4] = [0x50, 0x4B, 0x03, 0x04];
const SPOOL_CHUNK_BYTES: usize = 64 * 1024;

/// A body on the disk of this host; the file has no name and vanishes with its handle.
struct Spooled {
    file: File,
    hash: String,
    bytes: u64,
}

/// Stores a new version of a binary.
pub(crate) async fn post(app: &App, name: &str, asked: &Asked, body: Body) -> Outcome {
    let body = Bounded::new(app, &asked.headers, body)?;
    if let Err(refused) = app.check_ready() {
        body.refuse();
        return Err(refused);
    }
    if name.len() > NAME_BYTES_MAX {
        body.refuse();
        let length = name.len();
        let text = format!("binary name of {length} bytes is too long: at most {NAME_BYTES_MAX}");
        return Ok(reply::error(StatusCode::BAD_REQUEST, &text));
    }
    let binary_type = match binary_type(&asked.headers) {
        Ok(binary_type) => binary_type,
        Err(content_type) => {
            body.refuse();
            let text = format!("Unsupported binary type {content_type}");
            return Ok(reply::error(StatusCode::UNSUPPORTED_MEDIA_TYPE, &text));
        }
    };
    let spooled = spool(app, body, binary_type).await?;
    let version = BinaryVersion {
        hash: spooled.hash.clone(),
        binary_type,
        uploaded: Stamp(0),
        bytes: spooled.bytes,
    };
    let until = Instant::now() + app.settings.gateway_hold;
    store(app, spooled, until).await?;
    let key = app.layout()?.binary(name);
    let left = until.saturating_duration_since(Instant::now());
    binaries::update(app, &key, left, |old, now| {
        with_version(old, name, &version, now)
    })
    .await
    .map_err(|failure| match failure {
        Failure::StoreAway(reason) => storage_failure(&reason).into(),
        Failure::Answer(_) => failure,
    })?;
    Ok(reply::success(StatusCode::CREATED, None))
}

/// The type that the content type names, else the content type as it is refused.
fn binary_type(headers: &HeaderMap) -> Result<BinaryType, String> {
    let given = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let mut parts = given.unwrap_or("application/octet-stream").split(';');
    let media = parts.next().unwrap_or("").trim().to_ascii_lowercase();
    let parameters: Vec<&str> = parts.map(str::trim).filter(|p| !p.is_empty()).collect();
    let only_charset = parameters.iter().all(|parameter| {
        let name = parameter.split('=').next().unwrap_or("").trim();
        name.eq_ignore_ascii_case("charset")
    });
    let shown = [&[media.as_str()], parameters.as_slice()]
        .concat()
        .join("; ");
    match media.as_str() {
        _ if !only_charset => Err(shown),
        "application/java-archive" => Ok(BinaryType::Jar),
        "application/python-egg" | "application/python-archive" => Ok(BinaryType::Egg),
        "application/python-wheel" => Ok(BinaryType::Wheel),
        "application/x-executable" => Ok(BinaryType::Executable),
        _ => Err(shown),
    }
}

/// Writes the body to a file while hashing it; a body that is no archive is refused at its first
/// bytes.
async fn spool(app: &App, mut body: Bounded, kind: BinaryType) -> Result<Spooled, Failure> {
    let directory = app.settings.spool_dir.clone();
    let file = tokio::task::spawn_blocking(move || tempfile::tempfile_in(directory))
        .await
        .unwrap_or_else(|error| Err(std::io::Error::other(error)))
        .map_err(|error| spool_failure(app, &error))?;
    let mut file = File::from_std(file);
    let mut hasher = Sha256::new();
    let mut head: Vec<u8> = Vec::with_capacity(ZIP_SIGNATURE.len());
    let mut bytes = 0_u64;
    while let Some(piece) = body.next().await? {
        let missing = ZIP_SIGNATURE.len() - head.len();
        head.extend(piece.iter().take(missing));
        if kind != BinaryType::Executable && !ZIP_SIGNATURE.starts_with(&head) {
            body.refuse();
            return Err(wrong_format().into());
        }
        bytes += u64::try_from(piece.len()).unwrap_or(u64::MAX);
        hasher.update(&piece);
        if let Err(error) = file.write_all(&piece).await {
            body.refuse();
            return Err(spool_failure(app, &error));
        }
    }
    let shortest = match kind {
        BinaryType::Executable => 1,
        BinaryType::Jar | BinaryType::Egg | BinaryType::Wheel | BinaryType::Uri => 5,
    };
    if bytes < shortest {
        return Err(wrong_format().into());
    }
    let rewound = async {
        file.flush().await?;
        file.seek(SeekFrom::Start(0)).await
    };
    rewound.await.map_err(|error| spool_failure(app, &error))?;
    let hash = hex(&hasher.finalize());
    Ok(Spooled { file, hash, bytes })
}

/// Puts the object into the binary store, again and again while the store is away.
async fn store(app: &App, spooled: Spooled, until: Instant) -> Result<(), Failure> {
    let mut file = spooled.file;
    loop {
        let again = file.try_clone().await;
        let content: Content = ReaderStream::with_capacity(file, SPOOL_CHUNK_BYTES)
            .map(|piece| piece.map_err(BinaryError::Backend))
            .boxed();
        let Err(error) = app.binaries.put(&spooled.hash, content).await else {
            return Ok(());
        };
        let transient = matches!(&error, BinaryError::Backend(e) if is_transient(e));
        if !transient || Instant::now() >= until {
            return Err(storage_failure(&error.to_string()).into());
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        file = again.map_err(|error| spool_failure(app, &error))?;
        file.seek(SeekFrom::Start(0))
            .await
            .map_err(|error| spool_failure(app, &error))?;
    }
}

/// Whether a backend may answer the next try: it was out of reach, not out of space.
fn is_transient(error: &std::io::Error) -> bool {
    use std::io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionRefused
            | Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::BrokenPipe
            | Kind::NotConnected
            | Kind::TimedOut
            | Kind::Interrupted
            | Kind::UnexpectedEof
    )
}

/// The record with this version as its newest, never older than the one before.
fn with_version(
    old: Option<BinaryRecord>,
    name: &str,
    version: &BinaryVersion,
    now: Stamp,
) -> BinaryRecord {
    let mut record = old.unwrap_or_else(|| BinaryRecord {
        name: name.to_owned(),
        ..BinaryRecord::default()
    });
    let before = record.versions.first().map_or(Stamp(0), |v| v.uploaded);
    let uploaded = now.max(Stamp(before.0.saturating_add(1)));
    let mut version = version.clone();
    version.uploaded = uploaded;
    record.versions.insert(0, version);
    record.versions.truncate(BINARY_VERSIONS_MAX);
    record
}

fn wrong_format() -> axum::response::Response {
    reply::error(StatusCode::BAD_REQUEST, "Binary is not of the right format")
}

fn storage_failure(reason: &str) -> axum::response::Response {
    tracing::error!(reason, "an upload could not be stored");
    let error = JobError::new("java.io.IOException", reason);
    reply::exception(StatusCode::INTERNAL_SERVER_ERROR, "Storage Failure", &error)
}

fn spool_failure(app: &App, error: &std::io::Error) -> Failure {
    let directory = app.settings.spool_dir.display();
    storage_failure(&format!(
        "the upload cannot be spooled in `{directory}`: {error}; make room there or make it writable"
    ))
    .into()
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut out, byte| {
        // Writing to a string cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}
