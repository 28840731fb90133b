//! What the store promises, on healthy servers, and what it refuses.

use super::support::{commit_at_last, create, patient, record, servers, start, store, transaction};
use doyen::store::zookeeper::{Digest, ZooKeeperOptions, ZooKeeperStore};
use doyen_core::records::key::Key;
use doyen_core::records::transaction::{
    CommitOutcome, Query, ReadOutcome, TRANSACTION_BYTES_MAX, Version,
};
use doyen_runtime::store::MetaDataDao;
use doyen_runtime::store::conformance::check_metadata;
use doyen_tests::services::zookeeper::Options;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[tokio::test]
async fn the_store_in_zookeeper_passes_the_conformance_suite() {
    let Some(servers) = servers(1).await else {
        return;
    };
    let one = servers.connection_string();
    let first = store(&one, "conform");
    commit_at_last(&first, "warm").await;
    check_metadata(|| Arc::new(patient(&one, "conform"))).await;
}

#[tokio::test]
async fn the_conformance_suite_passes_on_an_ensemble_of_three() {
    let Some(servers) = servers(3).await else {
        return;
    };
    let all = servers.connection_string();
    commit_at_last(&store(&all, "jobserver/db"), "warm").await;
    check_metadata(|| Arc::new(patient(&all, "/jobserver/db"))).await;
}

#[tokio::test]
async fn a_commit_and_a_read_take_so_long() {
    let Some(servers) = servers(1).await else {
        return;
    };
    let store = patient(&servers.connection_string(), "times");
    commit_at_last(&store, "c/1/pulse").await;
    let (mut commits, mut reads) = (Vec::new(), Vec::new());
    for number in 0..300 {
        let start = Instant::now();
        let put = transaction(&number.to_string());
        let put = put.put(Key::new("c/1/pulse"), "{}".repeat(150), Version(number));
        let outcome = store.commit(put).await;
        assert!(
            matches!(outcome, CommitOutcome::Committed { .. }),
            "{outcome:?}"
        );
        commits.push(start.elapsed());
        let start = Instant::now();
        assert!(record(&store, "c/1/pulse").await.is_some());
        reads.push(start.elapsed());
    }
    for (what, mut times) in [("commit", commits), ("barrier and read", reads)] {
        times.sort_unstable();
        let (p50, p99) = (times[150], times[297]);
        eprintln!("{what}: p50 {p50:?}, p99 {p99:?}");
        assert!(p50 < Duration::from_millis(200), "{what}: p50 {p50:?}");
    }
}

#[tokio::test]
async fn stores_of_different_folders_and_chroots_do_not_see_each_other() {
    let Some(servers) = servers(1).await else {
        return;
    };
    let one = servers.connection_string();
    let (a, b) = (store(&one, "a"), store(&one, "b"));
    commit_at_last(&a, "cluster").await;
    assert!(record(&b, "cluster").await.is_none());
    assert_ne!(a.store_id().await, b.store_id().await);
    // The folder `a` as a chroot, with nothing below it.
    let same = store(&format!("{one}/a"), "/");
    assert!(record(&same, "cluster").await.is_some());
    assert_eq!(same.store_id().await, a.store_id().await);
    let missing = store(&format!("{one}/nowhere"), "db");
    let reason = refused(&missing, "chroot").await;
    assert!(reason.contains("does not exist"), "{reason}");
}

/// The reason that a store gives for being away, once it has this word.
async fn refused(store: &ZooKeeperStore, word: &str) -> String {
    let end = Instant::now() + Duration::from_secs(20);
    let mut last = String::new();
    while Instant::now() < end {
        match store.commit(create("x", "x")).await {
            CommitOutcome::NotSent { reason } if reason.contains(word) => return reason,
            other => last = format!("{other:?}"),
        }
    }
    panic!("no reason with `{word}`; last: {last}");
}

