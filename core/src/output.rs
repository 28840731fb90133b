//! Everything that a process wants done: one closed enum, compared as values in tests.

use crate::identity::ClusterId;
use crate::identity::{Address, ContextId, Identity, Incarnation, JobId};
use crate::input::{RequestId, Ticket};
use crate::records::call::CallOutcome;
use crate::records::cluster::{Generation, Secret};
use crate::records::context::{ContextRecord, IntentNumber, Owner};
use crate::records::job::{JobRecord, JobRefusal};
use crate::records::singleton::Epoch;
use crate::records::transaction::{Query, Transaction};
use crate::wire::{Beat, Message};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// One thing that a process wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Send this over a connection to that incarnation; dropped when there is none.
    Send {
        /// To whom.
        to: Identity,
        /// What.
        message: Message,
    },
    /// From now on keep connections dialled to these addresses and no others. A broken connection
    /// is dialled again at once, then with growing pauses of at most a second.
    Dial {
        /// To whom.
        addresses: BTreeSet<Address>,
    },
    /// What to prove in handshakes from now on (design.md 7); `None` before a cluster is known.
    Credentials(Option<Credentials>),
    /// Repeat this beat to these addresses, each at its interval, until another one replaces it.
    /// The beat thread stops when it was not renewed for 500 ms (S6).
    Beat(BeatPlan),
    /// Commit this transaction; answer with `Input::Committed`.
    Commit {
        /// Names the answer.
        ticket: Ticket,
        /// What to commit.
        transaction: Transaction,
    },
    /// Read this in a round of the store that begins now; answer with `Input::Read`.
    Read {
        /// Names the answer.
        ticket: Ticket,
        /// What to read.
        query: Query,
    },
    /// Do this outside the cluster; answer with `Input::EffectReport`.
    Effect(Effect),
    /// Answer a request of the host.
    Answer {
        /// Which.
        request: RequestId,
        /// How.
        answer: Answer,
    },
    /// Something that people and metrics want to know.
    Event(ClusterEvent),
    /// Stop this process; the last output of a life.
    Stop(StopReason),
}

/// Proof of membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The cluster's id.
    pub cluster: ClusterId,
    /// The cluster's secret.
    pub secret: Secret,
}

/// What to beat, and to whom.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BeatPlan {
    /// The content; the beat thread adds the sequence number.
    pub beat: Option<Beat>,
    /// Whom to send it, and how often.
    pub targets: BTreeMap<Address, Duration>,
}

/// Something to be done outside the cluster. Each carries the intent that it belongs to (W5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Server: start `doyen driver` for this context, detached (E1).
    Launch {
        /// The context, whole.
        context: Box<ContextRecord>,
        /// The intent that the driver must find when it takes its record.
        intent: IntentNumber,
    },
    /// Server: find out whether an attempt's processes are gone (E3).
    Verify {
        /// Of which context.
        context: ContextId,
        /// The owner, `None` when no driver had taken it.
        owner: Option<Owner>,
    },
    /// Server: kill an attempt's processes, then report as for `Verify` (E5).
    Kill {
        /// Of which context.
        context: ContextId,
        /// By which intent.
        intent: IntentNumber,
        /// Exactly this process.
        owner: Owner,
    },
    /// Server: remove these objects of the binary store, whose records are gone. Nothing is reported.
    DeleteObjects {
        /// Their names.
        names: Vec<String>,
    },
    /// Driver: start the engine of this context.
    StartEngine {
        /// The context, whole.
        context: Box<ContextRecord>,
    },
    /// Driver: end the engine and everything that it started.
    StopEngine,
    /// Driver: load, validate and run this job.
    StartJob {
        /// The job, whole.
        job: Box<JobRecord>,
    },
    /// Driver: kill this job: cancel its job group, then end its process.
    KillJob {
        /// Which.
        job: JobId,
    },
}

/// The answer to a request of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The call is settled.
    Call(CallOutcome),
    /// The call is accepted, but its object is not there yet: 503 `in progress` (C4).
    CallInProgress {
        /// The object.
        context: ContextId,
    },
    /// Whether it was taken is not known: 503 `unknown`; the key tells later (C4).
    Unknown,
    /// A limit is reached: 503, nothing was written (C6).
    TooMany {
        /// Which limit, with its number.
        limit: String,
    },
    /// This server takes no calls now (not listed, leaving, left out): 503.
    NotReady {
        /// Why.
        reason: String,
    },
    /// The key was used with another request: 422 (C5).
    KeyMismatch,
    /// A context of this name that takes jobs does not exist: 404.
    ContextNotFound,
    /// A job with this id does not exist: 404.
    JobNotFound,
    /// The job runs, or is over after it ran: for a request that does not wait for the result.
    JobAccepted(Box<JobRecord>),
    /// The job is over: for a request that waits for the result, or a kill; and for every request
    /// if it never ran (J2).
    JobDone(Box<JobRecord>),
    /// The job was refused before it ran; nothing of it is listed.
    JobRefused(JobRefusal),
    /// The job did not get where the request wanted it within its time; it goes on.
    JobWaiting {
        /// Which.
        job: JobId,
    },
}

