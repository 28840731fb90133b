//! `no_lost_call`: at a server that stays up a request is answered in time; one that goes down in
//! order answers first; an answer is given once, and as the records say.
//!
//! | claim | envelope |
//! | --- | --- |
//! | answered once; by the time that it holds, on its own clock | its process runs, since [`ROOM`] |
//! | who stops in order has answered all that it holds (R6) | always |
//! | outcomes are those of the settled record; an object in progress was accepted (C2, C4) | always |
//! | nobody is told "not found" of what was there all the time | always |
//! | no `unknown`, no expiry, no refusal as not ready | calm |
//!
//! Source: design.md 5; protocol.md C, R6, F8.

use super::facts::Facts;
use super::report::claim;
use super::{Oracle, Violation, envelope, kinds};
use crate::trace::seen::{Ended, NodeId, Seen};
use doyen_core::identity::{CallId, Incarnation, JobId};
use doyen_core::input::{Command, Input, NewCall, RequestId};
use doyen_core::output::{Answer, Output};
use doyen_core::records::call::{CallOutcome, CallState};
use doyen_core::records::context::ContextState;
use doyen_core::records::job::JobState;
use doyen_core::time::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const NAME: &str = "no_lost_call";
/// What is left to do at the end of a hold: three store calls, and room.
const ROOM: Duration = Duration::from_secs(5);
/// A kill is waited for so long (the gateway's own bound).
const KILL_HOLD: Duration = Duration::from_secs(3);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct NoLostCall {
    held: BTreeMap<RequestId, Held>,
    answered: BTreeSet<RequestId>,
    leaving: BTreeSet<Incarnation>,
    /// Who has said that it stops: what it is told then it never hears.
    stopped: BTreeSet<Incarnation>,
}

/// A request that a process took.
#[derive(Debug)]
struct Held {
    node: NodeId,
    by: Incarnation,
    asked: Time,
    /// By when it is answered, on the process's own clock.
    due: Time,
    what: What,
}

#[derive(Debug)]
enum What {
    Call(CallId, Option<String>),
    Submit(String),
    Kill(JobId),
}

impl Oracle for NoLostCall {
    fn name(&self) -> &'static str {
        NAME
    }

    fn listens(&self) -> u32 {
        kinds::COMMAND | kinds::ANSWER | kinds::STOP | kinds::LIFE | kinds::VIEWS
    }

    fn seen(&mut self, at: Time, seen: &Seen<'_>, facts: &Facts) -> Result<(), Violation> {
        match seen {
            Seen::Input {
                node,
                clock,
                input: Input::Command(command),
            } => {
                self.takes(at, *node, *clock, command, facts);
                Ok(())
            }
            Seen::Output {
                node,
                output: Output::Answer { request, answer },
            } => {
                claim!(
                    NAME,
                    at,
                    self.answered.insert(*request),
                    "twice",
                    "request {} is answered a second time, with {answer:?}",
                    request.0
                );
                match self.held.remove(request) {
                    Some(held) => self.answers(at, *node, &held, answer, facts),
                    None => Ok(()),
                }
            }
            Seen::Output {
                node,
                output: Output::Stop(_),
            } => {
                let life = facts.at_node(*node);
                self.stopped
                    .extend(life.map(|life| life.identity.incarnation));
                Ok(())
            }
            Seen::Ended { identity, how, .. } => {
                let by = identity.incarnation;
                let left = self.held.iter().find(|(_, held)| held.by == by);
                let in_order = matches!(how, Ended::Stopped(_));
                claim!(
                    NAME,
                    at,
                    !in_order || left.is_none(),
                    "not answered before the end",
                    "{} stopped ({how:?}) and left {left:?} without an answer",
                    facts.name(identity)
                );
                self.held.retain(|_, held| held.by != by);
                Ok(())
            }
            Seen::Views { .. } => self.in_time(at, facts),
            _ => Ok(()),
        }
    }

    fn is_settled(&self) -> bool {
        self.held.is_empty()
    }

    fn waits_for(&self) -> Option<String> {
        let (request, held) = self.held.first_key_value()?;
        Some(format!(
            "request {} ({:?}) is not answered",
            request.0, held.what
        ))
    }
}

impl NoLostCall {
    fn takes(&mut self, at: Time, node: NodeId, clock: Time, command: &Command, facts: &Facts) {
        let Some(life) = facts.at_node(node) else {
            return;
        };
        let by = life.identity.incarnation;
        if self.stopped.contains(&by) {
            return;
        }
        let (request, wait, what) = match command {
            Command::Call { request, call } => {
                let NewCall { id, key, wait, .. } = call;
                let digest = key.as_ref().map(|key| key.digest.clone());
                let hold = facts.times.gateway_hold;
                let hold = if wait.is_zero() {
                    hold
                } else {
                    hold.min(*wait)
                };
                (request, hold, What::Call(id.clone(), digest))
            }
            Command::Submit { request, job } => {
                // The context of its own is waited for first.
                let adhoc = job.adhoc.as_ref().map(|_| facts.times.gateway_hold);
                let wait = job.wait.saturating_add(adhoc.unwrap_or_default());
                (request, wait, What::Submit(job.context_name.clone()))
            }
            Command::KillJob { request, job } => (request, KILL_HOLD, What::Kill(job.clone())),
            Command::Forget { request } => {
                self.held.remove(request);
                return;
            }
            Command::Leave => {
                self.leaving.insert(by);
                return;
            }
        };
        let due = clock.after(wait).after(ROOM);
        let held = Held {
            node,
            by,
            asked: at,
            due,
            what,
        };
        self.held.insert(*request, held);
    }

