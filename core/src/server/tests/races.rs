//! Races of starting servers, row by row (seed-join.md 9): J11, J18, J24, J26 and J30. The other rows
//! are named where the rules that decide them are tested.
//!
//! There is no Welcome here that could be lost or late (J24): what lists a joiner is the roster in the
//! store, and it lists an incarnation. So the row is shown with the roster that lists a joiner after
//! it gave up.

use super::world::{World, cluster, config, ms, reborn, s, secs};
use crate::identity::{Identity, Incarnation};
use crate::input::{Input, LinkEvent};
use crate::join::seed_digest;
use crate::membership::Status;
use crate::output::{ClusterEvent, StopReason};
use crate::records::cluster::Generation;
use crate::records::key;
use crate::wire::{Message, NackReason};

fn asks_to_join(world: &mut World, joiner: &Identity, generation: u64) {
    let (generation, version) = (Generation(generation), String::new());
    world.says(
        joiner,
        Message::Join {
            generation,
            version,
        },
    );
}

fn answers(world: &mut World, member: &Identity) {
    let seeds = seed_digest(&config().seeds);
    let generation = world.roster().unwrap().generation;
    world.tell(Input::Link(LinkEvent::Up {
        peer: member.clone(),
    }));
    world.says(member, Message::ContactAck { seeds, generation });
}

/// To whom a Join was sent, and for which generation.
fn joins(world: &World) -> Vec<(Identity, u64)> {
    let all = world.sent.iter().filter_map(|(to, message)| match message {
        Message::Join { generation, .. } => Some((to.clone(), generation.0)),
        _ => None,
    });
    all.collect()
}

/// J11: all start, the first seed twenty seconds later: the others wait, and join what it founds.
#[test]
fn j11_the_other_seeds_wait_for_a_first_seed_that_is_slower_by_twenty_seconds() {
    for me in [2, 3] {
        let mut world = World::without_cluster(&s(me));
        world.pass(secs(20));
        assert_eq!(world.commits, []);
        cluster(&mut world.store, 1, &[1], &s(1));
        world.pass(secs(1));
        answers(&mut world, &s(1));
        assert_eq!(joins(&world), [(s(1), 1)]);
        world.pulses();
        world.pass(secs(6));
        assert_eq!(world.written(&key::cluster()), [[""; 0]; 0]);
    }
}

/// J11, for a cluster that was there before: found again by the first seed, in its turn.
#[test]
fn j11_after_a_restart_of_all_the_others_wait_for_the_first_seed_to_found_again() {
    for me in [2, 3] {
        let mut world = World::newcomer(&reborn(me), &[1, 2, 3], 1);
        world.pass(secs(29));
        assert_eq!(world.commits, [], "it is the first seed's turn for so long");
        world.lists(&[reborn(1)]);
        world.takes_office(&reborn(1));
        world.pass(secs(2));
        answers(&mut world, &reborn(1));
        assert_eq!(joins(&world), [(reborn(1), 4)]);
        world.pass(secs(7));
        assert_eq!(world.written(&key::cluster()), [[""; 0]; 0]);
    }
}

/// J18: it only tries to join, so its Nack keeps nobody from founding again; when that is done it
/// comes as a fresh incarnation and joins.
#[test]
fn j18_a_joiner_whose_member_restarts_says_that_it_is_only_joining_and_comes_again() {
    let mut world = World::newcomer(&s(2), &[1], 1);
    answers(&mut world, &s(1));
    assert_eq!(joins(&world), [(s(1), 3)]);
    world.tell(Input::Link(LinkEvent::Down { peer: s(1) }));
    let seeds = seed_digest(&config().seeds);
    world.says(&reborn(1), Message::Contact { seeds });
    let reason = NackReason::Joining;
    let says_so = |one: &(Identity, Message)| {
        let (to, message) = one;
        *to == reborn(1)
            && matches!(message, Message::ContactNack { reason: said, .. } if *said == reason)
    };
    assert!(world.sent.iter().any(says_so));
    world.lists(&[reborn(1)]);
    assert_eq!(world.stops, [StopReason::Reincarnate]);
    assert_eq!(world.commits, [], "it founded nothing");
    let mut again = World::start(&reborn(2), world.store, config());
    again.run();
    answers(&mut again, &reborn(1));
    assert_eq!(joins(&again), [(reborn(1), 4)]);
}

/// J18, from the other side: a Nack of who is only joining counts for nothing.
#[test]
fn j18_a_restarted_member_founds_its_own_roster_again_whatever_a_joiner_says() {
    let mut world = World::newcomer(&reborn(1), &[1], 1);
    assert_eq!(world.listed(), [reborn(1)]);
    asks_to_join(&mut world, &s(2), 3);
    world.meets(&s(2));
    world.pass(secs(1));
    assert_eq!(world.listed(), [reborn(1)], "it asked for the old roster");
    asks_to_join(&mut world, &reborn(2), 4);
    world.meets(&reborn(2));
    world.pass(ms(300));
    assert_eq!(world.listed(), [reborn(1), reborn(2)]);
}

