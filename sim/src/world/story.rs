//! A world that a test leads by hand: start, kill, stop, cut, ask, look.

use super::clients::ClientRequest;
use super::paths::Side;
use super::{Options, World};
use crate::schedule::model::{Phases, Schedule, StoreProfile};
use crate::trace::seen::{Ended, NodeId, Seen, Sink};
use doyen_core::config::Config;
use doyen_core::identity::{Address, Identity, Role};
use doyen_core::input::{Command, Input, RequestId};
use doyen_core::output::{Answer, ClusterEvent, Effect, Output, StopReason};
use doyen_core::process::ClusterView;
use doyen_core::records::model::StoreModel;
use doyen_core::time::Time;
use std::collections::BTreeMap;
use std::time::Duration;

/// What happened, for tests and for people.
#[derive(Clone, Debug, PartialEq)]
pub enum Happened {
    /// A process said so.
    Event(ClusterEvent),
    /// A process stopped.
    Stopped(StopReason),
    /// A process wanted this done.
    Effect(Effect),
}

/// What was seen, as far as stories need it.
#[derive(Debug, Default)]
struct History {
    addresses: BTreeMap<NodeId, Address>,
    happened: Vec<(Time, Address, Happened)>,
    answers: BTreeMap<RequestId, (Time, Answer)>,
}

impl History {
    fn note(&mut self, at: Time, node: NodeId, happened: Happened) {
        if let Some(address) = self.addresses.get(&node) {
            self.happened.push((at, address.clone(), happened));
        }
    }
}

impl Sink for History {
    fn seen(&mut self, at: Time, seen: &Seen<'_>) {
        match seen {
            Seen::Began { node, identity, .. } => {
                self.addresses.insert(*node, identity.address.clone());
            }
            Seen::Output {
                node,
                output: Output::Event(event),
            } => self.note(at, *node, Happened::Event(event.clone())),
            Seen::Output {
                node,
                output: Output::Effect(effect),
            } => self.note(at, *node, Happened::Effect(effect.clone())),
            Seen::Ended {
                node,
                how: Ended::Stopped(reason),
                ..
            } => self.note(at, *node, Happened::Stopped(reason.clone())),
            Seen::Answered {
                request,
                answer: Some(answer),
                ..
            } => {
                let given = (at, (*answer).clone());
                self.answers.insert(*request, given);
            }
            Seen::Spins { node } => {
                let address = self.addresses.get(node);
                panic!("{address:?} is woken for nothing at {at}");
            }
            Seen::Panicked { node, message } => {
                let address = self.addresses.get(node);
                panic!("{address:?} panicked at {at}: {message}");
            }
            _ => {}
        }
    }

    fn is_settled(&self) -> bool {
        false
    }
}

/// A world led by hand. Servers are named by their addresses; nobody starts them again.
pub struct Story {
    world: World<History>,
    config: Config,
    cuts: Vec<(Side, Side)>,
}

impl Story {
    /// A world without processes.
    #[must_use]
    pub fn new(config: Config, seed: u64) -> Self {
        let schedule = Schedule {
            format: crate::schedule::model::FORMAT,
            rules: crate::schedule::model::RULES,
            name: String::new(),
            story: String::new(),
            expect: Default::default(),
            catches: Vec::new(),
            seed,
            seeds: BTreeMap::new(),
            servers: Vec::new(),
            settings: BTreeMap::new(),
            store: StoreProfile::Local,
            phases: Phases::default(),
            workload: Vec::new(),
            faults: Vec::new(),
            rest: Default::default(),
        };
        let options = Options { supervised: false };
        Self {
            world: World::bare(&schedule, History::default(), options),
            config,
            cuts: Vec::new(),
        }
    }

    /// The time.
    #[must_use]
    pub const fn now(&self) -> Time {
        self.world.now
    }

    /// The store, to look at.
    #[must_use]
    pub const fn store(&self) -> &StoreModel {
        self.world.store()
    }

    /// Everything that happened, in order.
    #[must_use]
    pub fn history(&self) -> &[(Time, Address, Happened)] {
        &self.world.sink.happened
    }

    /// Starts a server at an address: a fresh incarnation.
    ///
    /// # Panics
    /// When the world's configuration is not valid.
    pub fn start(&mut self, address: &Address) {
        let node = self.world.server_at(address).unwrap_or_else(|| {
            let config = self.config.clone().validate();
            let config = config.expect("the world's configuration is valid");
            let name = address.to_string().replace(':', "-");
            let added = self.world.add_server(&name, address.clone(), config);
            added.expect("addresses differ")
        });
        self.world.start_server(node);
    }

    fn node(&self, address: &Address) -> Option<NodeId> {
        let mut nodes = self.world.nodes.iter();
        let found = nodes.find(|node| node.identity.address == *address);
        found.map(|node| node.id)
    }

    /// `kill -9`.
    pub fn kill(&mut self, address: &Address) {
        if let Some(node) = self.node(address) {
            self.world.kill(node);
        }
    }

