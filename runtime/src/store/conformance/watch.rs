//! Watches: first everything, then each change of anybody (protocol.md B1).

use super::{Dao, Place, committed};
use crate::store::Changes;
use doyen_core::records::key::Key;
use doyen_core::records::transaction::{Change, Version};
use futures_util::StreamExt;
use std::time::Duration;

/// How long an event may take.
const EVENT: Duration = Duration::from_secs(5);

async fn next(changes: &mut Changes, why: &str) -> Change {
    match tokio::time::timeout(EVENT, changes.next()).await {
        Ok(Some(change)) => change,
        Ok(None) => panic!("the watch ended: {why}"),
        Err(_) => panic!("no event within {EVENT:?}: {why}"),
    }
}

/// Waits for the event of this record; events may be merged into "everything".
async fn told(changes: &mut Changes, key: &Key) {
    let end = tokio::time::Instant::now() + EVENT;
    while tokio::time::Instant::now() < end {
        match next(changes, key.as_str()).await {
            Change::Everything => return,
            Change::Record(changed) if changed == *key => return,
            Change::Record(_) => {}
        }
    }
    panic!("no event of `{key}` within {EVENT:?}");
}

pub(super) async fn check_changes_of_others_are_told(one: &Dao, other: &Dao) {
    let at = Place::new("watch");
    let mut changes = other.watch().await;
    let first = next(&mut changes, "the first event").await;
    assert_eq!(first, Change::Everything, "the first event of a watch");
    let key = at.key("a");
    for _ in 0..5 {
        for step in [
            at.transaction().create(key.clone(), "1".into()),
            at.transaction().put(key.clone(), "2".into(), Version(0)),
            at.transaction().delete(key.clone(), Version(1)),
        ] {
            committed(one, step).await;
            told(&mut changes, &key).await;
        }
    }
    let (b, c) = (at.key("b"), at.key("c"));
    let both = at
        .transaction()
        .create(b.clone(), "1".into())
        .create(c.clone(), "1".into());
    committed(one, both).await;
    // In any order, or merged.
    let mut waiting = vec![b, c];
    while !waiting.is_empty() {
        match next(&mut changes, "of a transaction of two records").await {
            Change::Everything => waiting.clear(),
            Change::Record(changed) => waiting.retain(|key| *key != changed),
        }
    }
}

pub(super) async fn check_every_watcher_is_told(one: &Dao, other: &Dao) {
    let at = Place::new("watchers");
    let mut watchers = Vec::new();
    for dao in [one, one, other] {
        let mut changes = dao.watch().await;
        next(&mut changes, "the first event").await;
        watchers.push(changes);
    }
    let key = at.key("a");
    committed(one, at.transaction().create(key.clone(), "1".into())).await;
    for changes in &mut watchers {
        told(changes, &key).await;
    }
}
