//! Faults of clocks, the store, launchers and engines.

use super::Undo;
use crate::schedule::model::{Fault, FaultKind};
use crate::trace::seen::{NodeId, Sink};
use crate::world::World;
use crate::world::events::Event;
use crate::world::storage::Wrong;

impl<S: Sink> World<S> {
    pub(super) fn confuse_clocks(&mut self, number: usize, fault: &Fault, hits: &[NodeId]) {
        if let FaultKind::StampStep { millis } = fault.kind {
            self.store.step(millis);
            if fault.until.is_some() {
                self.undo_later(number, Undo::Stamp(millis.saturating_neg()));
            }
        }
        for id in hits {
            self.confuse_clock(number, &fault.kind, *id);
        }
    }

    fn confuse_clock(&mut self, number: usize, kind: &FaultKind, id: NodeId) {
        let now = self.now;
        match kind {
            FaultKind::ClockDrift { ppm, .. } => {
                self.nodes[id].clock.drift(now, *ppm);
                self.rearm(id);
                self.undo_later(number, Undo::Drift(id));
            }
            FaultKind::ClockStep {
                by,
                suspended: false,
                ..
            } => {
                self.nodes[id].clock.step(now, by.duration());
                self.rearm(id);
            }
            FaultKind::ClockStep { by, .. } => {
                self.machine_sleeps(number, self.nodes[id].host);
                let event = Event::FaultStep(number, 0);
                self.queue.push(now.after(by.duration()), event);
            }
            FaultKind::ClockFreeze { .. } => {
                self.nodes[id].clock.freeze(now, true);
                self.undo_later(number, Undo::Unfreeze(id));
            }
            _ => {}
        }
    }

    /// Plans the next wake of a process whose clock was set.
    pub(super) fn rearm(&mut self, id: NodeId) {
        self.nodes[id].armed = None;
        self.arm(id);
    }

    pub(super) fn harm_store(&mut self, number: usize, kind: &FaultKind, hits: Vec<NodeId>) {
        let (targets, wrong) = match kind {
            FaultKind::StoreSlow { targets, latency } => (targets, Wrong::Slow(latency.duration())),
            FaultKind::StoreAway { targets, refuses } => {
                let refuses = *refuses;
                (targets, Wrong::Away { refuses })
            }
            FaultKind::AnswersLost { targets, permille } => {
                (targets, Wrong::AnswersLost(*permille))
            }
            FaultKind::EventsMerged { targets, permille } => {
                (targets, Wrong::EventsMerged(*permille))
            }
            FaultKind::SessionLost { targets } => {
                let all = targets.is_empty();
                for number in 0..self.nodes.len() {
                    let id = NodeId(number);
                    if all || hits.contains(&id) {
                        self.lose_session(id);
                    }
                }
                return;
            }
            _ => return,
        };
        if hits.is_empty() && !targets.is_empty() {
            return;
        }
        self.undo_later(number, Undo::Store);
        self.store_goes_wrong(number, hits, wrong);
    }

    pub(super) fn harm_engines(&mut self, number: usize, kind: &FaultKind, hits: &[NodeId]) {
        for id in hits {
            if let FaultKind::Launches { how, .. } = kind {
                self.launch_faults.push((number, *id, *how));
                self.undo_later(number, Undo::Launches);
            }
            let Some(attempt) = self.nodes[*id].attempt else {
                continue;
            };
            match kind {
                FaultKind::EngineDeath { .. } => self.engine_dies(attempt),
                FaultKind::IgnoresTerm { .. } => {
                    self.hosts[attempt].ignores_term = true;
                    if let Some(engine) = &mut self.hosts[attempt].engine {
                        engine.ignores_term = true;
                    }
                    self.undo_later(number, Undo::Term(attempt));
                }
                FaultKind::PidReused { .. } => {
                    self.kill(*id);
                    self.hosts.reuse_pid(self.now, attempt);
                }
                _ => {}
            }
        }
    }
}
