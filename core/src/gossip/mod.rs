//! The state of membership that members exchange (membership.md C to H).

use crate::identity::Identity;
use crate::membership::Member;
use crate::records::cluster::Roster;
use std::collections::{BTreeMap, BTreeSet};

/// What a member knows of the cluster, and what it tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gossip {
    /// The roster that this state belongs to; a state of a lower generation is never merged (R2).
    pub roster: Roster,
    /// Every member.
    pub members: BTreeMap<Identity, Member>,
    /// Who has seen exactly this version.
    pub seen: BTreeSet<Identity>,
}
