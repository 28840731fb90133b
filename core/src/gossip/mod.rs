//! The state of membership that members exchange (membership.md C to H).
//!
//! States of one generation form a lattice: [`Gossip::merge`] is commutative, associative and
//! idempotent, and what it holds only grows, statuses in their order of priority included. So it
//! does not matter in which order gossip arrives, how often, or over whom.
//!
//! Where we differ from the reference, since the roster decides who is a member: a member that only
//! one side knows is dropped for a tombstone only, not for being `Down` or `Exiting`; that evidence
//! makes merging depend on its order.

mod tombstones;
mod version;

pub use tombstones::{TOMBSTONES_MAX, Tombstones};
pub use version::{Relation, VectorClock};

use crate::identity::{Address, Identity};
use crate::membership::{Member, Status};
use crate::planted::planted;
use crate::reachability::table::ReachabilityTable;
use crate::records::cluster::{Generation, Roster};
use std::collections::{BTreeMap, BTreeSet};

/// The most members of a state: full state to everyone is meant for up to 16 servers, and those
/// that ask to join come on top.
pub const MEMBERS_MAX: usize = 64;

/// What a member knows of the cluster, and what it tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gossip {
    /// The roster that this state belongs to; a state of a lower generation is never merged (R2).
    pub roster: Roster,
    /// Every member: the listed servers, and those that ask to be listed.
    pub members: BTreeMap<Identity, Member>,
    /// Who has seen exactly this version.
    pub seen: BTreeSet<Identity>,
    /// Counts every member's changes of this state.
    pub version: VectorClock,
    /// Who does not hear whom.
    pub reachability: ReachabilityTable,
    /// Who was removed.
    pub tombstones: Tombstones,
}

/// A broken invariant of a state (membership.md C, S).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {member}")]
pub struct Violation {
    /// Which invariant.
    pub what: &'static str,
    /// Who breaks it.
    pub member: String,
}

impl Gossip {
    /// The least state that has all of both (membership.md F, G). Both must be of one roster.
    ///
    /// Of a member that both know the status of higher priority is kept, of an observer the newer
    /// row. Whoever saw a state equal to the merged one has seen the merged one.
    #[must_use]
    pub fn merge(&self, other: &Self) -> Self {
        assert_eq!(self.roster, other.roster, "R2: only one roster's states");
        let mut merged = self.clone();
        merged.seen.clear();
        merged.tombstones.merge(&other.tombstones);
        for member in other.members.values() {
            merged.take_member(member);
        }
        merged.version.merge(&other.version);
        merged.reachability.merge(&other.reachability);
        let removed: Vec<Identity> = merged.tombstones.entries().keys().cloned().collect();
        for identity in &removed {
            merged.drop_traces_of(identity);
        }
        for side in [self, other] {
            if side.content_equals(&merged) || planted!(SeenMergedBlindly) {
                merged.seen.extend(side.seen.iter().cloned());
            }
        }
        merged.seen.retain(|one| merged.members.contains_key(one)); // membership.md R17
        merged
    }

    /// How this state relates to another one of the same roster, whoever has seen them.
    ///
    /// It compares the states, not their clocks: after removed members' entries are dropped, equal
    /// clocks do not prove equal states (membership.md R, R2).
    #[must_use]
    pub fn relation(&self, other: &Self) -> Relation {
        let merged = self.merge(other);
        Relation::of(merged.content_equals(self), merged.content_equals(other))
    }

    /// Whether two states differ at most in who has seen them.
    #[must_use]
    pub fn content_equals(&self, other: &Self) -> bool {
        self.roster == other.roster
            && self.members == other.members
            && self.version == other.version
            && self.reachability == other.reachability
            && self.tombstones == other.tombstones
    }

