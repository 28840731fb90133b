//! A server, a store model, and peers that beat; time passes only when the test says so.

use super::hands::writes;
use crate::config::Config;
use crate::identity::{Address, ClusterId, Identity, Incarnation};
use crate::input::{Input, LinkEvent, Ticket};
use crate::output::{Answer, BeatPlan, ClusterEvent, Credentials, Effect, Output, StopReason};
use crate::records::cluster::{ClusterRecord, Generation, Roster, Secret};
use crate::records::key::{self, Key, Layout};
use crate::records::model::StoreModel;
use crate::records::singleton::{
    ChallengeRecord, Epoch, PulseRecord, SingletonRecord, SplitRecord,
};
use crate::records::transaction::{
    Change, CommitOutcome, Operation, Query, ReadOutcome, Transaction, TransactionId,
};
use crate::records::{Rest, encode};
use crate::server::{Founding, ServerProcess};
use crate::time::{Stamp, Time};
use crate::wire::{Beat, Message};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Peers beat so often; every beat is one that the holder or a neighbour may owe.
const BEAT: Duration = Duration::from_millis(100);
/// The cluster's id.
pub(super) const ID: &str = "one";

/// What the store says to a commit that the test held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Say {
    /// Carries it out, if its guards hold.
    Commit,
    /// Refuses this operation, whatever it says.
    Refuse(usize),
    /// Carries it out, and the answer is lost.
    Lost,
    /// Does not carry it out, and the answer is lost.
    Unknown,
    /// It was never sent.
    NotSent,
}

/// What a peer says in its beats.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) beats: bool,
    pub(super) hears: BTreeSet<Identity>,
    pub(super) store_age_ms: u64,
    pub(super) vacant: bool,
}

pub(super) struct World {
    pub(super) server: ServerProcess,
    pub(super) store: StoreModel,
    pub(super) now: Time,
    /// The store's clock at the start, in milliseconds.
    pub(super) store_clock: u64,
    pub(super) peers: BTreeMap<Identity, Peer>,
    /// Nothing is answered: reads fail, commits are not sent.
    pub(super) store_away: bool,
    /// Whether the watch tells of what others write.
    pub(super) watched: bool,
    /// A holder that beats raises `pulse` every 2 s, as it must.
    pub(super) holder_pulses: bool,
    /// The next read that asks for this record misses it: it was written while the read went on.
    pub(super) torn: Option<Key>,
    /// Answers of reads wait for [`World::release_reads`].
    pub(super) slow_reads: bool,
    pub(super) holding: BTreeSet<Key>,
    pub(super) held: VecDeque<(Ticket, Transaction)>,
    /// Outcomes of held commits that were carried out already.
    pub(super) early: BTreeMap<TransactionId, CommitOutcome>,
    pub(super) slow: VecDeque<Input>,
    pub(super) queue: VecDeque<Input>,
    beats: u64,
    pub(super) others: u64,
    pub(super) me: Identity,
    pub(super) commits: Vec<(Transaction, Option<CommitOutcome>)>,
    pub(super) queries: Vec<Query>,
    pub(super) sent: Vec<(Identity, Message)>,
    pub(super) events: Vec<ClusterEvent>,
    pub(super) effects: Vec<Effect>,
    pub(super) answers: Vec<(u64, Answer)>,
    pub(super) plan: BeatPlan,
    pub(super) dials: BTreeSet<Address>,
    pub(super) credentials: Option<Credentials>,
    pub(super) stops: Vec<StopReason>,
    /// Looks at every commit when it is sent, before anything of it is carried out.
    pub(super) judge: Option<fn(&Self, &Transaction)>,
}

pub(super) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(super) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The first incarnation of the n-th server.
pub(super) fn s(n: u16) -> Identity {
    Identity::new(Address::new("10.0.0.1", n), Incarnation(u64::from(n)))
}

/// A later incarnation of the n-th server.
pub(super) fn reborn(n: u16) -> Identity {
    Identity::new(s(n).address, Incarnation(u64::from(n) + 100))
}

pub(super) fn layout() -> Layout {
    Layout::new(&ClusterId::new(ID))
}

/// The cluster as others made it: this roster, this holder, epoch 5.
pub(super) fn cluster(store: &mut StoreModel, generation: u64, listed: &[u16], holder: &Identity) {
    let record = ClusterRecord {
        id: ClusterId::new(ID),
        secret: Secret("secret".into()),
        roster: Roster {
            generation: Generation(generation),
            listed: listed.iter().map(|n| s(*n)).collect(),
        },
        rest: Rest::new(),
    };
    let office = SingletonRecord {
        epoch: Epoch(5),
        holder: holder.clone(),
        rest: Rest::new(),
    };
    let pulse = PulseRecord {
        epoch: Epoch(5),
        count: 0,
        rest: Rest::new(),
    };
    let fill = Transaction::new(TransactionId("fill".into()))
        .create(key::cluster(), encode(&record))
        .create(layout().singleton(), encode(&office))
        .create(layout().pulse(), encode(&pulse))
        .create(layout().challenge(), encode(&ChallengeRecord::default()))
        .create(layout().split(), encode(&SplitRecord::default()));
    store.commit(&fill, Stamp(1_000));
}

