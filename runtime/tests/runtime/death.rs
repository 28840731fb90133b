//! A peer's process is killed: its end is seen, and a refused dial proves it (S4).

use crate::peer::{Peer, down, free_address, identity, refused, up};
use doyen_core::identity::{Address, Identity, Incarnation};
use doyen_core::input::Input;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const ADDRESS: &str = "DOYEN_TEST_ADDRESS";
const DIALS: &str = "DOYEN_TEST_DIALS";

/// Not a test by itself: the process that the others kill.
#[tokio::test]
async fn child_process() {
    let Ok(address) = std::env::var(ADDRESS) else {
        return;
    };
    let address: Address = address.parse().unwrap();
    let dials: Address = std::env::var(DIALS).unwrap().parse().unwrap();
    let mut peer = Peer::member(Identity::new(address, Incarnation(9))).await;
    peer.transport.dial([dials].into());
    // Nobody outlives a test that failed to kill it.
    let read = async { while peer.events.recv().await.is_some() {} };
    let _ = tokio::time::timeout(Duration::from_secs(60), read).await;
}

fn start(address: &Address, dials: &Address) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "death::child_process", "--test-threads=1"])
        .env(ADDRESS, address.to_string())
        .env(DIALS, dials.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn a_killed_peer_is_down_then_refused_and_another_life_there_is_up() {
    let victim = Identity::new(free_address(), Incarnation(9));
    let mut one = Peer::member(identity(1)).await;
    one.dial(&[&victim]);
    for round in 0..5 {
        let mut child = start(&victim.address, &one.me.address);
        one.until_link(up(&victim)).await;
        let killed = Instant::now();
        child.kill().unwrap();
        assert_eq!(one.link().await, down(&victim), "round {round}");
        let seen = killed.elapsed();
        assert_eq!(one.link().await, refused(&victim), "round {round}");
        let proved = killed.elapsed();
        child.wait().unwrap();
        eprintln!("round {round}: down after {seen:?}, refused after {proved:?}");
        while let Ok(event) = one.events.try_recv() {
            assert_eq!(event.input, Input::Link(refused(&victim)));
        }
    }
}
