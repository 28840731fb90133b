//! Histories made by hand, for the tests of oracles.

use super::facts::Facts;
use super::{Oracle, Violation, kinds};
use crate::engine::Ran;
use crate::schedule::model::{At, Fault, FaultKind, Phases, Rest, Schedule, Server};
use crate::trace::seen::{Deed, Ended, NodeId, Phase, Seen, Written};
use doyen_core::config::Config;
use doyen_core::identity::{
    Address, CallId, ClusterId, ContextId, Identity, Incarnation, JobId, Role,
};
use doyen_core::input::Input;
use doyen_core::output::{ClusterEvent, Output};
use doyen_core::records::call::{CallOperation, CallRecord, CallState};
use doyen_core::records::cluster::{ClusterRecord, Generation, Roster, Secret};
use doyen_core::records::context::{
    ContextRecord, ContextState, DriverPhase, Intent, IntentKind, IntentNumber, LifeRecord, Owner,
    OwnerRecord, ProcessId,
};
use doyen_core::records::encode;
use doyen_core::records::job::{JobRecord, JobState, Payload};
use doyen_core::records::key::{self, Layout};
use doyen_core::records::model::StoreModel;
use doyen_core::records::singleton::{
    ChallengeRecord, Epoch, PulseRecord, SingletonRecord, SplitRecord,
};
use doyen_core::records::transaction::{CommitOutcome, Transaction, TransactionId, Version};
use doyen_core::time::{Stamp, Time};
use std::collections::BTreeMap;
use std::time::Duration;

/// The schedule that histories pretend to follow.
pub(crate) fn schedule(servers: u16, faults: Vec<FaultKind>) -> Schedule {
    let server = |number: u16| Server {
        name: format!("s{number}"),
        start: At::default(),
        seed_list: Vec::new(),
        settings: BTreeMap::new(),
        rest: Rest::new(),
    };
    let fault = |kind| Fault {
        at: At::default(),
        until: Some(At::from_secs(1)),
        kind,
        rest: Rest::new(),
    };
    Schedule {
        format: 1,
        rules: 1,
        name: String::new(),
        story: String::new(),
        expect: Default::default(),
        catches: Vec::new(),
        seed: 1,
        seeds: BTreeMap::new(),
        servers: (1..=servers).map(server).collect(),
        settings: BTreeMap::new(),
        store: Default::default(),
        phases: Phases::default(),
        workload: Vec::new(),
        faults: faults.into_iter().map(fault).collect(),
        rest: Rest::new(),
    }
}

/// The server of this number, in this life.
pub(crate) fn server(number: u16, life: u64) -> Identity {
    Identity::new(
        Address::new(format!("s{number}"), 2_552),
        Incarnation(u64::from(number) * 100 + life),
    )
}

/// The driver of this number.
pub(crate) fn driver(number: u16) -> Identity {
    Identity::new(
        Address::new(format!("d{number}"), 0),
        Incarnation(10_000 + u64::from(number)),
    )
}

pub(crate) fn layout() -> Layout {
    Layout::new(&ClusterId::new("x"))
}

/// A history, told to one oracle.
pub(crate) struct History {
    oracle: Box<dyn Oracle>,
    pub(crate) facts: Facts,
    store: StoreModel,
    at: Time,
    commits: u64,
    violation: Option<Violation>,
}

impl History {
    /// The history before anything happened.
    pub(crate) fn new(oracle: impl Oracle + 'static, faults: Vec<FaultKind>) -> Self {
        let config = Config::new(Vec::new());
        Self {
            oracle: Box::new(oracle),
            facts: Facts::new(&schedule(3, faults), &config),
            store: StoreModel::new(),
            at: Time::from_millis(1_000),
            commits: 0,
            violation: None,
        }
    }

