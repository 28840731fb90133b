//! Deadlines of calls, by the store's clock (protocol.md C4; Terms: stamp).

use super::estate::{call_id, context_id, creation, deletion, gateway, key};
use super::world::{Say, World, layout, ms, s, secs};
use crate::input::Input;
use crate::output::Answer;
use crate::records::call::{CallOutcome, CallRecord, CallState, KeyObject, KeyRecord};
use crate::records::encode;
use crate::records::transaction::ReadOutcome;

const ID: &str = "018e2b1c-5f00-7000-8000-000000000001";

fn settles(list: &[&str]) -> Vec<String> {
    let hour = format!("{:08}", crate::identity::hour_of(ID).unwrap());
    let text = |one: &&str| one.replace('#', ID).replace("HOUR", &hour);
    list.iter().map(text).collect()
}

/// C4 †: an open call past its deadline is expired, guarded by its version.
#[test]
fn c4_an_open_call_past_its_deadline_is_expired_under_its_version() {
    let mut world = gateway();
    world.asks(1, creation("etl"));
    world.pass(ms(29_990));
    assert_eq!(world.answer_to(1), None);
    world.forget();
    world.pass(ms(20));
    let expire = settles(&["delete call/#@0", "create settled/HOUR/#"]);
    assert_eq!(world.written(&layout().call(&call_id(1))), [expire]);
    assert_eq!(
        world.answer_to(1),
        Some(&Answer::Call(CallOutcome::Expired))
    );
}

/// C4 †: the holder accepted it in the last moment.
#[test]
fn c4_a_call_that_is_accepted_in_the_last_moment_does_not_expire() {
    let mut world = gateway();
    world.hold(layout().settled(&call_id(1)));
    world.asks(1, creation("etl"));
    world.pass(ms(30_010));
    assert_eq!(world.held().len(), 1);
    world.watched = false;
    accepts(&mut world);
    world.let_go(Say::Commit);
    let context = context_id(1);
    assert_eq!(
        world.answer_to(1),
        Some(&Answer::CallInProgress { context })
    );
    assert!(matches!(world.call(1), Some(CallState::Accepted { .. })));
}

fn accepts(world: &mut World) {
    let key = layout().call(&call_id(1));
    let mut record: CallRecord = world.get(&key).unwrap().value;
    let until = world.stamp();
    record.progress = CallState::Accepted {
        context: context_id(1),
        until,
    };
    world.puts(key, &record);
}

/// C4: an accepted call does not expire; the gateway says so and names the object.
#[test]
fn c4_an_accepted_call_past_its_deadline_is_in_progress_and_stays() {
    let mut world = gateway();
    world.asks(1, creation("etl"));
    accepts(&mut world);
    world.forget();
    world.pass(secs(31));
    let context = context_id(1);
    assert_eq!(
        world.answer_to(1),
        Some(&Answer::CallInProgress { context })
    );
    assert!(matches!(world.call(1), Some(CallState::Accepted { .. })));
    assert_eq!(world.written(&layout().call(&call_id(1))), [[""; 0]; 0]);
}

#[test]
fn c4_without_the_store_the_outcome_is_unknown() {
    let mut world = gateway();
    world.asks(1, creation("etl"));
    world.store_away = true;
    world.pass(secs(32));
    assert_eq!(world.answer_to(1), Some(&Answer::Unknown));
    assert_eq!(world.call(1), Some(CallState::Open));
    let mut never = gateway();
    never.store_away = true;
    never.asks(1, creation("etl"));
    never.pass(secs(32));
    assert_eq!(
        (never.answer_to(1), never.call(1)),
        (Some(&Answer::Unknown), None)
    );
}

/// W4: an expiry whose answer was lost is not claimed to have happened.
#[test]
fn c4_an_expiry_of_unknown_outcome_is_answered_as_unknown() {
    let mut world = gateway();
    world.hold(layout().settled(&call_id(1)));
    world.asks(1, creation("etl"));
    world.pass(ms(30_010));
    world.let_go(Say::Unknown);
    assert_eq!(world.answer_to(1), Some(&Answer::Unknown));
}

/// The record says what is left when it is written, so that a late one ends with its request.
#[test]
fn c4_a_call_that_is_written_late_has_the_rest_of_its_time() {
    let mut world = gateway();
    world.store_away = true;
    world.asks(1, creation("etl"));
    world.pass(secs(20));
    world.store_away = false;
    world.pass(secs(1));
    let record = world
        .get::<CallRecord>(&layout().call(&call_id(1)))
        .unwrap();
    assert!((9_000..=10_000).contains(&record.value.deadline_ms));
    world.pass(ms(9_500));
    assert_eq!(
        world.answer_to(1),
        Some(&Answer::Call(CallOutcome::Expired))
    );
}

#[test]
fn c4_a_call_is_decided_within_the_time_that_its_client_waits() {
    for (wait, deadline) in [(secs(5), 5_000), (secs(60), 30_000), (secs(0), 30_000)] {
        let mut world = gateway();
        world.asks_with(1, creation("etl"), None, wait);
        let record = world
            .get::<CallRecord>(&layout().call(&call_id(1)))
            .unwrap();
        assert_eq!(record.value.deadline_ms, deadline);
        world.pass(ms(deadline - 10));
        assert_eq!((world.answer_to(1), world.settled(1)), (None, None));
        world.pass(ms(20));
        assert_eq!(world.settled(1), Some(CallOutcome::Expired));
    }
}

