//! Whom a schedule's targets mean now.

use super::conditions::{Rule, Whom};
use super::world::{Kind, State};
use crate::schedule::model::{Target, Topology};
use crate::trace::seen::NodeId;
use doyen_core::identity::Identity;
use doyen_core::process::ClusterView;
use std::collections::BTreeSet;
use std::sync::Arc;

impl State {
    /// The views of all living servers.
    fn server_views(&self) -> impl Iterator<Item = Arc<ClusterView>> + '_ {
        let servers = self.places.iter();
        let servers = servers.filter(|place| matches!(place.kind, Kind::Server(_)));
        servers.filter_map(|place| Some(place.life.as_ref()?.handle.as_ref()?.view()))
    }

    fn newest_view(&self) -> Option<Arc<ClusterView>> {
        self.server_views()
            .max_by_key(|view| (view.generation, view.epoch))
    }

    fn at(&self, identity: &Identity) -> Option<NodeId> {
        self.nodes()
            .find(|(_, place)| place.address == identity.address)
            .map(|(node, _)| node)
    }

    /// Whom a target means; `None` when it means nobody.
    pub(super) fn resolve(&self, target: &Target) -> Option<NodeId> {
        let by_age = |last: bool| {
            let view = self.newest_view()?;
            let aged = view.members.iter().filter(|member| member.age.is_some());
            let member = if last {
                aged.max_by_key(|member| member.age)
            } else {
                aged.min_by_key(|member| member.age)
            };
            self.at(&member?.identity)
        };
        match target {
            Target::Named(name) => self
                .nodes()
                .find(|(_, place)| place.name == *name)
                .map(|(node, _)| node),
            Target::Oldest => by_age(false),
            Target::Youngest => by_age(true),
            Target::Leader => {
                let oldest = by_age(false)?;
                let life = self.place(oldest)?.life.as_ref()?;
                self.at(life.handle.as_ref()?.view().leader.as_ref()?)
            }
            Target::SingletonHost => {
                let view = self.server_views().max_by_key(|view| view.epoch)?;
                self.at(view.holder.as_ref()?)
            }
            Target::FirstSeed => Some(NodeId(0)).filter(|node| self.place(*node).is_some()),
            Target::DriverOf(name) => {
                let of = |kind: &Kind| matches!(kind, Kind::Driver { context_name, .. } if context_name == name);
                self.nodes()
                    .filter(|(_, place)| place.life.is_some() && of(&place.kind))
                    .last()
                    .map(|(node, _)| node)
            }
            Target::Store => None,
        }
    }

    pub(super) fn resolve_all(&self, targets: &[Target]) -> BTreeSet<NodeId> {
        targets.iter().filter_map(|t| self.resolve(t)).collect()
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
                let with_store = sides.iter().enumerate();
                let with_store = with_store.filter(|(_, side)| side.contains(&Target::Store));
                let with_store = with_store.map(|(at, _)| at).collect();
                let sides = sides.iter().map(|side| self.resolve_all(side)).collect();
                Rule::Sides(sides, with_store)
            }
            Topology::Isolate(alone) => Rule::Isolate(self.resolve_all(alone)),
            Topology::OneWay(from, to) => {
                Rule::OneWay(self.resolve_all(from), self.resolve_all(to))
            }
            Topology::Bridge(one, _, other) => {
                Rule::Bridge(self.resolve_all(one), self.resolve_all(other))
            }
            Topology::MajoritiesRing => {
                let servers = self.nodes();
                let servers = servers.filter(|(_, place)| matches!(place.kind, Kind::Server(_)));
                Rule::Ring(servers.map(|(node, _)| node).collect())
            }
        }
    }
}

impl Rule {
    /// Whom it names.
    pub(super) fn hits(&self) -> Vec<NodeId> {
        let mut all = BTreeSet::new();
        match self {
            Self::Sides(sides, _) => all.extend(sides.iter().flatten()),
            Self::Isolate(alone) => all.extend(alone),
            Self::OneWay(one, other) | Self::Bridge(one, other) => {
                all.extend(one);
                all.extend(other);
            }
            Self::Ring(ring) => all.extend(ring),
        }
        all.into_iter().collect()
    }
}