    /// Three servers, all listed in generation 3, the first holds epoch 1 and is ready.
    pub(crate) fn cluster(oracle: impl Oracle + 'static, faults: Vec<FaultKind>) -> Self {
        let mut history = Self::new(oracle, faults);
        for number in 1..=3 {
            history.begins(number, 1);
        }
        let first = server(1, 1);
        history.wait(6_000).founds(&first);
        for number in 2..=3 {
            let listed = (1..=number).map(|one| server(one, 1)).collect();
            history.rosters(&first, u64::from(number), listed);
        }
        let epoch = Epoch(1);
        history.event(1, ClusterEvent::OfficeReady { epoch });
        history
    }

    /// Shows one observation.
    pub(crate) fn sees(&mut self, seen: &Seen<'_>) -> &mut Self {
        self.facts.observe(self.at, seen);
        if self.oracle.listens() & kinds::of(seen) != 0 && self.violation.is_none() {
            self.violation = self.oracle.seen(self.at, seen, &self.facts).err();
        }
        self
    }

    /// Lets milliseconds pass.
    pub(crate) fn wait(&mut self, millis: u64) -> &mut Self {
        self.at = self.at.after(Duration::from_millis(millis));
        self
    }

    pub(crate) fn begins(&mut self, number: u16, life: u64) -> &mut Self {
        let identity = server(number, life);
        self.sees(&Seen::Began {
            node: NodeId(number),
            name: &format!("s{number}"),
            identity: &identity,
            role: Role::Server,
        })
    }

    /// A driver is launched on the host of a server, and begins.
    pub(crate) fn launches(&mut self, number: u16, context: &str, intent: u64, host: u16) {
        let identity = driver(number);
        let deed = Deed::DriverStarted {
            context: ContextId::new(context),
            intent: IntentNumber(intent),
            driver: identity.incarnation,
        };
        self.deed(host, &deed);
        self.sees(&Seen::Began {
            node: NodeId(100 + number),
            name: &format!("driver-of({context})"),
            identity: &identity,
            role: Role::Driver,
        });
    }

    pub(crate) fn dies(&mut self, identity: &Identity) -> &mut Self {
        self.ends(identity, &Ended::Killed)
    }

    pub(crate) fn ends(&mut self, identity: &Identity, how: &Ended) -> &mut Self {
        let node = self.facts.life(identity.incarnation).unwrap().node;
        self.sees(&Seen::Ended {
            node,
            identity,
            how,
        })
    }

    pub(crate) fn input(&mut self, node: u16, input: &Input) -> &mut Self {
        let clock = self.at;
        self.sees(&Seen::Input {
            node: NodeId(node),
            clock,
            input,
        })
    }

    pub(crate) fn output(&mut self, node: u16, output: &Output) -> &mut Self {
        self.sees(&Seen::Output {
            node: NodeId(node),
            output,
        })
    }

    pub(crate) fn event(&mut self, node: u16, event: ClusterEvent) -> &mut Self {
        self.output(node, &Output::Event(event))
    }

    pub(crate) fn deed(&mut self, node: u16, deed: &Deed) -> &mut Self {
        self.sees(&Seen::Deed {
            node: NodeId(node),
            deed,
        })
    }

    pub(crate) fn fault(&mut self, index: usize, begins: bool, hits: &[u16]) -> &mut Self {
        let hits: Vec<NodeId> = hits.iter().map(|one| NodeId(*one)).collect();
        self.sees(&Seen::Fault {
            index,
            begins,
            hits: &hits,
        })
    }

    pub(crate) fn phase(&mut self, phase: Phase) -> &mut Self {
        self.sees(&Seen::Phase(phase))
    }

    /// Looks at every process; views are not shown.
    pub(crate) fn looks(&mut self) -> &mut Self {
        self.sees(&Seen::Views { views: &[] })
    }

    pub(crate) fn transaction(&mut self) -> Transaction {
        self.commits += 1;
        Transaction::new(TransactionId(format!("t{}", self.commits)))
    }

