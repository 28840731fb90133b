//! What every backend must do, as a suite that any of them runs: what a store promises is here.
//!
//! Behind the feature `conformance`. Each check works under a folder of its own with a random name,
//! so that a store that already holds something can be checked. A promise that is not kept panics
//! with the name of the promise.

mod binaries;
mod bounds;
mod differential;
mod metadata;
mod watch;

pub use binaries::check_binaries;

use super::MetaDataDao;
use doyen_core::records::key::Key;
use doyen_core::records::transaction::{
    CommitOutcome, Query, ReadOutcome, Snapshot, Transaction, TransactionId,
};
use doyen_core::time::Stamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One client of the store that is checked.
type Dao = Arc<dyn MetaDataDao>;

/// Runs every check of metadata. `make` gives one more client of the same store each time.
///
/// # Panics
/// When the store breaks a promise.
pub async fn check_metadata(make: impl Fn() -> Arc<dyn MetaDataDao>) {
    let (one, other) = (make(), make());
    metadata::check_guards(&one).await;
    metadata::check_absence(&one).await;
    metadata::check_versions_start_over(&one).await;
    metadata::check_all_or_nothing(&one).await;
    metadata::check_later_operations_see_earlier_ones(&one).await;
    metadata::check_folders(&one).await;
    metadata::check_odd_names(&one).await;
    metadata::check_stamps_and_writers(&one).await;
    metadata::check_read_your_writes(&one, &other).await;
    metadata::check_store_id(&one, &other).await;
    bounds::check_bytes(&one).await;
    bounds::check_operations(&one).await;
    bounds::check_large_folder(&one).await;
    bounds::check_pages(&one).await;
    bounds::check_a_page_ends_early(&one).await;
    watch::check_changes_of_others_are_told(&one, &other).await;
    watch::check_every_watcher_is_told(&one, &other).await;
    let clients: Vec<_> = (0..8).map(|_| make()).collect();
    metadata::check_compare_and_set(&clients).await;
    differential::check_against_model(&one).await;
}

/// A random number, for names that no other run uses.
fn random() -> u64 {
    let mut bytes = [0; 8];
    let filled = getrandom::fill(&mut bytes);
    assert!(filled.is_ok(), "the machine gives no randomness");
    u64::from_be_bytes(bytes)
}

/// The folder of one check, and numbers for its transactions.
struct Place {
    root: Key,
    transactions: AtomicU64,
}

impl Place {
    fn new(check: &str) -> Self {
        Self {
            root: Key::new(format!("conformance-{check}-{:016x}", random())),
            transactions: AtomicU64::new(0),
        }
    }

    fn key(&self, name: &str) -> Key {
        self.root.child(name)
    }

    fn transaction(&self) -> Transaction {
        let number = self.transactions.fetch_add(1, Ordering::Relaxed);
        Transaction::new(TransactionId(format!("{}#{number}", self.root)))
    }
}

/// Commits what must be committed.
async fn committed(dao: &Dao, transaction: Transaction) -> Stamp {
    let outcome = dao.commit(transaction.clone()).await;
    let CommitOutcome::Committed { stamp } = outcome else {
        panic!("{outcome:?} instead of a commit of {transaction:?}");
    };
    stamp
}

/// Commits what must be refused at this operation.
async fn refused(dao: &Dao, transaction: Transaction, operation: usize) {
    let outcome = dao.commit(transaction.clone()).await;
    let wanted = CommitOutcome::Refused { operation };
    assert_eq!(outcome, wanted, "of {transaction:?}");
}

/// Reads what must be readable.
async fn snapshot(dao: &Dao, query: Query) -> Snapshot {
    match dao.read(query.clone()).await {
        ReadOutcome::Snapshot(snapshot) => snapshot,
        ReadOutcome::Failed { reason } => panic!("{query:?} failed: {reason}"),
    }
}

/// The content of one record, if it is there.
async fn value(dao: &Dao, key: &Key) -> Option<String> {
    let mut found = snapshot(dao, Query::keys([key.clone()])).await;
    found.records.remove(key).map(|stored| stored.value)
}
