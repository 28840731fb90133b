//! Transactions and queries as data: what any backend must carry out (protocol.md W).

use super::key::Key;
use crate::time::Stamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The most bytes of an encoded transaction, on every backend (W6).
pub const TRANSACTION_BYTES_MAX: usize = 256 * 1024;
/// The most operations of one transaction.
pub const TRANSACTION_OPERATIONS_MAX: usize = 128;
/// The most children that one folder may be listed with (ZooKeeper breaks at about 27,000; C1).
pub const FOLDER_RECORDS_MAX: usize = 20_000;

/// The bytes after which a page ends early: names and values of all pages of one answer together.
pub const PAGES_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How often a record was written since it was made: 0 when new, one more with each put.
///
/// Starts over when a record is deleted and made again, as ZooKeeper's does (W3).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Version(pub u32);

impl Version {
    /// The version after one more put.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

/// A number that a process gives a transaction; with its identity it is unique for ever (W4).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TransactionId(pub String);

/// One operation of a transaction; guards are operations that change nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case")]
pub enum Operation {
    /// Guard: the record is there in this version.
    Check {
        /// Which record.
        key: Key,
        /// In which version.
        version: Version,
    },
    /// Guard: the record is not there (in ZooKeeper: create and delete of its path).
    CheckAbsent {
        /// Which record.
        key: Key,
    },
    /// Makes a record; refused when it is there. Folders on the way are made as needed.
    Create {
        /// Which record.
        key: Key,
        /// Its content: JSON.
        value: String,
    },
    /// Replaces a record's content; refused when it is not there or in another version.
    Put {
        /// Which record.
        key: Key,
        /// Its new content: JSON.
        value: String,
        /// The version it must have; `None` for any.
        version: Option<Version>,
    },
    /// Removes a record; refused when it is not there or in another version.
    Delete {
        /// Which record.
        key: Key,
        /// The version it must have; `None` for any.
        version: Option<Version>,
    },
}

impl Operation {
    /// The record that this operation is about.
    #[must_use]
    pub const fn key(&self) -> &Key {
        match self {
            Self::Check { key, .. }
            | Self::CheckAbsent { key }
            | Self::Create { key, .. }
            | Self::Put { key, .. }
            | Self::Delete { key, .. } => key,
        }
    }
}

/// All of its operations are carried out, or none; the first that fails is named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// Its id, stored by the backend with the commit so that an unknown outcome can be settled.
    pub id: TransactionId,
    /// In order. A later operation sees what an earlier one did.
    pub operations: Vec<Operation>,
}

impl Transaction {
    /// An empty transaction of this id.
    #[must_use]
    pub const fn new(id: TransactionId) -> Self {
        Self {
            id,
            operations: Vec::new(),
        }
    }

    /// Adds a guard on a version.
    #[must_use]
    pub fn check(mut self, key: Key, version: Version) -> Self {
        self.operations.push(Operation::Check { key, version });
        self
    }

    /// Adds a guard on absence.
    #[must_use]
    pub fn check_absent(mut self, key: Key) -> Self {
        self.operations.push(Operation::CheckAbsent { key });
        self
    }

    /// Adds the creation of a record.
    #[must_use]
    pub fn create(mut self, key: Key, value: String) -> Self {
        self.operations.push(Operation::Create { key, value });
        self
    }

    /// Adds a put under a version.
    #[must_use]
    pub fn put(mut self, key: Key, value: String, version: Version) -> Self {
        self.operations.push(Operation::Put {
            key,
            value,
            version: Some(version),
        });
        self
    }

    /// Adds a put whatever the version; only where another guard of the transaction fences it.
    #[must_use]
    pub fn put_any(mut self, key: Key, value: String) -> Self {
        self.operations.push(Operation::Put {
            key,
            value,
            version: None,
        });
        self
    }

    /// Adds a deletion under a version.
    #[must_use]
    pub fn delete(mut self, key: Key, version: Version) -> Self {
        self.operations.push(Operation::Delete {
            key,
            version: Some(version),
        });
        self
    }

    /// Adds a deletion whatever the version; only where another guard of the transaction fences it.
    /// Refused when the record is not there.
    #[must_use]
    pub fn delete_any(mut self, key: Key) -> Self {
        self.operations
            .push(Operation::Delete { key, version: None });
        self
    }

    /// The bytes that count against [`TRANSACTION_BYTES_MAX`].
    #[must_use]
    pub fn encoded_bytes(&self) -> usize {
        let of = |operation: &Operation| match operation {
            Operation::Create { key, value } | Operation::Put { key, value, .. } => {
                key.as_str().len() + value.len() + 32
            }
            Operation::Check { key, .. }
            | Operation::CheckAbsent { key }
            | Operation::Delete { key, .. } => key.as_str().len() + 32,
        };
        self.id.0.len() + self.operations.iter().map(of).sum::<usize>()
    }
}

/// What the store answers to a transaction. *Unknown* is a third outcome (W4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CommitOutcome {
    /// Carried out, at this time of the store.
    Committed {
        /// The store's time of the commit.
        stamp: Stamp,
    },
    /// Nothing was done, since this operation failed.
    Refused {
        /// The index of the first operation that failed.
        operation: usize,
    },
    /// The answer was lost: it may have been carried out, and may still be.
    Unknown,
    /// Certainly not carried out: it was never sent (out of reach, over its bound).
    NotSent {
        /// Why, for logs.
        reason: String,
    },
}

