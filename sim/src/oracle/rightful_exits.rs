//! `rightful_exits` (of `one_survivor`, `someone_survives` and `no_lost_job`): a process stops only
//! for the reason that it names, and the reason is true.
//!
//! | exit | what must be true | envelope |
//! | --- | --- | --- |
//! | left out | it was listed, and a later generation is without it (R6) | always |
//! | cluster changed | never so: the record neither vanishes nor changes (F7) | always |
//! | left | it was told to leave (S3) | always |
//! | reincarnated | it had not read that it is listed (F2) | always |
//! | driver fenced | the context is not its own, or never was in time; or it was alone for 4/5 of `driver-lost-after` (W1, E2, E8) | clocks true |
//! | driver done | its last word was stored, or its context is over | always |
//!
//! Source: protocol.md F2, F7, R6, S3, E2, E8, W1.

use super::facts::{Facts, Life, percent};
use super::records::Change;
use super::report::claim;
use super::{Oracle, Violation, envelope, kinds};
use crate::trace::seen::{NodeId, Seen};
use doyen_core::identity::Incarnation;
use doyen_core::input::{Command, Input};
use doyen_core::output::{ClusterEvent, Effect, Output, StopReason};
use doyen_core::records::cluster::Generation;
use doyen_core::records::context::DriverPhase;
use doyen_core::records::transaction::CommitOutcome;
use doyen_core::time::Time;
use doyen_core::wire::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const NAME: &str = "rightful_exits";

/// See the module.
#[derive(Debug, Default)]
pub(super) struct RightfulExits {
    leaving: BTreeSet<Incarnation>,
    /// The generation that first listed a server, in the store.
    listed: BTreeMap<Incarnation, Generation>,
    /// Who knows that it is listed.
    knows: BTreeSet<Incarnation>,
    /// Drivers that said, in the store, that they ended.
    said: BTreeSet<Incarnation>,
    /// When a driver last was told, on its own clock, that somebody hears it or the store works.
    confirmed: BTreeMap<NodeId, Time>,
    /// Drivers that told their engine to end: for how long they had been alone, at most, then or
    /// later. The decision to give up is not taken back by who hears it while the engine ends.
    ending: BTreeMap<Incarnation, Duration>,
}

