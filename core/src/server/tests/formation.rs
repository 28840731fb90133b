//! Starting servers: contacts, founding, joining (protocol.md F1 to F3, F6 to F8; seed-join.md J).

use super::world::{Say, World, config, ms, s, secs};
use crate::input::{Command, Input, LinkEvent, NewCall, RequestId};
use crate::join::seed_digest;
use crate::output::{Answer, ClusterEvent, StopReason};
use crate::records::call::CallOperation;
use crate::records::cluster::Generation;
use crate::records::key;
use crate::wire::{Message, NackReason};
use std::collections::BTreeSet;

fn nack(world: &mut World, from: u16, reason: NackReason) {
    let seeds = digest();
    world.says(&s(from), Message::ContactNack { seeds, reason });
}

fn ack(world: &mut World, from: u16) {
    let seeds = digest();
    let generation = Generation(3);
    world.says(&s(from), Message::ContactAck { seeds, generation });
}

fn digest() -> String {
    seed_digest(&config().seeds)
}

fn link(world: &mut World, n: u16) {
    world.tell(Input::Link(LinkEvent::Up { peer: s(n) }));
}

fn joins(world: &World) -> Vec<(u16, u64)> {
    let all = world.sent.iter().filter_map(|(to, message)| match message {
        Message::Join { generation, .. } => Some((to.address.port(), generation.0)),
        _ => None,
    });
    all.collect()
}

fn contacted(world: &World) -> BTreeSet<u16> {
    let all = world.sent.iter();
    all.filter(|(_, message)| matches!(message, Message::Contact { .. }))
        .map(|(to, _)| to.address.port())
        .collect()
}

const FOUNDING: [&str; 5] = [
    "create cluster",
    "create singleton",
    "create pulse",
    "create challenge",
    "create split",
];

#[test]
fn f1_a_starting_server_reads_the_record_and_dials_seeds_and_roster() {
    let world = World::newcomer(&s(7), &[4, 5], 4);
    let ports: Vec<_> = world.dials.iter().map(|one| one.port()).collect();
    assert_eq!(ports, [1, 2, 3, 4, 5]);
    assert!(world.queries[0].keys.contains(&key::cluster()));
}

#[test]
fn f1_everybody_who_is_linked_is_contacted_and_again_each_second() {
    let mut world = World::newcomer(&s(3), &[1, 2], 1);
    link(&mut world, 1);
    link(&mut world, 2);
    assert_eq!(contacted(&world), BTreeSet::from([1, 2]));
    world.forget();
    world.pass(ms(1_000));
    assert_eq!(contacted(&world), BTreeSet::from([1, 2]));
}

/// seed-join.md J1, J8, J14: whoever is a member, seed or not.
#[test]
fn f1_a_member_that_answers_is_joined_through() {
    let mut world = World::newcomer(&s(3), &[1, 2], 1);
    link(&mut world, 1);
    ack(&mut world, 1);
    assert_eq!(joins(&world), [(1, 3)]);
}

/// seed-join.md REQ-8, J18, J19: a Nack never stands for a member's answer.
#[test]
fn f1_a_nack_is_no_answer_of_a_member() {
    for reason in [
        NackReason::Joining,
        NackReason::Leaving,
        NackReason::Uninitialised,
    ] {
        let mut world = World::newcomer(&s(3), &[1, 2], 1);
        link(&mut world, 1);
        nack(&mut world, 1, reason);
        world.pass(secs(3));
        assert_eq!(joins(&world), []);
        // What it said before is taken back.
        ack(&mut world, 1);
        nack(&mut world, 1, reason);
        world.forget();
        world.pass(secs(3));
        assert_eq!(joins(&world), []);
    }
}

/// seed-join.md J6, J23: a Join that gets no answer is repeated as it is.
#[test]
fn f1_a_join_is_repeated_each_second_and_names_the_same_generation() {
    let mut world = World::newcomer(&s(3), &[1, 2], 1);
    link(&mut world, 1);
    ack(&mut world, 1);
    world.forget();
    world.pass(ms(3_050));
    assert_eq!(joins(&world), [(1, 3); 3]);
}

