//! Handshakes over a pipe in memory: who gets in, and what a refusal says.

use super::*;
use doyen_core::identity::{ClusterId, Incarnation, Role};
use doyen_core::output::Credentials;
use doyen_core::records::cluster::Secret;
use tokio::io::{DuplexStream, ReadHalf, WriteHalf};

type Half = (ReadHalf<DuplexStream>, WriteHalf<DuplexStream>);

fn pipe() -> (Half, Half) {
    let (here, there) = tokio::io::duplex(64 * 1024);
    (tokio::io::split(here), tokio::io::split(there))
}

fn me(port: u16) -> Me {
    Me {
        edition: 7,
        cluster_name: "c".into(),
        store_id: Some("s".into()),
        identity: Identity::new(Address::new("h", port), Incarnation(u64::from(port))),
        role: Role::Server,
        credentials: Some(Credentials {
            cluster: ClusterId::new("id"),
            secret: Secret("secret".into()),
        }),
    }
}

type Outcome = (
    Result<(Identity, bool), String>,
    Result<(Identity, bool), String>,
);

/// Both sides of a handshake from `dialler` to `acceptor`, dialled as `h:2`.
async fn shake(dialler: &Me, acceptor: &Me, lane: Lane) -> Outcome {
    let ((here_read, here_write), there) = pipe();
    let address = Address::new("h", 2);
    let both = async {
        tokio::join!(
            dial((here_read, here_write), dialler, &address, lane),
            accept(there, acceptor)
        )
    };
    let (dialled, accepted) = tokio::time::timeout(HANDSHAKE_TIMEOUT, both).await.unwrap();
    let tell = |e: Failure| e.to_string();
    (
        dialled.map(|e| (e.peer, e.proved)).map_err(tell),
        accepted.map(|e| (e.peer, e.proved)).map_err(tell),
    )
}

fn with(port: u16, change: impl FnOnce(&mut Me)) -> Me {
    let mut me = me(port);
    change(&mut me);
    me
}

#[tokio::test]
async fn members_of_one_cluster_prove_it_both_ways() {
    let (dialled, accepted) = shake(&me(1), &me(2), Lane::Main).await;
    assert_eq!(dialled, Ok((me(2).identity, true)));
    assert_eq!(accepted, Ok((me(1).identity, true)));
}

#[tokio::test]
async fn two_that_know_no_cluster_are_linked_without_proof_but_not_for_beats() {
    let one = with(1, |me| me.credentials = None);
    let two = with(2, |me| me.credentials = None);
    let (dialled, accepted) = shake(&one, &two, Lane::Main).await;
    assert_eq!(dialled, Ok((two.identity.clone(), false)));
    assert_eq!(accepted, Ok((one.identity.clone(), false)));
    let (dialled, _) = shake(&one, &two, Lane::Beat).await;
    assert_eq!(
        dialled,
        Err("h:2#0000000000000002 knows no cluster yet and takes no beats".into())
    );
}

fn other(id: &str, secret: &str) -> Option<Credentials> {
    Some(Credentials {
        cluster: ClusterId::new(id),
        secret: Secret(secret.into()),
    })
}

#[tokio::test]
async fn a_refusal_reaches_both_sides_and_names_both() {
    let dialler = "h:1#0000000000000001";
    let acceptor = "h:2#0000000000000002";
    for (dialling, accepting, words) in [
        (
            with(1, |me| me.cluster_name = "x".into()),
            me(2),
            vec![dialler, "cluster name `x`", acceptor, "`c`"],
        ),
        (
            with(1, |me| me.store_id = Some("t".into())),
            me(2),
            vec![dialler, "store `t`", acceptor, "`s`"],
        ),
        (
            me(1),
            with(2, |me| me.store_id = None),
            vec![acceptor, "has not reached its store yet"],
        ),
        (
            with(1, |me| me.credentials = other("jd", "secret")),
            me(2),
            vec![dialler, "cluster `jd`", acceptor, "`id`"],
        ),
        (
            with(1, |me| me.credentials = other("id", "guess")),
            me(2),
            vec![dialler, acceptor, "secrets differ"],
        ),
        (
            with(1, |me| me.credentials = None),
            me(2),
            vec![acceptor, "`id`", dialler, "read the cluster record first"],
        ),
        (
            me(1),
            with(2, |me| me.credentials = None),
            vec![
                dialler,
                "`id`",
                acceptor,
                "must read the cluster record first",
            ],
        ),
        (me(2), me(2), vec![acceptor, "dialled itself"]),
        (
            with(2, |me| me.identity.incarnation = Incarnation(9)),
            me(2),
            vec!["h:2#0000000000000009", "claims the address of", acceptor],
        ),
        (
            me(1),
            me(3),
            vec!["h:3#0000000000000003", "dialled as `h:2`", "ha.masters"],
        ),
    ] {
        let (dialled, accepted) = shake(&dialling, &accepting, Lane::Main).await;
        let (dialled, accepted) = (dialled.unwrap_err(), accepted.unwrap_err());
        assert_eq!(dialled, accepted);
        for word in words {
            assert!(
                dialled.contains(word),
                "{dialled:?} says nothing of {word:?}"
            );
        }
        assert!(!dialled.contains("secret`") && !dialled.contains("guess"));
    }
}

