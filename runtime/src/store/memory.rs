//! Stores in memory, for tests: the model behind the traits, with switches for what can go wrong.

use super::{BinaryDao, BinaryError, Changes, Content, MetaDataDao, OBJECTS_PAGE_MAX, ObjectPage};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use doyen_core::records::model::StoreModel;
use doyen_core::records::transaction::{Change, CommitOutcome, Query, ReadOutcome, Transaction};
use doyen_core::time::Stamp;
use futures_util::{StreamExt, stream};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
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
    objects: Arc<Mutex<Objects>>,
}

/// Contents, and when each was put last.
type Objects = BTreeMap<String, (Bytes, SystemTime)>;

impl MemoryBinaries {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes an object older by this, as if it had been put so much earlier.
    pub fn grow_older(&self, name: &str, by: Duration) {
        if let Some((_, put)) = self.objects().get_mut(name) {
            *put = put.checked_sub(by).unwrap_or(UNIX_EPOCH);
        }
    }

    fn objects(&self) -> MutexGuard<'_, Objects> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn age(now: SystemTime, put: SystemTime) -> Duration {
    now.duration_since(put).unwrap_or_default()
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
        let now = SystemTime::now();
        let (stored, put) = objects
            .entry(name.to_owned())
            .or_insert_with(|| (whole.freeze(), now));
        *put = now;
        Ok(u64::try_from(stored.len()).unwrap_or(u64::MAX))
    }

    async fn get(&self, name: &str) -> Result<Content, BinaryError> {
        let found = self.objects().get(name).cloned();
        let (mut rest, _) = found.ok_or_else(|| BinaryError::NotFound(name.to_owned()))?;
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

    async fn page(&self, after: Option<&str>) -> Result<ObjectPage, BinaryError> {
        let now = SystemTime::now();
        let objects = self.objects();
        let behind = objects
            .iter()
            .filter(|(name, _)| after.is_none_or(|after| name.as_str() > after));
        let mut found: Vec<(String, Duration)> = behind
            .take(OBJECTS_PAGE_MAX + 1)
            .map(|(name, (_, put))| (name.clone(), age(now, *put)))
            .collect();
        let is_last = found.len() <= OBJECTS_PAGE_MAX;
        found.truncate(OBJECTS_PAGE_MAX);
        let next = found.last().filter(|_| !is_last);
        Ok(ObjectPage {
            next: next.map(|(name, _)| name.clone()),
            objects: found,
        })
    }

    async fn delete_older(&self, name: &str, than: Duration) -> Result<bool, BinaryError> {
        let now = SystemTime::now();
        let mut objects = self.objects();
        let goes = objects
            .get(name)
            .is_some_and(|(_, put)| age(now, *put) >= than);
        if goes {
            objects.remove(name);
        }
        Ok(goes)
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
    async fn an_object_that_is_put_again_is_young_again() {
        let (store, day) = (MemoryBinaries::new(), Duration::from_secs(86_400));
        let content = || stream::iter([Ok(Bytes::from_static(b"x"))]).boxed();
        store.put("a", content()).await.unwrap();
        store.grow_older("a", day);
        assert!(store.page(None).await.unwrap().objects[0].1 >= day);
        store.put("a", content()).await.unwrap();
        assert!(!store.delete_older("a", day).await.unwrap());
        store.grow_older("a", day);
        assert!(store.delete_older("a", day).await.unwrap());
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