/// What to read, in one round of the store that was sent after the query was made (B2).
///
/// An empty query is a bare barrier.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// Single records.
    pub keys: BTreeSet<Key>,
    /// Folders, whose direct children are read, whole.
    pub folders: BTreeSet<Key>,
    /// Folders of which a part is read: those that may be too large for one answer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pages: BTreeMap<Key, Page>,
}

/// A part of a folder: its next direct children, in order of their names.
///
/// At least one if there is any, but for what other pages of the query took of
/// [`PAGES_BYTES_MAX`]; [`Snapshot::more`] says whether any are left behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// Only names behind this one; the empty name for the first page.
    pub after: String,
    /// At most so many, at least one.
    pub records: usize,
}

/// What the pages of one answer still have room for: the same for every backend.
#[derive(Clone, Copy, Debug, Default)]
pub struct PageRoom {
    bytes: usize,
}

impl PageRoom {
    /// Whether this record belongs to its page, which ends before it if not. The first record of an
    /// answer always does.
    pub const fn takes(&mut self, name: &str, value: &str) -> bool {
        let bytes = self.bytes + name.len() + value.len();
        let fits = self.bytes == 0 || bytes <= PAGES_BYTES_MAX;
        if fits {
            self.bytes = bytes;
        }
        fits
    }
}

impl Query {
    /// A query for single records.
    #[must_use]
    pub fn keys(keys: impl IntoIterator<Item = Key>) -> Self {
        Self {
            keys: keys.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Adds a folder.
    #[must_use]
    pub fn with_folder(mut self, folder: Key) -> Self {
        self.folders.insert(folder);
        self
    }

    /// Adds the first page of a folder, of at most so many records.
    #[must_use]
    pub fn with_page(mut self, folder: Key, records: usize) -> Self {
        let after = String::new();
        self.pages.insert(folder, Page { after, records });
        self
    }

    /// The pages behind those of this query that `found` answers; `None` when nothing is left, or
    /// when the answer brought nothing on.
    #[must_use]
    pub fn next_pages(&self, found: &Snapshot) -> Option<Self> {
        let mut brought_on = false;
        let pages = found.more.iter().filter_map(|folder| {
            let mut page = self.pages.get(folder)?.clone();
            if let Some((last, _)) = found.in_folder(folder).last() {
                last.name().clone_into(&mut page.after);
            }
            Some((folder.clone(), page))
        });
        let pages: BTreeMap<Key, Page> = pages.collect();
        for folder in self.pages.keys() {
            let is_whole = !found.more.contains(folder);
            brought_on |= is_whole || pages.get(folder) != self.pages.get(folder);
        }
        (brought_on && !pages.is_empty()).then(|| Self {
            pages,
            ..Self::default()
        })
    }
}

/// A record as the store holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// Its content: JSON.
    pub value: String,
    /// Its version.
    pub version: Version,
    /// When it was made.
    pub created: Stamp,
    /// When it was last written.
    pub modified: Stamp,
    /// The transaction that wrote it last (W4).
    pub written_by: TransactionId,
}

/// What a query found: absent records are absent here too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The records, of all keys and folders of the query.
    pub records: BTreeMap<Key, Stored>,
    /// The store's time of the read.
    pub stamp: Stamp,
    /// Folders of the query's pages that have more records, behind the last one of their page.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub more: BTreeSet<Key>,
}

impl Snapshot {
    /// The records that are direct children of `folder`, in order of their names.
    pub fn in_folder<'a>(&'a self, folder: &'a Key) -> impl Iterator<Item = (&'a Key, &'a Stored)> {
        self.records
            .iter()
            .filter(move |(key, _)| key.is_in(folder))
    }
}

/// What a read gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReadOutcome {
    /// The store answered.
    Snapshot(Snapshot),
    /// It did not, within the time of a store call.
    Failed {
        /// Why, for logs.
        reason: String,
    },
}

/// That something changed; events carry no data, may be merged and may be lost (B1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// This record was made, written or removed.
    Record(Key),
    /// The watch was lost and is set again: anything may have changed.
    Everything,
}

/// The records that a committed transaction wrote or removed, as they are now, so that its writer
/// need not read them again. Those put under no version are left out: theirs is not known.
#[must_use]
pub fn written(transaction: &Transaction, stamp: Stamp) -> Vec<(Key, Option<Stored>)> {
    let stored = |value: &String, version: Version| {
        let (value, written_by) = (value.clone(), transaction.id.clone());
        Some(Stored {
            value,
            version,
            created: stamp,
            modified: stamp,
            written_by,
        })
    };
    let of = |operation: &Operation| match operation {
        Operation::Create { key, value } => Some((key.clone(), stored(value, Version(0)))),
        Operation::Put {
            key,
            value,
            version: Some(version),
        } => Some((key.clone(), stored(value, version.next()))),
        Operation::Delete { key, .. } => Some((key.clone(), None)),
        Operation::Put { version: None, .. }
        | Operation::Check { .. }
        | Operation::CheckAbsent { .. } => None,
    };
    transaction.operations.iter().filter_map(of).collect()
}