/// J24: the roster that lists a joiner comes after it gave up: its next life is not meant, and comes
/// again as the successor of that roster.
#[test]
fn j24_a_listing_that_comes_after_the_joiner_gave_up_is_not_taken_for_its_next_life() {
    let mut world = World::newcomer(&reborn(3), &[1, 2], 1);
    world.lists(&[s(1), s(2), s(3)]);
    let listed = |event: &ClusterEvent| matches!(event, ClusterEvent::Listed { .. });
    assert!(!world.events.iter().any(listed) && !world.server.view(world.now).ready);
    answers(&mut world, &s(1));
    assert_eq!(joins(&world), [(s(1), 4)]);
    world.lists(&[s(1), s(2), reborn(3)]);
    assert!(world.events.iter().any(listed) && world.server.view(world.now).ready);
}

/// J24, when it has asked already: that Join is void, and another life asks for the place.
#[test]
fn j24_a_late_listing_of_the_former_life_voids_the_join_of_the_next_one() {
    let mut world = World::newcomer(&reborn(3), &[1, 2], 1);
    answers(&mut world, &s(1));
    world.lists(&[s(1), s(2), s(3)]);
    assert_eq!(world.stops, [StopReason::Reincarnate]);
    let mut leader = World::member(1, &[1, 2, 3], 1);
    leader.meets(&reborn(3));
    asks_to_join(&mut leader, &reborn(3), 3);
    leader.pass(ms(300));
    assert_eq!(leader.listed(), [s(1), s(2), reborn(3)], "in one write");
}

fn warnings(world: &World) -> Vec<&str> {
    let all = world.events.iter().filter_map(|event| match event {
        ClusterEvent::Warning { text } => Some(text.as_str()),
        _ => None,
    });
    all.collect()
}

/// J26: two servers at one address (misconfigured): never both, and it is said.
#[test]
fn j26_of_two_servers_with_one_address_at_most_one_is_listed_and_it_is_said_aloud() {
    let mut world = World::member(1, &[1, 2], 1);
    for joiner in [s(3), reborn(3)] {
        world.meets(&joiner);
        asks_to_join(&mut world, &joiner, 3);
    }
    for round in 0..6 {
        let generation = world.roster().unwrap().generation.0;
        let joiner = if round % 2 == 0 { s(3) } else { reborn(3) };
        asks_to_join(&mut world, &joiner, generation);
        world.pass(ms(500));
        let at = |one: &&Identity| one.address == s(3).address;
        assert!(world.listed().iter().filter(at).count() <= 1);
        let up = |one: &&crate::process::MemberView| {
            one.identity.address == s(3).address && one.status == Status::Up
        };
        let view = world.server.view(world.now);
        assert!(view.members.iter().filter(up).count() <= 1);
    }
    assert_eq!(
        warnings(&world),
        ["two servers use the address 10.0.0.1:3 at the same time: give each of them its own"]
    );
}

/// A restart is no second server: the old incarnation is not heard after the new one.
#[test]
fn j26_a_restarted_server_is_not_taken_for_a_second_one() {
    let mut world = World::member(1, &[1, 2, 3], 1);
    world.silence(&s(3));
    world.meets(&reborn(3));
    asks_to_join(&mut world, &reborn(3), 3);
    world.pass(secs(3));
    let third = Identity::new(s(3).address, Incarnation(999));
    world.silence(&reborn(3));
    world.meets(&third);
    asks_to_join(&mut world, &third, 4);
    world.pass(secs(3));
    assert_eq!(world.listed(), [s(1), s(2), third]);
    assert_eq!(warnings(&world), [""; 0]);
}

/// J30: the leader leaves while somebody joins: the next leader lists it, as the successor of the
/// roster without the old one.
#[test]
fn j30_when_the_leader_leaves_the_next_one_lists_the_joiner() {
    let mut world = World::member(2, &[1, 2], 2);
    world.meets(&s(3));
    asks_to_join(&mut world, &s(3), 3);
    world.pass(secs(1));
    assert_eq!(world.listed(), [s(1), s(2)], "1 leads, and leaves");
    world.lists(&[s(2)]);
    world.pass(ms(200));
    assert_eq!(world.listed(), [s(2)], "it asked for the old roster");
    asks_to_join(&mut world, &s(3), 3);
    let refused = Message::JoinRefused {
        generation: Generation(4),
    };
    assert!(world.sent.contains(&(s(3), refused)));
    world.silence(&s(3));
    world.meets(&reborn(3));
    asks_to_join(&mut world, &reborn(3), 4);
    world.pass(ms(300));
    assert_eq!(world.listed(), [s(2), reborn(3)]);
}

/// J30, as the joiner sees it.
#[test]
fn j30_a_joiner_whose_leader_left_joins_through_the_next_one() {
    let mut world = World::newcomer(&s(3), &[1, 2], 2);
    answers(&mut world, &s(1));
    answers(&mut world, &s(2));
    world.lists(&[s(2)]);
    assert_eq!(world.stops, [StopReason::Reincarnate]);
    let mut again = World::start(&reborn(3), world.store, config());
    again.run();
    answers(&mut again, &s(2));
    assert_eq!(joins(&again), [(s(2), 4)]);
    again.lists(&[s(2), reborn(3)]);
    assert!(again.server.view(again.now).ready);
}
