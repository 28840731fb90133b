//! `sane_records`: every committed write leaves the store sane. Records can be read; numbers only
//! rise; states move as they may; what is final never changes; names are held by exactly the
//! contexts that are not final; nothing of a context that is over is left open.
//!
//! Envelope: always. Source: protocol.md W3 to W6, C1 to C5, J1 to J5, E2, B1; lifecycle.md 2.

use super::facts::Facts;
use super::records::{Change, Records, Step};
use super::report::violation;
use super::{Oracle, Violation, kinds};
use crate::trace::seen::Seen;
use doyen_core::identity::{CallId, ContextId, JobId, Role};
use doyen_core::records::call::{CallOutcome, CallRecord, CallState};
use doyen_core::records::context::{
    ContextRecord, ContextState, DriverPhase, LifeRecord, OwnerRecord,
};
use doyen_core::records::job::{JobRecord, JobState};
use doyen_core::time::Time;
use std::collections::BTreeSet;

const NAME: &str = "sane_records";

/// See the module.
#[derive(Debug, Default)]
pub(super) struct SaneRecords {
    transactions: BTreeSet<String>,
    settled: BTreeSet<CallId>,
    done: BTreeSet<JobId>,
    ended: BTreeSet<ContextId>,
}

/// What is wrong with a write.
type Fault = (&'static str, String);

impl Oracle for SaneRecords {
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
        if facts.changes.is_empty() {
            return Ok(());
        }
        let by = facts.life(written.by.incarnation);
        let found = if self.transactions.insert(written.transaction.id.0.clone()) {
            self.written(facts, by.is_some_and(|life| life.role == Role::Driver))
        } else {
            let text = format!(
                "transaction {} is carried out twice",
                written.transaction.id.0
            );
            Err(("twice", text))
        };
        found.map_err(|(rule, what)| {
            let text = format!("{}, written by {}", what, facts.name(written.by));
            violation(NAME, at, rule, text)
        })
    }
}

impl SaneRecords {
    fn written(&mut self, facts: &Facts, by_driver: bool) -> Result<(), Fault> {
        let records = &facts.records;
        let mut contexts_moved = false;
        for change in &facts.changes {
            match change {
                Change::Damaged(key, why) => {
                    return Err(("damaged", format!("`{key}` cannot be read: {why}")));
                }
                Change::Pulse(step) => pulse(step, records)?,
                Change::Challenge(step) => {
                    let epochs = (
                        step.was().map(|one| one.epoch),
                        step.now().map(|one| one.epoch),
                    );
                    rises("challenge", "its epoch", epochs)?;
                }
                Change::Split(step) => {
                    let of = |one: &doyen_core::records::singleton::SplitRecord| one.generation;
                    let both = (step.was().map(of), step.now().map(of));
                    rises("split", "its generation", both)?;
                }
                Change::Call(id, step) => call(id, step, records)?,
                Change::Settled(id, step) => self.settled(id, step, records)?,
                Change::Key(digest, step) => {
                    if let (Some(old), Some(new)) = (step.was(), step.now()) {
                        let same = old.object == new.object && old.request == new.request;
                        need(same, "key", || {
                            format!("key {digest} was given to another request")
                        })?;
                    }
                }
                Change::Context(id, step) => {
                    contexts_moved = true;
                    context(id, step, records)?;
                }
                Change::Name(..) => contexts_moved = true,
                Change::Ended(id, step) => self.ended(id, step)?,
                Change::Owner(id, step) => owner(id, step, by_driver, records)?,
                Change::Life(id, step) => life(id, step, records)?,
                Change::Job(id, step) => job(id, step, records)?,
                Change::Done(id, step) => self.done(id, step)?,
                Change::Cluster(_)
                | Change::Singleton(_)
                | Change::LastName(..)
                | Change::Place(..)
                | Change::Other(_) => {}
            }
        }
        if contexts_moved {
            names(records)?;
        }
        Ok(())
    }

