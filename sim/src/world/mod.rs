//! A simulated world: processes, network, store, and the loop that carries outputs out.

mod effects;
pub mod event;
mod network;
mod random;
mod storage;

use doyen_core::config::{Config, ValidConfig};
use doyen_core::identity::{Address, ClusterId, Identity, Incarnation};
use doyen_core::input::{Command, Input, RequestId};
use doyen_core::output::{Answer, BeatPlan, ClusterEvent, Effect, Output, StopReason};
use doyen_core::process::{ClusterView, Process};
use doyen_core::records::cluster::Secret;
use doyen_core::records::model::StoreModel;
use doyen_core::records::transaction::Change;
use doyen_core::server::{Founding, ServerProcess};
use doyen_core::time::Time;
use event::{Event, Queue};
use random::Random;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// A process that wants more wakes than this in a millisecond spins.
const WAKES_PER_MILLI_MAX: u32 = 50;

/// What happened, for oracles and for people.
#[derive(Clone, Debug, PartialEq)]
pub enum Happened {
    /// A process said so.
    Event(ClusterEvent),
    /// A process stopped.
    Stopped(StopReason),
    /// A process wanted this done.
    Effect(Effect),
}

/// One address, and the life that it leads now.
#[derive(Debug)]
struct Node {
    process: Option<Process>,
    identity: Identity,
    /// Inputs that came while it was stopped by SIGSTOP; `None` when it runs.
    stopped: Option<VecDeque<Input>>,
    dialled: BTreeSet<Address>,
    beats: BeatPlan,
    beats_renewed: Time,
    beats_sent: BTreeMap<Address, Time>,
    sequence: u64,
    wake: Option<Time>,
    /// Wakes within the present millisecond, to catch a process that wants to be woken for nothing.
    wakes: (u64, u32),
}

/// The world.
#[derive(Debug)]
pub struct World {
    config: Config,
    now: Time,
    queue: Queue,
    random: Random,
    nodes: BTreeMap<Address, Node>,
    links: BTreeSet<(Identity, Identity)>,
    cuts: BTreeSet<(Address, Address)>,
    store: StoreModel,
    store_cuts: BTreeSet<Address>,
    requests: u64,
    answers: BTreeMap<RequestId, (Time, Answer)>,
    /// Everything that happened, in order.
    pub history: Vec<(Time, Address, Happened)>,
}

impl World {
    /// A world without processes.
    #[must_use]
    pub fn new(config: Config, seed: u64) -> Self {
        Self {
            config,
            now: Time::from_millis(1_000),
            queue: Queue::default(),
            random: Random::new(seed),
            nodes: BTreeMap::new(),
            links: BTreeSet::new(),
            cuts: BTreeSet::new(),
            store: StoreModel::new(),
            store_cuts: BTreeSet::new(),
            requests: 0,
            answers: BTreeMap::new(),
            history: Vec::new(),
        }
    }

    /// The time.
    #[must_use]
    pub const fn now(&self) -> Time {
        self.now
    }

    /// The store, to look at.
    #[must_use]
    pub const fn store(&self) -> &StoreModel {
        &self.store
    }

    /// Starts a server at an address: a fresh incarnation, whatever was there before.
    ///
    /// # Panics
    /// When the world's configuration is not valid.
    pub fn start(&mut self, address: &Address) {
        let incarnation = Incarnation(self.random.next());
        let identity = Identity::new(address.clone(), incarnation);
        let founding = Founding {
            cluster: ClusterId::new(format!("cluster-{:08x}", self.random.next() & 0xffff_ffff)),
            secret: Secret("simulated".to_owned()),
        };
        let server = ServerProcess::new(self.valid_config(), identity.clone(), founding, self.now);
        self.add(identity, Process::Server(Box::new(server)));
    }

    fn valid_config(&self) -> ValidConfig {
        self.config
            .clone()
            .validate()
            .expect("the world's configuration is valid")
    }

