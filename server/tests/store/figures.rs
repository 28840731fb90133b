//! What it costs: printed, bounded only where a bound holds on any machine.

use super::support::{Data, commit_at_last, create, snapshot, transaction};
use doyen::store::embedded::EmbeddedStore;
use doyen_core::records::key::Key;
use doyen_core::records::transaction::{CommitOutcome, Query};
use doyen_runtime::store::MetaDataDao;
use std::time::{Duration, Instant};

fn at(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() - 1) * percent / 100]
}

async fn commits(store: EmbeddedStore, name: String, count: usize) -> Vec<Duration> {
    let mut times = Vec::new();
    let text = format!("{{\"text\":\"{}\"}}", "x".repeat(300));
    for number in 0..count {
        let put = transaction("figure").create(Key::new(format!("{name}/{number}")), text.clone());
        let start = Instant::now();
        let outcome = store.commit(put).await;
        assert!(
            matches!(outcome, CommitOutcome::Committed { .. }),
            "{outcome:?}"
        );
        times.push(start.elapsed());
    }
    times
}

/// What the disk alone takes: a page written and synced, without any store.
fn bare(data: &Data) -> Vec<Duration> {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::create(data.path().join("bare")).unwrap();
    let mut times: Vec<_> = (0..200)
        .map(|number| {
            let start = Instant::now();
            file.write_all_at(&[1; 4096], number * 4096).unwrap();
            file.sync_data().unwrap();
            start.elapsed()
        })
        .collect();
    times.sort();
    times
}

#[tokio::test]
async fn figures_of_commits_and_reads() {
    let data = Data::new();
    let store = data.client();
    commit_at_last(&store, "a").await;
    let times = bare(&data);
    eprintln!(
        "bare sync of a page: p50 {:?}, p99 {:?}",
        at(&times, 50),
        at(&times, 99)
    );
    for writers in [1, 8, 32] {
        let start = Instant::now();
        let tasks: Vec<_> = (0..writers)
            .map(|index| tokio::spawn(commits(store.clone(), format!("{writers}-{index}"), 300)))
            .collect();
        let mut times = Vec::new();
        for task in tasks {
            times.extend(task.await.unwrap());
        }
        times.sort();
        let seconds = start.elapsed().as_secs_f64();
        let rate = f64::from(u32::try_from(times.len()).unwrap()) / seconds;
        let (p50, p99) = (at(&times, 50), at(&times, 99));
        eprintln!("{writers} writers: {rate:.0} commits/s, p50 {p50:?}, p99 {p99:?}");
    }
    let mut times = Vec::new();
    for _ in 0..2_000 {
        let start = Instant::now();
        snapshot(&store, Query::keys([Key::new("a")])).await;
        times.push(start.elapsed());
    }
    times.sort();
    eprintln!("reads: p50 {:?}, p99 {:?}", at(&times, 50), at(&times, 99));
}

/// Processor time of a process, in ticks of 10 ms, and its resident KiB.
fn usage(data: &Data) -> (u64, u64) {
    let pid = data.pid().unwrap().as_raw_nonzero();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    let ticks = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    let resident = resident.split_whitespace().next().unwrap().parse().unwrap();
    (ticks, resident)
}

#[tokio::test]
async fn an_idle_store_costs_little() {
    let data = Data::new();
    let clients: Vec<_> = (0..3).map(|_| data.client()).collect();
    commit_at_last(&clients[0], "a").await;
    let (before, _) = usage(&data);
    let seconds = 5;
    // What three idle servers do: a barrier every 500 ms each.
    for _ in 0..seconds * 2 {
        for client in &clients {
            snapshot(client, Query::default()).await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let (after, resident) = usage(&data);
    eprintln!(
        "idle: {} ms of CPU in {seconds} s, {resident} KiB",
        (after - before) * 10
    );
    assert!(
        after - before <= 10,
        "more than 2 % of a core at rest, debug build"
    );
    assert!(resident < 20 * 1024, "{resident} KiB resident");
    drop(create("", ""));
}
