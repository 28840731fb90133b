//! How records are written: fences, guards, unknown outcomes, intents, bounds, records
//! that cannot be read (protocol.md W2 to W7; B1, B2). Each rule's own guards are tested where the rule
//! is; unknown fields in `newer.rs`.

use super::estate::{call_id, context_id, creation, deletion, job, job_key};
use super::hands::text;
use super::world::{Say, World, layout, ms, s, secs};
use crate::input::{Input, LinkEvent};
use crate::output::Effect;
use crate::records::call::CallState;
use crate::records::context::{ContextState, DriverPhase};
use crate::records::job::{JobState, Payload};
use crate::records::key;
use crate::records::singleton::{ChallengeRecord, SplitRecord};
use crate::records::transaction::{Change, TRANSACTION_BYTES_MAX};

/// W2: from a creation to its end, every write of the holder carries the fence on the office.
#[test]
fn w2_every_deciding_write_of_the_holder_carries_the_fence() {
    let mut world = World::with_context();
    world.puts_job(1, JobState::Running);
    world.asks(2, deletion("etl"));
    world.others_call(3, deletion("none"));
    world.driver_says(
        1,
        DriverPhase::Ended {
            orderly: true,
            error: None,
        },
    );
    world.pass(secs(3));
    let gateways = [layout().call(&call_id(2))];
    let all = world.commits.iter().map(|(one, _)| one);
    let created = |key: &crate::records::key::Key| gateways.contains(key);
    let decided: Vec<_> = all
        .filter(|one| {
            let first = one.operations.last().unwrap();
            !(created(first.key()) && one.operations.len() == 2)
        })
        .map(text)
        .collect();
    assert!(decided.len() > 5, "{decided:?}");
    for one in decided {
        assert_eq!(one[0], "check singleton@0", "{one:?}");
    }
}

/// W3 †: owner and life are cleared in place, and go only with their context.
#[test]
fn w3_owner_and_life_are_deleted_only_with_their_context() {
    let mut world = World::with_context();
    world.puts_job(1, JobState::Running);
    world.driver_says(
        1,
        DriverPhase::Ended {
            orderly: false,
            error: None,
        },
    );
    for (one, _) in &world.commits {
        let one = text(one);
        let deletes = |what: &str| {
            one.iter()
                .any(|op| op.starts_with(&format!("delete {what}/")))
        };
        assert_eq!(deletes("owner"), deletes("context"), "{one:?}");
        assert_eq!(deletes("life"), deletes("context"), "{one:?}");
    }
    assert_eq!(world.ended(1).unwrap().state, ContextState::Killed);
}

/// W3 †: a guard on a deletable record (the name, whose versions start over) goes with one on its
/// context: the same name, made again by another context, is not the one that was seen.
#[test]
fn w3_a_name_that_was_made_again_does_not_pass_for_the_one_that_was_seen() {
    let mut world = World::with_context();
    world.hold(layout().call(&call_id(2)));
    world.others_call(2, creation("etl"));
    world.watched = false;
    world.other(|one| {
        one.delete_any(layout().context_name("etl"))
            .delete_any(layout().context(&context_id(1)))
    });
    let name = crate::records::context::NameRecord {
        context: context_id(8),
        rest: Default::default(),
    };
    let key = layout().context_name("etl");
    world.other(|one| one.create(key, crate::records::encode(&name)));
    world.answer_held(Say::Commit);
    assert_eq!(
        world.settled(2),
        None,
        "the name is there, in the version seen; its context is not"
    );
}

/// W4: an acceptance whose answer was lost is found by reading, and launched once.
#[test]
fn w4_an_acceptance_whose_answer_was_lost_is_launched_once() {
    let mut world = World::holder();
    world.hold(layout().context(&context_id(1)));
    world.asks(1, creation("etl"));
    assert_eq!(world.launches(), [0; 0]);
    world.let_go(Say::Lost);
    world.pass(secs(5));
    assert_eq!(world.launches(), [1]);
    assert_eq!(world.written(&layout().context(&context_id(1))).len(), 1);
}

