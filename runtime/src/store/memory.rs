//! Stores in memory, for tests: the model behind the traits, with switches for what can go wrong.

use super::{BinaryDao, BinaryError, Changes, Content, MetaDataDao};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use doyen_core::records::model::StoreModel;
use doyen_core::records::transaction::{Change, CommitOutcome, Query, ReadOutcome, Transaction};
use doyen_core::time::Stamp;
use futures_util::{StreamExt, stream};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

/// Events that a watcher may be behind before it is told [`Change::Everything`] instead.
const EVENTS_MAX: usize = 256;
/// What an away store says.
const AWAY: &str = "the store in memory is switched away";

/// Metadata in memory; a clone is another client of the same store.
#[derive(Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

struct Shared {
    id: String,
    state: Mutex<State>,
    changes: broadcast::Sender<Change>,
}

#[derive(Default)]
struct State {
    model: StoreModel,
    last: Stamp,
    away: bool,
    answers_to_lose: u32,
}

impl State {
    /// The store's clock: the wall clock, never going back.
    fn tick(&mut self) -> Stamp {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH);
        let millis = wall.map_or(0, |since| since.as_millis());
        self.last = self
            .last
            .max(Stamp(u64::try_from(millis).unwrap_or(u64::MAX)));
        self.last
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store with an id of its own.
    #[must_use]
    pub fn new() -> Self {
        let mut random = [0; 8];
        // Without randomness two stores of one test share an id, which harms nothing.
        let _ = getrandom::fill(&mut random);
        let shared = Shared {
            id: format!("memory-{:016x}", u64::from_be_bytes(random)),
            state: Mutex::default(),
            changes: broadcast::Sender::new(EVENTS_MAX),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Switches the store away or back for all its clients. Away: commits are not sent, reads fail,
    /// events are lost; when it is back, watchers are told [`Change::Everything`].
    pub fn set_away(&self, away: bool) {
        let was_away = std::mem::replace(&mut self.state().away, away);
        if was_away && !away {
            let _ = self.shared.changes.send(Change::Everything);
        }
    }

    /// The next commit is carried out, whatever comes of it, and its answer is lost (W4).
    pub fn lose_next_answer(&self) {
        self.state().answers_to_lose += 1;
    }

    /// The contents, for looking at them in a test.
    #[must_use]
    pub fn contents(&self) -> StoreModel {
        self.state().model.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let state = self.shared.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl MetaDataDao for MemoryStore {
    async fn commit(&self, transaction: Transaction) -> CommitOutcome {
        let mut state = self.state();
        if state.away {
            return CommitOutcome::NotSent {
                reason: AWAY.to_owned(),
            };
        }
        let stamp = state.tick();
        let (outcome, changed) = state.model.commit(&transaction, stamp);
        // Sent under the lock, so that events come in the order of commits; nobody may listen.
        for key in changed {
            let _ = self.shared.changes.send(Change::Record(key));
        }
        let was_sent = !matches!(outcome, CommitOutcome::NotSent { .. });
        if was_sent && state.answers_to_lose > 0 {
            state.answers_to_lose -= 1;
            return CommitOutcome::Unknown;
        }
        outcome
    }

    async fn read(&self, query: Query) -> ReadOutcome {
        let mut state = self.state();
        if state.away {
            return ReadOutcome::Failed {
                reason: AWAY.to_owned(),
            };
        }
        let stamp = state.tick();
        ReadOutcome::Snapshot(state.model.read(&query, stamp))
    }

    async fn watch(&self) -> Changes {
        let events = BroadcastStream::new(self.shared.changes.subscribe());
        // The one error is that the watcher fell behind.
        let events = events.map(|event| event.unwrap_or(Change::Everything));
        stream::iter([Change::Everything]).chain(events).boxed()
    }

    async fn store_id(&self) -> Option<String> {
        (!self.state().away).then(|| self.shared.id.clone())
    }
}

/// Binaries in memory; a clone is another client of the same store.
#[derive(Clone, Debug, Default)]
pub struct MemoryBinaries {
    objects: Arc<Mutex<BTreeMap<String, Bytes>>>,
}

impl MemoryBinaries {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<String, Bytes>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes of one piece of a stream.
const PIECE: usize = 64 * 1024;

#[async_trait]
impl BinaryDao for MemoryBinaries {
    async fn put(&self, name: &str, mut content: Content) -> Result<u64, BinaryError> {
        let mut whole = BytesMut::new();
        while let Some(piece) = content.next().await {
            whole.extend_from_slice(&piece?);
        }
        let mut objects = self.objects();
        let stored = objects
            .entry(name.to_owned())
            .or_insert_with(|| whole.freeze());
        Ok(u64::try_from(stored.len()).unwrap_or(u64::MAX))
    }

    async fn get(&self, name: &str) -> Result<Content, BinaryError> {
        let found = self.objects().get(name).cloned();
        let mut rest = found.ok_or_else(|| BinaryError::NotFound(name.to_owned()))?;
        let pieces = std::iter::from_fn(move || {
            (!rest.is_empty()).then(|| Ok(rest.split_to(PIECE.min(rest.len()))))
        });
        Ok(stream::iter(pieces).boxed())
    }

    async fn delete(&self, name: &str) -> Result<(), BinaryError> {
        self.objects().remove(name);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<String>, BinaryError> {
        Ok(self.objects().keys().cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::{check_binaries, check_metadata};
    use doyen_core::records::key::Key;
    use doyen_core::records::transaction::TransactionId;

    fn create(id: &str, key: &str) -> Transaction {
        Transaction::new(TransactionId(id.to_owned())).create(Key::new(key), "1".to_owned())
    }

    #[tokio::test]
    async fn the_store_in_memory_passes_the_conformance_suite() {
        let store = MemoryStore::new();
        check_metadata(|| Arc::new(store.clone())).await;
    }

    #[tokio::test]
    async fn the_binaries_in_memory_pass_the_conformance_suite() {
        let store = MemoryBinaries::new();
        check_binaries(|| Arc::new(store.clone())).await;
    }

    #[tokio::test]
    async fn a_lost_answer_is_unknown_and_carried_out_once() {
        let store = MemoryStore::new();
        store.lose_next_answer();
        assert_eq!(store.commit(create("1", "a")).await, CommitOutcome::Unknown);
        let again = store.commit(create("2", "a")).await;
        assert_eq!(again, CommitOutcome::Refused { operation: 0 });
    }

    #[tokio::test]
    async fn an_away_store_does_nothing_and_tells_watchers_when_it_is_back() {
        let store = MemoryStore::new();
        let mut changes = store.watch().await;
        assert_eq!(changes.next().await, Some(Change::Everything));
        store.set_away(true);
        let outcome = store.commit(create("1", "a")).await;
        assert!(matches!(outcome, CommitOutcome::NotSent { .. }));
        let read = store.read(Query::default()).await;
        assert!(matches!(read, ReadOutcome::Failed { .. }));
        assert_eq!(store.store_id().await, None);
        assert_eq!(store.contents().records().count(), 0);
        store.set_away(false);
        assert_eq!(changes.next().await, Some(Change::Everything));
    }

    #[tokio::test]
    async fn a_watcher_that_fell_behind_is_told_everything() {
        let store = MemoryStore::new();
        let mut changes = store.watch().await;
        assert_eq!(changes.next().await, Some(Change::Everything));
        for n in 0..=EVENTS_MAX {
            store.commit(create("1", &n.to_string())).await;
        }
        assert_eq!(changes.next().await, Some(Change::Everything));
    }
}