#[tokio::test]
async fn what_one_user_made_is_closed_to_others_who_are_told_what_to_give() {
    let Some(servers) = servers(1).await else {
        return;
    };
    let one = servers.connection_string();
    let of = |user: &str| {
        let options = ZooKeeperOptions::new(&one, "closed");
        ZooKeeperStore::open(options.with_digest(Digest::new(user).unwrap())).unwrap()
    };
    let owner = of("doyen:secret");
    commit_at_last(&owner, "c/1/a").await;
    assert!(record(&of("doyen:secret"), "c/1/a").await.is_some());
    for stranger in [of("doyen:wrong"), store(&one, "closed")] {
        let reason = refused(&stranger, "digest of that user").await;
        assert!(!reason.contains("secret"), "{reason}");
    }
}

#[tokio::test]
async fn a_server_before_3_6_is_refused_by_name() {
    let options = Options {
        servers: 1,
        is_old: true,
        folder: None,
    };
    let Some(servers) = start(options).await else {
        return;
    };
    let store = store(&servers.connection_string(), "old");
    let reason = refused(&store, "older than 3.6").await;
    assert!(reason.contains(&servers.connection_string()), "{reason}");
    let ReadOutcome::Failed { reason } = store.read(Query::default()).await else {
        panic!("an old server was read");
    };
    assert!(reason.contains("older than 3.6"), "{reason}");
}

#[tokio::test]
async fn nobody_there_is_said_within_the_time_of_a_call() {
    let port = doyen_tests::ports::free(1).unwrap()[0];
    let store = store(&format!("127.0.0.1:{port}"), "db");
    let start = Instant::now();
    let outcome = store.commit(create("1", "a")).await;
    assert!(start.elapsed() < Duration::from_millis(1_000));
    let CommitOutcome::NotSent { reason } = outcome else {
        panic!("{outcome:?}");
    };
    assert!(
        reason.contains(&port.to_string()) && reason.contains("connection-string"),
        "{reason}"
    );
    assert_eq!(store.store_id().await, None);
}

#[tokio::test]
async fn a_transaction_at_its_bound_fits_and_one_over_it_is_not_sent() {
    let Some(servers) = servers(1).await else {
        return;
    };
    let store = store(&servers.connection_string(), "bounds");
    commit_at_last(&store, "warm").await;
    let over = transaction("1").create(Key::new("a"), "x".repeat(TRANSACTION_BYTES_MAX));
    let outcome = store.commit(over).await;
    let CommitOutcome::NotSent { reason } = outcome else {
        panic!("{outcome:?}");
    };
    assert!(reason.contains("bound"), "{reason}");
    // A name that ZooKeeper refuses is told with the record, and nothing breaks.
    let outcome = store.commit(create("2", "a/\u{1}b")).await;
    assert!(
        matches!(outcome, CommitOutcome::NotSent { .. }),
        "{outcome:?}"
    );
    let id = transaction("two\nlines").create(Key::new("b"), "1".into());
    assert!(matches!(
        store.commit(id).await,
        CommitOutcome::NotSent { .. }
    ));
    commit_at_last(&store, "after").await;
}

#[tokio::test]
async fn a_record_of_another_program_is_read_as_written_by_nobody() {
    let Some(servers) = servers(1).await else {
        return;
    };
    let one = servers.connection_string();
    let store = store(&one, "db");
    commit_at_last(&store, "c/1/a").await;
    let raw = zookeeper_client::Client::connect(&one).await.unwrap();
    let mode = zookeeper_client::CreateMode::Persistent;
    let options = mode.with_acls(zookeeper_client::Acls::anyone_all());
    raw.create("/db/c/1/=alien", b"hello \xFF", &options)
        .await
        .unwrap();
    let alien = record(&store, "c/1/alien").await.unwrap();
    assert_eq!(alien.written_by.0, "");
    assert_eq!(alien.value, "hello \u{FFFD}");
    // What people look for lies where the book says.
    let (data, _) = raw.get_data("/db/c/1/=a").await.unwrap();
    assert_eq!(data, b"doyen1 at-last\n{\"by\":\"at-last\"}");
}
