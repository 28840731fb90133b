//! `splits` (of `one_survivor` and `someone_survives`): how a side comes to leave others out.
//!
//! | claim | envelope |
//! | --- | --- |
//! | a side that is not preferred announced itself `witness-delay` before it acted (R4) | clocks true |
//! | nobody acts before `stable-after`, but for a split that another announced (R4) | clocks true |
//! | nobody is left out to whom, and to whose writer, nothing has happened | always |
//! | nor by a writer to which nothing has happened but that it stood still, and that just woke (S5) | always |
//! | `stable-after`, or the announcement, counts from when the writer was last connected with all (R4) | clocks true, all exchange beats, the writer runs and has the store |
//! | a server that is dead is off the roster in time | nothing else goes wrong |
//! | two sides of a clean cut are not both on the roster for longer than it takes | nothing else goes wrong, the store reached by all |
//!
//! Source: protocol.md R3 to R6; sbr.md 4.1 (keep-oldest).

use super::envelope::{self, Trouble};
use super::facts::{Facts, percent};
use super::records::{Change, Kind, Step, kind};
use super::report::claim;
use super::splits_ears::Ears;
use super::{Oracle, Violation, kinds};
use crate::schedule::model::{FaultKind, Target, Topology};
use crate::trace::seen::{NodeId, Seen};
use doyen_core::identity::{Identity, Incarnation};
use doyen_core::input::{Command, Input};
use doyen_core::output::{ClusterEvent, Output};
use doyen_core::records::cluster::{ClusterRecord, Generation, Roster};
use doyen_core::records::singleton::SplitRecord;
use doyen_core::records::transaction::{Operation, Transaction, TransactionId};
use doyen_core::time::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const NAME: &str = "splits";
/// The steps of a decision: store calls, beats, the look of this oracle once a second.
const ROOM: Duration = Duration::from_secs(5);

/// What a lossy link has kept back may come late for so long after its end.
const BACKLOG: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Splits {
    leaving: BTreeSet<Incarnation>,
    /// The announcements of the current generation: by whom, when.
    announced: BTreeMap<Incarnation, Time>,
    /// Those whose writer was told that they were made: it waits from then on.
    told: BTreeMap<Incarnation, Time>,
    generation: Generation,
    ears: Ears,
    /// Rosters that were sent and not yet carried out: when their writer, as it sent them, was last
    /// connected with all. A commit may be carried out long after it was decided.
    sent: BTreeMap<TransactionId, Option<Time>>,
}

impl Oracle for Splits {
    fn name(&self) -> &'static str {
        NAME
    }

    fn listens(&self) -> u32 {
        kinds::STORE | kinds::COMMAND | kinds::COMMIT | kinds::VIEWS | kinds::BEAT | kinds::EVENT
    }

    fn seen(&mut self, at: Time, seen: &Seen<'_>, facts: &Facts) -> Result<(), Violation> {
        match seen {
            Seen::Input {
                node,
                input: Input::Command(Command::Leave),
                ..
            } => {
                let life = facts.at_node(*node);
                self.leaving
                    .extend(life.map(|life| life.identity.incarnation));
            }
            Seen::Input {
                node,
                clock,
                input: Input::Beat(beat),
            } => self.ears.beat(at, *node, *clock, beat, facts),
            Seen::Output {
                node,
                output: Output::Event(ClusterEvent::Unreachable { member }),
            } => self.ears.forget(*node, member, facts),
            Seen::Output {
                node,
                output: Output::Commit { transaction, .. },
            } => self.sends(*node, transaction, facts),
            Seen::Store(written) => {
                let sent = self.sent.remove(&written.transaction.id);
                for change in &facts.changes {
                    match change {
                        Change::Split(step) => {
                            if let Some(split) = step.now().filter(|one| one.writer.is_some()) {
                                self.turn(split.generation);
                                announces(at, written.by, split, facts)?;
                                self.announced.insert(written.by.incarnation, at);
                                if written.told {
                                    self.told.insert(written.by.incarnation, at);
                                }
                            }
                        }
                        Change::Cluster(step) => {
                            let whole = sent.unwrap_or_else(|| self.ears.whole(written.by));
                            self.changed(at, written.by, step, whole, facts)?;
                        }
                        _ => {}
                    }
                }
            }
            Seen::Views { .. } if !facts.mixed => {
                dead_are_taken_off(at, facts)?;
                cuts_are_decided(at, facts)?;
            }
            _ => {}
        }
        Ok(())
    }
}

