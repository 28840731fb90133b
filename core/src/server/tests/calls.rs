//! Calls that change contexts, and keys of idempotency (protocol.md C1 to C3, C5, C6; C4 is in
//! `deadlines.rs`).

use super::estate::{call_id, context_id, creation, deletion, gateway, key};
use super::world::{Say, World, config, layout, ms, s, secs};
use crate::input::{Command, Input, RequestId};
use crate::output::Answer;
use crate::records::call::{CallOutcome, CallState, KeyRecord};
use crate::records::context::{ContextState, DriverPhase};
use crate::records::transaction::Change;
use crate::wire::Message;

const ID: &str = "018e2b1c-5f00-7000-8000-000000000001";

fn ops(list: &[&str]) -> Vec<String> {
    list.iter().map(|one| one.replace('#', ID)).collect()
}

fn hour() -> String {
    let hour = crate::identity::hour_of(ID).unwrap();
    format!("{hour:08}")
}

fn settles(list: &[&str]) -> Vec<String> {
    let text = |one: &&str| one.replace('#', ID).replace("HOUR", &hour());
    list.iter().map(text).collect()
}

#[test]
fn c1_a_call_is_a_record_of_the_gateway_and_is_hinted_to_the_holder() {
    let mut world = gateway();
    world.asks(1, creation("etl"));
    let write = settles(&["absent settled/HOUR/#", "create call/#"]);
    assert_eq!(world.written(&layout().call(&call_id(1))), [write]);
    assert_eq!(world.call(1), Some(CallState::Open));
    let hint = Message::CallHint { call: call_id(1) };
    assert!(world.sent.contains(&(s(1), hint)));
    assert_eq!(world.answer_to(1), None, "nobody decided it yet");
}

#[test]
fn c1_the_holder_reads_the_call_at_the_hint_though_the_watch_is_silent() {
    let mut world = World::member(1, &[1, 2], 1);
    world.watched = false;
    world.others_call(1, creation("etl"));
    world.says(&s(2), Message::CallHint { call: call_id(1) });
    assert!(matches!(world.call(1), Some(CallState::Accepted { .. })));
}

#[test]
fn c1_the_holder_lists_the_calls_with_every_pulse() {
    let mut world = World::member(1, &[1, 2], 1);
    world.watched = false;
    world.others_call(1, creation("etl"));
    world.pass(ms(2_050));
    assert!(matches!(world.call(1), Some(CallState::Accepted { .. })));
}

/// C2: accepted in the transaction that writes its intents and names its object, under the fence.
#[test]
fn c2_a_creation_is_accepted_in_the_transaction_that_writes_its_intent() {
    let mut world = World::holder();
    world.asks(1, creation("etl"));
    let accept = ops(&[
        "check singleton@0",
        "create context-name/etl",
        "create context/#",
        "create owner/#",
        "create life/#",
        "put call/#@0",
    ]);
    assert_eq!(world.written(&layout().context(&context_id(1))), [accept]);
    assert_eq!(world.launches(), [1]);
    let context = world.context(1).unwrap();
    assert_eq!(context.intent.unwrap().number.0, 1);
    assert_eq!(world.answer_to(1), None);
}

#[test]
fn c2_a_creation_is_settled_when_its_context_runs() {
    let mut world = World::holder();
    world.asks(1, creation("etl"));
    world.driver_takes(1);
    world.forget();
    world.driver_is_ready(1);
    let settle = settles(&[
        "check singleton@0",
        "check owner/#@1",
        "put context/#@0",
        "delete call/#@1",
        "create settled/HOUR/#",
    ]);
    assert_eq!(world.written(&layout().context(&context_id(1))), [settle]);
    let outcome = CallOutcome::ContextCreated {
        context: context_id(1),
    };
    assert_eq!(world.answer_to(1), Some(&Answer::Call(outcome.clone())));
    assert_eq!((world.call(1), world.settled(1)), (None, Some(outcome)));
}

/// C2, W3 †: a refusal is settled at once, and guarded by everything that it rests on.
#[test]
fn c2_a_refused_creation_is_guarded_by_the_name_and_the_context_that_refuse_it() {
    let mut world = World::with_context();
    world.others_call(2, creation("etl"));
    let refusal = &world.written(&layout().call(&call_id(2)))[0];
    let guards = ops(&[
        "check singleton@0",
        "check context-name/etl@0",
        "check context/#@1",
    ]);
    assert_eq!(refusal[..3], guards);
    assert_eq!(world.settled(2), Some(CallOutcome::ContextExists));
}

#[test]
fn c2_a_refused_deletion_is_guarded_by_the_absence_of_the_name() {
    let mut world = World::holder();
    world.others_call(1, deletion("etl"));
    let refusal = settles(&[
        "check singleton@0",
        "absent context-name/etl",
        "delete call/#@0",
        "create settled/HOUR/#",
    ]);
    assert_eq!(world.written(&layout().call(&call_id(1))), [refusal]);
    assert_eq!(world.settled(1), Some(CallOutcome::ContextNotFound));
}

