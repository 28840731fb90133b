//! Starting, ending, and what a store refuses.

use super::support::{Data, alive, commit_at_last, create, program, snapshot, start, until};
use doyen::store::embedded::EmbeddedStore;
use doyen_core::records::key::Key;
use doyen_core::records::transaction::{Change, CommitOutcome, Query, ReadOutcome};
use doyen_runtime::store::MetaDataDao;
use futures_util::StreamExt;
use rustix::process::Signal;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(10);

#[tokio::test]
async fn several_clients_at_once_start_one_store_and_see_each_other() {
    let data = Data::new();
    let clients: Vec<_> = (0..8).map(|_| data.client()).collect();
    let ids = clients.iter().map(MetaDataDao::store_id);
    let mut ids = futures_util::future::join_all(ids).await;
    ids.dedup();
    assert!(ids.len() == 1 && ids[0].is_some(), "{ids:?}");
    commit_at_last(&clients[0], "a").await;
    let found = snapshot(&clients[7], Query::keys([Key::new("a")])).await;
    assert_eq!(found.records.len(), 1);
    let log = std::fs::read_to_string(data.file("store.log")).unwrap();
    assert_eq!(log.matches(", store ").count(), 1, "{log}");
}

#[tokio::test]
async fn a_second_process_ends_with_0_and_says_that_another_one_serves() {
    let data = Data::new();
    commit_at_last(&data.client(), "a").await;
    let second = start(data.path(), &[]).wait_with_output().unwrap();
    assert_eq!(second.status.code(), Some(0));
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains("another process serves"), "{said}");
    assert!(said.contains(data.path().to_str().unwrap()), "{said}");
}