pub(super) fn config() -> Config {
    Config::new((1..=3).map(|n| s(n).address).collect())
}

impl World {
    /// A server that just started on this store; nothing was told to it yet.
    pub(super) fn start(me: &Identity, store: StoreModel, config: Config) -> Self {
        let founding = Founding {
            cluster: ClusterId::new(ID),
            secret: Secret("secret".into()),
        };
        let server =
            ServerProcess::new(config.validate().unwrap(), me.clone(), founding, Time::ZERO);
        Self {
            server,
            store,
            now: Time::ZERO,
            store_clock: 1_700_000_000_000,
            peers: BTreeMap::new(),
            store_away: false,
            watched: true,
            holder_pulses: true,
            torn: None,
            slow_reads: false,
            holding: BTreeSet::new(),
            held: VecDeque::new(),
            early: BTreeMap::new(),
            slow: VecDeque::new(),
            queue: VecDeque::new(),
            beats: 0,
            others: 0,
            me: me.clone(),
            commits: Vec::new(),
            queries: Vec::new(),
            sent: Vec::new(),
            events: Vec::new(),
            effects: Vec::new(),
            answers: Vec::new(),
            plan: BeatPlan::default(),
            dials: BTreeSet::new(),
            credentials: None,
            stops: Vec::new(),
            judge: None,
        }
    }

    /// A starting server with an empty store.
    pub(super) fn without_cluster(me: &Identity) -> Self {
        let mut world = Self::start(me, StoreModel::new(), config());
        world.run();
        world
    }

    /// A starting server that the roster (generation 3) does not list.
    pub(super) fn newcomer(me: &Identity, listed: &[u16], holder: u16) -> Self {
        let mut store = StoreModel::new();
        cluster(&mut store, 3, listed, &s(holder));
        let mut world = Self::start(me, store, config());
        world.run();
        world
    }

    /// A listed server (generation 3) that is linked and connected with all others, who all beat.
    pub(super) fn member(n: u16, listed: &[u16], holder: u16) -> Self {
        Self::member_with(n, listed, holder, config())
    }

    pub(super) fn member_with(n: u16, listed: &[u16], holder: u16, config: Config) -> Self {
        let mut store = StoreModel::new();
        cluster(&mut store, 3, listed, &s(holder));
        let mut world = Self::start(&s(n), store, config);
        world.run();
        for other in listed.iter().filter(|other| **other != n) {
            world.meets(&s(*other));
        }
        world.pass(secs(1));
        world.forget();
        world
    }

    /// A peer is linked, beats, and hears everybody that beats.
    pub(super) fn meets(&mut self, peer: &Identity) {
        self.tell(Input::Link(LinkEvent::Up { peer: peer.clone() }));
        self.hears(peer);
    }

    /// A peer begins to beat, and everybody hears everybody.
    pub(super) fn hears(&mut self, peer: &Identity) {
        let new = Peer {
            beats: true,
            hears: BTreeSet::new(),
            store_age_ms: 0,
            vacant: false,
        };
        self.peers.insert(peer.clone(), new);
        let all: BTreeSet<_> = self.peers.keys().chain([&self.me]).cloned().collect();
        for peer in self.peers.values_mut() {
            peer.hears.clone_from(&all);
        }
        self.beat(peer);
    }

    pub(super) fn peer(&mut self, peer: &Identity) -> &mut Peer {
        self.peers.get_mut(peer).unwrap()
    }

    /// No beat of this peer arrives any more.
    pub(super) fn silence(&mut self, peer: &Identity) {
        self.peer(peer).beats = false;
    }

    pub(super) fn beat(&mut self, from: &Identity) {
        let peer = self.peers[from].clone();
        self.beats += 1;
        let (generation, epoch, holder) = match self.roster() {
            Some(roster) => {
                let office = self.office();
                (
                    roster.generation,
                    office.epoch,
                    Some(office.holder.incarnation),
                )
            }
            None => (Generation(0), Epoch(0), None),
        };
        self.tell(Input::Beat(Beat {
            from: from.clone(),
            sequence: self.beats,
            generation,
            epoch,
            holder,
            hears: Arc::new(peer.hears),
            store_age_ms: peer.store_age_ms,
            vacant: peer.vacant,
        }));
    }

    pub(super) fn stamp(&self) -> Stamp {
        Stamp(self.store_clock + self.now.as_millis())
    }

    /// Carries out what the server wants, and tells it the answers, until it is quiet.
    pub(super) fn run(&mut self) {
        for _ in 0..10_000 {
            while let Some(output) = self.server.poll_output() {
                assert!(
                    self.stops.is_empty(),
                    "an output after the last: {output:?}"
                );
                self.carry_out(output);
            }
            let Some(input) = self.queue.pop_front() else {
                return;
            };
            self.server.handle(self.now, input);
        }
        panic!("the server does not get quiet");
    }

