//! Faults: how each begins, goes on and ends. What a fault did it takes back itself.

use super::World;
use super::act::Answered;
use super::events::{Event, Life};
use super::paths::{Quality, Side};
use super::storage::{Call, StoreCall, Wrong};
use crate::schedule::model::{Accident, Act, Fault, FaultKind, Target};
use crate::trace::seen::{NodeId, Seen, Sink};
use doyen_core::identity::Role;
use doyen_core::input::{Command, Input};
use doyen_core::output::Output;
use std::collections::BTreeSet;
use std::time::Duration;

/// An accident that waits for an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Armed {
    pub(crate) fault: usize,
    pub(crate) act: Act,
    pub(crate) left: u32,
    pub(crate) what: Accident,
}

/// What a fault takes back at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Undo {
    Mend(Side, Side, bool),
    Links,
    Resume(Life),
    Start(NodeId),
    Drift(Life),
    Unfreeze(Life),
    Stamp(i64),
    Store,
    Launches,
    Term(super::hosts::AttemptId),
    Wake(Side),
}

/// A fault under way, or over.
#[derive(Debug, Default)]
pub(crate) struct Active {
    is_on: bool,
    undo: Vec<Undo>,
    /// What is done when it ends (`Accident::ActLate`).
    late: Vec<(Life, Output)>,
    /// For faults that go on: their targets.
    nodes: Vec<NodeId>,
}

/// How many old messages one replay brings back.
const REPLAYED_MAX: usize = 8;

impl<S: Sink> World<S> {
    /// A fault of the schedule begins.
    pub(super) fn fault_begins(&mut self, number: usize) {
        let schedule = self.schedule.clone();
        if let Some(fault) = schedule.faults.get(number) {
            self.begin_fault(number, fault);
        }
    }

    /// Begins a fault under this number.
    pub(crate) fn begin_fault(&mut self, number: usize, fault: &Fault) {
        if self.active.len() <= number {
            self.active.resize_with(number + 1, Active::default);
        }
        self.active[number].is_on = true;
        let hits = self.inflict(number, fault);
        let seen = Seen::Fault {
            index: number,
            begins: true,
            hits: &hits,
        };
        self.sink.seen(self.now, &seen);
        self.active[number].nodes = hits;
    }

    fn inflict(&mut self, number: usize, fault: &Fault) -> Vec<NodeId> {
        match &fault.kind {
            FaultKind::Cut { topology, refuses } => {
                let pairs = self.cut_by(topology);
                self.cut_pairs(number, &pairs, *refuses)
            }
            FaultKind::Flap { topology, .. } => {
                let pairs = self.cut_by(topology);
                self.queue.push(self.now, Event::FaultStep(number, 0));
                nodes_of(&pairs)
            }
            FaultKind::Swizzle { targets, .. } => {
                self.queue.push(self.now, Event::FaultStep(number, 0));
                self.nodes_of(targets)
            }
            FaultKind::Link { from, to, .. } => self.worsen(number, fault, from, to),
            FaultKind::Replay { from, to } => self.replay(from, to),
            FaultKind::Pause { .. }
            | FaultKind::Crash { .. }
            | FaultKind::CrashLoop { .. }
            | FaultKind::CrashAll { .. }
            | FaultKind::Leave { .. }
            | FaultKind::Start { .. }
            | FaultKind::AtAct { .. } => self.harm_processes(number, fault),
            FaultKind::ClockDrift { .. }
            | FaultKind::ClockStep { .. }
            | FaultKind::ClockFreeze { .. }
            | FaultKind::StampStep { .. } => self.confuse_clock(number, fault),
            FaultKind::StoreSlow { .. }
            | FaultKind::StoreAway { .. }
            | FaultKind::SessionLost { .. }
            | FaultKind::AnswersLost { .. }
            | FaultKind::EventsMerged { .. } => self.harm_store(number, &fault.kind),
            FaultKind::EngineDeath { .. }
            | FaultKind::Launches { .. }
            | FaultKind::IgnoresTerm { .. }
            | FaultKind::PidReused { .. } => self.harm_engines(number, &fault.kind),
        }
    }

