//! What store calls are for: each part's own words, kept here so that what is shared need not know
//! the parts.

use crate::identity::{CallId, ContextId};
use crate::input::RequestId;
use crate::output::TakenBy;
use crate::records::singleton::Epoch;

/// A store call of joining.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JoinWork {
    Found,
    Refound,
}

/// A store call of the roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RosterWork {
    Change,
    Announce,
}

/// A store call of the singleton.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SingletonWork {
    Claim(TakenBy),
    Challenge,
    Pulse,
    Grant,
}

/// A store call of the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GatewayWork {
    /// The request's own transaction.
    Write(RequestId),
    /// A look at its records.
    Look(RequestId),
    /// The removal of its record.
    Withdraw(RequestId),
}

/// A store call of the supervisor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SupervisorWork {
    ReadAll(Epoch),
    Refresh(Epoch),
    Call(Epoch, CallId),
    Context(Epoch, ContextId),
    EndingRead(Epoch, ContextId),
    CleanupRead(Epoch),
    CleanupDelete(Epoch),
}