    fn settled(
        &mut self,
        id: &CallId,
        step: &Step<CallRecord>,
        records: &Records,
    ) -> Result<(), Fault> {
        let Some(new) = step.now() else {
            return Ok(()); // Cleaned up.
        };
        need(
            step.before.is_none() && self.settled.insert(id.clone()),
            "settled twice",
            || format!("call {id} is settled a second time, as {:?}", new.progress),
        )?;
        let CallState::Settled { outcome } = &new.progress else {
            return Err((
                "settled",
                format!("call {id} lies under settled/ as {:?}", new.progress),
            ));
        };
        need(!records.calls.contains_key(id), "settled", || {
            format!("call {id} is settled and open")
        })?;
        let holds = match outcome {
            CallOutcome::ContextCreated { context } => records
                .contexts
                .get(context)
                .is_some_and(|one| one.value.state == ContextState::Running),
            CallOutcome::ContextStopped { context }
            | CallOutcome::ContextFailed { context, .. } => records.ended.contains_key(context),
            CallOutcome::StopInProgress { context } => records.contexts.contains_key(context),
            CallOutcome::ContextExists => records.names.contains_key(new.operation.context_name()),
            CallOutcome::ContextNotFound => {
                !records.names.contains_key(new.operation.context_name())
            }
            CallOutcome::TooMany { .. } | CallOutcome::Expired => true,
        };
        need(holds, "outcome", || {
            format!("call {id} is settled as {outcome:?}, which the records do not bear out")
        })
    }

    fn ended(&mut self, id: &ContextId, step: &Step<ContextRecord>) -> Result<(), Fault> {
        let Some(new) = step.now() else { return Ok(()) };
        need(
            step.before.is_none() && self.ended.insert(id.clone()),
            "final",
            || format!("final context {id} is written a second time"),
        )?;
        need(new.state.is_final() && new.ended.is_some(), "final", || {
            format!("context {id} lies under ended/ as {:?}", new.state)
        })
    }

    fn done(&mut self, id: &JobId, step: &Step<JobRecord>) -> Result<(), Fault> {
        let Some(new) = step.now() else { return Ok(()) };
        need(
            step.before.is_none() && self.done.insert(id.clone()),
            "final",
            || format!("final job {id} is written a second time"),
        )?;
        need(new.state.is_final() && new.ended.is_some(), "final", || {
            format!("job {id} lies under done/ as {:?}", new.state)
        })
    }
}

fn need(holds: bool, rule: &'static str, what: impl Fn() -> String) -> Result<(), Fault> {
    if holds { Ok(()) } else { Err((rule, what())) }
}

fn rises<T: PartialOrd + std::fmt::Debug>(
    record: &str,
    what: &str,
    (old, new): (Option<T>, Option<T>),
) -> Result<(), Fault> {
    need(new.is_some() && old <= new, "back", || {
        format!("`{record}` was deleted, or {what} went from {old:?} to {new:?}")
    })
}

fn pulse(
    step: &Step<doyen_core::records::singleton::PulseRecord>,
    records: &Records,
) -> Result<(), Fault> {
    // Its count may go back: a commit whose answer was lost may be carried out late.
    let of = |one: &doyen_core::records::singleton::PulseRecord| one.epoch;
    let both = (step.was().map(of), step.now().map(of));
    rises("pulse", "its epoch", both)?;
    let epoch = records.singleton.as_ref().map(|one| one.value.epoch);
    need(step.now().map(|one| one.epoch) == epoch, "pulse", || {
        format!("`pulse` is raised for another epoch than {epoch:?}")
    })
}

