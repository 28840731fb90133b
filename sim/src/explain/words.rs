//! Short words for what a picture shows; the whole of it is its debug text, cut.

use crate::schedule::model::FaultKind;
use crate::trace::seen::{Deed, Ended, Written};
use doyen_core::identity::{Identity, Role};
use doyen_core::input::{Command, RequestId};
use doyen_core::output::{Answer, ClusterEvent, Output, StopReason};
use doyen_core::records::transaction::{CommitOutcome, Operation};
use doyen_core::wire::Message;
use serde_json::Value;
use std::fmt::{Debug, Write as _};

/// The most bytes of a detail.
const DETAIL_MAX: usize = 1_200;
/// The most bytes of a record's value in a detail.
const VALUE_MAX: usize = 300;

/// The debug text, cut.
pub(super) fn cut(what: &impl Debug) -> String {
    shorten(format!("{what:?}"), DETAIL_MAX)
}

/// A text of at most so many bytes, and a mark when it was longer.
pub(super) fn shorten(mut text: String, max: usize) -> String {
    if text.len() > max {
        if max == 0 {
            return String::new();
        }
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
    let name = value
        .as_ref()
        .and_then(|value| value.as_table()?.keys().next());
    name.cloned().unwrap_or_else(|| "fault".to_owned())
}

pub(super) fn ended(how: &Ended) -> String {
    match how {
        Ended::Killed => "is killed".to_owned(),
        Ended::Stopped(reason) => format!("stops: {}", reason_told(reason)),
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

/// An event as what a process does: "s1 …".
pub(super) fn event(event: &ClusterEvent) -> String {
    match event {
        ClusterEvent::Founded { .. } => "founds the cluster".to_owned(),
        ClusterEvent::Refounded { generation } => {
            format!("founds the cluster again, as generation {generation}")
        }
        ClusterEvent::Listed { generation } => {
            format!("sees itself listed, in generation {generation}")
        }
        ClusterEvent::RosterChanged { generation, listed } => {
            format!("sees roster {generation}: {}", hosts(listed))
        }
        ClusterEvent::SingletonMoved { epoch, holder } => {
            let holder = holder.address.host();
            format!("sees {holder} hold the office, epoch {}", epoch.0)
        }
        ClusterEvent::OfficeTaken { epoch, by } => {
            format!("takes the office by {}, epoch {}", by.name(), epoch.0)
        }
        ClusterEvent::OfficeReady { epoch } => format!("serves as holder of epoch {}", epoch.0),
        ClusterEvent::SteppedDown { epoch } => {
            format!("has lost the office of epoch {} and serves on", epoch.0)
        }
        ClusterEvent::Unreachable { member } => {
            format!("does not hear {} any more", member.address.host())
        }
        ClusterEvent::Reachable { member } => format!("hears {} again", member.address.host()),
        ClusterEvent::Challenged { member } => {
            format!("challenges the holder {}", member.address.host())
        }
        ClusterEvent::ProofOfDeath { member, how } => {
            format!("knows that {} is dead: {how}", member.address.host())
        }
        ClusterEvent::Warning { text } => shorten(format!("warns: {text}"), 140),
        ClusterEvent::StoreReachable { reachable: true } => "reaches the store again".to_owned(),
        ClusterEvent::StoreReachable { reachable: false } => {
            "cannot reach the store any more".to_owned()
        }
        ClusterEvent::AttemptEnded { why, .. } => {
            shorten(format!("learns that a driver's attempt ended: {why}"), 140)
        }
    }
}

fn hosts(all: &[Identity]) -> String {
    let names: Vec<&str> = all.iter().map(|one| one.address.host()).collect();
    names.join(", ")
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
        Output::Stop(reason) => format!("stop: {}", reason_told(reason)),
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
            format!("starts a driver of {context} for intent {}", intent.0)
        }
        Deed::EngineStarted { context, .. } => format!("starts the engine of {context}"),
        Deed::EngineEnded { context, .. } => format!("has no engine of {context} any more"),
        Deed::JobStarted { job, .. } => format!("begins to run job {job}"),
        Deed::JobEnded { job, .. } => format!("ends job {job}"),
        Deed::Killed { context, hit, .. } => {
            let hit = hit.map_or_else(|| "nobody".to_owned(), |hit| hit.to_string());
            format!("kills for {context}: hits {hit}")
        }
        Deed::Verified {
            context, verdict, ..
        } => format!("says of an attempt of {context}: {verdict:?}"),
    }
}

/// The records that a transaction is about, the written ones first.
pub(super) fn transaction(written: &Written<'_>) -> String {
    let outcome = match written.outcome {
        CommitOutcome::Committed { .. } => "writes",
        CommitOutcome::Refused { .. } => "may not write",
        CommitOutcome::Unknown => "writes, perhaps,",
        CommitOutcome::NotSent { .. } => "cannot send its write of",
    };
    let writes = written.transaction.operations.iter().filter(|operation| {
        !matches!(
            operation,
            Operation::Check { .. } | Operation::CheckAbsent { .. }
        )
    });
    let mut names: Vec<String> = Vec::new();
    for operation in writes {
        let name = record(operation);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let why = match written.outcome {
        CommitOutcome::Refused { operation } => {
            let failed = written.transaction.operations.get(*operation);
            let failed = failed.map(|one| tail(one.key().as_str()));
            failed.map_or_else(String::new, |key| format!(": {key} has changed"))
        }
        CommitOutcome::Committed { .. } if !written.told => "; its answer is lost".to_owned(),
        _ => String::new(),
    };
    shorten(format!("{outcome} {}{why}", names.join(", ")), 160)
}

/// A record that is written, with what matters of its value: `singleton (epoch 2, s3)`.
fn record(operation: &Operation) -> String {
    let name = tail(operation.key().as_str());
    let (Operation::Create { value, .. } | Operation::Put { value, .. }) = operation else {
        return format!("-{name}");
    };
    let value: Value = serde_json::from_str(value).unwrap_or_default();
    let host = |value: &Value| {
        let address = value["address"].as_str().unwrap_or("nobody");
        address.split(':').next().unwrap_or(address).to_owned()
    };
    let state = &value["state"];
    let state = state.as_str().or_else(|| state["state"].as_str());
    match (name.as_str(), state) {
        ("singleton", _) => {
            format!(
                "singleton (epoch {}, {})",
                value["epoch"],
                host(&value["holder"])
            )
        }
        ("pulse", _) => format!("pulse {}/{}", value["epoch"], value["count"]),
        ("cluster", _) => {
            let listed = value["roster"]["listed"].as_array();
            let listed: Vec<_> = listed.into_iter().flatten().map(host).collect();
            let generation = &value["roster"]["generation"];
            format!("roster {generation} ({})", listed.join(", "))
        }
        (_, Some(state)) => format!("{name} ({state})"),
        (_, None) => name,
    }
}

/// A path without the cluster: `singleton`, `job/…<id>`; long ids by their last eight digits.
fn tail(path: &str) -> String {
    let mut parts: Vec<_> = path.split('/').collect();
    if parts.first() == Some(&"c") && parts.len() > 2 {
        parts.drain(..2);
    }
    let kind = parts.first().copied().unwrap_or_default();
    let last = parts.last().copied().unwrap_or_default();
    if parts.len() < 2 {
        return kind.to_owned();
    }
    let short = if last.len() > 30 {
        &last[last.len().saturating_sub(8)..]
    } else {
        last
    };
    format!("{kind} {short}")
}

fn reason_told(reason: &StopReason) -> String {
    match reason {
        StopReason::Left => "it left in order".to_owned(),
        StopReason::LeftOut { generation } => format!("roster {generation} does not list it"),
        StopReason::ClusterChanged { what } => format!("the cluster changed: {what}"),
        StopReason::Reincarnate => "it begins anew".to_owned(),
        StopReason::DriverDone => "its context is over".to_owned(),
        StopReason::DriverFenced { what } => format!("it is fenced: {what}"),
    }
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
