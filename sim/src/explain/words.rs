//! Short words for what a picture shows; the whole of it is its debug text, cut.

use crate::schedule::model::FaultKind;
use crate::trace::seen::{Deed, Ended, Written};
use doyen_core::identity::Role;
use doyen_core::input::{Command, RequestId};
use doyen_core::output::{Answer, ClusterEvent, Output};
use doyen_core::records::transaction::{CommitOutcome, Operation};
use doyen_core::wire::Message;
use std::fmt::{Debug, Write as _};

/// The most bytes of a detail.
const DETAIL_MAX: usize = 1_200;
/// The most bytes of a record's value in a detail.
const VALUE_MAX: usize = 300;

/// The debug text, cut.
pub(super) fn cut(what: &impl Debug) -> String {
    shorten(format!("{what:?}"), DETAIL_MAX)
}

fn shorten(mut text: String, max: usize) -> String {
    if text.len() > max {
        let end = (0..=max).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or_default());
        text.push('…');
    }
    text
}

pub(super) const fn role(role: Role) -> &'static str {
    match role {
        Role::Server => "server",
        Role::Driver => "driver",
    }
}

pub(super) fn fault_kind(kind: &FaultKind) -> String {
    let value = toml::Value::try_from(kind).ok();
    let name = value.as_ref().and_then(|value| value.get("kind")?.as_str());
    name.unwrap_or("fault").to_owned()
}

pub(super) fn ended(how: &Ended) -> String {
    match how {
        Ended::Killed => "killed".to_owned(),
        Ended::Stopped(reason) => format!("stopped: {reason:?}"),
    }
}

pub(super) const fn message(message: &Message) -> &'static str {
    match message {
        Message::Contact { .. } => "contact",
        Message::ContactAck { .. } => "contact-ack",
        Message::ContactNack { .. } => "contact-nack",
        Message::Join { .. } => "join",
        Message::JoinRefused { .. } => "join-refused",
        Message::Gossip { .. } => "gossip",
        Message::CallHint { .. } => "call-hint",
        Message::JobHint { .. } => "job-hint",
        Message::DriverBeat { .. } => "driver-beat",
        Message::DriverHeard { .. } => "driver-heard",
        Message::DriverSeen { .. } => "driver-seen",
    }
}

pub(super) const fn request(command: &Command) -> Option<RequestId> {
    match command {
        Command::Call { request, .. }
        | Command::Submit { request, .. }
        | Command::KillJob { request, .. }
        | Command::Forget { request } => Some(*request),
        Command::Leave => None,
    }
}

pub(super) fn event(event: &ClusterEvent) -> String {
    let name = event.name();
    match event {
        ClusterEvent::OfficeTaken { epoch, by } => {
            format!("{name}: epoch {} by {}", epoch.0, by.name())
        }
        ClusterEvent::RosterChanged { generation, listed } => {
            format!("{name}: generation {generation}, {} listed", listed.len())
        }
        ClusterEvent::Unreachable { .. }
        | ClusterEvent::Reachable { .. }
        | ClusterEvent::Founded { .. }
        | ClusterEvent::Refounded { .. }
        | ClusterEvent::Listed { .. }
        | ClusterEvent::SingletonMoved { .. }
        | ClusterEvent::OfficeReady { .. }
        | ClusterEvent::SteppedDown { .. }
        | ClusterEvent::Challenged { .. }
        | ClusterEvent::ProofOfDeath { .. }
        | ClusterEvent::Warning { .. }
        | ClusterEvent::StoreReachable { .. }
        | ClusterEvent::AttemptEnded { .. } => name.to_owned(),
    }
}

