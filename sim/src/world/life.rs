//! Lives: how processes begin, stop, go on and end.

use super::World;
use super::beats::Beats;
use super::clock::Clock;
use super::connection::{ACCEPTOR, ConnId, DIALLER};
use super::events::{Event, Life};
use super::paths::Side;
use super::storage::Watch;
use crate::schedule::model::StoreProfile;
use crate::trace::seen::{Ended, NodeId, Phase, Seen, Sink};
use doyen_core::identity::{ClusterId, Identity, Incarnation};
use doyen_core::input::Input;
use doyen_core::output::{Answer, StopReason};
use doyen_core::process::Process;
use doyen_core::records::cluster::Secret;
use doyen_core::records::transaction::{CommitOutcome, ReadOutcome};
use doyen_core::server::{Founding, ServerProcess};
use doyen_core::time::Time;
use std::rc::Rc;
use std::time::Duration;

/// After an exit with 75 a supervisor (systemd, monit) starts the server again.
const SUPERVISOR: (u64, u64) = (1_000_000, 1_500_000);
/// ZooKeeper's session of a process that gives no sign of life ends.
const SESSION: Duration = Duration::from_secs(4);

impl<S: Sink> World<S> {
    /// Starts the server of a node, unless it runs.
    pub(super) fn start_server(&mut self, id: NodeId) {
        if self.nodes[id].lives() {
            return;
        }
        if self.paths.is_asleep(Side::of(id)) {
            let again = self.now.after(Duration::from_millis(100));
            return self.queue.push(again, Event::Start(id));
        }
        self.nodes[id].has_left = false;
        let offset = self.nodes[id].random.clock.micros(0, 50_000);
        self.nodes[id].clock = Clock::new(self.now, Time::ZERO.after(offset));
        self.nodes[id].store_id = false;
        self.new_server(id);
    }

    fn new_server(&mut self, id: NodeId) {
        let now = self.clock_of(id);
        let node = &mut self.nodes[id];
        let address = node.identity.address.clone();
        let identity = Identity::new(address, Incarnation(node.random.identity.next()));
        let number = node.random.identity.next();
        let founding = Founding {
            cluster: ClusterId::new(format!("{:08x}", number & 0xffff_ffff)),
            secret: Secret("simulated".to_owned()),
        };
        let config = node.config.clone();
        let server = ServerProcess::new(config, identity.clone(), founding, now);
        self.begin_life(id, identity, Process::Server(Box::new(server)));
    }

    /// A life begins.
    pub(super) fn begin_life(&mut self, id: NodeId, identity: Identity, process: Process) {
        let now = self.now;
        let node = &mut self.nodes[id];
        node.life.number = node.life.number.wrapping_add(1);
        node.process = Some(process);
        node.identity = Rc::new(identity);
        node.armed = None;
        node.wakes = (0, 0);
        node.spins = false;
        node.stops = 0;
        node.backlog.clear();
        node.decided.clear();
        node.act_planned = false;
        node.is_ending = false;
        node.proves = None;
        node.links.clear();
        node.diallers.clear();
        node.beats = Beats::new(now);
        node.watch = Watch::new(now);
        node.ready = None;
        let life = node.life;
        self.lives.insert(node.identity.incarnation, life);
        let seen = Seen::Began {
            node: id,
            name: &node.name,
            identity: &node.identity,
            role: node.role,
        };
        self.sink.seen(now, &seen);
        let ask = node.random.store.micros(300, 1_500);
        self.queue.push(now.after(ask), Event::Watch(life));
        if !node.store_id {
            let ask = node.random.store.micros(200, 1_000);
            self.queue.push(now.after(ask), Event::StoreId(life));
        }
        self.drain(id);
    }

    /// `kill -9`: what was decided and not done is lost.
    pub(super) fn kill(&mut self, id: NodeId) {
        let now = self.now;
        if !self.nodes[id].lives() {
            return;
        }
        for output in std::mem::take(&mut self.nodes[id].decided) {
            let lost = Seen::Lost {
                node: id,
                output: &output,
            };
            self.sink.seen(now, &lost);
        }
        self.end_life(id, &Ended::Killed);
    }

    /// A process has said why it stops.
    pub(super) fn stopped_itself(&mut self, id: NodeId, reason: StopReason) {
        let says = if reason == StopReason::Reincarnate {
            "this server begins a new life"
        } else {
            "this process is stopping"
        };
        let answer = Answer::NotReady {
            reason: says.to_owned(),
        };
        self.answer_all(id, Some(&answer));
        let how = Ended::Stopped(reason);
        self.end_life(id, &how);
        let Ended::Stopped(reason) = how else { return };
        match reason {
            StopReason::Reincarnate => self.new_server(id),
            StopReason::LeftOut { .. } | StopReason::ClusterChanged { .. } => self.start_again(id),
            // The heal came while it was leaving: it is one of those that should run.
            StopReason::Left if self.phase == Phase::Converge => self.start_again(id),
            StopReason::Left => self.nodes[id].has_left = true,
            StopReason::DriverDone | StopReason::DriverFenced { .. } => {}
        }
    }

