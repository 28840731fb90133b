//! Jobs as a gateway sees them: written beside the driver it saw, watched, answered from the record
//! (protocol.md J1 to J3).

use super::adhoc::{Creation, Made};
use super::job_writes::{hint, over, submission, withdraw};
use super::{DriverLinks, KeyAnswer, Next, read_key, watch};
use crate::identity::{ContextId, JobId};
use crate::input::NewJob;
use crate::output::Answer;
use crate::planted::planted;
use crate::records::call::{KeyObject, KeyRecord};
use crate::records::context::{ContextRecord, ContextState, NameRecord, OwnerRecord};
use crate::records::job::{JobContextRecord, JobRecord, JobRefusal, JobState};
use crate::records::key::Layout;
use crate::records::transaction::{CommitOutcome, Operation, Query, Snapshot, Transaction};
use crate::server::follow::decoded;
use crate::server::shared::Shared;
use crate::time::Time;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// For the context of the name, or for the job of the key.
    Naming,
    /// For a context of its own.
    Creating,
    /// For that context's records.
    Placing(ContextId),
    Writing(ContextId),
    /// The key belongs to another job: for its context.
    Following,
    Waiting(ContextId),
}

#[derive(Clone, Debug)]
pub(super) struct JobRequest {
    job: NewJob,
    watched: JobId,
    stage: Stage,
    refusal: Option<JobRefusal>,
    /// The context of its own, if it wants one.
    creation: Option<Creation>,
    /// The context of another request that takes no job any more: its end is waited for.
    spent: Option<ContextId>,
    /// The context is there, and was not ready when we looked.
    not_ready: bool,
    /// The job was in neither of its places when we looked last.
    missed: bool,
    /// Until when its client waits: for a context of its own first, then for the job.
    deadline: Time,
    /// How long from when that context is there; taken then, once.
    then_waits: Option<Duration>,
}

impl JobRequest {
    pub(super) fn new(job: NewJob, shared: &Shared) -> Self {
        let hold = shared.times().gateway_hold;
        let adhoc = job.adhoc.as_ref();
        let wait = adhoc.map_or(job.wait, |adhoc| hold.min(adhoc.wait));
        let deadline = shared.now.after(wait);
        Self {
            deadline,
            watched: job.id.clone(),
            creation: adhoc.map(|adhoc| Creation::new(&job, adhoc, deadline)),
            then_waits: adhoc.map(|_| job.wait),
            job,
            stage: Stage::Naming,
            refusal: None,
            spent: None,
            not_ready: false,
            missed: false,
        }
    }

    /// Until when its client waits.
    pub(super) const fn deadline(&self) -> Time {
        self.deadline
    }

    /// The same from now on, if a context of its own was just found.
    pub(super) fn next_deadline(&mut self, now: Time) -> Option<Time> {
        match self.stage {
            Stage::Naming | Stage::Creating => None,
            Stage::Placing(_) | Stage::Writing(_) | Stage::Following | Stage::Waiting(_) => {
                self.deadline = now.after(self.then_waits.take()?);
                Some(self.deadline)
            }
        }
    }

    pub(super) fn go_on(&mut self, shared: &mut Shared) -> Next {
        let Some(layout) = shared.layout() else {
            return Next::Again;
        };
        if let Some(refusal) = self.refusal.clone() {
            return Next::Answer(Answer::JobRefused(refusal));
        }
        if self.stage == Stage::Naming && self.job.key.is_none() && self.creation.is_some() {
            self.stage = Stage::Creating;
        }
        self.go_on_creating(shared, &layout)
            .unwrap_or_else(|| Next::Look(self.records(&layout)))
    }

    fn go_on_creating(&mut self, shared: &mut Shared, layout: &Layout) -> Option<Next> {
        let made = self.creating()?.go_on(shared);
        Some(self.made(layout, made))
    }

    fn creating(&mut self) -> Option<&mut Creation> {
        let creating = self.stage == Stage::Creating;
        self.creation.as_mut().filter(|_| creating)
    }

