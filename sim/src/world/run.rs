//! The loop that leads a world: the phases of a schedule, one event after the other.

use super::World;
use super::events::{Event, Life};
use super::faults::Active;
use crate::schedule::model::At;
use crate::trace::seen::{NodeId, Phase, Seen, Sink};
use doyen_core::input::Input;
use doyen_core::process::ClusterView;
use doyen_core::time::Time;
use std::time::Duration;

/// How often all processes are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How long the reads of the final check may take.
const FINAL_READS: Duration = Duration::from_secs(5);

impl<S: Sink> World<S> {
    /// Plans what the schedule says.
    pub(super) fn plan(&mut self) {
        let schedule = self.schedule.clone();
        let at = |at: At| Time::ZERO.after(at.duration());
        for (index, server) in schedule.servers.iter().enumerate() {
            let id = NodeId(u16::try_from(index).unwrap_or(u16::MAX));
            self.starts.push((id, at(server.start)));
            self.queue.push(at(server.start), Event::Start(id));
        }
        for (index, ask) in schedule.workload.iter().enumerate() {
            self.queue.push(at(ask.at), Event::Ask(index));
        }
        for (index, fault) in schedule.faults.iter().enumerate() {
            self.queue.push(at(fault.at), Event::FaultBegins(index));
            if let Some(until) = fault.until {
                self.queue.push(at(until), Event::FaultEnds(index));
            }
        }
        self.queue.push(self.now.after(LOOK), Event::Look);
        self.active
            .resize_with(schedule.faults.len(), Active::default);
    }

    /// Carries the schedule out to its end: warm-up, faults, heal, converge, final check.
    pub fn run(&mut self) {
        let schedule = self.schedule.clone();
        let heal = Time::ZERO.after(schedule.phases.heal.duration());
        let end = Time::ZERO.after(schedule.phases.end.duration());
        let first = schedule.faults.iter().map(|fault| fault.at).min();
        let first = first.map_or(heal, |at| Time::ZERO.after(at.duration()).min(heal));
        self.enter(Phase::WarmUp);
        self.run_until(first);
        if first < heal {
            self.enter(Phase::Faults);
            self.run_until(heal);
        }
        self.enter(Phase::Converge);
        self.heal();
        self.run_until(end);
        self.enter(Phase::Final);
        self.read_everything();
        self.is_over = false;
        let bound = self.now.after(FINAL_READS);
        while !self.clients.is_quiet() && self.step(bound) {}
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.sink.seen(self.now, &Seen::Phase(phase));
    }

    /// Lets time pass; ends early once the run is over.
    pub(super) fn run_until(&mut self, until: Time) {
        while !self.is_over && self.step(until) {}
        if !self.is_over {
            self.now = self.now.max(until);
        }
    }

    /// Carries out the next event that happens at `until` or before.
    pub(super) fn step(&mut self, until: Time) -> bool {
        let Some((at, event)) = self.queue.pop_until(until) else {
            return false;
        };
        self.now = at;
        self.events = self.events.saturating_add(1);
        self.happen(event);
        true
    }

    pub(super) fn happen(&mut self, event: Event) {
        match event {
            Event::Wake(life) if self.is_living(life) => self.wake(life),
            Event::Beats(life) if self.is_living(life) => self.beats(life),
            Event::Wake(_) | Event::Beats(_) => {}
            Event::Act(life) => self.act(life),
            Event::Tell(life, input) => self.tell(life, input),
            Event::StoreAnswer(life, sent, input) => self.store_answered(life, sent, input),
            Event::Changes(life, keys) => self.changes(life, keys),
            Event::Watch(life) => self.set_watch(life),
            Event::StoreId(life) => self.ask_store_id(life),
            Event::Packet(conn, end) => self.packet(conn, end),
            Event::Frame(conn, end, frame) => self.received(conn, end, *frame),
            Event::Closed(conn, end) => self.closed(conn, end),
            Event::GiveUp(conn, end, since) => self.give_up(conn, end, since),
            Event::Idle(conn, end) => self.idle(conn, end),
            Event::Dial(attempt) => self.dial(attempt),
            Event::Shake(attempt, acceptor) => self.shake(attempt, acceptor),
            Event::Shaken(attempt, conn) => self.shaken(attempt, conn),
            Event::DialFailed(attempt, event) => self.dial_failed(attempt, event),
            Event::Store(call) => self.store_works(*call),
            Event::ClientRead(life, request, found) => self.client_read(life, request, found),
            Event::ReadBegins(life, request) => self.read_begins(life, request),
            Event::Ask(number) => self.ask(number),
            Event::Request(life, command) => self.requested(life, command),
            Event::Deadline(request) => self.deadline(request),
            Event::Start(id) => self.start_server(id),
            Event::DriverStarts(attempt) => self.driver_starts(attempt),
            Event::Engine(attempt, step) => self.engine_goes_on(attempt, step),
            Event::Kill(life, killing) => self.go_on_killing(life, killing),
            Event::FaultBegins(number) => self.fault_begins(number),
            Event::FaultEnds(number) => self.fault_ends(number),
            Event::FaultStep(number, step) => self.fault_step(number, step),
            Event::Look => self.look(),
        }
    }

    /// A process is told something by its own host or engine.
    pub(super) fn tell(&mut self, life: Life, input: Box<Input>) {
        if !self.is_living(life) {
            return;
        }
        if self.nodes[life.node].is_stopped() {
            let event = Event::Tell(life, input);
            self.nodes[life.node].backlog.push(event);
        } else {
            self.handle(life.node, *input);
        }
    }

    /// All processes are looked at; after the heal the run may be over.
    fn look(&mut self) {
        let views: Vec<(NodeId, ClusterView)> = self
            .nodes
            .iter()
            .filter_map(|node| {
                let process = node.process.as_ref()?;
                Some((node.id, process.view(node.clock.read(self.now))))
            })
            .collect();
        self.sink.seen(self.now, &Seen::Views { views: &views });
        self.queue.push(self.now.after(LOOK), Event::Look);
        if self.phase == Phase::Converge {
            let asked = self.clients.asked >= self.schedule.workload.len();
            let quiet = asked && self.clients.is_quiet() && self.sink.is_settled();
            self.settled = if quiet { self.settled + 1 } else { 0 };
            self.is_over = self.settled >= 2;
        }
    }

    /// Servers of the schedule whose time to run has come.
    pub(super) fn due_servers(&self) -> Vec<NodeId> {
        let due = self.starts.iter().filter(|(_, at)| *at <= self.now);
        due.map(|(id, _)| *id).collect()
    }
}
