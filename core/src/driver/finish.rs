//! What a driver writes about its jobs, and the three outcomes of it (protocol.md J2 to J4, W4).

use super::desk::Desk;
use super::slots::{Job, JobWrite, Jobs, Outcome, Stage, Step};
use crate::identity::JobId;
use crate::input::Ticket;
use crate::planted::planted;
use crate::records::encode;
use crate::records::job::{JobError, JobRecord, JobState, Payload};
use crate::records::model::over_bounds;
use crate::records::transaction::{CommitOutcome, Transaction, Version};

/// Where the deletion of `job-context` stands in the ending transaction.
const INDEX_OPERATION: usize = 2;

impl Jobs {
    /// Commits what each job waits for.
    pub(super) fn write(&mut self, fence: Version, desk: &mut Desk) {
        for (id, job) in &mut self.table {
            if !desk.store.is_open() {
                return;
            }
            let Some(step) = job.step() else { continue };
            let transaction = match step {
                Step::Run => put(job, JobState::Running, fence, desk),
                Step::Refuse => refuse(job, fence, desk),
                Step::End => end(id, job, fence, desk),
            };
            job.write = Some(JobWrite {
                ticket: desk.outbox.commit(transaction),
                step,
                version: job.version,
            });
        }
    }

    /// Takes the answer to a commit; `false` when it is not about a job.
    pub(super) fn committed(
        &mut self,
        ticket: Ticket,
        outcome: &CommitOutcome,
        desk: &mut Desk,
    ) -> bool {
        let waits =
            |(_, job): &(&JobId, &mut Job)| job.write.is_some_and(|write| write.ticket == ticket);
        let Some((id, job)) = self.table.iter_mut().find(waits) else {
            return false;
        };
        let Some(write) = job.write.take() else {
            return false;
        };
        match outcome {
            CommitOutcome::Committed { .. } => {
                let id = id.clone();
                self.carried_out(&id, write);
            }
            CommitOutcome::Refused { operation } => {
                job.index_missing |= write.step == Step::End && *operation == INDEX_OPERATION;
                job.refusals = job.refusals.saturating_add(1);
                job.await_read = Some(desk.listing.mark());
                if job.refusals >= 2 {
                    desk.store.delay(desk.now);
                }
            }
            CommitOutcome::Unknown if planted!(StartsTwice) && write.step == Step::Run => {
                job.stage = Stage::Waiting;
            }
            CommitOutcome::Unknown if planted!(EndForgotten) && write.step == Step::End => {
                let id = id.clone();
                self.settle(&id);
            }
            CommitOutcome::Unknown => {
                job.failures = job.failures.saturating_add(1);
                job.await_read = Some(desk.listing.mark());
            }
            CommitOutcome::NotSent { .. } => job.failures = job.failures.saturating_add(1),
        }
        true
    }

    fn carried_out(&mut self, id: &JobId, write: JobWrite) {
        match (write.step, self.table.get_mut(id)) {
            (Step::Run, Some(job)) => {
                job.record.state = JobState::Running;
                // A listing may have shown a later version before this answer came.
                job.version = job.version.max(write.version.next());
                (job.failures, job.refusals) = (0, 0);
            }
            (Step::Refuse | Step::End, _) => self.settle(id),
            (Step::Run, None) => {}
        }
    }
}

fn put(job: &Job, state: JobState, fence: Version, desk: &mut Desk) -> Transaction {
    let record = JobRecord {
        state,
        ..job.record.clone()
    };
    let context = &desk.launch.context;
    let key = desk.layout.job(context, &record.id);
    let transaction = desk.outbox.transaction();
    let transaction = if planted!(JobsUnfenced) {
        transaction
    } else {
        transaction.check(desk.keys.owner.clone(), fence)
    };
    transaction.put(key, encode(&record), job.version)
}

fn refuse(job: &Job, fence: Version, desk: &mut Desk) -> Transaction {
    let Stage::Refusing(refusal) = job.stage.clone() else {
        return put(job, job.record.state.clone(), fence, desk);
    };
    let mut refused = job.clone();
    refused.record.ended = Some(desk.stamp());
    put(&refused, JobState::Refused { refusal }, fence, desk)
}

/// Moves the job's record to `done/`, as it ended. What would not fit is left out, and said (W6).
fn end(id: &JobId, job: &Job, fence: Version, desk: &mut Desk) -> Transaction {
    let outcome = match &job.stage {
        Stage::Ending(outcome) => outcome.clone(),
        Stage::Waiting | Stage::Started | Stage::Running | Stage::Refusing(_) | Stage::Vanished => {
            unfit(id, desk)
        }
    };
    let mut record = ended(job, outcome);
    let transaction = moved(&record, job, fence, desk);
    if over_bounds(&transaction).is_none() {
        return transaction;
    }
    desk.warn(format!(
        "what is to be stored of job {id} is over the bound of a transaction: its result or error \
         is replaced by a note"
    ));
    record = ended(job, unfit(id, desk));
    let transaction = moved(&record, job, fence, desk);
    if over_bounds(&transaction).is_none() {
        return transaction;
    }
    record.config = Payload::Inline("{}".to_owned());
    moved(&record, job, fence, desk)
}

fn unfit(id: &JobId, desk: &Desk) -> Outcome {
    let text = format!(
        "the record of job {id} is over the bound of a transaction of the store: return less, or \
         write large results to files"
    );
    Outcome::failed(JobError::new("doyen.RecordTooLarge", text), desk.stamp())
}

fn ended(job: &Job, outcome: Outcome) -> JobRecord {
    JobRecord {
        // A result is proof that it ran, whatever the engine said.
        never_ran: !job.ran && outcome.state != JobState::Finished,
        state: outcome.state,
        ended: Some(outcome.ended),
        error: outcome.error,
        result: outcome.result,
        ..job.record.clone()
    }
}

fn moved(record: &JobRecord, job: &Job, fence: Version, desk: &mut Desk) -> Transaction {
    let (context, layout, owner) = (&desk.launch.context, &desk.layout, &desk.keys.owner);
    let moved = desk
        .outbox
        .transaction()
        .check(owner.clone(), fence)
        .delete(layout.job(context, &record.id), job.version);
    let moved = if job.index_missing {
        moved
    } else {
        moved.delete_any(layout.job_context(&record.id))
    };
    moved.create(layout.done(&record.id), encode(record))
}