impl Oracle for RightfulExits {
    fn name(&self) -> &'static str {
        NAME
    }

    fn listens(&self) -> u32 {
        kinds::STORE
            | kinds::COMMAND
            | kinds::COMMITTED
            | kinds::MESSAGE
            | kinds::EVENT
            | kinds::EFFECT
            | kinds::STOP
    }

    fn seen(&mut self, at: Time, seen: &Seen<'_>, facts: &Facts) -> Result<(), Violation> {
        match seen {
            Seen::Input { node, clock, input } => self.told(*node, *clock, input, facts),
            Seen::Store(_) => self.store(facts),
            Seen::Output {
                node,
                output: Output::Event(ClusterEvent::Listed { .. }),
            } => {
                let life = facts.last_at_node(*node);
                self.knows
                    .extend(life.map(|life| life.identity.incarnation));
            }
            Seen::Output {
                node,
                output: Output::Effect(Effect::StopEngine),
            } => {
                if let Some(life) = facts.last_at_node(*node) {
                    let alone = self.alone(life, life.clock);
                    self.ending.insert(life.identity.incarnation, alone);
                }
            }
            Seen::Output {
                node,
                output: Output::Stop(reason),
            } => {
                if let Some(life) = facts.last_at_node(*node) {
                    return self.stops(at, life, reason, facts);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl RightfulExits {
    fn told(&mut self, node: NodeId, clock: Time, input: &Input, facts: &Facts) {
        let confirms = match input {
            Input::Message { message, .. } => matches!(message, Message::DriverHeard { .. }),
            Input::Committed { outcome, .. } => {
                matches!(outcome, CommitOutcome::Committed { .. })
            }
            Input::Command(Command::Leave) => {
                let life = facts.at_node(node);
                self.leaving
                    .extend(life.map(|life| life.identity.incarnation));
                false
            }
            _ => false,
        };
        if !confirms {
            return;
        }
        if let Some(life) = facts.last_at_node(node).filter(|_| !self.ending.is_empty()) {
            let alone = self.alone(life, clock);
            if let Some(longest) = self.ending.get_mut(&life.identity.incarnation) {
                *longest = alone.max(*longest);
            }
        }
        self.confirmed.insert(node, clock);
    }

    /// For how long nobody has confirmed a driver, on its own clock.
    fn alone(&self, life: &Life, clock: Time) -> Duration {
        let last = self.confirmed.get(&life.node).copied();
        clock.since(last.or(life.began_clock).unwrap_or_default())
    }

    fn store(&mut self, facts: &Facts) {
        for change in &facts.changes {
            match change {
                Change::Cluster(step) => {
                    for one in step.now().iter().flat_map(|one| &one.roster.listed) {
                        let generation = facts.roster().map_or(Generation(0), |one| one.generation);
                        self.listed.entry(one.incarnation).or_insert(generation);
                    }
                }
                Change::Life(_, step) => {
                    let ended = step
                        .now()
                        .filter(|life| matches!(life.phase, DriverPhase::Ended { .. }));
                    self.said.extend(ended.and_then(|life| life.driver));
                }
                _ => {}
            }
        }
    }

    fn stops(
        &self,
        at: Time,
        life: &Life,
        reason: &StopReason,
        facts: &Facts,
    ) -> Result<(), Violation> {
        let (me, name) = (life.identity.incarnation, &life.name);
        match reason {
            StopReason::LeftOut { generation } => {
                let listed = self.listed.get(&me);
                let roster = facts.roster();
                let out = roster.is_some_and(|roster| {
                    roster.generation >= *generation && !roster.lists(&life.identity)
                });
                claim!(
                    NAME,
                    at,
                    out && listed.is_some_and(|first| first < generation),
                    "left out",
                    "{name} says that generation {generation} leaves it out; it was listed in \
                     {listed:?}, and the roster is {roster:?}"
                );
            }
            StopReason::ClusterChanged { what } => {
                claim!(NAME, at, false, "cluster changed", "{name} stops: {what}");
            }
            StopReason::Left => claim!(
                NAME,
                at,
                self.leaving.contains(&me),
                "left",
                "{name} left, and nobody had told it to"
            ),
            StopReason::Reincarnate => claim!(
                NAME,
                at,
                !self.knows.contains(&me),
                "reincarnated",
                "{name} comes again as a fresh incarnation, though it knew that it was listed"
            ),
            StopReason::DriverDone => {
                let over = facts.launched.get(&me).is_none_or(|launched| {
                    let owner = facts.records.owners.get(&launched.context);
                    owner.is_none_or(|one| {
                        one.value
                            .owner
                            .as_ref()
                            .is_none_or(|owner| owner.driver != me)
                    })
                });
                claim!(
                    NAME,
                    at,
                    over || self.said.contains(&me),
                    "done",
                    "{name} says that it is done; its last word is not stored"
                );
            }
            StopReason::DriverFenced { what } => self.fenced(at, life, what, facts)?,
        }
        Ok(())
    }

    fn fenced(&self, at: Time, life: &Life, what: &str, facts: &Facts) -> Result<(), Violation> {
        let me = life.identity.incarnation;
        let Some(launched) = facts.launched.get(&me) else {
            return Ok(());
        };
        let owner = facts.records.owners.get(&launched.context);
        let owner = owner.map(|one| &one.value);
        let mine =
            owner.is_some_and(|one| one.owner.as_ref().is_some_and(|owner| owner.driver == me));
        let free = owner.is_some_and(|one| one.owner.is_none() && one.intent == launched.intent);
        if !mine && !free {
            return Ok(());
        }
        let waited = life.age();
        if free || self.leaving.contains(&me) {
            let late = waited >= percent(facts.times.driver_take, 98);
            claim!(
                NAME,
                at,
                late || facts.mixed || self.leaving.contains(&me),
                "gave up",
                "{} gives up a context that nobody has taken, after {waited:?}: {what}",
                life.name
            );
            return Ok(());
        }
        let alone = self.alone(life, life.clock);
        let alone = alone.max(self.ending.get(&me).copied().unwrap_or_default());
        // It counts from the sending of what was confirmed, so a little before `last`.
        let bound = percent(facts.times.driver_lost_after, 72);
        // A host that slept finds its last confirmation long past when it wakes.
        let classes = envelope::CLOCK | envelope::STOPPED;
        let true_clock = facts.envelope.spared(at, bound, classes, life.node);
        claim!(
            NAME,
            at,
            alone >= bound || facts.mixed || !true_clock,
            "fenced",
            "{} stops, though context {} is its own and it was confirmed {alone:?} ago: {what}",
            life.name,
            launched.context
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::history::{History, server};

    fn cluster() -> History {
        History::cluster(RightfulExits::default(), vec![])
    }

    fn stops(history: &mut History, node: u16, reason: StopReason) {
        history.output(node, &Output::Stop(reason));
    }

    /// A server confirms a beat.
    fn heard() -> Input {
        let message = Message::DriverHeard {
            sequence: 1,
            servers: vec![],
        };
        let from = server(1, 1);
        Input::Message { from, message }
    }

    fn rule(history: &mut History) -> String {
        history
            .fails()
            .trim_start_matches("rightful_exits/")
            .to_owned()
    }

    #[test]
    fn a_server_goes_down_only_after_a_roster_without_it() {
        let generation = Generation(4);
        let mut history = cluster();
        stops(&mut history, 3, StopReason::LeftOut { generation });
        assert_eq!(rule(&mut history), "left out");
        let mut history = cluster();
        history.rosters(&server(1, 1), 4, vec![server(1, 1), server(2, 1)]);
        stops(&mut history, 3, StopReason::LeftOut { generation });
        assert_eq!(history.verdict(), Ok(()));
    }

    #[test]
    fn who_leaves_was_told_to_and_who_is_listed_stays_itself() {
        let mut history = cluster();
        stops(&mut history, 3, StopReason::Left);
        assert_eq!(rule(&mut history), "left");
        let mut history = cluster();
        history.input(3, &Input::Command(Command::Leave));
        stops(&mut history, 3, StopReason::Left);
        assert_eq!(history.verdict(), Ok(()));
        let mut history = cluster();
        let generation = Generation(3);
        history.event(3, ClusterEvent::Listed { generation });
        stops(&mut history, 3, StopReason::Reincarnate);
        assert_eq!(rule(&mut history), "reincarnated");
    }

    #[test]
    fn a_driver_that_owns_its_context_and_is_heard_goes_on() {
        let fenced = || StopReason::DriverFenced { what: "x".into() };
        let owned = || {
            let mut history = cluster();
            history.creates_context(&server(1, 1), "a");
            history.launches(1, "a", 1, 1);
            history.takes_context(1, "a");
            history.input(101, &Input::Timeout);
            history
        };
        let mut history = owned();
        stops(&mut history, 101, fenced());
        assert_eq!(rule(&mut history), "fenced");
        let mut history = owned();
        history.wait(240_000).input(101, &Input::Timeout);
        stops(&mut history, 101, fenced());
        assert_eq!(history.verdict(), Ok(()));
        // Seed 582097: it gave up, and a server heard it while its engine ended.
        for (alone, good) in [(240_000, true), (20_000, false)] {
            let mut history = owned();
            history.wait(alone).input(101, &Input::Timeout);
            history.output(101, &Output::Effect(Effect::StopEngine));
            history.wait(50).input(101, &heard());
            history.wait(50).input(101, &Input::Timeout);
            stops(&mut history, 101, fenced());
            assert_eq!(history.verdict().is_ok(), good, "alone for {alone} ms");
        }
        // It was stopped in order, and then gave up as well.
        for (alone, good) in [(240_000, true), (20_000, false)] {
            let mut history = owned();
            history.input(101, &heard());
            history.output(101, &Output::Effect(Effect::StopEngine));
            history.wait(alone).input(101, &heard());
            history.wait(50).input(101, &Input::Timeout);
            stops(&mut history, 101, fenced());
            assert_eq!(history.verdict().is_ok(), good, "alone for {alone} ms");
        }
        let mut history = owned();
        stops(&mut history, 101, StopReason::DriverDone);
        assert_eq!(rule(&mut history), "done");
    }
}
