//! Launches, proofs of death, kills and lost drivers (protocol.md E1 to E3, E5, E6, E8, E9).

use super::estate::{context_id, creation, deletion, driver, is_running, owner};
use super::world::{Say, World, layout, ms, s, secs};
use crate::identity::Role;
use crate::input::{EffectReport, Input, Verdict};
use crate::output::{Answer, Effect};
use crate::records::call::CallOutcome;
use crate::records::context::{ContextState, DriverPhase};
use crate::records::job::JobError;
use crate::wire::Message;

const CONTEXT: &str = "018e2b1c-5f00-7000-8000-000000000001";

fn ops(list: &[&str]) -> Vec<String> {
    list.iter().map(|one| one.replace("CTX", CONTEXT)).collect()
}

fn owner_writes(world: &World) -> Vec<Vec<String>> {
    world.written(&layout().owner(&context_id(1)))
}

fn verifications(world: &World) -> usize {
    let wanted = Effect::Verify {
        context: context_id(1),
        owner: Some(owner()),
    };
    world.effects.iter().filter(|one| **one == wanted).count()
}

/// Server 2 of three; the holder, 1, accepted context 1 and launches it.
fn launched_by_another() -> World {
    let mut donor = World::holder();
    donor.asks(1, creation("etl"));
    let mut world = World::member(2, &[1, 2, 3], 1);
    let parts = ["context/", "context-name/", "owner/", "life/", "call/"];
    let found = donor.store.records();
    let parts = found.filter(|(key, _)| parts.iter().any(|one| key.as_str().contains(one)));
    world.other(|mut one| {
        for (key, stored) in parts {
            one = one.create(key.clone(), stored.value.clone());
        }
        one
    });
    world.forget();
    world
}

/// The old holder is dead and gone: its link too.
fn holder_dies(world: &mut World) {
    world.silence(&s(1));
    world.tell(Input::Link(crate::input::LinkEvent::Down { peer: s(1) }));
    let address = s(1).address;
    world.tell(Input::Link(crate::input::LinkEvent::Refused { address }));
}

#[test]
fn e1_an_intent_is_launched_once_by_the_server_that_it_names() {
    let mut world = World::holder();
    world.asks(1, creation("etl"));
    world.pass(secs(20));
    assert_eq!(world.launches(), [1]);
}

/// E2 †: an intent that no driver took may be superseded; the launch carries the new number.
#[test]
fn e2_an_intent_that_no_driver_took_is_superseded_when_its_server_is_gone() {
    let mut world = launched_by_another();
    holder_dies(&mut world);
    let supersede = ops(&["check singleton@1", "put context/CTX@0", "put owner/CTX@0"]);
    assert_eq!(owner_writes(&world), [supersede]);
    assert_eq!((world.owner(1).intent.0, world.launches()), (2, vec![2]));
}

/// E2 †: the driver of the old intent took the owner record first.
#[test]
fn e2_a_superseding_is_void_when_a_driver_took_the_context_first() {
    let mut world = launched_by_another();
    world.hold(layout().owner(&context_id(1)));
    holder_dies(&mut world);
    world.driver_takes(1);
    world.driver_is_ready(1);
    world.let_go(Say::Commit);
    world.pass(ms(500));
    assert_eq!(world.launches(), [0; 0]);
    assert!(is_running(&world, 1));
    assert_eq!(world.owner(1).owner, Some(owner()));
}

/// The old holder lost the office between its commit and its launch: somebody must launch.
#[test]
fn e2_an_intent_of_a_holder_that_lives_on_is_superseded_after_a_while() {
    let mut world = launched_by_another();
    world.takes_office(&s(2));
    world.pass(secs(4));
    assert_eq!(world.launches(), [0; 0], "its server may still launch it");
    world.pass(secs(2));
    assert_eq!(world.launches(), [2]);
}

fn error(text: &str) -> JobError {
    JobError::new("java.lang.RuntimeException", text)
}

#[test]
fn e2_a_launch_that_nobody_took_in_time_ends_its_context() {
    let mut world = World::holder();
    world.asks(1, creation("etl"));
    world.pass(ms(29_900));
    assert_eq!(world.ended(1), None);
    world.pass(ms(200));
    assert_eq!(world.ended(1).unwrap().state, ContextState::Error);
    let text = "Context failed to connect back within initialization time";
    let outcome = CallOutcome::ContextFailed {
        context: context_id(1),
        error: error(text),
    };
    assert_eq!(world.settled(1), Some(outcome));
    assert_eq!(world.keys_with("owner/"), [""; 0]);
}

