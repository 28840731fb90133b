//! The part of `sane_records` about guards: every transaction carries the guards that
//! its writer owes, whether the store took it or not. A race in which a missing guard does harm is
//! rare; the missing guard itself is seen in every run.
//!
//! Envelope: always. Source: protocol.md W2, W3, F3, F4, R4, R5, S2, S5, S9, C2 to C5, J1, J2, E2.

use super::facts::Facts;
use super::records::Kind;
use super::report::claim;
use super::shape::{Broken, Shape};
use super::{Oracle, Violation, kinds};
use crate::trace::seen::Seen;
use doyen_core::identity::{ContextId, Role};
use doyen_core::records::call::{CallOutcome, CallRecord, CallState};
use doyen_core::records::transaction::{CommitOutcome, Operation};
use doyen_core::time::Time;

const NAME: &str = "sane_records";

/// See the module.
#[derive(Debug)]
pub(super) struct Guards;

impl Oracle for Guards {
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
        if let CommitOutcome::NotSent { reason } = written.outcome {
            claim!(
                NAME,
                at,
                !reason.contains("over the bound"),
                "too large",
                "{} sent a transaction that is too large: {reason} (W6)",
                life.name
            );
        }
        let shape = Shape::new(written.transaction);
        let broken = match life.role {
            Role::Driver => {
                let launched = facts.launched.get(&written.by.incarnation);
                driver(&shape, launched.map(|one| &one.context))
            }
            Role::Server => cluster(&shape).or_else(|| records(&shape)),
        };
        let broken = broken.or_else(|| {
            let bare = shape.unguarded();
            bare.map(|_| ("unguarded", "a record is written under no version (W3)"))
        });
        if let Some((rule, what)) = broken {
            let text = format!("{}: {what}: {:?}", life.name, written.transaction);
            return Err(super::report::violation(NAME, at, rule, text));
        }
        Ok(())
    }
}

fn need(holds: bool, rule: &'static str, what: &'static str) -> Broken {
    (!holds).then_some((rule, what))
}

/// Everything that a driver writes carries the fence on its context's `owner`, and is its own.
fn driver(shape: &Shape<'_>, context: Option<&ContextId>) -> Broken {
    let fenced = shape.guards(Kind::Owner);
    if !fenced {
        return Some((
            "driver without fence",
            "a driver writes without its fence (W2)",
        ));
    }
    if shape.puts(Kind::Owner) && !(shape.guards(Kind::Context) && shape.guards(Kind::Life)) {
        return Some((
            "taking",
            "a context is taken without guards on it and `life` (E2, W3)",
        ));
    }
    let context = context?;
    let foreign = |(kind, one): &(Kind, &Operation)| match kind {
        Kind::Owner | Kind::Context | Kind::Life => one.key().name() != context.as_str(),
        Kind::Job => !one.key().as_str().contains(&format!("/{context}/")),
        Kind::Done | Kind::Place | Kind::Key => false,
        _ => true,
    };
    let foreign = shape.operations.iter().any(foreign);
    need(
        !foreign,
        "driver writes others'",
        "a driver writes what is not its own (W2)",
    )
}

/// The cluster's own records.
fn cluster(shape: &Shape<'_>) -> Broken {
    let takes = shape.puts(Kind::Singleton);
    if takes && !(shape.guards(Kind::Cluster) && shape.guards(Kind::Singleton)) {
        return Some((
            "office",
            "the office is taken without guards on it and `cluster` (S2)",
        ));
    }
    if takes && !shape.puts(Kind::Pulse) {
        return Some(("pulse", "the office is taken without raising `pulse` (S9)"));
    }
    if shape.puts(Kind::Pulse) && !shape.guards(Kind::Singleton) {
        return Some(("pulse fence", "`pulse` is raised without the fence (W2)"));
    }
    if shape.puts(Kind::Challenge) && !(shape.guards(Kind::Singleton) && shape.guards(Kind::Pulse))
    {
        return Some((
            "challenge",
            "a challenge without guards on office and `pulse` (S5)",
        ));
    }
    if shape.puts(Kind::Split) && !shape.guards(Kind::Cluster) {
        return Some((
            "split",
            "an announcement without a guard on `cluster` (R4, W3)",
        ));
    }
    let founds = shape.creates(Kind::Cluster);
    let whole = [Kind::Singleton, Kind::Pulse, Kind::Challenge, Kind::Split];
    need(
        !founds || whole.iter().all(|kind| shape.creates(*kind)),
        "founding",
        "a cluster is founded without all of its records (F3)",
    )
}

