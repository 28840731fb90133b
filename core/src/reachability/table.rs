//! Everybody's observations of everybody, as gossip carries them (membership.md E).
//!
//! Where we differ from the reference: only unreachable subjects are written down, since reachable
//! is the default and the version of the whole row says which of two is newer; and two rows of one
//! version are united, so that merging is commutative and associative even when the sides have
//! taken out different removed members (membership.md R, R18). *Terminated* is not needed: a dead
//! incarnation is left out by the roster.

use crate::identity::Identity;
use std::collections::{BTreeMap, BTreeSet};

/// What one observer says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Counts the observer's changes; only the observer raises it.
    pub version: u64,
    /// Whom the observer does not hear.
    pub unreachable: BTreeSet<Identity>,
}

/// Observer by observer, whom it does not hear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReachabilityTable {
    rows: BTreeMap<Identity, Row>,
}

impl ReachabilityTable {
    /// A table of these rows.
    #[must_use]
    pub const fn new(rows: BTreeMap<Identity, Row>) -> Self {
        Self { rows }
    }

    /// Writes into `observer`'s own row whether it hears `subject`; returns whether that is news.
    pub fn observe(&mut self, observer: &Identity, subject: &Identity, reachable: bool) -> bool {
        if self.says_unreachable(observer, subject) != reachable {
            return false;
        }
        let row = self.rows.entry(observer.clone()).or_default();
        row.version = row.version.saturating_add(1);
        if reachable {
            row.unreachable.remove(subject);
        } else {
            row.unreachable.insert(subject.clone());
        }
        true
    }

    /// Takes in another table: of each observer the row of the higher version.
    pub fn merge(&mut self, other: &Self) {
        for (observer, theirs) in &other.rows {
            let mine = self.rows.entry(observer.clone()).or_default();
            if theirs.version > mine.version {
                *mine = theirs.clone();
            } else if theirs.version == mine.version {
                mine.unreachable.extend(theirs.unreachable.iter().cloned());
            }
        }
    }

    /// Takes a removed member out, as observer and as subject: what it said dies with it
    /// (membership.md R, R6).
    pub fn remove(&mut self, member: &Identity) {
        self.rows.remove(member);
        for row in self.rows.values_mut() {
            row.unreachable.remove(member);
        }
    }

    /// The rows.
    #[must_use]
    pub const fn rows(&self) -> &BTreeMap<Identity, Row> {
        &self.rows
    }

    /// Whether this observer says that it does not hear this subject.
    #[must_use]
    pub fn says_unreachable(&self, observer: &Identity, subject: &Identity) -> bool {
        let row = self.rows.get(observer);
        row.is_some_and(|row| row.unreachable.contains(subject))
    }

    /// Who does not hear this subject.
    #[must_use]
    pub fn observers_of(&self, subject: &Identity) -> BTreeSet<Identity> {
        let complaining = self.rows.keys();
        complaining
            .filter(|observer| self.says_unreachable(observer, subject))
            .cloned()
            .collect()
    }

    /// Whom at least one observer does not hear: one is enough for everybody.
    #[must_use]
    pub fn unreachable(&self) -> BTreeSet<Identity> {
        let subjects = self.rows.values().flat_map(|row| &row.unreachable);
        subjects.cloned().collect()
    }

    /// Everybody named in the table.
    pub fn named(&self) -> impl Iterator<Item = &Identity> {
        let subjects = self.rows.values().flat_map(|row| &row.unreachable);
        self.rows.keys().chain(subjects)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Address, Incarnation};

    fn id(port: u16) -> Identity {
        Identity::new(Address::new("h", port), Incarnation(1))
    }

    #[test]
    fn the_same_observation_twice_is_no_news() {
        let mut table = ReachabilityTable::default();
        assert!(!table.observe(&id(1), &id(2), true));
        assert!(table.rows().is_empty());
        assert!(table.observe(&id(1), &id(2), false));
        assert!(!table.observe(&id(1), &id(2), false));
        assert_eq!(table.rows()[&id(1)].version, 1);
    }

    #[test]
    fn one_observer_is_enough_and_all_must_withdraw() {
        let mut table = ReachabilityTable::default();
        table.observe(&id(1), &id(3), false);
        table.observe(&id(2), &id(3), false);
        assert_eq!(table.observers_of(&id(3)), BTreeSet::from([id(1), id(2)]));
        table.observe(&id(1), &id(3), true);
        assert_eq!(table.unreachable(), BTreeSet::from([id(3)]));
        table.observe(&id(2), &id(3), true);
        assert!(table.unreachable().is_empty());
    }

    #[test]
    fn an_observers_newer_row_wins_whole_also_when_it_is_empty() {
        let mut old = ReachabilityTable::default();
        old.observe(&id(1), &id(2), false);
        let mut new = old.clone();
        new.observe(&id(1), &id(2), true);
        let mut one = old.clone();
        one.merge(&new);
        let mut other = new.clone();
        other.merge(&old);
        assert_eq!(one, other);
        assert_eq!(one.rows()[&id(1)].version, 2);
        assert!(one.unreachable().is_empty());
    }

    #[test]
    fn what_a_removed_observer_said_dies_with_it() {
        // membership.md R6.
        let mut table = ReachabilityTable::default();
        table.observe(&id(1), &id(2), false);
        table.observe(&id(3), &id(1), false);
        table.remove(&id(1));
        assert!(table.unreachable().is_empty());
        assert!(!table.named().any(|one| *one == id(1)));
    }
}