    fn in_time(&self, at: Time, facts: &Facts) -> Result<(), Violation> {
        for (request, held) in &self.held {
            let Some(life) = facts.at_node(held.node).filter(|_| !facts.mixed) else {
                continue;
            };
            let classes = envelope::STOPPED | envelope::CLOCK;
            let runs = facts.envelope.spared(at, ROOM, classes, held.node);
            claim!(
                NAME,
                at,
                !runs || life.clock <= held.due,
                "late",
                "{} took request {} ({:?}) at {} and has not answered it",
                life.name,
                request.0,
                held.what,
                held.asked
            );
        }
        Ok(())
    }

    fn answers(
        &self,
        at: Time,
        node: NodeId,
        held: &Held,
        answer: &Answer,
        facts: &Facts,
    ) -> Result<(), Violation> {
        let name = facts.at_node(node).map_or("", |life| life.name.as_str());
        match (answer, &held.what) {
            (Answer::Call(outcome), What::Call(id, digest)) => {
                let same = |(other, one): (&CallId, &std::rc::Rc<super::records::Held<_>>)| {
                    let one: &doyen_core::records::call::CallRecord = &one.value;
                    let mine = other == id || (digest.is_some() && one.key == *digest);
                    let settled = CallState::Settled {
                        outcome: outcome.clone(),
                    };
                    mine && one.progress == settled
                };
                let records = &facts.records;
                claim!(
                    NAME,
                    at,
                    records.settled.iter().any(same),
                    "outcome",
                    "{name} answers call {id} with {outcome:?}, the record says {:?}",
                    records.settled.get(id).map(|one| &one.value.progress)
                );
            }
            (Answer::CallInProgress { context }, What::Call(id, _)) => {
                let known = facts.records.contexts.contains_key(context)
                    || facts.records.ended.contains_key(context);
                claim!(
                    NAME,
                    at,
                    known,
                    "in progress",
                    "{name} answers call {id} with `in progress` of {context}, which is not there"
                );
            }
            (Answer::ContextNotFound, What::Submit(context)) => {
                claim!(
                    NAME,
                    at,
                    !was_there(context, held.asked, facts),
                    "false 404",
                    "{name} does not find context {context}, which has run since before it was asked"
                );
            }
            (Answer::JobNotFound, What::Kill(job)) => {
                let live = facts.records.jobs.get(job).filter(|one| {
                    one.since < held.asked && !matches!(one.value.state, JobState::Refused { .. })
                });
                let done = facts
                    .records
                    .done
                    .get(job)
                    .filter(|one| one.since < held.asked);
                claim!(
                    NAME,
                    at,
                    live.is_none() && done.is_none(),
                    "false 404",
                    "{name} does not find job {job}, which was there before it was asked"
                );
            }
            _ => {}
        }
        self.calmly(at, name, held, answer, facts)
    }

    /// In calm nobody is told that something is not known, or not ready.
    fn calmly(
        &self,
        at: Time,
        name: &str,
        held: &Held,
        answer: &Answer,
        facts: &Facts,
    ) -> Result<(), Violation> {
        let longest = facts.times.gateway_hold.saturating_add(ROOM);
        if !facts.calm_for(longest) || facts.mixed || self.leaving.contains(&held.by) {
            return Ok(());
        }
        let listed = facts
            .roster()
            .is_some_and(|roster| roster.listed.iter().any(|one| one.incarnation == held.by));
        let vague = matches!(answer, Answer::Unknown | Answer::Call(CallOutcome::Expired));
        let refused = matches!(answer, Answer::NotReady { .. });
        claim!(
            NAME,
            at,
            !listed || !(vague || refused),
            "vague in calm",
            "{name} answers {:?} with {answer:?}, though nothing has been wrong for {longest:?}",
            held.what
        );
        Ok(())
    }
}

/// Whether a context of this name has run, under one driver, since before then.
fn was_there(name: &str, asked: Time, facts: &Facts) -> bool {
    let records = &facts.records;
    let Some(id) = records.names.get(name).map(|one| &one.value.context) else {
        return false;
    };
    let context = records.contexts.get(id);
    let owner = records.owners.get(id);
    context.is_some_and(|one| one.value.state == ContextState::Running && one.at < asked)
        && owner.is_some_and(|one| one.value.owner.is_some() && one.at < asked)
}

#[cfg(test)]
#[path = "no_lost_call_tests.rs"]
mod tests;
