//! Over real connections: streaming, bounds, drain.

use super::support::World;
use crate::http::{ServeLimits, serve_with};
use doyen_core::identity::ContextId;
use doyen_core::output::Answer;
use doyen_core::records::call::CallOutcome;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

struct Served {
    at: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

async fn served(world: &World, limits: ServeLimits) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let router = world.router.clone();
    let task = tokio::spawn(serve_with(listener, router, limits, async {
        let _ = stopped.await;
    }));
    Served { at, stop, task }
}

async fn connect(served: &Served, head: &str) -> TcpStream {
    let mut stream = TcpStream::connect(served.at).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

async fn read_all(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    let reading = stream.read_to_end(&mut text);
    tokio::time::timeout(Duration::from_secs(20), reading)
        .await
        .unwrap()
        .unwrap();
    String::from_utf8_lossy(&text).into_owned()
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_upload_of_200_mib_takes_constant_memory() {
    const MIB: usize = 1024 * 1024;
    let world = World::with(|settings| settings.max_content_length = 256 << 20);
    world.objects.keep_max.store(1024, Ordering::SeqCst);
    let served = served(&world, ServeLimits::default()).await;
    let head = format!(
        "POST /binaries/big HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/python-wheel\r\nContent-Length: {}\r\n\r\n",
        200 * MIB
    );
    let mut stream = connect(&served, &head).await;
    let mut piece = vec![b'x'; MIB];
    piece[..4].copy_from_slice(b"PK\x03\x04");
    let before = resident_kib();
    let mut most = before;
    for _ in 0..200 {
        stream.write_all(&piece).await.unwrap();
        most = most.max(resident_kib());
    }
    let answer = read_all(stream).await;
    most = most.max(resident_kib());
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    assert_eq!(world.objects.counted.load(Ordering::SeqCst), 200 << 20);
    // Other tests run in this process: the bound leaves room for them, not for 200 MiB.
    assert!(most - before < 64 * 1024, "grew by {} KiB", most - before);
}

#[tokio::test]
async fn a_huge_announced_body_is_413_before_it_is_read() {
    let world = World::new();
    let served = served(&world, ServeLimits::default()).await;
    let head = "POST /jobs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                Content-Length: 1000000000000\r\n\r\n";
    let mut stream = connect(&served, head).await;
    let mut answer = vec![0; 4096];
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut answer)).await;
    let answer = String::from_utf8_lossy(&answer[..read.unwrap().unwrap()]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(
        answer.contains("The request content was malformed:"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_client_that_sends_a_refused_body_still_reads_its_answer() {
    let world = World::with(|settings| settings.max_content_length = 1024);
    let served = served(&world, ServeLimits::default()).await;
    let head = "POST /binaries/b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                Content-Type: application/java-archive\r\nContent-Length: 8388608\r\n\r\n";
    let mut stream = connect(&served, head).await;
    stream.write_all(&vec![b'x'; 8 << 20]).await.unwrap();
    let answer = read_all(stream).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn silent_connections_are_closed_after_the_idle_timeout() {
    let world = World::new();
    let limits = ServeLimits {
        idle_timeout: Duration::from_millis(100),
        ..ServeLimits::default()
    };
    let served = served(&world, limits).await;
    let start = Instant::now();
    for head in ["", "GET /jobs HTTP/1.1\r\nHost: loc"] {
        let answer = read_all(connect(&served, head).await).await;
        assert!(!answer.contains("200 OK"), "{answer}");
    }
    let kept = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let answer = read_all(connect(&served, kept).await).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(start.elapsed() < Duration::from_secs(15));
}

#[tokio::test]
async fn a_connection_over_the_bound_waits_for_a_place() {
    let world = World::new();
    let limits = ServeLimits {
        connections_max: 1,
        ..ServeLimits::default()
    };
    let served = served(&world, limits).await;
    let first = connect(&served, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let mut first = first;
    let mut byte = [0; 1];
    first.read_exact(&mut byte).await.unwrap();
    let close = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut second = connect(&served, close).await;
    let early = tokio::time::timeout(Duration::from_millis(200), second.read(&mut byte)).await;
    assert!(
        early.is_err(),
        "the second one is not served beside the first"
    );
    drop(first);
    assert!(read_all(second).await.contains("200 OK"));
}

#[tokio::test]
async fn shutdown_answers_what_was_begun_and_then_ends() {
    let world = World::new();
    let served = served(&world, ServeLimits::default()).await;
    let idle = connect(&served, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let begun = connect(
        &served,
        "DELETE /contexts/etl HTTP/1.1\r\nHost: localhost\r\n\r\n",
    )
    .await;
    let end = Instant::now() + Duration::from_secs(10);
    while world.gateway.calls.lock().unwrap().is_empty() && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    served.stop.send(()).unwrap();
    assert!(read_all(idle).await.contains("SUCCESS"));
    assert!(!served.task.is_finished());
    let context = ContextId::new("x");
    // The call waits already: its answer is put where the next one waits.
    world.will_answer(Answer::Call(CallOutcome::ContextStopped { context }));
    world.gateway.wake.notify_waiters();
    let answer = read_all(begun).await;
    assert!(answer.contains("Context stopped"), "{answer}");
    served.task.await.unwrap().unwrap();
    assert!(TcpStream::connect(served.at).await.is_err());
}

#[tokio::test]
async fn a_drain_is_bounded() {
    let world = World::new();
    let limits = ServeLimits {
        drain: Duration::from_millis(100),
        ..ServeLimits::default()
    };
    let served = served(&world, limits).await;
    let begun = connect(
        &served,
        "DELETE /contexts/etl HTTP/1.1\r\nHost: localhost\r\n\r\n",
    )
    .await;
    let end = Instant::now() + Duration::from_secs(10);
    while world.gateway.calls.lock().unwrap().is_empty() && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    served.stop.send(()).unwrap();
    served.task.await.unwrap().unwrap();
    assert_eq!(read_all(begun).await, "");
}
