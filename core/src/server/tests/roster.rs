//! Changes of the roster: who lists joiners, who is taken off (protocol.md F2, R1 to R3, R6 to R8).

use super::world::{Say, World, layout, ms, reborn, s, secs};
use crate::gossip::Gossip;
use crate::identity::{Identity, Incarnation};
use crate::input::{Command, Input, LinkEvent, NewCall, RequestId};
use crate::membership::{Member, Membership, Status};
use crate::output::{Answer, ClusterEvent, StopReason};
use crate::records::call::CallOperation;
use crate::records::cluster::Generation;
use crate::records::key;
use crate::wire::Message;
use std::sync::Arc;

fn asks_to_join(world: &mut World, joiner: &crate::identity::Identity, generation: u64) {
    let generation = Generation(generation);
    let version = "1".to_owned();
    world.says(
        joiner,
        Message::Join {
            generation,
            version,
        },
    );
}

fn refusals(world: &World) -> Vec<u64> {
    let all = world.sent.iter().filter_map(|(_, message)| match message {
        Message::JoinRefused { generation } => Some(generation.0),
        _ => None,
    });
    all.collect()
}

#[test]
fn f2_the_leader_lists_a_joiner_under_the_version_of_the_record_as_the_youngest() {
    let mut world = World::member(1, &[1, 2], 1);
    asks_to_join(&mut world, &s(3), 3);
    assert_eq!(world.listed(), [s(1), s(2)], "it is not heard yet");
    world.meets(&s(3));
    world.pass(ms(200));
    assert_eq!(world.written(&key::cluster()), [["put cluster@0"]]);
    assert_eq!(world.listed(), [s(1), s(2), s(3)]);
    assert_eq!(world.roster().unwrap().generation, Generation(4));
    let status = |view: crate::process::ClusterView| view.members.last().unwrap().status;
    assert_eq!(status(world.server.view(world.now)), Status::Up);
}

/// A server that died again and again, before it was listed, is heard all the same at last.
#[test]
fn f2_a_joiner_is_listed_however_many_lives_it_led_before() {
    let mut world = World::member(1, &[1, 2], 1);
    let life = |n: u64| Identity::new(s(3).address, Incarnation(1_000 + n));
    for n in 0..300 {
        asks_to_join(&mut world, &life(n), 3);
        world.meets(&life(n));
        world.peers.remove(&life(n));
        world.tell(Input::Link(LinkEvent::Down { peer: life(n) }));
    }
    assert_eq!(world.listed(), [s(1), s(2)]);
    asks_to_join(&mut world, &life(300), 3);
    world.meets(&life(300));
    world.pass(secs(2));
    assert_eq!(world.listed(), [s(1), s(2), life(300)]);
}

#[test]
fn f2_only_the_leader_lists() {
    let mut world = World::member(2, &[1, 2], 1);
    asks_to_join(&mut world, &s(3), 3);
    world.meets(&s(3));
    world.pass(secs(5));
    assert_eq!(world.commits, []);
}

/// R2: the leader is the oldest that one sees reachable.
#[test]
fn r2_the_next_oldest_lists_when_the_leader_is_not_heard() {
    let mut world = World::member(2, &[1, 2], 2);
    world.silence(&s(1));
    world.pass(secs(6));
    asks_to_join(&mut world, &s(3), 3);
    world.meets(&s(3));
    world.pass(ms(200));
    assert_eq!(
        world.listed(),
        [s(1), s(2), s(3)],
        "an unreachable member blocks nobody"
    );
}

/// †: without it, one bad link ends two servers in turn, for ever.
#[test]
fn f2_a_joiner_is_listed_only_if_connected_with_every_server_that_the_leader_is_connected_with() {
    let mut world = World::member(1, &[1, 2], 1);
    world.meets(&s(3));
    world.peer(&s(3)).hears.remove(&s(2));
    world.pass(ms(200));
    asks_to_join(&mut world, &s(3), 3);
    world.pass(secs(5));
    assert_eq!(world.listed(), [s(1), s(2)], "the joiner does not hear 2");
    world.peer(&s(3)).hears.insert(s(2));
    world.peer(&s(2)).hears.remove(&s(3));
    world.pass(secs(5));
    asks_to_join(&mut world, &s(3), 3);
    assert_eq!(world.listed(), [s(1), s(2)], "2 does not hear the joiner");
    world.peer(&s(2)).hears.insert(s(3));
    world.pass(ms(200));
    assert_eq!(world.listed(), [s(1), s(2), s(3)]);
}

