//! Tests of `decisions`.

use super::*;
use crate::oracle::history::{
    History, call_record, cluster, context_record, driver, layout, office, owner, pulse, server,
};
use doyen_core::identity::{CallId, ContextId, Identity};
use doyen_core::records::cluster::{Generation, Roster};
use doyen_core::records::context::ContextState;
use doyen_core::records::transaction::Transaction;
use doyen_core::records::transaction::{TransactionId, Version};
use doyen_core::records::{encode, key};

fn bare() -> Transaction {
    Transaction::new(TransactionId("t".into()))
}

fn roster_of(listed: Vec<Identity>) -> String {
    cluster(Roster {
        generation: Generation(4),
        listed,
    })
}

/// What the oracle says of one transaction in a cluster of three.
fn judged(by: &Identity, transaction: impl Fn(&History) -> Transaction) -> Option<String> {
    let mut history = History::cluster(Decisions, vec![]);
    history.begins(2, 2);
    history.launches(1, "a", 1, 1);
    let transaction = transaction(&history);
    history.commits(by, &transaction);
    history.verdict().err().map(|one| one.fingerprint)
}

fn broken(rule: &str) -> Option<String> {
    Some(format!("sane_records/{rule}"))
}

#[test]
fn who_leaves_somebody_out_guards_the_office() {
    let first = server(1, 1);
    let next = roster_of(vec![server(1, 1), server(2, 1)]);
    let version = |history: &History| history.version_of_cluster();
    let without = |history: &History| bare().put(key::cluster(), next.clone(), version(history));
    let with = |history: &History| without(history).check(layout().singleton(), Version(0));
    assert_eq!(judged(&first, without), broken("leaves out"));
    assert_eq!(judged(&first, with), None);
}

#[test]
fn who_founds_anew_guards_the_pulse() {
    let newcomer = server(2, 2);
    let next = roster_of(vec![newcomer.clone()]);
    let taken = |history: &History| {
        let epoch = office(2, &newcomer);
        bare()
            .put(key::cluster(), next.clone(), history.version_of_cluster())
            .put(layout().singleton(), epoch, Version(0))
    };
    let without = |history: &History| taken(history).put_any(layout().pulse(), pulse(2, 0));
    let with = |history: &History| taken(history).put(layout().pulse(), pulse(2, 0), Version(0));
    assert_eq!(judged(&newcomer, without), broken("founding anew"));
    assert_eq!(judged(&newcomer, with), None);
}

#[test]
fn absence_and_presence_are_guarded() {
    let settled = |outcome| {
        let record = call_record("c", CallState::Settled { outcome });
        bare().create(layout().settled(&CallId::new("c")), encode(&record))
    };
    let (name, context) = (
        layout().context_name("c"),
        layout().context(&ContextId::new("c")),
    );
    let first = server(1, 1);
    let gone = || settled(CallOutcome::ContextNotFound);
    let there = || settled(CallOutcome::ContextExists).check(name.clone(), Version(0));
    assert_eq!(judged(&first, |_| gone()), broken("absence"));
    assert_eq!(judged(&first, |_| gone().check_absent(name.clone())), None);
    assert_eq!(judged(&first, |_| there()), broken("presence"));
    let whole = |_: &History| there().check(context.clone(), Version(0));
    assert_eq!(judged(&first, whole), None);
}

#[test]
fn who_ends_an_attempt_guards_its_life() {
    let id = ContextId::new("a");
    let mut context = context_record("a", ContextState::Running, None);
    context.ending = Some(ContextState::Error);
    let ended = || {
        bare()
            .put(layout().owner(&id), owner(2, None), Version(0))
            .put(layout().context(&id), encode(&context), Version(0))
    };
    let first = server(1, 1);
    assert_eq!(judged(&first, |_| ended()), broken("life"));
    let guarded = |_: &History| ended().check(layout().life(&id), Version(0));
    assert_eq!(judged(&first, guarded), None);
}

#[test]
fn a_driver_takes_its_context_for_its_own_intent() {
    let id = ContextId::new("a");
    let takes = |intent| bare().put(layout().owner(&id), owner(intent, Some(1)), Version(0));
    assert_eq!(judged(&driver(1), |_| takes(2)), broken("another's intent"));
    assert_eq!(judged(&driver(1), |_| takes(1)), None);
}