#[test]
fn w4_an_acceptance_that_was_not_committed_is_decided_anew() {
    for say in [Say::Unknown, Say::NotSent, Say::Refuse(1)] {
        let mut world = World::holder();
        world.hold(layout().context(&context_id(1)));
        world.asks(1, creation("etl"));
        world.let_go(say);
        world.pass(ms(500));
        assert_eq!(world.launches(), [1], "{say:?}");
        assert_eq!(
            world.written(&layout().context(&context_id(1))).len(),
            2,
            "{say:?}"
        );
    }
}

/// W4: the first attempt comes late, after the second: one context, one launch.
#[test]
fn w4_a_late_transaction_does_nothing_twice() {
    let mut world = World::holder();
    world.hold(layout().context(&context_id(1)));
    world.asks(1, creation("etl"));
    let late = world.commits.last().unwrap().0.clone();
    world.let_go(Say::Unknown);
    world.pass(ms(500));
    let before = world.context(1);
    let (outcome, changed) = world.store.commit(&late, world.stamp());
    assert!(changed.is_empty(), "{outcome:?}");
    assert_eq!((world.context(1), world.launches()), (before, vec![1]));
}

/// W4: the gateway's own record, written by an attempt whose answer was lost.
#[test]
fn w4_a_call_whose_answer_was_lost_is_not_written_twice() {
    let mut world = super::estate::gateway();
    world.hold(layout().call(&call_id(1)));
    world.asks(1, creation("etl"));
    world.let_go(Say::Lost);
    world.pass(secs(3));
    assert_eq!(world.call(1), Some(CallState::Open));
    assert_eq!(world.written(&layout().call(&call_id(1))).len(), 1);
    let mut world = super::estate::gateway();
    world.hold(layout().call(&call_id(1)));
    world.asks(1, creation("etl"));
    world.let_go(Say::Unknown);
    world.pass(secs(3));
    assert_eq!(world.call(1), Some(CallState::Open));
    assert_eq!(world.written(&layout().call(&call_id(1))).len(), 2);
}

/// W5: intent before effect; the number travels in the effect.
#[test]
fn w5_nothing_is_launched_before_its_intent_is_committed() {
    let mut world = World::holder();
    world.hold(layout().context(&context_id(1)));
    world.asks(1, creation("etl"));
    world.pass(secs(1));
    assert_eq!(world.effects, []);
    world.let_go(Say::Commit);
    let launched = world.effects.iter().any(|one| {
        matches!(one, Effect::Launch { context, intent }
            if intent.0 == 1 && context.intent.as_ref().unwrap().number == *intent)
    });
    assert!(launched);
}

/// W5: every intent has a higher number than all before it, ended attempts included.
#[test]
fn w5_intent_numbers_only_rise() {
    let mut world = World::with_context();
    world.asks(2, deletion("etl"));
    assert_eq!(world.context(1).unwrap().intent.unwrap().number.0, 2);
    world.hold(layout().ended(&context_id(1)));
    world.driver_says(
        1,
        DriverPhase::Ended {
            orderly: true,
            error: None,
        },
    );
    assert_eq!(world.owner(1).intent.0, 3);
}

/// W6: however many jobs end, each as large as it may be, no transaction is over the bound.
#[test]
fn w6_the_end_of_many_large_jobs_fits_into_bounded_transactions() {
    let mut world = World::with_context();
    for n in 1..=20 {
        world.puts_job(n, JobState::Running);
        let mut large = job(n, JobState::Running);
        large.config = Payload::Inline("\"".repeat(crate::records::job::INLINE_BYTES_MAX));
        world.puts(job_key(n), &large);
    }
    world.driver_says(
        1,
        DriverPhase::Ended {
            orderly: false,
            error: None,
        },
    );
    assert_eq!(world.ended(1).unwrap().state, ContextState::Killed);
    for n in 1..=20 {
        assert_eq!(world.done_job(n).unwrap().state, JobState::Error);
    }
    let largest = world
        .commits
        .iter()
        .map(|(one, _)| one.encoded_bytes())
        .max();
    assert!(largest.unwrap() <= TRANSACTION_BYTES_MAX);
}

