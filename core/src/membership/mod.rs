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
#[derive(Clone, Debug, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Who.
    pub identity: Identity,
    /// How it is.
    pub status: Status,
    /// Its program's version, for people.
    pub version: String,
}

impl PartialEq for Member {
    /// Members are compared with each gossip. To compare two empty texts as texts takes longer than
    /// all the rest, where `memcmp` loads by mask from their pointers, which point nowhere.
    fn eq(&self, other: &Self) -> bool {
        let no_version = self.version.is_empty() && other.version.is_empty();
        self.identity == other.identity
            && self.status == other.status
            && (no_version || self.version == other.version)
    }
}
