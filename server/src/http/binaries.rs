//! `/binaries`: list, get, delete (rest-api.md 3.1, 3.2, 3.4).

use super::App;
use super::format::instant;
use super::job_list;
use super::reader::{record, records};
use super::reply::{self, Failure, Outcome};
use axum::http::StatusCode;
use doyen_core::identity::JobId;
use doyen_core::records::Versioned;
use doyen_core::records::job::{BinaryRecord, BinaryType, BinaryVersion};
use doyen_core::records::key::Key;
use doyen_core::records::transaction::{CommitOutcome, Query, Transaction, TransactionId, Version};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};

/// The bound of a deletion (rest-api.md 3.4).
const DELETE_BOUND: Duration = Duration::from_secs(10);
/// The pause before a transaction is decided anew.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct BinaryReport<'a> {
    app_name: &'a str,
    binary_type: BinaryType,
    upload_time: String,
}

/// `GET /binaries`: the newest version of each.
pub(crate) async fn list(app: &App) -> Outcome {
    let folder = app.layout()?.binaries();
    let snapshot = app
        .read(Query::default().with_folder(folder.clone()))
        .await?;
    let mut all = Map::new();
    for binary in records::<BinaryRecord>(&snapshot, &folder, "a binary") {
        if let Some(newest) = binary.versions.first() {
            let shown = json!({
                "binary-type": newest.binary_type,
                "upload-time": instant(newest.uploaded),
            });
            all.insert(binary.name, shown);
        }
    }
    Ok(reply::json(StatusCode::OK, &Value::Object(all)))
}

/// `GET /binaries/<name>`: its newest version.
pub(crate) async fn get(app: &App, name: &str) -> Outcome {
    let key = app.layout()?.binary(name);
    let snapshot = app.read(Query::keys([key.clone()])).await?;
    let found = record::<BinaryRecord>(&snapshot, &key, "a binary");
    let Some(newest) = found
        .as_ref()
        .and_then(|found| found.value.versions.first())
    else {
        let text = format!("Can't find binary with name {name}");
        return Ok(reply::error(StatusCode::NOT_FOUND, &text));
    };
    let report = BinaryReport {
        app_name: name,
        binary_type: newest.binary_type,
        upload_time: instant(newest.uploaded),
    };
    Ok(reply::json(StatusCode::OK, &report))
}

/// The newest version of a binary, for the class path of a job.
pub(crate) async fn newest(app: &App, name: &str) -> Result<Option<BinaryVersion>, Failure> {
    let key = app.layout()?.binary(name);
    let bound = app.settings.gateway_hold;
    let snapshot = app.read_within(Query::keys([key.clone()]), bound).await?;
    let found = record::<BinaryRecord>(&snapshot, &key, "a binary");
    Ok(found.and_then(|found| found.value.versions.into_iter().next()))
}

/// `DELETE /binaries/<name>`: all its versions, unless a job that is not final uses it.
///
/// The objects stay in the binary store: another name, or a job submitted meanwhile, may have
/// the same content.
pub(crate) async fn delete(app: &App, name: &str) -> Outcome {
    app.check_ready()?;
    let layout = app.layout()?;
    let key = layout.binary(name);
    let until = Instant::now() + DELETE_BOUND;
    let missing = || {
        let text = format!("can't find binary with name {name}");
        reply::error(StatusCode::NOT_FOUND, &text)
    };
    let mut tried: Option<TransactionId> = None;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let snapshot = app.read_within(Query::keys([key.clone()]), left).await?;
        let Some(stored) = snapshot.records.get(&key) else {
            // After an unknown outcome an absent record is what was wanted (W4).
            return Ok(match tried {
                Some(_) => reply::success(StatusCode::OK, None),
                None => missing(),
            });
        };
        let users = app.patiently(left, || users_of(app, name)).await?;
        if !users.is_empty() {
            let ids: Vec<&str> = users.iter().map(JobId::as_str).collect();
            let text = format!("Binary is in use by job(s): {}", ids.join(", "));
            return Ok(reply::error(StatusCode::FORBIDDEN, &text));
        }
        let id = transaction_id(app);
        let transaction = Transaction::new(id.clone()).delete(key.clone(), stored.version);
        match app.metadata.commit(transaction).await {
            CommitOutcome::Committed { .. } => return Ok(reply::success(StatusCode::OK, None)),
            CommitOutcome::Unknown => tried = Some(id),
            CommitOutcome::Refused { .. } | CommitOutcome::NotSent { .. } => {}
        }
        if Instant::now() >= until {
            let text = "Failed to delete binary due to internal error. Check logs.";
            tracing::error!(name, "the store did not take the deletion of a binary");
            return Ok(reply::error(StatusCode::INTERNAL_SERVER_ERROR, text));
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

/// The jobs that are not final and have this binary in their class path.
async fn users_of(app: &App, name: &str) -> Result<Vec<JobId>, Failure> {
    let live = job_list::live(app).await?;
    Ok(live
        .into_iter()
        .filter(|job| !job.state.is_final())
        .filter(|job| {
            let mut entries = job.class_path.iter();
            entries.any(|entry| entry.name == name && entry.binary_type != BinaryType::Uri)
        })
        .map(|job| job.id)
        .collect())
}

/// A fresh id of a transaction of this server (W4).
pub(crate) fn transaction_id(app: &App) -> TransactionId {
    let identity = &app.gateway.view().identity;
    TransactionId(format!("{identity}/http/{}", uuid::Uuid::now_v7()))
}

/// Writes a change of a binary's record under its version, decided anew after a refusal and
/// settled by reading after an unknown outcome (W3, W4).
pub(crate) async fn update(
    app: &App,
    key: &Key,
    bound: Duration,
    change: impl Fn(Option<BinaryRecord>, doyen_core::time::Stamp) -> BinaryRecord,
) -> Result<(), Failure> {
    let until = Instant::now() + bound;
    let mut tried: Vec<TransactionId> = Vec::new();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let snapshot = app.read_within(Query::keys([key.clone()]), left).await?;
        let stored = snapshot.records.get(key);
        if stored.is_some_and(|stored| tried.contains(&stored.written_by)) {
            return Ok(());
        }
        let found = record::<BinaryRecord>(&snapshot, key, "a binary");
        if stored.is_some() && found.is_none() {
            let reason = format!("record `{key}` cannot be read; see the log");
            return Err(Failure::StoreAway(reason));
        }
        let (id, transaction) = write(app, key, found, |old| change(old, snapshot.stamp));
        let reason = match app.metadata.commit(transaction).await {
            CommitOutcome::Committed { .. } => return Ok(()),
            CommitOutcome::Refused { .. } => String::from("others write the same binary"),
            CommitOutcome::NotSent { reason } => reason,
            CommitOutcome::Unknown => {
                tried.push(id);
                String::from("whether the commit was carried out is not known")
            }
        };
        if Instant::now() >= until {
            return Err(Failure::StoreAway(reason));
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

fn write(
    app: &App,
    key: &Key,
    found: Option<Versioned<BinaryRecord>>,
    change: impl FnOnce(Option<BinaryRecord>) -> BinaryRecord,
) -> (TransactionId, Transaction) {
    let id = transaction_id(app);
    let transaction = Transaction::new(id.clone());
    let version: Option<Version> = found.as_ref().map(|found| found.version);
    let record = change(found.map(|found| found.value));
    let value = doyen_core::records::encode(&record);
    let transaction = match version {
        Some(version) => transaction.put(key.clone(), value, version),
        None => transaction.create(key.clone(), value),
    };
    (id, transaction)
}
