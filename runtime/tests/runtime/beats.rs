//! Beats have a lane and a thread of their own.

use crate::peer::{Peer, beat, free_address, hint, identity, up};
use doyen_core::identity::{Identity, Incarnation};
use doyen_core::input::Input;
use doyen_core::output::BeatPlan;
use doyen_runtime::beat::{BeatThread, STALE_AFTER};
use std::time::{Duration, Instant};

fn plan(from: &Identity, targets: &[(&Identity, u64)]) -> BeatPlan {
    let targets = targets
        .iter()
        .map(|(to, ms)| (to.address.clone(), Duration::from_millis(*ms)));
    BeatPlan {
        beat: Some(beat(from)),
        targets: targets.collect(),
    }
}

#[tokio::test]
async fn beats_count_up_stop_without_renewal_and_go_on_with_it() {
    let one = Peer::member(identity(1)).await;
    let mut two = Peer::member(identity(2)).await;
    let thread = BeatThread::start(&one.transport).unwrap();
    thread.plan(plan(&one.me, &[(&two.me, 10)]));
    let renewed = Instant::now();
    let first = two.beat().await;
    assert_eq!(first.from, one.me);
    let mut last = first.sequence;
    // Silence of many intervals is the end; the renewal was the only one.
    let pause = Duration::from_millis(300);
    while let Ok(beat) = tokio::time::timeout(pause, two.beat()).await {
        assert!(beat.sequence > last);
        last = beat.sequence;
    }
    let stopped = renewed.elapsed();
    assert!(stopped >= STALE_AFTER, "stopped after {stopped:?}");
    assert!(last > 20, "{last} beats");
    thread.plan(plan(&one.me, &[(&two.me, 10)]));
    assert!(two.beat().await.sequence > last);
}

#[tokio::test]
async fn a_dead_target_delays_no_other_one() {
    let one = Peer::member(identity(1)).await;
    let mut two = Peer::member(identity(2)).await;
    let nobody = Identity::new(free_address(), Incarnation(3));
    // It accepts and never says a word.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = mute.local_addr().unwrap().port();
    let mute_id = Identity::new(
        doyen_core::identity::Address::new("127.0.0.1", port),
        Incarnation(4),
    );
    let thread = BeatThread::start(&one.transport).unwrap();
    let targets = [(&nobody, 10), (&mute_id, 10), (&two.me.clone(), 10)];
    for _ in 0..20 {
        thread.plan(plan(&one.me, &targets));
        two.beat().await;
    }
}

#[tokio::test]
async fn beats_pass_while_the_main_lane_is_full_and_do_not_wait_for_a_full_host() {
    let mut one = Peer::member(identity(1)).await;
    let mut two = Peer::member(identity(2)).await;
    one.dial(&[&two.me]);
    one.until_link(up(&two.me)).await;
    let thread = BeatThread::start(&one.transport).unwrap();
    thread.plan(plan(&one.me, &[(&two.me, 10)]));
    two.beat().await;
    // Far more than fits between two beats, as bulk in the main lane.
    let long = hint(&"x".repeat(500_000));
    let mut gaps = Vec::new();
    for _ in 0..20 {
        thread.plan(plan(&one.me, &[(&two.me, 10)]));
        for _ in 0..4 {
            one.transport.send(&two.me, &long);
        }
        let since = Instant::now();
        two.beat().await;
        gaps.push(since.elapsed());
    }
    gaps.sort();
    assert!(gaps[10] < Duration::from_millis(200), "{gaps:?}");
}

#[tokio::test]
async fn a_beat_in_another_name_is_dropped() {
    let one = Peer::member(identity(1)).await;
    let mut two = Peer::member(identity(2)).await;
    let thread = BeatThread::start(&one.transport).unwrap();
    let mut forged = plan(&one.me, &[(&two.me, 10)]);
    forged.beat = Some(beat(&identity(8)));
    thread.plan(forged);
    let none = tokio::time::timeout(Duration::from_millis(300), two.beat()).await;
    assert!(none.is_err(), "{none:?}");
    thread.plan(plan(&one.me, &[(&two.me, 10)]));
    assert_eq!(two.beat().await.from, one.me);
}

#[tokio::test]
async fn beats_follow_a_new_life() {
    let one = Peer::member(identity(1)).await;
    let mut two = Peer::member(identity(2)).await;
    let thread = BeatThread::start(&one.transport).unwrap();
    thread.plan(plan(&one.me, &[(&two.me, 10)]));
    two.beat().await;
    let new = Identity::new(one.me.address.clone(), Incarnation(50));
    one.transport.identity(new.clone());
    one.transport.credentials(crate::peer::credentials());
    thread.plan(plan(&new, &[(&two.me, 10)]));
    loop {
        let beat = two.beat().await;
        if beat.from == new {
            return;
        }
        assert_eq!(beat.from, one.me);
    }
}

#[tokio::test]
async fn a_full_host_loses_beats_and_nothing_else() {
    let one = Peer::member(identity(1)).await;
    let small = crate::peer::config(identity(2));
    let to = small.identity.clone();
    let (sender, mut events) = tokio::sync::mpsc::channel(1);
    let two = doyen_runtime::transport::Transport::bind(small, sender)
        .await
        .unwrap();
    two.credentials(crate::peer::credentials());
    let mut three = Peer::member(identity(3)).await;
    let thread = BeatThread::start(&one.transport).unwrap();
    thread.plan(plan(&one.me, &[(&to, 5), (&three.me, 5)]));
    // The third tells that many beats went to the second meanwhile.
    for _ in 0..40 {
        three.beat().await;
    }
    // One was kept, the others were dropped: what comes next is new.
    let mut next = async || loop {
        let event = tokio::time::timeout(crate::peer::DEADLINE, events.recv()).await;
        if let Input::Beat(beat) = event.unwrap().unwrap().input {
            return beat.sequence;
        }
    };
    let (kept, fresh) = (next().await, next().await);
    assert!(fresh > kept + 10, "{kept} then {fresh}");
}