fn call(id: &CallId, step: &Step<CallRecord>, records: &Records) -> Result<(), Fault> {
    let state = |one: &CallRecord| one.progress.clone();
    match (step.was().map(state), step.now().map(state)) {
        (None | Some(CallState::Open), Some(CallState::Open)) if step.before.is_none() => Ok(()),
        (Some(CallState::Open), Some(CallState::Accepted { context, .. })) => {
            need(records.contexts.contains_key(&context), "call", || {
                format!("call {id} is accepted for context {context}, which does not exist")
            })
        }
        (Some(old), None) => {
            let settled = records.settled.get(id);
            let expired = settled.is_some_and(|one| {
                one.value.progress
                    == CallState::Settled {
                        outcome: CallOutcome::Expired,
                    }
            });
            // An accepted call does not expire (C4).
            need(
                settled.is_some() && !(expired && old != CallState::Open),
                "call",
                || format!("call {id} was {old:?} and is gone, settled as {settled:?}"),
            )
        }
        (None, None) => Ok(()),
        (old, new) => Err(("call", format!("call {id} went from {old:?} to {new:?}"))),
    }
}

fn context(id: &ContextId, step: &Step<ContextRecord>, records: &Records) -> Result<(), Fault> {
    use ContextState::{Running, Started, Stopping};
    let (old, new) = (step.was(), step.now());
    if let Some(new) = new {
        need(new.id == *id && !new.state.is_final(), "context", || {
            format!("context {id} lies under context/ as {:?}", new.state)
        })?;
    }
    match (old, new) {
        (None, Some(new)) => need(
            new.state == Started && new.intent.is_some(),
            "context",
            || format!("context {id} begins as {:?}", new.state),
        ),
        (Some(old), Some(new)) => {
            let moves = old.state == new.state
                || matches!(
                    (old.state, new.state),
                    (Started, Running | Stopping) | (Running, Stopping)
                );
            need(
                moves && (old.ending.is_none() || old.ending == new.ending),
                "context",
                || {
                    format!(
                        "context {id} went from {:?} ({:?}) to {:?} ({:?})",
                        old.state, old.ending, new.state, new.ending
                    )
                },
            )?;
            let same = (&old.name, &old.user, &old.settings, old.started)
                == (&new.name, &new.user, &new.settings, new.started);
            need(same, "context", || {
                format!("context {id} became another one")
            })?;
            let numbers = [old, new].map(|one| one.intent.as_ref().map(|one| one.number));
            let [before, after] = numbers;
            need(after.is_none() || before <= after, "back", || {
                format!("the intent of context {id} went from {before:?} to {after:?}")
            })
        }
        (Some(old), None) => {
            let ended = records.ended.get(id).map(|one| one.value.state);
            need(ended.is_some() && ended == old.ending, "context", || {
                format!(
                    "context {id} was ending as {:?} and ended as {ended:?}",
                    old.ending
                )
            })?;
            let left = records.owners.contains_key(id) || records.lives.contains_key(id);
            let open = |job: &JobRecord| job.context == *id && !job.state.is_final();
            let jobs = records.jobs.values().find(|job| open(&job.value));
            need(!left && jobs.is_none(), "left behind", || {
                format!("context {id} is over, but its owner, life or {jobs:?} is left")
            })
        }
        (None, None) => Ok(()),
    }
}

fn names(records: &Records) -> Result<(), Fault> {
    let held = |(id, context): (
        &ContextId,
        &std::rc::Rc<super::records::Held<ContextRecord>>,
    )| {
        let name = records.names.get(&context.value.name);
        name.is_some_and(|name| name.value.context == *id)
            && records.owners.contains_key(id)
            && records.lives.contains_key(id)
    };
    let count = records.contexts.len();
    let whole = records.names.len() == count
        && records.owners.len() == count
        && records.lives.len() == count
        && records.contexts.iter().all(held);
    need(whole, "names", || {
        format!(
            "names {:?} and owners {:?} do not belong to the live contexts {:?}",
            records.names.keys(),
            records.owners.keys(),
            records.contexts.keys()
        )
    })
}

