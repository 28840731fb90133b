//! `no_resurrection`: an incarnation that was once taken off the roster is never listed again, and
//! no member of that generation or a later one takes it for a member.
//!
//! Envelope: always. Source: design.md 5; protocol.md F2, R2.

use super::facts::{Facts, Life};
use super::records::Change;
use super::report::claim;
use super::{Oracle, Violation, kinds};
use crate::trace::seen::Seen;
use doyen_core::identity::{Incarnation, Role};
use doyen_core::output::Output;
use doyen_core::records::cluster::Generation;
use doyen_core::time::Time;
use doyen_core::wire::Message;
use std::collections::BTreeMap;

const NAME: &str = "no_resurrection";

/// See the module.
#[derive(Debug, Default)]
pub(super) struct NoResurrection {
    /// Who was taken off, and by which generation.
    removed: BTreeMap<Incarnation, Generation>,
    /// As whose successor each life asks to be listed.
    joins: BTreeMap<Incarnation, Generation>,
}

impl Oracle for NoResurrection {
    fn name(&self) -> &'static str {
        NAME
    }

    fn listens(&self) -> u32 {
        kinds::STORE | kinds::VIEWS | kinds::SEND
    }

    fn seen(&mut self, at: Time, seen: &Seen<'_>, facts: &Facts) -> Result<(), Violation> {
        match seen {
            Seen::Output {
                node,
                output:
                    Output::Send {
                        message: Message::Join { generation, .. },
                        ..
                    },
            } => {
                if let Some(life) = facts.at_node(*node) {
                    self.joins(at, life, *generation)?;
                }
            }
            Seen::Store(written) => {
                for change in &facts.changes {
                    let Change::Cluster(step) = change else {
                        continue;
                    };
                    let Some(new) = step.now().map(|one| &one.roster) else {
                        continue;
                    };
                    for one in &new.listed {
                        claim!(
                            NAME,
                            at,
                            !self.removed.contains_key(&one.incarnation),
                            "listed again",
                            "{} listed {one} again in generation {}, after it was taken off",
                            facts.name(written.by),
                            new.generation
                        );
                    }
                    let old = step.was().map(|one| one.roster.listed.as_slice());
                    for gone in old.unwrap_or_default().iter().filter(|one| !new.lists(one)) {
                        self.removed.insert(gone.incarnation, new.generation);
                    }
                }
            }
            Seen::Views { views } if !self.removed.is_empty() => {
                let is_server = |one: Incarnation| {
                    facts
                        .life(one)
                        .is_some_and(|life| life.role == Role::Server)
                };
                // A driver shows whom it is linked with, too.
                let servers = views
                    .iter()
                    .filter(|(_, v)| is_server(v.identity.incarnation));
                for (_, view) in servers {
                    let members = view.members.iter().filter(|one| one.role == Role::Server);
                    // Who may have been listed without having read it gives itself up soon.
                    let others = members.map(|one| &one.identity);
                    for member in others.filter(|one| **one != view.identity) {
                        let gone = self.removed.get(&member.incarnation);
                        claim!(
                            NAME,
                            at,
                            gone.is_none_or(|gone| view.generation < *gone),
                            "seen again",
                            "{} takes {member} for a member in generation {}",
                            facts.name(&view.identity),
                            view.generation
                        );
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl NoResurrection {
    /// A life asks to be listed as the successor of one generation only, and asks nothing new once
    /// it was taken off (F2). Who does not know yet that it was listed repeats what it asked.
    fn joins(&mut self, at: Time, life: &Life, generation: Generation) -> Result<(), Violation> {
        let me = life.identity.incarnation;
        let first = *self.joins.entry(me).or_insert_with(|| {
            let removed = self.removed.get(&me);
            removed.map_or(generation, |_| Generation(0))
        });
        claim!(
            NAME,
            at,
            first == generation,
            "joins twice",
            "{} asks to follow generation {generation}; the same life asked to follow {first}, or \
             was listed before",
            life.name
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::history::{History, server};

    fn asks(history: &mut History, from: u16, generation: u64) -> bool {
        let message = Message::Join {
            generation: Generation(generation),
            version: String::new(),
        };
        let to = server(1, 1);
        history.output(from, &Output::Send { to, message });
        history.verdict().is_ok()
    }

    #[test]
    fn a_life_asks_to_follow_one_generation() {
        let mut history = History::cluster(NoResurrection::default(), vec![]);
        history.begins(4, 1);
        for (generation, good) in [(3, true), (3, true), (4, false)] {
            assert_eq!(asks(&mut history, 4, generation), good);
        }
    }

    #[test]
    fn who_was_listed_and_taken_off_asks_nothing_new() {
        let listed = |last: u16| (1..=last).map(|one| server(one, 1)).collect();
        for (before, after, good) in [
            // It does not know yet that it was listed, and repeats what it asked.
            (Some(3), 3, true),
            (Some(3), 5, false),
            (None, 5, false),
        ] {
            let mut history = History::cluster(NoResurrection::default(), vec![]);
            history.begins(4, 1);
            assert!(before.is_none_or(|generation| asks(&mut history, 4, generation)));
            history.rosters(&server(1, 1), 4, listed(4));
            history.rosters(&server(1, 1), 5, listed(3));
            assert_eq!(asks(&mut history, 4, after), good);
        }
    }

    #[test]
    fn a_new_life_may_follow_but_the_old_one_never_comes_back() {
        let mut history = History::cluster(NoResurrection::default(), vec![]);
        let (one, two, three) = (server(1, 1), server(2, 1), server(3, 1));
        history.rosters(&one, 4, vec![one.clone(), two.clone()]);
        history.rosters(&one, 5, vec![one.clone(), two.clone(), server(3, 2)]);
        assert_eq!(history.verdict(), Ok(()));
        history.rosters(&one, 6, vec![one.clone(), two, three]);
        assert_eq!(history.fails(), "no_resurrection/listed again");
    }
}