/// Calls, contexts and jobs.
fn records(shape: &Shape<'_>) -> Broken {
    let decided = [
        Kind::Context,
        Kind::Ended,
        Kind::Name,
        Kind::LastName,
        Kind::Owner,
        Kind::Life,
        Kind::Done,
    ];
    let decides = decided.iter().any(|kind| shape.writes(*kind))
        || shape.puts(Kind::Call)
        || shape.deletes(Kind::Settled)
        || (shape.creates(Kind::Settled) && !expires(shape));
    let fenced = shape.guards(Kind::Singleton);
    if decides && !fenced {
        return Some(("holder without fence", "a decision without the fence (W2)"));
    }
    if shape.creates(Kind::Settled) && !shape.deletes(Kind::Call) {
        return Some(("settling", "a call is settled beside its record (C1)"));
    }
    if shape.creates(Kind::Call) && !shape.checks_absent(Kind::Settled) {
        return Some(("call", "a call is written that may be settled already (W4)"));
    }
    if shape.creates(Kind::Job) && !(shape.guards(Kind::Owner) && shape.checks_absent(Kind::Done)) {
        return Some(("job", "a job is written without its guards (J1, W3)"));
    }
    if shape.creates(Kind::Context) {
        let whole = [Kind::Name, Kind::Owner, Kind::Life];
        let whole = whole.iter().all(|kind| shape.creates(*kind));
        return need(
            whole && shape.guards(Kind::Call),
            "creation",
            "a context is made without its records, or beside its call (C2, C3)",
        );
    }
    if shape.deletes(Kind::Context) {
        let gone = [Kind::Name, Kind::Owner, Kind::Life];
        let gone = gone.iter().all(|kind| shape.deletes(*kind));
        return need(
            gone && shape.creates(Kind::Ended),
            "end of a context",
            "a context ends, and some of its records do not (C3, J5)",
        );
    }
    if shape.puts(Kind::Owner) && !shape.puts(Kind::Context) {
        return Some(("owner", "an owner changes beside its context (E2, J5)"));
    }
    let goes_with = shape.creates(Kind::Call) || shape.creates(Kind::Job);
    need(
        !shape.creates(Kind::Key) || goes_with,
        "key",
        "a key is made without its call or job (C5)",
    )
}

/// Whether the settled call of a transaction is an expired one, which any server may write (C4).
fn expires(shape: &Shape<'_>) -> bool {
    shape.any(Kind::Settled, |one| {
        let Operation::Create { value, .. } = one else {
            return false;
        };
        let record: Option<CallRecord> = serde_json::from_str(value).ok();
        record.is_some_and(|record| {
            matches!(
                record.progress,
                CallState::Settled {
                    outcome: CallOutcome::Expired
                }
            )
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::history::{
        History, driver, job_record, layout, office, owner, pulse, server,
    };
    use doyen_core::identity::JobId;
    use doyen_core::records::encode;
    use doyen_core::records::job::JobState;
    use doyen_core::records::key;
    use doyen_core::records::transaction::{Transaction, Version};

    #[test]
    fn what_carries_its_guards_is_fine() {
        let mut history = History::cluster(Guards, vec![]);
        history.creates_call(&server(2, 1), "c");
        history.claims(&server(2, 1), &server(2, 1));
        history.challenges(&server(3, 1)).announces(&server(3, 1));
        assert_eq!(history.verdict(), Ok(()));
    }

    #[test]
    fn a_server_that_drops_one_guard_is_seen_even_when_it_is_refused() {
        let none = || doyen_core::records::transaction::TransactionId("t".into());
        let bare = || Transaction::new(none());
        let two = server(2, 1);
        let id = ContextId::new("a");
        for (transaction, rule) in [
            (
                bare()
                    .put(layout().singleton(), office(2, &two), Version(9))
                    .put_any(layout().pulse(), pulse(2, 0)),
                "office",
            ),
            (
                bare()
                    .put(layout().singleton(), office(2, &two), Version(9))
                    .check(key::cluster(), Version(3)),
                "pulse",
            ),
            (bare().put_any(layout().pulse(), pulse(1, 1)), "pulse fence"),
            (
                bare().put(layout().split(), "{}".into(), Version(0)),
                "split",
            ),
            (
                bare().put(layout().context(&id), "{}".into(), Version(0)),
                "holder without fence",
            ),
            (
                bare()
                    .check(layout().singleton(), Version(0))
                    .put_any(layout().context(&id), "{}".into()),
                "unguarded",
            ),
            (
                bare().create(layout().job(&id, &JobId::new("j")), "{}".into()),
                "job",
            ),
        ] {
            let mut history = History::cluster(Guards, vec![]);
            history.commits(&two, &transaction);
            assert_eq!(history.fails(), format!("sane_records/{rule}"));
        }
    }

    #[test]
    fn a_driver_writes_under_its_fence_and_only_its_own() {
        let id = ContextId::new("a");
        let job = encode(&job_record("a", "j", JobState::Running));
        let (one, other) = (layout().job(&id, &JobId::new("j")), ContextId::new("b"));
        let none = || doyen_core::records::transaction::TransactionId("t".into());
        for (transaction, rule) in [
            (
                Transaction::new(none()).put(one.clone(), job.clone(), Version(0)),
                Some("driver without fence"),
            ),
            (
                Transaction::new(none()).put(layout().owner(&id), owner(1, Some(1)), Version(0)),
                Some("taking"),
            ),
            (
                Transaction::new(none()).check(layout().owner(&other), Version(0)),
                Some("driver writes others'"),
            ),
            (
                Transaction::new(none())
                    .check(layout().owner(&id), Version(0))
                    .put(one, job, Version(0)),
                None,
            ),
        ] {
            let mut history = History::cluster(Guards, vec![]);
            history.launches(1, "a", 1, 1);
            history.commits(&driver(1), &transaction);
            let found = history.verdict().err().map(|one| one.fingerprint);
            assert_eq!(found, rule.map(|rule| format!("sane_records/{rule}")));
        }
    }
}