/// W3 †: the context that the refusal rests on ended meanwhile.
#[test]
fn w3_a_refusal_is_void_when_what_it_was_decided_from_changed() {
    let mut world = World::with_context();
    world.hold(layout().call(&call_id(2)));
    world.others_call(2, creation("etl"));
    world.watched = false;
    let orderly = true;
    world.driver_says(
        1,
        DriverPhase::Ended {
            orderly,
            error: None,
        },
    );
    world.watched = true;
    let life = layout().life(&context_id(1));
    world.tell(Input::StoreChanged(Change::Record(life)));
    assert_eq!(world.ended(1).unwrap().state, ContextState::Finished);
    world.let_go(Say::Commit);
    world.pass(ms(500));
    assert!(
        matches!(world.call(2), Some(CallState::Accepted { .. })),
        "decided again"
    );
}

/// W3 †, the other way round: a name that was absent is there now.
#[test]
fn w3_a_refused_deletion_is_void_when_the_name_appeared() {
    let mut world = World::holder();
    world.hold(layout().call(&call_id(1)));
    world.others_call(1, deletion("etl"));
    assert_eq!(world.held().len(), 1);
    let name = crate::records::context::NameRecord {
        context: context_id(9),
        rest: Default::default(),
    };
    let key = layout().context_name("etl");
    world.other(|one| one.create(key, crate::records::encode(&name)));
    world.let_go(Say::Commit);
    assert_eq!(
        (world.call(1), world.settled(1)),
        (Some(CallState::Open), None)
    );
}

/// Each refusal carries its guards, so that a slow store is no queue for a name that is in demand.
#[test]
fn c2_refusals_of_one_name_do_not_wait_for_each_other() {
    let mut world = World::holder();
    for number in 1..=3 {
        world.hold(layout().call(&call_id(number)));
        world.others_call(number, deletion("etl"));
    }
    assert_eq!(world.held().len(), 3);
}

#[test]
fn c2_what_follows_a_change_of_the_name_waits_for_its_outcome() {
    let mut world = World::holder();
    world.hold(layout().call(&call_id(1)));
    world.others_call(1, creation("etl"));
    world.hold(layout().call(&call_id(2)));
    world.others_call(2, creation("etl"));
    world.others_call(3, creation("other"));
    assert_eq!(world.held().len(), 1);
    assert!(matches!(world.call(3), Some(CallState::Accepted { .. })));
    world.let_go(Say::Commit);
    assert!(matches!(world.call(1), Some(CallState::Accepted { .. })));
    assert_eq!(world.settled(2), Some(CallOutcome::ContextExists));
}

#[test]
fn c2_a_new_holder_resumes_accepted_calls() {
    let mut world = World::member(2, &[1, 2, 3], 1);
    world.asks(1, creation("etl"));
    // The old holder accepted it, and its driver is ready; then the office moves here.
    let mut old = World::holder();
    old.asks(1, creation("etl"));
    let accepted: Vec<_> = old
        .store
        .records()
        .filter(|(key, _)| key.as_str().contains(ID) || key.as_str().contains("context-name"))
        .map(|(key, stored)| (key.clone(), stored.value.clone()))
        .collect();
    let call = layout().call(&call_id(1));
    world.other(|mut one| {
        for (key, value) in accepted {
            one = if key == call {
                one.put_any(key, value)
            } else {
                one.create(key, value)
            };
        }
        one
    });
    world.driver_takes(1);
    world.driver_is_ready(1);
    assert_eq!(world.answer_to(1), None);
    world.takes_office(&s(2));
    let outcome = CallOutcome::ContextCreated {
        context: context_id(1),
    };
    assert_eq!(world.answer_to(1), Some(&Answer::Call(outcome)));
}

/// C3: the name goes with the context's own transactions.
#[test]
fn c3_a_name_is_held_while_its_context_is_not_final() {
    let mut world = World::with_context();
    assert_eq!(world.keys_with("context-name/"), ["c/one/context-name/etl"]);
    world.asks(2, deletion("etl"));
    assert_eq!(
        world.keys_with("context-name/").len(),
        1,
        "it stops, and holds its name"
    );
    world.driver_says(
        1,
        DriverPhase::Ended {
            orderly: true,
            error: None,
        },
    );
    assert_eq!(world.keys_with("context-name/"), [""; 0]);
    let outcome = CallOutcome::ContextStopped {
        context: context_id(1),
    };
    assert_eq!(world.answer_to(2), Some(&Answer::Call(outcome)));
    world.asks(3, creation("etl"));
    assert_eq!(world.keys_with("context-name/").len(), 1);
}