    /// A context of its own is there, or what it takes.
    fn made(&mut self, layout: &Layout, made: Made) -> Next {
        match made {
            Made::Next(next) => next,
            Made::Context(context) => {
                self.stage = Stage::Placing(context);
                Next::Look(self.records(layout))
            }
        }
    }

    pub(super) fn expired(&mut self, shared: &mut Shared) -> Next {
        if let Some(layout) = shared.layout()
            && let Some(creation) = self.creating()
        {
            let made = creation.expired(shared);
            return self.made(&layout, made);
        }
        Next::Answer(match &self.stage {
            // Nothing of the job was written; what became of the context is not known.
            Stage::Naming | Stage::Creating if self.creation.is_some() => Answer::Unknown,
            Stage::Placing(context) if self.is_anothers(context) => Answer::Unknown,
            // Seen, and not ready for jobs in all that time.
            Stage::Placing(_) if self.not_ready => Answer::ContextNotFound,
            Stage::Writing(_) if planted!(UnwrittenAcknowledged) => Answer::JobWaiting {
                job: self.watched.clone(),
            },
            // A context that is not there is answered at once: the store did not tell.
            Stage::Naming | Stage::Creating | Stage::Placing(_) | Stage::Writing(_) => {
                Answer::Unknown
            }
            Stage::Following | Stage::Waiting(_) => Answer::JobWaiting {
                job: self.watched.clone(),
            },
        })
    }

    /// The context of another request of this key ended without our job, or the job of the key was
    /// refused and is gone: the key is free, so this request is the first one now.
    fn afresh(&mut self) -> Next {
        self.watched = self.job.id.clone();
        self.refusal = None;
        self.stage = Stage::Naming;
        if let Some(creation) = &mut self.creation {
            creation.afresh(self.deadline);
        }
        Next::Again
    }

    /// Whether this context was made by another request of our key, for one job.
    fn is_anothers(&self, context: &ContextId) -> bool {
        let creation = self.creation.as_ref();
        creation.is_some_and(|one| one.is_anothers(context))
    }

    /// Whether the job, which was refused, is written again: another request's context ended.
    fn comes_again(&self, context: &ContextId) -> bool {
        let ended = [JobRefusal::ContextStopping, JobRefusal::ContextGone];
        let refusal = self.refusal.as_ref();
        self.is_anothers(context) && refusal.is_some_and(|one| ended.contains(one))
    }

    pub(super) fn looked(&mut self, shared: &mut Shared, found: &Snapshot) -> Next {
        let Some(layout) = shared.layout() else {
            return Next::Again;
        };
        match self.stage.clone() {
            Stage::Naming => {
                if let Some(next) = self.follow_key(shared, &layout, found) {
                    return next;
                }
                if self.creation.is_some() {
                    self.stage = Stage::Creating;
                    let next = self.go_on_creating(shared, &layout);
                    return next.unwrap_or(Next::Again);
                }
                let name = layout.context_name(&self.job.context_name);
                let Some(record) = decoded::<NameRecord>(shared, found, &name, "a name") else {
                    return Next::Answer(Answer::ContextNotFound);
                };
                self.stage = Stage::Placing(record.value.context);
                Next::Look(self.records(&layout))
            }
            Stage::Creating => {
                if let Some(next) = self.follow_key(shared, &layout, found) {
                    return next;
                }
                let made = self.creating().map(|one| one.looked(shared, found));
                made.map_or(Next::Again, |made| self.made(&layout, made))
            }
            Stage::Placing(context) => self.place(shared, &layout, found, &context),
            Stage::Writing(context) => self.after_lost_answer(shared, &layout, found, &context),
            Stage::Following => {
                let key = layout.job_context(&self.watched);
                let live = decoded::<JobContextRecord>(shared, found, &key, "a job's context");
                match (self.done(shared, &layout, found), live) {
                    (Some(answer), _) => Next::Answer(answer),
                    (None, Some(live)) => {
                        self.stage = Stage::Waiting(live.value.context);
                        self.missed = false;
                        Next::Look(self.records(&layout))
                    }
                    // It was refused, and is gone.
                    (None, None) => self.missed(&layout).unwrap_or_else(|| self.afresh()),
                }
            }
            Stage::Waiting(context) => self.wait(shared, &layout, found, &context),
        }
    }

