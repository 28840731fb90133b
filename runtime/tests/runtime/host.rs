//! The host carries out what a scripted process decides.

use crate::peer::{DEADLINE, Peer, beat, identity, up};
use crate::script::{Script, call, idle, run};
use doyen_core::identity::JobId;
use doyen_core::input::{Command, EffectReport, Input, Ticket};
use doyen_core::output::{Answer, BeatPlan, ClusterEvent, Effect, Output, StopReason};
use doyen_core::records::call::CallOutcome;
use doyen_core::records::cluster::Generation;
use doyen_core::records::transaction::{Change, Query, Transaction, TransactionId};
use doyen_core::time::Time;
use std::time::Duration;

/// Answers calls of contexts named `now`, keeps the others waiting, stops when told to leave.
fn serve(script: &mut Script, _: Time, input: &Input) {
    match input {
        Input::Command(Command::Call { request, call })
            if call.operation.context_name() == "now" =>
        {
            script.answer(*request, Answer::Call(CallOutcome::ContextNotFound));
        }
        Input::Command(Command::KillJob { job, request }) => {
            script.answer(*request, Answer::JobNotFound);
            script
                .outputs
                .push_back(Output::Effect(Effect::KillJob { job: job.clone() }));
        }
        Input::Command(Command::Leave) => script.outputs.push_back(Output::Stop(StopReason::Left)),
        _ => {}
    }
}

#[tokio::test]
async fn store_calls_are_answered_once_each_whatever_becomes_of_them() {
    fn begin(script: &mut Script) {
        for (ticket, id) in ["answered", "slow", "dies"].into_iter().enumerate() {
            script.outputs.push_back(Output::Commit {
                ticket: Ticket(ticket as u64),
                transaction: Transaction::new(TransactionId(id.into())),
            });
        }
        let slow = doyen_core::records::key::cluster();
        for (ticket, query) in [(3, Query::default()), (4, Query::keys([slow]))] {
            let ticket = Ticket(ticket);
            script.outputs.push_back(Output::Read { ticket, query });
        }
    }
    let mut run = run(begin, |_, _, _| {}).await;
    let mut answers = std::collections::BTreeMap::new();
    while answers.len() < 5 {
        let next = tokio::time::timeout(DEADLINE, run.told.recv()).await;
        let (ticket, what) = match next.expect("not answered").unwrap().1 {
            Input::Committed { ticket, outcome } => (ticket.0, format!("{outcome:?}")),
            Input::Read { ticket, outcome } => (ticket.0, format!("{outcome:?}")),
            _ => continue,
        };
        assert_eq!(answers.insert(ticket, what), None);
    }
    assert_eq!(answers[&0], "NotSent { reason: \"answered\" }");
    assert_eq!(answers[&1], "Unknown");
    assert_eq!(answers[&2], "Unknown");
    assert!(answers[&3].starts_with("Snapshot"));
    assert_eq!(
        answers[&4],
        "Failed { reason: \"no answer within 100 ms\" }"
    );
}

#[tokio::test]
async fn a_wake_comes_when_it_is_due_and_not_before() {
    fn begin(script: &mut Script) {
        script.wake = Some(Time::from_millis(80));
    }
    fn react(script: &mut Script, now: Time, input: &Input) {
        if *input == Input::Timeout && now.as_millis() < 300 {
            script.wake = Some(now.after(Duration::from_millis(50)));
        }
    }
    let mut run = run(begin, react).await;
    let first = run.until(|input| *input == Input::Timeout).await;
    let second = run.until(|input| *input == Input::Timeout).await;
    assert!(first >= Time::from_millis(80));
    assert!(second.since(first) >= Duration::from_millis(50));
}

#[tokio::test]
async fn the_store_is_watched_again_when_its_watch_ends() {
    let mut run = run(idle, |_, _, _| {}).await;
    for _ in 0..2 {
        run.until(|input| *input == Input::StoreChanged(Change::Everything))
            .await;
    }
}

#[tokio::test]
async fn requests_are_answered_and_those_whose_callers_are_gone_are_forgotten() {
    let mut run = run(idle, serve).await;
    assert_eq!(
        run.handle.call(call("now")).await,
        Answer::Call(CallOutcome::ContextNotFound)
    );
    let waits = tokio::time::timeout(Duration::from_millis(30), run.handle.call(call("later")));
    assert!(waits.await.is_err());
    let mut asked = None;
    run.until(|input| match input {
        Input::Command(Command::Call { request, call }) => {
            if call.operation.context_name() == "later" {
                asked = Some(*request);
            }
            false
        }
        Input::Command(Command::Forget { request }) => asked == Some(*request),
        _ => false,
    })
    .await;
}

#[tokio::test]
async fn effects_are_begun_and_their_reports_come_back() {
    let mut run = run(idle, serve).await;
    let job = JobId::new("j");
    assert_eq!(run.handle.kill(job.clone()).await, Answer::JobNotFound);
    let report = Input::EffectReport(EffectReport::JobKilled {
        job,
        rung: "killed".into(),
    });
    run.until(|input| *input == report).await;
}

