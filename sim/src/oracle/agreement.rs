//! `agreement`: of one generation every process has the same roster, in the same order of age; of
//! one epoch the same holder; both are as the store had them. No process goes back. States of
//! membership with equal clocks are equal, and every state that is told is a possible one.
//!
//! Envelope: always; equal clocks prove equal states only while nobody was removed (membership.md
//! R2). Source: design.md 5; membership.md C, D; protocol.md R1, R2.

use super::facts::Facts;
use super::records::Change;
use super::report::claim;
use super::{Oracle, Violation, kinds};
use crate::trace::digest::{Content, Digest};
use crate::trace::hash::Hash64;
use crate::trace::seen::Seen;
use doyen_core::gossip::Gossip;
use doyen_core::identity::{Identity, Incarnation, Role};
use doyen_core::output::Output;
use doyen_core::process::ClusterView;
use doyen_core::records::cluster::Generation;
use doyen_core::records::singleton::Epoch;
use doyen_core::time::Time;
use doyen_core::wire::{Beat, Message};
use std::collections::{BTreeMap, BTreeSet};

const NAME: &str = "agreement";
/// So many states of one generation are remembered.
const STATES_MAX: usize = 1_024;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Agreement {
    rosters: BTreeMap<Generation, Vec<Identity>>,
    holders: BTreeMap<Epoch, Identity>,
    shown: BTreeMap<Incarnation, (Generation, Epoch)>,
    generation: Generation,
    states: BTreeMap<u64, u64>,
    /// Digests of states that are possible ones: most are told several times.
    possible: BTreeSet<u64>,
}