/// †: connected with the leader itself, in both directions.
#[test]
fn f2_a_joiner_that_does_not_hear_the_leader_is_not_listed() {
    let mut world = World::member(1, &[1, 2], 1);
    world.meets(&s(3));
    world.peer(&s(3)).hears.remove(&s(1));
    world.pass(ms(200));
    asks_to_join(&mut world, &s(3), 3);
    world.pass(secs(4));
    assert_eq!(world.listed(), [s(1), s(2)]);
    world.peer(&s(3)).hears.insert(s(1));
    world.pass(ms(200));
    assert_eq!(world.listed(), [s(1), s(2), s(3)]);
}

#[test]
fn f2_a_server_that_the_leader_is_not_connected_with_blocks_no_joiner() {
    let mut world = World::member(1, &[1, 2, 4], 1);
    world.silence(&s(2));
    world.pass(secs(6));
    world.meets(&s(3));
    world.peer(&s(3)).hears.remove(&s(2));
    world.pass(ms(200));
    asks_to_join(&mut world, &s(3), 3);
    assert_eq!(world.listed(), [s(1), s(2), s(4), s(3)]);
}

/// †: an incarnation is listed only as the successor of the generation that its Join named.
#[test]
fn f2_an_incarnation_is_listed_only_as_the_successor_of_the_generation_it_read() {
    let mut world = World::member(1, &[1, 2], 1);
    asks_to_join(&mut world, &s(3), 3);
    world.lists(&[s(2), s(1)]);
    world.meets(&s(3));
    world.pass(secs(3));
    assert_eq!(world.listed(), [s(2), s(1)]);
}

/// The same, from the other side: this leader is the oldest in both generations.
#[test]
fn f2_a_join_that_waits_is_void_when_the_generation_moves() {
    let mut world = World::member(1, &[1, 2], 1);
    asks_to_join(&mut world, &s(3), 3);
    world.lists(&[s(1)]);
    world.meets(&s(3));
    world.pass(secs(3));
    assert_eq!(world.listed(), [s(1)]);
}

#[test]
fn f2_a_join_of_another_generation_is_refused_at_once_naming_the_current_one() {
    let mut world = World::member(1, &[1, 2], 1);
    asks_to_join(&mut world, &s(3), 2);
    assert_eq!(refusals(&world), [3]);
    world.meets(&s(3));
    world.pass(secs(3));
    assert_eq!(world.listed(), [s(1), s(2)]);
    let any = World::member(2, &[1, 2], 1);
    let mut any = any;
    asks_to_join(&mut any, &s(3), 2);
    assert_eq!(refusals(&any), [3], "not the leader only");
}

/// The leader has not read the generation yet: it looks, and says nothing wrong.
#[test]
fn f2_a_join_of_a_later_generation_makes_the_leader_look() {
    let mut world = World::member(1, &[1, 2], 1);
    world.watched = false;
    world.lists(&[s(1)]);
    asks_to_join(&mut world, &s(3), 4);
    assert_eq!((refusals(&world), world.listed()), (vec![], vec![s(1)]));
    asks_to_join(&mut world, &s(3), 4);
    world.meets(&s(3));
    world.pass(ms(200));
    assert_eq!(world.listed(), [s(1), s(3)]);
}

/// seed-join.md J5, J27; in one write, without waiting for convergence.
#[test]
fn f2_a_new_incarnation_replaces_the_older_one_of_its_address_in_one_write() {
    let mut world = World::member(1, &[1, 2, 3], 1);
    world.silence(&s(2));
    asks_to_join(&mut world, &reborn(2), 3);
    world.meets(&reborn(2));
    world.peer(&s(3)).hears.remove(&s(2));
    world.pass(ms(200));
    assert_eq!(world.listed(), [s(1), s(3), reborn(2)]);
    let change = ["put cluster@0", "check singleton@0"];
    assert_eq!(world.written(&key::cluster()), [change]);
}