impl Splits {
    fn turn(&mut self, generation: Generation) {
        if self.generation != generation {
            self.generation = generation;
            self.announced.clear();
            self.told.clear();
        }
    }

    fn changed(
        &mut self,
        at: Time,
        by: &Identity,
        step: &Step<ClusterRecord>,
        whole: Option<Time>,
        facts: &Facts,
    ) -> Result<(), Violation> {
        let (Some(old), Some(new)) = (step.was(), step.now()) else {
            return Ok(());
        };
        let (old, new) = (&old.roster, &new.roster);
        self.turn(old.generation);
        let adds = new.listed.iter().any(|one| !old.lists(one));
        let goes = |one: &&Identity| !new.lists(one) && !self.leaving.contains(&one.incarnation);
        let out: Vec<&Identity> = old.listed.iter().filter(goes).collect();
        if adds || out.is_empty() {
            return Ok(());
        }
        let name = facts.name(by);
        claim!(
            NAME,
            at,
            new.lists(by),
            "leaves itself out",
            "{name} left itself out in generation {}",
            new.generation
        );
        let kept: BTreeSet<Identity> = new.listed.iter().cloned().collect();
        let announced = self.told.get(&by.incarnation).copied();
        let preferred = is_preferred(old, &kept, facts.down_if_alone);
        claim!(
            NAME,
            at,
            preferred || announced.is_some() || facts.mixed,
            "not announced",
            "{name} left out {out:?} of generation {} without an announcement, and keeps {kept:?}",
            old.generation
        );
        if facts.true_times() {
            let wait = percent(facts.times.witness_delay, 98);
            claim!(
                NAME,
                at,
                preferred || announced.is_none_or(|one| at.since(one) >= wait),
                "witness",
                "{name} acted {:?} after its announcement, witness-delay is {wait:?}",
                at.since(announced.unwrap_or(at))
            );
            let hurried = self.announced.keys().any(|one| *one != by.incarnation);
            let stable = percent(facts.times.stable_after, 98);
            let gap = facts.times.detection.saturating_add(BACKLOG);
            let trouble = facts.envelope.troubled_since(at, gap);
            // The dead stay dead; whom one does not hear otherwise is not heard for some trouble.
            let since = |one: &&Identity| {
                let died = facts.life(one.incarnation).and_then(|life| life.ended);
                died.into_iter().chain(trouble).min()
            };
            let quick = |one: &&Identity| since(one).is_none_or(|since| at.since(since) < stable);
            let hasty = out.iter().copied().find(|one| quick(one));
            claim!(
                NAME,
                at,
                hurried || hasty.is_none(),
                "hasty",
                "{name} left out {hasty:?} before stable-after: {trouble:?} was the first trouble"
            );
            if let Some(whole) = whole {
                self.sees_whole(at, by, preferred, whole, facts)?;
            }
        }
        needless(at, by, &out, facts)
    }
}

impl Splits {
    fn sends(&mut self, node: NodeId, transaction: &Transaction, facts: &Facts) {
        let is_roster = |one: &Operation| {
            matches!(one, Operation::Put { .. }) && kind(one.key()) == Kind::Cluster
        };
        if let Some(life) = facts.at_node(node)
            && transaction.operations.iter().any(is_roster)
        {
            let whole = self.ears.whole(&life.identity);
            self.sent.insert(transaction.id.clone(), whole);
        }
    }