/// C4 †: the own clock does not expire a call; by the store's it has time left, and is left open.
#[test]
fn c4_a_gateway_expires_nothing_before_the_stores_clock_is_past_the_deadline() {
    for (late, expires) in [(ms(500), true), (secs(10), false)] {
        let mut world = gateway();
        world.asks(1, creation("etl"));
        world.store_clock -= u64::try_from(late.as_millis()).unwrap();
        world.pass(ms(30_010));
        assert_eq!((world.answer_to(1), world.settled(1)), (None, None));
        world.pass(ms(1_700));
        let answer = if expires {
            Answer::Call(CallOutcome::Expired)
        } else {
            Answer::Unknown
        };
        assert_eq!(world.answer_to(1), Some(&answer));
        assert_eq!(world.settled(1).is_some(), expires);
    }
}

/// C5: a key that was cleaned up does not keep its call from expiring.
#[test]
fn c4_a_call_whose_key_is_gone_expires_all_the_same() {
    let mut world = gateway();
    world.asks_with(1, creation("etl"), key("ab1", "body"), secs(30));
    world.other(|one| one.delete_any(layout().idempotency("ab1")));
    world.pass(secs(31));
    assert_eq!(world.settled(1), Some(CallOutcome::Expired));
}

/// A server that does not hold the office, in whose cluster nobody decides.
fn undecided(n: u64) -> World {
    let mut world = World::member(2, &[1, 2], 1);
    world.others_call(n, creation("etl"));
    let mut record = world
        .get::<CallRecord>(&layout().call(&call_id(n)))
        .unwrap()
        .value;
    record.key = Some("ab1".into());
    world.other(|one| {
        one.delete_any(layout().call(&call_id(n)))
            .create(layout().call(&call_id(n)), encode(&record))
            .create(
                layout().idempotency("ab1"),
                encode(&KeyRecord {
                    request: "body".into(),
                    object: KeyObject::Call(call_id(n)),
                    rest: Default::default(),
                }),
            )
    });
    world.forget();
    world
}

/// C4, C5: its gateway is dead, and nobody decided it: the holder expires it, and frees its key.
#[test]
fn c4_the_holder_expires_the_open_calls_of_dead_gateways_and_decides_them_no_more() {
    let mut world = undecided(1);
    world.pass(secs(31));
    assert_eq!(world.call(1), Some(CallState::Open));
    world.takes_office(&s(2));
    let expire = settles(&[
        "check singleton@1",
        "delete call/#@0",
        "create settled/HOUR/#",
        "delete key/ab/ab1@0",
    ]);
    assert_eq!(world.written(&layout().call(&call_id(1))), [expire]);
    assert_eq!(world.settled(1), Some(CallOutcome::Expired));
    assert_eq!(world.keys_with("key/ab"), [""; 0]);
    assert_eq!((world.context(1), world.launches()), (None, vec![]));
}

#[test]
fn c4_the_holder_accepts_an_open_call_that_has_time_left() {
    let mut world = undecided(1);
    world.pass(secs(29));
    world.takes_office(&s(2));
    assert!(matches!(world.call(1), Some(CallState::Accepted { .. })));
}

/// C4: a call that the holder cannot decide in time, since its context is busy.
#[test]
fn c4_the_holder_expires_a_call_that_it_could_not_decide_in_time() {
    let mut world = World::with_context();
    world.hold(layout().context(&context_id(1)));
    world.others_call(2, deletion("etl"));
    assert_eq!(world.held().len(), 1, "this stop is under way");
    world.others_call(3, deletion("etl"));
    world.pass(ms(29_900));
    assert_eq!(
        (world.call(3), world.settled(3)),
        (Some(CallState::Open), None)
    );
    world.pass(ms(200));
    world.let_go(Say::NotSent);
    world.pass(secs(3));
    for n in [2, 3] {
        assert_eq!(world.settled(n), Some(CallOutcome::Expired), "call {n}");
    }
    assert_eq!(world.context(1).unwrap().intent, None, "nothing was begun");
}

/// C4 †: guarded by its version: another one settled it first.
#[test]
fn c4_an_expiry_of_the_holder_is_void_when_the_call_was_changed() {
    let mut world = undecided(1);
    world.pass(secs(31));
    world.hold(layout().settled(&call_id(1)));
    world.takes_office(&s(2));
    world.watched = false;
    accepts(&mut world);
    world.let_go(Say::Commit);
    assert!(matches!(world.call(1), Some(CallState::Accepted { .. })));
    assert_eq!(world.settled(1), None);
}

/// Terms: a stamp that steps back delays, also what was written before it, but expires nothing.
#[test]
fn c4_a_store_whose_clock_steps_back_goes_on_having_its_calls_decided() {
    let mut world = World::member(1, &[1, 2], 1);
    world.pass(secs(5));
    world.store_clock -= 3_600_000;
    world.pass(secs(5));
    world.others_call(1, creation("etl"));
    assert!(matches!(world.call(1), Some(CallState::Accepted { .. })));
    let mut world = undecided(2);
    world.store_clock -= 20_000;
    world.pass(secs(40));
    world.takes_office(&s(2));
    assert!(matches!(world.call(2), Some(CallState::Accepted { .. })));
}

/// Terms: one that leaps is believed only after a second answer confirms it.
#[test]
fn c4_one_stamp_that_leaps_expires_nothing() {
    let mut world = undecided(1);
    world.slow_reads = true;
    world.takes_office(&s(2));
    // The read that shows the office is of a clock that is an hour ahead; what follows is not.
    let leaps = world.slow.len() - 1;
    let Input::Read {
        outcome: ReadOutcome::Snapshot(found),
        ..
    } = &mut world.slow[leaps]
    else {
        panic!("no read is under way");
    };
    found.stamp.0 += 3_600_000;
    world.release_reads();
    assert!(matches!(world.call(1), Some(CallState::Accepted { .. })));
}
