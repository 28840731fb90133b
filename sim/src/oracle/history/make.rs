//! Schedules, members and records made by hand.

use crate::schedule::model::{At, Fault, FaultKind, Phases, Rest, Schedule, Server};
use doyen_core::identity::{Address, CallId, ClusterId, ContextId, Identity, Incarnation, JobId};
use doyen_core::records::call::{CallOperation, CallRecord, CallState};
use doyen_core::records::cluster::{ClusterRecord, Roster, Secret};
use doyen_core::records::context::{
    ContextRecord, ContextState, DriverPhase, Intent, IntentKind, IntentNumber, LifeRecord, Owner,
    OwnerRecord, ProcessId,
};
use doyen_core::records::encode;
use doyen_core::records::job::{JobRecord, JobState, Payload};
use doyen_core::records::key::Layout;
use doyen_core::records::singleton::{Epoch, PulseRecord, SingletonRecord};
use doyen_core::time::Stamp;
use std::collections::BTreeMap;

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
