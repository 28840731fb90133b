//! Jobs as servers see them: submission, hints, refusals, kills, and the end of an attempt
//! (protocol.md J1 to J3, J5; C5).

use super::estate::{context_id, deletion, driver, gateway, job, job_id, job_key, key, new_job};
use super::world::{Say, World, layout, ms, secs};
use crate::input::{Command, Input, RequestId};
use crate::output::Answer;
use crate::records::context::{ContextState, DriverPhase, OwnerRecord};
use crate::records::encode;
use crate::records::job::{JobError, JobRefusal, JobState, Payload};
use crate::records::transaction::CommitOutcome;
use crate::wire::Message;

const JOB: &str = "018e2b1c-5f00-7000-9000-000000000001";
const CONTEXT: &str = "018e2b1c-5f00-7000-8000-000000000001";

fn ops(list: &[&str]) -> Vec<String> {
    let hour = format!("{:08}", crate::identity::hour_of(JOB).unwrap());
    let text = |one: &&str| {
        one.replace("JOB", JOB)
            .replace("CTX", CONTEXT)
            .replace("HOUR", &hour)
    };
    list.iter().map(text).collect()
}

fn kill(world: &mut World, request: u64, n: u64) {
    let (request, job) = (RequestId(request), job_id(n));
    world.tell(Input::Command(Command::KillJob { request, job }));
}

/// J1: guarded by the owner's version that names the driver that was seen, and by no such job yet.
#[test]
fn j1_a_job_is_created_under_the_version_of_the_owner_that_was_seen() {
    let mut world = World::with_context();
    world.submits(1, true);
    let create = ops(&[
        "check owner/CTX@1",
        "absent done/HOUR/JOB",
        "create job/CTX/JOB",
        "create job-context/HOUR/JOB",
    ]);
    assert_eq!(world.written(&job_key(1)), [create]);
    assert_eq!(world.live_job(1).unwrap().state, JobState::Submitted);
}

/// J1: the driver that was seen is not the owner any more: decided again.
#[test]
fn j1_a_job_for_an_attempt_that_ended_meanwhile_is_not_created() {
    let mut world = gateway_with_context();
    world.hold(job_key(1));
    world.submits(1, true);
    world.watched = false;
    let key = layout().owner(&context_id(1));
    let mut record: OwnerRecord = world.get(&key).unwrap().value;
    record.owner = None;
    world.puts(key, &record);
    world.watched = true;
    world.let_go(Say::Commit);
    assert_eq!((world.live_job(1), world.answer_to(1)), (None, None));
}

/// A gateway, 2, beside the holder, 1, that keeps a running context.
fn gateway_with_context() -> World {
    let donor = World::with_context();
    let mut world = gateway();
    let parts = ["context/", "context-name/", "owner/", "life/"];
    let records = donor.store.records();
    let of_context = records.filter(|(key, _)| parts.iter().any(|one| key.as_str().contains(one)));
    world.other(|mut one| {
        for (key, stored) in of_context {
            one = one.create(key.clone(), stored.value.clone());
        }
        one
    });
    world.forget();
    world
}

#[test]
fn j1_a_written_job_is_hinted_to_its_driver() {
    let mut world = World::with_context();
    world.submits(1, false);
    let message = Message::JobHint {
        context: context_id(1),
        job: job_id(1),
    };
    assert!(world.sent.contains(&(driver(), message)));
}

#[test]
fn j2_an_asynchronous_job_is_acknowledged_when_it_runs() {
    let mut world = gateway_with_context();
    world.submits(1, false);
    assert_eq!(world.answer_to(1), None, "it is written, and not validated");
    world.job_becomes(1, JobState::Running);
    let answer = Answer::JobAccepted(Box::new(world.live_job(1).unwrap()));
    assert_eq!(world.answer_to(1), Some(&answer));
}

#[test]
fn j2_a_synchronous_job_is_answered_with_its_result() {
    let mut world = gateway_with_context();
    world.submits(1, true);
    world.job_becomes(1, JobState::Running);
    assert_eq!(world.answer_to(1), None);
    world.job_is_done(1, JobState::Finished);
    let answer = Answer::JobDone(Box::new(world.done_job(1).unwrap()));
    assert_eq!(world.answer_to(1), Some(&answer));
}

