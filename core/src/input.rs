//! Everything that a process is told: one closed enum, so that a run can be recorded and replayed.

use crate::identity::{Address, CallId, ContextId, Identity, Incarnation, JobId};
use crate::records::call::CallOperation;
use crate::records::context::IntentNumber;
use crate::records::job::{ClassPathEntry, JobError, JobRefusal, Payload};
use crate::records::transaction::{Change, CommitOutcome, ReadOutcome};
use crate::wire::{Beat, Message};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Names one store call of one process; answers carry it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ticket(pub u64);

/// Names one request that the process's host waits for; drawn by the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequestId(pub u64);

/// One thing that a process is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A peer sent this.
    Message {
        /// Which life of which address, as its handshake proved.
        from: Identity,
        /// What it sent.
        message: Message,
    },
    /// A peer's heartbeat, from the lane of its own.
    Beat(Beat),
    /// A connection came, broke, or could not be made.
    Link(LinkEvent),
    /// The time that `poll_timeout` named has come.
    Timeout,
    /// The host asks for something.
    Command(Command),
    /// The store answered a commit, or did not.
    Committed {
        /// Which commit.
        ticket: Ticket,
        /// The answer.
        outcome: CommitOutcome,
    },
    /// The store answered a read, or did not.
    Read {
        /// Which read.
        ticket: Ticket,
        /// The answer.
        outcome: ReadOutcome,
    },
    /// Something changed in the store.
    StoreChanged(Change),
    /// What became of an effect, or what an engine did.
    EffectReport(EffectReport),
}

/// What the transport learned of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkEvent {
    /// A connection to this incarnation is there and proved.
    Up {
        /// Who is at the other end.
        peer: Identity,
    },
    /// The last connection to this incarnation broke.
    Down {
        /// Who was at the other end.
        peer: Identity,
    },
    /// A new dial was refused by the peer itself (a reset): nothing listens there (S4).
    Refused {
        /// Who was dialled.
        address: Address,
    },
    /// A new dial was not answered: no route, filtered, unreachable or timed out. Silence (S4).
    Silent {
        /// Who was dialled.
        address: Address,
    },
    /// The peer is none of ours: another cluster, store or protocol version (F7).
    Rejected {
        /// Who was dialled.
        address: Address,
        /// The refusal, naming both sides.
        reason: String,
    },
}

/// What the host asks of its process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Take a call that changes contexts.
    Call {
        /// Where the answer goes.
        request: RequestId,
        /// The call.
        call: NewCall,
    },
    /// Take a job.
    Submit {
        /// Where the answer goes.
        request: RequestId,
        /// The job.
        job: NewJob,
    },
    /// Kill a job.
    KillJob {
        /// Where the answer goes.
        request: RequestId,
        /// Which.
        job: JobId,
    },
    /// The client that waits is gone; whatever was asked goes on.
    Forget {
        /// Which request.
        request: RequestId,
    },
    /// Leave the cluster in order and stop (S3).
    Leave,
}

/// A key of idempotency that came with a request (C5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestKey {
    /// The digest of user, route and key: where the record lies.
    pub digest: String,
    /// The digest of the request's content.
    pub request: String,
}

/// A call as the gateway takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCall {
    /// A fresh id.
    pub id: CallId,
    /// Who asks.
    pub user: String,
    /// The route, as `POST /contexts`.
    pub route: String,
    /// Its key of idempotency.
    pub key: Option<RequestKey>,
    /// What it asks.
    pub operation: CallOperation,
    /// How long the client waits for the object to get where the route wants it, and within how
    /// long it must be decided, both bounded by `gateway_hold` (C4); zero: as long as that.
    pub wait: Duration,
}

/// The context of its own that a job gets (rest-api.md 5.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAdhoc {
    /// A fresh id: that of the call that creates the context, and so of the context.
    pub call: CallId,
    /// Its settings, merged with the server's defaults: JSON text.
    pub settings: String,
    /// How long the client waits for it to run.
    pub wait: Duration,
}

/// A job as the gateway takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewJob {
    /// A fresh id.
    pub id: JobId,
    /// The name of the context to run in: one that exists, or that is made for it.
    pub context_name: String,
    /// The context that is made for it; a repeated request of the same key gets the context that
    /// the first one made (C5).
    pub adhoc: Option<NewAdhoc>,
    /// The class to run, or the first argument of an executable.
    pub main_class: String,
    /// The class path, resolved.
    pub class_path: Vec<ClassPathEntry>,
    /// The posted configuration: JSON text.
    pub config: Payload,
    /// Wait for the result.
    pub sync: bool,
    /// Who submits.
    pub user: String,
    /// Its key of idempotency.
    pub key: Option<RequestKey>,
    /// How long the client waits, once the context runs.
    pub wait: Duration,
}

/// What the launcher, the keeper or the engine reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EffectReport {
    /// Server: the driver process of this intent was started, or could not be.
    Launched {
        /// For which context.
        context: ContextId,
        /// By which intent.
        intent: IntentNumber,
        /// Why it could not be started.
        error: Option<JobError>,
    },
    /// Server: whether an attempt's processes are gone (E3).
    Verified {
        /// Of which context.
        context: ContextId,
        /// The driver of the attempt; `None` when no driver had taken it.
        driver: Option<Incarnation>,
        /// What was found.
        verdict: Verdict,
        /// The last output of the driver or its engine, for the error.
        last_output: String,
    },
    /// Driver: the engine is ready for jobs.
    EngineReady {
        /// Spark's application id, if it has one.
        application_id: Option<String>,
        /// Address of the Spark UI, if it is on.
        url: Option<String>,
    },
    /// Driver: the engine could not be started, or it died. Its last output is in the stack.
    EngineEnded {
        /// Whether it ended because it was told to.
        orderly: bool,
        /// Why, otherwise.
        error: Option<JobError>,
    },
    /// Driver: the job is loaded and its validation has passed; it runs.
    JobRunning {
        /// Which.
        job: JobId,
    },
    /// Driver: the job was refused before it ran.
    JobRefused {
        /// Which.
        job: JobId,
        /// Why.
        refusal: JobRefusal,
    },
    /// Driver: the job returned, and its result is kept (J4).
    JobFinished {
        /// Which.
        job: JobId,
        /// Its result.
        result: Payload,
    },
    /// Driver: the job failed.
    JobFailed {
        /// Which.
        job: JobId,
        /// Why.
        error: JobError,
    },
    /// Driver: the job's process is gone because it was told to kill it.
    JobKilled {
        /// Which.
        job: JobId,
        /// What it took: `cancelled`, `terminated` or `killed`.
        rung: String,
    },
}

/// What is known of an attempt's processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Proof: its lock is free and no process carries its mark, or the host has booted since.
    Dead,
    /// It lives.
    Alive,
    /// Cannot be told: another host, no permission.
    Unknown,
}
