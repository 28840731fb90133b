//! Tests of `no_lost_call`.

use super::*;
use crate::oracle::history::{History, call_record, layout, server};
use doyen_core::identity::ContextId;
use doyen_core::output::StopReason;
use doyen_core::records::call::CallOperation;
use doyen_core::records::encode;

fn asks(history: &mut History) {
    let call = NewCall {
        id: CallId::new("c"),
        user: String::new(),
        route: "POST /contexts".into(),
        key: None,
        operation: CallOperation::DeleteContext { name: "c".into() },
        wait: Duration::from_secs(40),
    };
    let request = RequestId(1);
    history.input(2, &Input::Command(Command::Call { request, call }));
    history.creates_call(&server(2, 1), "c");
}

fn answers(history: &mut History, answer: Answer) {
    let request = RequestId(1);
    history.output(2, &Output::Answer { request, answer });
}

fn settles(history: &mut History, outcome: CallOutcome) {
    let id = CallId::new("c");
    let record = encode(&call_record("c", CallState::Settled { outcome }));
    let settle = history
        .fenced()
        .delete_any(layout().call(&id))
        .create(layout().settled(&id), record);
    history.writes(&server(1, 1), &settle);
}

fn cluster() -> History {
    History::cluster(NoLostCall::default(), vec![])
}

#[test]
fn an_answer_is_what_the_record_says() {
    for (told, good) in [
        (CallOutcome::ContextNotFound, true),
        (CallOutcome::ContextExists, false),
    ] {
        let mut history = cluster();
        asks(&mut history);
        assert!(!history.is_settled());
        settles(&mut history, CallOutcome::ContextNotFound);
        answers(&mut history, Answer::Call(told));
        assert_eq!(history.verdict().is_ok(), good);
        assert!(history.is_settled());
    }
}

#[test]
fn a_second_answer_is_a_violation() {
    let mut history = cluster();
    asks(&mut history);
    answers(&mut history, Answer::Unknown);
    answers(&mut history, Answer::Unknown);
    assert_eq!(history.fails(), "no_lost_call/twice");
}

#[test]
fn a_request_is_answered_by_the_end_of_its_hold() {
    for (millis, good) in [(34_000, true), (36_000, false)] {
        let mut history = cluster();
        asks(&mut history);
        history.wait(millis).input(2, &Input::Timeout).looks();
        assert_eq!(history.verdict().is_ok(), good, "{millis} ms");
    }
}

#[test]
fn who_stops_in_order_answers_first_and_who_is_killed_need_not() {
    for (how, good) in [
        (Ended::Killed, true),
        (Ended::Stopped(StopReason::Left), false),
    ] {
        let mut history = cluster();
        asks(&mut history);
        history.ends(&server(2, 1), &how);
        assert_eq!(history.verdict().is_ok(), good);
    }
}

#[test]
fn what_was_there_all_the_time_is_not_missing() {
    let mut history = cluster();
    history.creates_context(&server(1, 1), "a");
    history.launches(1, "a", 1, 1);
    history.takes_context(1, "a");
    let context = ContextId::new("a");
    let record = crate::oracle::history::context_record("a", ContextState::Running, None);
    let put = history
        .fenced()
        .put_any(layout().context(&context), encode(&record));
    history.writes(&server(1, 1), &put);
    history.wait(100);
    let job = doyen_core::input::NewJob {
        id: JobId::new("j"),
        context_name: "a".into(),
        adhoc: None,
        main_class: "m".into(),
        class_path: Vec::new(),
        config: doyen_core::records::job::Payload::Inline("{}".into()),
        sync: false,
        user: String::new(),
        key: None,
        wait: Duration::from_secs(1),
    };
    let request = RequestId(1);
    history.input(2, &Input::Command(Command::Submit { request, job }));
    answers(&mut history, Answer::ContextNotFound);
    assert_eq!(history.fails(), "no_lost_call/false 404");
}

#[test]
fn nothing_is_unknown_in_calm() {
    let mut history = cluster();
    history.wait(60_000);
    asks(&mut history);
    answers(&mut history, Answer::Unknown);
    assert_eq!(history.fails(), "no_lost_call/vague in calm");
}
