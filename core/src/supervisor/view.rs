//! What the holder knows of calls, contexts, owners and lives: read whole at take-over, then kept
//! up to date by events and by its own commits.

use crate::identity::{CallId, ContextId};
use crate::records::call::CallRecord;
use crate::records::context::{ContextRecord, LifeRecord, OwnerRecord};
use crate::records::key::{Key, Layout};
use crate::records::transaction::{Query, Snapshot, Stored};
use crate::records::{RecordError, Versioned, decode};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Records as they were read, shared with whoever decides from them.
type Records<K, T> = BTreeMap<K, Arc<Versioned<T>>>;

/// The records that the holder decides from.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    pub(super) calls: Records<CallId, CallRecord>,
    pub(super) contexts: Records<ContextId, ContextRecord>,
    pub(super) owners: Records<ContextId, OwnerRecord>,
    pub(super) lives: Records<ContextId, LifeRecord>,
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

    /// All of it as it was read just now, and what of it cannot be read. What was known already
    /// is not decoded again.
    pub(super) fn of(mut old: Self, layout: &Layout, found: &Snapshot) -> (Self, Vec<RecordError>) {
        let mut fresh = Self::default();
        let mut errors = Vec::new();
        for (key, stored) in &found.records {
            let taken = fresh.take(&mut old, layout, key, Some(stored));
            errors.extend(taken.err());
        }
        (fresh, errors)
    }

    /// Takes over one record as it is in the store now.
    pub(super) fn absorb(
        &mut self,
        layout: &Layout,
        key: &Key,
        stored: Option<&Stored>,
    ) -> Result<(), RecordError> {
        self.take(&mut Self::default(), layout, key, stored)
    }

    fn take(
        &mut self,
        old: &mut Self,
        layout: &Layout,
        key: &Key,
        stored: Option<&Stored>,
    ) -> Result<(), RecordError> {
        let context = || ContextId::new(key.name());
        if key.is_in(&layout.calls()) {
            let maps = (&mut self.calls, &mut old.calls);
            put(maps, CallId::new(key.name()), key, "a call", stored)
        } else if key.is_in(&layout.contexts()) {
            let maps = (&mut self.contexts, &mut old.contexts);
            put(maps, context(), key, "a context", stored)
        } else if key.is_in(&layout.owners()) {
            let maps = (&mut self.owners, &mut old.owners);
            put(maps, context(), key, "an owner", stored)
        } else if key.is_in(&layout.lives()) {
            let maps = (&mut self.lives, &mut old.lives);
            put(maps, context(), key, "a life", stored)
        } else {
            Ok(())
        }
    }

    /// The live context of a name.
    pub(super) fn named(&self, name: &str) -> Option<&Versioned<ContextRecord>> {
        self.contexts
            .values()
            .find(|context| context.value.name == name)
            .map(|context| &**context)
    }
}

/// Puts a record into the first of two maps, from the second one if that has this write of it.
fn put<K: Ord, T: serde::de::DeserializeOwned>(
    (map, old): (&mut Records<K, T>, &mut Records<K, T>),
    id: K,
    key: &Key,
    what: &'static str,
    stored: Option<&Stored>,
) -> Result<(), RecordError> {
    let Some(stored) = stored else {
        map.remove(&id);
        return Ok(());
    };
    let known = old.remove(&id).filter(|known| known.is_of(stored));
    let record = known.map_or_else(|| decode(key, what, stored).map(Arc::new), Ok)?;
    map.insert(id, record);
    Ok(())
}