/// J2, rest-api.md 5.4: 202 says that validation has passed. A job that ended before is answered as
/// it ended, to whoever asks with its key too (C5).
#[test]
fn j2_an_asynchronous_job_that_never_ran_is_answered_as_it_ended() {
    for state in [JobState::Error, JobState::Killed] {
        for never_ran in [true, false] {
            let mut world = gateway_with_context();
            let mut asked = new_job(1, false);
            asked.key = key("ab1", "body");
            world.submits_job(1, asked.clone());
            let mut record = world.live_job(1).unwrap();
            record.never_ran = never_ran;
            world.puts(job_key(1), &record);
            world.job_is_done(1, state.clone());
            asked.id = job_id(2);
            world.submits_job(2, asked);
            let record = Box::new(world.done_job(1).unwrap());
            let answer = if never_ran {
                Answer::JobDone(record)
            } else {
                Answer::JobAccepted(record)
            };
            assert_eq!(world.answer_to(1), Some(&answer));
            assert_eq!(world.answer_to(2), Some(&answer));
        }
    }
}

/// J3: a refused job leaves nothing listed, but its place; its key is free again (C5).
#[test]
fn j3_a_refused_job_leaves_nothing_but_its_place_behind() {
    let mut world = gateway_with_context();
    let mut asked = new_job(1, false);
    asked.key = key("ab1", "body");
    world.submits_job(1, asked);
    assert_eq!(world.keys_with("/key/").len(), 1);
    let refusal = JobRefusal::NoSlots { max: 8 };
    world.job_becomes(
        1,
        JobState::Refused {
            refusal: refusal.clone(),
        },
    );
    assert_eq!(world.answer_to(1), Some(&Answer::JobRefused(refusal)));
    let place = layout().job_context(&job_id(1));
    assert_eq!(world.keys_with(JOB), [place.as_str()]);
    assert_eq!(world.keys_with("/key/"), [""; 0]);
}

/// ADR 0015: of two submissions one was carried out, and its job refused and withdrawn. The other
/// one comes late, and does not make the job again.
#[test]
fn j3_a_submission_that_comes_after_its_job_was_withdrawn_is_refused() {
    let mut world = gateway_with_context();
    world.hold(job_key(1));
    world.submits(1, false);
    let (_, late) = world.held.front().unwrap().clone();
    world.let_go(Say::Unknown);
    world.pass(secs(1));
    assert_eq!(world.live_job(1).unwrap().state, JobState::Submitted);
    let refusal = JobRefusal::NoSlots { max: 8 };
    let answer = Answer::JobRefused(refusal.clone());
    world.job_becomes(1, JobState::Refused { refusal });
    assert_eq!(world.answer_to(1), Some(&answer));
    let outcome = world.comes_late(&late);
    assert!(matches!(outcome, CommitOutcome::Refused { .. }));
    assert_eq!(world.live_job(1), None);
}

#[test]
fn j3_a_refused_job_is_answered_though_its_removal_failed() {
    let mut world = gateway_with_context();
    world.submits(1, false);
    world.hold(job_key(1));
    let refusal = JobRefusal::ClassNotFound;
    world.puts(
        job_key(1),
        &job(
            1,
            JobState::Refused {
                refusal: refusal.clone(),
            },
        ),
    );
    world.let_go(Say::Unknown);
    assert_eq!(world.answer_to(1), Some(&Answer::JobRefused(refusal)));
}

/// W4: the commit whose answer was lost is carried out after it was looked for in vain. What was
/// watched then does not show the context's name, and must not be taken for its absence.
#[test]
fn w4_a_job_that_appears_after_it_was_looked_for_in_vain_is_followed() {
    let mut world = gateway_with_context();
    world.hold(job_key(1));
    world.submits(1, true);
    world.let_go(Say::Unknown);
    let record = encode(&job(1, JobState::Submitted));
    world.other(|late| late.create(job_key(1), record));
    assert_eq!(world.answer_to(1), None);
    world.pass(ms(100));
    world.puts(job_key(1), &job(1, JobState::Running));
    assert_eq!(world.answer_to(1), None);
    assert!(world.live_job(1).is_some());
}

#[test]
fn j1_a_job_for_no_context_is_answered_at_once() {
    let mut world = gateway();
    world.submits(1, true);
    assert_eq!(world.answer_to(1), Some(&Answer::ContextNotFound));
    assert_eq!(world.commits, []);
}

/// C4: what the store does not tell is not known; that nothing is there would be a false word.
#[test]
fn c4_a_job_whose_context_could_not_be_looked_up_is_answered_as_unknown() {
    let mut world = gateway_with_context();
    world.store_away = true;
    world.submits(1, true);
    world.pass(secs(60));
    assert_eq!(world.answer_to(1), Some(&Answer::Unknown));
}

#[test]
fn j1_a_job_waits_for_a_context_that_is_not_ready() {
    let mut world = gateway_with_context();
    let set = |world: &mut World, state| {
        let mut record = world.context(1).unwrap();
        record.state = state;
        world.puts(layout().context(&context_id(1)), &record);
    };
    set(&mut world, ContextState::Started);
    world.submits(1, true);
    assert_eq!((world.answer_to(1), world.live_job(1)), (None, None));
    set(&mut world, ContextState::Running);
    assert!(world.live_job(1).is_some());
    set(&mut world, ContextState::Stopping);
    world.submits(2, true);
    let refused = Answer::JobRefused(JobRefusal::ContextStopping);
    assert_eq!(world.answer_to(2), Some(&refused));
    assert_eq!(world.live_job(2), None);
}