/// C2, W3 †: the stop is guarded by the owner whose driver it tells, the answer by the stopping
/// context.
#[test]
fn c2_a_second_deletion_answers_that_the_stop_is_under_way() {
    let mut world = World::with_context();
    world.others_call(2, deletion("etl"));
    let stop = [
        "check singleton@0",
        "check owner/#@1",
        "put context/#@1",
        "put call/018e2b1c-5f00-7000-8000-000000000002@0",
    ];
    assert_eq!(
        world.written(&layout().context(&context_id(1))),
        [ops(&stop)]
    );
    world.others_call(3, deletion("etl"));
    let answer = &world.written(&layout().call(&call_id(3)))[0];
    assert_eq!(
        answer[..2],
        ops(&["check singleton@0", "check context/#@2"])
    );
    let outcome = CallOutcome::StopInProgress {
        context: context_id(1),
    };
    assert_eq!(world.settled(3), Some(outcome));
}

fn key_of(world: &World) -> Option<KeyRecord> {
    world.get(&layout().idempotency("ab1")).map(|one| one.value)
}

#[test]
fn c5_a_key_is_created_with_its_call_and_kept_by_success() {
    let mut world = World::holder();
    world.asks_with(1, creation("etl"), key("ab1", "body"), secs(30));
    assert_eq!(key_of(&world).unwrap().request, "body");
    world.driver_takes(1);
    world.driver_is_ready(1);
    assert!(key_of(&world).is_some());
    world.asks_with(2, creation("etl"), key("ab1", "body"), secs(30));
    assert_eq!(
        world.answer_to(2),
        world.answer_to(1),
        "the same call, asked again"
    );
    assert_eq!((world.call(2), world.settled(2)), (None, None));
}

#[test]
fn c5_another_body_under_the_same_key_is_refused() {
    let mut world = World::holder();
    world.asks_with(1, creation("etl"), key("ab1", "body"), secs(30));
    world.asks_with(2, creation("etl"), key("ab1", "other"), secs(30));
    assert_eq!(world.answer_to(2), Some(&Answer::KeyMismatch));
    assert_eq!(world.call(2), None);
}

#[test]
fn c5_a_refusal_and_an_expiry_delete_the_key_in_the_settling_transaction() {
    let mut world = World::holder();
    world.asks_with(1, deletion("etl"), key("ab1", "body"), secs(30));
    assert_eq!(
        world.answer_to(1),
        Some(&Answer::Call(CallOutcome::ContextNotFound))
    );
    assert_eq!(key_of(&world), None);
    let mut world = gateway();
    world.asks_with(1, deletion("etl"), key("ab1", "body"), secs(30));
    assert!(key_of(&world).is_some());
    world.pass(secs(31));
    assert_eq!(key_of(&world), None);
}

/// C5: a key that was cleaned up does not keep its call from being settled.
#[test]
fn c5_a_call_whose_key_is_gone_is_settled_all_the_same() {
    let mut world = World::holder();
    world.hold(layout().context_name("etl"));
    world.hold(layout().settled(&call_id(1)));
    world.asks_with(1, deletion("etl"), key("ab1", "body"), secs(30));
    world.other(|one| one.delete_any(layout().idempotency("ab1")));
    world.let_go(Say::Commit);
    world.pass(ms(500));
    assert_eq!(world.settled(1), Some(CallOutcome::ContextNotFound));
}

#[test]
fn c6_a_gateway_that_is_full_refuses_at_once_and_writes_nothing() {
    let mut config = config();
    config.limits.held_max = 2;
    let mut world = World::member_with(2, &[1, 2], 1, config);
    world.asks(1, creation("a"));
    world.asks(2, creation("b"));
    world.forget();
    world.asks(3, creation("c"));
    let limit = "2 requests held by this server".to_owned();
    assert_eq!(world.answer_to(3), Some(&Answer::TooMany { limit }));
    assert_eq!(world.commits, []);
    let request = RequestId(1);
    world.tell(Input::Command(Command::Forget { request }));
    world.asks(4, creation("d"));
    assert_eq!(
        (world.answer_to(4), world.call(4)),
        (None, Some(CallState::Open))
    );
}

/// C1: `call/` is bounded; what comes beyond the bound is settled at once.
#[test]
fn c1_calls_beyond_the_bound_of_the_cluster_are_refused() {
    let mut config = config();
    config.limits.calls_max = 2;
    let mut world = World::member_with(1, &[1], 1, config);
    for n in 1..=3 {
        world.asks(n, creation(&format!("etl-{n}")));
    }
    let limit = "2 open calls".to_owned();
    assert_eq!(
        world.answer_to(3),
        Some(&Answer::Call(CallOutcome::TooMany { limit }))
    );
    assert_eq!((world.answer_to(1), world.answer_to(2)), (None, None));
}

#[test]
fn c2_a_limit_of_the_cluster_refuses_a_creation() {
    let mut config = config();
    config.limits.contexts_max = 1;
    let mut world = World::member_with(1, &[1], 1, config).runs_context();
    world.asks(2, creation("other"));
    let limit = "1 live contexts".to_owned();
    assert_eq!(
        world.answer_to(2),
        Some(&Answer::Call(CallOutcome::TooMany { limit }))
    );
}
