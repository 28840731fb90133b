//! What goes to the store, and what comes from it.

use super::Digest;
use crate::trace::hash::Hash64;
use doyen_core::records::transaction::{
    CommitOutcome, Operation, Query, ReadOutcome, Stored, Transaction,
};

impl Digest for Transaction {
    fn digest(&self, hash: &mut Hash64) {
        self.id.0.as_str().digest(hash);
        hash.word(self.operations.len() as u64);
        for operation in &self.operations {
            let (tag, value, version) = match operation {
                Operation::Check { version, .. } => (1, None, Some(*version)),
                Operation::CheckAbsent { .. } => (2, None, None),
                Operation::Create { value, .. } => (3, Some(value), None),
                Operation::Put { value, version, .. } => (4, Some(value), *version),
                Operation::Delete { version, .. } => (5, None, *version),
            };
            hash.pair(tag, version.map_or(u64::MAX, |one| u64::from(one.0)));
            operation.key().as_str().digest(hash);
            value.map(String::as_str).digest(hash);
        }
    }
}

impl Digest for Stored {
    fn digest(&self, hash: &mut Hash64) {
        self.value.as_str().digest(hash);
        hash.pair(self.created.0, self.modified.0);
        hash.word(u64::from(self.version.0));
        self.written_by.0.as_str().digest(hash);
    }
}

impl Digest for CommitOutcome {
    fn digest(&self, hash: &mut Hash64) {
        match self {
            Self::Committed { stamp } => {
                hash.pair(1, stamp.0);
            }
            Self::Refused { operation } => {
                hash.pair(2, *operation as u64);
            }
            Self::Unknown => hash.word(3),
            Self::NotSent { reason } => {
                hash.word(4);
                reason.as_str().digest(hash);
            }
        }
    }
}

impl Digest for ReadOutcome {
    fn digest(&self, hash: &mut Hash64) {
        match self {
            Self::Snapshot(found) => {
                hash.pair(1, found.stamp.0);
                hash.pair(found.records.len() as u64, found.more.len() as u64);
                for (key, stored) in &found.records {
                    key.as_str().digest(hash);
                    stored.digest(hash);
                }
                for folder in &found.more {
                    folder.as_str().digest(hash);
                }
            }
            Self::Failed { reason } => {
                hash.word(2);
                reason.as_str().digest(hash);
            }
        }
    }
}

impl Digest for Query {
    fn digest(&self, hash: &mut Hash64) {
        hash.pair(self.keys.len() as u64, self.folders.len() as u64);
        hash.word(self.pages.len() as u64);
        for key in self.keys.iter().chain(&self.folders) {
            key.as_str().digest(hash);
        }
        for (folder, page) in &self.pages {
            folder.as_str().digest(hash);
            page.after.as_str().digest(hash);
            hash.word(page.records as u64);
        }
    }
}
