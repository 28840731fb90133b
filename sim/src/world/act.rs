//! Decided, then acted: outputs are carried out a little later, in order, and a stop or a kill may
//! fall between (design.md 6).

use super::World;
use super::connection::Lane;
use super::events::{Event, Life};
use super::storage::Call;
use crate::panics::caught;
use crate::schedule::model::{Accident, Act};
use crate::trace::seen::{NodeId, Seen, Sink};
use doyen_core::input::Input;
use doyen_core::output::Output;
use doyen_core::process::Process;
use doyen_core::time::Time;
use std::mem;
use std::time::Duration;

/// A process that wants more wakes than this in a millisecond spins.
const WAKES_PER_MILLI_MAX: u32 = 50;
/// A process that spins is woken only so often.
const THROTTLE: Duration = Duration::from_millis(10);

/// Whether the answer to an act comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// It does.
    Yes,
    /// It is lost on the way.
    Lost,
}

impl<S: Sink> World<S> {
    /// Tells the process at a node one thing. It must run, and not be stopped.
    pub(super) fn handle(&mut self, id: NodeId, mut input: Input) {
        let now = self.now;
        let node = &mut self.nodes[id];
        // Who has decided to stop is told nothing more: its host takes no further input.
        let Some(process) = node.process.as_mut().filter(|_| !node.is_ending) else {
            return;
        };
        let clock = node.clock.read(now);
        let told = Seen::Input {
            node: id,
            clock,
            input: &input,
        };
        self.sink.seen(now, &told);
        // An input is large: it is moved once, when the process takes it.
        let handled = caught(|| process.handle(clock, mem::replace(&mut input, Input::Timeout)));
        match handled {
            Ok(()) => self.drain(id),
            Err(panic) => self.panicked(id, &panic),
        }
    }

    /// Takes what a process wants, and plans when it is carried out.
    pub(super) fn drain(&mut self, id: NodeId) {
        let now = self.now;
        let node = &mut self.nodes[id];
        let Some(process) = node.process.as_mut() else {
            return;
        };
        while let Some(output) = process.poll_output() {
            self.sink.seen(
                now,
                &Seen::Output {
                    node: id,
                    output: &output,
                },
            );
            node.is_ending |= matches!(output, Output::Stop(_));
            if !matches!(output, Output::Event(_)) {
                node.decided.push_back(output);
            }
        }
        if !node.decided.is_empty() && !node.act_planned {
            node.act_planned = true;
            let random = &mut node.random.host;
            // Now and then another thread is in the way.
            let delay = if random.below(64) == 0 {
                random.micros(100, 2_000)
            } else {
                random.micros(5, 60)
            };
            let life = node.life;
            self.queue.push(now.after(delay), Event::Act(life));
        }
        self.arm(id);
    }

    /// Plans the wake that a process wants next, unless an earlier one is planned.
    pub(super) fn arm(&mut self, id: NodeId) {
        let now = self.now;
        let node = &mut self.nodes[id];
        let due = node.process.as_ref().and_then(Process::poll_timeout);
        let Some(due) = due.and_then(|due| node.clock.when(due)) else {
            return;
        };
        let due = if node.spins {
            due.max(now.after(THROTTLE))
        } else {
            due.max(now)
        };
        if node.armed.is_some_and(|(planned, _)| planned <= due) {
            return;
        }
        // The timers of the runtime count whole milliseconds, rounded up.
        let fires = due.after(node.random.host.micros(20, 1_100));
        node.armed = Some((due, fires));
        let life = node.life;
        self.queue.push(fires, Event::Wake(life));
    }

    /// A planned wake has come.
    pub(super) fn wake(&mut self, life: Life) {
        let now = self.now;
        let node = &mut self.nodes[life.node];
        if node.armed.is_none_or(|(_, fires)| fires != now) {
            return;
        }
        node.armed = None;
        if node.is_stopped() {
            node.backlog.push(Event::Wake(life));
        } else {
            self.woken(life.node);
        }
    }

    /// The timer of a process went off.
    pub(super) fn woken(&mut self, id: NodeId) {
        let now = self.now;
        let node = &mut self.nodes[id];
        let due = node.process.as_ref().and_then(Process::poll_timeout);
        if due.is_none_or(|due| due > node.clock.read(now)) {
            return self.arm(id);
        }
        let millis = now.as_millis();
        let (at, count) = node.wakes;
        let count = if at == millis {
            count.saturating_add(1)
        } else {
            1
        };
        node.wakes = (millis, count);
        if count > WAKES_PER_MILLI_MAX && !node.spins {
            node.spins = true;
            self.sink.seen(now, &Seen::Spins { node: id });
        }
        self.handle(id, Input::Timeout);
    }