    pub(super) fn committed(
        &mut self,
        shared: &mut Shared,
        links: &DriverLinks,
        withdrawn: bool,
        outcome: &CommitOutcome,
        transaction: Option<&Transaction>,
    ) -> Next {
        let Some(layout) = shared.layout() else {
            return Next::Again;
        };
        if let Some(creation) = self.creating() {
            let made = creation.committed(shared, withdrawn, outcome);
            return self.made(&layout, made);
        }
        if withdrawn {
            if let Stage::Waiting(context) = self.stage.clone()
                && matches!(outcome, CommitOutcome::Committed { .. })
                && self.comes_again(&context)
            {
                self.spent = Some(context);
                return self.afresh();
            }
            // Whether or not the refused record could be removed, the answer is the same.
            let refusal = self.refusal.clone();
            return refusal.map_or(Next::Again, |r| Next::Answer(Answer::JobRefused(r)));
        }
        let Stage::Writing(context) = self.stage.clone() else {
            return Next::Again;
        };
        match outcome {
            CommitOutcome::Committed { .. } => {
                self.stage = Stage::Waiting(context.clone());
                hint(shared, links, &context, &self.watched);
                Next::Watch(self.records(&layout))
            }
            CommitOutcome::Refused { operation } => {
                let failed = transaction.and_then(|one| one.operations.get(*operation));
                if matches!(failed, Some(Operation::Check { .. })) {
                    // The owner changed since it was read: decide again (W1).
                    self.stage = self.before_placing(context);
                    return Next::Look(self.records(&layout));
                }
                Next::Look(self.records(&layout))
            }
            CommitOutcome::Unknown => Next::Look(self.records(&layout)),
            CommitOutcome::NotSent { .. } => {
                self.stage = self.before_placing(context);
                Next::Again
            }
        }
    }

    /// Where the context is decided anew: by its name, or, for a context of its own, by that itself.
    fn before_placing(&self, context: ContextId) -> Stage {
        match self.creation {
            Some(_) => Stage::Placing(context),
            None => Stage::Naming,
        }
    }

    fn place(
        &mut self,
        shared: &mut Shared,
        layout: &Layout,
        found: &Snapshot,
        context: &ContextId,
    ) -> Next {
        if let Some(next) = self.follow_key(shared, layout, found) {
            return next;
        }
        let record = decoded::<ContextRecord>(shared, found, &layout.context(context), "a context");
        let owner = decoded::<OwnerRecord>(shared, found, &layout.owner(context), "an owner");
        let (Some(record), Some(owner)) = (record, owner) else {
            // It ended between the two looks.
            return if self.is_anothers(context) {
                self.afresh()
            } else {
                Next::Answer(Answer::ContextNotFound)
            };
        };
        if record.value.state == ContextState::Stopping && self.is_anothers(context) {
            self.spent = Some(context.clone());
        }
        match record.value.state {
            // It ends, and frees its key then.
            _ if self.spent.as_ref() == Some(context) => Next::Watch(self.records(layout)),
            ContextState::Running if owner.value.owner.is_some() => {
                self.stage = Stage::Writing(context.clone());
                let (job, seen) = (&self.job, owner.version);
                Next::Write(submission(
                    job,
                    shared,
                    layout,
                    context,
                    &record.value,
                    seen,
                ))
            }
            // Not ready yet: look again when it changes.
            ContextState::Started | ContextState::Restarting | ContextState::Running => {
                self.not_ready = true;
                Next::Watch(self.records(layout))
            }
            ContextState::Stopping => Next::Answer(Answer::JobRefused(JobRefusal::ContextStopping)),
            ContextState::Finished | ContextState::Killed | ContextState::Error => {
                Next::Answer(Answer::ContextNotFound)
            }
        }
    }