    /// The supervisor of a server's host starts it again.
    pub(super) fn start_again(&mut self, id: NodeId) {
        if self.options.supervised && self.nodes[id].attempt.is_none() {
            let (low, high) = SUPERVISOR;
            let pause = self.nodes[id].random.host.micros(low, high);
            self.queue.push(self.now.after(pause), Event::Start(id));
        }
    }

    fn end_life(&mut self, id: NodeId, how: &Ended) {
        let now = self.now;
        let node = &mut self.nodes[id];
        let life = node.life;
        node.process = None;
        node.decided.clear();
        node.backlog.clear();
        node.links.clear();
        node.diallers.clear();
        node.beats = Beats::new(now);
        node.armed = None;
        if node.is_stopped() {
            node.stops = 0;
        }
        let identity = node.identity.clone();
        for number in 0..self.conns.len() {
            let conn = ConnId(number);
            for end in [DIALLER, ACCEPTOR] {
                if self.conns[conn].ends[end].life == life {
                    self.close(conn, end);
                }
            }
        }
        let seen = Seen::Ended {
            node: id,
            identity: &identity,
            how,
        };
        self.sink.seen(now, &seen);
        self.answer_all(id, None);
        if *how != Ended::Stopped(StopReason::Reincarnate) {
            self.driver_is_gone(id);
        }
    }

    /// SIGSTOP, or its machine sleeps.
    pub(super) fn stop(&mut self, id: NodeId) {
        let now = self.now;
        let node = &mut self.nodes[id];
        if !node.lives() {
            return;
        }
        node.stops = node.stops.saturating_add(1);
        if node.stops == 1 {
            node.stopped_at = now;
            let seen = Seen::Paused {
                node: id,
                paused: true,
            };
            self.sink.seen(now, &seen);
        }
    }

    /// SIGCONT, if it is the same life: what came meanwhile comes in an order that a real host gives.
    pub(super) fn resume(&mut self, life: Life) {
        let (id, now) = (life.node, self.now);
        if !self.is_living(life) || !self.nodes[id].is_stopped() {
            return;
        }
        let node = &mut self.nodes[id];
        node.stops -= 1;
        if node.is_stopped() {
            return;
        }
        let seen = Seen::Paused {
            node: id,
            paused: false,
        };
        self.sink.seen(now, &seen);
        let node = &mut self.nodes[id];
        if !node.decided.is_empty() && !node.act_planned {
            node.act_planned = true;
            self.queue.push(now, Event::Act(life));
        }
        let mut backlog = std::mem::take(&mut node.backlog);
        self.wait_for_answers(id, &mut backlog);
        match self.nodes[id].random.host.below(3) {
            0 => backlog.sort_by_key(|event| urgency(event, 0)),
            1 => backlog.sort_by_key(|event| urgency(event, 5)),
            _ => {}
        }
        self.plan_beats(id);
        let mut backlog = backlog.into_iter();
        for event in backlog.by_ref() {
            if !self.is_living(life) {
                return;
            }
            match event {
                Event::Wake(_) => self.woken(id),
                other => self.happen(other),
            }
            if self.is_living(life) && self.nodes[id].is_stopped() {
                break;
            }
        }
        if self.is_living(life) {
            self.nodes[id].backlog.extend(backlog);
            self.arm(id);
        }
    }

    /// Answers of the store that came while a process was stopped race with the bound of the call;
    /// with ZooKeeper its session may be over.
    fn wait_for_answers(&mut self, id: NodeId, backlog: &mut Vec<Event>) {
        let now = self.now;
        let session_over = self.store.profile == StoreProfile::Zookeeper
            && now.since(self.nodes[id].stopped_at) > SESSION;
        let node = &mut self.nodes[id];
        let bound = node.config.times().store_call;
        for event in backlog.iter_mut() {
            if let Event::StoreAnswer(_, sent, input) = event
                && now.since(*sent) > bound
                && (session_over || node.random.host.below(2) == 0)
            {
                match input.as_mut() {
                    Input::Committed { outcome, .. } => *outcome = CommitOutcome::Unknown,
                    Input::Read { outcome, .. } => {
                        let reason = "no answer in time".to_owned();
                        *outcome = ReadOutcome::Failed { reason };
                    }
                    _ => {}
                }
            }
        }
        if session_over {
            backlog.retain(|event| !matches!(event, Event::Changes(..)));
            let pause = node.random.store.micros(1_000, 500_000);
            let life = node.life;
            self.queue.push(now.after(pause), Event::Watch(life));
        }
    }
}

/// The order in which the host of a process takes what has come: answers of the store, links and
/// messages, changes, reports, the timer, requests (runtime/src/host/task.rs). The timer may be
/// first, since the others are still read from their sockets.
const fn urgency(event: &Event, timer: u8) -> u8 {
    match event {
        Event::Wake(_) => timer,
        Event::StoreAnswer(..) => 1,
        Event::Changes(..) | Event::Watch(_) | Event::StoreId(_) => 3,
        Event::Tell(_, input) if matches!(**input, Input::EffectReport(_)) => 4,
        Event::Request(..) | Event::ClientRead(..) => 6,
        _ => 2,
    }
}