    /// Commits; refused commits are shown too.
    pub(crate) fn commits(&mut self, by: &Identity, transaction: &Transaction) -> &mut Self {
        let stamp = Stamp(1_000_000 + self.at.as_millis());
        let (outcome, changed) = self.store.commit(transaction, stamp);
        let store = self.store.clone();
        self.sees(&Seen::Store(Written {
            by,
            transaction,
            outcome: &outcome,
            told: true,
            changed: &changed,
            store: &store,
            stamp,
        }))
    }

    /// Commits what must be accepted.
    pub(crate) fn writes(&mut self, by: &Identity, transaction: &Transaction) -> &mut Self {
        let (outcome, _) = self.store.clone().commit(transaction, Stamp(1));
        let accepted = matches!(outcome, CommitOutcome::Committed { .. });
        assert!(accepted, "{outcome:?} of {transaction:?}");
        self.commits(by, transaction)
    }

    pub(crate) fn founds(&mut self, by: &Identity) -> &mut Self {
        let roster = Roster {
            generation: Generation(1),
            listed: vec![by.clone()],
        };
        let transaction = self
            .transaction()
            .create(key::cluster(), cluster(roster))
            .create(layout().singleton(), office(1, by))
            .create(layout().pulse(), pulse(1, 0))
            .create(layout().challenge(), encode(&ChallengeRecord::default()))
            .create(layout().split(), encode(&SplitRecord::default()));
        self.writes(by, &transaction)
    }

    /// Replaces the roster, with the guards that R5 wants.
    pub(crate) fn rosters(&mut self, by: &Identity, generation: u64, listed: Vec<Identity>) {
        let roster = Roster {
            generation: Generation(generation),
            listed,
        };
        let singleton = self.facts.records.singleton.as_ref().unwrap();
        let takes = !roster.lists(&singleton.value.holder) && roster.lists(by);
        let (version, epoch) = (singleton.version, singleton.value.epoch.0);
        let cluster_version = self.version_of_cluster();
        let transaction = self
            .transaction()
            .put(key::cluster(), cluster(roster), cluster_version);
        let transaction = if takes {
            transaction
                .put(layout().singleton(), office(epoch + 1, by), version)
                .put_any(layout().pulse(), pulse(epoch + 1, 0))
        } else {
            transaction.check(layout().singleton(), version)
        };
        self.writes(by, &transaction);
    }

    /// Takes the office, with the guards that S2 wants.
    pub(crate) fn claims(&mut self, by: &Identity, holder: &Identity) -> &mut Self {
        let singleton = self.facts.records.singleton.as_ref().unwrap();
        let (version, epoch) = (singleton.version, singleton.value.epoch.0 + 1);
        let cluster_version = self.version_of_cluster();
        let transaction = self
            .transaction()
            .put(layout().singleton(), office(epoch, holder), version)
            .check(key::cluster(), cluster_version)
            .put_any(layout().pulse(), pulse(epoch, 0));
        self.writes(by, &transaction)
    }

    /// Challenges the holder.
    pub(crate) fn challenges(&mut self, by: &Identity) -> &mut Self {
        let records = &self.facts.records;
        let singleton = records.singleton.as_ref().unwrap();
        let record = ChallengeRecord {
            epoch: singleton.value.epoch,
            challenger: Some(by.clone()),
            rest: Default::default(),
        };
        let versions = (
            singleton.version,
            records.pulse.as_ref().unwrap().version,
            records.challenge.as_ref().unwrap().version,
        );
        let transaction = self
            .transaction()
            .check(layout().singleton(), versions.0)
            .check(layout().pulse(), versions.1)
            .put(layout().challenge(), encode(&record), versions.2);
        self.writes(by, &transaction)
    }

    /// Announces a split of the current generation.
    pub(crate) fn announces(&mut self, by: &Identity) -> &mut Self {
        let split = self.facts.records.split.as_ref().unwrap();
        let record = SplitRecord {
            generation: self.facts.roster().unwrap().generation,
            writer: Some(by.clone()),
            connected: [by.clone()].into(),
            rest: Default::default(),
        };
        let version = split.version;
        let cluster_version = self.version_of_cluster();
        let transaction = self
            .transaction()
            .check(key::cluster(), cluster_version)
            .put(layout().split(), encode(&record), version);
        self.writes(by, &transaction)
    }

