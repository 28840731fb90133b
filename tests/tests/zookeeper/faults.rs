//! What the store does when servers, sessions and connections fail.

use super::support::{
    SOON, commit_at_last, create, drain, events_come, record, servers, snapshot, store, told,
    transaction,
};
use doyen_core::records::key::Key;
use doyen_core::records::transaction::{Change, CommitOutcome, Query, ReadOutcome};
use doyen_runtime::store::MetaDataDao;
use doyen_tests::running::Fault;
use doyen_tests::services::proxy::{Proxy, Way};
use std::time::{Duration, Instant};

/// A store call's bound, and what a busy machine adds.
const CALL: Duration = Duration::from_millis(1_200);

/// A proxy before a server.
async fn proxied(server: u16) -> Proxy {
    Proxy::start(([127, 0, 0, 1], server).into()).await.unwrap()
}

#[tokio::test]
async fn an_answer_lost_after_the_commit_is_unknown_and_the_record_tells_whose_it_is() {
    let Some(servers) = servers(1).await else {
        return;
    };
    let proxy = proxied(servers.servers()[0].port).await;
    let store = store(&proxy.address().to_string(), "lost");
    let other = super::support::store(&servers.connection_string(), "lost");
    commit_at_last(&store, "warm").await;
    proxy.set(Way::LosesAnswers);
    let start = Instant::now();
    let outcome = store.commit(create("mine", "c/1/a")).await;
    assert_eq!(outcome, CommitOutcome::Unknown);
    assert!(start.elapsed() < CALL, "{:?}", start.elapsed());
    let found = record(&other, "c/1/a").await.unwrap();
    assert_eq!(found.written_by.0, "mine", "it was carried out");
    proxy.set(Way::Cut);
    proxy.set(Way::Open);
    commit_at_last(&store, "after").await;
    let found = record(&store, "c/1/a").await.unwrap();
    assert_eq!(
        found.written_by.0, "mine",
        "and its writer finds its own id"
    );
    let again = store.commit(create("again", "c/1/a")).await;
    assert_eq!(again, CommitOutcome::Refused { operation: 0 });
}

#[tokio::test]
async fn events_come_again_after_every_reconnect_and_everything_is_said() {
    let Some(servers) = servers(1).await else {
        return;
    };
    let proxy = proxied(servers.servers()[0].port).await;
    let store = store(&proxy.address().to_string(), "watch");
    let other = super::support::store(&servers.connection_string(), "watch");
    commit_at_last(&store, "warm").await;
    let mut changes = store.watch().await;
    told(&mut changes, &Change::Everything).await;
    for round in 0..3 {
        drain(&mut changes).await;
        proxy.set(Way::Cut);
        commit_at_last(&other, &format!("c/1/missed-{round}")).await;
        proxy.set(Way::Open);
        told(&mut changes, &Change::Everything).await;
        drain(&mut changes).await;
        events_come(&mut changes, &other, &format!("c/1/seen-{round}")).await;
    }
}

#[tokio::test]
async fn a_connection_that_hangs_bounds_every_call_and_a_long_one_costs_the_session() {
    let Some(servers) = servers(1).await else {
        return;
    };
    let proxy = proxied(servers.servers()[0].port).await;
    let store = store(&proxy.address().to_string(), "hang");
    let other = super::support::store(&servers.connection_string(), "hang");
    commit_at_last(&store, "warm").await;
    let mut changes = store.watch().await;
    told(&mut changes, &Change::Everything).await;
    proxy.set(Way::Hangs);
    let hung = Instant::now();
    // Longer than the crate waits for a reconnect, and many more calls than may be open.
    while hung.elapsed() < Duration::from_secs(6) {
        let start = Instant::now();
        let calls = (0..100).map(|n| store.commit(create("hung", &format!("c/1/{n}"))));
        let (outcomes, read) = tokio::join!(
            futures_util::future::join_all(calls),
            store.read(Query::default())
        );
        assert!(start.elapsed() < CALL, "{:?}", start.elapsed());
        for outcome in outcomes {
            let is_none = matches!(
                outcome,
                CommitOutcome::Unknown | CommitOutcome::NotSent { .. }
            );
            assert!(is_none, "{outcome:?} from a server that hangs");
        }
        assert!(matches!(read, ReadOutcome::Failed { .. }), "{read:?}");
    }
    drain(&mut changes).await;
    proxy.set(Way::Open);
    let took = commit_at_last(&store, "after").await;
    eprintln!("back {took:?} after the heal");
    told(&mut changes, &Change::Everything).await;
    drain(&mut changes).await;
    events_come(&mut changes, &other, "c/2/seen").await;
}

