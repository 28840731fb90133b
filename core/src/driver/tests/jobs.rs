//! J: slots, refusals, kills, ends.

use super::world::{Answers, World, context, context_id, job, job_id};
use crate::identity::JobId;
use crate::input::EffectReport;
use crate::output::{ClusterEvent, Effect};
use crate::records::job::{JobError, JobRefusal, JobState, Payload};

#[test]
fn a_job_runs_and_its_result_is_stored_before_it_is_finished() {
    let mut world = World::ready(&context());
    world.submit(&job(1));
    assert_eq!(world.started(), [job_id(1)]);
    assert_eq!(world.open(1).unwrap().state, JobState::Submitted);
    world.running(1);
    assert_eq!(world.open(1).unwrap().state, JobState::Running);
    world.finish(1, "[1]");
    let done = world.done(1).unwrap();
    assert_eq!(done.state, JobState::Finished);
    assert_eq!(done.result, Some(Payload::Inline("[1]".into())));
    assert_eq!(done.ended, Some(world.stamp()));
    assert_eq!(world.open(1), None);
    let index = world.layout.job_context(&job_id(1));
    assert!(world.store.records().all(|(key, _)| *key != index));
    // One transaction: nobody sees it finished without its result, or twice, or not at all.
    let (last, _) = world.commits.last().unwrap();
    assert_eq!(last.operations.len(), 4);
}

#[test]
fn jobs_start_in_the_order_of_their_ids_once_the_engine_is_ready() {
    let mut world = World::launched(&context());
    world.run();
    world.submit(&job(2));
    world.submit(&job(1));
    assert!(world.started().is_empty());
    world.report(EffectReport::EngineReady {
        application_id: None,
        url: None,
    });
    assert_eq!(world.started(), [job_id(1), job_id(2)]);
}

#[test]
fn the_ninth_job_is_refused() {
    let mut world = World::ready(&context());
    for number in 1..=9 {
        world.submit(&job(number));
    }
    assert_eq!(world.started().len(), 8);
    let refused = world.open(9).unwrap();
    let refusal = JobRefusal::NoSlots { max: 8 };
    assert_eq!(refused.state, JobState::Refused { refusal });
    assert!(refused.ended.is_some());
    world.running(3);
    world.finish(3, "1");
    world.submit(&job(10));
    assert_eq!(world.started().last(), Some(&job_id(10)));
    assert_eq!(
        world
            .started()
            .iter()
            .filter(|id| **id == job_id(9))
            .count(),
        0
    );
}

#[test]
fn a_job_that_comes_while_an_end_is_being_stored_gets_the_slot_of_it() {
    let mut world = World::ready(&context());
    (1..=8).for_each(|number| world.submit(&job(number)));
    world.answers = Answers::Held;
    world.finish(1, "1");
    world.submit(&job(9));
    assert_eq!(
        world.started().len(),
        8,
        "the end is not known to be stored"
    );
    world.release();
    assert_eq!(world.started().last(), Some(&job_id(9)));
}

#[test]
fn a_job_that_its_validation_refuses_lists_nothing_and_frees_its_slot() {
    let mut world = World::ready(&context());
    world.submit(&job(1));
    let refusal = JobRefusal::ValidationFailed {
        error: JobError::new("java.lang.Throwable", "No input"),
    };
    world.report(EffectReport::JobRefused {
        job: job_id(1),
        refusal: refusal.clone(),
    });
    assert_eq!(world.open(1).unwrap().state, JobState::Refused { refusal });
    assert_eq!(world.done(1), None);
    let key = world.layout.job(&context_id(), &job_id(1));
    world.other(|transaction| transaction.delete_any(key));
    (2..=9).for_each(|number| world.submit(&job(number)));
    assert_eq!(world.started().len(), 9);
}

#[test]
fn a_job_that_ends_before_it_is_known_to_run_is_stored_all_the_same() {
    let mut world = World::ready(&context());
    world.submit(&job(1));
    world.answers = Answers::Held;
    world.running(1);
    world.finish(1, "7");
    assert_eq!(world.done(1), None, "one commit about a job at a time");
    world.release();
    assert_eq!(world.done(1).unwrap().state, JobState::Finished);
    world.submit(&job(2));
    let error = JobError::new("E", "threw at once");
    world.report(EffectReport::JobFailed {
        job: job_id(2),
        error: error.clone(),
    });
    assert_eq!(world.done(2).unwrap().error, Some(error));
}

/// J2: what was reported to run is acknowledged, whatever was committed of it; what was not is told
/// as it ended.
#[test]
fn a_record_says_whether_its_job_ended_before_it_ran() {
    let failed = |number| EffectReport::JobFailed {
        job: job_id(number),
        error: JobError::new("ValueError", "validate is broken"),
    };
    let mut world = World::ready(&context());
    (1..=5).for_each(|number| world.submit(&job(number)));
    world.report(failed(1));
    world.kill(2);
    world.report(EffectReport::JobKilled {
        job: job_id(2),
        rung: "terminated".into(),
    });
    world.finish(3, "1");
    world.answers = Answers::Held;
    world.running(4);
    world.report(failed(4));
    world.release();
    // Nothing of its run was stored before its end.
    world.answers = Answers::Away;
    world.running(5);
    world.report(failed(5));
    world.answers = Answers::AtOnce;
    world.pass(std::time::Duration::from_secs(10));
    let ends = [1, 2, 3, 4, 5].map(|number| {
        let done = world.done(number).unwrap();
        (done.state, done.never_ran)
    });
    let expected = [
        (JobState::Error, true),
        (JobState::Killed, true),
        (JobState::Finished, false),
        (JobState::Error, false),
        (JobState::Error, false),
    ];
    assert_eq!(ends, expected);
}

