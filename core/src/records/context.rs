//! Contexts, who owns them, and what their drivers say of themselves (protocol.md E).

use super::Rest;
use super::job::JobError;
use crate::identity::{ContextId, Identity, Incarnation};
use crate::time::Stamp;
use serde::{Deserialize, Serialize};

/// The state of a context (lifecycle.md 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ContextState {
    /// Created; its driver is not ready.
    Started,
    /// Its driver runs jobs.
    Running,
    /// Told to stop.
    Stopping,
    /// Its driver was lost and another one is started (restart policies come later).
    Restarting,
    /// Stopped as asked.
    Finished,
    /// Its driver ended without being asked.
    Killed,
    /// It could not be started, or its attempt was lost.
    Error,
}

impl ContextState {
    /// Whether nothing changes any more.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::Started | Self::Running | Self::Stopping | Self::Restarting => false,
            Self::Finished | Self::Killed | Self::Error => true,
        }
    }

    /// The word in answers and lists.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Started => "STARTED",
            Self::Running => "RUNNING",
            Self::Stopping => "STOPPING",
            Self::Restarting => "RESTARTING",
            Self::Finished => "FINISHED",
            Self::Killed => "KILLED",
            Self::Error => "ERROR",
        }
    }
}

/// The number of an intent: every launch, stop or kill of one context has one (W5).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct IntentNumber(pub u64);

impl IntentNumber {
    /// The number of the next intent.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// What the holder wants done for a context.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "intent", rename_all = "kebab-case")]
pub enum IntentKind {
    /// Start a driver, on the host of this server.
    Launch {
        /// The server that launches it.
        launcher: Identity,
    },
    /// The driver ends its engine and itself.
    Stop,
}

/// An intent: recorded, then done, then confirmed (W5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Its number; a driver of another number comes too late (E2).
    pub number: IntentNumber,
    /// When it was recorded, by the store's clock.
    pub since: Stamp,
    /// What is wanted.
    pub kind: IntentKind,
}

/// A context.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextRecord {
    /// Its id: that of the call that created it.
    pub id: ContextId,
    /// Its name.
    pub name: String,
    /// Its settings: JSON text.
    pub settings: String,
    /// Stops by itself after its one job.
    pub adhoc: bool,
    /// Who created it.
    pub user: String,
    /// How it is.
    pub state: ContextState,
    /// What is wanted of it; `None` once it runs and nothing is wanted.
    pub intent: Option<Intent>,
    /// The state that it will be final in, once the holder has ended its attempt: whoever holds
    /// the office then finishes what is left (S9).
    pub ending: Option<ContextState>,
    /// When it was accepted.
    pub started: Stamp,
    /// When it became final.
    pub ended: Option<Stamp>,
    /// Why it failed.
    pub error: Option<JobError>,
    /// Spark's application id, once the driver said it.
    pub application_id: Option<String>,
    /// Address of the Spark UI, if it is on.
    pub url: Option<String>,
    /// Of an ad-hoc context: the digest under which the key of its creation lies. It is freed with
    /// the context: from then on the job's key alone tells whether there was a job (C5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What a newer release added.
    #[serde(flatten)]
    pub rest: Rest,
}

/// A process of a host, so that a kill or a proof of death hits this one and no other (E5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// The machine's id.
    pub host: String,
    /// Which boot of it.
    pub boot: String,
    /// The process id.
    pub pid: u32,
    /// Its start time in clock ticks since boot, as `/proc/<pid>/stat` has it.
    pub start_time: u64,
}

/// The driver incarnation that has taken a context.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Which driver.
    pub driver: Incarnation,
    /// Where it runs, as a process.
    pub process: ProcessId,
}

/// Who owns a context. Cleared in place, never deleted, while its context exists (W3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerRecord {
    /// The intent that a driver must have been launched by to take it.
    pub intent: IntentNumber,
    /// The owner; `None` before it is taken and after the attempt was ended.
    pub owner: Option<Owner>,
    /// What a newer release added.
    #[serde(flatten)]
    pub rest: Rest,
}

/// How far a driver is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "kebab-case")]
pub enum DriverPhase {
    /// It has not said anything yet.
    Silent,
    /// It took its record and starts the engine.
    Starting,
    /// The engine is there; jobs are run.
    Ready {
        /// Spark's application id, if the engine has one.
        application_id: Option<String>,
        /// Address of the Spark UI, if it is on.
        url: Option<String>,
    },
    /// The engine is gone and the driver is about to exit.
    Ended {
        /// Whether it was asked to (a stop, or an ad-hoc context whose job is over).
        orderly: bool,
        /// Why, when it was not asked to.
        error: Option<JobError>,
    },
}

/// What a driver says of itself; written under its fence on `owner` (E8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LifeRecord {
    /// Which driver wrote it; `None` until one did.
    pub driver: Option<Incarnation>,
    /// How far it is.
    pub phase: DriverPhase,
    /// How often it gave a sign of life.
    pub count: u64,
    /// What a newer release added.
    #[serde(flatten)]
    pub rest: Rest,
}

/// Where the last final context of a name lies: under its id, in the folder of its hour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameRecord {
    /// The context.
    pub context: ContextId,
    /// What a newer release added.
    #[serde(flatten)]
    pub rest: Rest,
}
