//! Tests of `sane_records`.

use super::*;
use crate::oracle::history::{
    History, call_record, context_record, driver, job_record, launch, layout, life, owner, server,
};
use doyen_core::identity::CallId;
use doyen_core::records::encode;

fn cluster() -> History {
    let mut history = History::cluster(SaneRecords::default(), vec![]);
    history.launches(1, "a", 1, 1);
    history.creates_context(&server(1, 1), "a");
    history
}

fn rule(history: &mut History) -> String {
    history
        .fails()
        .trim_start_matches("sane_records/")
        .to_owned()
}

#[test]
fn the_life_of_a_context_and_its_jobs_is_sane() {
    let mut history = cluster();
    history.takes_context(1, "a");
    history.creates_job(&server(2, 1), "a", "j");
    history.moves_job(1, "a", "j", JobState::Running);
    assert_eq!(history.verdict(), Ok(()));
}

#[test]
fn what_cannot_be_read_is_a_violation() {
    let mut history = cluster();
    let damaged = history
        .fenced()
        .put_any(layout().context(&ContextId::new("a")), "{".into());
    history.writes(&server(1, 1), &damaged);
    assert_eq!(rule(&mut history), "damaged");
}

#[test]
fn a_transaction_is_carried_out_once() {
    let mut history = cluster();
    let same = history
        .transaction()
        .check_absent(layout().split().child("x"));
    let create = same.clone().create(
        layout().call(&CallId::new("1")),
        encode(&call_record("1", CallState::Open)),
    );
    let again = same.create(
        layout().call(&CallId::new("2")),
        encode(&call_record("2", CallState::Open)),
    );
    history
        .writes(&server(1, 1), &create)
        .writes(&server(1, 1), &again);
    assert_eq!(rule(&mut history), "twice");
}

#[test]
fn states_of_contexts_never_go_back() {
    let id = ContextId::new("a");
    let mut history = cluster();
    for state in [ContextState::Stopping, ContextState::Running] {
        let record = encode(&context_record("a", state, Some(launch(1))));
        let put = history.fenced().put_any(layout().context(&id), record);
        history.writes(&server(1, 1), &put);
    }
    assert_eq!(rule(&mut history), "context");
}

#[test]
fn a_context_is_over_with_all_that_belongs_to_it() {
    let id = ContextId::new("a");
    let mut history = cluster();
    let mut record = context_record("a", ContextState::Finished, None);
    record.ended = Some(doyen_core::time::Stamp(1));
    let part = history
        .fenced()
        .delete_any(layout().context(&id))
        .create(layout().ended(&id), encode(&record));
    history.writes(&server(1, 1), &part);
    assert_eq!(rule(&mut history), "context");
    let mut history = cluster();
    let nameless = history.fenced().delete_any(layout().context_name("a"));
    history.writes(&server(1, 1), &nameless);
    assert_eq!(rule(&mut history), "names");
}

#[test]
fn an_owner_is_not_replaced_and_its_intent_rises() {
    let id = ContextId::new("a");
    for (by, record) in [
        (driver(1), owner(1, Some(2))),
        (server(1, 1), owner(1, None)),
    ] {
        let mut history = cluster();
        history.takes_context(1, "a");
        let put = history.fenced().put_any(layout().owner(&id), record);
        history.writes(&by, &put);
        assert_eq!(rule(&mut history), "owner");
    }
}

#[test]
fn a_life_does_not_go_back() {
    let id = ContextId::new("a");
    let mut history = cluster();
    history.takes_context(1, "a");
    let ready = DriverPhase::Ready {
        application_id: None,
        url: None,
    };
    for (phase, count) in [(ready, 2), (DriverPhase::Starting, 3)] {
        let put = history
            .transaction()
            .put_any(layout().life(&id), life(Some(1), phase, count));
        history.writes(&driver(1), &put);
    }
    assert_eq!(rule(&mut history), "life");
}

#[test]
fn a_final_job_is_written_once_and_a_running_one_does_not_vanish() {
    let mut history = cluster();
    history.takes_context(1, "a");
    history.creates_job(&server(2, 1), "a", "j");
    let gone = history
        .transaction()
        .delete_any(layout().job(&ContextId::new("a"), &JobId::new("j")));
    history.writes(&server(2, 1), &gone);
    assert_eq!(rule(&mut history), "job");
    let mut history = cluster();
    let mut record = job_record("a", "j", JobState::Finished);
    record.ended = Some(doyen_core::time::Stamp(1));
    let key = layout().done(&JobId::new("j"));
    let one = history.transaction().create(key.clone(), encode(&record));
    let two = history.transaction().put_any(key, encode(&record));
    history.writes(&driver(1), &one).writes(&driver(1), &two);
    assert_eq!(rule(&mut history), "final");
}

#[test]
fn a_call_is_settled_once_as_its_records_say() {
    let settle = |history: &mut History, outcome| {
        let record = encode(&call_record("c", CallState::Settled { outcome }));
        let id = CallId::new("c");
        let settle = history
            .fenced()
            .delete_any(layout().call(&id))
            .create(layout().settled(&id), record);
        history.writes(&server(1, 1), &settle);
    };
    let mut history = cluster();
    history.creates_call(&server(2, 1), "c");
    settle(&mut history, CallOutcome::Expired);
    assert_eq!(history.verdict(), Ok(()));
    let mut history = cluster();
    history.creates_call(&server(2, 1), "c");
    let context = ContextId::new("c");
    settle(&mut history, CallOutcome::ContextCreated { context });
    assert_eq!(rule(&mut history), "outcome");
}
