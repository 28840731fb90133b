//! What `splits` knows of who hears whom: the beats that each server took, and when it was last
//! connected with all (protocol.md R3).

use super::facts::Facts;
use crate::trace::seen::NodeId;
use doyen_core::identity::{Identity, Incarnation};
use doyen_core::time::Time;
use doyen_core::wire::Beat;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// The last beat of a server, as another one took it.
#[derive(Clone, Copy, Debug)]
struct Taken {
    sequence: u64,
    /// On the clock of who took it.
    clock: Time,
    /// Whether it says that its sender hears who took it.
    mutual: bool,
}

/// Who heard whom.
#[derive(Debug, Default)]
pub(super) struct Ears {
    heard: BTreeMap<Incarnation, BTreeMap<Incarnation, Taken>>,
    whole: BTreeMap<Incarnation, Time>,
}

impl Ears {
    /// When this server was last connected with all that are listed; `None` if it never was, or
    /// not all of them exchange beats.
    pub(super) fn whole(&self, one: &Identity) -> Option<Time> {
        self.whole.get(&one.incarnation).copied()
    }

    /// A beat arrives.
    pub(super) fn beat(&mut self, at: Time, node: NodeId, clock: Time, beat: &Beat, facts: &Facts) {
        let (Some(life), Some(roster)) = (facts.at_node(node), facts.roster()) else {
            return;
        };
        let me = &life.identity;
        let heard = self.heard.entry(me.incarnation).or_default();
        let taken = Taken {
            sequence: beat.sequence,
            clock,
            mutual: beat.hears.contains(me),
        };
        match heard.entry(beat.from.incarnation) {
            Entry::Occupied(last) if last.get().sequence >= beat.sequence => return,
            Entry::Occupied(mut last) => *last.get_mut() = taken,
            Entry::Vacant(first) => {
                first.insert(taken);
            }
        }
        let detection = facts.times.detection;
        let connected = |one: &Identity| {
            let last = heard.get(&one.incarnation);
            one == me || last.is_some_and(|one| one.mutual && clock.since(one.clock) < detection)
        };
        // Beyond that some pairs exchange no beats.
        let all_beat = roster.listed.len() <= facts.limits.monitored_by.saturating_add(1);
        if taken.mutual && all_beat && roster.lists(me) && roster.listed.iter().all(connected) {
            self.whole.insert(me.incarnation, at);
        }
    }

    /// A server says that it does not hear another one, be it for silence or for proof of its death.
    pub(super) fn forget(&mut self, node: NodeId, member: &Identity, facts: &Facts) {
        let life = facts.at_node(node);
        let heard = life.and_then(|life| self.heard.get_mut(&life.identity.incarnation));
        if let Some(last) = heard.and_then(|heard| heard.get_mut(&member.incarnation)) {
            last.mutual = false;
        }
    }
}