    /// A transaction of the holder that carries the fence.
    pub(crate) fn fenced(&mut self) -> Transaction {
        let version = self.facts.records.singleton.as_ref().unwrap().version;
        self.transaction().check(layout().singleton(), version)
    }

    /// The holder creates a context, with its launch intent 1 for the first server.
    pub(crate) fn creates_context(&mut self, by: &Identity, id: &str) -> &mut Self {
        let context = ContextId::new(id);
        let name = key_name(id);
        let transaction = self
            .fenced()
            .create(layout().context_name(id), name)
            .create(
                layout().context(&context),
                encode(&context_record(id, ContextState::Started, Some(launch(1)))),
            )
            .create(layout().owner(&context), owner(1, None))
            .create(layout().life(&context), life(None, DriverPhase::Silent, 0));
        self.writes(by, &transaction)
    }

    /// A driver takes a context that nobody owns.
    pub(crate) fn takes_context(&mut self, number: u16, id: &str) -> &mut Self {
        let context = ContextId::new(id);
        let records = &self.facts.records;
        let owned = &records.owners[&context];
        let versions = (
            records.contexts[&context].version,
            owned.version,
            records.lives[&context].version,
        );
        let intent = owned.value.intent.0;
        let by = driver(number);
        let transaction = self
            .transaction()
            .check(layout().context(&context), versions.0)
            .put(
                layout().owner(&context),
                owner(intent, Some(number)),
                versions.1,
            )
            .put(
                layout().life(&context),
                life(Some(number), DriverPhase::Starting, 1),
                versions.2,
            );
        self.writes(&by, &transaction)
    }

    /// A server writes a job.
    pub(crate) fn creates_job(&mut self, by: &Identity, context: &str, job: &str) -> &mut Self {
        let id = ContextId::new(context);
        let version = self.facts.records.owners[&id].version;
        let (key, place) = (layout().job(&id, &JobId::new(job)), JobId::new(job));
        let transaction = self
            .transaction()
            .check(layout().owner(&id), version)
            .check_absent(layout().done(&place))
            .create(key, encode(&job_record(context, job, JobState::Submitted)))
            .create(
                layout().job_context(&place),
                format!("{{\"context\":\"{context}\"}}"),
            );
        self.writes(by, &transaction)
    }

    /// A driver moves a job on; a final state moves its record to `done/`.
    #[allow(clippy::needless_pass_by_value, reason = "tests read better so")]
    pub(crate) fn moves_job(&mut self, number: u16, context: &str, job: &str, state: JobState) {
        let id = ContextId::new(context);
        let job_id = JobId::new(job);
        let fence = self.facts.records.owners[&id].version;
        let version = self.facts.records.jobs[&job_id].version;
        let key = layout().job(&id, &job_id);
        let transaction = self.transaction().check(layout().owner(&id), fence);
        let record = encode(&job_record(context, job, state.clone()));
        let transaction = if state.is_final() {
            transaction
                .delete(key, version)
                .delete_any(layout().job_context(&job_id))
                .create(layout().done(&job_id), record)
        } else {
            transaction.put(key, record, version)
        };
        self.writes(&driver(number), &transaction);
    }

    /// A server writes a call.
    pub(crate) fn creates_call(&mut self, by: &Identity, id: &str) -> &mut Self {
        let call = CallId::new(id);
        let transaction = self
            .transaction()
            .check_absent(layout().settled(&call))
            .create(
                layout().call(&call),
                encode(&call_record(id, CallState::Open)),
            );
        self.writes(by, &transaction)
    }

