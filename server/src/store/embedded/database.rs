//! The records in SQLite: transactions in groups, each group synced once before it is answered.

use super::StoreError;
use super::frame::ANSWER_BYTES_MAX;
use doyen_core::records::key::Key;
use doyen_core::records::model::over_bounds;
use doyen_core::records::transaction::{
    CommitOutcome, Operation, Page, PageRoom, Query, ReadOutcome, Snapshot, Stored, Transaction,
    TransactionId, Version,
};
use doyen_core::time::Stamp;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, params};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The data format that this release writes; it reads all up to it. Migrations only add (W7).
pub const FORMAT: i64 = 1;

/// What leads from each format to the next one; the n-th makes format n + 1.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE meta (name TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
    CREATE TABLE records (
        folder TEXT NOT NULL,       -- the key up to and with its last slash
        name TEXT NOT NULL,         -- the rest of the key
        value TEXT NOT NULL,
        version INTEGER NOT NULL,
        created INTEGER NOT NULL,   -- milliseconds since 1970
        modified INTEGER NOT NULL,
        written_by TEXT NOT NULL,
        PRIMARY KEY (folder, name)
    );
    INSERT INTO meta VALUES ('last_stamp', 0);
"];

/// How long another program that looks into the file may hold up a commit.
const BUSY: Duration = Duration::from_millis(300);

/// The open database.
pub(super) struct Database {
    connection: Connection,
    path: PathBuf,
    store_id: String,
    last: Stamp,
}

/// What became of a group of transactions.
pub(super) struct Group {
    /// One outcome for each transaction, in order.
    pub(super) outcomes: Vec<CommitOutcome>,
    /// The records that changed.
    pub(super) changed: BTreeSet<Key>,
    /// Why the database cannot be relied on any more: the process must end and recover.
    pub(super) broken: Option<StoreError>,
}