#[test]
fn e1_a_launch_that_failed_ends_its_context_at_once() {
    for (number, ended) in [(2, false), (1, true)] {
        let mut world = World::holder();
        world.asks(1, creation("etl"));
        world.tell(Input::EffectReport(EffectReport::Launched {
            context: context_id(1),
            intent: crate::records::context::IntentNumber(number),
            error: Some(error("no such program")),
        }));
        assert_eq!(world.ended(1).is_some(), ended, "intent {number}");
    }
}

/// E3, E6: proof ends the attempt, with the last output in the error.
#[test]
fn e6_an_attempt_is_ended_by_proof() {
    let mut world = World::with_context();
    world.pass(secs(5));
    world.driver_is_gone();
    assert_eq!(verifications(&world), 1);
    world.verified(1, Verdict::Dead);
    let ended = world.ended(1).unwrap();
    assert_eq!(ended.state, ContextState::Killed);
    assert_eq!(ended.error.unwrap().stack, "out of memory");
}

/// E3: nothing but proof; E6: closed ports are none.
#[test]
fn e6_a_driver_that_is_gone_from_sight_is_not_ended_without_proof() {
    for verdict in [None, Some(Verdict::Alive), Some(Verdict::Unknown)] {
        let mut world = World::with_context();
        world.driver_is_gone();
        for _ in 0..50 {
            world.pass(secs(5));
            if let Some(verdict) = verdict {
                world.verified(1, verdict);
            }
        }
        assert!(is_running(&world, 1), "{verdict:?}");
        assert!(verifications(&world) > 40, "it is looked at now and then");
    }
}

/// E3: the proof is of one driver; that of an older one says nothing of its successor.
#[test]
fn e3_the_proof_of_another_drivers_death_ends_nothing() {
    let mut world = World::with_context();
    for other in [None, Some(crate::identity::Incarnation(76))] {
        world.tell(Input::EffectReport(EffectReport::Verified {
            context: context_id(1),
            driver: other,
            verdict: Verdict::Dead,
            last_output: String::new(),
        }));
        world.pass(secs(10));
        assert!(is_running(&world, 1));
    }
}

/// E5: a kill names the intent and exactly this process.
#[test]
fn e5_a_driver_that_does_not_stop_is_killed_by_intent_and_process() {
    let mut world = World::with_context();
    world.asks(2, deletion("etl"));
    world.pass(ms(14_900));
    let kills = |world: &World| {
        let all = world.effects.iter();
        all.filter(|one| matches!(one, Effect::Kill { .. }))
            .cloned()
            .collect::<Vec<_>>()
    };
    assert_eq!(kills(&world), []);
    world.pass(ms(200));
    let kill = Effect::Kill {
        context: context_id(1),
        intent: crate::records::context::IntentNumber(2),
        owner: owner(),
    };
    assert_eq!(kills(&world), std::slice::from_ref(&kill));
    world.pass(secs(5));
    assert_eq!(kills(&world), [kill.clone(), kill]);
    assert_eq!(world.ended(1), None, "and it is not taken for dead");
}

#[test]
fn e5_a_stop_that_takes_long_is_answered_and_goes_on() {
    let mut world = World::with_context();
    world.asks(2, deletion("etl"));
    world.pass(ms(13_100));
    let outcome = CallOutcome::StopInProgress {
        context: context_id(1),
    };
    assert_eq!(world.answer_to(2), Some(&Answer::Call(outcome)));
    world.driver_says(
        1,
        DriverPhase::Ended {
            orderly: true,
            error: None,
        },
    );
    assert_eq!(world.ended(1).unwrap().state, ContextState::Finished);
}

#[test]
fn e1_an_engine_that_is_not_ready_in_time_is_told_to_stop() {
    let mut world = World::holder();
    world.asks(1, creation("etl"));
    world.driver_takes(1);
    world.driver_is_linked(1);
    world.pass(ms(60_100));
    assert_eq!(world.context(1).unwrap().state, ContextState::Stopping);
    world.driver_says(
        1,
        DriverPhase::Ended {
            orderly: true,
            error: None,
        },
    );
    assert_eq!(world.ended(1).unwrap().state, ContextState::Error);
    assert!(matches!(
        world.settled(1),
        Some(CallOutcome::ContextFailed { .. })
    ));
}

/// E8: counted on the holder's own clock, from the last beat; guarded by that version of `life`.
#[test]
fn e8_a_driver_that_nobody_hears_for_driver_lost_after_is_ended_under_its_life() {
    let mut world = World::with_context();
    world.pass(secs(100));
    world.driver_beats(1, 2);
    world.driver_is_gone();
    world.pass(ms(299_800));
    assert!(is_running(&world, 1));
    world.forget();
    world.pass(ms(400));
    let end = ops(&[
        "check singleton@0",
        "check life/CTX@2",
        "put owner/CTX@1",
        "put context/CTX@1",
    ]);
    assert_eq!(owner_writes(&world)[0], end);
    assert_eq!(world.ended(1).unwrap().state, ContextState::Killed);
}