/// W4: after a lost answer the record is read, never written blindly again.
#[test]
fn j1_a_job_whose_answer_was_lost_is_found_by_reading() {
    let mut world = gateway_with_context();
    world.hold(job_key(1));
    world.submits(1, true);
    world.let_go(Say::Lost);
    assert!(world.live_job(1).is_some());
    world.pass(secs(3));
    assert_eq!(world.written(&job_key(1)).len(), 1);
    world.job_is_done(1, JobState::Finished);
    assert!(matches!(world.answer_to(1), Some(Answer::JobDone(_))));
}

#[test]
fn j1_a_job_that_was_not_committed_is_decided_anew() {
    for say in [Say::Unknown, Say::NotSent] {
        let mut world = gateway_with_context();
        world.hold(job_key(1));
        world.submits(1, true);
        world.let_go(say);
        assert_eq!(world.live_job(1), None);
        world.pass(ms(100));
        assert_eq!(world.written(&job_key(1)).len(), 2, "{say:?}");
        assert!(world.live_job(1).is_some());
    }
}

/// W3, W4: a transaction that comes late does not bring a finished job back.
#[test]
fn j1_a_job_that_is_final_is_not_created_again() {
    let mut world = gateway_with_context();
    world.hold(job_key(1));
    world.submits(1, true);
    let mut done = job(1, JobState::Finished);
    done.result = Some(Payload::Inline("42".into()));
    let key = layout().done(&job_id(1));
    world.other(|one| one.create(key, crate::records::encode(&done)));
    world.let_go(Say::Commit);
    assert_eq!(world.live_job(1), None);
    assert_eq!(world.answer_to(1), Some(&Answer::JobDone(Box::new(done))));
}

#[test]
fn c5_a_job_with_a_known_key_follows_the_job_of_that_key() {
    let mut world = gateway_with_context();
    let mut first = new_job(1, true);
    first.key = key("ab1", "body");
    world.submits_job(1, first.clone());
    let mut second = first.clone();
    second.id = job_id(2);
    world.submits_job(2, second);
    assert_eq!(world.live_job(2), None);
    world.job_is_done(1, JobState::Finished);
    let answer = Answer::JobDone(Box::new(world.done_job(1).unwrap()));
    assert_eq!(world.answer_to(1), Some(&answer));
    assert_eq!(world.answer_to(2), Some(&answer));
    let mut third = first;
    third.id = job_id(3);
    third.key = key("ab1", "other");
    world.submits_job(3, third);
    assert_eq!(world.answer_to(3), Some(&Answer::KeyMismatch));
}

#[test]
fn j2_a_job_that_takes_longer_than_its_client_waits_goes_on() {
    let mut world = gateway_with_context();
    world.submits(1, true);
    world.job_becomes(1, JobState::Running);
    world.pass(secs(21));
    assert_eq!(
        world.answer_to(1),
        Some(&Answer::JobWaiting { job: job_id(1) })
    );
    assert_eq!(world.live_job(1).unwrap().state, JobState::Running);
}

#[test]
fn j3_a_kill_is_recorded_hinted_and_answered_when_the_job_is_over() {
    let mut world = World::with_context();
    world.puts_job(1, JobState::Running);
    world.forget();
    kill(&mut world, 5, 1);
    assert!(world.live_job(1).unwrap().kill);
    let message = Message::JobHint {
        context: context_id(1),
        job: job_id(1),
    };
    assert!(world.sent.contains(&(driver(), message)));
    assert_eq!(world.answer_to(5), None);
    world.job_is_done(1, JobState::Killed);
    assert!(matches!(world.answer_to(5), Some(Answer::JobDone(_))));
    kill(&mut world, 2, 9);
    assert_eq!(world.answer_to(2), Some(&Answer::JobNotFound));
    kill(&mut world, 3, 1);
    assert!(matches!(world.answer_to(3), Some(Answer::JobDone(_))));
}

/// ZooKeeper reads one record at a time: a job that becomes final meanwhile may be missed in both of
/// its places.
#[test]
fn b2_a_job_that_a_torn_read_misses_in_both_places_is_found_by_the_next() {
    let mut world = World::with_context();
    world.submits(2, true);
    world.torn = Some(layout().done(&job_id(2)));
    world.job_is_done(2, JobState::Finished);
    assert_eq!(world.torn, None);
    assert!(matches!(world.answer_to(2), Some(Answer::JobDone(_))));
    world.puts_job(3, JobState::Running);
    kill(&mut world, 5, 3);
    world.torn = Some(layout().done(&job_id(3)));
    world.job_is_done(3, JobState::Killed);
    assert_eq!(world.torn, None);
    assert!(matches!(world.answer_to(5), Some(Answer::JobDone(_))));
}

