//! Members that find, prove and lose each other.

use crate::peer::{
    DEADLINE, Peer, config, credentials, down, free_address, hint, identity, message, refused, up,
};
use doyen_core::identity::{Address, Identity, Incarnation};
use doyen_core::input::{Input, LinkEvent};
use doyen_core::wire::Message;
use doyen_runtime::transport::{Transport, TransportEvent};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::mpsc;

#[tokio::test]
async fn three_members_hear_each_other_over_one_link_or_two() {
    let ids = [identity(1), identity(2), identity(3)];
    let mut one = Peer::member(ids[0].clone()).await;
    let mut two = Peer::member(ids[1].clone()).await;
    let mut three = Peer::member(ids[2].clone()).await;
    // One and two dial each other; three is dialled by both and dials nobody.
    one.dial(&[&ids[1], &ids[2]]);
    two.dial(&[&ids[0], &ids[2]]);
    for (peer, others) in [(&mut one, [1, 2]), (&mut two, [0, 2]), (&mut three, [0, 1])] {
        let mut heard = BTreeSet::new();
        while heard.len() < 2 {
            match peer.link().await {
                LinkEvent::Up { peer } => assert!(heard.insert(peer), "up twice"),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(heard, BTreeSet::from(others.map(|i| ids[i].clone())));
    }
    for (from, to) in [(&one, &mut two), (&one, &mut three)] {
        from.transport.send(&to.me, &hint("there"));
        to.until(&message(&ids[0], "there")).await;
    }
    for from in [&two, &three] {
        from.transport.send(&ids[0], &hint("back"));
    }
    let mut back = BTreeSet::new();
    while back.len() < 2 {
        if let Input::Message { from, .. } = one.next().await {
            back.insert(from);
        }
    }
    assert_eq!(back, BTreeSet::from([ids[1].clone(), ids[2].clone()]));
}

#[tokio::test]
async fn a_driver_listens_nowhere_and_is_reached_on_the_connection_it_made() {
    let mut server = Peer::member(identity(1)).await;
    let driver = Identity::new(Address::new("127.0.0.1", 0), Incarnation(5));
    let mut driver = Peer::member(driver).await;
    driver.dial(&[&server.me]);
    server.until_link(up(&driver.me)).await;
    server.transport.send(&driver.me, &hint("work"));
    driver.until(&message(&server.me, "work")).await;
}

#[tokio::test]
async fn without_a_cluster_only_contacts_pass_and_the_link_is_made_anew_with_one() {
    let mut one = Peer::with(config(identity(1))).await;
    let mut two = Peer::with(config(identity(2))).await;
    one.dial(&[&two.me]);
    one.until_link(up(&two.me)).await;
    two.until_link(up(&one.me)).await;
    let contact = Message::Contact { seeds: "s".into() };
    one.transport.send(&two.me, &hint("too early"));
    one.transport.send(&two.me, &contact);
    let from = one.me.clone();
    let message = contact.clone();
    assert_eq!(two.until(&Input::Message { from, message }).await, []);

    one.transport.credentials(credentials());
    // Two has not read the cluster record: it is refused, or refuses, with that reason.
    one.until_link(down(&two.me)).await;
    let LinkEvent::Rejected { address, reason } = one.link().await else {
        panic!("not rejected")
    };
    assert_eq!(address, two.me.address);
    assert!(reason.contains("read the cluster record first"), "{reason}");
    two.until_link(down(&one.me)).await;
    two.transport.credentials(credentials());
    two.until_link(up(&one.me)).await;
    two.transport.send(&one.me, &hint("proved"));
    one.until(&crate::peer::message(&two.me, "proved")).await;
}

#[tokio::test]
async fn nobody_is_dialled_before_the_store_is_known() {
    let two = Peer::member(identity(2)).await;
    let mut early = config(identity(1));
    early.store_id = None;
    let mut one = Peer::with(early).await;
    one.transport.credentials(credentials());
    one.dial(&[&two.me]);
    let quiet = tokio::time::timeout(Duration::from_millis(100), one.events.recv()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    one.transport.store_id("store".into());
    assert_eq!(one.link().await, up(&two.me));
}

#[tokio::test]
async fn a_new_incarnation_is_told_as_up_where_the_old_one_was_dialled() {
    let mut one = Peer::member(identity(1)).await;
    let mut two = Peer::member(identity(2)).await;
    one.dial(&[&two.me]);
    one.until_link(up(&two.me)).await;
    two.until_link(up(&one.me)).await;
    let old = two.me.clone();
    let new = Identity::new(old.address.clone(), Incarnation(77));
    two.transport.identity(new.clone());
    two.transport.credentials(credentials());
    one.until_link(down(&old)).await;
    // Between the two calls it knows no cluster, so a refusal may come first.
    one.until_link(up(&new)).await;
    one.transport.send(&new, &hint("hello"));
    // What the new life learned says so; the old one's end is no event of the new.
    loop {
        let event = tokio::time::timeout(DEADLINE, two.events.recv())
            .await
            .unwrap()
            .unwrap();
        assert_ne!(event.input, Input::Link(down(&one.me)), "{event:?}");
        if event.input == message(&one.me, "hello") {
            assert_eq!(event.life, Incarnation(77));
            return;
        }
    }
}

#[tokio::test]
async fn an_address_that_is_dialled_no_more_is_left() {
    let mut one = Peer::member(identity(1)).await;
    let mut two = Peer::member(identity(2)).await;
    one.dial(&[&two.me]);
    one.until_link(up(&two.me)).await;
    one.dial(&[]);
    one.until_link(down(&two.me)).await;
    two.until_link(down(&one.me)).await;
    // A dropped transport leaves its port, so that a dial is refused.
    let gone = two.me.clone();
    drop(two);
    one.dial(&[&gone]);
    one.until_link(refused(&gone)).await;
}

#[tokio::test]
async fn what_is_queued_goes_out_before_an_orderly_end() {
    let mut one = Peer::member(identity(1)).await;
    let mut two = Peer::member(identity(2)).await;
    one.dial(&[&two.me]);
    one.until_link(up(&two.me)).await;
    for i in 0..200 {
        one.transport.send(&two.me, &hint(&format!("{i}")));
    }
    one.transport.close(Duration::from_secs(5)).await;
    let before = two.until_link(down(&one.me)).await;
    let messages = before.iter().filter(|i| matches!(i, Input::Message { .. }));
    assert_eq!(messages.count(), 200);
}

#[tokio::test]
async fn a_port_in_use_is_named_with_the_setting_to_change() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Address::new("127.0.0.1", taken.local_addr().unwrap().port());
    let (sender, _events) = mpsc::channel::<TransportEvent>(1);
    let me = Identity::new(address.clone(), Incarnation(1));
    let error = Transport::bind(config(me), sender).await.err().unwrap();
    let text = error.to_string();
    for part in [
        address.to_string().as_str(),
        "in use",
        "akka.remote.netty.tcp.port",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(error.address, address);
}

#[tokio::test]
async fn a_link_to_nobody_is_refused_again_and_again_with_growing_pauses() {
    let nobody = Identity::new(free_address(), Incarnation(1));
    let mut one = Peer::member(identity(1)).await;
    one.dial(&[&nobody]);
    let mut told = Vec::new();
    for _ in 0..5 {
        assert_eq!(one.link().await, refused(&nobody));
        told.push(std::time::Instant::now());
    }
    // 20, 40, 80 and 160 ms lie between the five.
    assert!(told[4] - told[0] >= Duration::from_millis(300));
}