    /// SIGSTOP.
    pub fn pause(&mut self, address: &Address) {
        if let Some(node) = self.node(address) {
            self.world.stop(node);
        }
    }

    /// SIGCONT.
    pub fn resume(&mut self, address: &Address) {
        if let Some(node) = self.node(address) {
            let life = self.world.nodes[node].life;
            self.world.resume(life);
        }
    }

    fn cut_side(&mut self, from: Side, to: Side) {
        self.world.paths.cut(from, to, false);
        self.cuts.push((from, to));
        self.world.was_cut();
        self.world.store_was_cut();
    }

    /// Drops everything from one address to another, one way.
    pub fn cut(&mut self, from: &Address, to: &Address) {
        if let (Some(from), Some(to)) = (self.node(from), self.node(to)) {
            self.cut_side(Side::of(from), Side::of(to));
        }
    }

    /// Cuts an address off from its peers, and from the store too if asked to.
    pub fn isolate(&mut self, address: &Address, from_store: bool) {
        let Some(node) = self.node(address) else {
            return;
        };
        let one = Side::of(node);
        for other in self.world.paths.sides() {
            if other != one && (other != Side::STORE || from_store) {
                self.cut_side(one, other);
                self.cut_side(other, one);
            }
        }
    }

    /// Cuts an address off from the store alone.
    pub fn cut_store(&mut self, address: &Address) {
        if let Some(node) = self.node(address) {
            self.cut_side(Side::of(node), Side::STORE);
            self.cut_side(Side::STORE, Side::of(node));
        }
    }

    /// Heals every cut.
    pub fn heal(&mut self) {
        for (from, to) in std::mem::take(&mut self.cuts) {
            self.world.paths.mend(from, to, false);
        }
        self.world.was_mended();
    }

    /// Asks the process at an address to leave in order.
    pub fn leave(&mut self, address: &Address) {
        self.inject(address, Input::Command(Command::Leave));
    }

    /// Gives a request to the process at an address.
    ///
    /// # Panics
    /// Never lived anybody at that address.
    pub fn request(
        &mut self,
        address: &Address,
        command: impl FnOnce(RequestId) -> Command,
    ) -> RequestId {
        let node = self.node(address).expect("somebody lived there");
        let life = self.world.nodes[node].life;
        self.world.clients.requests.push(ClientRequest {
            life,
            began: self.world.now,
            is_over: false,
            names: None,
            reads: None,
        });
        let request = RequestId(self.world.clients.requests.len() as u64);
        self.world.requested(life, Box::new(command(request)));
        request
    }

    /// Gives an input to the process at an address, as its host would.
    pub fn inject(&mut self, address: &Address, input: Input) {
        if let Some(node) = self.node(address) {
            let life = self.world.nodes[node].life;
            self.world.tell(life, Box::new(input));
        }
    }

    /// The answer to a request and when it was given, if it came.
    #[must_use]
    pub fn answer(&self, request: RequestId) -> Option<&(Time, Answer)> {
        self.world.sink.answers.get(&request)
    }

    /// What the process at an address knows; `None` when there is none.
    #[must_use]
    pub fn view(&self, address: &Address) -> Option<ClusterView> {
        let node = self.node(address)?;
        let now = self.world.clock_of(node);
        let process = self.world.nodes[node].process.as_ref();
        process.map(|process| process.view(now))
    }

    /// Who lives at an address.
    #[must_use]
    pub fn identity(&self, address: &Address) -> Option<Identity> {
        let node = &self.world.nodes[self.node(address)?];
        node.lives().then(|| Identity::clone(&node.identity))
    }

    /// The addresses of all live drivers.
    #[must_use]
    pub fn drivers(&self) -> Vec<Address> {
        let nodes = self.world.nodes.iter();
        nodes
            .filter(|node| node.role == Role::Driver && node.lives())
            .map(|node| node.identity.address.clone())
            .collect()
    }

    /// What happened and what is, a line each: for the message of a test that fails.
    #[must_use]
    pub fn story(&self) -> String {
        let happened = self.history().iter();
        let happened = happened.map(|(at, address, what)| format!("{at} {address} {what:?}"));
        let is = self.world.nodes.iter().map(|node| {
            let address = &node.identity.address;
            format!("{address} is {:?}", self.view(address))
        });
        happened.chain(is).collect::<Vec<_>>().join("\n")
    }

    /// Lets time pass.
    pub fn run_for(&mut self, duration: Duration) {
        let until = self.world.now.after(duration);
        self.world.run_until(until);
    }

    /// Lets time pass until a condition holds; `false` when it did not within the bound.
    pub fn run_until(&mut self, bound: Duration, holds: impl Fn(&Self) -> bool) -> bool {
        let until = self.world.now.after(bound);
        loop {
            if holds(self) {
                return true;
            }
            if !self.world.step(until) {
                self.world.now = until;
                return holds(self);
            }
        }
    }
}
