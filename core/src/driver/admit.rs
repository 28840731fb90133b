//! What a listing of the jobs says, and what is done with each job (protocol.md J2).

use super::attempt::Engine;
use super::desk::{Desk, look};
use super::ending::Reason;
use super::slots::{Job, Jobs, Outcome, Stage, WAITING_MAX};
use crate::identity::JobId;
use crate::output::{Effect, Output};
use crate::planted::planted;
use crate::records::Versioned;
use crate::records::job::{JobError, JobRecord, JobRefusal, JobState};
use crate::records::transaction::Snapshot;
use std::collections::BTreeSet;

impl Jobs {
    /// Takes a listing. An older version than the one that is known is an old answer: passed over.
    pub(super) fn observe(&mut self, found: &Snapshot, read: u64, desk: &mut Desk) {
        let folder = desk.keys.jobs.clone();
        let mut present = BTreeSet::new();
        self.more = false;
        for (key, stored) in found.in_folder(&folder) {
            let record = match look::<JobRecord>(found, key, "a job") {
                Ok(Some(record)) => record,
                Ok(None) => continue,
                Err(error) => {
                    // Its content says nothing, but it is there: a job that is known goes on, and
                    // its next write mends the record.
                    let id = JobId::new(key.name());
                    if let Some(job) = self.table.get_mut(&id) {
                        job.version = job.version.max(stored.version);
                    }
                    present.insert(id);
                    desk.warn_of(key, error.to_string());
                    continue;
                }
            };
            if record.value.id.as_str() != key.name() {
                let text = format!("record `{key}` says that it is job {}", record.value.id);
                desk.warn_of(key, text);
                continue;
            }
            present.insert(record.value.id.clone());
            self.found(record, desk);
        }
        let absent: Vec<JobId> = self
            .table
            .keys()
            .filter(|id| !present.contains(*id))
            .cloned()
            .collect();
        for id in absent {
            let done = found.records.contains_key(&desk.layout.done(&id));
            self.absent(&id, done, desk);
        }
        for job in self.table.values_mut() {
            job.await_read = job.await_read.filter(|awaited| *awaited > read);
        }
        self.asked.clear();
    }

    fn found(&mut self, found: Versioned<JobRecord>, desk: &Desk) {
        let id = found.value.id.clone();
        if self.is_over(&id) {
            return;
        }
        self.seen = true;
        if let Some(job) = self.table.get_mut(&id) {
            if found.version < job.version {
                return;
            }
            let kill = job.record.kill || found.value.kill;
            job.version = found.version;
            job.record = found.value;
            job.record.kill = kill;
            if job.write.is_none() && matches!(job.record.state, JobState::Refused { .. }) {
                self.settle(&id);
            }
            return;
        }
        let stage = match found.value.state {
            JobState::Submitted => Stage::Waiting,
            // An earlier attempt ran it, and whoever ended that attempt did not get to the end.
            JobState::Running => {
                let error = unexpected(desk, None);
                Stage::Ending(Outcome::failed(error, desk.stamp()))
            }
            JobState::Refused { .. } | JobState::Finished | JobState::Error | JobState::Killed => {
                return;
            }
        };
        if self.waiting() >= WAITING_MAX {
            self.more = true;
            return;
        }
        self.table
            .insert(id, Job::new(found.value, found.version, stage));
    }

    /// A job is not where it was: its end was stored, or somebody removed it.
    fn absent(&mut self, id: &JobId, done: bool, desk: &mut Desk) {
        let asked = self.asked.contains(id);
        let Some(job) = self.table.get_mut(id) else {
            return;
        };
        if job.write.is_some() {
            return;
        }
        if done {
            self.settle(id);
            return;
        }
        match &job.stage {
            Stage::Waiting => {
                self.table.remove(id);
            }
            Stage::Refusing(_) => self.settle(id),
            Stage::Started | Stage::Running | Stage::Ending(_) if !asked => {
                job.await_read = Some(desk.listing.mark());
            }
            Stage::Started | Stage::Running => {
                job.stage = Stage::Vanished;
                job.record.kill = true;
                let key = desk.layout.job(&desk.launch.context, id);
                desk.warn_of(
                    &key,
                    format!("`{key}` was removed while the job runs: killed"),
                );
            }
            Stage::Ending(_) => {
                let key = desk.layout.job(&desk.launch.context, id);
                desk.warn_of(
                    &key,
                    format!("`{key}` was removed before its end was stored"),
                );
                self.settle(id);
            }
            Stage::Vanished => {}
        }
    }

    /// Decides about every job, in order of their ids.
    pub(super) fn decide(&mut self, engine: Engine, reason: Option<&Reason>, desk: &mut Desk) {
        let max = desk.config.limits().jobs_per_context;
        let slots = usize::try_from(max).unwrap_or(usize::MAX);
        let blocked = self.is_blocked();
        let (mut engaged, mut busy) = (self.engaged(), self.busy());
        for (id, job) in &mut self.table {
            match job.stage {
                Stage::Waiting if job.record.kill && !planted!(KillForgotten) => {
                    let outcome = Outcome::killed(id, "not started", desk.stamp());
                    job.stage = Stage::Ending(outcome);
                }
                Stage::Waiting => {
                    if let Some(reason) = reason {
                        job.stage = Stage::Refusing(reason.refusal());
                    } else if engine.is_ready()
                        && !blocked
                        && (engaged < slots || (planted!(SlotTooMany) && engaged == slots))
                    {
                        job.stage = Stage::Started;
                        job.kill_sent |= planted!(KillForgotten) && job.record.kill;
                        (engaged, busy) = (engaged.saturating_add(1), busy.saturating_add(1));
                        let job = Box::new(job.record.clone());
                        desk.outbox.push(Output::Effect(Effect::StartJob { job }));
                    } else if engine.is_ready() && !blocked && busy >= slots {
                        job.stage = Stage::Refusing(JobRefusal::NoSlots { max });
                    }
                }
                Stage::Started | Stage::Running | Stage::Vanished => {
                    if job.record.kill && !job.kill_sent && engine.is_ready() {
                        job.kill_sent = true;
                        let job = id.clone();
                        desk.outbox.push(Output::Effect(Effect::KillJob { job }));
                    }
                }
                Stage::Refusing(_) | Stage::Ending(_) => {}
            }
        }
        if self.more && self.waiting() < WAITING_MAX / 2 {
            self.more = false;
            desk.listing.mark();
        }
    }
}

/// The error of a job whose context ended without being asked (rest-api.md 6.2).
pub(super) fn unexpected(desk: &Desk, cause: Option<&JobError>) -> JobError {
    let cause = cause.cloned().unwrap_or_default();
    JobError {
        message: format!("Unexpected termination of context {}", desk.launch.context),
        ..cause
    }
}
