//! How contexts end (lifecycle.md 8, 9; rest-api.md 6.2), and how fences are lost (W1).

use super::world::{Answers, World, context, job, job_id};
use crate::config::Config;
use crate::identity::Incarnation;
use crate::input::{Command, EffectReport, Input};
use crate::output::{Effect, StopReason};
use crate::records::context::{ContextRecord, ContextState, DriverPhase, IntentNumber};
use crate::records::job::{JobError, JobRefusal, JobState};
use crate::records::transaction::CommitOutcome;
use std::time::Duration;

fn ended(orderly: bool, message: Option<&str>, phase: &DriverPhase) -> bool {
    match phase {
        DriverPhase::Ended { orderly: o, error } => {
            *o == orderly && error.as_ref().map(|one| one.message.as_str()) == message
        }
        _ => false,
    }
}

#[test]
fn a_stop_ends_running_jobs_with_the_right_words() {
    let mut world = World::ready(&context());
    world.submit(&job(1));
    world.submit(&job(2));
    world.running(1);
    world.change_context(|one| one.state = ContextState::Stopping);
    assert_eq!(world.count(&Effect::StopEngine), 1);
    world.submit(&job(3));
    let refusal = JobRefusal::ContextStopping;
    let refused = JobState::Refused { refusal };
    assert_eq!(world.open(3).unwrap().state, refused);
    // What its end makes a job report is not why the job ended.
    let error = JobError::new("py4j.Py4JNetworkError", "Answer from Java side is empty");
    world.report(EffectReport::JobFailed {
        job: job_id(1),
        error,
    });
    world.engine_ended(true);
    let done = world.done(1).unwrap();
    assert_eq!(done.state, JobState::Error);
    let words = JobError::new("", "Context (etl) for this job was terminated");
    assert_eq!(done.error, Some(words));
    assert_eq!(world.open(2).unwrap().state, refused);
    assert!(ended(true, None, &world.life().phase));
    assert_eq!(world.stop, Some(StopReason::DriverDone));
    assert_eq!(world.started().len(), 2);
}

#[test]
fn an_engine_that_dies_ends_its_jobs() {
    let mut world = World::ready(&context());
    world.submit(&job(1));
    world.running(1);
    world.engine_ended(false);
    let error = world.done(1).unwrap().error.unwrap();
    assert_eq!(error.message, "Unexpected termination of context ctx");
    assert_eq!(error.error_class, "doyen.EngineDied");
    assert_eq!(error.stack, "out of memory");
    assert!(ended(false, Some("exit code 137"), &world.life().phase));
    assert_eq!(world.stop, Some(StopReason::DriverDone));
}

#[test]
fn an_engine_that_cannot_start_says_why() {
    let mut world = World::launched(&context());
    world.run();
    world.submit(&job(1));
    world.engine_ended(false);
    assert!(ended(false, Some("exit code 137"), &world.life().phase));
    let refusal = JobRefusal::ContextGone;
    assert_eq!(world.open(1).unwrap().state, JobState::Refused { refusal });
    assert_eq!(world.stop, Some(StopReason::DriverDone));
}

#[test]
fn ends_wait_for_the_store_and_the_driver_exits_last() {
    let mut world = World::ready(&context());
    world.submit(&job(1));
    world.running(1);
    world.answers = Answers::Away;
    world.engine_ended(false);
    world.pass(Duration::from_secs(100));
    assert_eq!(world.stop, None);
    world.answers = Answers::AtOnce;
    world.pass(Duration::from_secs(2));
    assert_eq!(world.done(1).unwrap().state, JobState::Error);
    assert_eq!(world.stop, Some(StopReason::DriverDone));
}

#[test]
fn a_driver_whose_last_word_was_heard_but_not_answered_is_done() {
    let mut world = World::ready(&context());
    world.change_context(|one| one.state = ContextState::Stopping);
    world.answers = Answers::Lost;
    world.engine_ended(true);
    world.answers = Answers::AtOnce;
    world.pass(Duration::from_secs(1));
    assert_eq!(world.stop, Some(StopReason::DriverDone));
}

#[test]
fn a_driver_whose_attempt_is_ended_after_its_last_word_is_done_not_fenced() {
    let mut world = World::ready(&context());
    world.change_context(|one| one.state = ContextState::Stopping);
    world.answers = Answers::Held;
    world.engine_ended(true);
    assert_eq!(world.stop, None);
    world.change_owner(|one| one.owner = None);
    assert_eq!(world.stop, Some(StopReason::DriverDone));
}

fn adhoc() -> ContextRecord {
    ContextRecord {
        adhoc: true,
        ..context()
    }
}

#[test]
fn an_adhoc_context_stops_after_its_job() {
    let mut world = World::ready(&adhoc());
    world.submit(&job(1));
    world.running(1);
    assert_eq!(world.count(&Effect::StopEngine), 0);
    world.finish(1, "1");
    assert_eq!(world.count(&Effect::StopEngine), 1);
    world.engine_ended(true);
    assert!(ended(true, None, &world.life().phase));
    assert_eq!(world.stop, Some(StopReason::DriverDone));
}

#[test]
fn an_adhoc_context_stops_after_its_job_was_refused() {
    let mut world = World::ready(&adhoc());
    world.submit(&job(1));
    let (job, refusal) = (job_id(1), JobRefusal::ClassNotFound);
    world.report(EffectReport::JobRefused { job, refusal });
    assert_eq!(world.count(&Effect::StopEngine), 1);
}

