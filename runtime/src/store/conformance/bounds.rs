//! Bounds, at the limit and one over it (protocol.md W6).

use super::{Dao, Place, committed, snapshot};
use doyen_core::records::transaction::{
    CommitOutcome, Query, TRANSACTION_BYTES_MAX, TRANSACTION_OPERATIONS_MAX, Transaction,
};

async fn not_sent(dao: &Dao, transaction: Transaction) {
    let outcome = dao.commit(transaction).await;
    let CommitOutcome::NotSent { reason } = outcome else {
        panic!("{outcome:?} of a transaction over the bound");
    };
    assert!(
        reason.contains("bound"),
        "the reason names the bound: {reason}"
    );
}

pub(super) async fn check_bytes(dao: &Dao) {
    let at = Place::new("bytes");
    let key = at.key("a");
    let of = |length: usize| at.transaction().create(key.clone(), "\"".repeat(length));
    let mut length = TRANSACTION_BYTES_MAX - of(0).encoded_bytes();
    // Ids of transactions grow with their number.
    while of(length).encoded_bytes() > TRANSACTION_BYTES_MAX {
        length -= 1;
    }
    not_sent(dao, of(length + 1)).await;
    committed(dao, of(length)).await;
    let found = snapshot(dao, Query::keys([key.clone()])).await;
    assert_eq!(found.records[&key].value.len(), length);
}

pub(super) async fn check_operations(dao: &Dao) {
    let at = Place::new("operations");
    let of = |count: usize| {
        (0..count).fold(at.transaction(), |transaction, index| {
            transaction.create(at.key(&index.to_string()), "1".into())
        })
    };
    not_sent(dao, of(TRANSACTION_OPERATIONS_MAX + 1)).await;
    let query = || Query::default().with_folder(at.root.clone());
    assert_eq!(snapshot(dao, query()).await.records.len(), 0);
    committed(dao, of(TRANSACTION_OPERATIONS_MAX)).await;
    let found = snapshot(dao, query()).await;
    assert_eq!(found.records.len(), TRANSACTION_OPERATIONS_MAX);
}

pub(super) async fn check_large_folder(dao: &Dao) {
    const CHILDREN: usize = 1_000;
    let at = Place::new("large");
    let text = format!("{{\"text\":{:?}}}", "x".repeat(300));
    for start in (0..CHILDREN).step_by(100) {
        let fill = (start..start + 100).fold(at.transaction(), |transaction, index| {
            transaction.create(at.key(&format!("{index:04}")), text.clone())
        });
        committed(dao, fill).await;
    }
    let found = snapshot(dao, Query::default().with_folder(at.root.clone())).await;
    let names: Vec<_> = found
        .records
        .keys()
        .map(|key| key.name().to_owned())
        .collect();
    let wanted: Vec<_> = (0..CHILDREN).map(|index| format!("{index:04}")).collect();
    assert_eq!(names, wanted, "a folder of {CHILDREN} is listed whole");
    assert!(found.records.values().all(|stored| stored.value == text));
}
