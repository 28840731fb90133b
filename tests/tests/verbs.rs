//! The verbs that look at a running server, and the one that makes it leave.
#![allow(clippy::unwrap_used, reason = "a test tells what broke by panicking")]

use doyen_tests::cluster::STOP_WITHIN;
use doyen_tests::fixtures::{CONTEXT, cluster, prepare_process_context, stop_clean};
use doyen_tests::program::find_doyen;
use serde_json::Value;
use std::process::{Command, Output};

fn doyen(arguments: &[&str]) -> Output {
    Command::new(find_doyen()).args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_shows_what_every_server_knows_and_leave_makes_one_leave() {
    let mut cluster = cluster(3).await;
    prepare_process_context(&cluster.api(0)).await.unwrap();
    let holder = cluster.holder().await.unwrap();
    let url = format!("http://127.0.0.1:{}", cluster.server(holder).http);

    let table = doyen(&["members", "--url", &url]);
    assert!(table.status.success(), "{table:?}");
    for index in 0..3 {
        let address = cluster.server(index).address();
        assert!(said(&table).contains(&address), "{}", said(&table));
    }
    let json = doyen(&["members", "--json", "--url", &url]);
    let view: Value = serde_json::from_str(&said(&json)).unwrap();
    let servers = view["members"].as_array().unwrap().iter();
    assert_eq!(
        servers.filter(|member| member["role"] == "server").count(),
        3
    );

    let left = doyen(&["leave", "--url", &url]);
    assert!(left.status.success(), "{left:?}");
    let status = cluster.reap(holder, STOP_WITHIN).await.unwrap();
    assert_eq!(status.code(), Some(0));
    let others = cluster.others(holder);
    cluster.wait_up(&others).await.unwrap();
    cluster.start_server(holder).unwrap();
    cluster.wait_up(&[0, 1, 2]).await.unwrap();
    stop_clean(cluster, &[CONTEXT]).await;
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let port = doyen_tests::ports::free(1).unwrap()[0];
    let asked = doyen(&["members", "--url", &format!("http://127.0.0.1:{port}")]);
    assert_eq!(asked.status.code(), Some(1));
    let error = String::from_utf8_lossy(&asked.stderr);
    assert!(error.contains(&port.to_string()), "{error}");
}
