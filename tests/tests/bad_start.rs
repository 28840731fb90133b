//! Servers that cannot start say why, with the remedy, and exit 2 (usage) or 1; peers that are none
//! of ours are refused.
#![allow(clippy::unwrap_used, reason = "a test tells what broke by panicking")]

use doyen_tests::cluster::{Cluster, Options};
use doyen_tests::fixtures::{CONTEXT, SOON, cluster, prepare_process_context, stop_clean};
use doyen_tests::program::find_doyen;
use doyen_tests::running::Running;
use doyen_tests::{leftovers, wait};
use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// How one ended that should not run: its exit code, and what it said.
struct End {
    code: Option<i32>,
    words: String,
}

/// Starts a server with this configuration file, and waits for its end.
async fn start(folder: &Path, config: &str) -> End {
    let file = folder.join("server.conf");
    fs::write(&file, config).unwrap();
    let mut command = Command::new(find_doyen());
    command.args(["server", "--config"]).arg(&file);
    let mut running = Running::start(command, folder, "refused").unwrap();
    let status = running.wait(SOON).await.unwrap_or_else(|error| {
        panic!("{error}; it should refuse\n{config}\n{}", running.stderr())
    });
    leftovers::sweep(folder, SOON);
    End {
        code: status.code(),
        words: format!("{}{}", running.stdout(), running.stderr()),
    }
}

#[track_caller]
fn assert_end(end: &End, code: i32, parts: &[&str]) {
    assert_eq!(end.code, Some(code), "{}", end.words);
    for part in parts {
        assert!(end.words.contains(part), "no `{part}` in: {}", end.words);
    }
}

/// A configuration with these lines and a data directory in the folder.
fn config(folder: &Path, lines: &str) -> String {
    format!("doyen.data-dir = \"{}/data\"\n{lines}\n", folder.display())
}

#[tokio::test]
async fn bad_configurations_exit_2_and_name_file_key_and_form() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    for (lines, parts) in [
        (
            "spark.jobserver.port = many",
            &["server.conf", "spark.jobserver.port", "many"][..],
        ),
        (
            "spark.jobserver.ha.masters = [\"nonsense\"]",
            &["ha.masters", "nonsense"],
        ),
        (
            "spark.jobserver.ha.masters = [\"127.0.0.1:2552\", \"127.0.0.1:2552\"]",
            &["ha.masters", "127.0.0.1:2552"],
        ),
        (
            "spark.jobserver.ha.masters = [\"10.0.0.11:2552\", \"10.0.0.12:2552\"]\n\
             akka.remote.netty.tcp { hostname = \"10.0.0.11\", port = 2552 }",
            &["ha.masters", "doyen.store"],
        ),
        ("custom-downing.stable-after = 7s", &["stable-after"]),
        ("spark.jobserver { port = 8090", &["server.conf"]),
    ] {
        let end = start(path, &config(path, lines)).await;
        assert_end(&end, 2, parts);
    }
}

#[tokio::test]
async fn config_check_says_the_same_without_starting_anything() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.conf");
    fs::write(&file, config(folder.path(), "spark.jobserver.port = many")).unwrap();
    let check = || {
        let mut command = Command::new(find_doyen());
        command
            .args(["config", "check", "--config"])
            .arg(&file)
            .output()
            .unwrap()
    };
    let output = check();
    let words = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{words}");
    assert!(words.contains("spark.jobserver.port"), "{words}");
    fs::write(
        &file,
        config(
            folder.path(),
            "spark.jobserver.port = 8123\nsome.unknown = 1",
        ),
    )
    .unwrap();
    let output = check();
    let words = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{words}");
    assert!(
        words.contains("8123") && words.contains("some.unknown"),
        "{words}"
    );
}

#[tokio::test]
async fn a_port_in_use_is_named_with_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let free = doyen_tests::ports::free(1).unwrap()[0];
    for (key, lines) in [
        (
            "spark.jobserver.port",
            format!("spark.jobserver.port = {port}\nakka.remote.netty.tcp.port = {free}"),
        ),
        (
            "akka.remote.netty.tcp.port",
            format!("spark.jobserver.port = {free}\nakka.remote.netty.tcp.port = {port}"),
        ),
    ] {
        let end = start(path, &config(path, &lines)).await;
        assert_end(&end, 1, &[&port, key]);
    }
}

#[tokio::test]
async fn a_data_directory_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let ports = doyen_tests::ports::free(2).unwrap();
    let lines = format!(
        "spark.jobserver.port = {}\nakka.remote.netty.tcp.port = {}",
        ports[0], ports[1]
    );
    // A file where the directory should be: this binds root too, whom permissions do not.
    fs::write(path.join("data"), "in the way").unwrap();
    let end = start(path, &config(path, &lines)).await;
    assert_end(&end, 1, &[&format!("{}/data", path.display())]);
    fs::remove_file(path.join("data")).unwrap();
    fs::create_dir(path.join("data")).unwrap();
    fs::set_permissions(path.join("data"), fs::Permissions::from_mode(0o500)).unwrap();
    if fs::write(path.join("data/probe"), "x").is_err() {
        let end = start(path, &config(path, &lines)).await;
        assert_end(&end, 1, &[&format!("{}/data", path.display())]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_on_the_cluster_port_hurts_nobody() {
    let mut cluster = cluster(2).await;
    prepare_process_context(&cluster.api(0)).await.unwrap();
    let port = cluster.server(0).member;
    let noise: Vec<u8> = (0..200_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    for garbage in [
        b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".as_slice(),
        &[0; 64],
        &[0xff; 64],
        b"\xff\xff\xff\x7f", // a frame of 2 GiB
        b"",
        &noise,
    ] {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        // It may hang up while we still write.
        let _ = stream.write_all(garbage);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.take(100_000).read_to_end(&mut answer);
        assert!(answer.len() < 100_000, "garbage is not answered at length");
    }
    assert_eq!(cluster.ended(&[0, 1]), []);
    cluster.wait_up(&[0, 1]).await.unwrap();
    let result = cluster
        .api(1)
        .run_job(CONTEXT, "quick", "quick", &Value::Null)
        .await
        .unwrap();
    assert_eq!(result, json!({"ok": true}));
    stop_clean(cluster, &[CONTEXT]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_of_another_store_is_refused_and_both_are_named() {
    let ours = cluster(1).await;
    // A server of another data directory that has ours in its seed list.
    let mut options = Options::new(find_doyen(), 1);
    options.extra = format!(
        "spark.jobserver.ha.masters += \"{}\"\n",
        ours.server(0).address()
    );
    let mut other = Cluster::prepare(options).unwrap();
    other.start_server(0).unwrap();
    let told = wait::until("the refusal is told", SOON, async || {
        let log = other
            .server_mut(0)
            .process()
            .map_err(|e| e.to_string())?
            .stderr();
        let ours_log = ours.logs(200);
        let is_told = |text: &str| text.contains("has the store");
        if is_told(&log) || is_told(&ours_log) {
            Ok(())
        } else {
            Err("not told".to_owned())
        }
    })
    .await;
    told.unwrap();
    let state = ours.state(0).await.unwrap();
    assert_eq!(state.members.len(), 1, "{state:?}");
    ours.api(0).create_process_context(CONTEXT).await.unwrap();
    drop(other);
    stop_clean(ours, &[CONTEXT]).await;
}
