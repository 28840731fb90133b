//! Whom a schedule's targets mean now; the store says who is oldest and who holds the office.

use super::conditions::{Rule, Whom};
use super::world::{Kind, State};
use crate::schedule::model::{Target, Topology};
use crate::trace::seen::NodeId;
use crate::world::paths::Side;
use doyen_core::identity::Identity;
use doyen_core::records::cluster::ClusterRecord;
use doyen_core::records::decode;
use doyen_core::records::key::{self, Key, Layout};
use doyen_core::records::singleton::SingletonRecord;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;

impl State {
    fn record<T: DeserializeOwned>(&self, key: &Key) -> Option<T> {
        let stored = self.store.model.get(key)?;
        decode(key, "a record", stored).ok().map(|one| one.value)
    }

    fn cluster(&self) -> Option<ClusterRecord> {
        self.record(&key::cluster())
    }

    fn at(&self, identity: &Identity) -> Option<NodeId> {
        self.nodes()
            .find(|(_, place)| place.address == identity.address)
            .map(|(node, _)| node)
    }

    pub(super) fn servers(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes()
            .filter(|(_, place)| matches!(place.kind, Kind::Server(_)))
            .map(|(node, _)| node)
    }

    /// Whom a target means; `None` when it means nobody.
    pub(super) fn resolve(&self, target: &Target) -> Option<Side> {
        let node = match target {
            Target::Store => return Some(Side::STORE),
            Target::Named(name) => self.servers().find(|node| {
                let place = self.place(*node);
                place.is_some_and(|place| place.name == *name)
            }),
            Target::FirstSeed => self.servers().next(),
            Target::Oldest => self.at(self.cluster()?.roster.listed.first()?),
            Target::Youngest => self.at(self.cluster()?.roster.listed.last()?),
            Target::SingletonHost => {
                let layout = Layout::new(&self.cluster()?.id);
                let office: SingletonRecord = self.record(&layout.singleton())?;
                self.at(&office.holder)
            }
            Target::Leader => {
                let oldest = self.resolve(&Target::Oldest)?.node()?;
                let life = self.place(oldest)?.life.as_ref()?;
                self.at(life.handle.as_ref()?.view().leader.as_ref()?)
            }
            Target::DriverOf(name) => self
                .nodes()
                .filter(|(_, place)| place.life.is_some() && place.kind.is_of(name))
                .last()
                .map(|(node, _)| node),
        };
        node.map(Side::of)
    }

    fn sides_of(&self, targets: &[Target]) -> BTreeSet<Side> {
        targets.iter().filter_map(|t| self.resolve(t)).collect()
    }

    /// Whom targets mean; the store is nobody.
    pub(super) fn resolve_all(&self, targets: &[Target]) -> BTreeSet<NodeId> {
        let sides = self.sides_of(targets).into_iter();
        sides.filter_map(Side::node).collect()
    }

    /// Whom targets mean, where none at all mean everybody; `None` when they mean nobody.
    pub(super) fn whom(&self, targets: &[Target]) -> Option<Whom> {
        let whom = self.resolve_all(targets);
        (targets.is_empty() || !whom.is_empty()).then_some(Whom(whom))
    }

    /// Who cannot reach whom.
    pub(super) fn rule(&self, topology: &Topology) -> Rule {
        match topology {
            Topology::Sides(sides) => {
                Rule::Sides(sides.iter().map(|side| self.sides_of(side)).collect())
            }
            Topology::Isolate(alone) => Rule::Isolate(self.sides_of(alone)),
            Topology::OneWay(from, to) => Rule::OneWay(self.sides_of(from), self.sides_of(to)),
            Topology::Bridge(one, between, other) => {
                let between = self.resolve(between);
                let without = |targets: &[Target]| {
                    let sides = self.sides_of(targets).into_iter();
                    sides.filter(|side| Some(*side) != between).collect()
                };
                Rule::Bridge(without(one), without(other))
            }
            Topology::MajoritiesRing => Rule::Ring(self.servers().map(Side::of).collect()),
        }
    }
}

impl Rule {
    /// Whom it names.
    pub(super) fn hits(&self) -> Vec<NodeId> {
        let mut all: BTreeSet<Side> = BTreeSet::new();
        match self {
            Self::Sides(sides) => all.extend(sides.iter().flatten()),
            Self::Isolate(alone) => all.extend(alone),
            Self::OneWay(one, other) | Self::Bridge(one, other) => {
                all.extend(one);
                all.extend(other);
            }
            Self::Ring(ring) => all.extend(ring),
        }
        all.into_iter().filter_map(Side::node).collect()
    }
}