    fn add(&mut self, identity: Identity, process: Process) {
        let address = identity.address.clone();
        let node = Node {
            process: Some(process),
            identity,
            stopped: None,
            dialled: BTreeSet::new(),
            beats: BeatPlan::default(),
            beats_renewed: self.now,
            beats_sent: BTreeMap::new(),
            sequence: 0,
            wake: None,
            wakes: (0, 0),
        };
        self.nodes.insert(address.clone(), node);
        self.carry_out(&address);
        self.deliver(&address, Input::StoreChanged(Change::Everything));
    }

    /// `kill -9`.
    pub fn kill(&mut self, address: &Address) {
        let Some(node) = self.nodes.get_mut(address) else {
            return;
        };
        node.process = None;
        let identity = node.identity.clone();
        self.unlink(&identity);
    }

    /// SIGSTOP.
    pub fn pause(&mut self, address: &Address) {
        if let Some(node) = self.nodes.get_mut(address) {
            node.stopped.get_or_insert_default();
        }
    }

    /// SIGCONT: what came meanwhile is handled first.
    pub fn resume(&mut self, address: &Address) {
        let queued = self
            .nodes
            .get_mut(address)
            .and_then(|node| node.stopped.take());
        for input in queued.into_iter().flatten() {
            self.handle(address, input);
        }
        self.handle(address, Input::Timeout);
    }

    /// Drops everything from one address to another, one way.
    pub fn cut(&mut self, from: &Address, to: &Address) {
        self.cuts.insert((from.clone(), to.clone()));
    }

    /// Cuts an address off from its peers, and from the store too if asked to.
    pub fn isolate(&mut self, address: &Address, from_store: bool) {
        for other in self.nodes.keys().filter(|other| *other != address) {
            self.cuts.insert((address.clone(), other.clone()));
            self.cuts.insert((other.clone(), address.clone()));
        }
        if from_store {
            self.store_cuts.insert(address.clone());
        }
    }

    /// Cuts an address off from the store alone.
    pub fn cut_store(&mut self, address: &Address) {
        self.store_cuts.insert(address.clone());
    }

    /// Heals every cut.
    pub fn heal(&mut self) {
        self.cuts.clear();
        self.store_cuts.clear();
    }

    /// Asks the process at an address to leave in order.
    pub fn leave(&mut self, address: &Address) {
        self.handle(address, Input::Command(Command::Leave));
    }

    /// Gives a request to the process at an address.
    pub fn request(
        &mut self,
        address: &Address,
        command: impl FnOnce(RequestId) -> Command,
    ) -> RequestId {
        self.requests = self.requests.saturating_add(1);
        let request = RequestId(self.requests);
        self.handle(address, Input::Command(command(request)));
        request
    }

    /// Gives an input to the process at an address, as its host would.
    pub fn inject(&mut self, address: &Address, input: Input) {
        self.handle(address, input);
    }

    /// The answer to a request and when it was given, if it came.
    #[must_use]
    pub fn answer(&self, request: RequestId) -> Option<&(Time, Answer)> {
        self.answers.get(&request)
    }

    /// What the process at an address knows; `None` when there is none.
    #[must_use]
    pub fn view(&self, address: &Address) -> Option<ClusterView> {
        self.nodes
            .get(address)?
            .process
            .as_ref()
            .map(|process| process.view(self.now))
    }

    /// Who lives at an address.
    #[must_use]
    pub fn identity(&self, address: &Address) -> Option<Identity> {
        let node = self.nodes.get(address)?;
        node.process.as_ref().map(|_| node.identity.clone())
    }

    /// What happened and what is, a line each: for the message of a test that fails.
    #[must_use]
    pub fn story(&self) -> String {
        let happened = self
            .history
            .iter()
            .map(|(at, address, what)| format!("{at} {address} {what:?}"));
        let is = self
            .nodes
            .keys()
            .map(|address| format!("{address} is {:?}", self.view(address)));
        happened.chain(is).collect::<Vec<_>>().join("\n")
    }

    /// Lets time pass.
    pub fn run_for(&mut self, duration: Duration) {
        let until = self.now.after(duration);
        while let Some((at, event)) = self.queue.pop_until(until) {
            self.now = at;
            self.happen(event);
        }
        self.now = until;
    }

