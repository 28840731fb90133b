//! The effects of servers: drivers are launched, proved dead and killed as the real launcher does it
//! (server/src/engine/launcher.rs, attempt.rs; protocol.md E1, E3, E5).

use super::World;
use super::act::Answered;
use super::clock::Clock;
use super::events::{Event, Life};
use super::hosts::{AttemptId, NewAttempt};
use crate::schedule::model::LaunchFault;
use crate::trace::seen::{Deed, NodeId, Seen, Sink};
use doyen_core::driver::{DriverLaunch, DriverProcess};
use doyen_core::identity::{Address, ContextId, Identity, Incarnation, Role};
use doyen_core::input::{Command, EffectReport, Input};
use doyen_core::output::Effect;
use doyen_core::process::Process;
use doyen_core::records::context::{ContextRecord, IntentNumber, Owner};
use doyen_core::records::job::JobError;
use doyen_core::time::Time;
use std::time::Duration;

/// How long a driver may take to end after SIGTERM (E5).
const TERMINATE_WITHIN: Duration = Duration::from_secs(2);
/// How long the keeper may take to end what it started, once its driver is gone (E4).
const KEEPER_WITHIN: Duration = Duration::from_secs(5);
const KILL_LOOK: Duration = Duration::from_millis(50);

/// A kill under way.
#[derive(Clone, Debug)]
pub(crate) struct Killing {
    context: ContextId,
    owner: Owner,
    attempt: Option<AttemptId>,
    stage: Stage,
    until: Time,
    answered: Answered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The driver was told to end.
    Terminated,
    /// The driver is gone; its keeper ends the rest.
    Keeper,
}

impl<S: Sink> World<S> {
    /// Begins what a process wants done outside the cluster.
    pub(super) fn begin_effect(&mut self, id: NodeId, effect: Effect, answered: Answered) {
        match effect {
            Effect::Launch { context, intent } => self.launch(id, &context, intent, answered),
            Effect::Verify { context, owner } => {
                self.verify(id, context, owner.as_ref(), answered);
            }
            Effect::Kill {
                context,
                intent,
                owner,
            } => self.begin_kill(id, context, intent, owner, answered),
            // The binary store is not simulated.
            Effect::DeleteObjects { .. } => {}
            Effect::StartEngine { .. } => self.start_engine(id),
            Effect::StopEngine => self.stop_engine(id),
            Effect::StartJob { job } => self.start_job(id, &job),
            Effect::KillJob { job } => self.kill_job(id, job),
        }
    }

    /// A report reaches its process after a while.
    pub(super) fn report(&mut self, life: Life, after: Duration, report: EffectReport) {
        let event = Event::Tell(life, Box::new(Input::EffectReport(report)));
        self.queue.push(self.now.after(after), event);
    }

    pub(super) fn deed(&mut self, node: NodeId, deed: &Deed) {
        self.sink.seen(self.now, &Seen::Deed { node, deed });
    }

    fn launch_fault(&self, id: NodeId, how: LaunchFault) -> bool {
        let mut faults = self.launch_faults.iter();
        faults.any(|(_, node, what)| *node == id && *what == how)
    }

    fn launch(
        &mut self,
        id: NodeId,
        context: &ContextRecord,
        intent: IntentNumber,
        answered: Answered,
    ) {
        let now = self.clock_of(id);
        let node = &mut self.nodes[id];
        let (life, took) = (node.life, node.random.launch.micros(1_000, 8_000));
        let view = node.process.as_ref().map(|process| process.view(now));
        let known = view.and_then(|view| Some((view.cluster?, view.members)));
        let reason = if self.launch_fault(id, LaunchFault::Failing) {
            Some("the system gives no process")
        } else if known.is_none() {
            Some("this server knows no cluster yet")
        } else {
            None
        };
        let error = reason.map(|reason| {
            let name = &context.name;
            let what = format!("the driver of `{name}` was not started: {reason}");
            JobError::new("doyen.LaunchFailed", what)
        });
        if let (None, Some((cluster, members))) = (&error, known) {
            let servers = members
                .into_iter()
                .filter(|member| member.role == Role::Server)
                .map(|member| member.identity.address);
            let servers: Vec<Address> = servers.collect();
            let first = self.start_attempt(life, context, intent);
            let second = self
                .launch_fault(id, LaunchFault::Doubled)
                .then(|| self.start_attempt(life, context, intent));
            for attempt in [Some(first), second].into_iter().flatten() {
                let launch = DriverLaunch {
                    identity: driver_identity(self.hosts[attempt].driver),
                    cluster: cluster.clone(),
                    context: context.id.clone(),
                    intent,
                    process: self.hosts[attempt].process.clone(),
                    servers: servers.clone(),
                };
                self.hosts[attempt].launch = Some(launch);
                // A double may come where locks are no use.
                let random = &mut self.nodes[id].random.launch;
                self.hosts[attempt].without_lock = attempt != first && random.below(2) == 0;
            }
        }
        let told = answered == Answered::Yes && !self.launch_fault(id, LaunchFault::Unreported);
        if told {
            let report = EffectReport::Launched {
                context: context.id.clone(),
                intent,
                error,
            };
            self.report(life, took, report);
        }
    }

