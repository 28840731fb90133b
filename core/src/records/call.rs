//! Calls that change contexts, and keys of idempotency (protocol.md C).

use super::job::JobError;
use super::{Rest, Versioned};
use crate::identity::{CallId, ContextId, JobId};
use crate::time::Stamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a call asks of the holder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "kebab-case")]
pub enum CallOperation {
    /// Create a context of this name.
    CreateContext {
        /// The name.
        name: String,
        /// Its settings, merged with the server's defaults: JSON text.
        settings: String,
        /// Stops by itself after its one job (rest-api.md 5.5).
        adhoc: bool,
    },
    /// Stop the context of this name.
    DeleteContext {
        /// The name.
        name: String,
    },
}

impl CallOperation {
    /// The name of the context that the call is about.
    #[must_use]
    pub fn context_name(&self) -> &str {
        match self {
            Self::CreateContext { name, .. } | Self::DeleteContext { name } => name,
        }
    }
}

/// How far a call is (C2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum CallState {
    /// Written by the gateway, not yet decided.
    Open,
    /// The holder wrote its intents; it names its object.
    Accepted {
        /// The context that the call acts on.
        context: ContextId,
        /// By when the holder settles it whatever its object did, by the store's clock.
        until: Stamp,
    },
    /// Over; nothing changes any more.
    Settled {
        /// How it ended.
        outcome: CallOutcome,
    },
}

/// How a call ended. The HTTP layer maps these to rest-api.md 4.3 and 4.4.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum CallOutcome {
    /// The context runs.
    ContextCreated {
        /// Which.
        context: ContextId,
    },
    /// The context is final.
    ContextStopped {
        /// Which.
        context: ContextId,
    },
    /// The stop takes longer than `context-deletion-timeout`; it goes on.
    StopInProgress {
        /// Which.
        context: ContextId,
    },
    /// Refused: a context of that name is not final.
    ContextExists,
    /// Refused: no context of that name that is not final.
    ContextNotFound,
    /// The context could not be started.
    ContextFailed {
        /// Which.
        context: ContextId,
        /// Why.
        error: JobError,
    },
    /// Refused by a limit of the cluster.
    TooMany {
        /// Which limit, with its number.
        limit: String,
    },
    /// Nobody decided it before its deadline (C4).
    Expired,
}

impl CallOutcome {
    /// Whether the key of idempotency is kept: successes keep it, refusals and expiry free it (C5).
    #[must_use]
    pub const fn keeps_key(&self) -> bool {
        match self {
            Self::ContextCreated { .. }
            | Self::ContextStopped { .. }
            | Self::StopInProgress { .. } => true,
            Self::ContextExists
            | Self::ContextNotFound
            | Self::ContextFailed { .. }
            | Self::TooMany { .. }
            | Self::Expired => false,
        }
    }
}

/// A call: open → accepted → settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    /// Its id, made by the gateway.
    pub id: CallId,
    /// Who asks.
    pub user: String,
    /// The route, as `POST /contexts`.
    pub route: String,
    /// The digest under which its key of idempotency lies, if it has one.
    pub key: Option<String>,
    /// Milliseconds from the stamp of the record's creation within which it must be decided (C4).
    pub deadline_ms: u64,
    /// What it asks.
    pub operation: CallOperation,
    /// How far it is.
    pub progress: CallState,
    /// What a newer release added.
    #[serde(flatten)]
    pub rest: Rest,
}

impl Versioned<CallRecord> {
    /// How long it is from this time of the store to the call's deadline; `None` when it is past
    /// (C4).
    #[must_use]
    pub fn remaining(&self, reached: Stamp) -> Option<Duration> {
        let deadline = self
            .created
            .after(Duration::from_millis(self.value.deadline_ms));
        (reached < deadline).then(|| Duration::from_millis(deadline.0 - reached.0))
    }
}

/// A key of idempotency (C5): which call or job a request of this key made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// The digest of the request; another body under the same key is refused with 422.
    pub request: String,
    /// The call or job.
    pub object: KeyObject,
    /// What a newer release added.
    #[serde(flatten)]
    pub rest: Rest,
}

/// What a key of idempotency belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyObject {
    /// A call.
    Call(CallId),
    /// A job.
    Job(JobId),
}
