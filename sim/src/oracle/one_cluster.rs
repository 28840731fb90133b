//! `one_cluster`: a store has one cluster for ever: its id and secret never change, its record
//! never vanishes, and no process ever shows another one. It is founded by a seed whose turn it is.
//!
//! Envelope: always; the turns of F3 where no clock was tampered with. Source: design.md 5;
//! protocol.md F3, F7.

use super::facts::{Facts, percent};
use super::records::{Change, Step};
use super::report::claim;
use super::{Oracle, Violation, kinds};
use crate::trace::seen::Seen;
use doyen_core::identity::Identity;
use doyen_core::records::cluster::ClusterRecord;
use doyen_core::time::Time;

const NAME: &str = "one_cluster";

/// See the module.
#[derive(Debug)]
pub(super) struct OneCluster;

impl Oracle for OneCluster {
    fn name(&self) -> &'static str {
        NAME
    }

    fn listens(&self) -> u32 {
        kinds::STORE | kinds::VIEWS
    }

    fn seen(&mut self, at: Time, seen: &Seen<'_>, facts: &Facts) -> Result<(), Violation> {
        match seen {
            Seen::Store(written) => {
                for change in &facts.changes {
                    if let Change::Cluster(step) = change {
                        self.written(at, written.by, step, facts)?;
                    }
                }
            }
            Seen::Views { views } => {
                let known = facts.records.cluster.as_ref().map(|one| &one.value.id);
                for (_, view) in *views {
                    claim!(
                        NAME,
                        at,
                        view.cluster.is_none() || view.cluster.as_ref() == known,
                        "view",
                        "{} believes to be in cluster {:?}, the store holds {:?}",
                        facts.name(&view.identity),
                        view.cluster,
                        known
                    );
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl OneCluster {
    fn written(
        &self,
        at: Time,
        by: &Identity,
        step: &Step<ClusterRecord>,
        facts: &Facts,
    ) -> Result<(), Violation> {
        let name = facts.name(by);
        let Some(new) = step.now() else {
            claim!(
                NAME,
                at,
                false,
                "deleted",
                "`cluster` was deleted by {name}"
            );
            return Ok(());
        };
        if let Some(old) = step.was() {
            claim!(
                NAME,
                at,
                old.id == new.id && old.secret == new.secret,
                "changed",
                "{name} changed cluster {} into {}, or its secret",
                old.id,
                new.id
            );
            return Ok(());
        }
        let seeds = facts.seeds.get(&name);
        let Some(turn) = seeds.and_then(|seeds| seeds.iter().position(|seed| *seed == name)) else {
            claim!(
                NAME,
                at,
                seeds.is_none(),
                "no seed",
                "{name} founded, but is no seed"
            );
            return Ok(());
        };
        let Some(life) = facts.life(by.incarnation) else {
            return Ok(());
        };
        let turn = u32::try_from(turn).unwrap_or(u32::MAX);
        let wait = percent(facts.times.seed_takeover.saturating_mul(turn), 98);
        claim!(
            NAME,
            at,
            !facts.true_times() || at.since(life.began) >= wait,
            "too early",
            "{name} founded {:?} after its start, its turn is after {wait:?}",
            at.since(life.began)
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::history::{History, server};
    use doyen_core::identity::ClusterId;
    use doyen_core::records::cluster::{Roster, Secret};
    use doyen_core::records::{encode, key};

    #[test]
    fn a_cluster_that_stays_itself_is_fine() {
        assert_eq!(History::cluster(OneCluster, vec![]).verdict(), Ok(()));
    }

    #[test]
    fn another_id_and_a_deletion_are_violations() {
        let mut history = History::cluster(OneCluster, vec![]);
        let other = encode(&ClusterRecord {
            id: ClusterId::new("y"),
            secret: Secret("s".into()),
            roster: Roster::default(),
            rest: Default::default(),
        });
        let swap = history.transaction().put_any(key::cluster(), other);
        history.writes(&server(1, 1), &swap);
        assert_eq!(history.fails(), "one_cluster/changed");
        let mut history = History::cluster(OneCluster, vec![]);
        let gone = history.transaction().delete_any(key::cluster());
        history.writes(&server(1, 1), &gone);
        assert_eq!(history.fails(), "one_cluster/deleted");
    }

    #[test]
    fn the_second_seed_waits_its_turn() {
        for (millis, founds) in [(5_000, false), (25_000, true)] {
            let mut history = History::new(OneCluster, vec![]);
            history.begins(2, 1).wait(millis).founds(&server(2, 1));
            assert_eq!(history.verdict().is_ok(), founds, "{millis} ms");
        }
    }
}
