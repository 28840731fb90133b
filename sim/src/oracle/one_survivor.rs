//! `one_survivor`: a generation has at most one successor, made of servers that were listed and
//! of those that join it; who is not listed gets no deciding write accepted, and ends.
//!
//! Envelope: always; that it *ends* within [`BOUND`] where its process runs and has the store.
//! Source: design.md 5; protocol.md F2, R1, R5, R6.

use super::facts::Facts;
use super::records::{Change, Step};
use super::report::claim;
use super::single_effective_singleton::{Weight, kinds_of, weight};
use super::{Oracle, Violation, kinds};
use crate::trace::seen::Seen;
use doyen_core::identity::{Identity, Incarnation, Role};
use doyen_core::records::cluster::{ClusterRecord, Generation, Roster};
use doyen_core::time::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const NAME: &str = "one_survivor";
/// A listed server reads the records at each change and every half second; it exits with the read
/// that leaves it out. Three store calls, and room.
pub(super) const BOUND: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct OneSurvivor {
    left_out: BTreeMap<Incarnation, Time>,
}

impl Oracle for OneSurvivor {
    fn name(&self) -> &'static str {
        NAME
    }

    fn listens(&self) -> u32 {
        kinds::STORE | kinds::VIEWS
    }

    fn seen(&mut self, at: Time, seen: &Seen<'_>, facts: &Facts) -> Result<(), Violation> {
        match seen {
            Seen::Store(written) if !facts.changes.is_empty() => {
                for change in &facts.changes {
                    if let Change::Cluster(step) = change {
                        self.succeeds(at, written.by, step, facts)?;
                    }
                }
                Self::decides(at, written.by, facts)
            }
            Seen::Views { .. } => self.ends(at, facts),
            _ => Ok(()),
        }
    }
}

impl OneSurvivor {
    fn succeeds(
        &mut self,
        at: Time,
        by: &Identity,
        step: &Step<ClusterRecord>,
        facts: &Facts,
    ) -> Result<(), Violation> {
        let Some(new) = step.now().map(|one| &one.roster) else {
            return Ok(());
        };
        let nobody = Roster::default();
        let old = step.was().map_or(&nobody, |one| &one.roster);
        let name = facts.name(by);
        claim!(
            NAME,
            at,
            new.generation == old.generation.next(),
            "generation",
            "generation {} was followed by {}, written by {name}",
            old.generation,
            new.generation
        );
        let addresses: BTreeSet<_> = new.listed.iter().map(|one| &one.address).collect();
        claim!(
            NAME,
            at,
            addresses.len() == new.listed.len(),
            "twice",
            "generation {} lists an address twice: {:?}",
            new.generation,
            new.listed
        );
        let alone = new.listed == [by.clone()];
        if new.generation > Generation(1) && !alone {
            successor(at, &name, old, new)?;
        }
        // R5: whoever leaves the holder out takes the office in the same commit. A leaver without an
        // heir takes itself off with its office.
        let holder = facts.holder();
        claim!(
            NAME,
            at,
            !new.lists(by) || holder.is_none_or(|holder| new.lists(holder)),
            "holder left out",
            "{name} left out {holder:?}, which holds the office, and did not take it"
        );
        for gone in old.listed.iter().filter(|one| !new.lists(one)) {
            self.left_out.insert(gone.incarnation, at);
        }
        Ok(())
    }

    fn decides(at: Time, by: &Identity, facts: &Facts) -> Result<(), Violation> {
        let is_server = facts
            .life(by.incarnation)
            .is_some_and(|life| life.role == Role::Server);
        let Some(roster) = facts.roster().filter(|_| is_server) else {
            return Ok(());
        };
        let decides = facts
            .changes
            .iter()
            .any(|one| weight(one) > Weight::Nothing);
        // Whoever leaves takes itself off, with or without an heir; its last words may follow.
        let leaves = facts
            .records
            .cluster
            .as_ref()
            .is_some_and(|cluster| cluster.by == by.incarnation);
        claim!(
            NAME,
            at,
            !decides || roster.lists(by) || leaves,
            "not listed",
            "{} decided something, but generation {} does not list it: {:?}",
            facts.name(by),
            roster.generation,
            kinds_of(&facts.changes)
        );
        Ok(())
    }

