//! A driver with a store model, an engine that only writes down what it is told, and time to pass.

use crate::config::Config;
use crate::driver::{DriverLaunch, DriverProcess};
use crate::identity::{Address, ClusterId, ContextId, Identity, Incarnation, JobId};
use crate::input::{EffectReport, Input, LinkEvent};
use crate::output::{ClusterEvent, Effect, Output, StopReason};
use crate::records::cluster::{ClusterRecord, Generation, Roster, Secret};
use crate::records::context::{
    ContextRecord, ContextState, DriverPhase, IntentNumber, LifeRecord, OwnerRecord, ProcessId,
};
use crate::records::job::{JobContextRecord, JobError, JobRecord, JobState, Payload};
use crate::records::key::{self, Key, Layout};
use crate::records::model::StoreModel;
use crate::records::transaction::{
    Change, CommitOutcome, Query, ReadOutcome, Snapshot, Transaction, TransactionId,
};
use crate::records::{Rest, Versioned, decode, encode};
use crate::time::{Stamp, Time};
use crate::wire::Message;
use serde::de::DeserializeOwned;
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

/// How the store answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answers {
    /// At once.
    AtOnce,
    /// It is out of reach.
    Away,
    /// Commits are carried out, their answer is lost.
    Lost,
    /// Commits are carried out, their answer waits for [`World::release`].
    Held,
    /// The outcome of commits is unknown; they are carried out at [`World::release`], late.
    Late,
    /// The outcome of commits is unknown; they never arrive.
    Dropped,
}

pub(super) struct World {
    pub(super) driver: DriverProcess,
    pub(super) store: StoreModel,
    pub(super) layout: Layout,
    pub(super) now: Time,
    pub(super) answers: Answers,
    /// Reads are carried out when they are sent, their answers wait for [`World::release`].
    pub(super) slow_reads: bool,
    /// Whether the watch says what changed.
    pub(super) watched: bool,
    pub(super) effects: Vec<Effect>,
    pub(super) commits: Vec<(Transaction, CommitOutcome)>,
    pub(super) reads: usize,
    pub(super) events: Vec<ClusterEvent>,
    pub(super) dials: Vec<BTreeSet<Address>>,
    pub(super) sent: Vec<(Identity, Message)>,
    pub(super) stop: Option<StopReason>,
    queue: VecDeque<Input>,
    held: VecDeque<Input>,
    late: VecDeque<Transaction>,
    /// What the driver was told, to tell it again.
    pub(super) past: Vec<Input>,
    others: u64,
}

pub(super) const DRIVER: Incarnation = Incarnation(7);

pub(super) fn context_id() -> ContextId {
    ContextId::new("ctx")
}

pub(super) fn server(port: u16) -> Identity {
    Identity::new(Address::new("10.0.0.1", port), Incarnation(u64::from(port)))
}

pub(super) fn launch() -> DriverLaunch {
    DriverLaunch {
        identity: Identity::new(Address::new("10.0.0.1", 0), DRIVER),
        cluster: ClusterId::new("one"),
        context: context_id(),
        intent: IntentNumber(1),
        process: ProcessId {
            host: "machine".into(),
            boot: "boot".into(),
            pid: 42,
            start_time: 4_242,
        },
        servers: vec![Address::new("10.0.0.1", 1)],
    }
}

pub(super) fn job_id(number: u16) -> JobId {
    JobId::new(format!("018e2b1c-5f00-7000-8000-{number:012x}"))
}

pub(super) fn context() -> ContextRecord {
    ContextRecord {
        id: context_id(),
        name: "etl".into(),
        settings: "{}".into(),
        adhoc: false,
        user: "anonymous".into(),
        state: ContextState::Started,
        ending: None,
        intent: None,
        started: Stamp(1),
        ended: None,
        error: None,
        application_id: None,
        url: None,
        key: None,
        rest: Rest::new(),
    }
}

pub(super) fn job(number: u16) -> JobRecord {
    JobRecord {
        id: job_id(number),
        context: context_id(),
        context_name: "etl".into(),
        main_class: "words.Count".into(),
        class_path: Vec::new(),
        config: Payload::Inline("{}".into()),
        sync: false,
        user: "anonymous".into(),
        state: JobState::Submitted,
        kill: false,
        started: Stamp(1),
        ended: None,
        never_ran: false,
        error: None,
        result: None,
        key: None,
        rest: Rest::new(),
    }
}

impl World {
    /// A driver that has not taken its context, whose first outputs wait.
    pub(super) fn launched(context: &ContextRecord) -> Self {
        Self::with(context, Config::new(Vec::new()))
    }

