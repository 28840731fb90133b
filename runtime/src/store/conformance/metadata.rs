//! Guards, versions, folders, names, stamps, and several clients at once.

use super::{Dao, Place, committed, refused, snapshot, value};
use doyen_core::records::key::{Key, escape};
use doyen_core::records::transaction::{CommitOutcome, Query, Version};

const FIRST: Version = Version(0);

pub(super) async fn check_guards(dao: &Dao) {
    let at = Place::new("guards");
    let (a, b) = (at.key("a"), at.key("b"));
    committed(dao, at.transaction().create(a.clone(), "1".into())).await;
    refused(dao, at.transaction().create(a.clone(), "2".into()), 0).await;
    refused(dao, at.transaction().put(b.clone(), "2".into(), FIRST), 0).await;
    refused(dao, at.transaction().put_any(b.clone(), "2".into()), 0).await;
    refused(dao, at.transaction().delete(b.clone(), FIRST), 0).await;
    refused(dao, at.transaction().check(b.clone(), FIRST), 0).await;
    committed(
        dao,
        at.transaction()
            .check(a.clone(), FIRST)
            .put(a.clone(), "2".into(), FIRST),
    )
    .await;
    for late in [
        at.transaction().check(a.clone(), FIRST),
        at.transaction().put(a.clone(), "3".into(), FIRST),
        at.transaction().delete(a.clone(), FIRST),
    ] {
        refused(dao, late, 0).await;
    }
    committed(dao, at.transaction().put_any(a.clone(), "4".into())).await;
    assert_eq!(value(dao, &a).await.as_deref(), Some("4"));
    committed(dao, at.transaction().delete(a.clone(), Version(2))).await;
    assert_eq!(value(dao, &a).await, None, "a deleted record is there");
}

pub(super) async fn check_absence(dao: &Dao) {
    let at = Place::new("absence");
    let (a, b) = (at.key("a"), at.key("b"));
    let guarded = || at.transaction().check_absent(a.clone());
    committed(dao, guarded().create(b.clone(), "1".into())).await;
    let found = snapshot(dao, Query::default().with_folder(at.root.clone())).await;
    assert_eq!(
        found.records.into_keys().collect::<Vec<_>>(),
        [b],
        "a guard on absence left something behind"
    );
    committed(dao, at.transaction().create(a.clone(), "1".into())).await;
    refused(dao, guarded(), 0).await;
    committed(dao, at.transaction().delete(a.clone(), FIRST)).await;
    committed(dao, guarded()).await;
}

pub(super) async fn check_versions_start_over(dao: &Dao) {
    let at = Place::new("versions");
    let key = at.key("a");
    for _ in 0..2 {
        committed(dao, at.transaction().create(key.clone(), "0".into())).await;
        for number in 0..3 {
            let put = at
                .transaction()
                .put(key.clone(), "1".into(), Version(number));
            committed(dao, put).await;
            let found = snapshot(dao, Query::keys([key.clone()])).await;
            assert_eq!(found.records[&key].version, Version(number + 1));
        }
        committed(dao, at.transaction().delete(key.clone(), Version(3))).await;
    }
}

pub(super) async fn check_all_or_nothing(dao: &Dao) {
    let at = Place::new("whole");
    let (a, b, gone) = (at.key("a"), at.key("b"), at.key("gone"));
    let fill = at
        .transaction()
        .create(a.clone(), "1".into())
        .create(gone.clone(), "1".into());
    committed(dao, fill).await;
    let query = || Query::default().with_folder(at.root.clone());
    let before = snapshot(dao, query()).await.records;
    let fails_last = at
        .transaction()
        .put(a.clone(), "2".into(), FIRST)
        .create(b.clone(), "2".into())
        .delete(gone.clone(), FIRST)
        .check(a.clone(), FIRST)
        .create(at.key("c"), "2".into());
    refused(dao, fails_last, 3).await;
    let after = snapshot(dao, query()).await.records;
    assert_eq!(before, after, "a refused transaction left something behind");
}

pub(super) async fn check_later_operations_see_earlier_ones(dao: &Dao) {
    let at = Place::new("order");
    let key = at.key("a");
    let chain = at
        .transaction()
        .create(key.clone(), "1".into())
        .check(key.clone(), FIRST)
        .put(key.clone(), "2".into(), FIRST)
        .put(key.clone(), "3".into(), Version(1))
        .delete(key.clone(), Version(2))
        .check_absent(key.clone())
        .create(key.clone(), "4".into());
    committed(dao, chain).await;
    let found = snapshot(dao, Query::keys([key.clone()])).await;
    assert_eq!(found.records[&key].value, "4");
    assert_eq!(found.records[&key].version, FIRST);
}

