//! The end of an attempt and of its context, in steps that any later holder can go on with
//! (protocol.md J5, S9): clear the owner; end the jobs; move the context to what is final.

use super::contexts::Whole;
use super::{Supervisor, SupervisorWork};
use crate::identity::{CallId, ContextId};
use crate::output::ClusterEvent;
use crate::planted::planted;
use crate::records::call::{CallOperation, CallOutcome, KeyObject, KeyRecord};
use crate::records::context::{ContextState, NameRecord};
use crate::records::encode;
use crate::records::job::{JobError, JobRecord, JobRefusal, JobState};
use crate::records::key::{Key, Layout};
use crate::records::transaction::{Query, ReadOutcome, Snapshot, Transaction, Version};
use crate::records::{RecordError, Versioned, decode};
use crate::server::follow::decoded;
use crate::server::shared::{Purpose, Shared};

/// Jobs that one transaction ends: each may carry an inline configuration, and a transaction is
/// bounded (W6).
const JOBS_AT_ONCE: usize = 4;

/// What is known of a context's leftovers.
#[derive(Clone, Debug, Default)]
pub(super) struct Ending {
    read: Option<Snapshot>,
    reading: bool,
}

impl Supervisor {
    /// J5: the owner is cleared and its intent number raised, guarded by the life that was seen, so
    /// that nothing of this attempt is accepted any more.
    pub(super) fn end_attempt(
        &mut self,
        shared: &mut Shared,
        id: &ContextId,
        whole: &Whole,
        state: ContextState,
        error: Option<JobError>,
    ) {
        let (Some(layout), Some(transaction)) = (shared.layout(), shared.fenced()) else {
            return;
        };
        let why = error
            .as_ref()
            .map_or_else(|| state.name().to_owned(), |e| e.message.clone());
        let driver = whole.owner.value.owner.as_ref().map(|owner| owner.driver);
        let orderly = state == ContextState::Finished;
        let mut owner = whole.owner.value.clone();
        if !planted!(IntentNotRaised) {
            owner.intent = super::calls::next_intent(&whole.context.value, &owner);
        }
        owner.owner = None;
        let mut context = whole.context.value.clone();
        context.ending = Some(state);
        context.error = error.or(context.error);
        context.intent = None;
        let transaction = if planted!(EndsLivingAttempt) {
            transaction
        } else {
            transaction.check(layout.life(id), whole.life.version)
        };
        let transaction = transaction
            .put(layout.owner(id), encode(&owner), whole.owner.version)
            .put(layout.context(id), encode(&context), whole.context.version);
        shared.outbox.event(ClusterEvent::AttemptEnded {
            context: id.clone(),
            driver,
            orderly,
            why,
        });
        self.commit_context(shared, id, transaction);
    }

    pub(super) fn go_on_ending(&mut self, shared: &mut Shared, id: &ContextId, whole: &Whole) {
        let Some(layout) = shared.layout() else {
            return;
        };
        let ending = self.local(id).ending.get_or_insert_default().clone();
        let Some(found) = ending.read else {
            if !ending.reading {
                self.local(id).ending.get_or_insert_default().reading = true;
                let mut query = Query::default().with_folder(layout.jobs(id));
                query
                    .keys
                    .insert(layout.last_context(&whole.context.value.name));
                query.keys.extend(key_of(&layout, whole));
                let work = SupervisorWork::EndingRead(self.epoch, id.clone());
                shared.read(query, Purpose::Supervisor(work));
            }
            return;
        };
        self.local(id).ending = Some(Ending::default());
        let Some(transaction) = shared.fenced() else {
            return;
        };
        let transaction = transaction.check(layout.owner(id), whole.owner.version);
        let jobs = unended(shared, &layout, id, &found);
        let transaction = if jobs.is_empty() || planted!(JobsLeftBehind) {
            self.finish(shared, transaction, &layout, whole, &found)
        } else {
            end_jobs(shared, transaction, &layout, whole, jobs)
        };
        self.commit_context(shared, id, transaction);
    }

    pub(super) fn ending_was_read(
        &mut self,
        shared: &Shared,
        id: &ContextId,
        outcome: &ReadOutcome,
    ) {
        let local = self.local(id);
        let read = match outcome {
            ReadOutcome::Snapshot(found) => Some(found.clone()),
            ReadOutcome::Failed { .. } => {
                local.retry_at = Some(shared.now.after(super::RETRY));
                None
            }
        };
        local.ending = Some(Ending {
            read,
            reading: false,
        });
        self.stirred = true;
    }