    pub(super) fn with(context: &ContextRecord, config: Config) -> Self {
        let launch = launch();
        let layout = Layout::new(&launch.cluster);
        let cluster = ClusterRecord {
            id: launch.cluster.clone(),
            secret: Secret("secret".into()),
            roster: Roster {
                generation: Generation(3),
                listed: vec![server(1), server(2)],
            },
            rest: Rest::new(),
        };
        let owner = OwnerRecord {
            intent: launch.intent,
            owner: None,
            rest: Rest::new(),
        };
        let life = LifeRecord {
            driver: None,
            phase: DriverPhase::Silent,
            count: 0,
            rest: Rest::new(),
        };
        let mut store = StoreModel::new();
        let fill = Transaction::new(TransactionId("fill".into()))
            .create(key::cluster(), encode(&cluster))
            .create(layout.context(&context_id()), encode(context))
            .create(layout.owner(&context_id()), encode(&owner))
            .create(layout.life(&context_id()), encode(&life));
        store.commit(&fill, Stamp(1_000_000));
        Self {
            driver: DriverProcess::new(config.validate().unwrap(), launch, Time::ZERO),
            store,
            layout,
            now: Time::ZERO,
            answers: Answers::AtOnce,
            slow_reads: false,
            watched: true,
            effects: Vec::new(),
            commits: Vec::new(),
            reads: 0,
            events: Vec::new(),
            dials: Vec::new(),
            sent: Vec::new(),
            stop: None,
            queue: VecDeque::new(),
            held: VecDeque::new(),
            late: VecDeque::new(),
            past: Vec::new(),
            others: 0,
        }
    }

    /// A driver that owns its context and whose engine is ready.
    pub(super) fn ready(context: &ContextRecord) -> Self {
        let mut world = Self::launched(context);
        world.run();
        world.report(EffectReport::EngineReady {
            application_id: Some("app-1".into()),
            url: None,
        });
        world
    }

    pub(super) fn stamp(&self) -> Stamp {
        Stamp(2_000_000 + self.now.as_millis())
    }

    /// Carries out what the driver wants, and tells it the answers, until it is quiet.
    pub(super) fn run(&mut self) {
        for _ in 0..10_000 {
            while let Some(output) = self.driver.poll_output() {
                assert!(
                    self.stop.is_none(),
                    "an output after the last one: {output:?}"
                );
                self.carry_out(output);
            }
            let Some(input) = self.queue.pop_front() else {
                return;
            };
            self.past.push(input.clone());
            self.driver.handle(self.now, input);
        }
        panic!("the driver does not get quiet");
    }

    pub(super) fn tell(&mut self, input: Input) {
        self.queue.push_back(input);
        self.run();
    }

    pub(super) fn report(&mut self, report: EffectReport) {
        self.tell(Input::EffectReport(report));
    }

