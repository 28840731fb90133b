//! What the holder knows of calls, contexts, owners and lives: read whole at take-over, then kept
//! up to date by events and by its own commits.

use crate::identity::{CallId, ContextId};
use crate::records::call::CallRecord;
use crate::records::context::{ContextRecord, LifeRecord, OwnerRecord};
use crate::records::key::{Key, Layout};
use crate::records::transaction::{Query, Stored};
use crate::records::{RecordError, Versioned, decode};
use std::collections::BTreeMap;

/// The records that the holder decides from.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub(super) calls: BTreeMap<CallId, Versioned<CallRecord>>,
    pub(super) contexts: BTreeMap<ContextId, Versioned<ContextRecord>>,
    pub(super) owners: BTreeMap<ContextId, Versioned<OwnerRecord>>,
    pub(super) lives: BTreeMap<ContextId, Versioned<LifeRecord>>,
}

impl View {
    /// The query that reads all of it.
    pub(super) fn query(layout: &Layout) -> Query {
        Query {
            folders: [
                layout.calls(),
                layout.contexts(),
                layout.owners(),
                layout.lives(),
            ]
            .into(),
            ..Query::default()
        }
    }

    /// Whether a record is one of these.
    pub(super) fn holds(layout: &Layout, key: &Key) -> bool {
        let folders = [
            layout.calls(),
            layout.contexts(),
            layout.owners(),
            layout.lives(),
        ];
        folders.iter().any(|folder| key.is_in(folder))
    }

    /// Takes over one record as it is in the store now.
    pub(super) fn absorb(
        &mut self,
        layout: &Layout,
        key: &Key,
        stored: Option<&Stored>,
    ) -> Result<(), RecordError> {
        let Some(folder) = key.folder() else {
            return Ok(());
        };
        if folder == layout.calls() {
            put(
                &mut self.calls,
                CallId::new(key.name()),
                key,
                "a call",
                stored,
            )
        } else if folder == layout.contexts() {
            put(
                &mut self.contexts,
                ContextId::new(key.name()),
                key,
                "a context",
                stored,
            )
        } else if folder == layout.owners() {
            put(
                &mut self.owners,
                ContextId::new(key.name()),
                key,
                "an owner",
                stored,
            )
        } else if folder == layout.lives() {
            put(
                &mut self.lives,
                ContextId::new(key.name()),
                key,
                "a life",
                stored,
            )
        } else {
            Ok(())
        }
    }

    /// The live context of a name.
    pub(super) fn named(&self, name: &str) -> Option<&Versioned<ContextRecord>> {
        self.contexts
            .values()
            .find(|context| context.value.name == name)
    }
}

fn put<K: Ord, T: serde::de::DeserializeOwned>(
    map: &mut BTreeMap<K, Versioned<T>>,
    id: K,
    key: &Key,
    what: &'static str,
    stored: Option<&Stored>,
) -> Result<(), RecordError> {
    match stored {
        None => {
            map.remove(&id);
        }
        Some(stored) => {
            map.insert(id, decode(key, what, stored)?);
        }
    }
    Ok(())
}