    /// Whatever lets a side act began after it was last connected with all.
    fn sees_whole(
        &self,
        at: Time,
        by: &Identity,
        preferred: bool,
        whole: Time,
        facts: &Facts,
    ) -> Result<(), Violation> {
        let own = self.told.get(&by.incarnation).copied();
        let own = own.filter(|_| !preferred);
        // One of another may be read a little after it was made.
        let mut others = self.announced.iter();
        let hurried = others.any(|(one, at)| *one != by.incarnation && at.after(ROOM) >= whole);
        let stable = percent(facts.times.stable_after, 98);
        let name = facts.name(by);
        claim!(
            NAME,
            at,
            own.is_none_or(|announced| announced >= whole),
            "void",
            "{name} acted on its announcement of {own:?}, though it was connected with all at {whole}"
        );
        claim!(
            NAME,
            at,
            hurried || own.unwrap_or(at).since(whole) >= stable,
            "hasty",
            "{name} left others out before stable-after: it was connected with all at {whole}"
        );
        Ok(())
    }
}

/// Somebody is left out although nothing has happened to it, nor to the writer.
fn needless(at: Time, by: &Identity, out: &[&Identity], facts: &Facts) -> Result<(), Violation> {
    let classes = envelope::NET | envelope::STOPPED | envelope::CLOCK;
    let span = facts
        .times
        .stable_after
        .saturating_add(facts.times.detection.saturating_mul(2))
        .saturating_add(BACKLOG);
    let spared = |node| facts.envelope.spared(at, span, classes, node);
    let writer = facts.life(by.incarnation).map(|life| life.node);
    let woke = writer.is_some_and(|writer| just_woke(at, span, writer, facts));
    for one in out {
        let Some(life) = facts.life(one.incarnation) else {
            continue;
        };
        let well = life.lives() && at.since(life.began) > span && spared(life.node);
        claim!(
            NAME,
            at,
            !well || !writer.is_some_and(spared),
            "needless",
            "{} left out {}, which lives, and nothing has come between them",
            facts.name(by),
            life.name
        );
        claim!(
            NAME,
            at,
            !well || !woke,
            "just woke",
            "{} left out {}, which lives and has run, for the silence of its own standstill",
            facts.name(by),
            life.name
        );
    }
    Ok(())
}

/// Whether a process goes on only since less than a detection time ago after it stood still, and
/// nothing else has come between it and the others.
fn just_woke(at: Time, span: Duration, node: NodeId, facts: &Facts) -> bool {
    let short = percent(facts.times.detection, 95);
    let others = envelope::NET | envelope::CLOCK;
    !facts.mixed
        && !facts.envelope.spared(at, short, envelope::STOPPED, node)
        && facts.envelope.spared(at, span, others, node)
}

/// Whether keep-oldest prefers the side that is kept (sbr.md 4.1): the side of the oldest, unless
/// that is alone against two or more; then the other side, if it is whole. Written anew here, so
/// that an error of core's rule does not hide behind itself.
fn is_preferred(old: &Roster, kept: &BTreeSet<Identity>, down_if_alone: bool) -> bool {
    let Some((oldest, others)) = old.listed.split_first() else {
        return false;
    };
    let with_us = others.iter().filter(|one| kept.contains(*one)).count();
    if kept.contains(oldest) {
        with_us > 0 || others.len() < 2 || !down_if_alone
    } else {
        down_if_alone && with_us == others.len() && others.len() >= 2
    }
}

/// A side that is preferred acts at once, it has nothing to announce (R4).
fn announces(at: Time, by: &Identity, split: &SplitRecord, facts: &Facts) -> Result<(), Violation> {
    let Some(roster) = facts.roster().filter(|_| !facts.mixed) else {
        return Ok(());
    };
    let preferred = is_preferred(roster, &split.connected, facts.down_if_alone);
    claim!(
        NAME,
        at,
        !preferred || split.generation != roster.generation,
        "announced needlessly",
        "{} announces itself as {:?} of generation {}, which is the preferred side",
        facts.name(by),
        split.connected,
        roster.generation
    );
    Ok(())
}

