//! The part of `sane_records` about decisions: what a transaction decides tells what it was decided
//! from, and of all that it carries the version, or the absence.
//!
//! | decision | was decided from |
//! | --- | --- |
//! | a roster that leaves somebody out | `singleton` (R5) |
//! | a roster by who is not on the one before: founding anew | `pulse` and `singleton` (F4, F5) |
//! | "no such context" | the absence of its name (W3) |
//! | "such a context exists" | the name and its context (W3) |
//! | the end of an attempt | `life` (E8) |
//! | a context taken by a driver | the intent that launched it (E2) |
//!
//! Envelope: always. Source: protocol.md F4, R5, W3, E2, E8.

use super::facts::Facts;
use super::records::{Change, Kind};
use super::report::{claim, violation};
use super::shape::{Broken, Shape};
use super::{Oracle, Violation, kinds};
use crate::trace::seen::{Seen, Written};
use doyen_core::identity::Role;
use doyen_core::records::call::{CallOutcome, CallRecord, CallState};
use doyen_core::records::context::{ContextRecord, OwnerRecord};
use doyen_core::time::Time;

const NAME: &str = "sane_records";

/// See the module.
#[derive(Debug)]
pub(super) struct Decisions;

impl Oracle for Decisions {
    fn name(&self) -> &'static str {
        NAME
    }

    fn listens(&self) -> u32 {
        kinds::STORE
    }

    fn seen(&mut self, at: Time, seen: &Seen<'_>, facts: &Facts) -> Result<(), Violation> {
        let Seen::Store(written) = seen else {
            return Ok(());
        };
        let Some(life) = facts.life(written.by.incarnation) else {
            return Ok(());
        };
        let shape = Shape::new(written.transaction);
        let found = match life.role {
            Role::Driver => return taken(at, written, &shape, facts),
            Role::Server => roster(written, &shape, facts).or_else(|| records(&shape)),
        };
        found.map_or(Ok(()), |(rule, what)| {
            let text = format!("{}: {what}: {:?}", life.name, written.transaction);
            Err(violation(NAME, at, rule, text))
        })
    }
}

/// E2: a driver takes its context for the intent that launched it.
fn taken(
    at: Time,
    written: &Written<'_>,
    shape: &Shape<'_>,
    facts: &Facts,
) -> Result<(), Violation> {
    let Some(launched) = facts.launched.get(&written.by.incarnation) else {
        return Ok(());
    };
    let owner: Option<OwnerRecord> = shape.content(Kind::Owner);
    if let Some(owner) = owner.filter(|one| one.owner.is_some()) {
        claim!(
            NAME,
            at,
            owner.intent == launched.intent,
            "another's intent",
            "a driver launched by intent {} takes its context for intent {} (E2)",
            launched.intent.0,
            owner.intent.0
        );
    }
    Ok(())
}

/// Changes of the roster: known to be one when the store has taken it.
fn roster(written: &Written<'_>, shape: &Shape<'_>, facts: &Facts) -> Broken {
    let step = facts.changes.iter().find_map(|change| match change {
        Change::Cluster(step) => Some(step),
        _ => None,
    })?;
    let (before, after) = (&step.was()?.roster, &step.now()?.roster);
    let leaves_out = before.listed.iter().any(|one| !after.lists(one));
    if leaves_out && !shape.guards(Kind::Singleton) {
        return Some((
            "leaves out",
            "somebody is left out without a guard on `singleton` (R5)",
        ));
    }
    if !before.lists(written.by) && !shape.guards(Kind::Pulse) {
        return Some((
            "founding anew",
            "a cluster is founded anew without a guard on `pulse` (F4)",
        ));
    }
    None
}

/// Calls, contexts and attempts, whether the store took them or not.
fn records(shape: &Shape<'_>) -> Broken {
    let settled: Option<CallRecord> = shape.content(Kind::Settled);
    if let Some(CallState::Settled { outcome }) = settled.map(|call| call.progress) {
        if outcome == CallOutcome::ContextNotFound && !shape.checks_absent(Kind::Name) {
            return Some((
                "absence",
                "a call finds no context without a guard on the name's absence (W3)",
            ));
        }
        let exists = shape.guards(Kind::Name) && shape.guards(Kind::Context);
        if outcome == CallOutcome::ContextExists && !exists {
            return Some((
                "presence",
                "a call finds a context without guards on it and its name (W3)",
            ));
        }
    }
    let owner: Option<OwnerRecord> = shape.content(Kind::Owner);
    let context: Option<ContextRecord> = shape.content(Kind::Context);
    let ends = owner.is_some_and(|one| one.owner.is_none())
        && context.is_some_and(|one| one.ending.is_some());
    (ends && !shape.guards(Kind::Life)).then_some((
        "life",
        "an attempt is ended without a guard on its `life` (E8)",
    ))
}

#[cfg(test)]
#[path = "decisions_tests.rs"]
mod tests;