#[tokio::test]
async fn an_expired_session_gives_a_new_client_that_watches_again() {
    let Some(servers) = servers(1).await else {
        return;
    };
    let proxy = proxied(servers.servers()[0].port).await;
    let mut options =
        doyen::store::zookeeper::ZooKeeperOptions::new(&proxy.address().to_string(), "expired");
    options.session_timeout = Duration::from_secs(2);
    let store = doyen::store::zookeeper::ZooKeeperStore::open(options).unwrap();
    let other = super::support::store(&servers.connection_string(), "expired");
    commit_at_last(&store, "warm").await;
    let id = store.store_id().await;
    let mut changes = store.watch().await;
    told(&mut changes, &Change::Everything).await;
    drain(&mut changes).await;
    proxy.set(Way::Cut);
    // Over the session's time and that of a reconnect: the server has forgotten the session.
    let cut = Instant::now();
    while cut.elapsed() < Duration::from_secs(5) {
        let outcome = store.commit(create("cut", "cut")).await;
        let is_none = matches!(
            outcome,
            CommitOutcome::Unknown | CommitOutcome::NotSent { .. }
        );
        assert!(is_none, "{outcome:?} through a cut");
    }
    proxy.set(Way::Open);
    told(&mut changes, &Change::Everything).await;
    drain(&mut changes).await;
    events_come(&mut changes, &other, "c/1/seen").await;
    assert_eq!(store.store_id().await, id);
}

#[tokio::test]
async fn the_leader_of_three_is_killed_and_nothing_acknowledged_is_lost() {
    let Some(mut servers) = servers(3).await else {
        return;
    };
    let store = store(&servers.connection_string(), "leader");
    commit_at_last(&store, "warm").await;
    let leader = servers.leader().await.unwrap();
    let mut acknowledged = Vec::new();
    let commit = async |name: String, acknowledged: &mut Vec<String>| {
        let key = format!("c/1/{name}");
        let outcome = store.commit(create(&name, &key)).await;
        if matches!(outcome, CommitOutcome::Committed { .. }) {
            acknowledged.push(key);
        }
        outcome
    };
    for number in 0..50 {
        commit(format!("before-{number}"), &mut acknowledged).await;
    }
    servers.kill(leader);
    let killed = Instant::now();
    let mut back = None;
    let mut number = 0;
    while back.is_none() && killed.elapsed() < SOON {
        let outcome = commit(format!("after-{number}"), &mut acknowledged).await;
        if matches!(outcome, CommitOutcome::Committed { .. }) {
            back = Some(killed.elapsed());
        }
        number += 1;
    }
    eprintln!("leader killed: commits again after {back:?}, {number} tries");
    assert!(back.is_some(), "no commit within {SOON:?}");
    servers.restart(leader).unwrap();
    servers.wait_ready().await.unwrap();
    let query = Query::default().with_folder(Key::new("c/1"));
    let found = snapshot(&store, query).await;
    for key in acknowledged {
        assert!(found.records.contains_key(&Key::new(key.clone())), "{key}");
    }
}

#[tokio::test]
async fn a_stopped_server_of_three_is_left_for_another_within_seconds() {
    let Some(mut servers) = servers(3).await else {
        return;
    };
    // Each in turn: one of them is the store's, one leads.
    let store = store(&servers.connection_string(), "stopped");
    commit_at_last(&store, "warm").await;
    for index in 0..3 {
        servers.fault(index, Fault::Stop).unwrap();
        let stopped = Instant::now();
        let mut longest = Duration::ZERO;
        let mut back = None;
        while back.is_none() && stopped.elapsed() < SOON {
            let start = Instant::now();
            let name = format!("stopped-{index}-{}", stopped.elapsed().as_micros());
            if matches!(
                store.commit(create(&name, &name)).await,
                CommitOutcome::Committed { .. }
            ) {
                back = Some(stopped.elapsed());
            }
            longest = longest.max(start.elapsed());
        }
        servers.fault(index, Fault::Continue).unwrap();
        eprintln!("server {index} stopped: commits again after {back:?}");
        assert!(back.is_some_and(|back| back < Duration::from_secs(15)));
        assert!(longest < CALL, "a call took {longest:?}");
        servers.wait_ready().await.unwrap();
        commit_at_last(&store, &format!("resumed-{index}")).await;
    }
}

#[tokio::test]
async fn without_quorum_nothing_is_answered_and_seconds_after_it_everything_is() {
    let Some(mut servers) = servers(3).await else {
        return;
    };
    let store = store(&servers.connection_string(), "quorum");
    commit_at_last(&store, "before").await;
    servers.kill(0);
    servers.kill(1);
    let lost = Instant::now();
    while lost.elapsed() < Duration::from_secs(20) {
        let start = Instant::now();
        let put = transaction("lost").put_any(Key::new("before"), "{}".into());
        let outcome = store.commit(put).await;
        assert!(
            !matches!(outcome, CommitOutcome::Committed { .. }),
            "{outcome:?} without quorum"
        );
        assert!(start.elapsed() < CALL, "{:?}", start.elapsed());
    }
    servers.restart(0).unwrap();
    servers.wait_ready().await.unwrap();
    let took = commit_at_last(&store, "after").await;
    eprintln!("commits again {took:?} after the quorum");
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert!(record(&store, "before").await.is_some());
}
