//! Faults of links: cuts, flapping, swizzling, bad links, replays.

use super::Undo;
use crate::schedule::model::{FaultKind, Target};
use crate::trace::seen::{NodeId, Sink};
use crate::world::World;
use crate::world::events::Event;
use crate::world::paths::{Quality, Side};
use doyen_core::identity::Role;
use doyen_core::input::Input;
use std::collections::BTreeSet;
use std::time::Duration;

/// How many old messages one replay brings back.
const REPLAYED_MAX: usize = 8;

impl<S: Sink> World<S> {
    pub(super) fn harm_links(&mut self, number: usize, kind: &FaultKind) {
        match kind {
            FaultKind::Cut { topology, refuses } => {
                let pairs = self.cut_by(topology);
                self.cut_pairs(number, &pairs, *refuses);
            }
            FaultKind::Flap { .. } | FaultKind::Swizzle { .. } => {
                self.queue.push(self.now, Event::FaultStep(number, 0));
            }
            FaultKind::Link { from, to, .. } => self.worsen(number, kind, from, to),
            FaultKind::Replay { from, to } => self.replay(from, to),
            _ => {}
        }
    }

    fn cut_pairs(&mut self, number: usize, pairs: &[(Side, Side)], refuses: bool) {
        for (from, to) in pairs {
            self.paths.cut(*from, *to, refuses);
            let undo = Undo::Mend(*from, *to, refuses);
            self.active[number].undo.push(undo);
        }
        self.was_cut();
        self.store_was_cut();
    }

    fn worsen(&mut self, number: usize, kind: &FaultKind, from: &[Target], to: &[Target]) {
        let FaultKind::Link {
            latency,
            jitter,
            loss,
            burst,
            duplicate,
            reorder,
            ..
        } = kind
        else {
            return;
        };
        let quality = Quality {
            latency: latency.duration(),
            jitter: jitter.duration(),
            loss: *loss,
            burst: *burst,
            duplicate: *duplicate,
            reorder: *reorder,
        };
        let (senders, receivers) = (self.nodes_of(from), self.nodes_of(to));
        // Roles that nobody has are nobody, not everybody.
        if (senders.is_empty() && !from.is_empty()) || (receivers.is_empty() && !to.is_empty()) {
            return;
        }
        let sides = |nodes: &[NodeId]| nodes.iter().copied().map(Side::of).collect();
        self.paths
            .worse(number, sides(&senders), sides(&receivers), quality);
        self.undo_later(number, Undo::Links);
    }

    /// What was sent long ago by a former life, or on a connection that is gone, comes once more.
    fn replay(&mut self, from: &Target, to: &Target) {
        let from = self.resolve(from).and_then(Side::node);
        let to = self.resolve(to).and_then(Side::node);
        let (Some(from), Some(to)) = (from, to) else {
            return;
        };
        if !self.nodes[to].lives() {
            return;
        }
        let life = self.nodes[to].life;
        let old = self.recorded.get(&(from, to)).into_iter().flatten();
        let old: Vec<_> = old.take(REPLAYED_MAX).cloned().collect();
        for (from, message) in old {
            let after = self.random_fault.micros(100, 5_000);
            let input = Input::Message { from, message };
            let event = Event::Tell(life, Box::new(input));
            self.queue.push(self.now.after(after), event);
        }
    }

    /// A fault that goes on takes its next step.
    pub(crate) fn fault_step(&mut self, number: usize, step: u32) {
        let schedule = self.schedule.clone();
        let (Some(fault), true) = (schedule.faults.get(number), self.active[number].is_on) else {
            return;
        };
        let mut next = None;
        match &fault.kind {
            FaultKind::Flap {
                topology,
                period,
                cut,
            } => {
                let pause = if step.is_multiple_of(2) {
                    let pairs = self.cut_by(topology);
                    self.cut_pairs(number, &pairs, false);
                    cut.duration()
                } else {
                    self.take_back(number);
                    period.duration().saturating_sub(cut.duration())
                };
                next = Some(pause.max(Duration::from_millis(1)));
            }
            FaultKind::Swizzle { step: pause, .. } => {
                let more = self.swizzle(number, step);
                next = more.then(|| pause.duration().max(Duration::from_millis(1)));
            }
            FaultKind::CrashLoop { every, .. } => {
                for id in self.active[number].nodes.clone() {
                    self.kill(id);
                    if self.nodes[id].role == Role::Server {
                        let pause = self.random_fault.micros(50_000, 200_000);
                        self.queue.push(self.now.after(pause), Event::Start(id));
                    }
                }
                next = Some(every.duration().max(Duration::from_millis(10)));
            }
            FaultKind::ClockStep { .. } => self.fault_ends(number),
            _ => {}
        }
        if let Some(pause) = next {
            let event = Event::FaultStep(number, step.wrapping_add(1));
            self.queue.push(self.now.after(pause), event);
        }
    }

    /// One more target loses its links, or one more gets them back; whether there are more steps.
    fn swizzle(&mut self, number: usize, step: u32) -> bool {
        let nodes = self.active[number].nodes.clone();
        let step = step as usize;
        if let Some(id) = nodes.get(step) {
            let one = Side::of(*id);
            let all = self.paths.sides();
            let others = all.filter(|side| *side != one && *side != Side::STORE);
            let pairs: Vec<_> = others.flat_map(|two| [(one, two), (two, one)]).collect();
            self.cut_pairs(number, &pairs, false);
            return true;
        }
        // Back in an order of chance: whoever is still cut off.
        let cut: BTreeSet<NodeId> = nodes
            .iter()
            .copied()
            .filter(|id| self.is_mine(number, Side::of(*id)))
            .collect();
        let count = cut.len() as u64;
        let chosen = usize::try_from(self.random_fault.below(count)).unwrap_or(0);
        let Some(id) = cut.into_iter().nth(chosen) else {
            return false;
        };
        let (one, paths) = (Side::of(id), &mut self.paths);
        self.active[number].undo.retain(|undo| match undo {
            Undo::Mend(from, to, refuses) if *from == one || *to == one => {
                paths.mend(*from, *to, *refuses);
                false
            }
            _ => true,
        });
        self.was_mended();
        count > 1
    }

    /// Whether a fault still cuts this side off.
    fn is_mine(&self, number: usize, side: Side) -> bool {
        let mut undo = self.active[number].undo.iter();
        undo.any(|one| matches!(one, Undo::Mend(from, ..) if *from == side))
    }
}