pub(super) fn output(output: &Output) -> String {
    match output {
        Output::Send { message, .. } => self::message(message).to_owned(),
        Output::Commit { transaction, .. } => format!("commit {}", transaction.id.0),
        Output::Read { .. } => "read".to_owned(),
        Output::Effect(effect) => shorten(format!("{effect:?}"), 60),
        Output::Dial { .. } => "dial".to_owned(),
        Output::Credentials(_) => "credentials".to_owned(),
        Output::Beat(_) => "beat".to_owned(),
        Output::Answer { .. } => "answer".to_owned(),
        Output::Event(event) => event.name().to_owned(),
        Output::Stop(reason) => format!("stop: {reason:?}"),
    }
}

pub(super) fn answer(answer: &Answer) -> String {
    shorten(format!("{answer:?}"), 100)
}

pub(super) fn deed(deed: &Deed) -> String {
    match deed {
        Deed::DriverStarted {
            context, intent, ..
        } => {
            format!("driver started for {context}, intent {}", intent.0)
        }
        Deed::EngineStarted { context, .. } => format!("engine of {context} started"),
        Deed::EngineEnded { context, .. } => format!("engine of {context} gone"),
        Deed::JobStarted { job, .. } => format!("job {job} runs"),
        Deed::JobEnded { job, .. } => format!("job {job} ended"),
        Deed::Killed { context, hit, .. } => {
            let hit = hit.map_or_else(|| "nobody".to_owned(), |hit| hit.to_string());
            format!("kill for {context} hit {hit}")
        }
        Deed::Verified {
            context, verdict, ..
        } => format!("attempt of {context} said {verdict:?}"),
    }
}

/// The records that a transaction is about, the written ones first.
pub(super) fn transaction(written: &Written<'_>) -> String {
    let outcome = match written.outcome {
        CommitOutcome::Committed { .. } => "wrote",
        CommitOutcome::Refused { .. } => "refused",
        CommitOutcome::Unknown => "unknown",
        CommitOutcome::NotSent { .. } => "not sent",
    };
    let writes = written.transaction.operations.iter().filter(|operation| {
        !matches!(
            operation,
            Operation::Check { .. } | Operation::CheckAbsent { .. }
        )
    });
    let names: Vec<_> = writes
        .map(|operation| tail(operation.key().as_str()))
        .collect();
    let told = if written.told { "" } else { " (answer lost)" };
    shorten(format!("{outcome} {}{told}", names.join(", ")), 140)
}

/// The last two parts of a path: `singleton`, `job/<id>`.
fn tail(path: &str) -> String {
    let parts: Vec<_> = path.split('/').collect();
    parts[parts.len().saturating_sub(2)..].join("/")
}

/// Each operation on a line, with the one that failed marked.
pub(super) fn operations(written: &Written<'_>) -> String {
    let failed = match written.outcome {
        CommitOutcome::Refused { operation } => Some(*operation),
        CommitOutcome::Committed { .. }
        | CommitOutcome::Unknown
        | CommitOutcome::NotSent { .. } => None,
    };
    let mut text = format!("{}\n", written.transaction.id.0);
    for (index, operation) in written.transaction.operations.iter().enumerate() {
        let mark = if failed == Some(index) { "✗ " } else { "" };
        let line = match operation {
            Operation::Check { key, version } => format!("check {key} at {}", version.0),
            Operation::CheckAbsent { key } => format!("check-absent {key}"),
            Operation::Create { key, value } => {
                format!("create {key} = {}", shorten(value.clone(), VALUE_MAX))
            }
            Operation::Put {
                key,
                value,
                version,
            } => {
                let at = version.map_or_else(|| "any".to_owned(), |version| version.0.to_string());
                format!("put {key} at {at} = {}", shorten(value.clone(), VALUE_MAX))
            }
            Operation::Delete { key, version } => {
                let at = version.map_or_else(|| "any".to_owned(), |version| version.0.to_string());
                format!("delete {key} at {at}")
            }
        };
        // Writing to a string cannot fail.
        _ = writeln!(text, "{mark}{line}");
    }
    shorten(text, DETAIL_MAX * 2)
}