impl Database {
    /// Opens the database, makes it if needed, and brings it to this release's format.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let error = |e: rusqlite::Error| StoreError::Database {
            path: path.to_owned(),
            reason: e.to_string(),
        };
        let mut connection = Connection::open(path).map_err(error)?;
        connection.busy_timeout(BUSY).map_err(error)?;
        // Looked at before anything is written into a file that may not be ours to write.
        let found: i64 = connection
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .map_err(error)?;
        if !(0..=FORMAT).contains(&found) {
            return Err(StoreError::NewerFormat {
                path: path.to_owned(),
                found,
                known: FORMAT,
            });
        }
        for (name, value) in [
            ("journal_mode", "WAL"),
            ("synchronous", "FULL"),
            ("cache_size", "-1024"),
            ("temp_store", "MEMORY"),
            ("journal_size_limit", "16777216"),
            // Only under steady load: else the worker does it when nobody waits.
            ("wal_autocheckpoint", "4000"),
        ] {
            connection.pragma_update(None, name, value).map_err(error)?;
        }
        migrate(&mut connection, found).map_err(error)?;
        let store_id = meta(&connection, "store_id").map_err(error)?;
        let last: i64 = meta(&connection, "last_stamp").map_err(error)?;
        Ok(Self {
            path: path.to_owned(),
            store_id,
            last: Stamp(u64::try_from(last).unwrap_or(0)),
            connection,
        })
    }

    pub(super) fn store_id(&self) -> &str {
        &self.store_id
    }

    /// Carries out transactions in order, each whole or not at all, and syncs once.
    pub(super) fn commit(&mut self, transactions: &[&Transaction]) -> Group {
        let stamp = self.tick();
        match self.apply_group(transactions, stamp) {
            Ok((outcomes, changed)) => match self.finish(!changed.is_empty(), stamp) {
                Ok(()) => Group {
                    outcomes,
                    changed,
                    broken: None,
                },
                Err(e) => self.failed(transactions, &e, Stage::Commit),
            },
            Err(e) => self.failed(transactions, &e, Stage::Apply),
        }
    }

    /// Reads in one snapshot of the database.
    pub(super) fn read(&mut self, query: &Query) -> ReadOutcome {
        let stamp = self.tick();
        match self.find(query, stamp) {
            Ok(Ok(snapshot)) => ReadOutcome::Snapshot(snapshot),
            Ok(Err(reason)) => ReadOutcome::Failed { reason },
            Err(e) => ReadOutcome::Failed {
                reason: format!("reading `{}` failed: {e}", self.path.display()),
            },
        }
    }

    /// Moves what the WAL holds into the database file; called when nobody waits.
    pub(super) fn checkpoint(&self) {
        // A reader outside may keep it from finishing; the next one tries again.
        let _ = self
            .connection
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
    }

    /// The store's clock: the wall clock, never going back, also over restarts.
    fn tick(&mut self) -> Stamp {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        let millis = wall.map_or(0, |since| since.as_millis());
        let wall = Stamp(u64::try_from(millis).unwrap_or(0));
        self.last = self.last.max(wall);
        self.last
    }

    fn apply_group(
        &self,
        transactions: &[&Transaction],
        stamp: Stamp,
    ) -> rusqlite::Result<(Vec<CommitOutcome>, BTreeSet<Key>)> {
        let (mut outcomes, mut changed) = (Vec::new(), BTreeSet::new());
        let run = |sql: &str| self.connection.prepare_cached(sql)?.execute([]);
        run("BEGIN IMMEDIATE")?;
        for transaction in transactions {
            if let Some(reason) = over_bounds(transaction) {
                outcomes.push(CommitOutcome::NotSent { reason });
                continue;
            }
            run("SAVEPOINT one")?;
            let mut wrote = BTreeSet::new();
            let failed = self.apply(transaction, stamp, &mut wrote)?;
            if let Some(operation) = failed {
                run("ROLLBACK TO one")?;
                outcomes.push(CommitOutcome::Refused { operation });
            } else {
                changed.append(&mut wrote);
                outcomes.push(CommitOutcome::Committed { stamp });
            }
            run("RELEASE one")?;
        }
        Ok((outcomes, changed))
    }

    /// The index of the operation that failed, `None` when all were done.
    fn apply(
        &self,
        transaction: &Transaction,
        stamp: Stamp,
        wrote: &mut BTreeSet<Key>,
    ) -> rusqlite::Result<Option<usize>> {
        for (index, operation) in transaction.operations.iter().enumerate() {
            if !self.apply_one(operation, &transaction.id, stamp)? {
                return Ok(Some(index));
            }
            match operation {
                Operation::Check { .. } | Operation::CheckAbsent { .. } => {}
                Operation::Create { key, .. }
                | Operation::Put { key, .. }
                | Operation::Delete { key, .. } => {
                    wrote.insert(key.clone());
                }
            }
        }
        Ok(None)
    }

    fn apply_one(
        &self,
        operation: &Operation,
        id: &TransactionId,
        stamp: Stamp,
    ) -> rusqlite::Result<bool> {
        let (folder, name) = split(operation.key());
        let stamp = number(stamp);
        let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
            let mut sql = self.connection.prepare_cached(sql)?;
            sql.execute(values).map(|rows| rows > 0)
        };
        let version = || {
            let sql = "SELECT version FROM records WHERE folder = ?1 AND name = ?2";
            let mut sql = self.connection.prepare_cached(sql)?;
            let found = sql.query_row(params![folder, name], |row| row.get::<_, u32>(0));
            found.optional()
        };
        match operation {
            Operation::Check {
                version: wanted, ..
            } => Ok(version()? == Some(wanted.0)),
            Operation::CheckAbsent { .. } => Ok(version()?.is_none()),
            Operation::Create { value, .. } => run(
                "INSERT INTO records VALUES (?1, ?2, ?3, 0, ?4, ?4, ?5) ON CONFLICT DO NOTHING",
                params![folder, name, value, stamp, id.0],
            ),
            Operation::Put { value, version, .. } => run(
                "UPDATE records SET value = ?3, version = (version + 1) & 4294967295,
                    modified = ?4, written_by = ?5
                 WHERE folder = ?1 AND name = ?2 AND (?6 IS NULL OR version = ?6)",
                params![folder, name, value, stamp, id.0, version.map(|v| v.0)],
            ),
            Operation::Delete { version, .. } => run(
                "DELETE FROM records
                 WHERE folder = ?1 AND name = ?2 AND (?3 IS NULL OR version = ?3)",
                params![folder, name, version.map(|v| v.0)],
            ),
        }
    }

    /// Ends the group; the WAL is synced when this returns.
    fn finish(&self, wrote: bool, stamp: Stamp) -> rusqlite::Result<()> {
        if wrote {
            let sql = "UPDATE meta SET value = ?1 WHERE name = 'last_stamp'";
            let mut sql = self.connection.prepare_cached(sql)?;
            sql.execute([number(stamp)])?;
        }
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }

    /// Nothing of the group was done, or nobody knows: also what was refused, since that may have
    /// been decided from a write of the same group.
    fn failed(&self, transactions: &[&Transaction], e: &rusqlite::Error, at: Stage) -> Group {
        if !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        let reason = format!("writing `{}` failed: {e}", self.path.display());
        // After a failed sync the commit may be in the file all the same (W4).
        let unsure = at == Stage::Commit
            && !matches!(
                e.sqlite_error_code(),
                Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::ReadOnly)
            );
        let outcome = |reason: &String| match unsure {
            true => CommitOutcome::Unknown,
            false => CommitOutcome::NotSent {
                reason: reason.clone(),
            },
        };
        Group {
            outcomes: transactions.iter().map(|_| outcome(&reason)).collect(),
            changed: BTreeSet::new(),
            broken: unsure.then(|| StoreError::Database {
                path: self.path.clone(),
                reason: e.to_string(),
            }),
        }
    }

    /// What the query finds, or why the answer would be too large.
    fn find(&self, query: &Query, stamp: Stamp) -> rusqlite::Result<Result<Snapshot, String>> {
        let mut snapshot = Snapshot {
            stamp,
            ..Snapshot::default()
        };
        let whole = self.connection.unchecked_transaction()?;
        let mut bytes = 0;
        for key in &query.keys {
            let sql = "SELECT value, version, created, modified, written_by, name
                       FROM records WHERE folder = ?1 AND name = ?2";
            let (folder, name) = split(key);
            let mut sql = whole.prepare_cached(sql)?;
            let found = sql.query_row(params![folder, name], stored).optional()?;
            if let Some((stored, _)) = found {
                bytes += stored.value.len();
                snapshot.records.insert(key.clone(), stored);
            }
        }
        for folder in &query.folders {
            let sql = "SELECT value, version, created, modified, written_by, name
                       FROM records WHERE folder = ?1 ORDER BY name";
            let mut sql = whole.prepare_cached(sql)?;
            for row in sql.query_map([format!("{folder}/")], stored)? {
                let (stored, name) = row?;
                bytes += stored.value.len() + name.len();
                if bytes > ANSWER_BYTES_MAX {
                    return Ok(Err(format!(
                        "folder `{folder}` holds more than an answer of {ANSWER_BYTES_MAX} bytes"
                    )));
                }
                snapshot.records.insert(folder.child(&name), stored);
            }
        }
        let mut room = PageRoom::default();
        for (folder, page) in &query.pages {
            find_page(&whole, folder, page, &mut room, &mut snapshot)?;
        }
        Ok(Ok(snapshot))
    }
}

