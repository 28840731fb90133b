//! The store as a pure value: what every backend must behave like.
//!
//! It serves the in-memory store of the runtime, the simulated store, and the conformance suite as
//! the model that backends are compared with. It imposes the limits that ZooKeeper has.

use super::key::Key;
use super::transaction::{
    CommitOutcome, Operation, Page, PageRoom, Query, Snapshot, Stored, TRANSACTION_BYTES_MAX,
    TRANSACTION_OPERATIONS_MAX, Transaction, TransactionId, Version,
};
use crate::time::Stamp;
use std::collections::{BTreeMap, BTreeSet};

/// All records of one store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreModel {
    records: BTreeMap<Key, Stored>,
}

impl StoreModel {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Carries out a transaction at this time, whole or not at all; also says what changed.
    pub fn commit(
        &mut self,
        transaction: &Transaction,
        stamp: Stamp,
    ) -> (CommitOutcome, BTreeSet<Key>) {
        if let Some(reason) = over_bounds(transaction) {
            return (CommitOutcome::NotSent { reason }, BTreeSet::new());
        }
        let mut before: BTreeMap<Key, Option<Stored>> = BTreeMap::new();
        for (index, operation) in transaction.operations.iter().enumerate() {
            let key = operation.key();
            let old = self.records.get(key).cloned();
            let Some(applied) = apply(operation, old.as_ref(), &transaction.id, stamp) else {
                for (key, old) in before {
                    self.restore(key, old);
                }
                return (CommitOutcome::Refused { operation: index }, BTreeSet::new());
            };
            let new = match applied {
                Applied::Unchanged => continue,
                Applied::Written(stored) => Some(stored),
                Applied::Removed => None,
            };
            before.entry(key.clone()).or_insert(old);
            self.restore(key.clone(), new);
        }
        (
            CommitOutcome::Committed { stamp },
            before.into_keys().collect(),
        )
    }

    /// Reads what the query names.
    #[must_use]
    pub fn read(&self, query: &Query, stamp: Stamp) -> Snapshot {
        let single = query
            .keys
            .iter()
            .filter_map(|key| self.records.get_key_value(key));
        let listed = query
            .folders
            .iter()
            .flat_map(|folder| self.children(folder, ""));
        let records = single
            .chain(listed)
            .map(|(key, stored)| (key.clone(), stored.clone()))
            .collect();
        let mut snapshot = Snapshot {
            records,
            stamp,
            ..Snapshot::default()
        };
        let mut room = PageRoom::default();
        for (folder, page) in &query.pages {
            self.read_page(folder, page, &mut room, &mut snapshot);
        }
        snapshot
    }

    fn read_page(&self, folder: &Key, page: &Page, room: &mut PageRoom, snapshot: &mut Snapshot) {
        let most = page.records.max(1);
        for (index, (key, stored)) in self.children(folder, &page.after).enumerate() {
            if index == most || !room.takes(key.name(), &stored.value) {
                snapshot.more.insert(folder.clone());
                break;
            }
            snapshot.records.insert(key.clone(), stored.clone());
        }
    }

    /// The direct children of a folder behind a name, in order.
    fn children<'a>(
        &'a self,
        folder: &'a Key,
        after: &'a str,
    ) -> impl Iterator<Item = (&'a Key, &'a Stored)> {
        self.records
            .range(folder.child(after)..)
            .take_while(|(key, _)| key.as_str().starts_with(folder.as_str()))
            .filter(move |(key, _)| key.is_in(folder) && key.name() > after)
    }

    /// One record, to look at.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&Stored> {
        self.records.get(key)
    }

    /// Every record, in order of keys.
    pub fn records(&self) -> impl Iterator<Item = (&Key, &Stored)> {
        self.records.iter()
    }

    fn restore(&mut self, key: Key, stored: Option<Stored>) {
        match stored {
            Some(stored) => self.records.insert(key, stored),
            None => self.records.remove(&key),
        };
    }
}