    /// The run ends; the first violation.
    pub(crate) fn verdict(&mut self) -> Result<(), Violation> {
        if let Some(violation) = self.violation.take() {
            return Err(violation);
        }
        let ran = Ran {
            events: 0,
            simulated: self.at.since(Time::ZERO),
            store: self.store.clone(),
        };
        self.oracle.end(self.at, &ran, &self.facts)
    }

    /// The fingerprint of the violation that there must be.
    pub(crate) fn fails(&mut self) -> String {
        self.verdict().expect_err("a violation").fingerprint
    }

    /// Whether the oracle waits for nothing.
    pub(crate) fn is_settled(&self) -> bool {
        self.oracle.is_settled()
    }

    pub(crate) fn version_of_cluster(&self) -> Version {
        self.facts.records.cluster.as_ref().unwrap().version
    }

    pub(crate) const fn now(&self) -> Time {
        self.at
    }
}

pub(crate) fn cluster(roster: Roster) -> String {
    encode(&ClusterRecord {
        id: ClusterId::new("x"),
        secret: Secret("s".into()),
        roster,
        rest: Default::default(),
    })
}

pub(crate) fn office(epoch: u64, holder: &Identity) -> String {
    encode(&SingletonRecord {
        epoch: Epoch(epoch),
        holder: holder.clone(),
        rest: Default::default(),
    })
}

pub(crate) fn pulse(epoch: u64, count: u64) -> String {
    encode(&PulseRecord {
        epoch: Epoch(epoch),
        count,
        rest: Default::default(),
    })
}

pub(crate) fn key_name(id: &str) -> String {
    format!("{{\"context\":\"{id}\"}}")
}

/// An intent to launch on the first server.
pub(crate) fn launch(number: u64) -> Intent {
    Intent {
        number: IntentNumber(number),
        since: Stamp(1),
        kind: IntentKind::Launch {
            launcher: server(1, 1),
        },
    }
}

pub(crate) fn context_record(
    id: &str,
    state: ContextState,
    intent: Option<Intent>,
) -> ContextRecord {
    ContextRecord {
        id: ContextId::new(id),
        name: id.to_owned(),
        settings: "{}".into(),
        adhoc: false,
        user: String::new(),
        state,
        intent,
        ending: None,
        started: Stamp(1),
        ended: None,
        key: None,
        error: None,
        application_id: None,
        url: None,
        rest: Default::default(),
    }
}

pub(crate) fn owner(intent: u64, number: Option<u16>) -> String {
    encode(&OwnerRecord {
        intent: IntentNumber(intent),
        owner: number.map(owner_of),
        rest: Default::default(),
    })
}

pub(crate) fn owner_of(number: u16) -> Owner {
    Owner {
        driver: driver(number).incarnation,
        process: ProcessId {
            host: "s1".into(),
            boot: "b".into(),
            pid: u32::from(number),
            start_time: 1,
        },
    }
}

pub(crate) fn life(number: Option<u16>, phase: DriverPhase, count: u64) -> String {
    encode(&LifeRecord {
        driver: number.map(|one| driver(one).incarnation),
        phase,
        count,
        rest: Default::default(),
    })
}

pub(crate) fn job_record(context: &str, job: &str, state: JobState) -> JobRecord {
    JobRecord {
        id: JobId::new(job),
        context: ContextId::new(context),
        context_name: context.to_owned(),
        main_class: "m".into(),
        class_path: Vec::new(),
        config: Payload::Inline("{}".into()),
        sync: false,
        user: String::new(),
        state,
        kill: false,
        started: Stamp(1),
        ended: None,
        never_ran: false,
        error: None,
        result: None,
        key: None,
        rest: Default::default(),
    }
}

pub(crate) fn call_record(id: &str, progress: CallState) -> CallRecord {
    CallRecord {
        id: CallId::new(id),
        user: String::new(),
        route: "POST /contexts".into(),
        key: None,
        deadline_ms: 30_000,
        operation: CallOperation::CreateContext {
            name: id.to_owned(),
            settings: "{}".into(),
            adhoc: false,
        },
        progress,
        rest: Default::default(),
    }
}
