//! E8, E9: servers are dialled and told; alone for too long is the end.

use super::world::{Answers, World, context, context_id, job, server};
use crate::identity::Role;
use crate::input::{Input, LinkEvent};
use crate::membership::Status;
use crate::output::{Effect, StopReason};
use crate::records::cluster::ClusterRecord;
use crate::records::encode;
use crate::records::key;
use crate::wire::Message;
use std::collections::BTreeSet;
use std::time::Duration;

fn last_beat(world: &World) -> u64 {
    let beat = |(_, message): &(_, Message)| match message {
        Message::DriverBeat { sequence, .. } => Some(*sequence),
        _ => None,
    };
    world.sent.iter().rev().find_map(beat).unwrap()
}

fn heard(world: &mut World, port: u16, sequence: u64) {
    world.tell(Input::Message {
        from: server(port),
        message: Message::DriverHeard {
            sequence,
            servers: vec![server(1), server(2)],
        },
    });
}

#[test]
fn every_connected_server_gets_a_beat_a_second() {
    let mut world = World::ready(&context());
    world.link(1);
    world.link(2);
    world.sent.clear();
    world.pass(Duration::from_secs(3));
    assert_eq!(world.sent.len(), 6);
    let Message::DriverBeat {
        context,
        context_name,
        owns,
        ..
    } = &world.sent[0].1
    else {
        panic!("{:?}", world.sent[0])
    };
    assert_eq!(
        (context, context_name.as_str(), *owns),
        (&context_id(), "etl", true)
    );
    world.tell(Input::Link(LinkEvent::Down { peer: server(1) }));
    world.sent.clear();
    world.pass(Duration::from_secs(3));
    assert_eq!(world.sent.len(), 3);
}

#[test]
fn a_server_hears_at_once_that_the_driver_owns_its_context() {
    let mut world = World::launched(&context());
    world.answers = Answers::Away;
    world.run();
    world.link(1);
    world.answers = Answers::AtOnce;
    world.pass(Duration::from_millis(200));
    let owns: Vec<bool> = world
        .sent
        .iter()
        .map(|(_, message)| matches!(message, Message::DriverBeat { owns: true, .. }))
        .collect();
    assert_eq!(owns, [false, true]);
}

#[test]
fn alone_for_four_fifths_it_kills_its_child() {
    let mut world = World::ready(&context());
    world.answers = Answers::Away;
    world.pass(Duration::from_secs(239));
    assert_eq!(world.count(&Effect::StopEngine), 0);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.count(&Effect::StopEngine), 1);
    world.engine_ended(true);
    assert!(matches!(world.stop, Some(StopReason::DriverFenced { .. })));
}

#[test]
fn a_server_that_hears_it_keeps_it_alive_without_the_store() {
    let mut world = World::ready(&context());
    world.link(1);
    world.answers = Answers::Away;
    for _ in 0..60 {
        world.pass(Duration::from_secs(10));
        let last = last_beat(&world);
        heard(&mut world, 1, last);
    }
    // The sending of the confirmed beat counts, not the hearing; one that was never sent is none.
    world.pass(Duration::from_secs(10));
    let last = last_beat(&world);
    world.pass(Duration::from_secs(100));
    heard(&mut world, 1, last);
    heard(&mut world, 1, 1_000_000);
    world.pass(Duration::from_secs(139));
    assert_eq!(world.count(&Effect::StopEngine), 0);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.count(&Effect::StopEngine), 1);
}

#[test]
fn a_stamp_counts_from_its_sending() {
    let mut world = World::ready(&context());
    world.pass(Duration::from_secs(59));
    world.answers = Answers::Held;
    world.pass(Duration::from_secs(41));
    world.release();
    assert_eq!(world.life().count, 3, "taken, ready, one stamp");
    world.answers = Answers::Away;
    world.pass(Duration::from_secs(199));
    assert_eq!(world.count(&Effect::StopEngine), 0);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.count(&Effect::StopEngine), 1, "240 s after 60 s");
}

#[test]
fn the_store_alone_keeps_it_alive_and_reads_of_it_do_not() {
    let mut world = World::ready(&context());
    let before = world.life().count;
    world.pass(Duration::from_secs(600));
    assert_eq!(world.stop, None);
    assert_eq!(world.life().count - before, 10, "a stamp every 60 s");
    // No stamp is answered any more; reads go on, and prove nothing.
    let reads = world.reads;
    world.answers = Answers::Held;
    world.pass(Duration::from_secs(239));
    assert_eq!(world.count(&Effect::StopEngine), 0);
    world.pass(Duration::from_secs(60));
    assert!(world.reads > reads + 20);
    assert_eq!(world.count(&Effect::StopEngine), 1);
}

#[test]
fn no_server_left_is_no_reason_to_end() {
    let mut world = World::ready(&context());
    world.link(1);
    world.tell(Input::Link(LinkEvent::Down { peer: server(1) }));
    let mut cluster: ClusterRecord = world.get(&key::cluster()).unwrap().value;
    cluster.roster.generation = cluster.roster.generation.next();
    cluster.roster.listed.clear();
    let text = encode(&cluster);
    world.other(|transaction| transaction.put_any(key::cluster(), text));
    world.pass(Duration::from_secs(900));
    assert_eq!(world.stop, None);
    world.submit(&job(1));
    assert_eq!(world.started().len(), 1);
    assert!(!world.dials.last().unwrap().is_empty());
}

#[test]
fn it_dials_servers_that_came_after_it_started() {
    let mut world = World::ready(&context());
    world.link(1);
    let before = world.dials.len();
    let message = Message::DriverHeard {
        sequence: 0,
        servers: vec![server(1), server(2), server(3)],
    };
    let from = server(1);
    world.tell(Input::Message { from, message });
    heard(&mut world, 2, 0);
    assert_eq!(world.dials.len(), before + 1);
    let ports: BTreeSet<u16> = world.dials[before]
        .iter()
        .map(crate::identity::Address::port)
        .collect();
    assert_eq!(ports, BTreeSet::from([1, 2, 3]));
    // A new roster says more than what was heard from a server that it does not list.
    let mut cluster: ClusterRecord = world.get(&key::cluster()).unwrap().value;
    cluster.roster.generation = cluster.roster.generation.next();
    cluster.roster.listed = vec![server(2)];
    let text = encode(&cluster);
    world.other(|transaction| transaction.put_any(key::cluster(), text));
    let ports: BTreeSet<u16> = world.dials[before + 1]
        .iter()
        .map(crate::identity::Address::port)
        .collect();
    assert_eq!(ports, BTreeSet::from([1, 2]));
}

#[test]
fn its_view_shows_itself_and_whom_it_is_connected_with() {
    let mut world = World::launched(&context());
    let view = world.driver.view(world.now);
    assert_eq!(view.members.len(), 1);
    assert_eq!(view.members[0].status, Status::Joining);
    assert!(!view.ready);
    world.run();
    world.link(2);
    world.link(1);
    let view = world.driver.view(world.now);
    let shown: Vec<_> = view
        .members
        .iter()
        .map(|one| (one.role, one.status, one.age, one.identity.address.port()))
        .collect();
    assert_eq!(
        shown,
        [
            (Role::Server, Status::Up, Some(0), 1),
            (Role::Server, Status::Up, Some(1), 2),
            (Role::Driver, Status::Up, None, 0),
        ]
    );
    assert_eq!(view.members[2].context.as_deref(), Some("etl"));
    assert_eq!(
        view.not_ready.as_deref(),
        Some("the engine of context ctx is not ready")
    );
}
