//! Faults of clocks, launchers and engines.

use super::Undo;
use crate::schedule::model::{Fault, FaultKind};
use crate::trace::seen::{NodeId, Sink};
use crate::world::World;
use crate::world::events::Event;
use crate::world::hosts::{AttemptId, HostId};
use crate::world::paths::Side;

impl<S: Sink> World<S> {
    pub(super) fn confuse_clock(&mut self, number: usize, fault: &Fault) -> Vec<NodeId> {
        match &fault.kind {
            FaultKind::ClockDrift { target, ppm } => self.each(&[target], |world, id| {
                let life = world.nodes[id].life;
                world.nodes[id].clock.drift(world.now, *ppm);
                world.rearm(id);
                world.undo(number, Undo::Drift(life));
            }),
            FaultKind::ClockStep {
                target,
                by,
                suspended: false,
            } => self.each(&[target], |world, id| {
                world.nodes[id].clock.step(world.now, by.duration());
                world.rearm(id);
            }),
            FaultKind::ClockStep { target, by, .. } => {
                let hits = self.each(&[target], |world, id| {
                    world.machine_sleeps(number, world.nodes[id].host);
                });
                let event = Event::FaultStep(number, 0);
                self.queue.push(self.now.after(by.duration()), event);
                hits
            }
            FaultKind::ClockFreeze { target } => self.each(&[target], |world, id| {
                let life = world.nodes[id].life;
                world.nodes[id].clock.freeze(world.now, true);
                world.undo(number, Undo::Unfreeze(life));
            }),
            FaultKind::StampStep { millis } => {
                self.store.step(*millis);
                if fault.until.is_some() {
                    self.undo(number, Undo::Stamp(millis.saturating_neg()));
                }
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// Every process of a machine stands still, and nothing answers there.
    fn machine_sleeps(&mut self, number: usize, host: HostId) {
        let here = self.nodes.iter().filter(|node| node.host == host);
        let here: Vec<NodeId> = here.map(|node| node.id).collect();
        for id in here {
            self.paths.sleep(Side::of(id), true);
            self.undo(number, Undo::Wake(Side::of(id)));
            if self.nodes[id].lives() {
                self.stop(id);
                let life = self.nodes[id].life;
                self.resume_after(number, life);
            }
        }
        self.was_cut();
        self.store_was_cut();
    }

    /// Plans the next wake of a process whose clock was set.
    pub(super) fn rearm(&mut self, id: NodeId) {
        self.nodes[id].armed = None;
        self.arm(id);
    }

    pub(super) fn harm_engines(&mut self, number: usize, kind: &FaultKind) -> Vec<NodeId> {
        match kind {
            FaultKind::EngineDeath { target } => {
                let hits = self.attempts_of(target);
                let died = hits.into_iter().filter(|(_, one)| self.engine_dies(*one));
                died.map(|(id, _)| id).collect()
            }
            FaultKind::IgnoresTerm { target } => {
                let hits = self.attempts_of(target);
                for (_, attempt) in &hits {
                    self.hosts[*attempt].ignores_term = true;
                    if let Some(engine) = &mut self.hosts[*attempt].engine {
                        engine.ignores_term = true;
                    }
                    self.undo(number, Undo::Term(*attempt));
                }
                hits.into_iter().map(|(id, _)| id).collect()
            }
            FaultKind::PidReused { target } => {
                let hits = self.attempts_of(target);
                for (id, attempt) in &hits {
                    self.kill(*id);
                    self.hosts.reuse_pid(self.now, *attempt);
                }
                hits.into_iter().map(|(id, _)| id).collect()
            }
            FaultKind::Launches { target, how } => {
                let nodes = self.nodes_of(std::slice::from_ref(target));
                for id in &nodes {
                    self.launch_faults.push((number, *id, *how));
                }
                self.undo(number, Undo::Launches);
                nodes
            }
            _ => Vec::new(),
        }
    }

    fn attempts_of(&self, target: &crate::schedule::model::Target) -> Vec<(NodeId, AttemptId)> {
        let nodes = self.nodes_of(std::slice::from_ref(target)).into_iter();
        let living = nodes.filter(|id| self.nodes[*id].lives());
        living
            .filter_map(|id| Some((id, self.nodes[id].attempt?)))
            .collect()
    }

    /// The power fails: everything on every machine ends at once.
    pub(super) fn power_off(&mut self) {
        for number in 0..self.hosts.attempts.len() {
            let id = AttemptId(number);
            self.sweep(id);
            self.hosts[id].launch = None;
        }
        let hosts: Vec<HostId> = self.hosts.ids().collect();
        for host in hosts {
            self.hosts.power_off(host);
        }
    }
}