    /// Lets time pass, with every time-out at its time.
    pub(super) fn pass(&mut self, duration: Duration) {
        let end = self.now.after(duration);
        while let Some(at) = self.driver.poll_timeout().filter(|at| *at <= end) {
            assert!(at > self.now, "a time-out that is due already at {at}");
            self.now = at;
            self.tell(Input::Timeout);
        }
        self.now = end;
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Commit {
                ticket,
                transaction,
            } => self.commit(ticket, &transaction),
            Output::Read { ticket, query } => {
                self.reads += 1;
                let outcome = if self.answers == Answers::Away {
                    ReadOutcome::Failed {
                        reason: "away".into(),
                    }
                } else {
                    ReadOutcome::Snapshot(self.store.read(&query, self.stamp()))
                };
                let answer = Input::Read { ticket, outcome };
                if self.slow_reads {
                    self.held.push_back(answer);
                } else {
                    self.queue.push_back(answer);
                }
            }
            Output::Effect(effect) => self.effects.push(effect),
            Output::Event(event) => self.events.push(event),
            Output::Dial { addresses } => self.dials.push(addresses),
            Output::Send { to, message } => self.sent.push((to, message)),
            Output::Stop(reason) => self.stop = Some(reason),
            Output::Credentials(_) | Output::Answer { .. } => {}
            Output::Beat(_) => panic!("a driver has no beats of servers"),
        }
    }

    fn commit(&mut self, ticket: crate::input::Ticket, transaction: &Transaction) {
        let reason = || "away".to_owned();
        let (outcome, changed) = match self.answers {
            Answers::AtOnce | Answers::Held | Answers::Lost => {
                self.store.commit(transaction, self.stamp())
            }
            Answers::Away => (CommitOutcome::NotSent { reason: reason() }, BTreeSet::new()),
            Answers::Late | Answers::Dropped => (CommitOutcome::Unknown, BTreeSet::new()),
        };
        self.commits.push((transaction.clone(), outcome.clone()));
        let outcome = match self.answers {
            Answers::Lost => CommitOutcome::Unknown,
            _ => outcome,
        };
        let answer = Input::Committed { ticket, outcome };
        if self.answers == Answers::Held {
            self.held.push_back(answer);
        } else {
            self.queue.push_back(answer);
        }
        if self.answers == Answers::Late {
            self.late.push_back(transaction.clone());
        }
        self.tell_changes(changed);
    }

    fn tell_changes(&mut self, changed: impl IntoIterator<Item = Key>) {
        if self.watched {
            let changes = changed.into_iter().map(Change::Record);
            self.queue.extend(changes.map(Input::StoreChanged));
        }
    }

    /// The answers that were held arrive, and the transactions that are late.
    pub(super) fn release(&mut self) {
        self.answers = Answers::AtOnce;
        self.slow_reads = false;
        while let Some(transaction) = self.late.pop_front() {
            let (outcome, changed) = self.store.commit(&transaction, self.stamp());
            self.commits.push((transaction, outcome));
            self.tell_changes(changed);
        }
        self.queue.append(&mut self.held);
        self.run();
    }

    /// The answers that are held: of reads, and of commits.
    pub(super) fn split_held(&mut self) -> (Vec<Input>, Vec<Input>) {
        let is_read = |input: &Input| matches!(input, Input::Read { .. });
        self.held.drain(..).partition(is_read)
    }

    /// Another process commits.
    pub(super) fn other(&mut self, change: impl FnOnce(Transaction) -> Transaction) {
        self.others += 1;
        let id = TransactionId(format!("other/{}", self.others));
        let (outcome, changed) = self
            .store
            .commit(&change(Transaction::new(id)), self.stamp());
        assert!(matches!(outcome, CommitOutcome::Committed { .. }));
        self.tell_changes(changed);
        self.run();
    }

    pub(super) fn submit(&mut self, job: &JobRecord) {
        let (layout, index) = (
            self.layout.clone(),
            JobContextRecord {
                context: context_id(),
            },
        );
        self.other(|transaction| {
            transaction
                .create(layout.job(&context_id(), &job.id), encode(job))
                .create(layout.job_context(&job.id), encode(&index))
        });
    }

    pub(super) fn kill(&mut self, number: u16) {
        let key = self.layout.job(&context_id(), &job_id(number));
        let mut record: JobRecord = self.get(&key).unwrap().value;
        record.kill = true;
        self.other(|transaction| transaction.put_any(key, encode(&record)));
    }

    pub(super) fn change_context(&mut self, change: impl FnOnce(&mut ContextRecord)) {
        let key = self.layout.context(&context_id());
        let mut record: ContextRecord = self.get(&key).unwrap().value;
        change(&mut record);
        self.other(|transaction| transaction.put_any(key, encode(&record)));
    }

    pub(super) fn change_owner(&mut self, change: impl FnOnce(&mut OwnerRecord)) {
        let key = self.layout.owner(&context_id());
        let mut record = self.owner();
        change(&mut record);
        self.other(|transaction| transaction.put_any(key, encode(&record)));
    }

    pub(super) fn change_life(&mut self, change: impl FnOnce(&mut LifeRecord)) {
        let key = self.layout.life(&context_id());
        let mut record = self.life();
        change(&mut record);
        self.other(|transaction| transaction.put_any(key, encode(&record)));
    }

    pub(super) fn get<T: DeserializeOwned>(&self, key: &Key) -> Option<Versioned<T>> {
        let found: Snapshot = self.store.read(&Query::keys([key.clone()]), self.stamp());
        found
            .records
            .get(key)
            .map(|stored| decode(key, "a record", stored).unwrap())
    }

    pub(super) fn owner(&self) -> OwnerRecord {
        self.get(&self.layout.owner(&context_id())).unwrap().value
    }

    pub(super) fn life(&self) -> LifeRecord {
        self.get(&self.layout.life(&context_id())).unwrap().value
    }

    /// The job, where it lies while it is not final.
    pub(super) fn open(&self, number: u16) -> Option<JobRecord> {
        let key = self.layout.job(&context_id(), &job_id(number));
        self.get(&key).map(|found| found.value)
    }

    /// The job, where it lies once it is final.
    pub(super) fn done(&self, number: u16) -> Option<JobRecord> {
        let key = self.layout.done(&job_id(number));
        self.get(&key).map(|found| found.value)
    }

    pub(super) fn started(&self) -> Vec<JobId> {
        let started = self.effects.iter().filter_map(|effect| match effect {
            Effect::StartJob { job } => Some(job.id.clone()),
            _ => None,
        });
        started.collect()
    }

    pub(super) fn count(&self, effect: &Effect) -> usize {
        self.effects.iter().filter(|one| *one == effect).count()
    }

    pub(super) fn finish(&mut self, number: u16, result: &str) {
        self.report(EffectReport::JobFinished {
            job: job_id(number),
            result: Payload::Inline(result.into()),
        });
    }

    pub(super) fn running(&mut self, number: u16) {
        let job = job_id(number);
        self.report(EffectReport::JobRunning { job });
    }

    pub(super) fn engine_ended(&mut self, orderly: bool) {
        let error = (!orderly).then(|| JobError {
            message: "exit code 137".into(),
            error_class: "doyen.EngineDied".into(),
            stack: "out of memory".into(),
        });
        self.report(EffectReport::EngineEnded { orderly, error });
    }

    pub(super) fn link(&mut self, port: u16) {
        let peer = server(port);
        self.tell(Input::Link(LinkEvent::Up { peer }));
    }
}