    /// The last step: everything of the context moves to what is final, and its calls are settled.
    fn finish(
        &self,
        shared: &mut Shared,
        transaction: Transaction,
        layout: &Layout,
        whole: &Whole,
        found: &Snapshot,
    ) -> Transaction {
        let id = &whole.context.value.id;
        let mut context = whole.context.value.clone();
        context.state = context.ending.take().unwrap_or(ContextState::Error);
        context.ended = Some(shared.stamps.now(shared.now));
        let failed = context.error.clone().unwrap_or_else(|| {
            JobError::new(
                "java.lang.RuntimeException",
                "Context was stopped before it was ready",
            )
        });
        let last = layout.last_context(&context.name);
        let known = found.records.get(&last);
        // One that cannot be read has nothing that could be kept (W7).
        let kept = known.and_then(|known| decode::<NameRecord>(&last, "a last name", known).ok());
        let named = encode(&NameRecord {
            context: id.clone(),
            rest: kept.map(|kept| kept.value.rest).unwrap_or_default(),
        });
        let transaction = match known {
            Some(known) => transaction.put(last, named, known.version),
            None => transaction.create(last, named),
        };
        let transaction = if planted!(NameNotReleased) {
            transaction
        } else {
            transaction.delete(layout.context_name(&context.name), Version(0))
        };
        let mut transaction = transaction
            .create(layout.ended(id), encode(&context))
            .delete(layout.context(id), whole.context.version)
            .delete(layout.owner(id), whole.owner.version)
            .delete(layout.life(id), whole.life.version);
        let mut created = true;
        for call in self.accepted_calls(id) {
            let outcome = match &call.value.operation {
                CallOperation::CreateContext { .. } => {
                    created = false;
                    CallOutcome::ContextFailed {
                        context: id.clone(),
                        error: failed.clone(),
                    }
                }
                CallOperation::DeleteContext { .. } => CallOutcome::ContextStopped {
                    context: id.clone(),
                },
            };
            transaction = self.settle_call(transaction, layout, &call, outcome);
        }
        // A creation that is settled here as failed frees its key by that.
        if created {
            free_key(shared, transaction, layout, whole, found)
        } else {
            transaction
        }
    }
}

/// Where the key of an ad-hoc creation lies.
fn key_of(layout: &Layout, whole: &Whole) -> Option<Key> {
    let digest = whole.context.value.key.as_ref()?;
    Some(layout.idempotency(digest))
}

/// C5: the key of an ad-hoc creation goes with its context, which took one job or none; unless it
/// was cleaned up, or belongs to a later creation.
fn free_key(
    shared: &mut Shared,
    transaction: Transaction,
    layout: &Layout,
    whole: &Whole,
    found: &Snapshot,
) -> Transaction {
    let Some(key) = key_of(layout, whole) else {
        return transaction;
    };
    let creation = KeyObject::Call(CallId::new(whole.context.value.id.as_str()));
    match decoded::<KeyRecord>(shared, found, &key, "a key") {
        Some(record) if record.value.object == creation => transaction.delete(key, record.version),
        Some(_) | None => transaction,
    }
}

/// The jobs of a context that nobody has ended; damaged ones are reported and left.
fn unended(
    shared: &mut Shared,
    layout: &Layout,
    id: &ContextId,
    found: &Snapshot,
) -> Vec<(Key, Versioned<JobRecord>)> {
    let folder = layout.jobs(id);
    let read: Vec<Result<(Key, Versioned<JobRecord>), RecordError>> = found
        .in_folder(&folder)
        .map(|(key, stored)| decode(key, "a job", stored).map(|job| (key.clone(), job)))
        .collect();
    let mut jobs: Vec<(Key, Versioned<JobRecord>)> = Vec::new();
    for one in read {
        match one {
            Ok(job) if !job.1.value.state.is_final() => jobs.push(job),
            Ok(_) => {}
            Err(error) => shared.warn(&error),
        }
    }
    jobs.truncate(JOBS_AT_ONCE);
    jobs
}

/// A running job ends with its attempt; one that was not admitted is refused in place, so that its
/// gateway sees it.
fn end_jobs(
    shared: &Shared,
    mut transaction: Transaction,
    layout: &Layout,
    whole: &Whole,
    jobs: Vec<(Key, Versioned<JobRecord>)>,
) -> Transaction {
    let orderly = whole.context.value.ending == Some(ContextState::Finished);
    let name = &whole.context.value.name;
    let now = shared.stamps.now(shared.now);
    for (key, job) in jobs {
        let mut record = job.value;
        record.ended = Some(now);
        if record.state == JobState::Submitted {
            record.state = JobState::Refused {
                refusal: JobRefusal::ContextGone,
            };
            transaction = transaction.put(key, encode(&record), job.version);
        } else {
            let message = if orderly {
                format!("Context ({name}) for this job was terminated")
            } else {
                format!("Unexpected termination of context {}", record.context)
            };
            let cause = whole.context.value.error.as_ref();
            record.state = JobState::Error;
            record.error = Some(JobError {
                message,
                error_class: String::new(),
                stack: cause.map(|cause| cause.stack.clone()).unwrap_or_default(),
            });
            transaction = transaction
                .delete(key, job.version)
                .delete(layout.job_context(&record.id), Version(0))
                .create(layout.done(&record.id), encode(&record));
        }
    }
    transaction
}