/// seed-join.md J27: the last of several lives is the one that is listed.
#[test]
fn f2_of_several_lives_of_one_address_the_last_is_listed() {
    let mut world = World::member(1, &[1, 2], 1);
    asks_to_join(&mut world, &s(3), 3);
    asks_to_join(&mut world, &reborn(3), 3);
    for life in [s(3), reborn(3)] {
        world.hears(&life);
    }
    world.pass(ms(200));
    assert_eq!(world.listed(), [s(1), s(2), reborn(3)]);
}

/// seed-join.md J29: who asked and went away is forgotten, and blocks nobody.
#[test]
fn f2_a_joiner_that_went_away_is_forgotten_with_the_next_generation() {
    let mut world = World::member(1, &[1, 2], 1);
    asks_to_join(&mut world, &s(3), 3);
    assert_eq!(world.server.view(world.now).members.len(), 3);
    world.lists(&[s(1), s(2), s(4)]);
    let members = world.server.view(world.now).members;
    let members: Vec<_> = members.into_iter().map(|one| one.identity).collect();
    assert_eq!(members, [s(1), s(2), s(4)]);
}

/// R1: two leaders at once are harmless.
#[test]
fn r1_a_generation_has_at_most_one_successor() {
    let mut world = World::member(1, &[1, 2], 1);
    world.hold(key::cluster());
    asks_to_join(&mut world, &s(3), 3);
    world.meets(&s(3));
    world.pass(ms(200));
    assert_eq!(world.held(), [["put cluster@0"]]);
    world.lists(&[s(1), s(2), s(4)]);
    world.let_go(Say::Commit);
    assert_eq!(world.listed(), [s(1), s(2), s(4)]);
    world.pass(secs(3));
    assert_eq!(
        world.listed(),
        [s(1), s(2), s(4)],
        "the Join was of generation 3"
    );
}

#[test]
fn r1_a_listing_whose_answer_was_lost_is_not_repeated() {
    let mut world = World::member(1, &[1, 2], 1);
    world.hold(key::cluster());
    asks_to_join(&mut world, &s(3), 3);
    world.meets(&s(3));
    world.pass(ms(200));
    world.let_go(Say::Lost);
    world.pass(secs(3));
    assert_eq!(world.written(&key::cluster()).len(), 1);
    assert_eq!(world.roster().unwrap().generation, Generation(4));
}

/// R1: who is Exiting is taken off at once, whoever is unreachable.
#[test]
fn r1_an_unreachable_member_blocks_nobodys_leaving() {
    let mut world = World::member(1, &[1, 2, 3], 1);
    world.silence(&s(3));
    world.pass(secs(6));
    let gossip = exiting(&world, 2);
    world.says(&s(2), gossip);
    assert_eq!(world.listed(), [s(1), s(3)]);
    let change = ["put cluster@0", "check singleton@0"];
    assert_eq!(world.written(&key::cluster()), [change]);
}

#[test]
fn r2_only_the_leader_takes_off_who_leaves() {
    let mut world = World::member(3, &[1, 2, 3], 1);
    let gossip = exiting(&world, 2);
    world.says(&s(2), gossip);
    world.pass(secs(3));
    assert_eq!(world.listed(), [s(1), s(2), s(3)]);
}

/// The gossip of a member that has left in order and waits to be taken off.
fn exiting(world: &World, n: u16) -> Message {
    let mut membership = Membership::new(s(n), "1".into());
    membership.adopt(&world.roster().unwrap());
    membership.set_leaving(&s(n));
    membership.set_exiting(&s(n));
    let gossip = membership.gossip().clone();
    Message::Gossip {
        to: world.me.clone(),
        gossip,
    }
}

/// R2: a lower generation is never merged.
#[test]
fn r2_gossip_of_a_lower_generation_is_answered_and_not_merged() {
    let mut world = World::member(1, &[1, 2], 1);
    let old = exiting(&world, 2);
    world.lists(&[s(1), s(2), s(3)]);
    world.forget();
    world.says(&s(2), old);
    let view = world.server.view(world.now);
    assert!(
        view.members.iter().all(|one| one.status == Status::Up),
        "{view:?}"
    );
    assert!(
        world
            .sent
            .iter()
            .any(|(to, one)| *to == s(2) && matches!(one, Message::Gossip { .. }))
    );
}