    pub(super) fn tell(&mut self, input: Input) {
        self.queue.push_back(input);
        self.run();
    }

    pub(super) fn says(&mut self, from: &Identity, message: Message) {
        let from = from.clone();
        self.tell(Input::Message { from, message });
    }

    /// Lets time pass: time-outs fire at their time, peers beat.
    pub(super) fn pass(&mut self, duration: Duration) {
        let end = self.now.after(duration);
        loop {
            let beat = self.next_beat();
            let due = self.server.poll_timeout();
            if let Some(due) = due {
                assert!(
                    due > self.now,
                    "due at {due}, and it is {} already",
                    self.now
                );
            }
            let next = due.map_or(beat, |due| due.min(beat));
            if next > end {
                break;
            }
            self.now = next;
            if due == Some(next) {
                self.tell(Input::Timeout);
            }
            if beat == next {
                self.all_beat();
            }
        }
        self.now = end;
    }

    /// The process does not run for so long; then its time-out fires late.
    pub(super) fn sleep(&mut self, duration: Duration) {
        self.now = self.now.after(duration);
        self.tell(Input::Timeout);
    }

    fn next_beat(&self) -> Time {
        let past = self.now.as_millis() / 100 + 1;
        Time::ZERO.after(BEAT.saturating_mul(u32::try_from(past).unwrap()))
    }

    fn all_beat(&mut self) {
        let beating = self.peers.iter().filter(|(_, peer)| peer.beats);
        for peer in beating.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            self.beat(&peer);
        }
        if self.holder_pulses
            && self.now.as_millis().is_multiple_of(2_000)
            && self.roster().is_some()
        {
            let holder = self.office().holder;
            if self.peers.get(&holder).is_some_and(|holder| holder.beats) {
                self.pulses();
            }
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Commit {
                ticket,
                transaction,
            } => {
                if let Some(judge) = self.judge {
                    judge(self, &transaction);
                }
                let holds = |one: &Operation| self.holding.contains(one.key());
                if writes(&transaction).into_iter().any(holds) {
                    self.commits.push((transaction.clone(), None));
                    self.held.push_back((ticket, transaction));
                } else {
                    let say = if self.store_away {
                        Say::NotSent
                    } else {
                        Say::Commit
                    };
                    self.answer_commit(ticket, &transaction, say);
                }
            }
            Output::Read { ticket, query } => self.answer_read(ticket, query),
            Output::Send { to, message } => self.sent.push((to, message)),
            Output::Dial { addresses } => self.dials = addresses,
            Output::Credentials(credentials) => self.credentials = credentials,
            Output::Beat(plan) => self.plan = plan,
            Output::Effect(effect) => self.effects.push(effect),
            Output::Answer { request, answer } => self.answers.push((request.0, answer)),
            Output::Event(event) => self.events.push(event),
            Output::Stop(reason) => self.stops.push(reason),
        }
    }

    fn answer_read(&mut self, ticket: Ticket, query: Query) {
        let outcome = if self.store_away {
            ReadOutcome::Failed {
                reason: "away".into(),
            }
        } else {
            let mut snapshot = self.store.read(&query, self.stamp());
            if let Some(torn) = self.torn.take_if(|torn| query.keys.contains(torn)) {
                snapshot.records.remove(&torn);
            }
            ReadOutcome::Snapshot(snapshot)
        };
        self.queries.push(query);
        let answer = Input::Read { ticket, outcome };
        if self.slow_reads {
            self.slow.push_back(answer);
        } else {
            self.queue.push_back(answer);
        }
    }

    pub(super) fn answer_commit(&mut self, ticket: Ticket, transaction: &Transaction, say: Say) {
        let stamp = self.stamp();
        let mut changed = BTreeSet::new();
        let early = self.early.remove(&transaction.id);
        let outcome = match say {
            Say::Commit if early.is_some() => early.unwrap(),
            Say::Commit | Say::Lost => {
                let (outcome, keys) = self.store.commit(transaction, stamp);
                changed = keys;
                if say == Say::Lost {
                    CommitOutcome::Unknown
                } else {
                    outcome
                }
            }
            Say::Refuse(operation) => CommitOutcome::Refused { operation },
            Say::Unknown => CommitOutcome::Unknown,
            Say::NotSent => CommitOutcome::NotSent {
                reason: "away".into(),
            },
        };
        let entry = (transaction.clone(), Some(outcome.clone()));
        match self
            .commits
            .iter_mut()
            .find(|(one, _)| one.id == transaction.id)
        {
            Some(known) => *known = entry,
            None => self.commits.push(entry),
        }
        self.queue.push_back(Input::Committed { ticket, outcome });
        self.tell_changes(changed);
    }

    pub(super) fn tell_changes(&mut self, changed: BTreeSet<Key>) {
        if self.watched && !self.store_away {
            let changes = changed.into_iter().map(Change::Record);
            self.queue.extend(changes.map(Input::StoreChanged));
        }
    }
}