/// What people and metrics want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterEvent {
    /// This process founded the cluster (F3).
    Founded {
        /// Its id.
        cluster: ClusterId,
    },
    /// This process founded the cluster again from its record (F4, F5).
    Refounded {
        /// The new generation.
        generation: Generation,
    },
    /// This server is listed.
    Listed {
        /// In which generation.
        generation: Generation,
    },
    /// The roster changed.
    RosterChanged {
        /// Its generation.
        generation: Generation,
        /// The listed servers, oldest first.
        listed: Vec<Identity>,
    },
    /// The singleton moved.
    SingletonMoved {
        /// The new epoch.
        epoch: Epoch,
        /// The new holder.
        holder: Identity,
    },
    /// This server took the office, and why.
    OfficeTaken {
        /// The new epoch.
        epoch: Epoch,
        /// By grant, proof, challenge, vacancy, split or founding.
        by: TakenBy,
    },
    /// This server finished taking over: calls are served (S9).
    OfficeReady {
        /// The epoch.
        epoch: Epoch,
    },
    /// This server lost the office to another one and serves on (W1).
    SteppedDown {
        /// The epoch that it had.
        epoch: Epoch,
    },
    /// A member is not heard any more.
    Unreachable {
        /// Who.
        member: Identity,
    },
    /// A member is heard again.
    Reachable {
        /// Who.
        member: Identity,
    },
    /// The holder is silent or hangs, and was asked through the store whether it lives (S5, S6).
    Challenged {
        /// The holder.
        member: Identity,
    },
    /// A holder is known to be dead (S4).
    ProofOfDeath {
        /// Who.
        member: Identity,
        /// How: `refused` or `replaced`.
        how: &'static str,
    },
    /// A peer has another seed list (F6) or is none of ours (F7).
    Warning {
        /// In words, naming the thing and the remedy.
        text: String,
    },
    /// The store does not answer, or does again.
    StoreReachable {
        /// Whether it does.
        reachable: bool,
    },
    /// A driver's attempt was ended.
    AttemptEnded {
        /// Of which context.
        context: ContextId,
        /// The driver, if one had taken it.
        driver: Option<Incarnation>,
        /// Whether it ended as it was asked to.
        orderly: bool,
        /// Why.
        why: String,
    },
}

impl ClusterEvent {
    /// Its name in logs, for programs that read them.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Founded { .. } => "founded",
            Self::Refounded { .. } => "refounded",
            Self::Listed { .. } => "listed",
            Self::RosterChanged { .. } => "roster-changed",
            Self::SingletonMoved { .. } => "singleton-moved",
            Self::OfficeTaken { .. } => "office-taken",
            Self::OfficeReady { .. } => "office-ready",
            Self::SteppedDown { .. } => "stepped-down",
            Self::Unreachable { .. } => "unreachable",
            Self::Reachable { .. } => "reachable",
            Self::Challenged { .. } => "challenged",
            Self::ProofOfDeath { .. } => "proof-of-death",
            Self::Warning { .. } => "warning",
            Self::StoreReachable { .. } => "store-reachable",
            Self::AttemptEnded { .. } => "attempt-ended",
        }
    }
}

/// How an office was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TakenBy {
    /// As founder.
    Founding,
    /// Given by the holder (S3).
    Grant,
    /// The holder is dead (S4).
    Proof,
    /// The holder did not answer a challenge (S5, S6).
    Challenge,
    /// The holder said that it has no store (S7).
    Vacancy,
    /// The holder was left out of the roster (R5).
    Split,
}

impl TakenBy {
    /// The word in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Founding => "founding",
            Self::Grant => "grant",
            Self::Proof => "proof",
            Self::Challenge => "challenge",
            Self::Vacancy => "vacancy",
            Self::Split => "split",
        }
    }
}

/// Why a process stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// It left in order: exit 0.
    Left,
    /// A later roster does not list it: exit 75 (R6).
    LeftOut {
        /// The generation that leaves it out.
        generation: Generation,
    },
    /// The `cluster` record vanished or changed its id: exit 75 (F7).
    ClusterChanged {
        /// In words.
        what: String,
    },
    /// Its place went to another generation: the host builds a new process with a fresh
    /// incarnation, without exit (F2).
    Reincarnate,
    /// Driver: its context is over, its engine is gone: exit 0.
    DriverDone,
    /// Driver: it came too late or lost its owner record; its engine is gone: exit 0 (W1, E2).
    DriverFenced {
        /// In words.
        what: String,
    },
}
