//! `listing` (of `someone_survives`): a joiner is listed only if it is connected with every listed
//! server that its lister is connected with; else one bad link would end two servers in turn, for
//! ever.
//!
//! Envelope: all have the same `detection`. What counts is what the lister had been told when it
//! decided, so faults do not matter. Source: protocol.md F2, R3.

use super::facts::{Facts, Life};
use super::records::{Kind, kind};
use super::report::claim;
use super::{Oracle, Violation, kinds};
use crate::trace::seen::Seen;
use doyen_core::identity::{Identity, Incarnation};
use doyen_core::input::Input;
use doyen_core::output::{ClusterEvent, Output};
use doyen_core::records::cluster::{ClusterRecord, Roster};
use doyen_core::records::transaction::{Operation, Transaction, TransactionId};
use doyen_core::time::Time;
use doyen_core::wire::Beat;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const NAME: &str = "listing";

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// What each server was last told by each other one.
    told: BTreeMap<Incarnation, BTreeMap<Incarnation, Told>>,
    /// Commits that list a joiner that is not connected, in words; they count if they are accepted.
    doubtful: BTreeMap<TransactionId, String>,
}

/// The last beat of a server, as another one took it.
#[derive(Debug)]
struct Told {
    sequence: u64,
    /// On the clock of who took it.
    clock: Time,
    hears: Arc<BTreeSet<Identity>>,
    /// Its taker said since that it does not hear it.
    lost: bool,
}

