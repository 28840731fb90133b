//! Servers, stores and transactions of these tests.

use doyen::store::zookeeper::{ZooKeeperOptions, ZooKeeperStore};
use doyen_core::records::key::Key;
use doyen_core::records::transaction::{
    Change, CommitOutcome, Query, ReadOutcome, Snapshot, Stored, Transaction, TransactionId,
};
use doyen_runtime::store::{Changes, MetaDataDao};
use doyen_tests::services::{java, zookeeper};
use futures_util::StreamExt;
use std::time::{Duration, Instant};

/// Long enough for anything that is not broken, on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// So many servers of the current release; `None`, loudly, without Java.
pub(crate) async fn servers(count: usize) -> Option<zookeeper::ZooKeeper> {
    let servers = count;
    start(zookeeper::Options {
        servers,
        ..Default::default()
    })
    .await
}

pub(crate) async fn start(options: zookeeper::Options) -> Option<zookeeper::ZooKeeper> {
    if java().is_none() {
        eprintln!("skipped: no Java, which ZooKeeper needs; install one or set JAVA_HOME");
        return None;
    }
    let started = zookeeper::ZooKeeper::start(options, &mut |_| ()).await;
    Some(started.unwrap_or_else(|error| panic!("no ZooKeeper: {error}")))
}

pub(crate) fn store(servers: &str, dir: &str) -> ZooKeeperStore {
    ZooKeeperStore::open(ZooKeeperOptions::new(servers, dir)).unwrap()
}

/// A store that waits long for answers: for promises, which hold on the busiest machine.
pub(crate) fn patient(servers: &str, dir: &str) -> ZooKeeperStore {
    let mut options = ZooKeeperOptions::new(servers, dir);
    options.store_call = Duration::from_secs(20);
    ZooKeeperStore::open(options).unwrap()
}

pub(crate) fn transaction(id: &str) -> Transaction {
    Transaction::new(TransactionId(id.to_owned()))
}

pub(crate) fn create(id: &str, key: &str) -> Transaction {
    transaction(id).create(Key::new(key), format!("{{\"by\":\"{id}\"}}"))
}

/// Commits until it is done; says how long that took. Refused means done by an earlier try.
pub(crate) async fn commit_at_last(store: &ZooKeeperStore, key: &str) -> Duration {
    let start = Instant::now();
    let mut said = Vec::new();
    while start.elapsed() < SOON {
        match store.commit(create("at-last", key)).await {
            CommitOutcome::Committed { .. } | CommitOutcome::Refused { .. } => {
                return start.elapsed();
            }
            other => said.push(format!("{other:?}")),
        }
    }
    said.dedup();
    panic!("`{key}` not committed within {SOON:?}: {said:?}");
}

pub(crate) async fn snapshot(store: &ZooKeeperStore, query: Query) -> Snapshot {
    match store.read(query).await {
        ReadOutcome::Snapshot(snapshot) => snapshot,
        ReadOutcome::Failed { reason } => panic!("a read failed: {reason}"),
    }
}

pub(crate) async fn record(store: &ZooKeeperStore, key: &str) -> Option<Stored> {
    let key = Key::new(key);
    snapshot(store, Query::keys([key.clone()]))
        .await
        .records
        .remove(&key)
}

/// Waits for an event.
pub(crate) async fn told(changes: &mut Changes, wanted: &Change) {
    let wait = async {
        while let Some(change) = changes.next().await {
            if change == *wanted {
                return;
            }
        }
        panic!("the watch ended");
    };
    let told = tokio::time::timeout(SOON, wait).await;
    assert!(told.is_ok(), "no {wanted:?} within {SOON:?}");
}

/// Commits by one store until the watch of another tells such a commit by its record: events come.
pub(crate) async fn events_come(changes: &mut Changes, by: &ZooKeeperStore, folder: &str) {
    let start = Instant::now();
    let mut number = 0;
    while start.elapsed() < SOON {
        commit_at_last(by, &format!("{folder}/{number}")).await;
        number += 1;
        let wait = async {
            while let Some(change) = changes.next().await {
                if matches!(&change, Change::Record(key) if key.is_in(&Key::new(folder))) {
                    return;
                }
            }
            panic!("the watch ended");
        };
        if tokio::time::timeout(Duration::from_secs(2), wait)
            .await
            .is_ok()
        {
            return;
        }
    }
    panic!("no event of `{folder}` within {SOON:?}, after {number} commits");
}

/// Waits until no more events come for a moment: those of a change that was told are all there.
pub(crate) async fn drain(changes: &mut Changes) {
    while tokio::time::timeout(Duration::from_millis(300), changes.next())
        .await
        .is_ok()
    {}
}