    fn ends(&mut self, at: Time, facts: &Facts) -> Result<(), Violation> {
        self.left_out
            .retain(|one, _| facts.life(*one).is_some_and(|life| life.lives()));
        for (incarnation, since) in &self.left_out {
            let Some(life) = facts.life(*incarnation) else {
                continue;
            };
            let late = at.since(*since) > BOUND && facts.sound(life.node, BOUND);
            claim!(
                NAME,
                at,
                !late,
                "does not end",
                "{} was left out of the roster {:?} ago and still runs",
                life.name,
                at.since(*since)
            );
        }
        Ok(())
    }
}

/// Whether a roster may follow another one, beside one that lists its writer alone (F4).
fn successor(at: Time, by: &str, old: &Roster, new: &Roster) -> Result<(), Violation> {
    let joins: Vec<&Identity> = new.listed.iter().filter(|one| !old.lists(one)).collect();
    let kept: Vec<&Identity> = new.listed.iter().filter(|one| old.lists(one)).collect();
    let order: Vec<&Identity> = old.listed.iter().filter(|one| new.lists(one)).collect();
    let youngest = new.listed.iter().rev().take(joins.len()).rev();
    claim!(
        NAME,
        at,
        kept == order && youngest.eq(joins.iter().copied()),
        "order",
        "{by} changed the order of age: {:?} became {:?}",
        old.listed,
        new.listed
    );
    let replaced = |one: &Identity| joins.iter().any(|join| join.address == one.address);
    let lost: Vec<_> = old
        .listed
        .iter()
        .filter(|one| !new.lists(one) && !replaced(one))
        .collect();
    claim!(
        NAME,
        at,
        joins.is_empty() || lost.is_empty(),
        "mixed",
        "{by} listed {joins:?} and left out {lost:?} in one step"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::history::{History, server};
    use crate::schedule::model::{FaultKind, Target};

    fn cluster() -> History {
        let target = Target::Oldest;
        History::cluster(OneSurvivor::default(), vec![FaultKind::Pause { target }])
    }

    #[test]
    fn joins_splits_and_foundings_anew_follow_each_other() {
        let mut history = cluster();
        let listed = vec![server(1, 1), server(3, 1), server(2, 2)];
        history.dies(&server(2, 1)).begins(2, 2);
        history.rosters(&server(1, 1), 4, listed);
        history.rosters(&server(1, 1), 5, vec![server(1, 1), server(3, 1)]);
        history.dies(&server(2, 2)).wait(10_000).looks();
        assert_eq!(history.verdict(), Ok(()));
    }

    #[test]
    fn a_skipped_generation_a_new_order_and_a_server_out_of_nowhere_are_violations() {
        let (one, two, three) = (server(1, 1), server(2, 1), server(3, 1));
        for (generation, listed, rule) in [
            (5, vec![one.clone(), two.clone()], "generation"),
            (4, vec![two.clone(), one.clone(), three.clone()], "order"),
            (
                4,
                vec![one.clone(), two.clone(), server(3, 2), three],
                "twice",
            ),
            (4, vec![one.clone(), server(3, 2)], "mixed"),
        ] {
            let mut history = cluster();
            history.rosters(&one, generation, listed);
            assert_eq!(history.fails(), format!("one_survivor/{rule}"));
        }
    }

    #[test]
    fn who_is_left_out_decides_nothing_and_ends() {
        let mut history = cluster();
        history.rosters(&server(2, 1), 4, vec![server(2, 1), server(3, 1)]);
        history.creates_context(&server(1, 1), "a");
        assert_eq!(history.fails(), "one_survivor/not listed");
        let mut history = cluster();
        history.rosters(&server(2, 1), 4, vec![server(2, 1), server(3, 1)]);
        history.wait(6_000).looks();
        assert_eq!(history.fails(), "one_survivor/does not end");
    }

    #[test]
    fn who_leaves_the_holder_out_takes_its_office() {
        let (two, three) = (server(2, 1), server(3, 1));
        let mut history = cluster();
        let version = history.version_of_cluster();
        let listed = vec![two.clone(), three];
        let generation = Generation(4);
        let record = crate::oracle::history::cluster(Roster { generation, listed });
        let key = doyen_core::records::key::cluster();
        let change = history.transaction().put(key, record, version);
        history.writes(&two, &change);
        assert_eq!(history.fails(), "one_survivor/holder left out");
    }

    #[test]
    fn who_stands_still_need_not_end_yet() {
        let mut history = cluster();
        history.fault(0, true, &[1]);
        history.rosters(&server(2, 1), 4, vec![server(2, 1), server(3, 1)]);
        history.wait(60_000).looks();
        assert_eq!(history.verdict(), Ok(()));
    }
}