fn ends(world: &mut World, orderly: bool) {
    let error = (!orderly).then(|| JobError::new("doyen.EngineDied", "exit code 137"));
    world.driver_says(1, DriverPhase::Ended { orderly, error });
}

/// J5: first the owner is cleared and the intent number raised; nothing of the attempt is accepted
/// any more. Then its running jobs end, then the context.
#[test]
fn j5_an_attempt_ends_by_clearing_its_owner_before_its_jobs_end() {
    let mut world = World::with_context();
    world.puts_job(1, JobState::Running);
    world.puts_job(2, JobState::Submitted);
    world.hold(layout().ended(&context_id(1)));
    world.forget();
    ends(&mut world, false);
    let owner_clears = ops(&[
        "check singleton@0",
        "check life/CTX@3",
        "put owner/CTX@1",
        "put context/CTX@1",
    ]);
    let cleared = world.owner(1);
    assert_eq!((cleared.owner, cleared.intent.0), (None, 2));
    let touching: Vec<_> = world
        .commits
        .iter()
        .map(|(one, _)| super::hands::text(one))
        .collect();
    assert_eq!(touching[0], owner_clears);
    let ended = &touching[1];
    assert!(ended.contains(&ops(&["check owner/CTX@2"])[0]), "{ended:?}");
    let error = world.done_job(1).unwrap().error.unwrap();
    assert_eq!(
        error.message,
        format!("Unexpected termination of context {CONTEXT}")
    );
    let refusal = JobRefusal::ContextGone;
    assert_eq!(
        world.live_job(2).unwrap().state,
        JobState::Refused { refusal }
    );
    assert_eq!(world.ended(1), None, "its jobs ended first");
    world.let_go(Say::Commit);
    assert_eq!(world.ended(1).unwrap().state, ContextState::Killed);
}

/// J5: what the old attempt still commits under its fence is refused.
#[test]
fn j5_a_result_that_comes_after_the_end_of_its_attempt_is_refused() {
    let mut world = World::with_context();
    world.puts_job(1, JobState::Running);
    let version = world
        .get::<OwnerRecord>(&layout().owner(&context_id(1)))
        .unwrap()
        .version;
    ends(&mut world, false);
    let late = crate::records::transaction::Transaction::new(
        crate::records::transaction::TransactionId("late".into()),
    )
    .check(layout().owner(&context_id(1)), version)
    .put_any(job_key(1), "{}".into());
    let (outcome, _) = world.store.commit(&late, world.stamp());
    let refused = crate::records::transaction::CommitOutcome::Refused { operation: 0 };
    assert_eq!(outcome, refused);
    assert_eq!(world.done_job(1).unwrap().state, JobState::Error);
}

#[test]
fn j5_the_jobs_of_an_orderly_stop_say_so() {
    let mut world = World::with_context();
    world.puts_job(1, JobState::Running);
    world.asks(2, deletion("etl"));
    ends(&mut world, true);
    let error = world.done_job(1).unwrap().error.unwrap();
    assert_eq!(error.message, "Context (etl) for this job was terminated");
    assert_eq!(world.ended(1).unwrap().state, ContextState::Finished);
}

/// S9, J5: an ending that another holder began is finished by whoever takes over, at any step.
#[test]
fn s9_an_ending_begun_by_another_holder_is_finished() {
    for steps in 0..3 {
        let mut world = World::member(1, &[1, 2], 1).runs_context();
        for n in 1..=6 {
            world.puts_job(n, JobState::Running);
        }
        for key in [layout().owner(&context_id(1)), layout().done(&job_id(1))] {
            world.hold(key);
        }
        world.hold(layout().done(&job_id(5)));
        ends(&mut world, false);
        for _ in 0..steps {
            world.answer_held(Say::Commit);
        }
        world.takes_office(&super::world::s(2));
        while !world.held().is_empty() {
            world.let_go(Say::Commit);
        }
        world.pass(secs(1));
        assert_eq!(world.ended(1), None, "{steps} steps: the fence holds it");
        world.takes_office(&super::world::s(1));
        world.pass(secs(1));
        assert_eq!(
            world.ended(1).unwrap().state,
            ContextState::Killed,
            "{steps} steps"
        );
        for n in 1..=6 {
            assert_eq!(
                world.done_job(n).unwrap().state,
                JobState::Error,
                "{steps} steps"
            );
        }
        assert_eq!(world.keys_with("job-context/"), [""; 0]);
    }
}