/// A Join that was sent may still be carried out: coming anew means a fresh incarnation (F2).
#[test]
fn f1_who_is_not_listed_within_ten_seconds_begins_anew_as_a_fresh_incarnation() {
    let mut world = World::newcomer(&s(3), &[1, 2], 1);
    link(&mut world, 1);
    ack(&mut world, 1);
    world.pass(ms(9_990));
    assert_eq!(world.stops, []);
    world.pass(ms(20));
    assert_eq!(world.stops, [StopReason::Reincarnate]);
}

#[test]
fn f1_who_answered_and_went_away_is_not_joined_through() {
    let mut world = World::newcomer(&s(3), &[1, 2], 1);
    link(&mut world, 1);
    ack(&mut world, 1);
    world.tell(Input::Link(LinkEvent::Down { peer: s(1) }));
    world.forget();
    world.pass(secs(3));
    assert_eq!(joins(&world), []);
}

#[test]
fn f2_a_joiner_whose_generation_moved_on_comes_again_as_a_fresh_incarnation() {
    let mut world = World::newcomer(&s(3), &[1, 2], 1);
    link(&mut world, 1);
    ack(&mut world, 1);
    world.lists(&[s(2)]);
    assert_eq!(world.stops, [StopReason::Reincarnate]);
}

/// seed-join.md J28: every member that answered is asked, and each names the same place.
#[test]
fn f1_two_members_that_answer_are_both_asked_for_the_same_place() {
    let mut world = World::newcomer(&s(3), &[1, 2], 1);
    for n in [1, 2] {
        link(&mut world, n);
        ack(&mut world, n);
    }
    assert_eq!(joins(&world), [(1, 3), (2, 3)]);
}

#[test]
fn f2_a_refusal_that_names_a_later_generation_makes_a_fresh_incarnation() {
    let mut world = World::newcomer(&s(3), &[1, 2], 1);
    link(&mut world, 1);
    ack(&mut world, 1);
    let same = Generation(3);
    world.says(&s(1), Message::JoinRefused { generation: same });
    assert_eq!(world.stops, []);
    let later = Generation(4);
    world.says(&s(1), Message::JoinRefused { generation: later });
    assert_eq!(world.stops, [StopReason::Reincarnate]);
}

#[test]
fn f2_a_joiner_that_the_next_generation_lists_is_listed() {
    let mut world = World::newcomer(&s(3), &[1, 2], 1);
    link(&mut world, 1);
    ack(&mut world, 1);
    world.lists(&[s(1), s(2), s(3)]);
    let generation = Generation(4);
    assert!(world.events.contains(&ClusterEvent::Listed { generation }));
    assert!(world.stops.is_empty() && world.server.view(world.now).ready);
}

/// seed-join.md J2: all say that they are in no cluster.
#[test]
fn f3_the_first_seed_founds_at_once_when_all_others_are_uninitialised() {
    let mut world = World::without_cluster(&s(1));
    nack(&mut world, 2, NackReason::Uninitialised);
    assert_eq!(world.commits, []);
    nack(&mut world, 3, NackReason::Uninitialised);
    assert_eq!(world.written(&key::cluster()), [FOUNDING]);
    let (roster, office) = (world.roster().unwrap(), world.office());
    assert_eq!((roster.generation.0, roster.listed), (1, vec![s(1)]));
    assert_eq!((office.epoch.0, office.holder), (1, s(1)));
    assert!(world.credentials.is_some() && world.server.view(world.now).ready);
}

/// seed-join.md J3, J16, J33: dead seeds cost the time-out once.
#[test]
fn f3_the_first_seed_founds_after_its_timeout_when_others_are_silent() {
    let mut world = World::without_cluster(&s(1));
    nack(&mut world, 2, NackReason::Uninitialised);
    world.pass(ms(4_990));
    assert_eq!(world.commits, []);
    world.pass(ms(20));
    assert_eq!(world.written(&key::cluster()), [FOUNDING]);
}

