//! The `cluster` record: who founded it, its secret, and its roster (protocol.md F, R).

use super::Rest;
use crate::identity::{ClusterId, Identity};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// The number of a roster: one more with every change; a generation has at most one successor (R1).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl Generation {
    /// The generation that succeeds this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The secret of a cluster; its holders prove membership with it. Never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The listed servers of one generation, in order of age: the first is the oldest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roster {
    /// Its number.
    pub generation: Generation,
    /// The listed incarnations, oldest first.
    pub listed: Vec<Identity>,
}

impl Roster {
    /// Whether this incarnation is listed.
    #[must_use]
    pub fn lists(&self, identity: &Identity) -> bool {
        self.listed.contains(identity)
    }

    /// The position of an incarnation in the order of age, 0 for the oldest.
    #[must_use]
    pub fn age(&self, identity: &Identity) -> Option<usize> {
        self.listed.iter().position(|listed| listed == identity)
    }

    /// The oldest listed server.
    #[must_use]
    pub fn oldest(&self) -> Option<&Identity> {
        self.listed.first()
    }

    /// The next generation, with only these of the listed servers.
    #[must_use]
    pub fn keeping(&self, stay: &BTreeSet<Identity>) -> Self {
        let listed = self
            .listed
            .iter()
            .filter(|one| stay.contains(*one))
            .cloned()
            .collect();
        Self {
            generation: self.generation.next(),
            listed,
        }
    }

    /// The next generation, with these servers added as the youngest. An older incarnation of the
    /// same address is replaced in the same step (F2).
    #[must_use]
    pub fn joined_by(&self, joiners: &[Identity]) -> Self {
        let replaced = |one: &Identity| joiners.iter().any(|new| new.address == one.address);
        let stay = self.listed.iter().filter(|one| !replaced(one)).cloned();
        Self {
            generation: self.generation.next(),
            listed: stay.chain(joiners.iter().cloned()).collect(),
        }
    }
}

/// The one record outside the cluster id's path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterRecord {
    /// The cluster's random id.
    pub id: ClusterId,
    /// The cluster's random secret: access to the store is membership.
    pub secret: Secret,
    /// The current roster.
    pub roster: Roster,
    /// What a newer release added.
    #[serde(flatten)]
    pub rest: Rest,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Address, Incarnation};

    fn id(port: u16, life: u64) -> Identity {
        Identity::new(Address::new("h", port), Incarnation(life))
    }

    #[test]
    fn a_new_incarnation_replaces_the_older_one_of_its_address_as_the_youngest() {
        let roster = Roster {
            generation: Generation(4),
            listed: vec![id(1, 1), id(2, 1)],
        };
        let next = roster.joined_by(&[id(1, 2)]);
        assert_eq!(next.generation, Generation(5));
        assert_eq!(next.listed, [id(2, 1), id(1, 2)]);
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert!(!format!("{:?}", Secret("hunter2".into())).contains("hunter2"));
    }
}