/// W7: a record that cannot be read is reported by its key, and left as it is.
#[test]
fn w7_a_record_that_cannot_be_read_is_reported_and_left() {
    let mut world = World::with_context();
    let damaged = layout().call(&call_id(5));
    world.other(|one| one.create(damaged.clone(), "{".into()));
    let named = |event: &crate::output::ClusterEvent| matches!(event, crate::output::ClusterEvent::Warning { text } if text.contains(damaged.as_str()));
    assert!(world.events.iter().any(named));
    world.asks(6, creation("other"));
    assert!(matches!(world.call(6), Some(CallState::Accepted { .. })));
}

/// W7: nor does what cannot be read keep the host busy, or anybody decide without it.
#[test]
fn w7_records_of_the_cluster_that_cannot_be_read_are_waited_for() {
    let mut store = crate::records::model::StoreModel::new();
    super::world::cluster(&mut store, 3, &[1, 2], &s(1));
    let mut world = World::start(&s(2), store, super::world::config());
    let (split, challenge) = (layout().split(), layout().challenge());
    world.other(|one| {
        one.put_any(split.clone(), "{".into())
            .put_any(challenge.clone(), "{".into())
    });
    world.run();
    world.meets(&s(1));
    world.pass(secs(1));
    world.silence(&s(1));
    world.forget();
    world.pass(secs(40));
    assert_eq!(world.commits, []);
    world.puts(split, &SplitRecord::default());
    world.puts(challenge, &ChallengeRecord::default());
    world.pass(secs(5));
    assert_eq!((world.listed(), world.office().holder), (vec![s(2)], s(2)));
}

/// B1: watches may be lost; after every reconnect everything is read again.
#[test]
fn b1_after_a_reconnect_everything_is_read_again() {
    let mut world = World::member(1, &[1, 2], 1);
    world.watched = false;
    world.others_call(1, creation("etl"));
    world.lists(&[s(1), s(2), s(3)]);
    world.tell(Input::StoreChanged(Change::Everything));
    assert_eq!(world.server.view(world.now).generation.0, 4);
    assert!(matches!(world.call(1), Some(CallState::Accepted { .. })));
}

/// B1: an event that came while a read was under way makes one more read.
#[test]
fn b1_a_change_during_a_read_is_read_too() {
    let mut world = World::member(1, &[1, 2], 1);
    world.slow_reads = true;
    world.tell(Input::StoreChanged(Change::Record(key::cluster())));
    world.lists(&[s(1), s(2), s(3)]);
    world.release_reads();
    assert_eq!(world.server.view(world.now).generation.0, 4);
}

/// A store that is away is not hammered, whatever is left to be done.
#[test]
fn w4_a_store_that_is_away_is_asked_with_pauses() {
    let mut world = World::member(1, &[1, 2, 3], 1).runs_context();
    world.asks(2, creation("other"));
    world.others_call(3, creation("third"));
    world.puts_job(1, JobState::Running);
    world.hold(layout().call(&call_id(4)));
    world.others_call(4, deletion("none"));
    world.store_away = true;
    world.let_go(Say::NotSent);
    world.driver_is_gone();
    world.verified(1, crate::input::Verdict::Dead);
    world.asks(5, deletion("etl"));
    world.tell(Input::Link(LinkEvent::Down { peer: s(2) }));
    world.forget();
    world.pass(secs(10));
    let calls = world.commits.len() + world.queries.len();
    assert!(calls < 1_000, "{calls} store calls in 10 s");
    world.store_away = false;
    world.pass(secs(2));
    assert_eq!(world.ended(1).unwrap().state, ContextState::Killed);
}
