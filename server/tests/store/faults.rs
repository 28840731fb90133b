//! A store that is killed or stopped under load: what was acknowledged stays, the outage is short.

use super::support::{Data, alive, commit_at_last, create, snapshot, until};
use doyen::store::embedded::EmbeddedStore;
use doyen_core::records::key::Key;
use doyen_core::records::transaction::{Change, CommitOutcome, Query, ReadOutcome};
use doyen_runtime::store::MetaDataDao;
use futures_util::StreamExt;
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// What writers saw until they were told to stop.
#[derive(Default)]
struct Seen {
    acknowledged: BTreeSet<String>,
    unknown: BTreeSet<String>,
    not_sent: BTreeSet<String>,
    slowest: Duration,
}

/// Commits one record after the other.
async fn write(store: EmbeddedStore, name: String, stop: Arc<AtomicBool>) -> Seen {
    let mut seen = Seen::default();
    for number in 0.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let key = format!("load/{name}-{number}");
        let start = Instant::now();
        let outcome = store.commit(create(&key, &key)).await;
        seen.slowest = seen.slowest.max(start.elapsed());
        match outcome {
            CommitOutcome::Committed { .. } => seen.acknowledged.insert(key),
            CommitOutcome::Unknown => seen.unknown.insert(key),
            CommitOutcome::NotSent { .. } => seen.not_sent.insert(key),
            CommitOutcome::Refused { .. } => panic!("{key} was there before"),
        };
    }
    seen
}

/// Hits the store of three clients under load `rounds` times and checks what is left.
async fn hit(signal: Signal, rounds: usize, outage_max: Duration) {
    let data = Data::new();
    let clients: Vec<_> = (0..3).map(|_| data.client()).collect();
    commit_at_last(&clients[0], "first").await;
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..6)
        .map(|index| {
            let store = clients[index % 3].clone();
            tokio::spawn(write(store, format!("w{index}"), stop.clone()))
        })
        .collect();
    let mut outages = Vec::new();
    for round in 0..rounds {
        let victim = data.signal(signal);
        let start = Instant::now();
        until("another process serves", Duration::from_secs(20), || {
            data.pid() != Some(victim)
        })
        .await;
        commit_at_last(&clients[2], &format!("after/{round}")).await;
        outages.push(start.elapsed());
        assert!(!alive(victim), "the victim of round {round} lives on");
        // A little load on the new one.
        let key = Key::new(format!("load/after-{round}"));
        for _ in 0..20 {
            snapshot(&clients[1], Query::keys([key.clone()])).await;
        }
    }
    stop.store(true, Ordering::SeqCst);
    let mut all = Seen::default();
    for writer in writers {
        let seen = writer.await.unwrap();
        all.acknowledged.extend(seen.acknowledged);
        all.unknown.extend(seen.unknown);
        all.not_sent.extend(seen.not_sent);
        all.slowest = all.slowest.max(seen.slowest);
    }
    outages.sort();
    eprintln!(
        "{signal:?}: outages {outages:?}; {} acknowledged, {} unknown, {} not sent, slowest {:?}",
        all.acknowledged.len(),
        all.unknown.len(),
        all.not_sent.len(),
        all.slowest
    );
    check(&data, &clients[0], &all).await;
    assert!(
        all.slowest < Duration::from_millis(1_500),
        "{:?}",
        all.slowest
    );
    assert!(*outages.last().unwrap() < outage_max, "{outages:?}");
}

/// Nothing acknowledged is missing, nothing *not sent* is there, the file is whole.
async fn check(data: &Data, client: &EmbeddedStore, seen: &Seen) {
    let found = snapshot(client, Query::default().with_folder(Key::new("load"))).await;
    let found: BTreeSet<String> = found
        .records
        .into_keys()
        .map(|key| key.to_string())
        .collect();
    let lost: Vec<_> = seen.acknowledged.difference(&found).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    let ghosts: Vec<_> = seen.not_sent.intersection(&found).collect();
    assert!(ghosts.is_empty(), "not sent and there: {ghosts:?}");
    assert!(seen.acknowledged.len() > 100, "too little load");
    let raw = rusqlite::Connection::open(data.file("meta.sqlite")).unwrap();
    let whole: String = raw
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(whole, "ok");
}

#[tokio::test]
async fn a_killed_store_loses_nothing_acknowledged_and_is_back_within_a_second() {
    hit(Signal::KILL, 10, Duration::from_secs(1)).await;
}

#[tokio::test]
async fn a_stopped_store_is_killed_and_back_within_three_seconds() {
    hit(Signal::STOP, 3, Duration::from_secs(3)).await;
}