#[tokio::test]
async fn the_files_are_private() {
    let data = Data::new();
    commit_at_last(&data.client(), "a").await;
    for (name, wanted) in [
        ("", 0o700),
        ("socket", 0o600),
        ("lock", 0o600),
        ("store.log", 0o600),
    ] {
        let mode = std::fs::metadata(data.file(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, wanted, "mode of `{name}`");
    }
}

#[tokio::test]
async fn an_unused_store_ends_and_the_next_call_starts_it_with_everything_kept() {
    let data = Data::new();
    let mut process = start(data.path(), &["--idle-exit", "1s"]);
    until("the socket", LONG, || data.file("socket").exists()).await;
    let client = data.client();
    commit_at_last(&client, "a").await;
    let id = client.store_id().await;
    drop(client);
    let mut status = None;
    until("the idle exit", LONG, || {
        status = process.try_wait().unwrap();
        status.is_some()
    })
    .await;
    assert_eq!(status.unwrap().code(), Some(0));
    assert!(!data.file("socket").exists());
    let client = data.client();
    assert_eq!(client.store_id().await, id);
    let found = snapshot(&client, Query::keys([Key::new("a")])).await;
    assert_eq!(found.records.len(), 1);
}

#[tokio::test]
async fn a_store_in_use_does_not_end_and_sigterm_ends_it_at_once_in_order() {
    let data = Data::new();
    let mut process = start(data.path(), &["--idle-exit", "1s"]);
    let client = data.client();
    commit_at_last(&client, "a").await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert!(
        process.try_wait().unwrap().is_none(),
        "it ended while it was used"
    );
    data.signal(Signal::TERM);
    let took = until("the end after SIGTERM", LONG, || {
        process.try_wait().unwrap().is_some()
    })
    .await;
    assert!(took < Duration::from_secs(2), "{took:?}");
    let log = std::fs::read_to_string(data.file("store.log")).unwrap();
    assert!(log.contains("ends: Signal"), "{log}");
}

#[tokio::test]
async fn the_store_outlives_the_process_that_started_it_in_a_session_of_its_own() {
    let data = Data::new();
    commit_at_last(&data.client(), "a").await;
    let pid = data.pid().unwrap();
    assert_eq!(rustix::process::getsid(Some(pid)).unwrap(), pid);
    assert!(alive(pid));
}

#[tokio::test]
async fn a_newer_format_is_refused_and_the_reason_reaches_the_caller() {
    let data = Data::new();
    commit_at_last(&data.client(), "a").await;
    let pid = data.signal(Signal::TERM);
    until("the end", LONG, || !alive(pid)).await;
    let raw = rusqlite::Connection::open(data.file("meta.sqlite")).unwrap();
    raw.pragma_update(None, "user_version", 77).unwrap();
    drop(raw);
    let ended = start(data.path(), &[]).wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(
        said.contains("format 77") && said.contains("meta.sqlite"),
        "{said}"
    );
    let outcome = data.client().commit(create("1", "b")).await;
    let CommitOutcome::NotSent { reason } = outcome else {
        panic!("{outcome:?}");
    };
    assert!(reason.contains("format 77"), "{reason}");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named_within_the_time_of_a_call() {
    let data = Data::new();
    let client = EmbeddedStore::open(data.path(), "/no/such/doyen".into()).unwrap();
    let start = std::time::Instant::now();
    let (outcome, read) = tokio::join!(
        client.commit(create("1", "a")),
        client.read(Query::default())
    );
    assert!(
        start.elapsed() < Duration::from_millis(1_000),
        "{:?}",
        start.elapsed()
    );
    let CommitOutcome::NotSent { reason } = outcome else {
        panic!("{outcome:?}");
    };
    assert!(reason.contains("/no/such/doyen"), "{reason}");
    let ReadOutcome::Failed { reason } = read else {
        panic!("{read:?}");
    };
    assert!(reason.contains("/no/such/doyen"), "{reason}");
    assert_eq!(client.store_id().await, None);
}

#[tokio::test]
async fn the_257th_client_is_told_why_and_a_query_over_the_bound_harms_no_other_call() {
    let data = Data::new();
    let client = data.client();
    commit_at_last(&client, "a").await;
    let keys = (0..60_000).map(|n| Key::new(format!("a/key/that/is/not/there/{n:010}")));
    let (large, small) = tokio::join!(
        client.read(Query::keys(keys)),
        client.read(Query::keys([Key::new("a")]))
    );
    let ReadOutcome::Failed { reason } = large else {
        panic!("a query over the bound was answered");
    };
    assert!(reason.contains("bound"), "{reason}");
    assert!(matches!(small, ReadOutcome::Snapshot(_)), "{small:?}");
    let socket = data.file("socket");
    let others: Vec<_> = (0..255)
        .map(|_| std::os::unix::net::UnixStream::connect(&socket).unwrap())
        .collect();
    let late = data.client();
    let outcome = late.commit(create("1", "b")).await;
    let CommitOutcome::NotSent { reason } = outcome else {
        panic!("{outcome:?}");
    };
    assert!(reason.contains("256 clients"), "{reason}");
    drop(others);
    commit_at_last(&late, "c").await;
}

#[tokio::test]
async fn a_long_data_directory_and_odd_names_work() {
    let data = Data::new();
    let deep = data
        .path()
        .join("with space")
        .join("x".repeat(200))
        .join("y".repeat(200));
    let client = EmbeddedStore::open(&deep, program()).unwrap();
    commit_at_last(&client, "a").await;
    let text = std::fs::read_to_string(deep.join("store/lock")).unwrap();
    let mark: serde_json::Value = serde_json::from_str(&text).unwrap();
    let pid = mark["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
    let pid = pid.and_then(rustix::process::Pid::from_raw).unwrap();
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    until("the end", LONG, || !alive(pid)).await;
}

#[tokio::test]
async fn a_removed_socket_is_made_anew_and_a_removed_folder_ends_the_store_for_a_new_one() {
    let data = Data::new();
    let client = data.client();
    commit_at_last(&client, "a").await;
    let pid = data.pid().unwrap();
    std::fs::remove_file(data.file("socket")).unwrap();
    let other = data.client();
    let mut changes = other.watch().await;
    let first = tokio::time::timeout(LONG, changes.next()).await;
    assert_eq!(first, Ok(Some(Change::Everything)));
    assert_eq!(data.pid(), Some(pid), "the same process serves on");
    let id = client.store_id().await;
    std::fs::remove_dir_all(data.file("")).unwrap();
    until("the end of a store without folder", LONG, || !alive(pid)).await;
    // The clients reach the empty store that takes its place, and its id tells them apart.
    commit_at_last(&client, "b").await;
    let found = snapshot(&client, Query::keys([Key::new("a"), Key::new("b")])).await;
    assert_eq!(found.records.len(), 1);
    assert_ne!(client.store_id().await, id);
}

/// Mounts a file system of this test's own, where the machine lets it.
struct Mount<'a>(&'a std::path::Path);

impl<'a> Mount<'a> {
    fn new(at: &'a std::path::Path, options: &str) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at);
        mount.status().ok()?.success().then_some(Self(at))
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[tokio::test]
async fn a_read_only_data_directory_is_refused_with_its_path() {
    let data = Data::new();
    let Some(_mount) = Mount::new(data.path(), "ro,size=1m") else {
        eprintln!("skipped: this machine lets the test mount nothing");
        return;
    };
    let text = EmbeddedStore::open(data.path(), program())
        .unwrap_err()
        .to_string();
    assert!(text.contains(data.path().to_str().unwrap()), "{text}");
    assert!(
        text.contains("Read-only") && text.contains("doyen.data-dir"),
        "{text}"
    );
    let ended = start(data.path(), &[]).wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
}

#[tokio::test]
async fn on_a_full_disk_commits_are_not_sent_and_reads_go_on() {
    let data = Data::new();
    let Some(_mount) = Mount::new(data.path(), "size=2m") else {
        eprintln!("skipped: this machine lets the test mount nothing");
        return;
    };
    let client = data.client();
    commit_at_last(&client, "first").await;
    let mut full = None;
    let mut done = 0;
    for number in 0..100 {
        let large = super::support::transaction("large").create(
            Key::new(format!("large/{number}")),
            format!("{{\"x\":\"{}\"}}", "x".repeat(100_000)),
        );
        match client.commit(large).await {
            CommitOutcome::Committed { .. } => done += 1,
            CommitOutcome::NotSent { reason } => {
                full = Some(reason);
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    let reason = full.unwrap();
    assert!(
        reason.contains("meta.sqlite") && reason.contains("full"),
        "{reason}"
    );
    let query = Query::keys([Key::new("first")]).with_folder(Key::new("large"));
    assert_eq!(snapshot(&client, query).await.records.len(), done + 1);
    data.signal(Signal::KILL);
    drop(client);
}
