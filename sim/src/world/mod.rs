//! A simulated world: processes with clocks of their own, a network, a store, machines with engines,
//! clients and faults, and the loop that carries all of it out.
//!
//! | file | holds |
//! | --- | --- |
//! | `events` | what is going to happen, in a total order |
//! | `node`, `life`, `act` | places and processes: how they begin, decide, act, stop and end |
//! | `paths`, `connection`, `network`, `dial`, `beats` | who reaches whom, as TCP and the runtime behave |
//! | `storage`, `store_calls` | the store, and the way to it |
//! | `hosts`, `launcher`, `engines` | machines, drivers, engine children |
//! | `clients`, `reads` | what is asked, and what is told |
//! | `faults`, `targets` | what goes wrong, and for whom |
//! | `random`, `clock` | streams, clocks |

mod act;
mod beats;
mod clients;
pub mod clock;
mod connection;
mod dial;
pub mod engines;
mod events;
mod faults;
pub mod hosts;
mod launcher;
mod life;
mod network;
mod node;
pub mod paths;
pub mod random;
mod reads;
pub mod storage;
mod store_calls;
pub mod story;
mod targets;

use crate::engine::HarnessFault;
use crate::schedule::model::{Fault, FaultKind, Schedule};
use crate::schedule::settings::{address_of, config_of};
use crate::trace::seen::{NodeId, Phase, Seen, Sink};
use beats::Beats;
use clients::Clients;
use clock::Clock;
use connection::{Conn, ConnId};
use doyen_core::config::ValidConfig;
use doyen_core::identity::{Address, Identity, Incarnation, Role};
use doyen_core::input::Input;
use doyen_core::process::ClusterView;
use doyen_core::records::model::StoreModel;
use doyen_core::time::Time;
use doyen_core::wire::Message;
use events::{Event, Life, Queue};
use faults::Active;
use hosts::{HostId, Hosts};
use node::{Node, NodeRandom};
use paths::Paths;
use random::{Purpose, Random, Streams};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;
use storage::{SimStore, StoreCall, Watch};

/// How often all processes are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How long the reads of the final check may take.
const FINAL_READS: Duration = Duration::from_secs(5);

/// How a world is, apart from its schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// A supervisor starts servers again that exit with 75.
    pub(crate) supervised: bool,
}

/// All nodes, by their ids.
#[derive(Debug, Default)]
pub(crate) struct Nodes(Vec<Node>);

impl Nodes {
    fn len(&self) -> u16 {
        u16::try_from(self.0.len()).unwrap_or(u16::MAX)
    }

    fn iter(&self) -> std::slice::Iter<'_, Node> {
        self.0.iter()
    }

    fn iter_mut(&mut self) -> std::slice::IterMut<'_, Node> {
        self.0.iter_mut()
    }
}

impl std::ops::Index<NodeId> for Nodes {
    type Output = Node;

    fn index(&self, id: NodeId) -> &Node {
        &self.0[id.0 as usize]
    }
}

impl std::ops::IndexMut<NodeId> for Nodes {
    fn index_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.0[id.0 as usize]
    }
}

/// All connections that ever were, by their ids.
#[derive(Debug, Default)]
pub(crate) struct Conns(Vec<Conn>);

impl Conns {
    fn len(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    fn add(&mut self, conn: Conn) -> ConnId {
        let id = ConnId(self.len());
        self.0.push(conn);
        id
    }
}

impl std::ops::Index<ConnId> for Conns {
    type Output = Conn;

    fn index(&self, id: ConnId) -> &Conn {
        &self.0[id.0 as usize]
    }
}

impl std::ops::IndexMut<ConnId> for Conns {
    fn index_mut(&mut self, id: ConnId) -> &mut Conn {
        &mut self.0[id.0 as usize]
    }
}

/// The messages from one node to another that a replay may bring back.
type Recorded = BTreeMap<(NodeId, NodeId), VecDeque<(Identity, Message)>>;

/// A world, and who listens to it.
pub struct World<S> {
    sink: S,
    now: Time,
    events: u64,
    queue: Queue,
    schedule: Rc<Schedule>,
    options: Options,
    streams: Streams,
    random_ids: Random,
    random_fault: Random,
    nodes: Nodes,
    /// Servers' addresses.
    servers: Vec<(Address, NodeId)>,
    /// When each server of the schedule is started first.
    starts: Vec<(NodeId, Time)>,
    /// Who led which life.
    lives: BTreeMap<Incarnation, Life>,
    paths: Paths,
    conns: Conns,
    store: SimStore,
    /// Commits that lie in the sockets of those who are cut off from the store.
    unsent: Vec<StoreCall>,
    hosts: Hosts,
    launch_faults: Vec<(usize, NodeId, crate::schedule::model::LaunchFault)>,
    clients: Clients,
    active: Vec<Active>,
    records_messages: bool,
    recorded: Recorded,
    phase: Phase,
    /// Successive looks at which everything had come to pass.
    settled: u32,
    is_over: bool,
}

impl<S: Sink> World<S> {
    /// The world of a schedule; nothing has happened yet.
    ///
    /// # Errors
    /// A setting is unknown or breaks a rule of the configuration; a name is used twice or is none.
    pub fn new(schedule: &Schedule, sink: S) -> Result<Self, HarnessFault> {
        let mut world = Self::bare(schedule, sink, Options { supervised: true });
        for server in &schedule.servers {
            let config = config_of(schedule, Some(server));
            let config = config.map_err(|error| match error.name() {
                Some(name) => HarnessFault(format!("setting `{name}`: {error}")),
                None => HarnessFault(format!("settings of `{}`: {error}", server.name)),
            })?;
            world.add_server(&server.name, address_of(&server.name), config)?;
        }
        world.plan();
        Ok(world)
    }

