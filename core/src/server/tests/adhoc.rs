//! Jobs with a context of their own, and the key that protects both steps (protocol.md C5).

use super::estate::{
    call_id, context_id, gateway, is_running, job_id, job_key, key, new_job, owner,
};
use super::world::{Say, World, layout, ms, secs};
use crate::input::{Command, Input, NewAdhoc, NewJob, RequestId};
use crate::output::Answer;
use crate::records::call::CallOutcome;
use crate::records::context::{ContextState, DriverPhase, OwnerRecord};
use crate::records::job::{JobError, JobRecord, JobRefusal, JobState};

/// The n-th request of the same client: its ids, and a name for its context, are its own.
fn asked(n: u64) -> NewJob {
    let mut job = new_job(n, false);
    job.context_name = format!("{n}-words.Count");
    job.key = key("ab1", "body");
    job.adhoc = Some(NewAdhoc {
        call: call_id(n),
        settings: "{}".into(),
        wait: secs(25),
    });
    job
}

impl World {
    fn repeats(&mut self, n: u64) {
        self.submits_job(n, asked(n));
    }

    /// The driver of context n is there.
    fn serves(&mut self, n: u64) {
        self.driver_takes(n);
        self.driver_is_linked(n);
        self.driver_is_ready(n);
    }

    fn is_over(&mut self, n: u64) {
        let phase = DriverPhase::Ended {
            orderly: true,
            error: None,
        };
        self.driver_says(n, phase);
        assert_eq!(self.ended(n).unwrap().state, ContextState::Finished);
    }

    /// What keys are left: of the creation, of the job.
    fn keys(&self) -> (bool, bool) {
        let left = self.keys_with("/key/");
        let has = |end: &str| left.iter().any(|one| one.ends_with(end));
        (has("/ab1-context"), has("/ab1"))
    }

    fn job_in(&self, context: u64, n: u64) -> Option<JobRecord> {
        let key = layout().job(&context_id(context), &job_id(n));
        self.get(&key).map(|one| one.value)
    }

    /// The numbers of the contexts that were ever made.
    fn made(&self) -> Vec<u64> {
        let made = |n: &u64| self.context(*n).is_some() || self.ended(*n).is_some();
        (1..=9).filter(made).collect()
    }
}

