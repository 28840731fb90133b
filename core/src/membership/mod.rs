//! Members and their statuses (membership.md A, B, H, I).

use crate::identity::Identity;
use serde::{Deserialize, Serialize};

/// The status of a member; a removed one is absent (membership.md B).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Status {
    /// Asks to be listed.
    Joining,
    /// Joining while the cluster has not converged; its place is kept for arbitration by gossip.
    WeaklyUp,
    /// Listed.
    Up,
    /// About to leave.
    Leaving,
    /// Ready to be taken off the roster.
    Exiting,
    /// Left out by a split.
    Down,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Who.
    pub identity: Identity,
    /// How it is.
    pub status: Status,
    /// Its program's version, for people.
    pub version: String,
}