    /// Carries out what a process decided.
    pub(super) fn act(&mut self, life: Life) {
        let id = life.node;
        if !self.is_living(life) {
            return;
        }
        self.nodes[id].act_planned = false;
        while self.is_living(life) && !self.nodes[id].is_stopped() {
            let Some(output) = self.nodes[id].decided.pop_front() else {
                return;
            };
            match self.accident(id, &output) {
                None => self.carry_out(id, output, Answered::Yes),
                Some((fault, what)) => self.meet_accident(id, output, fault, what),
            }
        }
    }

    /// The accident that waits for this act, if it is the n-th of its kind.
    fn accident(&mut self, id: NodeId, output: &Output) -> Option<(usize, Accident)> {
        let armed = &mut self.nodes[id].accidents;
        if armed.is_empty() {
            return None;
        }
        let act = match output {
            Output::Commit { .. } => Act::Commit,
            Output::Read { .. } => Act::Read,
            Output::Effect(_) => Act::Effect,
            Output::Send { .. } => Act::Send,
            Output::Dial { .. }
            | Output::Credentials(_)
            | Output::Beat(_)
            | Output::Answer { .. }
            | Output::Event(_)
            | Output::Stop(_) => return None,
        };
        let counted = armed.iter_mut().filter(|one| one.act == act);
        for one in counted {
            one.left = one.left.saturating_sub(1);
        }
        let index = armed.iter().position(|one| one.left == 0)?;
        let met = armed.remove(index);
        Some((met.fault, met.what))
    }

    fn meet_accident(&mut self, id: NodeId, output: Output, fault: usize, what: Accident) {
        let life = self.nodes[id].life;
        match what {
            Accident::KillBefore => {
                self.nodes[id].decided.push_front(output);
                self.kill(id);
                self.restart_after(fault, id);
            }
            Accident::KillAfter => {
                self.carry_out(id, output, Answered::Yes);
                self.kill(id);
                self.restart_after(fault, id);
            }
            Accident::PauseBefore => {
                self.nodes[id].decided.push_front(output);
                self.stop(id);
                self.resume_after(fault, life);
            }
            Accident::PauseAfter => {
                self.carry_out(id, output, Answered::Yes);
                if self.is_living(life) {
                    self.stop(id);
                    self.resume_after(fault, life);
                }
            }
            Accident::LoseAnswer => self.carry_out(id, output, Answered::Lost),
            Accident::ActLate => self.act_late(id, output, fault),
        }
    }

    /// Does one thing that a process wants done.
    pub(super) fn carry_out(&mut self, id: NodeId, output: Output, answered: Answered) {
        match output {
            Output::Send { to, message } => self.send(id, &to, message),
            Output::Dial { addresses } => self.set_dialled(id, Lane::Main, &addresses),
            Output::Credentials(credentials) => {
                let proves = credentials.map(|one| one.cluster);
                if self.nodes[id].proves != proves {
                    self.nodes[id].proves = proves;
                    self.says_anew(id);
                }
            }
            Output::Beat(plan) => self.set_beats(id, plan),
            Output::Commit {
                ticket,
                transaction,
            } => self.call_store(id, Call::Commit(ticket, transaction), answered),
            Output::Read { ticket, query } => {
                self.call_store(id, Call::Read(ticket, query), answered);
            }
            Output::Effect(effect) => self.begin_effect(id, effect, answered),
            Output::Answer { request, answer } => self.answered(request, Some(&answer)),
            Output::Event(_) => {}
            Output::Stop(reason) => self.stopped_itself(id, reason),
        }
    }

    fn panicked(&mut self, id: NodeId, message: &str) {
        let seen = Seen::Panicked { node: id, message };
        self.sink.seen(self.now, &seen);
        self.kill(id);
        self.start_again(id);
    }

    /// Whether this life is the one that is led there now.
    pub(super) fn is_living(&self, life: Life) -> bool {
        let node = &self.nodes[life.node];
        node.process.is_some() && node.life == life
    }

    /// The time by a node's own clock.
    pub(super) fn clock_of(&self, id: NodeId) -> Time {
        self.nodes[id].clock.read(self.now)
    }
}