impl Oracle for Listing {
    fn name(&self) -> &'static str {
        NAME
    }

    fn listens(&self) -> u32 {
        kinds::BEAT | kinds::COMMIT | kinds::EVENT | kinds::STORE
    }

    fn seen(&mut self, at: Time, seen: &Seen<'_>, facts: &Facts) -> Result<(), Violation> {
        match seen {
            Seen::Input {
                node,
                clock,
                input: Input::Beat(beat),
            } => {
                if let Some(life) = facts.at_node(*node) {
                    self.beat(life, *clock, beat);
                }
                Ok(())
            }
            Seen::Output {
                node,
                output: Output::Event(ClusterEvent::Unreachable { member }),
            } => {
                let told = facts.at_node(*node);
                let told = told.and_then(|life| self.told.get_mut(&life.identity.incarnation));
                if let Some(told) = told.and_then(|told| told.get_mut(&member.incarnation)) {
                    told.lost = true;
                }
                Ok(())
            }
            Seen::Output {
                node,
                output: Output::Commit { transaction, .. },
            } => {
                if let Some(life) = facts.at_node(*node).filter(|_| !facts.mixed)
                    && let Some(wrong) = self.lists(life, transaction, facts)
                {
                    self.doubtful.insert(transaction.id.clone(), wrong);
                }
                Ok(())
            }
            Seen::Store(written) => {
                let wrong = self.doubtful.remove(&written.transaction.id);
                let wrong = wrong.filter(|_| !facts.changes.is_empty());
                claim!(
                    NAME,
                    at,
                    wrong.is_none(),
                    "unconnected",
                    "{}",
                    wrong.clone().unwrap_or_default()
                );
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Listing {
    fn beat(&mut self, life: &Life, clock: Time, beat: &Beat) {
        let told = self.told.entry(life.identity.incarnation).or_default();
        let Some(last) = told.get_mut(&beat.from.incarnation) else {
            let first = Told {
                sequence: beat.sequence,
                clock,
                hears: beat.hears.clone(),
                lost: false,
            };
            told.insert(beat.from.incarnation, first);
            return;
        };
        if beat.sequence <= last.sequence {
            return;
        }
        last.sequence = beat.sequence;
        last.clock = clock;
        last.lost = false;
        if last.hears != beat.hears {
            last.hears.clone_from(&beat.hears);
        }
    }

    /// Whom a commit lists that it should not, in words.
    fn lists(&self, lister: &Life, transaction: &Transaction, facts: &Facts) -> Option<String> {
        let put = transaction.operations.iter().find_map(|one| match one {
            Operation::Put { key, value, .. } if kind(key) == Kind::Cluster => Some(value),
            _ => None,
        });
        let record: ClusterRecord = serde_json::from_str(put?).ok()?;
        let told = self.told.get(&lister.identity.incarnation)?;
        let old = facts.roster().filter(|old| old.lists(&lister.identity))?;
        let mut joiners = record.roster.listed.iter().filter(|one| !old.lists(one));
        joiners.find_map(|joiner| {
            let missing = apart(lister, joiner, old, told, facts)?;
            let name = &lister.name;
            Some(format!(
                "{name} lists {joiner}, which is not connected with {missing}, as far as it was told"
            ))
        })
    }
}

/// A listed server that the lister is connected with, and the joiner is not.
fn apart(
    lister: &Life,
    joiner: &Identity,
    old: &Roster,
    told: &BTreeMap<Incarnation, Told>,
    facts: &Facts,
) -> Option<Identity> {
    let me = &lister.identity;
    let of_joiner = told.get(&joiner.incarnation);
    if of_joiner.is_none_or(|of_joiner| !of_joiner.hears.contains(me)) {
        return Some(me.clone());
    }
    let detection = facts.times.detection;
    let connected = |told: &Told| {
        !told.lost && told.hears.contains(me) && lister.clock.since(told.clock) < detection
    };
    let is_apart = |one: &&Identity| {
        let Some(of_one) = told.get(&one.incarnation) else {
            return false;
        };
        let both = of_joiner.is_some_and(|of_joiner| of_joiner.hears.contains(*one))
            && of_one.hears.contains(joiner);
        connected(of_one) && !both
    };
    let others = old.listed.iter();
    let mut others = others.filter(|one| *one != me && one.address != joiner.address);
    others.find(is_apart).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::history::{History, cluster, server};
    use doyen_core::records::cluster::Generation;
    use doyen_core::records::key;
    use doyen_core::records::singleton::Epoch;

    fn beats(history: &mut History, from: u16, hears: &[u16]) {
        let beat = Beat {
            from: server(from, 1),
            sequence: 1,
            generation: Generation(3),
            epoch: Epoch(1),
            holder: None,
            hears: Arc::new(hears.iter().map(|one| server(*one, 1)).collect()),
            store_age_ms: 0,
            vacant: false,
        };
        history.input(1, &Input::Beat(beat));
    }

    fn lists_the_fourth(history: &mut History) {
        let listed = (1..=4).map(|one| server(one, 1)).collect();
        let generation = Generation(4);
        let record = cluster(Roster { generation, listed });
        let version = history.version_of_cluster();
        let transaction = history.transaction().put(key::cluster(), record, version);
        let ticket = doyen_core::input::Ticket(1);
        let sent = transaction.clone();
        let commit = Output::Commit {
            ticket,
            transaction: sent,
        };
        history.output(1, &commit);
        history.writes(&server(1, 1), &transaction);
    }

    #[test]
    fn a_joiner_is_connected_with_all_that_its_lister_is_connected_with() {
        for (joiner_hears, third_hears, good) in [
            (vec![1, 2, 3], vec![1, 2, 4], true),
            (vec![1, 2], vec![1, 2, 4], false),
            (vec![1, 2, 3], vec![1, 2], false),
            // The lister is not connected with the third itself.
            (vec![1, 2], vec![2], true),
            (vec![2, 3], vec![1, 2, 4], false),
        ] {
            let mut history = History::cluster(Listing::default(), vec![]);
            history.begins(4, 1);
            beats(&mut history, 2, &[1, 3, 4]);
            beats(&mut history, 3, &third_hears);
            beats(&mut history, 4, &joiner_hears);
            lists_the_fourth(&mut history);
            let found = history.verdict();
            assert_eq!(found.is_ok(), good, "{joiner_hears:?} {third_hears:?}");
        }
    }
}