    fn start_attempt(
        &mut self,
        launcher: Life,
        context: &ContextRecord,
        intent: IntentNumber,
    ) -> AttemptId {
        let id = launcher.node;
        let late = self.launch_fault(id, LaunchFault::Late);
        let orphans = self.launch_fault(id, LaunchFault::Orphaned);
        let node = &mut self.nodes[id];
        let driver = Incarnation(node.random.identity.next());
        let mut takes = node.random.launch.micros(10_000, 60_000);
        if late {
            let bound = node.config.times().driver_take;
            takes = takes.saturating_add(node.random.launch.up_to(bound));
        }
        let new = NewAttempt {
            context: context.id.clone(),
            context_name: context.name.clone(),
            intent,
            driver,
            host: node.host,
            launcher,
        };
        let attempt = self.hosts.start(self.now, new);
        self.hosts[attempt].orphans = orphans;
        let event = Event::DriverStarts(attempt);
        self.queue.push(self.now.after(takes), event);
        attempt
    }

    /// A driver process that was launched comes to life, if it gets its lock (E2).
    pub(super) fn driver_starts(&mut self, id: AttemptId) {
        let Some(launch) = self.hosts[id].launch.take() else {
            return;
        };
        if !self.hosts.take_lock(id) {
            return;
        }
        let attempt = &self.hosts[id];
        let launcher = attempt.launcher;
        let same = |one: &&super::hosts::DriverAttempt| {
            one.context_name == attempt.context_name && one.node.is_some()
        };
        let number = self.hosts.attempts.iter().filter(same).count() + 1;
        let name = format!("driver-of({})#{number}", attempt.context_name);
        let deed = Deed::DriverStarted {
            context: attempt.context.clone(),
            intent: attempt.intent,
            driver: attempt.driver,
        };
        let config = self.nodes[launcher].config.clone();
        let host = attempt.host;
        let node = self.add_node(name, Role::Driver, config, host, launch.identity.clone());
        self.hosts[id].node = Some(node);
        self.nodes[node].attempt = Some(id);
        let offset = self.nodes[node].random.clock.micros(0, 50_000);
        self.nodes[node].clock = Clock::new(self.now, Time::ZERO.after(offset));
        self.deed(node, &deed);
        let identity = launch.identity.clone();
        let config = self.nodes[node].config.clone();
        let driver = DriverProcess::new(config, launch, self.clock_of(node));
        self.begin_life(node, identity, Process::Driver(Box::new(driver)));
    }

    fn verify(
        &mut self,
        id: NodeId,
        context: ContextId,
        owner: Option<&Owner>,
        answered: Answered,
    ) {
        let node = &mut self.nodes[id];
        let (life, host) = (node.life, node.host);
        let took = node.random.launch.micros(1_000, 5_000);
        let driver = owner.map(|owner| owner.driver);
        let verdict = self.hosts.verify(host, &context, owner);
        let deed = Deed::Verified {
            context: context.clone(),
            driver,
            verdict,
            lives: self.hosts.really_lives(&context, driver),
        };
        self.deed(id, &deed);
        if answered == Answered::Yes {
            let report = EffectReport::Verified {
                context,
                driver,
                verdict,
                last_output: String::new(),
            };
            self.report(life, took, report);
        }
    }

    fn begin_kill(
        &mut self,
        id: NodeId,
        context: ContextId,
        intent: IntentNumber,
        owner: Owner,
        answered: Answered,
    ) {
        let node = &self.nodes[id];
        let (life, host) = (node.life, node.host);
        // The handle is opened before the process is verified: pid and start time must fit.
        let found = self.hosts.find(host, &owner);
        let hit = found.filter(|one| self.hosts[*one].driver_lives);
        let deed = Deed::Killed {
            context: context.clone(),
            intent,
            owner: owner.clone(),
            hit: hit.map(|one| self.hosts[one].driver),
        };
        self.deed(id, &deed);
        if let Some(driver) = hit.and_then(|one| self.hosts[one].node) {
            let leave = Event::Request(self.nodes[driver].life, Box::new(Command::Leave));
            self.queue.push(self.now.after(KILL_LOOK / 50), leave);
        }
        let of_mark = self.hosts.of_driver(owner.driver);
        let killing = Killing {
            context,
            attempt: of_mark.filter(|one| self.hosts[*one].host == host),
            owner,
            stage: Stage::Terminated,
            until: self.now.after(TERMINATE_WITHIN),
            answered,
        };
        let at = self.now.after(Duration::from_millis(2));
        self.queue.push(at, Event::Kill(life, Box::new(killing)));
    }

    /// A kill goes on: SIGKILL when SIGTERM did not help, then whatever carries the mark.
    pub(super) fn go_on_killing(&mut self, life: Life, mut killing: Box<Killing>) {
        if !self.is_living(life) {
            return;
        }
        if self.nodes[life.node].is_stopped() {
            let event = Event::Kill(life, killing);
            return self.nodes[life.node].backlog.push(event);
        }
        let now = self.now;
        if let Some(attempt) = killing.attempt
            && self.hosts[attempt].lives()
        {
            let driver_lives = self.hosts[attempt].driver_lives;
            match killing.stage {
                Stage::Terminated if !driver_lives => {
                    killing.stage = Stage::Keeper;
                    killing.until = now.after(KEEPER_WITHIN);
                }
                Stage::Terminated if now >= killing.until => {
                    if let Some(driver) = self.hosts[attempt].node {
                        self.kill(driver);
                    }
                }
                Stage::Keeper if now >= killing.until => self.sweep(attempt),
                Stage::Terminated | Stage::Keeper => {}
            }
            if self.hosts[attempt].lives() {
                let at = now.after(KILL_LOOK);
                return self.queue.push(at, Event::Kill(life, killing));
            }
        }
        let Killing {
            context,
            owner,
            answered,
            ..
        } = *killing;
        self.verify(life.node, context, Some(&owner), answered);
    }
}

/// The identity of a driver, which listens nowhere; the name keeps drivers of one host apart.
fn driver_identity(driver: Incarnation) -> Identity {
    Identity::new(Address::new(format!("driver-{driver}"), 0), driver)
}