/// How long a clean split takes at most, from its cause.
fn bound(facts: &Facts) -> Duration {
    let times = &facts.times;
    times
        .detection
        .saturating_add(times.stable_after)
        .saturating_add(times.witness_delay)
        .saturating_add(times.store_call.saturating_mul(3))
        .saturating_add(ROOM)
}

fn dead_are_taken_off(at: Time, facts: &Facts) -> Result<(), Violation> {
    let Some(roster) = facts.roster() else {
        return Ok(());
    };
    for one in &roster.listed {
        let Some(life) = facts.life(one.incarnation) else {
            continue;
        };
        let Some(died) = life.ended.filter(|died| at.since(*died) > bound(facts)) else {
            continue;
        };
        let other = |trouble: &&Trouble| {
            trouble.hits != [life.node]
                && trouble.until.is_none_or(|until| until.after(ROOM) >= died)
        };
        let alone = facts.envelope.troubles().iter().find(other).is_none();
        let someone = roster.listed.iter().any(|one| {
            let other = facts.life(one.incarnation);
            other.is_some_and(|other| other.lives() && other.began < died)
        });
        claim!(
            NAME,
            at,
            !(alone && someone),
            "the dead stay",
            "{} died {:?} ago and is still listed in generation {}",
            life.name,
            at.since(died),
            roster.generation
        );
    }
    Ok(())
}

fn cuts_are_decided(at: Time, facts: &Facts) -> Result<(), Violation> {
    let Some(roster) = facts.roster() else {
        return Ok(());
    };
    let bound = bound(facts);
    let active = |one: &&Trouble| one.until.is_none();
    let mut cuts = facts.envelope.troubles().iter().filter(active);
    let (Some(cut), None) = (cuts.next(), cuts.next()) else {
        return Ok(());
    };
    let Some(index) = cut.index.filter(|_| at.since(cut.from) > bound) else {
        return Ok(());
    };
    let before = |one: &Trouble| {
        one.index.is_none_or(|other| other == index)
            || one.until.is_some_and(|until| until.after(bound) < cut.from)
    };
    if cut.classes != envelope::NET || !facts.envelope.troubles().iter().all(before) {
        return Ok(());
    }
    let Some(FaultKind::Cut { topology, .. }) = facts.faults.get(index) else {
        return Ok(());
    };
    let sides = sides(topology, &cut.hits, roster, facts);
    let here = sides.iter().filter(|side| !side.is_empty());
    claim!(
        NAME,
        at,
        here.count() <= 1,
        "undecided",
        "the cut of fault {index} has lasted {:?}, and generation {} still lists {sides:?}",
        at.since(cut.from),
        roster.generation
    );
    Ok(())
}

/// The listed servers on each side of a clean cut; nothing when the sides are not known.
fn sides(topology: &Topology, hits: &[NodeId], roster: &Roster, facts: &Facts) -> Vec<Vec<String>> {
    let names = || roster.listed.iter().map(|one| facts.name(one));
    let hit = |name: &String| {
        let of_name = |node: &NodeId| {
            let life = facts.last_at_node(*node);
            life.is_some_and(|life| life.name == *name)
        };
        hits.iter().any(of_name)
    };
    match topology {
        Topology::Isolate(targets) if targets.len() == 1 => {
            let (alone, others) = names().partition(hit);
            vec![alone, others]
        }
        Topology::Sides(sides) => {
            let on = |side: &Vec<Target>| {
                let named = |name: &String| side.contains(&Target::Named(name.clone()));
                names().filter(named).collect()
            };
            sides.iter().map(on).collect()
        }
        Topology::Isolate(_)
        | Topology::OneWay(..)
        | Topology::Bridge(..)
        | Topology::MajoritiesRing => Vec::new(),
    }
}

#[cfg(test)]
#[path = "splits_tests.rs"]
mod tests;
