//! A request to kill a job: written into its record, answered when the job is over.

use super::job_writes::hint;
use super::{DriverLinks, Next, watch};
use crate::identity::{ContextId, JobId};
use crate::output::Answer;
use crate::planted::planted;
use crate::records::encode;
use crate::records::job::{JobContextRecord, JobRecord, JobState};
use crate::records::key::{Key, Layout};
use crate::records::transaction::{CommitOutcome, Snapshot};
use crate::server::follow::decoded;
use crate::server::shared::Shared;

/// A request to kill a job.
#[derive(Clone, Debug)]
pub(super) struct KillRequest {
    job: JobId,
    context: Option<ContextId>,
    asked: bool,
    /// The job was in neither of its places when we looked last.
    missed: bool,
}

impl KillRequest {
    pub(super) const fn new(job: JobId) -> Self {
        Self {
            job,
            context: None,
            asked: false,
            missed: false,
        }
    }

    pub(super) fn expired(&self) -> Answer {
        Answer::JobWaiting {
            job: self.job.clone(),
        }
    }

    pub(super) fn go_on(&mut self, shared: &mut Shared) -> Next {
        shared.layout().map_or(Next::Again, |layout| {
            Next::Look(watch(self.records(&layout)))
        })
    }

    pub(super) fn looked(&mut self, shared: &mut Shared, found: &Snapshot) -> Next {
        let Some(layout) = shared.layout() else {
            return Next::Again;
        };
        let done = decoded::<JobRecord>(shared, found, &layout.done(&self.job), "a final job");
        if let Some(done) = done {
            return Next::Answer(Answer::JobDone(Box::new(done.value)));
        }
        let Some(context) = self.context.clone() else {
            let key = layout.job_context(&self.job);
            let live = decoded::<JobContextRecord>(shared, found, &key, "a job's context");
            let Some(live) = live else {
                return self.missed(&layout);
            };
            self.missed = false;
            self.context = Some(live.value.context);
            return Next::Look(watch(self.records(&layout)));
        };
        let key = layout.job(&context, &self.job);
        let Some(live) = decoded::<JobRecord>(shared, found, &key, "a job") else {
            return self.missed(&layout);
        };
        self.missed = false;
        if matches!(live.value.state, JobState::Refused { .. }) {
            return Next::Answer(Answer::JobNotFound);
        }
        if live.value.kill || self.asked {
            return Next::Watch(watch(self.records(&layout)));
        }
        let mut record = live.value;
        record.kill = true;
        Next::Write(
            shared
                .outbox
                .transaction()
                .put(key, encode(&record), live.version),
        )
    }

    pub(super) fn committed(
        &mut self,
        shared: &mut Shared,
        links: &DriverLinks,
        outcome: &CommitOutcome,
    ) -> Next {
        let Some(layout) = shared.layout() else {
            return Next::Again;
        };
        let unknown = planted!(KillUnknownIsDone) && *outcome == CommitOutcome::Unknown;
        if unknown || matches!(outcome, CommitOutcome::Committed { .. }) {
            self.asked = true;
            if let Some(context) = &self.context {
                hint(shared, links, context, &self.job);
            }
            return Next::Watch(watch(self.records(&layout)));
        }
        Next::Look(watch(self.records(&layout)))
    }

    /// A job that is in neither of its places is looked for once more: a read of several records is no
    /// snapshot on every backend, and may miss in both a job that becomes final meanwhile.
    fn missed(&mut self, layout: &Layout) -> Next {
        self.missed = !self.missed;
        if self.missed {
            Next::Look(watch(self.records(layout)))
        } else {
            Next::Answer(Answer::JobNotFound)
        }
    }

    fn records(&self, layout: &Layout) -> Vec<Key> {
        let live = match &self.context {
            Some(context) => layout.job(context, &self.job),
            None => layout.job_context(&self.job),
        };
        vec![live, layout.done(&self.job)]
    }
}