fn acknowledged(world: &World, request: u64) -> Option<u64> {
    match world.answer_to(request)? {
        Answer::JobAccepted(job) => (1..=9).find(|n| job_id(*n) == job.id),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_job_without_a_key_gets_a_context_of_its_own() {
    let mut world = World::holder();
    for n in 1..=2 {
        let mut job = asked(n);
        job.key = None;
        world.submits_job(n, job);
        world.serves(n);
    }
    assert_eq!(world.made(), [1, 2]);
    let context = world.context(2).unwrap();
    assert_eq!((context.adhoc, context.key), (true, None));
    assert_eq!(world.job_in(2, 2).unwrap().context_name, context.name);
    assert_eq!(world.keys_with("/key/"), [""; 0]);
}

#[test]
fn c5_the_same_key_at_the_same_time_makes_one_context_and_one_job() {
    let mut world = World::holder();
    for n in 1..=3 {
        world.repeats(n);
    }
    assert_eq!(world.keys(), (true, false));
    world.serves(1);
    assert!(is_running(&world, 1));
    assert_eq!((world.made(), world.keys()), (vec![1], (true, true)));
    assert_eq!((world.job_in(1, 2), world.job_in(1, 3)), (None, None));
    world.job_becomes(1, JobState::Running);
    for n in 1..=3 {
        assert_eq!(acknowledged(&world, n), Some(1), "request {n}");
    }
}

/// The other order: the later request writes the job before the first one comes to it.
#[test]
fn c5_the_job_of_a_later_request_in_the_context_of_the_first_is_the_job_of_both() {
    let mut world = World::holder();
    world.repeats(1);
    world.hold(job_key(1));
    world.serves(1);
    assert_eq!(world.held().len(), 1, "the first one is about to write");
    world.repeats(2);
    assert!(world.job_in(1, 2).is_some());
    world.let_go(Say::Commit);
    assert_eq!((world.made(), world.job_in(1, 1)), (vec![1], None));
    world.job_becomes(2, JobState::Running);
    assert_eq!(acknowledged(&world, 1), Some(2));
    assert_eq!(acknowledged(&world, 2), Some(2));
}

#[test]
fn c5_a_repetition_at_any_later_time_gets_the_same_job_and_no_context() {
    let mut world = World::holder();
    world.repeats(1);
    world.serves(1);
    world.job_becomes(1, JobState::Running);
    world.repeats(2);
    world.job_is_done(1, JobState::Finished);
    world.repeats(3);
    world.is_over(1);
    assert_eq!(world.keys(), (false, true), "the job's key tells alone now");
    world.repeats(4);
    for n in 1..=4 {
        assert_eq!(acknowledged(&world, n), Some(1), "request {n}");
    }
    assert_eq!(world.made(), [1]);
    assert_eq!(world.call(4), None);
}

/// It looked before there was a job, and writes its creation after all is over and the creation's
/// key is free again: the job's key keeps it from that.
#[test]
fn c5_a_creation_that_comes_after_the_job_is_not_written() {
    for say in [Say::Commit, Say::Lost, Say::Unknown, Say::NotSent] {
        let mut world = World::holder();
        world.hold(layout().call(&call_id(2)));
        world.repeats(2);
        assert_eq!(world.held().len(), 1);
        world.repeats(1);
        world.serves(1);
        world.job_becomes(1, JobState::Running);
        world.job_is_done(1, JobState::Finished);
        world.is_over(1);
        world.let_go(say);
        world.pass(secs(1));
        assert_eq!(acknowledged(&world, 2), Some(1), "{say:?}");
        assert_eq!(world.made(), [1], "{say:?}");
    }
}

/// The first request found its context, and the job of another one was over before it looked.
#[test]
fn c5_who_made_the_context_follows_a_job_that_is_over_already() {
    let mut world = World::holder();
    world.repeats(1);
    world.hold(job_key(1));
    world.serves(1);
    world.repeats(2);
    world.job_becomes(2, JobState::Running);
    world.job_is_done(2, JobState::Finished);
    world.is_over(1);
    world.let_go(Say::Commit);
    world.pass(secs(1));
    assert_eq!(acknowledged(&world, 1), Some(2));
    assert_eq!(world.made(), [1]);
}

/// The server of the first request died between the two steps.
#[test]
fn c5_a_repetition_gives_the_job_to_the_context_that_was_made_for_it() {
    for ready in [false, true] {
        let mut world = World::holder();
        world.repeats(1);
        if ready {
            world.hold(job_key(1));
            world.serves(1);
            world.answer_held(Say::NotSent);
        }
        let request = RequestId(1);
        world.tell(Input::Command(Command::Forget { request }));
        world.repeats(2);
        if !ready {
            world.serves(1);
        }
        world.job_becomes(2, JobState::Running);
        assert_eq!(acknowledged(&world, 2), Some(2));
        assert_eq!(world.made(), [1]);
    }
}

/// No job came in time: the key is free, and who repeats the request begins anew.
#[test]
fn c5_a_context_that_got_no_job_frees_its_key_with_its_end() {
    let mut world = World::holder();
    world.repeats(1);
    world.hold(job_key(1));
    world.serves(1);
    world.answer_held(Say::NotSent);
    let request = RequestId(1);
    world.tell(Input::Command(Command::Forget { request }));
    world.is_over(1);
    assert_eq!(world.keys(), (false, false));
    world.repeats(2);
    world.serves(2);
    world.job_in(2, 2).unwrap();
    assert_eq!((world.made(), world.keys()), (vec![1, 2], (true, true)));
}

/// The key is still held by a context that ends without a job.
#[test]
fn c5_a_repetition_waits_for_the_end_of_a_context_that_stops() {
    let mut world = World::holder();
    world.repeats(1);
    world.hold(job_key(1));
    world.serves(1);
    world.answer_held(Say::NotSent);
    let request = RequestId(1);
    world.tell(Input::Command(Command::Forget { request }));
    world.asks(7, super::estate::deletion("1-words.Count"));
    assert_eq!(world.context(1).unwrap().state, ContextState::Stopping);
    world.repeats(2);
    world.pass(secs(2));
    assert_eq!((world.answer_to(2), world.made()), (None, vec![1]));
    world.is_over(1);
    world.pass(ms(100));
    world.serves(2);
    world.job_in(2, 2).unwrap();
    assert_eq!(world.made(), [1, 2]);
}

/// C5: a refusal frees the key of the job, and the end of the context that of its creation.
#[test]
fn c5_a_refused_job_frees_both_keys() {
    let mut world = World::holder();
    world.repeats(1);
    world.serves(1);
    let refusal = JobRefusal::ClassNotFound;
    let state = JobState::Refused {
        refusal: refusal.clone(),
    };
    world.job_becomes(1, state);
    assert_eq!(world.answer_to(1), Some(&Answer::JobRefused(refusal)));
    assert_eq!(world.keys(), (true, false));
    world.is_over(1);
    assert_eq!(world.keys(), (false, false));
}

/// Another server saw the refusal first, and removed the job: its key is free, and who followed it
/// is the first one now. Who wrote it cannot know why it was refused.
#[test]
fn c5_who_follows_a_job_that_was_refused_and_is_gone_begins_anew() {
    let mut world = World::holder();
    world.repeats(1);
    world.serves(1);
    world.repeats(2);
    let place = layout().job_context(&job_id(1));
    let key = layout().idempotency("ab1");
    world.other(|one| one.delete_any(job_key(1)).delete_any(place).delete_any(key));
    world.pass(ms(100));
    assert_eq!(world.answer_to(1), Some(&Answer::JobNotFound));
    assert!(world.job_in(1, 2).is_some());
    assert_eq!((world.answer_to(2), world.made()), (None, vec![1]));
}

/// The driver does not take a second job: it stops after the refused one.
#[test]
fn c5_a_job_that_came_too_late_for_anothers_context_gets_one_of_its_own() {
    let mut world = World::holder();
    world.repeats(1);
    world.serves(1);
    let refused = |refusal| JobState::Refused { refusal };
    world.job_becomes(1, refused(JobRefusal::WrongType));
    assert_eq!(world.keys(), (true, false));
    world.repeats(2);
    assert!(world.job_in(1, 2).is_some());
    world.job_becomes(2, refused(JobRefusal::ContextStopping));
    world.pass(secs(3));
    assert_eq!((world.job_in(1, 2), world.answer_to(2)), (None, None));
    assert_eq!(world.written(&job_key(2)).len(), 2, "created and removed");
    world.is_over(1);
    world.pass(secs(1));
    world.serves(2);
    world.job_in(2, 2).unwrap();
    assert_eq!(world.made(), [1, 2]);
}

/// W4: whether the refused record is gone is not known, so nothing is begun anew beside it.
#[test]
fn c5_a_refused_job_whose_removal_failed_is_told_as_refused() {
    let mut world = World::holder();
    world.repeats(1);
    world.serves(1);
    let refused = |refusal| JobState::Refused { refusal };
    world.job_becomes(1, refused(JobRefusal::WrongType));
    world.repeats(2);
    world.hold(job_key(2));
    let refusal = JobRefusal::ContextStopping;
    world.job_becomes(2, refused(refusal.clone()));
    world.let_go(Say::Unknown);
    assert_eq!(world.answer_to(2), Some(&Answer::JobRefused(refusal)));
    world.is_over(1);
    assert_eq!(world.made(), [1]);
}

#[test]
fn c5_a_context_that_fails_is_told_to_all_and_frees_the_key() {
    let mut world = World::holder();
    world.repeats(1);
    world.repeats(2);
    world.driver_takes(1);
    let error = JobError::new("java.io.IOException", "no java");
    let phase = DriverPhase::Ended {
        orderly: false,
        error: Some(error),
    };
    world.driver_says(1, phase);
    for n in 1..=2 {
        let Some(Answer::Call(CallOutcome::ContextFailed { error, .. })) = world.answer_to(n)
        else {
            panic!("{:?}", world.answer_to(n));
        };
        assert_eq!(error.message, "no java");
    }
    assert_eq!(world.keys(), (false, false));
}

#[test]
fn c5_a_creation_that_nobody_decides_expires_and_frees_the_key() {
    let mut world = gateway();
    world.repeats(1);
    assert_eq!(world.keys(), (true, false));
    world.pass(secs(26));
    let expired = Answer::Call(CallOutcome::Expired);
    assert_eq!(world.answer_to(1), Some(&expired));
    assert_eq!(world.keys(), (false, false));
}

#[test]
fn c5_another_body_is_refused_at_either_step() {
    let mut world = World::holder();
    world.repeats(1);
    let other = |world: &mut World, n: u64| {
        let mut job = asked(n);
        job.key = key("ab1", "other");
        world.submits_job(n, job);
        assert_eq!(world.answer_to(n), Some(&Answer::KeyMismatch));
    };
    other(&mut world, 2);
    world.serves(1);
    other(&mut world, 3);
    world.job_becomes(1, JobState::Running);
    world.job_is_done(1, JobState::Finished);
    world.is_over(1);
    other(&mut world, 4);
    assert_eq!(world.made(), [1]);
}

/// The context takes its time, the job has its own.
#[test]
fn the_client_waits_for_the_context_and_then_for_the_job() {
    // The context's client waits 25 s, the job's 20 s.
    for ready in [1, 20] {
        let mut world = World::holder();
        world.repeats(1);
        world.pass(secs(ready));
        world.serves(1);
        world.pass(secs(19));
        assert_eq!(world.answer_to(1), None);
        world.pass(secs(2));
        let waiting = Answer::JobWaiting { job: job_id(1) };
        assert_eq!(world.answer_to(1), Some(&waiting));
    }
}

/// W1: its driver was lost before the job was written; no other context is looked for.
#[test]
fn a_context_of_its_own_that_ended_before_the_job_is_told() {
    let mut world = World::holder();
    world.repeats(1);
    world.hold(job_key(1));
    world.serves(1);
    let at = layout().owner(&context_id(1));
    let record: OwnerRecord = world.get(&at).unwrap().value;
    assert_eq!(record.owner, Some(owner()));
    world.is_over(1);
    world.let_go(Say::Commit);
    assert_eq!(world.answer_to(1), Some(&Answer::ContextNotFound));
    assert_eq!(world.keys(), (false, false));
}