/// Reads a page; rows that belong to a later one are not read, but for one that says so.
fn find_page(
    connection: &Connection,
    folder: &Key,
    page: &Page,
    room: &mut PageRoom,
    snapshot: &mut Snapshot,
) -> rusqlite::Result<()> {
    let sql = "SELECT value, version, created, modified, written_by, name
               FROM records WHERE folder = ?1 AND name > ?2 ORDER BY name";
    let mut sql = connection.prepare_cached(sql)?;
    let most = page.records.max(1);
    let rows = sql.query_map(params![format!("{folder}/"), page.after], stored)?;
    for (index, row) in rows.enumerate() {
        let (stored, name) = row?;
        if index == most || !room.takes(&name, &stored.value) {
            snapshot.more.insert(folder.clone());
            break;
        }
        snapshot.records.insert(folder.child(&name), stored);
    }
    Ok(())
}

/// How far a group was when it failed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Apply,
    Commit,
}

fn migrate(connection: &mut Connection, found: i64) -> rusqlite::Result<()> {
    let done = usize::try_from(found).unwrap_or(0);
    let whole = connection.transaction()?;
    for step in MIGRATIONS.iter().skip(done) {
        whole.execute_batch(step)?;
    }
    if done == 0 {
        let id = uuid::Uuid::new_v4().to_string();
        whole.execute("INSERT INTO meta VALUES ('store_id', ?1)", [id])?;
    }
    if found != FORMAT {
        whole.pragma_update(None, "user_version", FORMAT)?;
    }
    whole.commit()
}

fn meta<T: rusqlite::types::FromSql>(connection: &Connection, name: &str) -> rusqlite::Result<T> {
    let sql = "SELECT value FROM meta WHERE name = ?";
    connection.query_row(sql, [name], |row| row.get(0))
}

/// Folder, with its slash, and name.
fn split(key: &Key) -> (&str, &str) {
    let text = key.as_str();
    text.split_at(text.rfind('/').map_or(0, |slash| slash + 1))
}

fn number(stamp: Stamp) -> i64 {
    i64::try_from(stamp.0).unwrap_or(i64::MAX)
}

fn stored(row: &Row<'_>) -> rusqlite::Result<(Stored, String)> {
    let stamp = |column| {
        let millis: i64 = row.get(column)?;
        Ok::<_, rusqlite::Error>(Stamp(u64::try_from(millis).unwrap_or(0)))
    };
    let stored = Stored {
        value: row.get(0)?,
        version: Version(row.get(1)?),
        created: stamp(2)?,
        modified: stamp(3)?,
        written_by: TransactionId(row.get(4)?),
    };
    Ok((stored, row.get(5)?))
}

#[cfg(test)]
mod tests;
