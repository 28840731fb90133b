//! More servers than beat to each other: whom one is connected with, who leads, who takes the office
//! (protocol.md R2, R3, F2, S3, S8, Beats). Only those beat here that owe this server beats.

use super::world::{World, layout, ms, s, secs};
use crate::identity::Identity;
use crate::input::{Command, Input, LinkEvent};
use crate::membership::Membership;
use crate::reachability::lanes::Lanes;
use crate::records::cluster::Generation;
use crate::records::key;
use crate::wire::Message;

const COUNT: u16 = 12;

fn lanes(holder: u16) -> Lanes {
    let listed: Vec<_> = (1..=COUNT).map(s).collect();
    Lanes::new(&listed[0], &listed, Some(&s(holder)), 9)
}

/// The servers that exchange no beats with this one.
fn far_from(n: u16, holder: u16) -> Vec<u16> {
    let lanes = lanes(holder);
    let far = (1..=COUNT).filter(|other| *other != n && !lanes.joins(&s(n), &s(*other)));
    far.collect()
}

/// A server of twelve that has such a far one: itself, and the far one.
fn pair(holder: u16) -> (u16, u16) {
    let of = |n: u16| far_from(n, holder).first().map(|far| (n, *far));
    (1..=COUNT).rev().find_map(of).unwrap()
}

fn crowd(n: u16, holder: u16) -> World {
    let listed: Vec<u16> = (1..=COUNT).collect();
    let mut world = World::member(n, &listed, holder);
    for far in far_from(n, holder) {
        world.silence(&s(far));
    }
    world.holder_pulses = false;
    lives(&mut world, 6);
    world.forget();
    world
}

/// Time passes, and the holder raises its pulse, whether it owes this server beats or not.
fn lives(world: &mut World, seconds: u64) {
    for _ in 0..seconds {
        if world.office().holder != world.me {
            world.pulses();
        }
        world.pass(secs(1));
    }
}

/// What an observer's gossip says of whom it does not hear.
fn gossips(world: &mut World, observer: &Identity, lost: &Identity) {
    let mut theirs = Membership::new(observer.clone(), String::new());
    theirs.adopt(&world.roster().unwrap());
    assert!(theirs.observe(lost, false));
    let (to, gossip) = (world.me.clone(), theirs.gossip().clone());
    world.says(observer, Message::Gossip { to, gossip });
}

#[test]
fn r3_servers_that_exchange_no_beats_are_connected_over_those_that_do() {
    for n in [1, pair(1).0, 12] {
        let mut world = crowd(n, 1);
        lives(&mut world, 30);
        assert_eq!(world.written(&key::cluster()), [[""; 0]; 0], "server {n}");
        assert_eq!(world.written(&layout().split()), [[""; 0]; 0], "server {n}");
    }
}

#[test]
fn r3_whom_none_of_its_observers_hears_is_left_out() {
    let (me, far) = pair(1);
    let mut world = crowd(me, 1);
    for observer in lanes(1).of(&s(far)).cloned().collect::<Vec<_>>() {
        gossips(&mut world, &observer, &s(far));
    }
    lives(&mut world, 19);
    assert!(world.listed().contains(&s(far)));
    lives(&mut world, 2);
    let rest: Vec<_> = (1..=COUNT).filter(|n| *n != far).map(s).collect();
    assert_eq!(world.listed(), rest);
}

/// One broken link parts its two ends, not either of them from everybody else.
#[test]
fn r3_whom_one_observer_does_not_hear_is_still_connected_over_the_others() {
    let (me, far) = pair(1);
    let mut world = crowd(me, 1);
    let observer = lanes(1).of(&s(far)).next().unwrap().clone();
    gossips(&mut world, &observer, &s(far));
    lives(&mut world, 30);
    assert_eq!(world.written(&key::cluster()), [[""; 0]; 0]);
}

/// R3 †: for those that exchange beats the beats decide, whatever others say.
#[test]
fn r3_a_neighbour_that_does_not_hear_one_is_not_connected_over_others() {
    let mut world = crowd(12, 1);
    let near = lanes(1).of(&s(12)).last().unwrap().clone();
    world.peer(&near).hears.remove(&s(12));
    lives(&mut world, 24);
    assert!(!world.listed().contains(&near) || !world.written(&layout().split()).is_empty());
}