    /// The transaction was refused by what is there already, or its outcome is not known.
    fn after_lost_answer(
        &mut self,
        shared: &mut Shared,
        layout: &Layout,
        found: &Snapshot,
        context: &ContextId,
    ) -> Next {
        if let Some(next) = self.follow_key(shared, layout, found) {
            return next;
        }
        let live = found
            .records
            .contains_key(&layout.job(context, &self.watched));
        let done = found.records.contains_key(&layout.done(&self.watched));
        if live || done {
            self.stage = Stage::Waiting(context.clone());
            return Next::Look(self.records(layout));
        }
        // Not committed: decide anew, guarded by the absence of both.
        self.stage = self.before_placing(context.clone());
        Next::Again
    }

    /// C5: the key may belong to a job already, whatever has become of the context since.
    fn follow_key(
        &mut self,
        shared: &mut Shared,
        layout: &Layout,
        found: &Snapshot,
    ) -> Option<Next> {
        let key = self.job.key.clone()?;
        let record =
            decoded::<KeyRecord>(shared, found, &layout.idempotency(&key.digest), "a key")?;
        match read_key(&record.value, &key.request) {
            KeyAnswer::Mismatch => Some(Next::Answer(Answer::KeyMismatch)),
            KeyAnswer::Object(KeyObject::Job(job)) if job != self.watched => {
                self.watched = job;
                self.stage = Stage::Following;
                Some(Next::Look(self.records(layout)))
            }
            KeyAnswer::Object(KeyObject::Call(_)) => Some(Next::Answer(Answer::Unknown)),
            KeyAnswer::Object(KeyObject::Job(_)) => None,
        }
    }

    fn wait(
        &mut self,
        shared: &mut Shared,
        layout: &Layout,
        found: &Snapshot,
        context: &ContextId,
    ) -> Next {
        if let Some(answer) = self.done(shared, layout, found) {
            return Next::Answer(answer);
        }
        let key = layout.job(context, &self.watched);
        let Some(live) = decoded::<JobRecord>(shared, found, &key, "a job") else {
            if let Some(again) = self.missed(layout) {
                return again;
            }
            // Neither live nor done: refused, and withdrawn by whoever saw it first.
            return if self.watched == self.job.id {
                Next::Answer(Answer::JobNotFound)
            } else {
                self.afresh()
            };
        };
        self.missed = false;
        match live.value.state.clone() {
            JobState::Running if !self.job.sync => {
                Next::Answer(Answer::JobAccepted(Box::new(live.value)))
            }
            JobState::Submitted | JobState::Running => Next::Watch(self.records(layout)),
            JobState::Refused { refusal } => {
                self.refusal = Some(refusal);
                let again = self.comes_again(context);
                let (job, version) = (&live.value, live.version);
                Next::Withdraw(withdraw(shared, layout, job, version, again))
            }
            JobState::Finished | JobState::Error | JobState::Killed => {
                Next::Answer(over(&self.job, live.value))
            }
        }
    }

    /// A job that is in neither of its places is looked for once more: a read of several records is no
    /// snapshot on every backend, and may miss in both a job that becomes final meanwhile.
    fn missed(&mut self, layout: &Layout) -> Option<Next> {
        self.missed = !self.missed;
        self.missed.then(|| Next::Look(self.records(layout)))
    }

    fn done(&self, shared: &mut Shared, layout: &Layout, found: &Snapshot) -> Option<Answer> {
        let key = layout.done(&self.watched);
        let record = decoded::<JobRecord>(shared, found, &key, "a final job")?;
        Some(over(&self.job, record.value))
    }

    fn records(&self, layout: &Layout) -> Query {
        let job = &self.watched;
        let key = self.job.key.as_ref();
        let key = key.map(|key| layout.idempotency(&key.digest));
        match &self.stage {
            Stage::Naming | Stage::Creating => {
                let name = layout.context_name(&self.job.context_name);
                let name = Some(name).filter(|_| self.creation.is_none());
                watch(name.into_iter().chain(key))
            }
            Stage::Placing(context) => {
                let place = [layout.context(context), layout.owner(context)];
                watch(place.into_iter().chain(key))
            }
            Stage::Writing(context) => {
                let job = [layout.job(context, job), layout.done(job)];
                watch(job.into_iter().chain(key))
            }
            Stage::Following => watch([layout.job_context(job), layout.done(job)]),
            Stage::Waiting(context) => watch([layout.job(context, job), layout.done(job)]),
        }
    }
}