#[tokio::test]
async fn an_acceptor_with_another_secret_is_not_believed_by_the_dialler() {
    // A thief who knows the cluster's id but not its secret accepts, whatever is proved to it.
    let ((read, write), (mut their_read, mut their_write)) = pipe();
    let me = me(1);
    let address = Address::new("h", 2);
    let thief = async {
        read_preface(&mut their_read).await.unwrap();
        let mut reader = FramedRead::new(their_read, codec(HANDSHAKE_FRAME_BYTES_MAX));
        reader.next().await.unwrap().unwrap();
        let hello = Hello::of(&super::tests::me(2), "s", Lane::Main, None).unwrap();
        let hello = Frame {
            hello: Some(hello),
            ..Frame::default()
        };
        send(&mut their_write, true, hello.encode_to_vec())
            .await
            .unwrap();
        let proof = reader.next().await.unwrap().unwrap();
        // The dialler's own proof, sent back.
        send(&mut their_write, false, proof.to_vec()).await.unwrap();
        reader.next().await
    };
    let (dialled, said) = tokio::join!(dial((read, write), &me, &address, Lane::Main), thief);
    let failure = dialled.err().unwrap().to_string();
    assert!(failure.contains("secrets differ"), "{failure}");
    let said = Frame::decode(said.unwrap().unwrap()).unwrap();
    assert_eq!(said.refusal, Some(failure));
}

async fn accept_bytes(bytes: &[u8]) -> (Failure, Vec<u8>) {
    let ((mut read, mut write), there) = pipe();
    let acceptor = me(2);
    let stranger = async {
        write.write_all(bytes).await.unwrap();
        write.shutdown().await.unwrap();
        let mut answer = Vec::new();
        read.read_to_end(&mut answer).await.unwrap();
        answer
    };
    let (accepted, answer) = tokio::join!(accept(there, &acceptor), stranger);
    (accepted.err().unwrap(), answer)
}

#[tokio::test]
async fn garbage_is_known_by_its_first_byte_and_gets_no_answer() {
    let (failure, answer) = accept_bytes(b"GET / HTTP/1.1\r\n\r\n").await;
    assert!(matches!(failure, Failure::Stranger(seen) if seen == "G"));
    assert!(answer.is_empty());
}

#[tokio::test]
async fn another_version_is_told_in_the_frame_that_all_versions_share() {
    let (failure, answer) = accept_bytes(b"DOYEN\0\0\0\x02whatever comes there").await;
    let text = "the peer speaks version 2 of the protocol, but h:2#0000000000000002 speaks 1";
    assert_eq!(failure.to_string(), text);
    assert_eq!(&answer[..9], b"DOYEN\0\0\0\x01");
    let refusal = Frame::decode(&answer[13..]).unwrap().refusal;
    assert_eq!(refusal, Some(text.to_owned()));
}

#[tokio::test]
async fn a_frame_too_long_for_a_handshake_ends_it() {
    let mut bytes = b"DOYEN\0\0\0\x01".to_vec();
    bytes.extend_from_slice(&8_000_u32.to_be_bytes());
    bytes.extend_from_slice(&[0; 8_000]);
    let (failure, answer) = accept_bytes(&bytes).await;
    assert!(matches!(failure, Failure::Broken(_)), "{failure}");
    assert!(answer.is_empty());
}