    fn harm_processes(&mut self, number: usize, fault: &Fault) -> Vec<NodeId> {
        let lasts = fault.until.is_some();
        match &fault.kind {
            FaultKind::Pause { target } => self.each(&[target], |world, id| {
                world.stop(id);
                let life = world.nodes[id].life;
                world.resume_after(number, life);
            }),
            FaultKind::Crash { target } => self.each(&[target], |world, id| {
                world.kill(id);
                if lasts {
                    world.restart_after(number, id);
                }
            }),
            FaultKind::CrashLoop { target, .. } => {
                self.queue.push(self.now, Event::FaultStep(number, 0));
                self.nodes_of(std::slice::from_ref(target))
            }
            FaultKind::CrashAll { drivers } => self.crash_all(number, *drivers, lasts),
            FaultKind::Leave { target } => self.each(&[target], |world, id| {
                let leave = Event::Request(world.nodes[id].life, Box::new(Command::Leave));
                world.queue.push(world.now, leave);
                if lasts {
                    world.restart_after(number, id);
                }
            }),
            FaultKind::Start { target } => {
                let nodes = self.nodes_of(std::slice::from_ref(target));
                for id in &nodes {
                    if self.nodes[*id].role == Role::Server {
                        self.start_server(*id);
                    }
                }
                nodes
            }
            FaultKind::AtAct {
                target,
                act,
                nth,
                what,
            } => self.each(&[target], |world, id| {
                world.nodes[id].accidents.push(Armed {
                    fault: number,
                    act: *act,
                    left: (*nth).max(1),
                    what: *what,
                });
            }),
            _ => Vec::new(),
        }
    }

    /// Does something to each living target; gives those that were hit.
    fn each(&mut self, targets: &[&Target], act: impl Fn(&mut Self, NodeId)) -> Vec<NodeId> {
        let sides: BTreeSet<Side> = targets.iter().filter_map(|one| self.resolve(one)).collect();
        let nodes = sides.into_iter().filter_map(Side::node);
        let hits: Vec<NodeId> = nodes.filter(|id| self.nodes[*id].lives()).collect();
        for id in &hits {
            act(self, *id);
        }
        hits
    }

    fn cut_pairs(&mut self, number: usize, pairs: &[(Side, Side)], refuses: bool) -> Vec<NodeId> {
        for (from, to) in pairs {
            self.paths.cut(*from, *to, refuses);
            let undo = Undo::Mend(*from, *to, refuses);
            self.active[number].undo.push(undo);
        }
        self.was_cut();
        self.store_was_cut();
        nodes_of(pairs)
    }

    fn worsen(
        &mut self,
        number: usize,
        fault: &Fault,
        from: &[Target],
        to: &[Target],
    ) -> Vec<NodeId> {
        let FaultKind::Link {
            latency,
            jitter,
            loss,
            burst,
            duplicate,
            reorder,
            ..
        } = &fault.kind
        else {
            return Vec::new();
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
            return Vec::new();
        }
        let sides = |nodes: &[NodeId]| nodes.iter().copied().map(Side::of).collect();
        self.paths
            .worse(number, sides(&senders), sides(&receivers), quality);
        self.active[number].undo.push(Undo::Links);
        senders.into_iter().chain(receivers).collect()
    }

