//! W4, J4, B1: the store answers late, twice, or not at all.

use super::world::{Answers, World, context, job, job_id};
use crate::input::Input;
use crate::output::ClusterEvent;
use crate::records::job::{JobState, Payload};
use crate::records::transaction::{Change, CommitOutcome};
use std::time::Duration;

#[test]
fn a_lost_answer_does_not_finish_a_job_twice() {
    let mut world = World::ready(&context());
    world.submit(&job(1));
    world.running(1);
    world.answers = Answers::Lost;
    world.finish(1, "1");
    world.answers = Answers::AtOnce;
    world.pass(Duration::from_secs(2));
    let done = world.layout.done(&job_id(1));
    let ends = |operation: &&crate::records::transaction::Operation| *operation.key() == done;
    let all = world.commits.iter().flat_map(|(one, _)| &one.operations);
    assert_eq!(all.filter(ends).count(), 1);
    assert_eq!(world.done(1).unwrap().state, JobState::Finished);
    (2..=9).for_each(|number| world.submit(&job(number)));
    assert_eq!(world.started().len(), 9, "its slot is free");
}

#[test]
fn a_lost_answer_to_running_and_to_ready_does_no_harm() {
    let mut world = World::launched(&context());
    world.run();
    world.submit(&job(1));
    world.answers = Answers::Lost;
    world.report(crate::input::EffectReport::EngineReady {
        application_id: None,
        url: None,
    });
    world.answers = Answers::AtOnce;
    world.pass(Duration::from_secs(1));
    world.answers = Answers::Lost;
    world.running(1);
    world.answers = Answers::AtOnce;
    world.pass(Duration::from_secs(1));
    assert_eq!(world.open(1).unwrap().state, JobState::Running);
    assert_eq!(
        world.commits.len(),
        3,
        "taken, ready, running: {:?}",
        world.commits
    );
    world.finish(1, "1");
    assert_eq!(world.done(1).unwrap().state, JobState::Finished);
}

#[test]
fn the_store_is_away_for_a_minute() {
    let mut world = World::ready(&context());
    world.submit(&job(1));
    world.submit(&job(2));
    world.running(1);
    world.running(2);
    world.answers = Answers::Away;
    world.finish(1, "one");
    world.pass(Duration::from_secs(60));
    let tries = world
        .commits
        .iter()
        .filter(|(_, outcome)| matches!(outcome, CommitOutcome::NotSent { .. }))
        .count();
    assert!((50..=150).contains(&tries), "{tries} tries in a minute");
    assert_eq!(world.stop, None);
    // It is back, but what it says first is not yet that the end is stored.
    world.answers = Answers::Held;
    world.submit(&job(3));
    world.pass(Duration::from_secs(1));
    assert!(
        !world.started().contains(&job_id(3)),
        "no new job before the end is stored"
    );
    world.release();
    world.pass(Duration::from_secs(1));
    assert_eq!(
        world.done(1).unwrap().result,
        Some(Payload::Inline("one".into()))
    );
    assert_eq!(world.started().last(), Some(&job_id(3)));
    let reachable: Vec<bool> = world
        .events
        .iter()
        .filter_map(|event| match event {
            ClusterEvent::StoreReachable { reachable } => Some(*reachable),
            _ => None,
        })
        .collect();
    assert_eq!(reachable, [false, true]);
}

#[test]
fn a_burst_of_events_makes_one_more_read() {
    let mut world = World::ready(&context());
    let before = world.reads;
    let jobs = world.layout.jobs(&super::world::context_id());
    let key = jobs.child("x");
    // The first starts a read; the others arrive before its answer is told.
    let driver = &mut world.driver;
    for _ in 0..20 {
        let change = Change::Record(key.clone());
        driver.handle(world.now, Input::StoreChanged(change));
    }
    world.run();
    assert_eq!(world.reads - before, 2);
}

#[test]
fn a_job_whose_event_was_lost_is_found_within_ten_seconds() {
    let mut world = World::ready(&context());
    world.watched = false;
    world.submit(&job(1));
    assert!(world.started().is_empty());
    world.pass(Duration::from_secs(10));
    assert_eq!(world.started(), [job_id(1)]);
    world.submit(&job(2));
    world.tell(Input::StoreChanged(Change::Everything));
    assert_eq!(world.started().len(), 2);
    world.submit(&job(3));
    world.tell(Input::Message {
        from: super::world::server(1),
        message: crate::wire::Message::JobHint {
            context: super::world::context_id(),
            job: job_id(3),
        },
    });
    assert_eq!(world.started().len(), 3);
}

#[test]
fn an_old_listing_does_not_bring_a_finished_job_back() {
    let mut world = World::ready(&context());
    world.submit(&job(1));
    world.slow_reads = true;
    world.tell(Input::StoreChanged(Change::Everything));
    world.finish(1, "1");
    assert!(world.done(1).is_some());
    world.release();
    assert_eq!(world.started(), [job_id(1)]);
    assert_eq!(world.done(1).unwrap().state, JobState::Finished);
}

#[test]
fn a_transaction_that_arrives_late_does_not_finish_a_job_twice() {
    let mut world = World::ready(&context());
    world.submit(&job(1));
    world.running(1);
    world.answers = Answers::Late;
    world.finish(1, "1");
    assert_eq!(world.done(1), None);
    world.pass(Duration::from_secs(2));
    world.release();
    world.pass(Duration::from_secs(2));
    let done = world.layout.done(&job_id(1));
    let created = world.commits.iter().filter(|(transaction, outcome)| {
        matches!(outcome, CommitOutcome::Committed { .. })
            && transaction.operations.iter().any(|one| *one.key() == done)
    });
    assert_eq!(created.count(), 1);
    assert_eq!(world.done(1).unwrap().state, JobState::Finished);
    assert_eq!(world.open(1), None);
}

#[test]
fn a_transaction_that_never_arrives_is_sent_again() {
    let mut world = World::ready(&context());
    world.submit(&job(1));
    world.answers = Answers::Dropped;
    world.running(1);
    world.finish(1, "1");
    world.pass(Duration::from_secs(5));
    assert_eq!(world.open(1).unwrap().state, JobState::Submitted);
    world.answers = Answers::AtOnce;
    world.pass(Duration::from_secs(2));
    assert_eq!(world.done(1).unwrap().state, JobState::Finished);
}