pub(super) async fn check_folders(dao: &Dao) {
    let at = Place::new("folders");
    let folder = at.key("f");
    let fill = at
        .transaction()
        .create(folder.child("b"), "1".into())
        .create(folder.child("a"), "1".into())
        .create(folder.child("c"), "1".into())
        .create(folder.child("deep").child("x"), "1".into())
        .create(at.key("fa"), "1".into())
        .create(at.key("other").child("a"), "1".into());
    committed(dao, fill).await;
    let query = Query::keys([at.key("fa"), at.key("missing")])
        .with_folder(folder.clone())
        .with_folder(at.key("no-folder"));
    let found = snapshot(dao, query).await;
    let listed: Vec<_> = found
        .in_folder(&folder)
        .map(|(key, _)| key.name())
        .collect();
    assert_eq!(listed, ["a", "b", "c"], "direct children only, in order");
    assert_eq!(found.records.len(), 4, "nothing else is in the answer");
}

pub(super) async fn check_odd_names(dao: &Dao) {
    let at = Place::new("names");
    let raw = [
        "with space",
        "50%",
        "quote\"'",
        "back\\slash",
        "ü",
        "日本",
        "a;b",
        "a_b",
        "a%b",
        "-",
        "A",
    ];
    let from_people = ["..", ".", "a/b", "\u{0}\u{1}\n", "🦀", ""].map(|name| escape(name) + "e");
    let names: Vec<String> = raw
        .map(str::to_owned)
        .into_iter()
        .chain(from_people)
        .collect();
    let mut fill = at.transaction();
    for name in &names {
        fill = fill.create(at.key(name), format!("{{\"name\":{name:?}}}"));
    }
    committed(dao, fill).await;
    let found = snapshot(dao, Query::default().with_folder(at.root.clone())).await;
    let mut wanted: Vec<Key> = names.iter().map(|name| at.key(name)).collect();
    wanted.sort();
    assert_eq!(found.records.keys().cloned().collect::<Vec<_>>(), wanted);
    for name in &names {
        let text = value(dao, &at.key(name)).await;
        assert_eq!(text, Some(format!("{{\"name\":{name:?}}}")));
    }
}

pub(super) async fn check_stamps_and_writers(dao: &Dao) {
    let at = Place::new("stamps");
    let (key, id) = (at.key("a"), |tx: &_| {
        let tx: &doyen_core::records::transaction::Transaction = tx;
        tx.id.clone()
    });
    let make = at.transaction().create(key.clone(), "1".into());
    let (maker, made) = (id(&make), committed(dao, make).await);
    let query = || Query::keys([key.clone()]);
    let first = snapshot(dao, query()).await;
    let stored = &first.records[&key];
    assert_eq!((stored.created, stored.modified), (made, made));
    assert_eq!(stored.written_by, maker);
    let put = at.transaction().put(key.clone(), "2".into(), FIRST);
    let (putter, written) = (id(&put), committed(dao, put).await);
    refused(dao, at.transaction().put(key.clone(), "3".into(), FIRST), 0).await;
    committed(dao, at.transaction().check(key.clone(), Version(1))).await;
    let second = snapshot(dao, query()).await;
    let stored = &second.records[&key];
    assert_eq!((stored.created, stored.modified), (made, written));
    assert_eq!(
        stored.written_by, putter,
        "guards and refusals write nothing"
    );
    assert!(
        made <= written,
        "stamps go back: {made:?}, then {written:?}"
    );
}

pub(super) async fn check_read_your_writes(one: &Dao, other: &Dao) {
    let at = Place::new("reads");
    let key = at.key("a");
    committed(one, at.transaction().create(key.clone(), "0".into())).await;
    for number in 0..50 {
        let (writer, reader) = if number % 2 == 0 {
            (one, other)
        } else {
            (other, one)
        };
        let text = format!("{}", number + 1);
        let put = at
            .transaction()
            .put(key.clone(), text.clone(), Version(number));
        committed(writer, put).await;
        assert_eq!(
            value(reader, &key).await,
            Some(text),
            "an answered write is not seen"
        );
    }
}

pub(super) async fn check_store_id(one: &Dao, other: &Dao) {
    let id = one.store_id().await;
    assert!(
        id.as_ref().is_some_and(|id| !id.is_empty()),
        "a store has an id"
    );
    assert_eq!(
        id,
        other.store_id().await,
        "clients of one store see one id"
    );
}

/// Eight clients write under the same version at once: exactly one wins each round.
pub(super) async fn check_compare_and_set(clients: &[Dao]) {
    let at = Place::new("race");
    let key = at.key("a");
    committed(
        &clients[0],
        at.transaction().create(key.clone(), "0".into()),
    )
    .await;
    for round in 0..20 {
        let racers: Vec<_> = clients
            .iter()
            .enumerate()
            .map(|(index, client)| {
                let put = at
                    .transaction()
                    .put(key.clone(), index.to_string(), Version(round));
                let client = client.clone();
                tokio::spawn(async move { client.commit(put).await })
            })
            .collect();
        let mut winners = Vec::new();
        for (index, racer) in racers.into_iter().enumerate() {
            match racer.await {
                Ok(CommitOutcome::Committed { .. }) => winners.push(index),
                Ok(CommitOutcome::Refused { operation: 0 }) => {}
                unexpected => panic!("racer {index} of round {round}: {unexpected:?}"),
            }
        }
        assert_eq!(winners.len(), 1, "winners of round {round}: {winners:?}");
        let text = value(&clients[0], &key).await;
        assert_eq!(text, Some(winners[0].to_string()));
    }
}
