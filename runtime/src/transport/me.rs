//! What this process says of itself in handshakes, shared with everything that dials or accepts.

use doyen_core::identity::{Identity, Role};
use doyen_core::output::Credentials;

/// One edition of what this process says of itself. Every change makes a new edition; a handshake
/// that was begun under an older one is void.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Me {
    /// Counts up with every change.
    pub(crate) edition: u64,
    /// The cluster's name in the configuration: a first check against wrong addresses.
    pub(crate) cluster_name: String,
    /// The store's id; `None` until the store was asked.
    pub(crate) store_id: Option<String>,
    /// This life.
    pub(crate) identity: Identity,
    /// What this process does.
    pub(crate) role: Role,
    /// What to prove; `None` before a cluster is known.
    pub(crate) credentials: Option<Credentials>,
}
