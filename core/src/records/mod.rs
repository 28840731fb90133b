//! What the store holds: records, where they lie, and the transactions that change them.
//!
//! Records are JSON with the unknown rest kept (protocol.md W7): what a newer release wrote survives
//! a write of an older one.

pub mod call;
pub mod cluster;
pub mod context;
pub mod job;
pub mod key;
pub mod model;
pub mod orphans;
pub mod singleton;
pub mod transaction;

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use transaction::{Stored, Version};

/// Fields that this release does not know, kept as they are.
pub type Rest = BTreeMap<String, serde_json::Value>;

/// A record that this release cannot read: written by another program, or damaged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record `{key}` cannot be read as {what}: {reason}")]
pub struct RecordError {
    /// Which record.
    pub key: String,
    /// What it should be.
    pub what: &'static str,
    /// Why it is not.
    pub reason: String,
}

/// A record's content together with what guards on it need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The content.
    pub value: T,
    /// The version that was read.
    pub version: Version,
    /// When the record was made and last written, by the store's clock.
    pub created: crate::time::Stamp,
    /// When it was last written, by the store's clock.
    pub modified: crate::time::Stamp,
    /// The transaction that wrote it last (W4).
    pub written_by: transaction::TransactionId,
}

impl<T> Versioned<T> {
    /// Whether the store still holds this very write of the record, so that its content need not
    /// be read again.
    #[must_use]
    pub fn is_of(&self, stored: &Stored) -> bool {
        self.version == stored.version
            && self.modified == stored.modified
            && self.created == stored.created
            && self.written_by == stored.written_by
    }
}

/// Reads a record's content.
///
/// # Errors
/// The record's key, what was expected and the parser's reason.
pub fn decode<T: DeserializeOwned>(
    key: &key::Key,
    what: &'static str,
    stored: &Stored,
) -> Result<Versioned<T>, RecordError> {
    let error = |e: serde_json::Error| RecordError {
        key: key.to_string(),
        what,
        reason: e.to_string(),
    };
    let value = serde_json::from_str(&stored.value).map_err(error)?;
    Ok(Versioned {
        value,
        version: stored.version,
        created: stored.created,
        modified: stored.modified,
        written_by: stored.written_by.clone(),
    })
}

/// The JSON text of a record.
#[must_use]
pub fn encode<T: Serialize>(record: &T) -> String {
    // Records are plain structures with text keys, for which serde_json cannot fail.
    serde_json::to_string(record).unwrap_or_default()
}