#[tokio::test]
async fn an_idle_client_notices_a_stopped_store_and_one_that_dials_it_too() {
    let data = Data::new();
    let client = data.client();
    commit_at_last(&client, "a").await;
    let victim = data.signal(Signal::STOP);
    // The one pings, the other dials a socket behind which nobody greets.
    let late = data.client();
    let took = until("the victim's end", Duration::from_secs(5), || {
        !alive(victim)
    })
    .await;
    eprintln!("a stopped store was killed after {took:?}");
    commit_at_last(&client, "b").await;
    commit_at_last(&late, "c").await;
}

#[tokio::test]
async fn calls_keep_their_time_while_the_store_is_stopped_and_reads_outlive_a_kill() {
    let data = Data::new();
    let client = data.client();
    commit_at_last(&client, "a").await;
    data.signal(Signal::STOP);
    let start = Instant::now();
    let (outcome, read) = tokio::join!(
        client.commit(create("1", "b")),
        client.read(Query::default())
    );
    let took = start.elapsed();
    assert_eq!(
        outcome,
        CommitOutcome::Unknown,
        "it was written to the socket"
    );
    assert!(matches!(read, ReadOutcome::Failed { .. }), "{read:?}");
    assert!((700..1_000).contains(&took.as_millis()), "{took:?}");
    data.signal(Signal::CONT);
    commit_at_last(&client, "c").await;
    let victim = data.signal(Signal::STOP);
    let read = tokio::spawn({
        let client = client.clone();
        async move { client.read(Query::keys([Key::new("a")])).await }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(data.signal(Signal::KILL), victim);
    let read = read.await.unwrap();
    let ReadOutcome::Snapshot(found) = read else {
        panic!("a read in flight did not outlive the kill: {read:?}");
    };
    assert_eq!(found.records.len(), 1);
}

#[tokio::test]
async fn watchers_are_told_everything_after_the_store_was_killed() {
    let data = Data::new();
    let (client, other) = (data.client(), data.client());
    let mut changes = client.watch().await;
    assert_eq!(changes.next().await, Some(Change::Everything));
    commit_at_last(&other, "a").await;
    assert_eq!(changes.next().await, Some(Change::Record(Key::new("a"))));
    data.signal(Signal::KILL);
    let told = tokio::time::timeout(Duration::from_secs(10), changes.next()).await;
    assert_eq!(told, Ok(Some(Change::Everything)));
    commit_at_last(&other, "b").await;
    let told = tokio::time::timeout(Duration::from_secs(10), changes.next()).await;
    assert_eq!(told, Ok(Some(Change::Record(Key::new("b")))));
}

#[tokio::test]
async fn a_client_that_never_reads_holds_up_nobody_and_is_told_everything_at_last() {
    let data = Data::new();
    let client = data.client();
    commit_at_last(&client, "a").await;
    let mut stalled = std::os::unix::net::UnixStream::connect(data.file("socket")).unwrap();
    // Long names make long events, so that the stalled socket and its buffer are soon full.
    let long = "k".repeat(20_000);
    for number in 0..400 {
        let outcome = client
            .commit(create("long", &format!("{long}/{number}")))
            .await;
        assert!(
            matches!(outcome, CommitOutcome::Committed { .. }),
            "{outcome:?}"
        );
    }
    let status = format!("/proc/{}/status", data.pid().unwrap().as_raw_nonzero());
    let status = std::fs::read_to_string(status).unwrap();
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    let resident: u64 = resident.split_whitespace().next().unwrap().parse().unwrap();
    // About 20 MiB of it are the debug program itself.
    assert!(resident < 40 * 1024, "{resident} KiB resident");
    stalled
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let mut told = Vec::new();
    let mut piece = vec![0; 64 * 1024];
    while let Ok(length) = std::io::Read::read(&mut stalled, &mut piece) {
        assert_ne!(
            length, 0,
            "the store closed the connection of a slow client"
        );
        told.extend_from_slice(&piece[..length]);
    }
    let told = String::from_utf8(told.into_iter().filter(u8::is_ascii_graphic).collect()).unwrap();
    assert!(told.contains("changed-everything"), "{} bytes", told.len());
}

#[tokio::test]
async fn an_event_comes_before_every_answer_that_was_made_after_it() {
    let data = Data::new();
    let (client, other) = (data.client(), data.client());
    let mut changes = client.watch().await;
    assert_eq!(changes.next().await, Some(Change::Everything));
    let events = Arc::new(AtomicUsize::new(0));
    let counted = events.clone();
    let counting = tokio::spawn(async move {
        while changes.next().await.is_some() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    for number in 1..=200 {
        commit_at_last(&other, &format!("k/{number}")).await;
        snapshot(&client, Query::default()).await;
        // The event is in this process; the counting task needs a turn.
        tokio::task::yield_now().await;
        assert_eq!(events.load(Ordering::SeqCst), number);
    }
    counting.abort();
}