#[test]
fn an_adhoc_context_that_gets_no_job_stops_after_its_idle_time() {
    let mut world = World::ready(&adhoc());
    world.pass(Duration::from_secs(59));
    assert_eq!(world.count(&Effect::StopEngine), 0);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.count(&Effect::StopEngine), 1);

    let mut world = World::ready(&adhoc());
    world.watched = false;
    world.pass(Duration::from_millis(59_900));
    world.submit(&job(1));
    world.pass(Duration::from_secs(1));
    assert_eq!(world.started(), [job_id(1)], "it looks before it leaves");
    assert_eq!(world.count(&Effect::StopEngine), 0);
}

#[test]
fn a_job_error_ends_the_context_that_says_so() {
    let mut record = context();
    record.settings = r#"{"stop-context-on-job-error":true}"#.into();
    let mut world = World::ready(&record);
    world.submit(&job(1));
    world.submit(&job(2));
    world.running(1);
    world.running(2);
    let error = JobError::new("E", "threw");
    world.report(EffectReport::JobFailed {
        job: job_id(1),
        error: error.clone(),
    });
    assert_eq!(world.done(1).unwrap().error, Some(error));
    assert_eq!(world.count(&Effect::StopEngine), 1);
    world.engine_ended(true);
    let words = "Context (etl) for this job was terminated";
    assert_eq!(world.done(2).unwrap().error.unwrap().message, words);
    let why = format!(
        "Job {} failed, and `stop-context-on-job-error` is set: threw",
        job_id(1)
    );
    assert!(ended(false, Some(&why), &world.life().phase));
}

#[test]
fn a_fenced_driver_ends_its_engine() {
    type Change = fn(&mut World);
    let cases: [(&str, Change); 4] = [
        ("ended by the holder", |world| {
            world.change_owner(|one| one.owner = None);
        }),
        ("intent raised", |world| {
            world.change_owner(|one| one.intent = IntentNumber(2));
        }),
        ("another owner", |world| {
            world.change_owner(|one| one.owner.as_mut().unwrap().driver = Incarnation(9));
        }),
        ("context final", |world| {
            world.change_context(|one| one.state = ContextState::Error);
        }),
    ];
    for (what, change) in cases {
        let mut world = World::ready(&context());
        world.submit(&job(1));
        world.running(1);
        let before = world.commits.len();
        change(&mut world);
        assert_eq!(world.count(&Effect::StopEngine), 1, "{what}");
        assert_eq!(world.stop, None, "{what}");
        world.finish(1, "1");
        world.submit(&job(2));
        assert_eq!(world.commits.len(), before, "{what}: nothing is written");
        assert_eq!(world.started().len(), 1, "{what}");
        world.engine_ended(true);
        assert!(
            matches!(world.stop, Some(StopReason::DriverFenced { .. })),
            "{what}"
        );
    }
}

#[test]
fn a_fenced_driver_waits_five_seconds_for_its_engine_at_most() {
    let mut world = World::ready(&context());
    world.change_owner(|one| one.owner = None);
    world.pass(Duration::from_millis(4_999));
    assert_eq!(world.stop, None);
    world.pass(Duration::from_millis(1));
    assert!(matches!(world.stop, Some(StopReason::DriverFenced { .. })));
}

#[test]
fn a_fence_that_a_write_finds_lost_is_confirmed_by_a_read() {
    let mut world = World::ready(&context());
    world.submit(&job(1));
    world.watched = false;
    world.change_owner(|one| one.owner = None);
    world.running(1);
    let (_, outcome) = world.commits.last().unwrap();
    assert_eq!(*outcome, CommitOutcome::Refused { operation: 0 });
    assert_eq!(world.count(&Effect::StopEngine), 1);
    // One that was written by somebody, but still names this driver, is no loss.
    let mut world = World::ready(&context());
    world.submit(&job(1));
    world.watched = false;
    world.change_owner(|_| {});
    world.running(1);
    assert_eq!(world.open(1).unwrap().state, JobState::Running);
    assert_eq!(world.count(&Effect::StopEngine), 0);
}

#[test]
fn a_driver_that_is_told_to_leave_ends_its_context_as_killed() {
    let mut world = World::ready(&context());
    world.submit(&job(1));
    world.running(1);
    world.tell(Input::Command(Command::Leave));
    assert_eq!(world.count(&Effect::StopEngine), 1);
    world.engine_ended(true);
    let message = world.done(1).unwrap().error.unwrap().message;
    assert_eq!(message, "Unexpected termination of context ctx");
    assert!(ended(
        false,
        Some("The driver was told to end"),
        &world.life().phase
    ));
}

#[test]
fn an_engine_that_does_not_end_does_not_hold_the_context_for_ever() {
    let mut world = World::ready(&context());
    world.submit(&job(1));
    world.running(1);
    world.change_context(|one| one.state = ContextState::Stopping);
    world.pass(Duration::from_secs(61));
    assert_eq!(world.done(1).unwrap().state, JobState::Error);
    assert_eq!(world.stop, Some(StopReason::DriverDone));
}

#[test]
fn the_bound_of_slots_is_the_contexts() {
    let mut config = Config::new(Vec::new());
    config.limits.jobs_per_context = 1;
    let mut world = World::with(&context(), config);
    world.run();
    world.report(EffectReport::EngineReady {
        application_id: None,
        url: None,
    });
    world.submit(&job(1));
    world.submit(&job(2));
    let refusal = JobRefusal::NoSlots { max: 1 };
    assert_eq!(world.open(2).unwrap().state, JobState::Refused { refusal });
}