/// seed-join.md REQ-8: who is joining is in no position to say that there is no cluster.
#[test]
fn f3_only_uninitialised_counts_towards_nobody_being_in_a_cluster() {
    for reason in [NackReason::Joining, NackReason::Leaving] {
        let mut world = World::without_cluster(&s(1));
        nack(&mut world, 2, NackReason::Uninitialised);
        nack(&mut world, 3, reason);
        world.pass(ms(4_990));
        assert_eq!(world.commits, []);
        // And what was said before is forgotten with the link that it was said over.
        nack(&mut world, 3, NackReason::Uninitialised);
        assert_eq!(world.written(&key::cluster()), [FOUNDING]);
    }
}

#[test]
fn f3_what_a_seed_said_is_forgotten_with_its_link() {
    let mut world = World::without_cluster(&s(1));
    nack(&mut world, 2, NackReason::Uninitialised);
    world.tell(Input::Link(LinkEvent::Down { peer: s(2) }));
    nack(&mut world, 3, NackReason::Uninitialised);
    assert_eq!(world.commits, []);
}

/// seed-join.md J4, J12: later seeds take over in turn, where the reference waits for ever.
#[test]
fn f3_the_ith_seed_waits_its_turn() {
    for (me, turn) in [(2, 25_000), (3, 45_000)] {
        let mut world = World::without_cluster(&s(me));
        world.pass(ms(turn - 10));
        assert_eq!(world.commits, []);
        world.pass(ms(20));
        assert_eq!(world.written(&key::cluster()), [FOUNDING]);
    }
    let mut world = World::without_cluster(&s(2));
    nack(&mut world, 1, NackReason::Uninitialised);
    nack(&mut world, 3, NackReason::Uninitialised);
    world.pass(ms(19_990));
    assert_eq!(world.commits, []);
    world.pass(ms(20));
    assert_eq!(world.written(&key::cluster()).len(), 1);
}

#[test]
fn f3_who_is_no_seed_never_founds() {
    let mut world = World::without_cluster(&s(9));
    world.pass(secs(300));
    assert_eq!(world.commits, []);
}

/// seed-join.md J13, J15: two that found at the same time; the store decides.
#[test]
fn f3_a_founder_that_comes_second_joins_the_first() {
    let mut world = World::without_cluster(&s(1));
    world.hold(key::cluster());
    world.pass(secs(6));
    assert_eq!(world.held(), [FOUNDING]);
    super::world::cluster(&mut world.store, 1, &[2], &s(2));
    world.let_go(Say::Commit);
    assert_eq!(world.listed(), [s(2)]);
    assert_eq!(
        (&world.stops[..], world.server.view(world.now).ready),
        (&[][..], false)
    );
    link(&mut world, 2);
    ack(&mut world, 2);
    world.pass(secs(1));
    assert_eq!(joins(&world), [(2, 1)]);
}

#[test]
fn f3_a_founding_whose_answer_was_lost_is_found_by_reading() {
    let mut world = World::without_cluster(&s(1));
    world.hold(key::cluster());
    world.pass(secs(6));
    world.let_go(Say::Lost);
    assert!(world.server.view(world.now).ready);
    assert_eq!(world.written(&key::cluster()).len(), 1);
}

#[test]
fn f6_without_store_nothing_is_founded_and_it_is_said_so() {
    let mut world = World::start(&s(1), Default::default(), config());
    world.store_away = true;
    world.run();
    nack(&mut world, 2, NackReason::Uninitialised);
    nack(&mut world, 3, NackReason::Uninitialised);
    world.pass(secs(120));
    assert_eq!(world.commits, []);
    let said = ClusterEvent::StoreReachable { reachable: false };
    assert_eq!(world.events, [said]);
    world.store_away = false;
    world.pass(secs(1));
    assert_eq!(world.written(&key::cluster()).len(), 1);
}

