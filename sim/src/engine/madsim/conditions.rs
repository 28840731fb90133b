//! Faults that are on: who cannot reach whom, whose store is away, whose launches misbehave.

use super::store::Reach;
use super::world::{State, World};
use crate::schedule::model::{At, LaunchFault};
use crate::trace::seen::NodeId;
use crate::world::paths::Side;
use doyen_runtime::simulated::{Passage, Path};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Who: a set of places, or everybody when it is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Whom(pub(super) BTreeSet<NodeId>);

impl Whom {
    fn has(&self, node: NodeId) -> bool {
        self.0.is_empty() || self.0.contains(&node)
    }
}

/// Who cannot reach whom, with targets resolved. The store is one of the sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    Sides(Vec<BTreeSet<Side>>),
    Isolate(BTreeSet<Side>),
    OneWay(BTreeSet<Side>, BTreeSet<Side>),
    Bridge(BTreeSet<Side>, BTreeSet<Side>),
    /// In this ring each hears only a majority around itself.
    Ring(Vec<Side>),
}

impl Rule {
    fn cuts(&self, from: Side, to: Side) -> bool {
        let apart = |one: &BTreeSet<Side>, other: &BTreeSet<Side>| {
            (one.contains(&from) && other.contains(&to))
                || (other.contains(&from) && one.contains(&to))
        };
        match self {
            // Whoever is on both sides, as the store may be, is cut off from none.
            Self::Sides(sides) => {
                let named = |side| sides.iter().any(|one| one.contains(&side));
                let together = |one: &BTreeSet<Side>| one.contains(&from) && one.contains(&to);
                named(from) && named(to) && !sides.iter().any(together)
            }
            // The store is reached by all unless it is named.
            Self::Isolate(alone) => {
                let store = from == Side::STORE || to == Side::STORE;
                (alone.contains(&from) || alone.contains(&to))
                    && (!store || alone.contains(&Side::STORE))
            }
            Self::OneWay(first, second) => first.contains(&from) && second.contains(&to),
            Self::Bridge(one, other) => apart(one, other),
            Self::Ring(ring) => {
                let at = |side| ring.iter().position(|member| *member == side);
                let (Some(from), Some(to)) = (at(from), at(to)) else {
                    return false;
                };
                // Next, before, second next, second before, and so on.
                let distance = (from + ring.len() - to) % ring.len();
                let (ahead, behind) = (distance * 2, (ring.len() - distance) * 2);
                ahead.saturating_sub(1).min(behind) > ring.len() / 2
            }
        }
    }
}

/// A fault that is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Cut {
        rule: Rule,
        refuses: bool,
    },
    Link {
        from: Whom,
        to: Whom,
        latency: At,
        jitter: At,
        loss: u32,
    },
    StoreSlow(Whom, At),
    StoreAway(Whom, bool),
    AnswersLost(Whom, u32),
    EventsMerged(Whom, u32),
    Launches(NodeId, LaunchFault),
}

/// All faults that are on, by their index in the schedule.
#[derive(Debug, Default)]
pub(super) struct Conditions(pub(super) BTreeMap<usize, Condition>);

impl State {
    fn on(&self) -> impl Iterator<Item = &Condition> {
        self.conditions.0.values()
    }

    /// Whether what a process sends reaches the store.
    pub(super) fn reach(&self, node: NodeId) -> Reach {
        self.passes(Side::of(node), Side::STORE, node)
    }

    /// Whether what the store sends reaches a process.
    pub(super) fn hears(&self, node: NodeId) -> bool {
        self.passes(Side::STORE, Side::of(node), node) == Reach::Open
    }

    fn passes(&self, from: Side, to: Side, node: NodeId) -> Reach {
        let mut reach = Reach::Open;
        for condition in self.on() {
            let refuses = match condition {
                Condition::Cut { rule, refuses } if rule.cuts(from, to) => *refuses,
                Condition::StoreAway(whom, refuses) if whom.has(node) => *refuses,
                _ => continue,
            };
            reach = if refuses {
                Reach::Refuses
            } else {
                Reach::Silent
            };
        }
        reach
    }

    /// How much longer its store calls take.
    pub(super) fn slows(&self, node: NodeId) -> Duration {
        let slow = self.on().filter_map(|condition| match condition {
            Condition::StoreSlow(whom, by) if whom.has(node) => Some(by.duration()),
            _ => None,
        });
        slow.sum()
    }

    /// Of a thousand of its commits so many lose their answer.
    pub(super) fn loses(&self, node: NodeId) -> u32 {
        let of = self.on().filter_map(|condition| match condition {
            Condition::AnswersLost(whom, of) if whom.has(node) => Some(*of),
            _ => None,
        });
        of.max().unwrap_or(0)
    }

    /// Of a thousand of its events so many wait for a later one.
    pub(super) fn merges(&self, node: NodeId) -> u32 {
        let of = self.on().filter_map(|condition| match condition {
            Condition::EventsMerged(whom, of) if whom.has(node) => Some(*of),
            _ => None,
        });
        of.max().unwrap_or(0)
    }

    /// How launches by this server misbehave.
    pub(super) fn launches(&self, node: NodeId) -> Option<LaunchFault> {
        self.on().find_map(|condition| match condition {
            Condition::Launches(whose, how) if *whose == node => Some(*how),
            _ => None,
        })
    }

    fn path(&self, from: NodeId, to: NodeId) -> Path {
        let mut path = Path::default();
        for condition in self.on() {
            match condition {
                Condition::Cut { rule, refuses } if rule.cuts(Side::of(from), Side::of(to)) => {
                    path.passage = if *refuses {
                        Passage::Reject
                    } else {
                        Passage::Cut
                    };
                }
                Condition::Link {
                    from: whose,
                    to: whom,
                    latency,
                    jitter,
                    loss,
                } if whose.has(from) && whom.has(to) => {
                    path.shortest = path.shortest.saturating_add(latency.duration());
                    let longest = latency.duration().saturating_add(jitter.duration());
                    path.longest = path.longest.saturating_add(longest);
                    path.lost_per_mille = path.lost_per_mille.max(*loss);
                }
                _ => {}
            }
        }
        path
    }
}

impl World {
    /// A fault begins, ends or changes.
    pub(super) fn set(&self, index: usize, condition: Option<Condition>) {
        let now = self.now();
        self.with(|state| {
            let lost: Vec<_> = unreached(state).collect();
            match condition {
                Some(condition) => state.conditions.0.insert(index, condition),
                None => state.conditions.0.remove(&index),
            };
            let still: BTreeSet<_> = unreached(state).collect();
            for node in lost.into_iter().filter(|node| !still.contains(node)) {
                state.watch_anew(now, node);
            }
        });
        self.lay_paths();
    }

    /// Makes all paths what the faults say.
    pub(super) fn lay_paths(&self) {
        let paths: Vec<_> = self.with(|state| {
            let hosts: Vec<_> = state
                .nodes()
                .map(|(node, place)| (node, place.address.host().to_owned()))
                .collect();
            let mut paths = Vec::new();
            for (from, from_host) in &hosts {
                for (to, to_host) in hosts.iter().filter(|(to, _)| to != from) {
                    let path = state.path(*from, *to);
                    paths.push((from_host.clone(), to_host.clone(), path));
                }
            }
            paths
        });
        for (from, to, path) in paths {
            self.net.path(&from, &to, |old| *old = path);
        }
    }
}

fn unreached(state: &State) -> impl Iterator<Item = NodeId> + '_ {
    let all = state.nodes().map(|(node, _)| node);
    all.filter(|node| state.reach(*node) != Reach::Open || !state.hears(*node))
}
