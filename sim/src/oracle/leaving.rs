//! `leaving` (of `no_lost_call`): a server that was told to leave is gone within `leave-bound`,
//! whatever the others do, and has given its office away if anybody could take it.
//!
//! Envelope: the bound on its own clock, while it runs. The grant: in calm. Source: protocol.md S3.

use super::facts::{Facts, Life};
use super::report::claim;
use super::{Oracle, Violation, envelope, kinds};
use crate::trace::seen::{Ended, NodeId, Seen};
use doyen_core::identity::Incarnation;
use doyen_core::input::{Command, Input};
use doyen_core::output::StopReason;
use doyen_core::time::Time;
use std::collections::BTreeMap;
use std::time::Duration;

const NAME: &str = "leaving";
/// The look of this oracle once a second, and room.
const ROOM: Duration = Duration::from_secs(3);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    /// Who leaves: since when, on its own clock and on the world's.
    told: BTreeMap<NodeId, (Incarnation, Time, Time)>,
}

impl Oracle for Leaving {
    fn name(&self) -> &'static str {
        NAME
    }

    fn listens(&self) -> u32 {
        kinds::COMMAND | kinds::LIFE | kinds::VIEWS
    }

    fn seen(&mut self, at: Time, seen: &Seen<'_>, facts: &Facts) -> Result<(), Violation> {
        match seen {
            Seen::Input {
                node,
                clock,
                input: Input::Command(Command::Leave),
            } => {
                if let Some(life) = facts.at_node(*node) {
                    let told = (life.identity.incarnation, *clock, at);
                    self.told.entry(*node).or_insert(told);
                }
            }
            Seen::Ended {
                node,
                identity,
                how,
            } => {
                let told = self.told.remove(node);
                let left = matches!(how, Ended::Stopped(StopReason::Left));
                if let Some((_, _, since)) = told.filter(|_| left) {
                    let holds = facts.holder() == Some(identity);
                    let since_long = |life: &Life| {
                        life.lives() && life.began.after(facts.times.detection) < since
                    };
                    let heir = facts.roster().is_some_and(|roster| {
                        let mut others = roster.listed.iter().filter(|one| **one != **identity);
                        others.any(|one| facts.life(one.incarnation).is_some_and(since_long))
                    });
                    let span = at.since(since).saturating_add(facts.times.detection);
                    let calm = facts.envelope.free_of(
                        at,
                        span,
                        envelope::ANY & !envelope::ORDERLY & !envelope::LAUNCH,
                    );
                    claim!(
                        NAME,
                        at,
                        !(holds && heir && calm),
                        "kept the office",
                        "{} left with the office, though others could take it",
                        facts.name(identity)
                    );
                }
            }
            Seen::Views { .. } => {
                for (node, (incarnation, since, _)) in &self.told {
                    let life = facts.at_node(*node);
                    let Some(life) = life.filter(|one| one.identity.incarnation == *incarnation)
                    else {
                        continue;
                    };
                    let bound = facts.times.leave_bound.saturating_add(ROOM);
                    let classes = envelope::STOPPED | envelope::CLOCK;
                    let runs = facts.envelope.spared(at, ROOM, classes, *node);
                    let took = life.clock.since(*since);
                    claim!(
                        NAME,
                        at,
                        took <= bound || !runs || facts.mixed,
                        "stays",
                        "{} was told to leave {took:?} ago and is still there",
                        life.name
                    );
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::history::{History, server};

    fn leaves(number: u16) -> History {
        let mut history = History::cluster(Leaving::default(), vec![]);
        history.wait(60_000);
        history.input(number, &Input::Command(Command::Leave));
        history
    }

    #[test]
    fn who_leaves_is_gone_within_its_bound() {
        for (millis, good) in [(10_000, true), (15_000, false)] {
            let mut history = leaves(3);
            history.wait(millis).input(3, &Input::Timeout).looks();
            assert_eq!(history.verdict().is_ok(), good, "{millis} ms");
        }
    }

    #[test]
    fn a_holder_gives_its_office_away_first() {
        let left = Ended::Stopped(StopReason::Left);
        let mut history = leaves(1);
        history.wait(3_000).ends(&server(1, 1), &left);
        assert_eq!(history.fails(), "leaving/kept the office");
        let mut history = leaves(1);
        history.wait(2_000).claims(&server(1, 1), &server(2, 1));
        history.wait(1_000).ends(&server(1, 1), &left);
        assert_eq!(history.verdict(), Ok(()));
    }
}
