//! protocol.md E8: the holder counts from the last beat of a driver that any server reports.

use super::estate::{driver, is_running};
use super::world::{World, s, secs};
use crate::identity::Identity;
use crate::input::{Input, LinkEvent};
use crate::output::Effect;
use crate::records::context::ContextState;
use crate::wire::Message;

fn reports(world: &World) -> Vec<Identity> {
    let seen = Message::DriverSeen {
        driver: driver().incarnation,
    };
    let all = world.sent.iter().filter(|(_, message)| *message == seen);
    all.map(|(to, _)| to.clone()).collect()
}

/// The driver beats every second for so long.
fn beats(world: &mut World, seconds: u64) {
    for sequence in 0..seconds {
        world.driver_beats(1, sequence);
        world.pass(secs(1));
    }
}

fn says_seen(world: &mut World, from: &Identity) {
    let driver = driver().incarnation;
    world.says(from, Message::DriverSeen { driver });
}

#[test]
fn e8_a_server_reports_a_driver_to_the_holder_every_ten_seconds() {
    let mut world = World::member(2, &[1, 2, 3], 1);
    beats(&mut world, 40);
    assert_eq!(reports(&world), vec![s(1); 4]);
}

/// It counts from its take-over, but what it knows it has from us.
#[test]
fn e8_a_new_holder_is_told_at_once() {
    let mut world = World::member(2, &[1, 2, 3], 1);
    beats(&mut world, 3);
    world.takes_office(&s(3));
    beats(&mut world, 3);
    assert_eq!(reports(&world), [s(1), s(3)]);
}

#[test]
fn e8_a_holder_reports_to_nobody_and_nobody_is_told_without_a_link() {
    let mut holder = World::member(1, &[1, 2], 1);
    beats(&mut holder, 30);
    assert_eq!(reports(&holder), []);
    let mut apart = World::member(2, &[1, 2], 1);
    apart.tell(Input::Link(LinkEvent::Down { peer: s(1) }));
    beats(&mut apart, 30);
    assert_eq!(reports(&apart), []);
}

#[test]
fn e8_a_driver_that_others_report_is_verified_but_not_lost() {
    let mut world = World::member(1, &[1, 2], 1).runs_context();
    world.driver_is_gone();
    for _ in 0..100 {
        says_seen(&mut world, &s(2));
        world.pass(secs(10));
    }
    assert!(is_running(&world, 1));
    let verifies = |effect: &Effect| matches!(effect, Effect::Verify { .. });
    assert!(world.effects.iter().any(verifies));
    world.pass(secs(289));
    assert!(is_running(&world, 1));
    world.pass(secs(2));
    assert_eq!(world.ended(1).unwrap().state, ContextState::Killed);
}

#[test]
fn e8_a_report_of_a_server_that_is_not_listed_counts_for_nothing() {
    let mut world = World::member(1, &[1, 2], 1).runs_context();
    world.driver_is_gone();
    for _ in 0..31 {
        says_seen(&mut world, &s(3));
        world.pass(secs(10));
    }
    assert!(world.ended(1).is_some());
}
