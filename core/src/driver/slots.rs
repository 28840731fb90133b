//! The jobs that a driver knows, and the slots of its context (protocol.md J2).
//!
//! | stage | the engine | the record should become |
//! | --- | --- | --- |
//! | `Waiting` | does not know it | – |
//! | `Started` | loads and validates it | – |
//! | `Running` | runs it | `Running` |
//! | `Refusing` | is done with it, or never had it | `Refused`, in place (J3) |
//! | `Ending` | is done with it | final, moved to `done/` |
//! | `Vanished` | is told to kill it | gone already |

use crate::identity::JobId;
use crate::input::Ticket;
use crate::records::job::{JobError, JobRecord, JobRefusal, JobState, Payload};
use crate::records::transaction::Version;
use crate::time::Stamp;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// How many jobs without a slot are kept in memory; the rest stays in the store until these are
/// gone.
pub(super) const WAITING_MAX: usize = 64;
/// How many jobs that are over are remembered, so that an old listing does not bring them back.
const OVER_MAX: usize = 1_024;
/// The most bytes of a message of an error that a record carries.
const MESSAGE_BYTES_MAX: usize = 8 * 1024;
/// The most bytes of a stack that a record carries.
const STACK_BYTES_MAX: usize = 16 * 1024;

/// How a job ended; kept until the store has it (J4).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outcome {
    pub(super) state: JobState,
    pub(super) result: Option<Payload>,
    pub(super) error: Option<JobError>,
    pub(super) ended: Stamp,
}

impl Outcome {
    /// It returned.
    pub(super) const fn finished(result: Payload, ended: Stamp) -> Self {
        Self {
            state: JobState::Finished,
            result: Some(result),
            error: None,
            ended,
        }
    }

    /// It failed, or its attempt ended. Long texts are cut, so that the record fits (W6).
    pub(super) fn failed(error: JobError, ended: Stamp) -> Self {
        Self {
            state: JobState::Error,
            result: None,
            error: Some(cut(error)),
            ended,
        }
    }

    /// It was killed; `rung` says what it took (rest-api.md 6.2).
    pub(super) fn killed(id: &JobId, rung: &str, ended: Stamp) -> Self {
        let error = JobError {
            message: format!("Job {id} killed"),
            error_class: "spark.jobserver.JobManagerActor$JobKilledException".to_owned(),
            stack: format!("rung: {rung}"),
        };
        Self {
            state: JobState::Killed,
            ..Self::failed(error, ended)
        }
    }
}

/// An error whose texts are within their bounds: the head of the message, the tail of the stack.
pub(super) fn cut(mut error: JobError) -> JobError {
    for text in [&mut error.message, &mut error.error_class] {
        let end = text.floor_char_boundary(MESSAGE_BYTES_MAX.min(text.len()));
        text.truncate(end);
    }
    let from = error.stack.len().saturating_sub(STACK_BYTES_MAX);
    let from = error.stack.ceil_char_boundary(from);
    error.stack.drain(..from);
    error
}

/// How far a job is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Stage {
    Waiting,
    Started,
    Running,
    Refusing(JobRefusal),
    Ending(Outcome),
    Vanished,
}

/// What a commit about a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Run,
    Refuse,
    End,
}

/// A commit about a job that is under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct JobWrite {
    pub(super) ticket: Ticket,
    pub(super) step: Step,
    /// The version that it replaces.
    pub(super) version: Version,
}

/// One job.
#[derive(Clone, Debug)]
pub(super) struct Job {
    /// Its record as it was read or written last.
    pub(super) record: JobRecord,
    pub(super) version: Version,
    pub(super) stage: Stage,
    /// The engine said that it runs, to this driver or to an earlier one.
    pub(super) ran: bool,
    pub(super) kill_sent: bool,
    /// The commit under way.
    pub(super) write: Option<JobWrite>,
    /// The listing that must be answered before anything is decided about it again.
    pub(super) await_read: Option<u64>,
    /// Commits that the store did not answer, in a row.
    pub(super) failures: u32,
    /// Commits that were refused, in a row.
    pub(super) refusals: u32,
    /// Its `job-context` record was found missing.
    pub(super) index_missing: bool,
}

impl Job {
    pub(super) fn new(record: JobRecord, version: Version, stage: Stage) -> Self {
        Self {
            ran: record.state == JobState::Running,
            record,
            version,
            stage,
            kill_sent: false,
            write: None,
            await_read: None,
            failures: 0,
            refusals: 0,
            index_missing: false,
        }
    }

    /// What is to be committed now.
    pub(super) fn step(&self) -> Option<Step> {
        if self.write.is_some() || self.await_read.is_some() {
            return None;
        }
        match &self.stage {
            Stage::Waiting | Stage::Started | Stage::Vanished => None,
            Stage::Running => (self.record.state == JobState::Submitted).then_some(Step::Run),
            Stage::Refusing(_) => Some(Step::Refuse),
            Stage::Ending(_) => Some(Step::End),
        }
    }

    /// Whether the engine has it.
    pub(super) const fn is_busy(&self) -> bool {
        matches!(
            self.stage,
            Stage::Started | Stage::Running | Stage::Vanished
        )
    }
}

/// The jobs of a context.
#[derive(Clone, Debug, Default)]
pub(super) struct Jobs {
    pub(super) table: BTreeMap<JobId, Job>,
    over: BTreeSet<JobId>,
    over_order: VecDeque<JobId>,
    /// Whose `done` record the outstanding listing asks for.
    pub(super) asked: BTreeSet<JobId>,
    /// The last listing had more jobs than are kept here.
    pub(super) more: bool,
    /// A job was seen.
    pub(super) seen: bool,
    /// A job is final or refused, in the store.
    pub(super) settled: bool,
}

impl Jobs {
    /// Jobs that the engine has.
    pub(super) fn busy(&self) -> usize {
        self.table.values().filter(|job| job.is_busy()).count()
    }

    /// Jobs that hold a slot: those, and those whose end is not stored yet.
    pub(super) fn engaged(&self) -> usize {
        let holds = |job: &&Job| job.is_busy() || matches!(job.stage, Stage::Ending(_));
        self.table.values().filter(holds).count()
    }

    /// Jobs without a slot.
    pub(super) fn waiting(&self) -> usize {
        let waits = |job: &&Job| job.stage == Stage::Waiting;
        self.table.values().filter(waits).count()
    }

    /// Whether an end could not be stored: no new job starts meanwhile (J4).
    pub(super) fn is_blocked(&self) -> bool {
        let kept = |job: &Job| matches!(job.stage, Stage::Ending(_)) && job.failures > 0;
        self.table.values().any(kept)
    }

    /// Forgets a job that is over in the store.
    pub(super) fn settle(&mut self, id: &JobId) {
        self.table.remove(id);
        self.settled = true;
        if self.over.insert(id.clone()) {
            self.over_order.push_back(id.clone());
        }
        if self.over_order.len() > OVER_MAX
            && let Some(oldest) = self.over_order.pop_front()
        {
            self.over.remove(&oldest);
        }
    }

    /// Whether this driver saw the job's end.
    pub(super) fn is_over(&self, id: &JobId) -> bool {
        self.over.contains(id)
    }

    /// The jobs whose outcome must be looked up.
    pub(super) fn in_doubt(&self) -> BTreeSet<JobId> {
        let doubtful = |(id, job): (&JobId, &Job)| job.await_read.map(|_| id.clone());
        self.table.iter().filter_map(doubtful).collect()
    }
}
