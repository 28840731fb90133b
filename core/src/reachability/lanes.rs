//! Who exchanges beats with whom (protocol.md R3, Beats): neighbours on the ring, and the holder
//! with its first candidates. Every server computes the same lanes from the same roster and office.

use super::ring::neighbours;
use crate::identity::Identity;
use std::collections::{BTreeMap, BTreeSet};

/// The holder's beats go to so many candidates at its fast interval, and only they challenge by
/// silence (S5).
const CANDIDATES: usize = 5;

/// The pairs that exchange beats.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lanes {
    of: BTreeMap<Identity, BTreeSet<Identity>>,
    /// Whether the holder owes us fast beats (S5).
    owed: bool,
}

impl Lanes {
    /// The lanes of these listed servers. Who is not listed (`me`, while it joins) beats to all of
    /// them.
    pub(crate) fn new(
        me: &Identity,
        listed: &[Identity],
        holder: Option<&Identity>,
        monitored_by: usize,
    ) -> Self {
        let members: BTreeSet<Identity> = listed.iter().cloned().collect();
        let ring = |one: &Identity| (one.clone(), neighbours(one, &members, monitored_by));
        let mut of: BTreeMap<_, _> = listed.iter().map(ring).collect();
        let owed = holder.is_some_and(|holder| owed_beats(listed, holder).any(|one| one == me));
        if let Some(holder) = holder.filter(|holder| members.contains(*holder)) {
            for candidate in owed_beats(listed, holder) {
                of.entry(holder.clone())
                    .or_insert_with(BTreeSet::new)
                    .insert(candidate.clone());
                of.entry(candidate.clone())
                    .or_insert_with(BTreeSet::new)
                    .insert(holder.clone());
            }
        }
        if !members.contains(me) {
            of.insert(me.clone(), members);
        }
        Self { of, owed }
    }

    /// With whom this server exchanges beats.
    pub(crate) fn of(&self, one: &Identity) -> impl Iterator<Item = &Identity> {
        self.of.get(one).into_iter().flatten()
    }

    /// Whether we are among those to whom the holder owes fast beats.
    pub(crate) const fn are_owed(&self) -> bool {
        self.owed
    }

    /// Whether these two exchange beats.
    pub(crate) fn joins(&self, one: &Identity, other: &Identity) -> bool {
        self.of.get(one).is_some_and(|lanes| lanes.contains(other))
    }
}

/// The listed servers to which the holder owes fast beats: its first candidates by age (S5). With
/// them come its neighbours of the ring, to which it beats at the same interval.
pub(crate) fn owed_beats<'a>(
    listed: &'a [Identity],
    holder: &'a Identity,
) -> impl Iterator<Item = &'a Identity> {
    listed
        .iter()
        .filter(move |one| *one != holder)
        .take(CANDIDATES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Address, Incarnation};

    fn id(port: u16) -> Identity {
        Identity::new(Address::new("h", port), Incarnation(u64::from(port)))
    }

    #[test]
    fn lanes_are_the_same_from_both_ends() {
        for count in 1..=16 {
            let listed: Vec<_> = (1..=count).map(id).collect();
            for monitored_by in [2, 5, 9] {
                let lanes = Lanes::new(&listed[0], &listed, listed.last(), monitored_by);
                for one in &listed {
                    for other in lanes.of(one) {
                        assert!(lanes.joins(other, one), "{count}: {one} and {other}");
                    }
                    assert!(!lanes.joins(one, one));
                }
            }
        }
    }

    #[test]
    fn the_holder_exchanges_beats_with_its_first_five_candidates_wherever_they_lie() {
        let listed: Vec<_> = (1..=16).map(id).collect();
        let lanes = Lanes::new(&id(1), &listed, Some(&id(3)), 2);
        for candidate in [1, 2, 4, 5, 6] {
            assert!(lanes.joins(&id(3), &id(candidate)));
        }
        let away = (7..=16).filter(|n| !lanes.joins(&id(3), &id(*n)));
        assert!(away.count() >= 8);
    }

    #[test]
    fn who_joins_beats_to_all() {
        let listed: Vec<_> = (1..=12).map(id).collect();
        let lanes = Lanes::new(&id(20), &listed, None, 9);
        assert_eq!(lanes.of(&id(20)).count(), 12);
        assert!(!lanes.joins(&id(1), &id(20)));
    }
}
