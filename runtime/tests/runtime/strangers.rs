//! What is none of ours, and what hangs.

use crate::peer::{DEADLINE, Peer, config, credentials, down, hint, identity, message, silent, up};
use doyen_core::identity::{Identity, Incarnation};
use doyen_core::input::LinkEvent;
use doyen_core::output::Credentials;
use doyen_core::records::cluster::Secret;
use doyen_core::wire::FRAME_BYTES_MAX;
use doyen_runtime::transport::TransportConfig;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn rejection(mut change: impl FnMut(&mut TransportConfig, &mut Credentials)) -> String {
    let two = Peer::member(identity(2)).await;
    let (mut ours, mut proof) = (config(identity(1)), credentials().unwrap());
    change(&mut ours, &mut proof);
    let mut one = Peer::with(ours).await;
    one.transport.credentials(Some(proof));
    one.dial(&[&two.me]);
    match one.link().await {
        LinkEvent::Rejected { address, reason } => {
            assert_eq!(address, two.me.address);
            reason
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_peer_of_another_cluster_store_or_secret_is_rejected_by_name() {
    let reason = rejection(|config, _| config.cluster_name = "other".into()).await;
    assert!(reason.contains("cluster name `other`") && reason.contains("`test`"));
    let reason = rejection(|config, _| config.store_id = Some("mine".into())).await;
    assert!(reason.contains("store `mine`") && reason.contains("`store`"));
    let reason = rejection(|_, proof| proof.secret = Secret("guess".into())).await;
    assert!(reason.contains("secrets differ") && !reason.contains("guess"));
}

#[tokio::test]
async fn garbage_closes_its_connection_and_the_server_lives() {
    let mut server = Peer::member(identity(1)).await;
    let target = (
        server.me.address.host().to_owned(),
        server.me.address.port(),
    );
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\0\0\0\0\0\0\0\0",
        b"DOYEN\0\0\0\x01\xff\xff\xff\xff\xff",
        b"DOYEN\0\0\0\x01\0\0\0\x03\xff\xff\xff",
        b"DOYEN\0\0\0\x09",
    ] {
        let mut stream = TcpStream::connect(&target).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        let mut answer = Vec::new();
        // Closed or reset, and at once.
        let end = stream.read_to_end(&mut answer);
        let _ = tokio::time::timeout(DEADLINE, end)
            .await
            .expect("left open");
        assert!(answer.len() < 200);
    }
    let mut two = Peer::member(identity(2)).await;
    two.dial(&[&server.me]);
    server.until_link(up(&two.me)).await;
}

#[tokio::test]
async fn who_says_nothing_is_closed_after_two_seconds_and_others_are_served_meanwhile() {
    let mut server = Peer::member(identity(1)).await;
    let target = (
        server.me.address.host().to_owned(),
        server.me.address.port(),
    );
    let began = Instant::now();
    let mut mute = Vec::new();
    for _ in 0..60 {
        mute.push(TcpStream::connect(&target).await.unwrap());
    }
    let mut two = Peer::member(identity(2)).await;
    two.dial(&[&server.me]);
    server.until_link(up(&two.me)).await;
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "waited for the mute"
    );
    for mut stream in mute {
        let read = tokio::time::timeout(DEADLINE, stream.read(&mut [0]))
            .await
            .unwrap();
        assert!(matches!(read, Ok(0) | Err(_)));
    }
    assert!(began.elapsed() >= Duration::from_millis(1_900));
}

#[tokio::test]
async fn more_than_64_strangers_at_once_are_turned_away() {
    let server = Peer::member(identity(1)).await;
    let target = (
        server.me.address.host().to_owned(),
        server.me.address.port(),
    );
    let mut streams = Vec::new();
    for _ in 0..64 {
        streams.push(TcpStream::connect(&target).await.unwrap());
    }
    let mut one_more = TcpStream::connect(&target).await.unwrap();
    let began = Instant::now();
    let read = tokio::time::timeout(DEADLINE, one_more.read(&mut [0]))
        .await
        .unwrap();
    assert!(matches!(read, Ok(0) | Err(_)));
    assert!(
        began.elapsed() < Duration::from_millis(1_500),
        "only timed out"
    );
}

#[tokio::test]
async fn a_listener_that_never_answers_is_silence_and_no_proof() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mute = Identity::new(
        doyen_core::identity::Address::new("127.0.0.1", port),
        Incarnation(1),
    );
    let mut one = Peer::member(identity(1)).await;
    one.dial(&[&mute]);
    // The kernel accepts for it; the handshake times out.
    assert_eq!(one.link().await, silent(&mute));
    drop(listener);
}

#[tokio::test]
async fn what_is_no_doyen_is_rejected_as_such() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"SSH-2.0-OpenSSH\r\n").await;
            let _ = stream.read(&mut [0; 64]).await;
        }
    });
    let address = doyen_core::identity::Address::new("127.0.0.1", port);
    let other = Identity::new(address, Incarnation(1));
    let mut one = Peer::member(identity(1)).await;
    one.dial(&[&other]);
    let event = one.link().await;
    let LinkEvent::Rejected { reason, .. } = &event else {
        panic!("{event:?}")
    };
    assert!(reason.contains("speaks no Doyen protocol"), "{reason}");
}

#[tokio::test]
async fn a_peer_that_falls_256_frames_behind_is_disconnected_and_may_come_again() {
    let mut one = Peer::member(identity(1)).await;
    let two_me = identity(2);
    // Two's host does not read: its inbox of one is full at once, so its reader waits.
    let (sender, mut events) = tokio::sync::mpsc::channel(1);
    let two = doyen_runtime::transport::Transport::bind(config(two_me.clone()), sender)
        .await
        .unwrap();
    two.credentials(credentials());
    one.dial(&[&two_me]);
    one.until_link(up(&two_me)).await;
    let long = "x".repeat(200);
    let deadline = Instant::now() + DEADLINE;
    let mut sent = 0;
    while one.events.is_empty() {
        assert!(Instant::now() < deadline, "never disconnected");
        one.transport.send(&two_me, &hint(&long));
        sent += 1;
        tokio::task::yield_now().await;
    }
    assert!(sent > 256, "after {sent}");
    assert_eq!(one.link().await, down(&two_me));
    // Once two reads again, it is linked again.
    tokio::spawn(async move { while events.recv().await.is_some() {} });
    one.until_link(up(&two_me)).await;
}

#[tokio::test]
async fn a_message_too_long_for_a_frame_is_dropped_by_its_sender_and_the_link_stays() {
    let mut one = Peer::member(identity(1)).await;
    let mut two = Peer::member(identity(2)).await;
    one.dial(&[&two.me]);
    one.until_link(up(&two.me)).await;
    one.transport
        .send(&two.me, &hint(&"x".repeat(FRAME_BYTES_MAX + 1)));
    one.transport.send(&two.me, &hint("short"));
    let before = two.until(&message(&one.me, "short")).await;
    assert_eq!(before, [doyen_core::input::Input::Link(up(&one.me))]);
}