#[test]
fn a_kill_that_arrives_while_running() {
    let mut world = World::ready(&context());
    world.submit(&job(1));
    world.running(1);
    world.kill(1);
    world.kill(1);
    assert_eq!(world.count(&Effect::KillJob { job: job_id(1) }), 1);
    world.report(EffectReport::JobKilled {
        job: job_id(1),
        rung: "terminated".into(),
    });
    let done = world.done(1).unwrap();
    assert_eq!(done.state, JobState::Killed);
    let error = done.error.unwrap();
    assert_eq!(error.message, format!("Job {} killed", job_id(1)));
    assert_eq!(
        error.error_class,
        "spark.jobserver.JobManagerActor$JobKilledException"
    );
    assert_eq!(error.stack, "rung: terminated");
}

#[test]
fn a_kill_that_arrives_between_a_decision_and_its_commit_is_kept() {
    let mut world = World::ready(&context());
    world.submit(&job(1));
    world.watched = false;
    world.kill(1);
    world.running(1);
    assert_eq!(world.open(1).unwrap().state, JobState::Running);
    assert!(world.open(1).unwrap().kill);
    assert_eq!(world.count(&Effect::KillJob { job: job_id(1) }), 1);
}

#[test]
fn a_job_that_returns_before_its_kill_has_finished() {
    let mut world = World::ready(&context());
    world.submit(&job(1));
    world.running(1);
    world.kill(1);
    world.finish(1, "1");
    world.report(EffectReport::JobKilled {
        job: job_id(1),
        rung: "killed".into(),
    });
    assert_eq!(world.done(1).unwrap().state, JobState::Finished);
}

#[test]
fn a_job_that_is_killed_before_it_has_a_slot_never_starts() {
    let mut world = World::launched(&context());
    world.run();
    world.submit(&job(1));
    world.kill(1);
    assert_eq!(world.done(1).unwrap().state, JobState::Killed);
    world.report(EffectReport::EngineReady {
        application_id: None,
        url: None,
    });
    assert!(world.started().is_empty());
}

#[test]
fn a_record_that_cannot_be_read_is_reported_once_and_passed_over() {
    let mut world = World::ready(&context());
    let key = world.layout.jobs(&context_id()).child("nonsense");
    world.other(|transaction| transaction.create(key, "{".into()));
    world.submit(&job(1));
    world.submit(&job(2));
    assert_eq!(world.started(), [job_id(1), job_id(2)]);
    let warnings = |event: &&ClusterEvent| matches!(event, ClusterEvent::Warning { .. });
    assert_eq!(world.events.iter().filter(warnings).count(), 1);
}

#[test]
fn a_job_whose_record_becomes_unreadable_goes_on_and_its_end_mends_it() {
    let mut world = World::ready(&context());
    world.submit(&job(1));
    let key = world.layout.job(&context_id(), &job_id(1));
    world.other(|transaction| transaction.put_any(key, "{".into()));
    assert_eq!(world.count(&Effect::KillJob { job: job_id(1) }), 0);
    world.finish(1, "1");
    assert_eq!(world.done(1).unwrap().state, JobState::Finished);
}

#[test]
fn a_result_that_does_not_fit_is_replaced_by_a_note() {
    let mut world = World::ready(&context());
    world.submit(&job(1));
    world.running(1);
    world.finish(1, &"x".repeat(300_000));
    let done = world.done(1).unwrap();
    assert_eq!(done.state, JobState::Error);
    assert_eq!(done.error.unwrap().error_class, "doyen.RecordTooLarge");
}

#[test]
fn the_index_of_a_job_may_be_missing() {
    let mut world = World::ready(&context());
    world.submit(&job(1));
    let key = world.layout.job_context(&job_id(1));
    world.other(|transaction| transaction.delete_any(key));
    world.finish(1, "1");
    assert_eq!(world.done(1).unwrap().state, JobState::Finished);
}

#[test]
fn a_job_that_an_earlier_attempt_left_running_ends_with_that_attempt() {
    let mut world = World::launched(&context());
    let mut left = job(1);
    left.state = JobState::Running;
    world.submit(&left);
    world.run();
    let done = world.done(1).unwrap();
    let message = done.error.unwrap().message;
    assert_eq!(message, "Unexpected termination of context ctx");
    assert!(!done.never_ran);
    assert!(world.started().is_empty());
}

#[test]
fn a_record_that_is_removed_under_a_running_job_kills_the_job_and_frees_its_slot() {
    let mut world = World::ready(&context());
    (1..=8).for_each(|number| world.submit(&job(number)));
    let key = world.layout.job(&context_id(), &job_id(1));
    world.other(|transaction| transaction.delete_any(key));
    assert_eq!(world.count(&Effect::KillJob { job: job_id(1) }), 1);
    let job_killed = |id: JobId| EffectReport::JobKilled {
        job: id,
        rung: "killed".into(),
    };
    world.report(job_killed(job_id(1)));
    world.submit(&job(9));
    assert_eq!(world.started().last(), Some(&job_id(9)));
    assert_eq!(world.done(1), None);
}

#[test]
fn more_jobs_than_are_kept_in_memory_are_all_answered() {
    let mut world = World::launched(&context());
    world.run();
    (1..=200).for_each(|number| world.submit(&job(number)));
    world.report(EffectReport::EngineReady {
        application_id: None,
        url: None,
    });
    assert_eq!(world.started().len(), 8);
    let refusal = JobRefusal::NoSlots { max: 8 };
    for number in 9..=200 {
        let state = JobState::Refused {
            refusal: refusal.clone(),
        };
        assert_eq!(world.open(number).unwrap().state, state, "{number}");
    }
}
