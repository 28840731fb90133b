//! The seams for any database: metadata by transactions, binaries by streams.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
pub mod memory;

use async_trait::async_trait;
use bytes::Bytes;
use doyen_core::records::transaction::{Change, CommitOutcome, Query, ReadOutcome, Transaction};
use futures_util::stream::BoxStream;
use std::time::Duration;

/// A stream of changes; ends when the store is closed.
pub type Changes = BoxStream<'static, Change>;

/// A stream of an object's bytes.
pub type Content = BoxStream<'static, Result<Bytes, BinaryError>>;

/// Where metadata lies. What it promises is cut to what ZooKeeper gives: version guards, ordered
/// names, events without data, ambiguous commits, bounded transactions.
#[async_trait]
pub trait MetaDataDao: Send + Sync + 'static {
    /// Carries out a transaction, whole or not at all. Returns within the time of a store call;
    /// [`CommitOutcome::Unknown`] when no answer came by then.
    async fn commit(&self, transaction: Transaction) -> CommitOutcome;

    /// Reads, in a round that begins after this call: it sees every commit that was answered
    /// before (protocol.md B2). What it gives of several records need not be of one moment: a
    /// commit that falls into the round may show in some of them (ZooKeeper reads one at a time).
    async fn read(&self, query: Query) -> ReadOutcome;

    /// Every change from now on, by any process, until the stream is dropped. May merge events;
    /// after events were lost it yields [`Change::Everything`]. The first item is always
    /// `Everything`, once the watch is set.
    async fn watch(&self) -> Changes;

    /// Names the store, so that peers of another one are refused (F7): stable for its life, equal
    /// for every process that uses it. `None` while the store cannot be asked.
    async fn store_id(&self) -> Option<String>;
}

/// Where binaries and large results lie, by name. Names are chosen by the caller: a content hash
/// for binaries, `result-<job>` and `config-<job>` for jobs' payloads.
#[async_trait]
pub trait BinaryDao: Send + Sync + 'static {
    /// Stores an object under `name`, streamed: never whole in memory. Visible whole or not at all.
    /// An object that is there already is left as it is, and is as young as a new one.
    ///
    /// # Errors
    /// What the backend said, or what the content stream said; nothing is visible then.
    async fn put(&self, name: &str, content: Content) -> Result<u64, BinaryError>;

    /// Streams an object.
    ///
    /// # Errors
    /// [`BinaryError::NotFound`] when there is none of this name.
    async fn get(&self, name: &str) -> Result<Content, BinaryError>;

    /// Removes an object; one that is not there is removed already.
    ///
    /// # Errors
    /// What the backend said.
    async fn delete(&self, name: &str) -> Result<(), BinaryError>;

    /// The names of all objects.
    ///
    /// # Errors
    /// What the backend said.
    async fn list(&self) -> Result<Vec<String>, BinaryError>;

    /// Some of the objects with their ages, at most [`OBJECTS_PAGE_MAX`]: those behind `after`, the
    /// `next` of the page before; `None` for the first page. An object that is there all the while
    /// is on one page. A backend that does not know ages lists nothing here.
    ///
    /// # Errors
    /// What the backend said.
    async fn page(&self, after: Option<&str>) -> Result<ObjectPage, BinaryError> {
        let _ = after;
        Ok(ObjectPage::default())
    }

    /// Removes an object unless it is younger than this; says whether it did. A put of this name
    /// that is answered meanwhile keeps the object, or has stored it anew.
    ///
    /// # Errors
    /// What the backend said.
    async fn delete_older(&self, name: &str, age: Duration) -> Result<bool, BinaryError> {
        let _ = (name, age);
        Ok(false)
    }
}

/// The most objects of one page.
pub const OBJECTS_PAGE_MAX: usize = 1_000;

/// A part of the list of all objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectPage {
    /// Names, and the time since each was put last, by the backend's clock.
    pub objects: Vec<(String, Duration)>,
    /// Where the next page begins; `None` on the last one.
    pub next: Option<String>,
}

/// Why an object could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum BinaryError {
    /// No object of this name.
    #[error("no object `{0}` in the binary store")]
    NotFound(String),
    /// The content stream ended early, was over its limit, or is not of the right form.
    #[error("{0}")]
    Content(String),
    /// The backend failed.
    #[error("the binary store failed: {0}")]
    Backend(#[from] std::io::Error),
}
