//! Faults of processes: stops, kills, leaves, starts, accidents.

use super::{Armed, Undo};
use crate::schedule::model::{Fault, FaultKind};
use crate::trace::seen::{NodeId, Sink};
use crate::world::World;
use crate::world::events::Event;
use crate::world::hosts::{AttemptId, HostId};
use doyen_core::identity::Role;
use doyen_core::input::Command;

impl<S: Sink> World<S> {
    pub(super) fn harm_processes(&mut self, number: usize, fault: &Fault, hits: &[NodeId]) {
        if matches!(fault.kind, FaultKind::CrashLoop { .. }) {
            let event = Event::FaultStep(number, 0);
            return self.queue.push(self.now, event);
        }
        for id in hits {
            self.harm_process(number, fault, *id);
        }
        if let FaultKind::CrashAll { drivers: true } = fault.kind {
            self.power_off();
        }
    }

    fn harm_process(&mut self, number: usize, fault: &Fault, id: NodeId) {
        let life = self.nodes[id].life;
        match &fault.kind {
            FaultKind::Pause { .. } => {
                self.stop(id);
                self.resume_after(number, life);
            }
            FaultKind::Crash { .. } | FaultKind::CrashAll { .. } => {
                self.kill(id);
                if fault.until.is_some() {
                    self.restart_after(number, id);
                }
            }
            FaultKind::Leave { .. } => {
                let leave = Event::Request(life, Box::new(Command::Leave));
                self.queue.push(self.now, leave);
                if fault.until.is_some() {
                    self.restart_after(number, id);
                }
            }
            FaultKind::Start { .. } if self.nodes[id].role == Role::Server => {
                self.start_server(id);
            }
            FaultKind::AtAct { act, nth, what, .. } => {
                self.nodes[id].accidents.push(Armed {
                    fault: number,
                    act: *act,
                    left: (*nth).max(1),
                    what: *what,
                });
            }
            _ => {}
        }
    }

    /// The power fails: everything on every machine ends at once.
    fn power_off(&mut self) {
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

    /// Every process of a machine stands still, and nothing answers there.
    pub(super) fn machine_sleeps(&mut self, number: usize, host: HostId) {
        let here = self.nodes.iter().filter(|node| node.host == host);
        let here: Vec<NodeId> = here.map(|node| node.id).collect();
        for id in here {
            let side = crate::world::paths::Side::of(id);
            self.paths.sleep(side, true);
            self.undo_later(number, Undo::Wake(side));
            if self.nodes[id].lives() {
                self.stop(id);
                let life = self.nodes[id].life;
                self.resume_after(number, life);
            }
        }
        self.was_cut();
        self.store_was_cut();
    }
}
