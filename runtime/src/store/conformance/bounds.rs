//! Bounds, at the limit and one over it (protocol.md W6).

use super::{Dao, Place, committed, snapshot};
use doyen_core::records::key::Key;
use doyen_core::records::transaction::{
    CommitOutcome, PAGES_BYTES_MAX, Query, Snapshot, TRANSACTION_BYTES_MAX,
    TRANSACTION_OPERATIONS_MAX, Transaction,
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

/// All pages of a query, one after the other.
async fn pages(dao: &Dao, query: Query) -> Vec<Snapshot> {
    let mut all = Vec::new();
    let mut next = Some(query);
    while let Some(query) = next {
        let found = snapshot(dao, query.clone()).await;
        next = query.next_pages(&found);
        all.push(found);
        assert!(all.len() < 100, "pages never end");
    }
    all
}

pub(super) async fn check_pages(dao: &Dao) {
    let at = Place::new("pages");
    let (some, few, none) = (at.key("some"), at.key("few"), at.key("none"));
    let mut fill = at.transaction();
    for name in ["a", "a-b", "b", "c", "ä", "d"] {
        fill = fill.create(some.child(name), "1".into());
    }
    // Not direct children.
    fill = fill.create(some.child("a").child("x"), "2".into());
    fill = fill.create(at.key("somewhere"), "3".into());
    committed(dao, fill.create(few.child("one"), "4".into())).await;
    let query = [&some, &few, &none]
        .into_iter()
        .fold(Query::keys([at.key("somewhere")]), |query, folder| {
            query.with_page(folder.clone(), 2)
        });
    let found = pages(dao, query).await;
    let names: Vec<Vec<&str>> = found
        .iter()
        .map(|one| one.records.keys().map(Key::name).collect())
        .collect();
    // In order of keys: `few` is before `some`, which is before `somewhere`.
    let wanted: [&[&str]; 3] = [&["one", "a", "a-b", "somewhere"], &["b", "c"], &["d", "ä"]];
    assert_eq!(names, wanted, "pages come in order, each record once");
    let more: Vec<bool> = found.iter().map(|one| one.more.contains(&some)).collect();
    assert_eq!(more, [true, true, false], "the last page says so");
    assert!(found.iter().all(|one| one.more.len() <= 1));
    // What was removed meanwhile, the name that a page goes on behind among it, hurts nobody.
    let first = snapshot(dao, Query::default().with_page(some.clone(), 2)).await;
    let remove = at.transaction().delete_any(some.child("a-b"));
    committed(dao, remove.delete_any(some.child("b"))).await;
    let query = Query::default()
        .with_page(some.clone(), 2)
        .next_pages(&first);
    let next = snapshot(dao, query.unwrap_or_default()).await;
    let names: Vec<&str> = next.records.keys().map(Key::name).collect();
    assert_eq!(names, ["c", "d"]);
}

pub(super) async fn check_a_page_ends_early(dao: &Dao) {
    const CHILDREN: usize = 24;
    let at = Place::new("heavy");
    let (heavy, light) = (at.key("heavy"), at.key("light"));
    let text = format!("{:?}", "x".repeat(200 * 1024));
    for index in 0..CHILDREN {
        let fill = at.transaction();
        committed(
            dao,
            fill.create(heavy.child(&format!("{index:02}")), text.clone()),
        )
        .await;
    }
    committed(dao, at.transaction().create(light.child("a"), "1".into())).await;
    let query = Query::default().with_page(heavy.clone(), 1_000);
    let found = pages(dao, query.with_page(light.clone(), 1_000)).await;
    let heavies: Vec<usize> = found
        .iter()
        .map(|one| one.in_folder(&heavy).count())
        .collect();
    let at_once = PAGES_BYTES_MAX / (text.len() + 2);
    assert_eq!(
        heavies,
        [at_once, CHILDREN - at_once],
        "pages end at their bytes"
    );
    let lights: usize = found.iter().map(|one| one.in_folder(&light).count()).sum();
    assert_eq!(lights, 1, "and what waited behind them comes");
}
