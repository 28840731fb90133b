//! What a gateway writes of a job, what it removes, and how it answers a final one (protocol.md J1
//! to J3).

use super::{DriverLinks, create_key};
use crate::identity::{ContextId, JobId};
use crate::input::NewJob;
use crate::output::Answer;
use crate::records::call::KeyObject;
use crate::records::context::ContextRecord;
use crate::records::encode;
use crate::records::job::{JobContextRecord, JobRecord, JobState};
use crate::records::key::Layout;
use crate::records::transaction::{Transaction, Version};
use crate::server::shared::Shared;
use crate::wire::Message;

/// Writes a job for the attempt whose owner was seen, with its key (J1, C5).
pub(super) fn submission(
    job: &NewJob,
    shared: &mut Shared,
    layout: &Layout,
    context: &ContextId,
    record: &ContextRecord,
    owner: Version,
) -> Transaction {
    let value = JobRecord {
        id: job.id.clone(),
        context: context.clone(),
        context_name: record.name.clone(),
        main_class: job.main_class.clone(),
        class_path: job.class_path.clone(),
        config: job.config.clone(),
        sync: job.sync,
        user: job.user.clone(),
        state: JobState::Submitted,
        kill: false,
        started: shared.stamps.now(shared.now),
        ended: None,
        never_ran: false,
        error: None,
        result: None,
        key: job.key.as_ref().map(|key| key.digest.clone()),
        rest: Default::default(),
    };
    let place = JobContextRecord {
        context: context.clone(),
    };
    let transaction = shared
        .outbox
        .transaction()
        .check(layout.owner(context), owner)
        .check_absent(layout.done(&job.id))
        .create(layout.job(context, &job.id), encode(&value))
        .create(layout.job_context(&job.id), encode(&place));
    let object = KeyObject::Job(job.id.clone());
    create_key(transaction, layout, job.key.as_ref(), object)
}

/// Removes a refused job: nothing of it is listed, and its key is free again (J3, C5). Its place
/// stays until the cleanup, so that no submission whose answer was lost makes the job again
/// (ADR 0015); unless the request writes the job again itself, in another context.
pub(super) fn withdraw(
    shared: &mut Shared,
    layout: &Layout,
    job: &JobRecord,
    version: Version,
    comes_again: bool,
) -> Transaction {
    let mut transaction = shared
        .outbox
        .transaction()
        .delete(layout.job(&job.context, &job.id), version);
    if comes_again {
        transaction = transaction.delete(layout.job_context(&job.id), Version(0));
    }
    match &job.key {
        Some(digest) => transaction.delete(layout.idempotency(digest), Version(0)),
        None => transaction,
    }
}

/// A job is acknowledged only if its validation has passed (J2): one that failed or was killed
/// before is answered as it ended, also to a client that does not wait (rest-api.md 5.4).
pub(super) fn over(job: &NewJob, record: JobRecord) -> Answer {
    if job.sync || record.never_ran {
        Answer::JobDone(Box::new(record))
    } else {
        Answer::JobAccepted(Box::new(record))
    }
}

pub(super) fn hint(shared: &mut Shared, links: &DriverLinks, context: &ContextId, job: &JobId) {
    if let Some(driver) = links.get(context) {
        let message = Message::JobHint {
            context: context.clone(),
            job: job.clone(),
        };
        shared.outbox.send(driver, message);
    }
}
