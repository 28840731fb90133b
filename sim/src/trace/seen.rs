//! One observation of a run.

use crate::schedule::model::Request;
use doyen_core::identity::{ContextId, Identity, Incarnation, JobId, Role};
use doyen_core::input::{Input, RequestId, Verdict};
use doyen_core::output::{Answer, Output, StopReason};
use doyen_core::process::ClusterView;
use doyen_core::records::context::{IntentNumber, Owner};
use doyen_core::records::key::Key;
use doyen_core::records::model::StoreModel;
use doyen_core::records::transaction::{CommitOutcome, Stored, Transaction};
use doyen_core::time::{Stamp, Time};
use std::collections::BTreeSet;

/// A place where processes live, one after the other: a server's address, or one driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u16);

/// The phase of a run (design.md 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// From the start to the first fault.
    WarmUp,
    /// Faults come and go: safety.
    Faults,
    /// Every fault has ended, every server was started again: liveness.
    Converge,
    /// The run is over; results are read at every server.
    Final,
}

/// How a life ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// `kill -9`, by a fault or by an effect of another process.
    Killed,
    /// It stopped itself.
    Stopped(StopReason),
}

/// What became of a commit, as the store knows it.
#[derive(Clone, Debug)]
pub struct Written<'a> {
    /// Who sent it.
    pub by: &'a Identity,
    /// What.
    pub transaction: &'a Transaction,
    /// Committed or refused: the truth, whatever its sender is told.
    pub outcome: &'a CommitOutcome,
    /// Whether its sender is told; otherwise the outcome is unknown to it.
    pub told: bool,
    /// The records that it wrote or removed.
    pub changed: &'a BTreeSet<Key>,
    /// The store after it.
    pub store: &'a StoreModel,
    /// The store's time.
    pub stamp: Stamp,
}

/// What the launcher, the keepers and the engines really did: the effects' own log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// A driver process was started for an intent.
    DriverStarted {
        /// Of which context.
        context: ContextId,
        /// By which intent.
        intent: IntentNumber,
        /// Which process.
        driver: Incarnation,
    },
    /// A driver's engine child was started.
    EngineStarted {
        /// Of which context.
        context: ContextId,
        /// By which driver.
        driver: Incarnation,
    },
    /// An engine child and all that it had started is gone.
    EngineEnded {
        /// Of which context.
        context: ContextId,
        /// Of which driver.
        driver: Incarnation,
    },
    /// A job's code began to run.
    JobStarted {
        /// Which.
        job: JobId,
        /// Under which driver.
        driver: Incarnation,
    },
    /// A job's code ended, however.
    JobEnded {
        /// Which.
        job: JobId,
        /// Under which driver.
        driver: Incarnation,
    },
    /// A kill was carried out, for an intent.
    Killed {
        /// Of which context.
        context: ContextId,
        /// By which intent.
        intent: IntentNumber,
        /// Who was meant.
        owner: Owner,
        /// Who was hit, if anybody.
        hit: Option<Incarnation>,
    },
    /// A verdict was given about an attempt.
    Verified {
        /// Of which context.
        context: ContextId,
        /// Of which driver.
        driver: Option<Incarnation>,
        /// What was said.
        verdict: Verdict,
        /// Whether anything of the attempt really lived.
        lives: bool,
    },
}

/// One observation.
#[derive(Clone, Debug)]
pub enum Seen<'a> {
    /// A phase begins.
    Phase(Phase),
    /// A life begins.
    Began {
        /// Where.
        node: NodeId,
        /// The name of the place: `s1`, or `driver-of(c1)#2`.
        name: &'a str,
        /// Who.
        identity: &'a Identity,
        /// What it does.
        role: Role,
    },
    /// A life ended.
    Ended {
        /// Where.
        node: NodeId,
        /// Who.
        identity: &'a Identity,
        /// How.
        how: &'a Ended,
    },
    /// A process is stopped by SIGSTOP or suspended, or goes on.
    Paused {
        /// Where.
        node: NodeId,
        /// Whether it stands still from now on.
        paused: bool,
    },
    /// Core was told this, at this time of its own clock.
    Input {
        /// Where.
        node: NodeId,
        /// Its own time.
        clock: Time,
        /// What.
        input: &'a Input,
    },
    /// Core wanted this.
    Output {
        /// Where.
        node: NodeId,
        /// What.
        output: &'a Output,
    },
    /// Something that core wanted was never carried out, since its process died before.
    Lost {
        /// Where.
        node: NodeId,
        /// What.
        output: &'a Output,
    },
    /// The store worked on a commit.
    Store(Written<'a>),
    /// Something was done outside the cluster.
    Deed {
        /// Where: the server or driver whose host did it.
        node: NodeId,
        /// What.
        deed: &'a Deed,
    },
    /// A client asked something.
    Asked {
        /// Of whom.
        node: NodeId,
        /// Names it.
        request: RequestId,
        /// What.
        what: &'a Request,
        /// With which key of idempotency.
        key: Option<&'a str>,
        /// The job's id, when it is a submission.
        job: Option<&'a JobId>,
        /// Until when the client waits, by the world's time.
        deadline: Time,
    },
    /// A client was answered; `None` when its server was gone (connection refused or reset).
    Answered {
        /// By whom.
        node: NodeId,
        /// Which.
        request: RequestId,
        /// How.
        answer: Option<&'a Answer>,
    },
    /// A client's read was answered.
    Read {
        /// By whom.
        node: NodeId,
        /// Which.
        request: RequestId,
        /// Which record.
        key: &'a Key,
        /// What was found; the outer `None` when the answer was marked stale or failed.
        found: Option<Option<&'a Stored>>,
    },
    /// A fault begins or ends.
    Fault {
        /// Its index in the schedule.
        index: usize,
        /// Whether it begins.
        begins: bool,
        /// Whom it hits.
        hits: &'a [NodeId],
    },
    /// The engine looks at every living process, each simulated second.
    Views {
        /// Where, whose, what.
        views: &'a [(NodeId, ClusterView)],
    },
    /// A process wants to be woken for nothing, again and again.
    Spins {
        /// Where.
        node: NodeId,
    },
    /// A process panicked while it was told something; its life ends here.
    Panicked {
        /// Where.
        node: NodeId,
        /// What it said, and where in the code.
        message: &'a str,
    },
}

/// Who listens to a run.
pub trait Sink {
    /// One observation, in order of time; `at` is the world's own time.
    fn seen(&mut self, at: Time, seen: &Seen<'_>);

    /// Whether everything that the run waits for after the heal has come to pass, so that it may
    /// end early. Asked after each `Seen::Views` of the last phases.
    fn is_settled(&self) -> bool;
}

impl<T: Sink + ?Sized> Sink for &mut T {
    fn seen(&mut self, at: Time, seen: &Seen<'_>) {
        (**self).seen(at, seen);
    }

    fn is_settled(&self) -> bool {
        (**self).is_settled()
    }
}
