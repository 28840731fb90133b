//! The vector clock of a state of membership (membership.md D).

use crate::identity::Identity;
use std::collections::BTreeMap;

/// How one state relates to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// They are equal.
    Same,
    /// The other one has all of this one and more.
    Before,
    /// This one has all of the other one and more.
    After,
    /// Each has something that the other lacks.
    Concurrent,
}

impl Relation {
    /// The relation of two sides, from whether each has all that the other has.
    #[must_use]
    pub const fn of(mine_has_theirs: bool, theirs_has_mine: bool) -> Self {
        match (mine_has_theirs, theirs_has_mine) {
            (true, true) => Self::Same,
            (false, true) => Self::Before,
            (true, false) => Self::After,
            (false, false) => Self::Concurrent,
        }
    }
}

/// Counts the changes of each member. Only a member's own changes raise its entry; merging does not
/// (membership.md R, R10: counting merges makes a storm of gossip).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VectorClock {
    entries: BTreeMap<Identity, u64>,
}

impl VectorClock {
    /// A clock of these entries.
    #[must_use]
    pub const fn new(entries: BTreeMap<Identity, u64>) -> Self {
        Self { entries }
    }

    /// Counts one change by this member.
    pub fn increment(&mut self, member: &Identity) {
        let entry = self.entries.entry(member.clone()).or_default();
        *entry = entry.saturating_add(1);
    }

    /// Takes the maximum of each entry.
    pub fn merge(&mut self, other: &Self) {
        for (member, theirs) in &other.entries {
            let mine = self.entries.entry(member.clone()).or_default();
            *mine = (*mine).max(*theirs);
        }
    }

    /// Drops the entry of a removed member.
    pub fn prune(&mut self, member: &Identity) {
        self.entries.remove(member);
    }

    /// The entries; a missing one is 0.
    #[must_use]
    pub const fn entries(&self) -> &BTreeMap<Identity, u64> {
        &self.entries
    }

    /// How this clock relates to another one, entry by entry.
    ///
    /// Since the entries of removed members are dropped, equal clocks do not prove equal states
    /// (membership.md R, R2): the states themselves are compared when it matters
    /// ([`Gossip::relation`](super::Gossip::relation)). A clock is a digest of one.
    #[must_use]
    pub fn relation(&self, other: &Self) -> Relation {
        Relation::of(self.covers(other), other.covers(self))
    }

    fn covers(&self, other: &Self) -> bool {
        let mut theirs = other.entries.iter();
        theirs.all(|(member, count)| self.entries.get(member).copied().unwrap_or(0) >= *count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Address, Incarnation};

    fn id(port: u16) -> Identity {
        Identity::new(Address::new("h", port), Incarnation(1))
    }

    fn clock(entries: &[(u16, u64)]) -> VectorClock {
        let entries = entries.iter().map(|(port, count)| (id(*port), *count));
        VectorClock::new(entries.collect())
    }

    #[test]
    fn clocks_compare_entry_by_entry_and_a_missing_entry_is_zero() {
        for (left, right, want) in [
            (clock(&[]), clock(&[]), Relation::Same),
            (clock(&[(1, 2)]), clock(&[(1, 2)]), Relation::Same),
            (clock(&[]), clock(&[(1, 1)]), Relation::Before),
            (clock(&[(1, 3), (2, 1)]), clock(&[(1, 2)]), Relation::After),
            (clock(&[(1, 2)]), clock(&[(2, 1)]), Relation::Concurrent),
            (
                clock(&[(1, 2), (2, 1)]),
                clock(&[(1, 1), (2, 2)]),
                Relation::Concurrent,
            ),
        ] {
            assert_eq!(left.relation(&right), want, "{left:?} to {right:?}");
        }
    }

    #[test]
    fn merging_takes_the_maximum_and_counts_nothing() {
        let mut merged = clock(&[(1, 2), (2, 1)]);
        merged.merge(&clock(&[(2, 5), (3, 1)]));
        assert_eq!(merged, clock(&[(1, 2), (2, 5), (3, 1)]));
        merged.prune(&id(2));
        assert_eq!(merged, clock(&[(1, 2), (3, 1)]));
    }
}