    fn bare(schedule: &Schedule, sink: S, options: Options) -> Self {
        let streams = Streams::new(schedule.seed, &schedule.seeds);
        let replays = |fault: &Fault| matches!(fault.kind, FaultKind::Replay { .. });
        Self {
            sink,
            now: Time::ZERO,
            events: 0,
            queue: Queue::default(),
            options,
            random_ids: streams.stream(Purpose::Identity, u64::MAX, 0),
            random_fault: streams.stream(Purpose::Fault, 0, 0),
            nodes: Nodes::default(),
            servers: Vec::new(),
            starts: Vec::new(),
            lives: BTreeMap::new(),
            paths: Paths::new(streams.clone()),
            conns: Conns::default(),
            store: SimStore::new(schedule.store),
            unsent: Vec::new(),
            hosts: Hosts::default(),
            launch_faults: Vec::new(),
            clients: Clients::default(),
            active: Vec::new(),
            records_messages: schedule.faults.iter().any(replays),
            recorded: BTreeMap::new(),
            phase: Phase::WarmUp,
            settled: 0,
            is_over: false,
            streams,
            schedule: Rc::new(schedule.clone()),
        }
    }

    fn add_server(
        &mut self,
        name: &str,
        address: Address,
        config: ValidConfig,
    ) -> Result<NodeId, HarnessFault> {
        if self.named(name).is_some() {
            return Err(HarnessFault(format!("two servers are named `{name}`")));
        }
        let host = self.hosts.add(&format!("host-of-{name}"));
        let identity = Identity::new(address.clone(), Incarnation(0));
        let id = self.add_node(name.to_owned(), Role::Server, config, host, identity);
        self.servers.push((address, id));
        Ok(id)
    }

    fn add_node(
        &mut self,
        name: String,
        role: Role,
        config: ValidConfig,
        host: HostId,
        identity: Identity,
    ) -> NodeId {
        let id = NodeId(self.nodes.len());
        let stream = |purpose| self.streams.stream(purpose, u64::from(id.0), 0);
        let random = NodeRandom {
            identity: stream(Purpose::Identity),
            host: stream(Purpose::Host),
            clock: stream(Purpose::Clock),
            store: stream(Purpose::Store),
            launch: stream(Purpose::Launch),
            engine: stream(Purpose::Engine),
            client: stream(Purpose::Client),
        };
        self.paths.add();
        self.nodes.0.push(Node {
            id,
            name,
            role,
            config,
            host,
            attempt: None,
            random,
            process: None,
            identity: Rc::new(identity),
            life: Life {
                node: id,
                number: 0,
            },
            clock: Clock::new(self.now, Time::ZERO),
            armed: None,
            wakes: (0, 0),
            spins: false,
            stops: 0,
            stopped_at: Time::ZERO,
            backlog: Vec::new(),
            decided: VecDeque::new(),
            act_planned: false,
            store_id: false,
            proves: None,
            diallers: Vec::new(),
            links: Vec::new(),
            beats: Beats::new(self.now),
            watch: Watch::new(self.now),
            answers_arrive: Time::ZERO,
            accidents: Vec::new(),
            has_left: false,
        });
        id
    }

    /// Plans what the schedule says.
    fn plan(&mut self) {
        let schedule = self.schedule.clone();
        let at = |at: crate::schedule::model::At| Time::ZERO.after(at.duration());
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
    fn run_until(&mut self, until: Time) {
        while !self.is_over && self.step(until) {}
        if !self.is_over {
            self.now = self.now.max(until);
        }
    }

    /// Carries out the next event that happens at `until` or before.
    fn step(&mut self, until: Time) -> bool {
        let Some((at, event)) = self.queue.pop_until(until) else {
            return false;
        };
        self.now = at;
        self.events = self.events.saturating_add(1);
        self.happen(event);
        true
    }

    fn happen(&mut self, event: Event) {
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
    fn tell(&mut self, life: Life, input: Box<Input>) {
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
    fn due_servers(&self) -> Vec<NodeId> {
        let due = self.starts.iter().filter(|(_, at)| *at <= self.now);
        due.map(|(id, _)| *id).collect()
    }

    fn server_at(&self, address: &Address) -> Option<NodeId> {
        let mut servers = self.servers.iter();
        let found = servers.find(|(one, _)| one == address);
        found.map(|(_, id)| *id)
    }

    /// How many events were carried out.
    #[must_use]
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// The time.
    #[must_use]
    pub const fn now(&self) -> Time {
        self.now
    }

    /// The store's records.
    #[must_use]
    pub const fn store(&self) -> &StoreModel {
        &self.store.model
    }

    /// Who listens.
    pub const fn sink(&self) -> &S {
        &self.sink
    }

    /// The store's records, and who listened.
    #[must_use]
    pub fn into_parts(self) -> (StoreModel, S) {
        (self.store.model, self.sink)
    }
}
