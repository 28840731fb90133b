//! Whom a schedule means: roles are resolved when they are asked for, from the store's records and
//! the processes' own views.

use super::World;
use super::paths::Side;
use crate::schedule::model::{Target, Topology};
use crate::trace::seen::{NodeId, Sink};
use doyen_core::identity::{ClusterId, Identity, Role};
use doyen_core::records::cluster::ClusterRecord;
use doyen_core::records::context::{NameRecord, OwnerRecord};
use doyen_core::records::decode;
use doyen_core::records::key::{self, Key, Layout};
use doyen_core::records::singleton::SingletonRecord;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;

impl<S: Sink> World<S> {
    /// Who a target is now.
    pub(crate) fn resolve(&self, target: &Target) -> Option<Side> {
        let node = match target {
            Target::Store => return Some(Side::STORE),
            Target::Named(name) => self.named(name),
            Target::FirstSeed => self.nodes.iter().next().map(|node| node.id),
            Target::Oldest => self.at(self.roster()?.first()?),
            Target::Youngest => self.at(self.roster()?.last()?),
            Target::SingletonHost => {
                let layout = Layout::new(&self.cluster()?.id);
                let office: SingletonRecord = self.record(&layout.singleton())?;
                self.at(&office.holder)
            }
            Target::Leader => {
                let oldest = self.resolve(&Target::Oldest)?.node()?;
                let now = self.clock_of(oldest);
                let process = self.nodes[oldest].process.as_ref()?;
                self.at(&process.view(now).leader?)
            }
            Target::DriverOf(context) => self.driver_of(context),
        };
        node.map(Side::of)
    }

    /// The nodes of these targets; who is nobody now is left out.
    pub(super) fn nodes_of(&self, targets: &[Target]) -> Vec<NodeId> {
        let sides = targets.iter().filter_map(|target| self.resolve(target));
        let nodes: BTreeSet<NodeId> = sides.filter_map(Side::node).collect();
        nodes.into_iter().collect()
    }

    fn sides_of(&self, targets: &[Target]) -> Vec<Side> {
        let sides: BTreeSet<Side> = targets
            .iter()
            .filter_map(|target| self.resolve(target))
            .collect();
        sides.into_iter().collect()
    }

    /// The server of this name.
    #[must_use]
    pub(crate) fn named(&self, name: &str) -> Option<NodeId> {
        let mut nodes = self.nodes.iter();
        let found = nodes.find(|node| node.role == Role::Server && node.name == name);
        found.map(|node| node.id)
    }

    fn at(&self, identity: &Identity) -> Option<NodeId> {
        let life = self.lives.get(&identity.incarnation)?;
        Some(life.node)
    }

    fn record<T: DeserializeOwned>(&self, key: &Key) -> Option<T> {
        let stored = self.store.model.get(key)?;
        decode(key, "a record", stored).ok().map(|one| one.value)
    }

    pub(crate) fn cluster(&self) -> Option<ClusterRecord> {
        self.record(&key::cluster())
    }

    /// The id of the cluster, once it is founded.
    #[must_use]
    pub fn cluster_id(&self) -> Option<ClusterId> {
        self.cluster().map(|cluster| cluster.id)
    }

    fn roster(&self) -> Option<Vec<Identity>> {
        self.cluster().map(|cluster| cluster.roster.listed)
    }

    fn driver_of(&self, context: &str) -> Option<NodeId> {
        let layout = Layout::new(&self.cluster()?.id);
        let name: NameRecord = self.record(&layout.context_name(context))?;
        let owner: OwnerRecord = self.record(&layout.owner(&name.context))?;
        let life = self.lives.get(&owner.owner?.driver)?;
        Some(life.node)
    }

    pub(crate) fn living_servers(&self) -> Vec<NodeId> {
        let nodes = self.nodes.iter();
        nodes
            .filter(|node| node.role == Role::Server && node.lives())
            .map(|node| node.id)
            .collect()
    }

    fn servers(&self) -> Vec<NodeId> {
        let nodes = self.nodes.iter();
        nodes
            .filter(|node| node.role == Role::Server)
            .map(|node| node.id)
            .collect()
    }

    /// The one-way paths that a topology cuts.
    pub(super) fn cut_by(&self, topology: &Topology) -> Vec<(Side, Side)> {
        let both = |pairs: &mut Vec<(Side, Side)>, one: &[Side], other: &[Side]| {
            for a in one {
                for b in other.iter().filter(|b| *b != a) {
                    pairs.push((*a, *b));
                    pairs.push((*b, *a));
                }
            }
        };
        let mut pairs = Vec::new();
        match topology {
            Topology::Sides(sides) => {
                let sides: Vec<_> = sides.iter().map(|one| self.sides_of(one)).collect();
                for (index, one) in sides.iter().enumerate() {
                    for other in sides.iter().skip(index + 1) {
                        // Whoever is on both sides, as the store may be, is cut off from none.
                        let only = |side: &[Side], not: &[Side]| -> Vec<Side> {
                            side.iter().filter(|x| !not.contains(x)).copied().collect()
                        };
                        both(&mut pairs, &only(one, other), &only(other, one));
                    }
                }
            }
            Topology::Isolate(alone) => {
                let alone = self.sides_of(alone);
                for one in &alone {
                    let all = self.paths.sides();
                    // The store is reached by all unless it is named.
                    let others: Vec<Side> = all
                        .filter(|side| side != one)
                        .filter(|side| *side != Side::STORE || alone.contains(&Side::STORE))
                        .collect();
                    both(&mut pairs, &[*one], &others);
                }
            }
            Topology::OneWay(from, to) => {
                for a in self.sides_of(from) {
                    let to = self.sides_of(to);
                    pairs.extend(to.into_iter().filter(|b| *b != a).map(|b| (a, b)));
                }
            }
            Topology::Bridge(left, middle, right) => {
                let middle = self.resolve(middle);
                let without = |targets: &[Target]| -> Vec<Side> {
                    let sides = self.sides_of(targets).into_iter();
                    sides.filter(|side| Some(*side) != middle).collect()
                };
                both(&mut pairs, &without(left), &without(right));
            }
            Topology::MajoritiesRing => pairs = self.majorities_ring(),
        }
        pairs.sort_unstable();
        pairs.dedup();
        pairs
    }

    /// Each server hears only a majority around itself in the ring.
    fn majorities_ring(&self) -> Vec<(Side, Side)> {
        let ring = self.servers();
        let count = ring.len();
        let others = count / 2;
        let mut pairs = Vec::new();
        for (index, one) in ring.iter().enumerate() {
            for distance in 1..count {
                // Next, before, second next, second before, and so on.
                let (ahead, behind) = (distance * 2 - 1, (count - distance) * 2);
                let is_near = ahead.min(behind) <= others;
                if let Some(other) = ring.get((index + distance) % count)
                    && !is_near
                {
                    pairs.push((Side::of(*other), Side::of(*one)));
                }
            }
        }
        pairs
    }
}