fn owner(
    id: &ContextId,
    step: &Step<OwnerRecord>,
    by_driver: bool,
    records: &Records,
) -> Result<(), Fault> {
    let (Some(old), Some(new)) = (step.was(), step.now()) else {
        return Ok(());
    };
    let driver = |one: &OwnerRecord| one.owner.as_ref().map(|owner| owner.driver);
    let legal = match (driver(old), driver(new)) {
        (None, Some(_)) => by_driver && new.intent == old.intent,
        (None, None) | (Some(_), None) => !by_driver && new.intent > old.intent,
        (Some(_), Some(_)) => false,
    };
    need(legal, "owner", || {
        format!(
            "the owner of context {id} went from {:?} under intent {:?} to {:?} under {:?}",
            driver(old),
            old.intent,
            driver(new),
            new.intent
        )
    })?;
    let known = records
        .contexts
        .get(id)
        .and_then(|one| one.value.intent.as_ref());
    // A stop has a number of its own, which the owner record does not take over.
    need(
        known.is_none_or(|intent| intent.number >= new.intent),
        "back",
        || {
            format!(
                "the owner of context {id} has intent {:?}, its context {known:?}",
                new.intent
            )
        },
    )
}

fn life(id: &ContextId, step: &Step<LifeRecord>, records: &Records) -> Result<(), Fault> {
    let (Some(old), Some(new)) = (step.was(), step.now()) else {
        return Ok(());
    };
    let rank = |one: &LifeRecord| match one.phase {
        DriverPhase::Silent => 0,
        DriverPhase::Starting => 1,
        DriverPhase::Ready { .. } => 2,
        DriverPhase::Ended { .. } => 3,
    };
    let same = old.driver == new.driver;
    need(
        new.count > old.count && (!same || rank(old) <= rank(new)),
        "life",
        || format!("the life of context {id} went from {old:?} to {new:?}"),
    )?;
    let owner = records
        .owners
        .get(id)
        .and_then(|one| one.value.owner.as_ref());
    need(owner.map(|one| one.driver) == new.driver, "life", || {
        format!(
            "the life of context {id} is written by {:?}, its owner is {owner:?}",
            new.driver
        )
    })
}

fn job(id: &JobId, step: &Step<JobRecord>, records: &Records) -> Result<(), Fault> {
    match (step.was(), step.now()) {
        (None, Some(new)) => {
            let context = records.owners.get(&new.context);
            let owned = context.is_some_and(|one| one.value.owner.is_some());
            need(new.state == JobState::Submitted && owned, "job", || {
                format!(
                    "job {id} begins as {:?} in context {}",
                    new.state, new.context
                )
            })
        }
        (Some(old), Some(new)) => {
            let moves = old.state == new.state && !old.state.is_final()
                || matches!(
                    (&old.state, &new.state),
                    (
                        JobState::Submitted,
                        JobState::Running | JobState::Refused { .. }
                    )
                );
            let changed = [
                ("state", !moves),
                ("context", old.context != new.context),
                ("main_class", old.main_class != new.main_class),
                ("config", old.config != new.config),
                ("key", old.key != new.key),
                ("started", old.started != new.started),
                ("kill", old.kill && !new.kill),
            ];
            let changed: Vec<_> = changed
                .iter()
                .filter(|one| one.1)
                .map(|one| one.0)
                .collect();
            need(changed.is_empty(), "job", || {
                format!(
                    "job {id} went from {:?} to {:?}, and changed {changed:?}",
                    old.state, new.state
                )
            })
        }
        (Some(old), None) => {
            let done = records.done.contains_key(id);
            let refused = matches!(old.state, JobState::Refused { .. });
            need(done != refused, "job", || {
                format!(
                    "job {id} was {:?} and is gone; done/ has it: {done}",
                    old.state
                )
            })
        }
        (None, None) => Ok(()),
    }
}

#[cfg(test)]
#[path = "sane_records_tests.rs"]
mod tests;
