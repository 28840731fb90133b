//! Whom a fault hits, before it does: empty for nobody, and for everybody where a fault may name
//! nobody to mean all.

use crate::schedule::model::{FaultKind, Target, Topology};
use crate::trace::seen::{NodeId, Sink};
use crate::world::World;
use doyen_core::identity::Role;
use std::collections::BTreeSet;

impl<S: Sink> World<S> {
    pub(super) fn hits_of(&self, kind: &FaultKind) -> Vec<NodeId> {
        match kind {
            FaultKind::Cut { topology, .. } | FaultKind::Flap { topology, .. } => {
                self.named_by(topology)
            }
            FaultKind::Swizzle { targets, .. }
            | FaultKind::StoreSlow { targets, .. }
            | FaultKind::StoreAway { targets, .. }
            | FaultKind::SessionLost { targets }
            | FaultKind::AnswersLost { targets, .. }
            | FaultKind::EventsMerged { targets, .. } => self.nodes_of(targets),
            FaultKind::Link { from, to, .. } => {
                let ends = self.nodes_of(from).into_iter().chain(self.nodes_of(to));
                ends.collect::<BTreeSet<_>>().into_iter().collect()
            }
            FaultKind::Replay { from, to } => self.nodes_of(&[from.clone(), to.clone()]),
            FaultKind::CrashLoop { target, .. }
            | FaultKind::Start { target }
            | FaultKind::Launches { target, .. } => self.nodes_of(std::slice::from_ref(target)),
            FaultKind::CrashAll { drivers } => {
                let living = self.nodes.iter().filter(|node| node.lives());
                let hit = living.filter(|node| *drivers || node.role == Role::Server);
                hit.map(|node| node.id).collect()
            }
            FaultKind::Pause { target }
            | FaultKind::Crash { target }
            | FaultKind::Leave { target }
            | FaultKind::AtAct { target, .. }
            | FaultKind::ClockDrift { target, .. }
            | FaultKind::ClockStep { target, .. }
            | FaultKind::ClockFreeze { target } => self.living(target),
            FaultKind::StampStep { .. } => Vec::new(),
            FaultKind::EngineDeath { target }
            | FaultKind::IgnoresTerm { target }
            | FaultKind::PidReused { target } => {
                let living = self.living(target).into_iter();
                living
                    .filter(|id| self.nodes[*id].attempt.is_some())
                    .collect()
            }
        }
    }

    fn living(&self, target: &Target) -> Vec<NodeId> {
        let named = self.nodes_of(std::slice::from_ref(target)).into_iter();
        named.filter(|id| self.nodes[*id].lives()).collect()
    }

    /// Whom a topology names: those alone, those on sides; not a bridge's middle.
    fn named_by(&self, topology: &Topology) -> Vec<NodeId> {
        let named: Vec<Target> = match topology {
            Topology::Bridge(one, _, other) => one.iter().chain(other).cloned().collect(),
            Topology::MajoritiesRing => {
                let servers = self.nodes.iter();
                let servers = servers.filter(|node| node.role == Role::Server);
                return servers.map(|node| node.id).collect();
            }
            other => other.targets().into_iter().cloned().collect(),
        };
        self.nodes_of(&named)
    }
}