    /// Goes over to a later roster: who is listed is `Up`, who was and is no longer is removed.
    ///
    /// A joining member stays, unless another incarnation of its address has got listed meanwhile
    /// and `asked_since` does not name it: it asked before that one was listed, so it is an older
    /// life (protocol.md F2).
    pub fn take_roster(&mut self, roster: &Roster, asked_since: &BTreeSet<Identity>) {
        assert!(roster.generation > self.roster.generation, "R1: forward");
        let first = self.roster.generation == Generation::default();
        let newly_listed: BTreeSet<&Address> = roster
            .listed
            .iter()
            .filter(|one| !first && !self.roster.lists(one))
            .map(|one| &one.address)
            .collect();
        let is_gone = |member: &&Member| {
            let identity = &member.identity;
            let superseded =
                newly_listed.contains(&identity.address) && !asked_since.contains(identity);
            !roster.lists(identity) && (member.status.is_listed() || superseded)
        };
        let gone = self.members.values().filter(is_gone);
        let gone: Vec<Identity> = gone.map(|member| member.identity.clone()).collect();
        for identity in gone {
            self.remove(&identity, roster.generation);
        }
        for identity in &roster.listed {
            // It may have been taken for gone just before it was listed.
            self.tombstones.take_back(identity);
            self.take_member(&Member {
                identity: identity.clone(),
                status: Status::Up,
                version: String::new(),
            });
        }
        self.roster = roster.clone();
    }

    /// Removes a member for good: its traces go, its tombstone stays.
    pub fn remove(&mut self, identity: &Identity, generation: Generation) {
        self.drop_traces_of(identity);
        if !planted!(NoTombstones) {
            self.tombstones.add(identity.clone(), generation);
        }
    }

    /// Whether the state is one that a member can have (membership.md C; R17).
    ///
    /// # Errors
    /// The first invariant that does not hold, and for whom.
    pub fn check(&self) -> Result<(), Violation> {
        let mut listed: Vec<&Identity> = self.roster.listed.iter().collect();
        listed.sort_unstable();
        if listed.windows(2).any(|two| two[0] == two[1]) {
            return Err(violation("a roster lists an incarnation twice", &"roster"));
        }
        if self.members.len() > MEMBERS_MAX {
            return Err(violation(
                "more members than a state may have",
                &MEMBERS_MAX,
            ));
        }
        for (identity, member) in &self.members {
            if *identity != member.identity {
                return Err(violation("a member lies under another's name", identity));
            }
            if listed.binary_search(&identity).is_ok() != member.status.is_listed() {
                return Err(violation("status and roster disagree", identity));
            }
            if self.tombstones.contains(identity) {
                return Err(violation("both a member and removed", identity));
            }
        }
        let seen = self.stranger(self.seen.iter());
        let seen = seen.map(|one| ("seen by no member", one));
        let counted = || self.stranger(self.version.entries().keys());
        let counted = || counted().map(|one| ("a change counted for no member", one));
        let mut named = self.reachability.named();
        let mut named = || named.find(|one| !self.members.contains_key(*one));
        let named = || named().map(|one| ("an observation of or by no member", one));
        let listed = || self.stranger(listed.into_iter());
        let listed = || listed().map(|one| ("a listed server is no member", one));
        match seen.or_else(counted).or_else(named).or_else(listed) {
            Some((what, one)) => Err(violation(what, one)),
            None => Ok(()),
        }
    }

    /// Whether nobody is named as having seen it who is no member: what is left of [`Self::check`]
    /// for a state that equals a sound one.
    #[must_use]
    pub fn is_seen_by_members(&self) -> bool {
        self.stranger(self.seen.iter()).is_none()
    }

    /// The first of these, which come in order, that is no member.
    fn stranger<'a>(&self, mut all: impl Iterator<Item = &'a Identity>) -> Option<&'a Identity> {
        let mut members = self.members.keys();
        all.find(|one| members.find(|member| *member >= *one) != Some(*one))
    }

    /// Adds a member, or raises it to the status of higher priority (membership.md B). The version
    /// text is unknown (empty) when a member is first known from the roster.
    fn take_member(&mut self, member: &Member) {
        let known = self.members.entry(member.identity.clone());
        let known = known.or_insert_with(|| member.clone());
        known.status = known.status.max(member.status);
        if member.version > known.version {
            known.version.clone_from(&member.version);
        }
    }

    fn drop_traces_of(&mut self, identity: &Identity) {
        self.members.remove(identity);
        self.seen.remove(identity);
        self.version.prune(identity);
        self.reachability.remove(identity);
    }
}

fn violation(what: &'static str, member: &impl ToString) -> Violation {
    Violation {
        what,
        member: member.to_string(),
    }
}

#[cfg(test)]
mod tests;