/// E8 †: it gave a sign of life in the store just now.
#[test]
fn e8_an_end_by_time_is_void_when_the_driver_gave_a_sign_of_life() {
    let mut world = World::with_context();
    world.driver_is_gone();
    world.hold(layout().owner(&context_id(1)));
    world.pass(ms(300_200));
    assert_eq!(world.held().len(), 1);
    world.watched = false;
    world.driver_is_ready(1);
    world.let_go(Say::Commit);
    world.pass(secs(1));
    assert!(is_running(&world, 1));
    assert_eq!(world.owner(1).owner, Some(owner()));
}

/// E8: the holder counts from when it saw `life` change, too.
#[test]
fn e8_a_driver_that_stamps_its_life_is_not_lost() {
    let mut world = World::with_context();
    world.driver_is_gone();
    for _ in 0..20 {
        world.pass(secs(60));
        world.driver_is_ready(1);
    }
    assert!(is_running(&world, 1));
    world.pass(ms(299_800));
    assert!(is_running(&world, 1));
    world.pass(ms(400));
    assert_eq!(world.ended(1).unwrap().state, ContextState::Killed);
}

/// E8: and from its own take-over.
#[test]
fn e8_a_new_holder_counts_from_its_take_over() {
    let mut world = launched_by_another();
    world.driver_takes(1);
    world.driver_is_ready(1);
    world.pass(secs(290));
    world.takes_office(&s(2));
    world.pass(secs(299));
    assert!(world.ended(1).is_none());
    world.pass(secs(2));
    assert!(world.ended(1).is_some());
}

/// E8: whoever hears it keeps it alive, however long.
#[test]
fn e8_a_linked_driver_is_never_lost() {
    let mut world = World::with_context();
    world.pass(secs(3_000));
    assert!(is_running(&world, 1));
    assert_eq!(world.effects, []);
}

fn confirmed(world: &World) -> Vec<u64> {
    let all = world.sent.iter().filter_map(|(to, message)| match message {
        Message::DriverHeard { sequence, .. } if *to == driver() => Some(*sequence),
        _ => None,
    });
    all.collect()
}

#[test]
fn e8_a_server_with_the_store_confirms_that_it_hears_a_driver_and_names_the_roster() {
    let mut world = World::member(2, &[1, 2, 3], 1);
    world.driver_beats(1, 7);
    let servers = vec![s(1), s(2), s(3)];
    let message = Message::DriverHeard {
        sequence: 7,
        servers,
    };
    assert!(world.sent.contains(&(driver(), message)));
}

/// E8 †: only while it has the store or is connected with the holder.
#[test]
fn e8_a_server_without_store_confirms_only_while_it_is_connected_with_the_holder() {
    let mut world = World::member(2, &[1, 2, 3], 1);
    world.store_away = true;
    world.pass(secs(2));
    world.driver_beats(1, 1);
    assert_eq!(confirmed(&world), [1]);
    world.peer(&s(1)).hears.remove(&s(2));
    world.pass(ms(200));
    world.driver_beats(1, 2);
    assert_eq!(confirmed(&world), [1], "the holder does not hear it");
    world.peer(&s(1)).hears.insert(s(2));
    world.silence(&s(1));
    world.pass(secs(6));
    world.driver_beats(1, 3);
    assert_eq!(confirmed(&world), [1], "the holder is not heard");
}

/// E8 †: a holder without store, whom nobody replaced, is connected with itself.
#[test]
fn e8_a_server_that_is_not_listed_confirms_nothing() {
    let mut world = World::newcomer(&s(3), &[1, 2], 1);
    world.driver_beats(1, 1);
    assert_eq!(confirmed(&world), [0; 0]);
}

/// E9: shown with their status, without age, and in nobody's ring.
#[test]
fn e9_drivers_are_shown_as_members_without_a_vote() {
    let mut world = World::with_context();
    let view = world.server.view(world.now);
    let shown: Vec<_> = view
        .members
        .iter()
        .filter(|one| one.role == Role::Driver)
        .collect();
    assert_eq!(shown.len(), 1);
    assert_eq!((&shown[0].identity, shown[0].age), (&driver(), None));
    assert_eq!((view.leader, view.holder), (Some(s(1)), Some(s(1))));
    assert!(world.plan.targets.is_empty());
    world.driver_is_gone();
    let view = world.server.view(world.now);
    assert!(view.members.iter().all(|one| one.role == Role::Server));
    assert_eq!(world.listed(), [s(1)]);
}
