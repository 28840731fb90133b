//! A data directory with its store, found and ended by its own pid.

use doyen::store::embedded::EmbeddedStore;
use doyen_core::records::key::Key;
use doyen_core::records::transaction::{
    CommitOutcome, Query, ReadOutcome, Snapshot, Transaction, TransactionId,
};
use doyen_runtime::store::MetaDataDao;
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A data directory; the store process that serves it at the end is killed with it.
pub(crate) struct Data {
    folder: TempDir,
}

impl Data {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path().join("store").join(name)
    }

    pub(crate) fn client(&self) -> EmbeddedStore {
        EmbeddedStore::open(self.path(), program()).unwrap()
    }

    /// The process that the lock file names.
    pub(crate) fn pid(&self) -> Option<Pid> {
        let text = std::fs::read_to_string(self.file("lock")).ok()?;
        let mark: serde_json::Value = serde_json::from_str(&text).ok()?;
        Pid::from_raw(i32::try_from(mark["pid"].as_i64()?).ok()?)
    }

    pub(crate) fn signal(&self, signal: Signal) -> Pid {
        let pid = self.pid().unwrap();
        kill_process(pid, signal).unwrap();
        pid
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        // Only a process whose command line names this folder is ours.
        let Some(pid) = self.pid() else { return };
        let line = std::fs::read(format!("/proc/{}/cmdline", pid.as_raw_nonzero()));
        let line = String::from_utf8(line.unwrap_or_default()).unwrap_or_default();
        if line.contains(self.path().to_str().unwrap()) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

pub(crate) fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_doyen"))
}

/// Starts `doyen store` in the foreground of the test.
pub(crate) fn start(data_dir: &Path, more: &[&str]) -> Child {
    Command::new(program())
        .arg("store")
        .arg("--data-dir")
        .arg(data_dir)
        .args(more)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

pub(crate) fn alive(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    stat.is_ok_and(|stat| {
        !stat
            .rsplit_once(')')
            .unwrap()
            .1
            .trim_start()
            .starts_with('Z')
    })
}

pub(crate) fn transaction(id: &str) -> Transaction {
    Transaction::new(TransactionId(id.to_owned()))
}

pub(crate) fn create(id: &str, key: &str) -> Transaction {
    transaction(id).create(Key::new(key), "{\"n\":1}".to_owned())
}

pub(crate) async fn snapshot(store: &EmbeddedStore, query: Query) -> Snapshot {
    match store.read(query).await {
        ReadOutcome::Snapshot(snapshot) => snapshot,
        ReadOutcome::Failed { reason } => panic!("a read failed: {reason}"),
    }
}

/// Commits until it is done; the outcome of each try must be one of *not done*.
pub(crate) async fn commit_at_last(store: &EmbeddedStore, key: &str) {
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        match store.commit(create("at-last", key)).await {
            CommitOutcome::Committed { .. } | CommitOutcome::Refused { .. } => return,
            CommitOutcome::Unknown | CommitOutcome::NotSent { .. } => {}
        }
    }
    panic!(
        "no commit within 20 s: {:?}",
        store.commit(create("x", "x")).await
    );
}

/// Polls a condition.
pub(crate) async fn until(what: &str, within: Duration, mut met: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !met() {
        assert!(start.elapsed() < within, "not within {within:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    start.elapsed()
}