/// Why a transaction may not be sent to any backend; `None` when it may (W6).
#[must_use]
pub fn over_bounds(transaction: &Transaction) -> Option<String> {
    let bytes = transaction.encoded_bytes();
    if bytes > TRANSACTION_BYTES_MAX {
        return Some(format!(
            "a transaction of {bytes} bytes is over the bound of {TRANSACTION_BYTES_MAX}"
        ));
    }
    let operations = transaction.operations.len();
    (operations > TRANSACTION_OPERATIONS_MAX)
        .then(|| format!("a transaction of {operations} operations is over the bound of {TRANSACTION_OPERATIONS_MAX}"))
}

/// What an operation does to its record.
enum Applied {
    Unchanged,
    Written(Stored),
    Removed,
}

/// What the operation does to a record; `None` when it is refused.
fn apply(
    operation: &Operation,
    old: Option<&Stored>,
    id: &TransactionId,
    stamp: Stamp,
) -> Option<Applied> {
    let fits = |wanted: Option<Version>| {
        old.filter(|stored| wanted.is_none_or(|version| stored.version == version))
    };
    let written = |value: &String, version, created| {
        let (value, written_by) = (value.clone(), id.clone());
        Applied::Written(Stored {
            value,
            version,
            created,
            modified: stamp,
            written_by,
        })
    };
    match operation {
        Operation::Check { version, .. } => fits(Some(*version)).map(|_| Applied::Unchanged),
        Operation::CheckAbsent { .. } => old.is_none().then_some(Applied::Unchanged),
        Operation::Create { value, .. } => old.is_none().then(|| written(value, Version(0), stamp)),
        Operation::Put { value, version, .. } => {
            fits(*version).map(|stored| written(value, stored.version.next(), stored.created))
        }
        Operation::Delete { version, .. } => fits(*version).map(|_| Applied::Removed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transaction(id: &str) -> Transaction {
        Transaction::new(TransactionId(id.to_owned()))
    }

    #[test]
    fn a_refused_transaction_leaves_nothing_behind() {
        let mut store = StoreModel::new();
        let key = |name: &str| Key::new(name);
        let (outcome, _) = store.commit(&transaction("1").create(key("a"), "1".into()), Stamp(1));
        assert_eq!(outcome, CommitOutcome::Committed { stamp: Stamp(1) });
        let before = store.clone();
        let refused = transaction("2")
            .put(key("a"), "2".into(), Version(0))
            .create(key("b"), "x".into())
            .check(key("a"), Version(0));
        let (outcome, changed) = store.commit(&refused, Stamp(2));
        assert_eq!(outcome, CommitOutcome::Refused { operation: 2 });
        assert!(changed.is_empty());
        assert_eq!(store, before);
    }

    #[test]
    fn versions_start_over_when_a_record_is_made_again() {
        let mut store = StoreModel::new();
        let key = Key::new("a");
        for step in [
            transaction("1").create(key.clone(), "1".into()),
            transaction("2").put(key.clone(), "2".into(), Version(0)),
            transaction("3").delete(key.clone(), Version(1)),
            transaction("4")
                .check_absent(key.clone())
                .create(key.clone(), "3".into()),
        ] {
            assert!(matches!(
                store.commit(&step, Stamp(1)).0,
                CommitOutcome::Committed { .. }
            ));
        }
        let found = store.read(&Query::keys([key.clone()]), Stamp(2));
        assert_eq!(found.records[&key].version, Version(0));
    }

    #[test]
    fn a_folder_lists_its_direct_children_only() {
        let mut store = StoreModel::new();
        let fill = transaction("1")
            .create(Key::new("f/a"), "1".into())
            .create(Key::new("f/a/b"), "2".into())
            .create(Key::new("fa"), "3".into());
        store.commit(&fill, Stamp(1));
        let found = store.read(&Query::default().with_folder(Key::new("f")), Stamp(1));
        assert_eq!(
            found.records.into_keys().collect::<Vec<_>>(),
            [Key::new("f/a")]
        );
    }

    #[test]
    fn what_is_over_a_bound_is_not_sent() {
        let mut store = StoreModel::new();
        let large = transaction("1").create(Key::new("a"), "x".repeat(TRANSACTION_BYTES_MAX));
        assert!(matches!(
            store.commit(&large, Stamp(1)).0,
            CommitOutcome::NotSent { .. }
        ));
    }
}