#[test]
fn r2_the_leader_is_the_oldest_that_is_reachable_also_over_others() {
    // Under a holder that is not the oldest, which then may be far from somebody.
    let holder = 12;
    let me = far_from(1, holder)[0];
    let mut world = crowd(me, holder);
    assert_eq!(world.server.view(world.now).leader, Some(s(1)));
    for observer in lanes(holder).of(&s(1)).cloned().collect::<Vec<_>>() {
        gossips(&mut world, &observer, &s(1));
    }
    world.pass(ms(100));
    let next = (2..=COUNT).find(|n| *n == me || !far_from(me, holder).contains(n));
    assert_eq!(world.server.view(world.now).leader, next.map(s));
}

/// F2 †: the joiner beats to all, and says whom it hears.
#[test]
fn f2_a_joiner_is_listed_in_a_crowd_when_it_hears_everybody_that_the_leader_is_connected_with() {
    let holder = 12;
    let far = far_from(1, holder)[0];
    let mut world = crowd(1, holder);
    world.meets(&s(20));
    world.silence(&s(far));
    world.peer(&s(20)).hears.remove(&s(far));
    world.pass(ms(200));
    let join = || Message::Join {
        generation: Generation(3),
        version: String::new(),
    };
    world.says(&s(20), join());
    world.pass(secs(5));
    assert_eq!(world.written(&key::cluster()), [[""; 0]; 0]);
    world.says(&s(20), join());
    world.peer(&s(20)).hears.insert(s(far));
    world.pass(ms(200));
    assert_eq!(world.listed().last(), Some(&s(20)));
}

/// Beats: the holder and its candidates hear each other wherever they lie on the ring.
#[test]
fn s5_candidates_beat_to_the_holder() {
    let listed: Vec<_> = (1..=COUNT).map(s).collect();
    let ring = Lanes::new(&s(1), &listed, None, 9);
    let apart = |holder: u16| (1..=5).find(|n| *n != holder && !ring.joins(&s(*n), &s(holder)));
    let found = (6..=COUNT).find_map(|holder| apart(holder).map(|one| (holder, one)));
    let (holder, candidate) = found.unwrap();
    let mut world = crowd(candidate, holder);
    world.pass(secs(1));
    assert_eq!(world.plan.targets[&s(holder).address], secs(1));
    let mut world = crowd(holder, holder);
    world.pass(secs(1));
    assert_eq!(world.plan.targets[&s(candidate).address], ms(100));
    world.silence(&s(candidate));
    world.pass(secs(28));
    assert!(
        !world.listed().contains(&s(candidate)),
        "its silence is noticed"
    );
}

/// S3: the next oldest of twelve is known to live.
#[test]
fn s3_the_office_is_granted_to_the_next_oldest_of_a_crowd() {
    for holder in [1, 7, 12] {
        let mut world = crowd(holder, holder);
        world.tell(Input::Command(Command::Leave));
        world.pass(ms(2_100));
        let next = if holder == 1 { 2 } else { 1 };
        assert_eq!(world.office().holder, s(next));
    }
}

/// S8: older candidates count, also those that owe one no beats, unless they are known to be lost.
#[test]
fn s8_older_candidates_are_waited_for_in_a_crowd() {
    let holder = 1;
    let far = |me: u16| far_from(me, holder).into_iter().find(|far| *far < me);
    let (me, far) = (2..=COUNT)
        .find_map(|me| far(me).map(|far| (me, far)))
        .unwrap();
    for lost in [false, true] {
        let mut world = crowd(me, holder);
        if lost {
            for observer in lanes(holder).of(&s(far)).cloned().collect::<Vec<_>>() {
                gossips(&mut world, &observer, &s(far));
            }
        }
        let holder = s(holder);
        world.silence(&holder);
        world.tell(Input::Link(LinkEvent::Down {
            peer: holder.clone(),
        }));
        let address = holder.address;
        world.tell(Input::Link(LinkEvent::Refused { address }));
        let turn = u64::from(me) - 2 - u64::from(lost);
        if turn > 0 {
            world.pass(ms(turn * 150 - 10));
            assert_eq!(world.written(&layout().singleton()), [[""; 0]; 0]);
        }
        world.pass(ms(20));
        assert_eq!(world.office().holder, s(me));
    }
}
