//! Contexts, drivers, calls and jobs as the tests of C, E, J and W see them.

use super::world::{World, layout, ms, secs};
use crate::identity::{Address, CallId, ContextId, Identity, Incarnation, JobId};
use crate::input::{
    Command, EffectReport, Input, LinkEvent, NewCall, NewJob, RequestId, RequestKey, Verdict,
};
use crate::output::{Answer, Effect};
use crate::records::call::{CallOperation, CallOutcome, CallRecord, CallState};
use crate::records::context::{
    ContextRecord, ContextState, DriverPhase, IntentNumber, LifeRecord, Owner, OwnerRecord,
    ProcessId,
};
use crate::records::job::{JobContextRecord, JobRecord, JobState, Payload};
use crate::records::key::Key;
use crate::records::{Rest, encode};
use crate::wire::Message;
use std::time::Duration;

pub(super) fn call_id(n: u64) -> CallId {
    CallId::new(format!("018e2b1c-5f00-7000-8000-{n:012x}"))
}

/// A context has the id of the call that made it.
pub(super) fn context_id(n: u64) -> ContextId {
    ContextId::new(call_id(n).as_str())
}

pub(super) fn job_id(n: u64) -> JobId {
    JobId::new(format!("018e2b1c-5f00-7000-9000-{n:012x}"))
}

pub(super) fn driver() -> Identity {
    Identity::new(Address::new("10.0.0.1", 0), Incarnation(77))
}

pub(super) fn owner() -> Owner {
    Owner {
        driver: driver().incarnation,
        process: ProcessId {
            host: "machine".into(),
            boot: "boot".into(),
            pid: 42,
            start_time: 4_242,
        },
    }
}

pub(super) fn creation(name: &str) -> CallOperation {
    CallOperation::CreateContext {
        name: name.into(),
        settings: "{}".into(),
        adhoc: false,
    }
}

pub(super) fn deletion(name: &str) -> CallOperation {
    CallOperation::DeleteContext { name: name.into() }
}

pub(super) fn key(digest: &str, request: &str) -> Option<RequestKey> {
    Some(RequestKey {
        digest: digest.into(),
        request: request.into(),
    })
}

pub(super) fn new_job(n: u64, sync: bool) -> NewJob {
    NewJob {
        id: job_id(n),
        context_name: "etl".into(),
        adhoc: None,
        main_class: "words.Count".into(),
        class_path: Vec::new(),
        config: Payload::Inline("{}".into()),
        sync,
        user: "u".into(),
        key: None,
        wait: secs(20),
    }
}

impl World {
    /// A lone holder, past its first reads.
    pub(super) fn holder() -> Self {
        let mut world = Self::member(1, &[1], 1);
        world.pass(ms(50));
        world.forget();
        world
    }

    pub(super) fn asks(&mut self, n: u64, operation: CallOperation) {
        self.asks_with(n, operation, None, secs(30));
    }

    /// A client of this server asks; the request has the number of its call.
    pub(super) fn asks_with(
        &mut self,
        n: u64,
        operation: CallOperation,
        key: Option<RequestKey>,
        wait: Duration,
    ) {
        let call = NewCall {
            id: call_id(n),
            user: "u".into(),
            route: "POST /contexts".into(),
            key,
            operation,
            wait,
        };
        let request = RequestId(n);
        self.tell(Input::Command(Command::Call { request, call }));
    }

    pub(super) fn submits(&mut self, n: u64, sync: bool) {
        self.submits_job(n, new_job(n, sync));
    }

    pub(super) fn submits_job(&mut self, request: u64, job: NewJob) {
        let request = RequestId(request);
        self.tell(Input::Command(Command::Submit { request, job }));
    }

    /// A call that the gateway of another server wrote.
    pub(super) fn others_call(&mut self, n: u64, operation: CallOperation) {
        let record = CallRecord {
            id: call_id(n),
            user: "u".into(),
            route: "POST /contexts".into(),
            key: None,
            deadline_ms: 30_000,
            operation,
            progress: CallState::Open,
            rest: Rest::new(),
        };
        let key = layout().call(&call_id(n));
        self.other(|one| one.create(key, crate::records::encode(&record)));
    }

    /// The driver of this context takes it: owner and life in one transaction, as drivers do (E2).
    pub(super) fn driver_takes(&mut self, n: u64) {
        let key = layout().owner(&context_id(n));
        let mut record = self.get::<OwnerRecord>(&key).unwrap().value;
        record.owner = Some(owner());
        let (life, said) = self.life_saying(n, DriverPhase::Starting);
        self.other(|one| {
            one.put_any(key, encode(&record))
                .put_any(life, encode(&said))
        });
    }

    pub(super) fn driver_says(&mut self, n: u64, phase: DriverPhase) {
        let (key, record) = self.life_saying(n, phase);
        self.puts(key, &record);
    }

    fn life_saying(&self, n: u64, phase: DriverPhase) -> (Key, LifeRecord) {
        let key = layout().life(&context_id(n));
        let mut record = self.get::<LifeRecord>(&key).unwrap().value;
        record.driver = Some(driver().incarnation);
        record.count += 1;
        record.phase = phase;
        (key, record)
    }

    pub(super) fn driver_is_ready(&mut self, n: u64) {
        let application_id = Some("app-1".to_owned());
        self.driver_says(
            n,
            DriverPhase::Ready {
                application_id,
                url: None,
            },
        );
    }