    /// What was sent long ago by a former life, or on a connection that is gone, comes once more.
    fn replay(&mut self, from: &Target, to: &Target) -> Vec<NodeId> {
        let from = self.resolve(from).and_then(Side::node);
        let to = self.resolve(to).and_then(Side::node);
        let (Some(from), Some(to)) = (from, to) else {
            return Vec::new();
        };
        if !self.nodes[to].lives() {
            return Vec::new();
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
        vec![from, to]
    }

    fn crash_all(&mut self, number: usize, drivers: bool, lasts: bool) -> Vec<NodeId> {
        let living = self.nodes.iter().filter(|node| node.lives());
        let hits: Vec<NodeId> = living
            .filter(|node| drivers || node.role == Role::Server)
            .map(|node| node.id)
            .collect();
        for id in &hits {
            self.kill(*id);
            if lasts && self.nodes[*id].role == Role::Server {
                self.restart_after(number, *id);
            }
        }
        if drivers {
            self.power_off();
        }
        hits
    }

    /// At the end of a fault a server is started again.
    pub(super) fn restart_after(&mut self, fault: usize, id: NodeId) {
        if self.nodes[id].role == Role::Server {
            self.active[fault].undo.push(Undo::Start(id));
        }
    }

    /// At the end of a fault a process goes on.
    pub(super) fn resume_after(&mut self, fault: usize, life: Life) {
        self.active[fault].undo.push(Undo::Resume(life));
    }

    /// An act is kept until a fault ends; its sender is not answered.
    pub(super) fn act_late(&mut self, id: NodeId, output: Output, fault: usize) {
        let life = self.nodes[id].life;
        let what = match &output {
            Output::Commit {
                ticket,
                transaction,
            } => Some(Call::Commit(*ticket, transaction.clone())),
            Output::Read { ticket, query } => Some(Call::Read(*ticket, query.clone())),
            _ => None,
        };
        if let Some(what) = what {
            let call = self.call_of(id, what);
            self.unanswered(&call);
        }
        self.active[fault].late.push((life, output));
    }

    fn call_of(&self, id: NodeId, what: Call) -> StoreCall {
        let node = &self.nodes[id];
        StoreCall {
            life: node.life,
            by: node.identity.clone(),
            sent: self.now,
            what,
            answer_lost: true,
            is_late: false,
        }
    }

    fn harm_store(&mut self, number: usize, kind: &FaultKind) -> Vec<NodeId> {
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
                let nodes = if targets.is_empty() {
                    self.nodes.iter().map(|node| node.id).collect()
                } else {
                    self.nodes_of(targets)
                };
                for id in &nodes {
                    self.lose_session(*id);
                }
                return nodes;
            }
            _ => return Vec::new(),
        };
        let nodes = self.nodes_of(targets);
        if nodes.is_empty() && !targets.is_empty() {
            return nodes;
        }
        self.store_goes_wrong(number, nodes.clone(), wrong);
        self.active[number].undo.push(Undo::Store);
        nodes
    }

    /// A fault that goes on takes its next step.
    pub(super) fn fault_step(&mut self, number: usize, step: u32) {
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
            .filter(|id| self.is_mine(number, Side::of(*id), &nodes))
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

    /// Whether a fault still cuts this side off from one that it does not target itself, or from
    /// another target.
    fn is_mine(&self, number: usize, side: Side, _nodes: &[NodeId]) -> bool {
        let mut undo = self.active[number].undo.iter();
        undo.any(|one| matches!(one, Undo::Mend(from, ..) if *from == side))
    }

    /// A fault ends.
    pub(super) fn fault_ends(&mut self, number: usize) {
        let Some(active) = self.active.get_mut(number) else {
            return;
        };
        if !std::mem::replace(&mut active.is_on, false) {
            return;
        }
        let hits = std::mem::take(&mut active.nodes);
        for node in self.nodes.iter_mut() {
            node.accidents.retain(|armed| armed.fault != number);
        }
        let seen = Seen::Fault {
            index: number,
            begins: false,
            hits: &hits,
        };
        self.sink.seen(self.now, &seen);
        self.take_back(number);
        for (life, output) in std::mem::take(&mut self.active[number].late) {
            self.do_late(life, output);
        }
    }

    fn do_late(&mut self, life: Life, output: Output) {
        let what = match output {
            Output::Commit {
                ticket,
                transaction,
            } => Call::Commit(ticket, transaction),
            Output::Read { .. } => return,
            other => {
                if self.is_living(life) {
                    self.carry_out(life.node, other, Answered::Yes);
                }
                return;
            }
        };
        let call = StoreCall {
            is_late: true,
            life,
            ..self.call_of(life.node, what)
        };
        self.queue.push(self.now, Event::Store(Box::new(call)));
    }

    /// Takes back what a fault did.
    fn take_back(&mut self, number: usize) {
        let mut mended = false;
        for undo in std::mem::take(&mut self.active[number].undo) {
            match undo {
                Undo::Mend(from, to, refuses) => {
                    self.paths.mend(from, to, refuses);
                    mended = true;
                }
                Undo::Wake(side) => {
                    self.paths.sleep(side, false);
                    mended = true;
                }
                Undo::Links => self.paths.better(number),
                Undo::Resume(life) => self.resume(life),
                Undo::Start(id) => self.start_server(id),
                Undo::Drift(life) if self.is_living(life) => {
                    self.nodes[life.node].clock.drift(self.now, 0);
                    self.rearm(life.node);
                }
                Undo::Unfreeze(life) if self.is_living(life) => {
                    self.nodes[life.node].clock.freeze(self.now, false);
                    self.rearm(life.node);
                }
                Undo::Drift(_) | Undo::Unfreeze(_) => {}
                Undo::Stamp(millis) => self.store.step(millis),
                Undo::Store => {
                    self.store.end(number);
                    mended = true;
                }
                Undo::Launches => self.launch_faults.retain(|(of, ..)| *of != number),
                Undo::Term(attempt) => self.hosts[attempt].ignores_term = false,
            }
        }
        if mended {
            self.was_mended();
        }
    }

    fn undo(&mut self, number: usize, undo: Undo) {
        self.active[number].undo.push(undo);
    }

    /// The heal: every fault ends, every server that should run does.
    pub(crate) fn heal(&mut self) {
        for number in 0..self.active.len() {
            self.fault_ends(number);
        }
        for id in self.due_servers() {
            self.start_server(id);
        }
    }
}

/// The nodes among cut paths.
fn nodes_of(pairs: &[(Side, Side)]) -> Vec<NodeId> {
    let nodes = pairs.iter().filter_map(|(from, _)| from.node());
    let nodes: BTreeSet<NodeId> = nodes.collect();
    nodes.into_iter().collect()
}

mod more;
