//! Members and their statuses (membership.md A, B, H, I).

mod state;

pub use state::{Blocker, Membership, Received};

use crate::identity::Identity;
use serde::{Deserialize, Serialize};

/// The status of a member; a removed one is absent (membership.md B).
///
/// Ordered by the priority of merging: of two the higher one wins.
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

impl Status {
    /// Whether a member of this status is in the roster.
    #[must_use]
    pub const fn is_listed(self) -> bool {
        match self {
            Self::Joining | Self::WeaklyUp => false,
            Self::Up | Self::Leaving | Self::Exiting | Self::Down => true,
        }
    }
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
