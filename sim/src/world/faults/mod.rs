//! Faults: how each begins, goes on and ends. What a fault did it takes back itself.

use super::World;
mod hits;
mod links;
mod processes;
mod services;

use super::act::Answered;
use super::events::{Event, Life};
use super::paths::Side;
use super::storage::{Call, StoreCall};
use crate::schedule::model::{Accident, Act, Fault, FaultKind};
use crate::trace::seen::{NodeId, Phase, Seen, Sink};
use doyen_core::identity::{Identity, Role};

use doyen_core::output::Output;
use std::rc::Rc;

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
    /// Clocks are a process's, whatever lives it leads.
    Drift(NodeId),
    Unfreeze(NodeId),
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
    late: Vec<(Life, Rc<Identity>, Output)>,
    /// For faults that go on: their targets.
    nodes: Vec<NodeId>,
}

impl<S: Sink> World<S> {
    /// A fault of the schedule begins, unless the heal was before.
    pub(super) fn fault_begins(&mut self, number: usize) {
        let schedule = self.schedule.clone();
        let before = matches!(self.phase, Phase::WarmUp | Phase::Faults);
        if let (Some(fault), true) = (schedule.faults.get(number), before) {
            self.begin_fault(number, fault);
        }
    }

    fn begin_fault(&mut self, number: usize, fault: &Fault) {
        let hits = self.hits_of(&fault.kind);
        let seen = Seen::Fault {
            index: number,
            begins: true,
            hits: &hits,
        };
        self.sink.seen(self.now, &seen);
        self.active[number].is_on = true;
        self.active[number].nodes.clone_from(&hits);
        match &fault.kind {
            FaultKind::Cut { .. }
            | FaultKind::Flap { .. }
            | FaultKind::Swizzle { .. }
            | FaultKind::Link { .. }
            | FaultKind::Replay { .. } => self.harm_links(number, &fault.kind),
            FaultKind::Pause { .. }
            | FaultKind::Crash { .. }
            | FaultKind::CrashLoop { .. }
            | FaultKind::CrashAll { .. }
            | FaultKind::Leave { .. }
            | FaultKind::Start { .. }
            | FaultKind::AtAct { .. } => self.harm_processes(number, fault, &hits),
            FaultKind::ClockDrift { .. }
            | FaultKind::ClockStep { .. }
            | FaultKind::ClockFreeze { .. }
            | FaultKind::StampStep { .. } => self.confuse_clocks(number, fault, &hits),
            FaultKind::StoreSlow { .. }
            | FaultKind::StoreAway { .. }
            | FaultKind::SessionLost { .. }
            | FaultKind::AnswersLost { .. }
            | FaultKind::EventsMerged { .. } => self.harm_store(number, &fault.kind, hits),
            FaultKind::EngineDeath { .. }
            | FaultKind::Launches { .. }
            | FaultKind::IgnoresTerm { .. }
            | FaultKind::PidReused { .. } => self.harm_engines(number, &fault.kind, &hits),
        }
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
        for (life, by, output) in std::mem::take(&mut self.active[number].late) {
            self.do_late(life, by, output);
        }
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
                Undo::Drift(id) => {
                    self.nodes[id].clock.drift(self.now, 0);
                    self.rearm(id);
                }
                Undo::Unfreeze(id) => {
                    self.nodes[id].clock.freeze(self.now, false);
                    self.rearm(id);
                }
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

    fn undo_later(&mut self, number: usize, undo: Undo) {
        self.active[number].undo.push(undo);
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
        let by = self.nodes[id].identity.clone();
        self.active[fault].late.push((life, by, output));
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

    fn do_late(&mut self, life: Life, by: Rc<Identity>, output: Output) {
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
            by,
            ..self.call_of(life.node, what)
        };
        self.queue.push(self.now, Event::Store(Box::new(call)));
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
