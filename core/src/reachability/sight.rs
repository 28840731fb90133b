//! Whom a server sees, and whom it is connected with (protocol.md R2, R3).
//!
//! | pair | is judged by |
//! |---|---|
//! | exchanges beats | its own beats |
//! | exchanges none | the observers of gossip |
//!
//! What the observers say: two servers are connected if a way leads from one to the other over pairs
//! that exchange beats and of which neither says that it does not hear the other. So of a cut no side
//! sees beyond it, though some of the far side have all of their observers there; and one broken
//! link does not part its ends from anybody but each other (ADR 0011).

use super::detector::Detector;
use super::lanes::Lanes;
use super::table::ReachabilityTable;
use crate::identity::Identity;
use crate::membership::Membership;
use crate::planted::planted;
use crate::time::Time;
use std::collections::BTreeSet;
use std::time::Duration;

/// What is needed to look.
#[derive(Clone, Copy)]
pub(crate) struct Eyes<'a> {
    pub(crate) me: &'a Identity,
    pub(crate) lanes: &'a Lanes,
    pub(crate) detector: &'a Detector,
    pub(crate) table: &'a ReachabilityTable,
    pub(crate) now: Time,
    pub(crate) detection: Duration,
}

/// Everything that a server knows of the others, to decide from.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub(crate) membership: &'a Membership,
    pub(crate) detector: &'a Detector,
    pub(crate) lanes: &'a Lanes,
    pub(crate) sight: &'a Sight,
}

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sight {
    reachable: BTreeSet<Identity>,
    connected: BTreeSet<Identity>,
}

impl Sight {
    /// Looks at these listed servers.
    pub(crate) fn of(eyes: Eyes<'_>, listed: &[Identity]) -> Self {
        let direct = |one: &Identity| {
            let lane = one == eyes.me || eyes.lanes.joins(eyes.me, one);
            lane.then(|| eyes.is_connected(one))
        };
        let all_by_beats = listed.iter().all(|one| direct(one).is_some());
        let by_way = if all_by_beats {
            BTreeSet::new()
        } else {
            eyes.reached()
        };
        let connected = |one: &&Identity| direct(one).unwrap_or_else(|| by_way.contains(*one));
        let (now, detection) = (eyes.now, eyes.detection);
        let reachable = |one: &&Identity| {
            *one == eyes.me
                || eyes.detector.hears_one(now, detection, one)
                || (!eyes.lanes.joins(eyes.me, one) && by_way.contains(*one))
        };
        Self {
            reachable: listed.iter().filter(reachable).cloned().collect(),
            connected: listed.iter().filter(connected).cloned().collect(),
        }
    }

    /// Whether this listed server is seen reachable (R2).
    pub(crate) fn sees(&self, one: &Identity) -> bool {
        self.reachable.contains(one)
    }

    /// The listed servers that one is connected with, oneself included (R3).
    pub(crate) const fn connected(&self) -> &BTreeSet<Identity> {
        &self.connected
    }
}

impl Eyes<'_> {
    /// To whom a way leads, over pairs that exchange beats and hear each other.
    fn reached(&self) -> BTreeSet<Identity> {
        let mut reached = BTreeSet::from([self.me.clone()]);
        let mut ends = vec![self.me.clone()];
        while let Some(end) = ends.pop() {
            for next in self.lanes.of(&end) {
                if !reached.contains(next) && self.hear_each_other(&end, next) {
                    reached.insert(next.clone());
                    ends.push(next.clone());
                }
            }
        }
        reached
    }

    /// By our own beats.
    fn is_connected(&self, other: &Identity) -> bool {
        let (now, detection) = (self.now, self.detection);
        self.detector.connected(now, detection, self.me, other)
    }

    fn hear_each_other(&self, one: &Identity, other: &Identity) -> bool {
        if one == self.me {
            return self.is_connected(other);
        }
        let table = self.table;
        !table.says_unreachable(one, other)
            && (planted!(OneSidedWay) || !table.says_unreachable(other, one))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Address, Incarnation};
    use crate::records::cluster::Generation;
    use crate::records::singleton::Epoch;
    use crate::wire::Beat;
    use std::sync::Arc;

    fn id(port: u16) -> Identity {
        Identity::new(Address::new("h", port), Incarnation(u64::from(port)))
    }

    fn beat(from: &Identity, hears: &Identity) -> Beat {
        Beat {
            from: from.clone(),
            sequence: 1,
            generation: Generation(1),
            epoch: Epoch(1),
            holder: None,
            hears: Arc::new(BTreeSet::from([hears.clone()])),
            store_age_ms: 0,
            vacant: false,
        }
    }

    /// What server 1 of so many sees when these pairs do not hear each other, each beating to two.
    fn sight(count: u16, broken: impl Fn(u16, u16) -> bool) -> Sight {
        let listed: Vec<_> = (1..=count).map(id).collect();
        let me = id(1);
        let lanes = Lanes::new(&me, &listed, None, 2);
        let (mut detector, mut table) = (Detector::default(), ReachabilityTable::default());
        for one in &listed {
            for other in lanes.of(one) {
                let cut = broken(one.address.port(), other.address.port());
                if cut {
                    table.observe(one, other, false);
                } else if *one == me {
                    detector.record(Time::ZERO, beat(other, &me));
                }
            }
        }
        let eyes = Eyes {
            me: &me,
            lanes: &lanes,
            detector: &detector,
            table: &table,
            now: Time::ZERO,
            detection: Duration::from_secs(5),
        };
        Sight::of(eyes, &listed)
    }

    fn ports(set: &BTreeSet<Identity>) -> Vec<u16> {
        set.iter().map(|one| one.address.port()).collect()
    }

    #[test]
    fn all_are_connected_though_most_exchange_no_beats() {
        let sight = sight(12, |_, _| false);
        assert_eq!(sight.connected().len(), 12);
        assert!((1..=12).all(|n| sight.sees(&id(n))));
    }

    #[test]
    fn of_a_cut_nothing_beyond_it_is_seen_wherever_it_lies() {
        let side = |n: u16| n <= 4;
        let sight = sight(12, |one, other| side(one) != side(other));
        let connected = ports(sight.connected());
        assert!(connected.contains(&1) && connected.iter().all(|n| side(*n)));
        assert!((5..=12).all(|n| !sight.sees(&id(n))));
    }

    #[test]
    fn a_dead_server_is_not_connected_though_its_observers_are_far_away() {
        for dead in 2..=12 {
            let sight = sight(12, |one, other| one == dead || other == dead);
            let expected: Vec<_> = (1..=12).filter(|n| *n != dead).collect();
            assert_eq!(ports(sight.connected()), expected);
        }
    }

    #[test]
    fn one_broken_link_parts_its_ends_only_from_each_other() {
        let listed: Vec<_> = (1..=12).map(id).collect();
        let lanes = Lanes::new(&id(1), &listed, None, 2);
        let near: Vec<_> = lanes.of(&id(1)).map(|one| one.address.port()).collect();
        for other in 2..=12 {
            let sight = sight(12, |a, b| a.min(b) == 1 && a.max(b) == other);
            assert_eq!(
                sight.connected().contains(&id(other)),
                !near.contains(&other)
            );
            assert_eq!(
                sight.connected().len(),
                if near.contains(&other) { 11 } else { 12 }
            );
        }
    }
}
