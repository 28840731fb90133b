//! `single_effective_singleton`: no two writes are accepted under one epoch by two holders, and
//! accepted epochs never go back; who has not read all open records since it took the office
//! decides nothing (S9).
//!
//! Envelope: always. Source: design.md 5; protocol.md W1, W2, S2, S9.

use super::facts::Facts;
use super::records::Change;
use super::report::claim;
use super::{Oracle, Violation, kinds};
use crate::trace::seen::Seen;
use doyen_core::identity::{Identity, Incarnation, Role};
use doyen_core::output::{ClusterEvent, Output};
use doyen_core::records::call::{CallOutcome, CallState};
use doyen_core::records::job::JobState;
use doyen_core::records::singleton::Epoch;
use doyen_core::time::Time;
use std::collections::BTreeMap;

const NAME: &str = "single_effective_singleton";

/// See the module.
#[derive(Debug, Default)]
pub(super) struct SingleEffectiveSingleton {
    ready: BTreeMap<Incarnation, Epoch>,
}

/// What a server's write decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weight {
    /// Nothing: requests, rosters.
    Nothing,
    /// It needs the office.
    Office,
    /// It decides about contexts, calls and jobs: it needs the office, and to have read.
    Decision,
}

/// What a change by a server decides.
pub(super) fn weight(change: &Change) -> Weight {
    let decides = match change {
        Change::Pulse(step) => {
            return if step.before.is_some() {
                Weight::Office
            } else {
                Weight::Nothing
            };
        }
        Change::Context(..)
        | Change::Ended(..)
        | Change::Name(..)
        | Change::LastName(..)
        | Change::Owner(..)
        | Change::Life(..)
        | Change::Done(..) => true,
        Change::Call(_, step) => step
            .now()
            .is_some_and(|call| matches!(call.progress, CallState::Accepted { .. })),
        Change::Settled(_, step) => step.now().is_none_or(|call| {
            !matches!(
                call.progress,
                CallState::Settled {
                    outcome: CallOutcome::Expired
                }
            )
        }),
        Change::Job(_, step) => step.now().is_some_and(|job| {
            !matches!(job.state, JobState::Submitted)
                && step.was().is_some_and(|old| old.state != job.state)
        }),
        _ => false,
    };
    if decides {
        Weight::Decision
    } else {
        Weight::Nothing
    }
}

impl Oracle for SingleEffectiveSingleton {
    fn name(&self) -> &'static str {
        NAME
    }

    fn listens(&self) -> u32 {
        kinds::EVENT | kinds::STORE
    }

    fn seen(&mut self, at: Time, seen: &Seen<'_>, facts: &Facts) -> Result<(), Violation> {
        match seen {
            Seen::Output {
                node,
                output: Output::Event(ClusterEvent::OfficeReady { epoch }),
            } => {
                if let Some(life) = facts.last_at_node(*node) {
                    self.ready.insert(life.identity.incarnation, *epoch);
                }
                Ok(())
            }
            Seen::Store(written) if !facts.changes.is_empty() => {
                self.written(at, written.by, facts)
            }
            _ => Ok(()),
        }
    }
}

impl SingleEffectiveSingleton {
    fn written(&self, at: Time, by: &Identity, facts: &Facts) -> Result<(), Violation> {
        let mut taken = None;
        for change in &facts.changes {
            if let Change::Singleton(step) = change {
                let before = step.was().map_or(Epoch(0), |old| old.epoch);
                let Some(new) = step.now() else {
                    claim!(
                        NAME,
                        at,
                        false,
                        "deleted",
                        "`singleton` was deleted by {by}"
                    );
                    continue;
                };
                claim!(
                    NAME,
                    at,
                    new.epoch == before.next(),
                    "epoch",
                    "epoch {} was followed by {}, written by {}",
                    before,
                    new.epoch,
                    facts.name(by)
                );
                taken = Some(step);
            }
        }
        let is_server = facts
            .life(by.incarnation)
            .is_some_and(|life| life.role == Role::Server);
        let weight = facts.changes.iter().map(weight).max();
        if !is_server || weight.is_none_or(|one| one == Weight::Nothing) {
            return Ok(());
        }
        let holds = facts.holder() == Some(by)
            || taken.is_some_and(|step| step.was().is_some_and(|old| old.holder == *by))
            // Whoever takes the office raises `pulse` in the same transaction.
            || (taken.is_some() && weight == Some(Weight::Office));
        claim!(
            NAME,
            at,
            holds,
            "not the holder",
            "{} decided something, but the office is {}'s: {:?}",
            facts.name(by),
            facts
                .holder()
                .map_or_else(|| "nobody".to_owned(), |one| facts.name(one)),
            kinds_of(&facts.changes)
        );
        let epoch = facts.records.singleton.as_ref().map(|one| one.value.epoch);
        claim!(
            NAME,
            at,
            weight != Some(Weight::Decision) || self.ready.get(&by.incarnation).copied() == epoch,
            "not ready",
            "{} decided something under epoch {} before it had read the open records: {:?}",
            facts.name(by),
            epoch.unwrap_or_default(),
            kinds_of(&facts.changes)
        );
        Ok(())
    }
}

/// What changes are about, for people.
pub(super) fn kinds_of(changes: &[Change]) -> Vec<String> {
    let word = |change: &Change| {
        let text = format!("{change:?}");
        let end = text.find(['(', ' ']).unwrap_or(text.len());
        text.get(..end).unwrap_or_default().to_owned()
    };
    changes.iter().map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::history::{History, layout, pulse, server};

    fn cluster() -> History {
        History::cluster(SingleEffectiveSingleton::default(), vec![])
    }

    #[test]
    fn a_holder_that_is_ready_decides_until_the_office_moves() {
        let mut history = cluster();
        history.creates_context(&server(1, 1), "a");
        history.claims(&server(2, 1), &server(2, 1));
        history.event(2, ClusterEvent::OfficeReady { epoch: Epoch(2) });
        history.creates_context(&server(2, 1), "b");
        assert_eq!(history.verdict(), Ok(()));
    }

    #[test]
    fn a_write_of_somebody_else_than_the_holder_is_a_violation() {
        let mut history = cluster();
        history.creates_context(&server(2, 1), "a");
        assert_eq!(history.fails(), "single_effective_singleton/not the holder");
        let mut history = cluster();
        history.claims(&server(2, 1), &server(2, 1));
        let raised = history.transaction().put_any(layout().pulse(), pulse(1, 9));
        history.writes(&server(1, 1), &raised);
        assert_eq!(history.fails(), "single_effective_singleton/not the holder");
    }

    #[test]
    fn a_holder_that_has_not_read_decides_nothing() {
        let mut history = cluster();
        history.claims(&server(2, 1), &server(2, 1));
        history.creates_context(&server(2, 1), "a");
        assert_eq!(history.fails(), "single_effective_singleton/not ready");
    }

    #[test]
    fn an_epoch_that_does_not_follow_its_predecessor_is_a_violation() {
        let mut history = cluster();
        let office = crate::oracle::history::office(3, &server(2, 1));
        let skipping = history.transaction().put_any(layout().singleton(), office);
        history.writes(&server(2, 1), &skipping);
        assert_eq!(history.fails(), "single_effective_singleton/epoch");
    }
}
