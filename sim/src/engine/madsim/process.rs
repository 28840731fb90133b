//! Core's process under the runtime's host: what it is told and what it wants is noted.

use super::journal::Noted;
use super::world::World;
use crate::trace::seen::NodeId;
use doyen_core::input::{Command, Input, RequestId};
use doyen_core::output::Output;
use doyen_core::process::{ClusterView, Process};
use doyen_core::time::Time;
use doyen_runtime::host::Decider;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A process that wants more wakes than this in a millisecond spins.
const WAKES_PER_MILLI_MAX: u32 = 50;

/// A process that can be looked at from outside: nobody else does more.
#[derive(Clone)]
pub(super) struct Shown {
    process: Arc<Mutex<Process>>,
    /// What its machine's clock read when the process's began.
    clock_began: u64,
}

impl Shown {
    pub(super) fn new(process: Process, clock_began: u64) -> Self {
        Self {
            process: Arc::new(Mutex::new(process)),
            clock_began,
        }
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it knows when its machine's clock reads this.
    pub(super) fn view(&self, reading: u64) -> ClusterView {
        let clock = Time::from_nanos(reading.saturating_sub(self.clock_began));
        self.process().view(clock)
    }
}

/// A process whose inputs and outputs are noted.
pub(super) struct Noting {
    pub(super) world: Arc<World>,
    pub(super) node: NodeId,
    /// Which life it is: the host numbers the requests of each from 0.
    pub(super) serial: u64,
    pub(super) process: Shown,
    /// It panicked, and its node is being killed.
    pub(super) dead: bool,
    pub(super) wakes: (u64, u32),
}

impl Noting {
    fn number(&self, input: Input) -> Input {
        let add = |request: RequestId| self.world.world_number(self.serial, request);
        let Input::Command(command) = input else {
            return input;
        };
        Input::Command(match command {
            Command::Call { request, call } => Command::Call {
                request: add(request),
                call,
            },
            Command::Submit { request, job } => Command::Submit {
                request: add(request),
                job,
            },
            Command::KillJob { request, job } => Command::KillJob {
                request: add(request),
                job,
            },
            Command::Forget { request } => Command::Forget {
                request: add(request),
            },
            Command::Leave => Command::Leave,
        })
    }

    fn count_wake(&mut self, now: Time) {
        let milli = now.as_millis();
        self.wakes = match self.wakes {
            (at, count) if at == milli => (at, count.saturating_add(1)),
            _ => (milli, 1),
        };
        if self.wakes.1 == WAKES_PER_MILLI_MAX.saturating_add(1) {
            self.world.note(Noted::Spins(self.node));
        }
    }
}

impl Decider for Noting {
    fn handle(&mut self, now: Time, input: Input) {
        if self.dead {
            return;
        }
        let input = self.number(input);
        if input == Input::Timeout {
            self.count_wake(now);
        }
        self.world.told(self.node, now, &input);
        let process = AssertUnwindSafe(&self.process);
        let told = catch_unwind(move || process.process().handle(now, input));
        if let Err(panic) = told {
            self.dead = true;
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("a panic without words");
            self.world.panicked(self.node, text);
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        if self.dead {
            return None;
        }
        let output = self.process.process().poll_output()?;
        self.world.wanted(self.node, &output);
        if matches!(output, Output::Send { .. }) && !self.world.before_send(self.node) {
            self.dead = true;
            return None;
        }
        Some(match output {
            Output::Answer { request, answer } => Output::Answer {
                request: self.world.host_number(request),
                answer,
            },
            output => output,
        })
    }

    fn poll_timeout(&self) -> Option<Time> {
        if self.dead {
            return None;
        }
        self.process.process().poll_timeout()
    }

    fn view(&self, now: Time) -> ClusterView {
        self.process.process().view(now)
    }
}