/// R2: gossip of a higher generation makes one read; only the store says what it is.
#[test]
fn r2_gossip_of_a_higher_generation_makes_one_look_and_ends_nobody() {
    let mut world = World::member(1, &[1, 2], 1);
    let mut gossip = Gossip::default();
    let member = Member {
        identity: s(2),
        status: Status::Up,
        version: String::new(),
    };
    gossip.members.insert(s(2), member);
    gossip.roster.generation = Generation(9);
    gossip.roster.listed = vec![s(2)];
    let (to, gossip) = (s(1), Arc::new(gossip));
    world.says(&s(2), Message::Gossip { to, gossip });
    assert_eq!(world.queries.len(), 1);
    assert_eq!(world.stops, []);
    assert_eq!(world.server.view(world.now).generation, Generation(3));
}

/// R2: a listed server that was never heard counts as unreachable after the detection time.
#[test]
fn r2_a_listed_server_that_is_never_heard_is_unreachable() {
    let mut world = World::member(1, &[1, 2], 1);
    world.lists(&[s(1), s(2), s(3)]);
    world.forget();
    world.pass(ms(4_900));
    assert_eq!(world.events, []);
    world.pass(ms(200));
    let member = s(3);
    assert_eq!(world.events, [ClusterEvent::Unreachable { member }]);
}

fn call() -> NewCall {
    NewCall {
        id: crate::identity::CallId::new("018e2b1c-5f00-7000-8000-000000000001"),
        user: "u".into(),
        route: "POST /contexts".into(),
        key: None,
        operation: CallOperation::CreateContext {
            name: "etl".into(),
            settings: "{}".into(),
            adhoc: false,
        },
        wait: secs(30),
    }
}

/// R6, R8: a gateway that is left out answers 503, leaves the records open, exits.
#[test]
fn r6_who_a_later_roster_does_not_list_answers_its_calls_and_goes_down() {
    let mut world = World::member(2, &[1, 2], 1);
    let (request, call) = (RequestId(1), call());
    world.tell(Input::Command(Command::Call {
        request,
        call: call.clone(),
    }));
    world.lists(&[s(1)]);
    assert!(matches!(world.answer_to(1), Some(Answer::NotReady { .. })));
    let generation = Generation(4);
    assert_eq!(world.stops, [StopReason::LeftOut { generation }]);
    let open: Option<crate::records::Versioned<crate::records::call::CallRecord>> =
        world.get(&layout().call(&call.id));
    assert_eq!(
        open.unwrap().value.progress,
        crate::records::call::CallState::Open
    );
}

/// R6: what others say ends nobody; the record, read in a round of the store, does.
#[test]
fn r6_nobody_goes_down_before_the_later_roster_is_read() {
    let mut world = World::member(2, &[1, 2], 1);
    world.slow_reads = true;
    world.lists(&[s(1)]);
    world.pass(secs(3));
    assert_eq!(world.stops, []);
    world.release_reads();
    assert_eq!(world.stops.len(), 1);
}

/// R6: the roster that does not list it must be later than the one that did.
#[test]
fn r6_a_starting_server_that_is_not_listed_joins_and_does_not_go_down() {
    let mut world = World::newcomer(&s(3), &[1, 2], 1);
    world.lists(&[s(1)]);
    world.pass(secs(3));
    assert_eq!(world.stops, []);
}

/// R7: however unstable; and its beats, its links and its process stay.
#[test]
fn r7_without_store_nobody_decides_and_nobody_goes_down() {
    for n in 1..=3 {
        let mut world = World::member(n, &[1, 2, 3], 1);
        world.store_away = true;
        for other in (1..=3).filter(|other| *other != n) {
            world.silence(&s(other));
        }
        world.pass(secs(300));
        assert_eq!(world.stops, []);
        assert_eq!(world.roster().unwrap().generation, Generation(3));
        world.store_away = false;
        world.pass(ms(600));
        assert_eq!(world.stops, []);
    }
}
