//! `someone_survives`: a decided split leaves a side that can serve; one fault never ends all; one
//! bad link or one bad server never ends two.
//!
//! Envelope: that the new roster lists its writer or somebody who lives: always. The rest: until a
//! second fault of the schedule begins; two for one: where a lone oldest yields (`down-if-alone`), by
//! every server's settings. Source: design.md 5; protocol.md F2, R4, R6.

use super::facts::Facts;
use super::records::Change;
use super::report::claim;
use super::{Oracle, Violation, kinds};
use crate::schedule::model::{FaultKind, Target, Topology};
use crate::trace::seen::{Ended, Seen};
use doyen_core::identity::{Incarnation, Role};
use doyen_core::input::{Command, Input};
use doyen_core::output::StopReason;
use doyen_core::time::Time;
use std::collections::BTreeSet;

const NAME: &str = "someone_survives";

/// See the module.
#[derive(Debug, Default)]
pub(super) struct SomeoneSurvives {
    /// The faults that have begun: index, and how many nodes were hit.
    begun: Vec<(usize, usize)>,
    /// The servers that were left out, by name: one that comes again may be left out again.
    left_out: BTreeSet<String>,
    leaving: BTreeSet<Incarnation>,
}

impl Oracle for SomeoneSurvives {
    fn name(&self) -> &'static str {
        NAME
    }

    fn listens(&self) -> u32 {
        kinds::STORE | kinds::FAULT | kinds::LIFE | kinds::COMMAND | kinds::VIEWS
    }

    fn seen(&mut self, at: Time, seen: &Seen<'_>, facts: &Facts) -> Result<(), Violation> {
        match seen {
            Seen::Fault {
                index,
                begins: true,
                hits,
            } => self.begun.push((*index, hits.len())),
            Seen::Input {
                node,
                input: Input::Command(Command::Leave),
                ..
            } => {
                let life = facts.at_node(*node);
                self.leaving
                    .extend(life.map(|life| life.identity.incarnation));
            }
            Seen::Ended { identity, how, .. } => {
                let life = facts.life(identity.incarnation);
                if life.is_some_and(|life| life.role == Role::Server)
                    && matches!(how, Ended::Stopped(StopReason::LeftOut { .. }))
                {
                    self.left_out.insert(facts.name(identity));
                }
            }
            Seen::Views { .. } => self.ends(at, facts)?,
            Seen::Store(written) => {
                for change in &facts.changes {
                    if let Change::Cluster(step) = change
                        && let (Some(old), Some(new)) = (step.was(), step.now())
                    {
                        let lives = |one| facts.life(one).is_some_and(|life| life.lives());
                        let someone = new.roster.listed.iter().any(|one| lives(one.incarnation));
                        let others = old
                            .roster
                            .listed
                            .iter()
                            .any(|one| !new.roster.lists(one) && lives(one.incarnation));
                        // Who leaves takes itself off, whoever else is there.
                        let last = self.leaving.contains(&written.by.incarnation);
                        claim!(
                            NAME,
                            at,
                            someone || last || !others || !lives(written.by.incarnation),
                            "nobody",
                            "generation {} lists nobody who lives: {:?} became {:?}",
                            new.roster.generation,
                            old.roster.listed,
                            new.roster.listed
                        );
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl SomeoneSurvives {
    fn ends(&self, at: Time, facts: &Facts) -> Result<(), Violation> {
        let [(index, hits)] = self.begun.as_slice() else {
            return Ok(());
        };
        let Some(kind) = facts.faults.get(*index) else {
            return Ok(());
        };
        // With `down-if-alone` off a lone oldest ends all others, as it was told to.
        let yields = facts.down_if_alone && !facts.mixed;
        claim!(
            NAME,
            at,
            !(yields && is_small(kind, *hits)) || self.left_out.len() <= 1,
            "two for one",
            "fault {index} is about one server or one link, but {:?} were left out",
            self.left_out
        );
        let ended: BTreeSet<_> = facts
            .lives()
            .iter()
            .filter(|life| life.role == Role::Server && !life.lives())
            .map(|life| life.node)
            .collect();
        let all = matches!(
            kind,
            FaultKind::CrashAll { .. } | FaultKind::CrashLoop { .. }
        );
        claim!(
            NAME,
            at,
            all || ended.len() < 2 || facts.servers().next().is_some(),
            "all ended",
            "fault {index} ended every server"
        );
        Ok(())
    }
}

/// Whether a fault is about one server, or one link between two.
fn is_small(kind: &FaultKind, hits: usize) -> bool {
    match kind {
        // Who has the role is another one when the fault comes again.
        FaultKind::Flap { topology, .. } if !is_by_name(topology) => false,
        FaultKind::Cut { topology, .. } | FaultKind::Flap { topology, .. } => match topology {
            Topology::OneWay(from, to) => from.len() == 1 && to.len() == 1,
            Topology::Isolate(targets) => targets.len() == 1,
            Topology::Sides(sides) => sides.len() == 2 && sides.iter().all(|side| side.len() == 1),
            Topology::Bridge(..) | Topology::MajoritiesRing => false,
        },
        FaultKind::Link { from, to, .. } => from.len() == 1 && to.len() == 1,
        FaultKind::StoreSlow { targets, .. }
        | FaultKind::StoreAway { targets, .. }
        | FaultKind::SessionLost { targets } => targets.len() == 1,
        FaultKind::Pause { .. }
        | FaultKind::Crash { .. }
        | FaultKind::ClockDrift { .. }
        | FaultKind::ClockStep { .. }
        | FaultKind::ClockFreeze { .. } => hits <= 1,
        _ => false,
    }
}

fn is_by_name(topology: &Topology) -> bool {
    let mut targets = topology.targets().into_iter();
    targets.all(|target| matches!(target, Target::Named(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::history::{History, server};
    use crate::schedule::model::At;
    use doyen_core::identity::Identity;
    use doyen_core::records::cluster::Generation;

    fn cluster() -> History {
        let (from, to) = (vec![Target::Oldest], vec![Target::Youngest]);
        let cut = FaultKind::Cut {
            topology: Topology::OneWay(from, to),
            refuses: false,
        };
        History::cluster(SomeoneSurvives::default(), vec![cut.clone(), cut])
    }

    fn left_out(history: &mut History, who: &Identity) {
        let generation = Generation(4);
        history.ends(who, &Ended::Stopped(StopReason::LeftOut { generation }));
    }

    #[test]
    fn one_bad_link_may_end_one_server_but_not_two() {
        let mut history = cluster();
        history.fault(0, true, &[1, 3]);
        left_out(&mut history, &server(3, 1));
        assert_eq!(history.verdict(), Ok(()));
        left_out(&mut history, &server(1, 1));
        history.looks();
        assert_eq!(history.fails(), "someone_survives/two for one");
    }

    #[test]
    fn one_that_comes_again_may_be_left_out_again() {
        let mut history = cluster();
        history.fault(0, true, &[1, 3]);
        left_out(&mut history, &server(3, 1));
        history.begins(3, 2);
        left_out(&mut history, &server(3, 2));
        history.looks();
        assert_eq!(history.verdict(), Ok(()));
    }

    /// A flap of a role cuts off whoever has it by then; one of a name always the same.
    #[test]
    fn a_flap_of_a_role_may_be_about_two() {
        for (target, good) in [
            (Target::SingletonHost, true),
            (Target::Named("s1".into()), false),
        ] {
            let flap = FaultKind::Flap {
                topology: Topology::Isolate(vec![target]),
                period: At::from_secs(2),
                cut: At::from_secs(1),
            };
            let mut history = History::cluster(SomeoneSurvives::default(), vec![flap]);
            history.fault(0, true, &[1]);
            left_out(&mut history, &server(1, 1));
            left_out(&mut history, &server(3, 1));
            history.looks();
            assert_eq!(history.verdict().is_ok(), good);
        }
    }

    #[test]
    fn after_a_second_fault_nothing_is_claimed() {
        let mut history = cluster();
        history.fault(0, true, &[1, 3]).fault(1, true, &[1, 3]);
        left_out(&mut history, &server(3, 1));
        left_out(&mut history, &server(1, 1));
        history.looks();
        assert_eq!(history.verdict(), Ok(()));
    }

    #[test]
    fn a_roster_of_the_dead_is_a_violation() {
        let mut history = cluster();
        history.dies(&server(2, 1));
        history.rosters(&server(1, 1), 4, vec![server(2, 1)]);
        assert_eq!(history.fails(), "someone_survives/nobody");
    }
}