#[tokio::test]
async fn a_stop_ends_the_host_and_answers_whoever_waits() {
    let run = run(idle, serve).await;
    let handle = run.handle.clone();
    let waiting = tokio::spawn(async move { handle.call(call("later")).await });
    let mut told = run.told;
    loop {
        let next = tokio::time::timeout(DEADLINE, told.recv())
            .await
            .unwrap()
            .unwrap();
        if matches!(next.1, Input::Command(Command::Call { .. })) {
            break;
        }
    }
    run.handle.leave();
    let reason = tokio::time::timeout(DEADLINE, run.task)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(reason, StopReason::Left);
    let not_ready = Answer::NotReady {
        reason: "this process is stopping".into(),
    };
    assert_eq!(waiting.await.unwrap(), not_ready);
    assert_eq!(run.handle.call(call("now")).await, not_ready);
    // Its port is free again.
    let host = (run.address.host(), run.address.port());
    std::net::TcpListener::bind(host).unwrap();
}

#[tokio::test]
async fn the_view_follows_and_is_exact_on_demand() {
    fn react(script: &mut Script, now: Time, input: &Input) {
        if let Input::Command(Command::Call { request, .. }) = input {
            script.ready = !script.ready;
            script.answer(*request, Answer::Unknown);
        }
        serve(script, now, input);
    }
    let run = run(idle, react).await;
    assert!(!run.handle.view().ready);
    let mut watched = run.handle.watch_view();
    run.handle.call(call("x")).await;
    assert!(run.handle.exact_view().await.ready);
    run.handle.call(call("x")).await;
    let follows = watched.wait_for(|view| !view.ready);
    tokio::time::timeout(DEADLINE, follows)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_fresh_incarnation_replaces_the_process_without_exit() {
    fn react(script: &mut Script, _: Time, input: &Input) {
        if let Input::Command(Command::Call { call, .. }) = input
            && call.operation.context_name() == "again"
        {
            script
                .outputs
                .push_back(Output::Event(ClusterEvent::Listed {
                    generation: Generation(3),
                }));
            script
                .outputs
                .push_back(Output::Stop(StopReason::Reincarnate));
        }
    }
    fn begin(script: &mut Script) {
        script.outputs.push_back(Output::Commit {
            ticket: Ticket(1),
            transaction: Transaction::new(TransactionId("slow".into())),
        });
    }
    let mut run = run(begin, react).await;
    let mut events = run.handle.events();
    let old = run.handle.view().identity.clone();
    let answer = run.handle.call(call("again")).await;
    assert_eq!(
        answer,
        Answer::NotReady {
            reason: "this server begins a new life".into()
        }
    );
    let listed = ClusterEvent::Listed {
        generation: Generation(3),
    };
    assert_eq!(events.recv().await.unwrap(), listed);
    let new = run.handle.exact_view().await.identity.clone();
    assert_eq!(old.address, new.address);
    assert_ne!(old.incarnation, new.incarnation);
    // The old life's call is forgotten: one answer, to the new life's call.
    run.until(|input| matches!(input, Input::Committed { .. }))
        .await;
    let more = tokio::time::timeout(
        Duration::from_millis(200),
        run.until(|input| matches!(input, Input::Committed { .. })),
    );
    assert!(more.await.is_err());
    assert!(!run.task.is_finished());
}

#[tokio::test]
async fn links_messages_and_beats_reach_the_process_and_its_own_go_out() {
    fn begin(script: &mut Script) {
        let credentials = crate::peer::credentials();
        script.outputs.push_back(Output::Credentials(credentials));
    }
    fn react(script: &mut Script, _: Time, input: &Input) {
        if let Input::Message { from, message } = input {
            script.outputs.push_back(Output::Send {
                to: from.clone(),
                message: message.clone(),
            });
            script.outputs.push_back(Output::Beat(BeatPlan {
                beat: Some(beat(&script.me)),
                targets: [(from.address.clone(), Duration::from_millis(10))].into(),
            }));
        }
    }
    let mut run = run(begin, react).await;
    let host = run.handle.view().identity.clone();
    let mut peer = Peer::member(identity(1)).await;
    peer.dial(&[&host]);
    // Until the host has asked its store for its id it refuses, and is dialled again.
    peer.until_link(up(&host)).await;
    run.until(|input| *input == Input::Link(up(&peer.me))).await;
    let text = crate::peer::hint("echo");
    peer.transport.send(&host, &text);
    let mut expected = (false, false);
    while expected != (true, true) {
        match peer.next().await {
            Input::Message { from, message } => {
                assert_eq!((from, message), (host.clone(), text.clone()));
                expected.0 = true;
            }
            Input::Beat(beat) => {
                assert_eq!(beat.from, host);
                expected.1 = true;
            }
            _ => {}
        }
    }
}