    /// Lets time pass until a condition holds; `false` when it did not within the bound.
    pub fn run_until(&mut self, bound: Duration, holds: impl Fn(&Self) -> bool) -> bool {
        let until = self.now.after(bound);
        loop {
            if holds(self) {
                return true;
            }
            let Some((at, event)) = self.queue.pop_until(until) else {
                self.now = until;
                return holds(self);
            };
            self.now = at;
            self.happen(event);
        }
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver { to, input } => {
                if self.identity(&to.address).as_ref() == Some(&to) {
                    self.handle(&to.address, *input);
                }
            }
            Event::Wake { address, at } => {
                let due = self
                    .nodes
                    .get(&address)
                    .is_some_and(|node| node.wake == Some(at));
                if due {
                    self.count_wake(&address);
                    self.handle(&address, Input::Timeout);
                }
            }
            Event::Dial { from, to, pause } => self.dial(&from, &to, pause),
            Event::Beats { from } => self.beat(&from),
            Event::Spawn { launch } => self.spawn(*launch),
            Event::Store { from, request } => self.store_works(&from, request),
        }
    }

    fn count_wake(&mut self, address: &Address) {
        let millis = self.now.as_millis();
        let Some(node) = self.nodes.get_mut(address) else {
            return;
        };
        node.wake = None;
        let (at, count) = node.wakes;
        node.wakes = (
            millis,
            if at == millis {
                count.saturating_add(1)
            } else {
                1
            },
        );
        assert!(
            node.wakes.1 <= WAKES_PER_MILLI_MAX,
            "{address} is woken for nothing at {}",
            self.now
        );
    }

    fn deliver(&mut self, address: &Address, input: Input) {
        if let Some(to) = self.identity(address) {
            let at = self.now.after(Duration::from_micros(200));
            self.queue.push(
                at,
                Event::Deliver {
                    to,
                    input: Box::new(input),
                },
            );
        }
    }

    fn handle(&mut self, address: &Address, input: Input) {
        let Some(node) = self.nodes.get_mut(address) else {
            return;
        };
        if let Some(queued) = &mut node.stopped {
            queued.push_back(input);
            return;
        }
        let Some(process) = &mut node.process else {
            return;
        };
        process.handle(self.now, input);
        self.carry_out(address);
    }

    fn carry_out(&mut self, address: &Address) {
        while let Some(output) = self
            .nodes
            .get_mut(address)
            .and_then(|node| node.process.as_mut()?.poll_output())
        {
            self.output(address, output);
        }
        let Some(node) = self.nodes.get_mut(address) else {
            return;
        };
        let wake = node.process.as_ref().and_then(Process::poll_timeout);
        if wake != node.wake {
            node.wake = wake;
            if let Some(at) = wake {
                let due = at.max(self.now.after(Duration::from_micros(1)));
                self.queue.push(
                    due,
                    Event::Wake {
                        address: address.clone(),
                        at,
                    },
                );
            }
        }
    }

    fn output(&mut self, address: &Address, output: Output) {
        match output {
            Output::Send { to, message } => self.send(address, &to, message),
            Output::Dial { addresses } => self.set_dialled(address, addresses),
            Output::Credentials(_) => {}
            Output::Beat(plan) => self.set_beats(address, plan),
            Output::Commit {
                ticket,
                transaction,
            } => self.commit(address, ticket, transaction),
            Output::Read { ticket, query } => self.read(address, ticket, query),
            Output::Effect(effect) => self.begin_effect(address, effect),
            Output::Answer { request, answer } => {
                self.answers.insert(request, (self.now, answer));
            }
            Output::Event(event) => self.note(address, Happened::Event(event)),
            Output::Stop(reason) => {
                self.note(address, Happened::Stopped(reason.clone()));
                self.kill(address);
                if reason == StopReason::Reincarnate {
                    self.start(&address.clone());
                }
            }
        }
    }

    fn note(&mut self, address: &Address, happened: Happened) {
        self.history.push((self.now, address.clone(), happened));
    }
}