impl Oracle for Agreement {
    fn name(&self) -> &'static str {
        NAME
    }

    fn listens(&self) -> u32 {
        kinds::STORE | kinds::VIEWS | kinds::SEND | kinds::PLAN
    }

    fn seen(&mut self, at: Time, seen: &Seen<'_>, facts: &Facts) -> Result<(), Violation> {
        match seen {
            Seen::Output {
                node,
                output:
                    Output::Send {
                        message: Message::Gossip { gossip, .. },
                        ..
                    },
            } => {
                let life = facts.last_at_node(*node);
                let name = life.map_or("", |life| life.name.as_str());
                self.told(at, name, gossip, facts.gossip)
            }
            Seen::Output {
                output: Output::Beat(plan),
                ..
            } => match &plan.beat {
                Some(beat) => self.beats(at, beat, facts),
                None => Ok(()),
            },
            Seen::Store(_) => {
                for change in &facts.changes {
                    match change {
                        Change::Cluster(step) => {
                            if let Some(new) = step.now().map(|one| &one.roster) {
                                self.rosters.insert(new.generation, new.listed.clone());
                            }
                        }
                        Change::Singleton(step) => {
                            if let Some(new) = step.now() {
                                self.holders.insert(new.epoch, new.holder.clone());
                            }
                        }
                        _ => {}
                    }
                }
                Ok(())
            }
            Seen::Views { views } => {
                for (_, view) in *views {
                    self.viewed(at, view, facts)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Agreement {
    /// What a process knows of the records never gets older.
    fn goes_on(
        &mut self,
        at: Time,
        who: &Identity,
        now: (Generation, Epoch),
        facts: &Facts,
    ) -> Result<(), Violation> {
        let shown = self.shown.entry(who.incarnation).or_default();
        claim!(
            NAME,
            at,
            shown.0 <= now.0 && shown.1 <= now.1,
            "back",
            "{} went back from generation and epoch {shown:?} to {now:?}",
            facts.name(who)
        );
        *shown = now;
        Ok(())
    }

    fn beats(&mut self, at: Time, beat: &Beat, facts: &Facts) -> Result<(), Violation> {
        self.goes_on(at, &beat.from, (beat.generation, beat.epoch), facts)?;
        let known = self.holders.get(&beat.epoch).map(|one| one.incarnation);
        claim!(
            NAME,
            at,
            beat.holder.is_none() || beat.epoch == Epoch(0) || beat.holder == known,
            "holder",
            "{} beats that {:?} holds epoch {}, which is {known:?}'s",
            facts.name(&beat.from),
            beat.holder,
            beat.epoch
        );
        Ok(())
    }

    fn viewed(&mut self, at: Time, view: &ClusterView, facts: &Facts) -> Result<(), Violation> {
        let name = facts.name(&view.identity);
        let incarnation = view.identity.incarnation;
        self.goes_on(at, &view.identity, (view.generation, view.epoch), facts)?;
        if view.epoch > Epoch(0) && view.holder.is_some() {
            let holder = self.holders.get(&view.epoch);
            claim!(
                NAME,
                at,
                holder == view.holder.as_ref(),
                "holder",
                "{name} believes that {:?} holds epoch {}, which is {holder:?}'s",
                view.holder,
                view.epoch
            );
        }
        let is_driver = facts
            .life(incarnation)
            .is_some_and(|life| life.role == Role::Driver);
        if view.generation == Generation(0) || is_driver {
            return Ok(());
        }
        let listed = self.rosters.get(&view.generation);
        let listed = listed.map(Vec::as_slice).unwrap_or_default();
        // Gossip of a later generation may come before its record is read (R2).
        let told = self
            .rosters
            .range(view.generation..)
            .map(|(_, listed)| listed.as_slice());
        let shows = |listed: &[Identity]| {
            let servers = view.members.iter().filter(|one| one.role == Role::Server);
            let mut up = servers
                .filter(|one| one.status.is_listed())
                .map(|one| &one.identity);
            up.clone().count() == listed.len() && up.all(|one| listed.contains(one))
        };
        claim!(
            NAME,
            at,
            told.clone().any(shows) || !listed.contains(&view.identity),
            "members",
            "{name} shows members {:?} in generation {}, which are those of no roster since",
            view.members,
            view.generation
        );
        for member in view.members.iter().filter(|one| one.role == Role::Server) {
            let age = listed.iter().position(|one| *one == member.identity);
            claim!(
                NAME,
                at,
                member.age == age,
                "age",
                "{name} gives {} the age {:?} in generation {}, the roster {age:?}",
                member.identity,
                member.age,
                view.generation
            );
        }
        Ok(())
    }

    fn told(
        &mut self,
        at: Time,
        name: &str,
        gossip: &Gossip,
        digest: Option<u64>,
    ) -> Result<(), Violation> {
        if digest.is_none_or(|digest| !self.possible.contains(&digest)) {
            let checked = gossip.check();
            claim!(
                NAME,
                at,
                checked.is_ok(),
                "impossible state",
                "{name} tells an impossible state: {}",
                checked
                    .as_ref()
                    .err()
                    .map(ToString::to_string)
                    .unwrap_or_default()
            );
            if self.possible.len() >= STATES_MAX {
                self.possible.clear();
            }
            self.possible.extend(digest);
        }
        let generation = gossip.roster.generation;
        let listed = self.rosters.get(&generation);
        claim!(
            NAME,
            at,
            generation == Generation(0) || listed == Some(&gossip.roster.listed),
            "roster",
            "{name} tells of generation {generation} as {:?}, the store had {listed:?}",
            gossip.roster.listed
        );
        if generation < self.generation || !gossip.tombstones.entries().is_empty() {
            return Ok(());
        }
        if generation > self.generation || self.states.len() >= STATES_MAX {
            self.generation = generation;
            self.states.clear();
        }
        let (mut clock, mut content) = (Hash64::default(), Hash64::default());
        for (identity, count) in gossip.version.entries() {
            identity.digest(&mut clock);
            clock.word(*count);
        }
        gossip.content(&mut content);
        let content = content.value();
        let known = *self.states.entry(clock.value()).or_insert(content);
        claim!(
            NAME,
            at,
            known == content,
            "equal clocks",
            "{name} tells a state that another member tells otherwise under the same clock {:?}",
            gossip.version
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::history::{History, server};
    use crate::trace::seen::NodeId;
    use doyen_core::membership::{Member, Status};
    use doyen_core::process::MemberView;
    use doyen_core::records::cluster::Roster;

    fn member(number: u16, age: Option<usize>) -> MemberView {
        MemberView {
            identity: server(number, 1),
            role: Role::Server,
            status: if age.is_some() {
                Status::Up
            } else {
                Status::Joining
            },
            age,
            reachable: true,
            version: String::new(),
            context: None,
        }
    }

    fn view(number: u16, generation: u64, members: Vec<MemberView>) -> ClusterView {
        ClusterView {
            identity: server(number, 1),
            cluster: None,
            epoch: Epoch(1),
            holder: Some(server(1, 1)),
            generation: Generation(generation),
            leader: None,
            converged: true,
            ready: true,
            takes_calls: true,
            not_ready: None,
            store_age_ms: None,
            others_have_store: false,
            members,
        }
    }

    fn looks(views: Vec<ClusterView>) -> Result<(), Violation> {
        let mut history = History::cluster(Agreement::default(), vec![]);
        for view in views {
            history.sees(&Seen::Views {
                views: &[(NodeId(1), view)],
            });
        }
        history.verdict()
    }

    fn two() -> Vec<MemberView> {
        vec![member(1, Some(0)), member(2, Some(1))]
    }

    #[test]
    fn views_are_as_the_rosters_were() {
        let three = vec![member(1, Some(0)), member(2, Some(1)), member(3, Some(2))];
        assert_eq!(looks(vec![view(1, 2, two()), view(1, 3, three)]), Ok(()));
    }

    #[test]
    fn every_kind_of_disagreement_is_seen() {
        let mut holder = view(1, 2, two());
        holder.holder = Some(server(2, 1));
        for (views, rule) in [
            (vec![view(1, 3, two())], "members"),
            (
                vec![view(1, 2, vec![member(1, Some(1)), member(2, Some(0))])],
                "age",
            ),
            (
                vec![view(1, 2, two()), view(1, 1, vec![member(1, Some(0))])],
                "back",
            ),
            (vec![holder], "holder"),
        ] {
            let found = looks(views).unwrap_err();
            assert_eq!(found.fingerprint, format!("agreement/{rule}"));
        }
    }

    #[test]
    fn equal_clocks_and_different_states_are_a_violation() {
        let mut history = History::cluster(Agreement::default(), vec![]);
        let roster = Roster {
            generation: Generation(3),
            listed: (1..=3).map(|one| server(one, 1)).collect(),
        };
        let of = |identity: &Identity, status| Member {
            identity: identity.clone(),
            status,
            version: String::new(),
        };
        let mut gossip = Gossip {
            roster: roster.clone(),
            ..Gossip::default()
        };
        for one in &roster.listed {
            gossip.members.insert(one.clone(), of(one, Status::Up));
        }
        let mut other = gossip.clone();
        let third = server(3, 1);
        other
            .members
            .insert(third.clone(), of(&third, Status::Leaving));
        let tell = |history: &mut History, gossip: &Gossip| {
            let gossip = std::sync::Arc::new(gossip.clone());
            let to = server(2, 1);
            let message = Message::Gossip {
                to: to.clone(),
                gossip,
            };
            history.output(1, &Output::Send { to, message });
        };
        tell(&mut history, &gossip);
        tell(&mut history, &gossip);
        assert_eq!(history.verdict(), Ok(()));
        tell(&mut history, &other);
        assert_eq!(history.fails(), "agreement/equal clocks");
    }
}
