//! Who was removed and must not come back by a lagging peer's gossip (membership.md F, O).

use crate::identity::Identity;
use crate::records::cluster::Generation;
use std::collections::BTreeMap;

/// The most removed members that are remembered. A state of an older generation is never merged
/// (protocol.md R2), so a tombstone only has to outlive the gossip of its own generation.
pub const TOMBSTONES_MAX: usize = 256;

/// Removed incarnations, each with the generation of the roster at its removal: an age that needs
/// no clock (membership.md T4). The oldest are forgotten beyond [`TOMBSTONES_MAX`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tombstones {
    removed: BTreeMap<Identity, Generation>,
}

impl Tombstones {
    /// Tombstones of these, the oldest beyond the bound left out.
    #[must_use]
    pub fn new(removed: BTreeMap<Identity, Generation>) -> Self {
        let mut tombstones = Self { removed };
        tombstones.forget_oldest();
        tombstones
    }

    /// Adds one.
    pub fn add(&mut self, identity: Identity, generation: Generation) {
        self.raise(identity, generation);
        self.forget_oldest();
    }

    /// Takes in those of another state.
    pub fn merge(&mut self, other: &Self) {
        for (identity, generation) in &other.removed {
            self.raise(identity.clone(), *generation);
        }
        self.forget_oldest();
    }

    /// Takes back the removal of a joining member that a roster lists after all: the record of the
    /// store decides who is a member.
    pub fn take_back(&mut self, identity: &Identity) {
        self.removed.remove(identity);
    }

    /// Whether this incarnation was removed.
    #[must_use]
    pub fn contains(&self, identity: &Identity) -> bool {
        self.removed.contains_key(identity)
    }

    /// All of them, with the generation of their removal.
    #[must_use]
    pub const fn entries(&self) -> &BTreeMap<Identity, Generation> {
        &self.removed
    }

    fn raise(&mut self, identity: Identity, generation: Generation) {
        let known = self.removed.entry(identity).or_insert(generation);
        *known = (*known).max(generation);
    }

    /// The order of forgetting is that of removal, ties by identity, so that every member forgets
    /// the same ones.
    fn forget_oldest(&mut self) {
        while self.removed.len() > TOMBSTONES_MAX {
            let ages = self.removed.iter().map(|(one, at)| (*at, one));
            let Some(oldest) = ages.min().map(|(_, one)| one.clone()) else {
                return;
            };
            self.removed.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Address, Incarnation};

    fn id(life: u64) -> Identity {
        Identity::new(Address::new("h", 1), Incarnation(life))
    }

    #[test]
    fn beyond_the_bound_the_oldest_removal_is_forgotten() {
        let mut tombstones = Tombstones::default();
        let max = TOMBSTONES_MAX as u64;
        for life in 0..max {
            tombstones.add(id(life), Generation(max - life));
        }
        tombstones.add(id(max), Generation(max));
        assert_eq!(tombstones.entries().len(), TOMBSTONES_MAX);
        assert!(
            !tombstones.contains(&id(max - 1)),
            "removed in generation 1"
        );
        assert!(tombstones.contains(&id(0)) && tombstones.contains(&id(max)));
    }

    #[test]
    fn merging_full_sets_gives_the_same_whichever_comes_first() {
        let of = |lives: std::ops::Range<u64>| {
            Tombstones::new(
                lives
                    .map(|life| (id(life), Generation(life % 50)))
                    .collect(),
            )
        };
        let (left, right) = (of(0..200), of(150..400));
        let (mut one, mut other) = (left.clone(), right.clone());
        one.merge(&right);
        other.merge(&left);
        assert_eq!(one, other);
        assert_eq!(one.entries().len(), TOMBSTONES_MAX);
    }
}