    pub(super) fn driver_is_linked(&mut self, n: u64) {
        self.tell(Input::Link(LinkEvent::Up { peer: driver() }));
        self.driver_beats(n, 1);
    }

    pub(super) fn driver_beats(&mut self, n: u64, sequence: u64) {
        self.says(
            &driver(),
            Message::DriverBeat {
                sequence,
                context: context_id(n),
                context_name: "etl".into(),
                intent: IntentNumber(1),
                owns: true,
            },
        );
    }

    pub(super) fn driver_is_gone(&mut self) {
        self.tell(Input::Link(LinkEvent::Down { peer: driver() }));
    }

    /// What the launcher found of the driver's processes.
    pub(super) fn verified(&mut self, n: u64, verdict: Verdict) {
        self.tell(Input::EffectReport(EffectReport::Verified {
            context: context_id(n),
            driver: Some(driver().incarnation),
            verdict,
            last_output: "out of memory".into(),
        }));
    }

    /// A holder whose context 1, `etl`, runs, with its driver linked.
    pub(super) fn with_context() -> Self {
        Self::holder().runs_context()
    }

    pub(super) fn runs_context(mut self) -> Self {
        self.asks(1, creation("etl"));
        self.driver_takes(1);
        self.driver_is_linked(1);
        self.driver_is_ready(1);
        let outcome = CallOutcome::ContextCreated {
            context: context_id(1),
        };
        assert_eq!(self.answer_to(1), Some(&Answer::Call(outcome)));
        self.forget();
        self
    }

    pub(super) fn context(&self, n: u64) -> Option<ContextRecord> {
        self.get(&layout().context(&context_id(n)))
            .map(|one| one.value)
    }

    /// A context that is final.
    pub(super) fn ended(&self, n: u64) -> Option<ContextRecord> {
        self.get(&layout().ended(&context_id(n)))
            .map(|one| one.value)
    }

    pub(super) fn owner(&self, n: u64) -> OwnerRecord {
        self.get(&layout().owner(&context_id(n))).unwrap().value
    }

    pub(super) fn call(&self, n: u64) -> Option<CallState> {
        let found = self.get::<CallRecord>(&layout().call(&call_id(n)));
        found.map(|one| one.value.progress)
    }

    pub(super) fn settled(&self, n: u64) -> Option<CallOutcome> {
        let found = self.get::<CallRecord>(&layout().settled(&call_id(n)))?;
        match found.value.progress {
            CallState::Settled { outcome } => Some(outcome),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn launches(&self) -> Vec<u64> {
        let all = self.effects.iter().filter_map(|effect| match effect {
            Effect::Launch { intent, .. } => Some(intent.0),
            _ => None,
        });
        all.collect()
    }

    /// A job of context 1, written by somebody.
    pub(super) fn puts_job(&mut self, n: u64, state: JobState) {
        let record = job(n, state);
        let place = JobContextRecord {
            context: context_id(1),
        };
        let keys = (job_key(n), layout().job_context(&job_id(n)));
        self.other(|one| {
            one.create(keys.0, crate::records::encode(&record))
                .create(keys.1, crate::records::encode(&place))
        });
    }

    /// The driver changes a job's state, in its place.
    pub(super) fn job_becomes(&mut self, n: u64, state: JobState) {
        let mut record = self.live_job(n).unwrap();
        record.state = state;
        self.puts(job_key(n), &record);
    }

    /// The driver moves a job to what is final.
    pub(super) fn job_is_done(&mut self, n: u64, state: JobState) {
        let mut record = self.live_job(n).unwrap();
        record.state = state;
        record.result = Some(Payload::Inline("42".into()));
        let (live, done) = (job_key(n), layout().done(&job_id(n)));
        let place = layout().job_context(&job_id(n));
        self.other(|one| {
            one.delete_any(live)
                .delete_any(place)
                .create(done, crate::records::encode(&record))
        });
    }

    pub(super) fn live_job(&self, n: u64) -> Option<JobRecord> {
        self.get(&job_key(n)).map(|one| one.value)
    }

    pub(super) fn done_job(&self, n: u64) -> Option<JobRecord> {
        self.get(&layout().done(&job_id(n))).map(|one| one.value)
    }

    /// Every record under the cluster's folder whose key holds this text.
    pub(super) fn keys_with(&self, part: &str) -> Vec<String> {
        let all = self.store.records().map(|(key, _)| key.as_str());
        all.filter(|key| key.contains(part))
            .map(str::to_owned)
            .collect()
    }
}

pub(super) fn job_key(n: u64) -> Key {
    layout().job(&context_id(1), &job_id(n))
}

pub(super) fn job(n: u64, state: JobState) -> JobRecord {
    JobRecord {
        id: job_id(n),
        context: context_id(1),
        context_name: "etl".into(),
        main_class: "words.Count".into(),
        class_path: Vec::new(),
        config: Payload::Inline("{}".into()),
        sync: false,
        user: "u".into(),
        state,
        kill: false,
        started: crate::time::Stamp(1),
        ended: None,
        never_ran: false,
        error: None,
        result: None,
        key: None,
        rest: Rest::new(),
    }
}

/// A cluster of two in which this server, 2, does not hold the office.
pub(super) fn gateway() -> World {
    let mut world = World::member(2, &[1, 2], 1);
    world.pass(ms(50));
    world.forget();
    world
}

pub(super) fn is_running(world: &World, n: u64) -> bool {
    world
        .context(n)
        .is_some_and(|one| one.state == ContextState::Running)
}
