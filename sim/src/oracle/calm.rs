//! `calm` (of `agreement` and `someone_survives`): while nothing goes wrong, nothing moves: nobody
//! is unreachable, challenged, proved dead or left out; the office stays; nobody steps down or
//! finds the store out of reach.
//!
//! Envelope: nothing has been about for as long as the servers may take to settle; starts and
//! orderly leaves count as something. Source: protocol.md R, S1, S5; design.md 5.

use super::facts::Facts;
use super::records::Change;
use super::report::claim;
use super::{Oracle, Violation, kinds, legitimacy};
use crate::trace::seen::Seen;
use doyen_core::identity::Role;
use doyen_core::output::{ClusterEvent, Output, StopReason};
use doyen_core::time::Time;

const NAME: &str = "calm";

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Calm {
    /// When the cluster was founded: from then on the others join.
    founded: Option<Time>,
}

impl Oracle for Calm {
    fn name(&self) -> &'static str {
        NAME
    }

    fn listens(&self) -> u32 {
        kinds::EVENT | kinds::STORE | kinds::STOP
    }

    fn seen(&mut self, at: Time, seen: &Seen<'_>, facts: &Facts) -> Result<(), Violation> {
        let name = |node| {
            facts
                .last_at_node(node)
                .map_or("", |life| life.name.as_str())
        };
        match seen {
            Seen::Output {
                node,
                output: Output::Event(event),
            } => {
                let moves = moves(event);
                claim!(
                    NAME,
                    at,
                    !moves || !self.is_calm(at, facts),
                    "event",
                    "{} says {event:?}, though nothing goes wrong",
                    name(*node)
                );
            }
            Seen::Output {
                node,
                output: Output::Stop(reason),
            } => {
                let server = facts
                    .last_at_node(*node)
                    .filter(|life| life.role == Role::Server);
                let goes = server.is_some() && *reason != StopReason::Left;
                claim!(
                    NAME,
                    at,
                    !goes || !self.is_calm(at, facts),
                    "stop",
                    "{} stops ({reason:?}), though nothing goes wrong",
                    name(*node)
                );
            }
            Seen::Store(written) => {
                // The founding may take its turn, however long nothing goes wrong.
                let founds = facts
                    .changes
                    .iter()
                    .any(|change| matches!(change, Change::Cluster(step) if step.before.is_none()));
                if founds {
                    self.founded = Some(at);
                }
                let moves = facts.changes.iter().any(|change| match change {
                    Change::Cluster(step) => step.before.is_some(),
                    Change::Singleton(step) => step.before.is_some(),
                    _ => false,
                });
                claim!(
                    NAME,
                    at,
                    !moves || !self.is_calm(at, facts),
                    "move",
                    "{} changes the roster or the office, though nothing goes wrong",
                    facts.name(written.by)
                );
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether an event tells that something moved that stays in calm.
const fn moves(event: &ClusterEvent) -> bool {
    match event {
        ClusterEvent::Unreachable { .. }
        | ClusterEvent::Reachable { .. }
        | ClusterEvent::Challenged { .. }
        | ClusterEvent::ProofOfDeath { .. }
        | ClusterEvent::SteppedDown { .. }
        | ClusterEvent::Refounded { .. }
        | ClusterEvent::StoreReachable { reachable: false } => true,
        ClusterEvent::Founded { .. }
        | ClusterEvent::Listed { .. }
        | ClusterEvent::RosterChanged { .. }
        | ClusterEvent::SingletonMoved { .. }
        | ClusterEvent::OfficeTaken { .. }
        | ClusterEvent::OfficeReady { .. }
        | ClusterEvent::Warning { .. }
        | ClusterEvent::StoreReachable { reachable: true }
        | ClusterEvent::AttemptEnded { .. } => false,
    }
}

impl Calm {
    fn is_calm(&self, at: Time, facts: &Facts) -> bool {
        let bound = legitimacy::membership_bound(facts);
        let settled = self.founded.is_some_and(|then| at.since(then) >= bound);
        !facts.mixed && settled && facts.calm_for(bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::history::{History, server};

    fn after(millis: u64) -> History {
        let mut history = History::cluster(Calm::default(), vec![]);
        history.wait(millis);
        history
    }

    #[test]
    fn nothing_moves_in_calm() {
        let member = server(3, 1);
        for (millis, good) in [(10_000, true), (100_000, false)] {
            let mut history = after(millis);
            let member = member.clone();
            history.event(1, ClusterEvent::Unreachable { member });
            assert_eq!(history.verdict().is_ok(), good, "{millis} ms");
        }
        let two = server(2, 1);
        let mut history = after(100_000);
        history.claims(&two, &two);
        assert_eq!(history.fails(), "calm/move");
        let mut history = after(100_000);
        history.output(3, &Output::Stop(StopReason::Reincarnate));
        assert_eq!(history.fails(), "calm/stop");
    }

    #[test]
    fn who_joins_a_late_founder_has_time_for_it() {
        let (one, two) = (server(1, 1), server(2, 1));
        for (millis, good) in [(10_000, true), (100_000, false)] {
            let mut history = History::new(Calm::default(), vec![]);
            history.begins(1, 1).begins(2, 1).wait(100_000).founds(&one);
            history.wait(millis);
            history.rosters(&one, 2, vec![one.clone(), two.clone()]);
            assert_eq!(history.verdict().is_ok(), good, "{millis} ms");
        }
    }

    #[test]
    fn a_death_ends_the_calm() {
        let mut history = after(100_000);
        history.dies(&server(3, 1));
        let member = server(3, 1);
        history.event(1, ClusterEvent::Unreachable { member });
        assert_eq!(history.verdict(), Ok(()));
    }
}