/// seed-join.md REQ-5: said once for each peer, by its address.
#[test]
fn f6_another_seed_list_is_noticed_at_the_first_contact() {
    let mut world = World::without_cluster(&s(1));
    for _ in 0..3 {
        world.says(
            &s(2),
            Message::Contact {
                seeds: "other".into(),
            },
        );
    }
    let warned = world.events.iter().filter_map(|event| match event {
        ClusterEvent::Warning { text } => Some(text.clone()),
        _ => None,
    });
    let warned: Vec<_> = warned.collect();
    assert_eq!(warned.len(), 1);
    assert!(
        warned[0].starts_with("10.0.0.1:2 has another seed list"),
        "{warned:?}"
    );
}

#[test]
fn f7_a_peer_of_another_cluster_is_named_once_and_ends_nobody() {
    let mut world = World::member(1, &[1, 2], 1);
    for _ in 0..3 {
        world.tell(Input::Link(LinkEvent::Rejected {
            address: s(2).address,
            reason: "its cluster is two, ours is one".into(),
        }));
    }
    let text = "10.0.0.1:2 is no peer of this server: its cluster is two, ours is one";
    let text = text.to_owned();
    assert_eq!(world.events, [ClusterEvent::Warning { text }]);
    assert_eq!(world.stops, []);
}

#[test]
fn f7_a_listed_server_whose_cluster_vanished_ends() {
    let mut world = World::member(1, &[1, 2], 1);
    world.other(|one| one.delete_any(key::cluster()));
    let what = "the `cluster` record is gone".to_owned();
    assert_eq!(world.stops, [StopReason::ClusterChanged { what }]);
}

/// seed-join.md J31; nobody listed by another cluster is believed about this one.
#[test]
fn f7_a_listed_server_whose_cluster_has_another_id_ends_and_a_starting_one_starts_anew() {
    let changed = |world: &mut World| {
        let found: crate::records::Versioned<crate::records::cluster::ClusterRecord> =
            world.get(&key::cluster()).unwrap();
        let mut record = found.value;
        record.id = crate::identity::ClusterId::new("two");
        world.puts(key::cluster(), &record);
    };
    let mut world = World::member(1, &[1, 2], 1);
    changed(&mut world);
    let what = "cluster one is now two".to_owned();
    assert_eq!(world.stops, [StopReason::ClusterChanged { what }]);
    let mut world = World::newcomer(&s(3), &[1, 2], 1);
    changed(&mut world);
    assert_eq!(world.stops, [StopReason::Reincarnate]);
}

#[test]
fn f8_a_server_that_is_not_listed_takes_no_calls_and_is_not_ready() {
    let mut world = World::newcomer(&s(3), &[1, 2], 1);
    let call = NewCall {
        id: crate::identity::CallId::new("c"),
        user: "u".into(),
        route: "POST /contexts".into(),
        key: None,
        operation: CallOperation::DeleteContext { name: "etl".into() },
        wait: secs(30),
    };
    let request = RequestId(1);
    world.tell(Input::Command(Command::Call { request, call }));
    assert!(matches!(world.answer_to(1), Some(Answer::NotReady { .. })));
    assert_eq!(world.commits, []);
    let view = world.server.view(world.now);
    assert!(!view.ready && view.not_ready.unwrap().contains("not listed"));
}

/// seed-join.md J22, J25: what was meant for an older life of the address reaches nobody.
#[test]
fn f2_who_is_listed_already_is_not_listed_again() {
    let mut world = World::member(1, &[1, 2], 1);
    let version = String::new();
    let generation = Generation(3);
    world.says(
        &s(2),
        Message::Join {
            generation,
            version,
        },
    );
    world.pass(secs(2));
    assert_eq!(world.written(&key::cluster()), [[""; 0]; 0]);
}
