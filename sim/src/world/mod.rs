//! A simulated world: processes with clocks of their own, a network, a store, machines with engines,
//! clients and faults, and the loop that carries all of it out.
//!
//! | file | holds |
//! | --- | --- |
//! | `events` | what is going to happen, in a total order |
//! | `node`, `life`, `act` | places and processes: how they begin, decide, act, stop and end |
//! | `paths`, `connection`, `network`, `dial`, `dialler`, `beats` | who reaches whom, as TCP and the runtime behave |
//! | `storage`, `store_calls`, `watches` | the store, and the way to it |
//! | `hosts`, `launcher`, `engines` | machines, drivers, engine children |
//! | `clients`, `reads` | what is asked, and what is told |
//! | `faults`, `targets` | what goes wrong, and for whom |
//! | `random`, `clock` | streams, clocks |
//! | `run`, `story` | who leads a world: a schedule, or a test by hand |

mod act;
mod beats;
pub(crate) mod clients;
pub mod clock;
mod connection;
mod dial;
mod dialler;
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
pub(crate) mod reads;
mod run;
pub mod storage;
mod store_calls;
pub mod story;
mod targets;
mod watches;

use crate::engine::HarnessFault;
use crate::schedule::model::{Fault, FaultKind, Schedule};
use crate::schedule::settings::{address_of, config_of};
use crate::trace::seen::{NodeId, Phase, Sink};
use beats::Beats;
use clients::Clients;
use clock::Clock;
use connection::{Conn, ConnId};
use doyen_core::config::ValidConfig;
use doyen_core::identity::{Address, ClusterId, Identity, Incarnation, Role};
use doyen_core::records::key::Layout;
use doyen_core::records::model::StoreModel;
use doyen_core::time::Time;
use doyen_core::wire::Message;
use events::{Life, Queue};
use faults::Active;
use hosts::{HostId, Hosts};
use node::{Node, NodeRandom};
use paths::Paths;
use random::{Purpose, Random, Streams};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use storage::{SimStore, StoreCall, Watch};

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
    /// The records' layout that clients' reads used last.
    layout: Option<(ClusterId, Layout)>,
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
            layout: None,
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
            is_ending: false,
            store_id: false,
            proves: None,
            diallers: Vec::new(),
            links: Vec::new(),
            beats: Beats::new(self.now),
            watch: Watch::new(self.now),
            answers_arrive: Time::ZERO,
            ready: None,
            accidents: Vec::new(),
            has_left: false,
        });
        id
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
