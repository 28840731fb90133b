//! `splits` (of `one_survivor` and `someone_survives`): how a side comes to leave others out. What
//! counts is what its writer knew when it sent the roster, which may be carried out much later; only
//! rosters that the store accepts count.
//!
//! | claim | envelope |
//! | --- | --- |
//! | a side that is not preferred announced itself `witness-delay` before it acted (R4) | clocks true |
//! | nobody acts before `stable-after`, but for a split of another that it read (R4) | clocks true |
//! | nobody is left out to whom, and to whose writer, nothing has happened | always |
//! | nor by a writer to which nothing has happened but that it stood still, and that just woke (S5) | always |
//! | `stable-after`, or the announcement, counts from when the writer was last connected with all (R4) | clocks true, all exchange beats |
//! | who is preferred announces nothing (R4) | all have the same configuration |
//! | a server that is dead is off the roster in time | nothing else goes wrong |
//! | two sides of a clean cut are not both on the roster for longer than it takes | nothing else goes wrong, the store reached by all |
//!
//! Source: protocol.md R3 to R6; sbr.md 4.1 (keep-oldest).

use super::envelope;
use super::facts::{Facts, Life, percent};
use super::records::{Change, Kind, kind};
use super::report::claim;
use super::splits_ears::Ears;
use super::splits_in_time::{cuts_are_decided, dead_are_taken_off};
use super::{Oracle, Violation, kinds};
use crate::trace::seen::{NodeId, Seen};
use doyen_core::identity::{Identity, Incarnation};
use doyen_core::input::{Command, Input};
use doyen_core::output::{ClusterEvent, Output};
use doyen_core::records::cluster::{ClusterRecord, Generation, Roster};
use doyen_core::records::singleton::SplitRecord;
use doyen_core::records::transaction::{
    Operation, ReadOutcome, Snapshot, Transaction, TransactionId, Version,
};
use doyen_core::time::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub(super) const NAME: &str = "splits";

/// What a lossy link has kept back may come late for so long after its end.
const BACKLOG: Duration = Duration::from_secs(30);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Splits {
    leaving: BTreeSet<Incarnation>,
    /// The last announcement of each server of which it was told that it was made: it waits from
    /// then on.
    told: BTreeMap<Incarnation, (Generation, Time)>,
    /// The `split` that each server read last.
    read: BTreeMap<Incarnation, Version>,
    /// When each server last read a new announcement of another: it need not wait (R4).
    hurried: BTreeMap<Incarnation, (Generation, Time)>,
    ears: Ears,
    /// What is wrong with rosters that were sent and are not carried out yet.
    doubtful: BTreeMap<TransactionId, Violation>,
}

impl Oracle for Splits {
    fn name(&self) -> &'static str {
        NAME
    }

    fn listens(&self) -> u32 {
        let told = kinds::COMMAND | kinds::BEAT | kinds::SNAPSHOT;
        told | kinds::STORE | kinds::COMMIT | kinds::VIEWS | kinds::EVENT
    }

    fn seen(&mut self, at: Time, seen: &Seen<'_>, facts: &Facts) -> Result<(), Violation> {
        match seen {
            Seen::Input { node, clock, input } => self.input(at, *node, *clock, input, facts),
            Seen::Output {
                node,
                output: Output::Event(ClusterEvent::Unreachable { member }),
            } => self.ears.forget(*node, member, facts),
            Seen::Output {
                node,
                output: Output::Commit { transaction, .. },
            } => {
                if let Some(life) = facts.at_node(*node)
                    && let Err(wrong) = self.sends(at, life, transaction, facts)
                {
                    self.doubtful.insert(transaction.id.clone(), wrong);
                }
            }
            Seen::Store(written) => {
                let wrong = self.doubtful.remove(&written.transaction.id);
                for change in &facts.changes {
                    if let Change::Split(step) = change
                        && let Some(split) = step.now().filter(|one| one.writer.is_some())
                        && written.told
                    {
                        let told = (split.generation, at);
                        self.told.insert(written.by.incarnation, told);
                    }
                }
                if let Some(wrong) = wrong.filter(|_| !facts.changes.is_empty()) {
                    return Err(Violation { at, ..wrong });
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
    fn input(&mut self, at: Time, node: NodeId, clock: Time, input: &Input, facts: &Facts) {
        let Some(life) = facts.at_node(node) else {
            return;
        };
        match input {
            Input::Command(Command::Leave) => {
                self.leaving.insert(life.identity.incarnation);
            }
            Input::Beat(beat) => self.ears.beat(at, node, clock, beat, facts),
            Input::Read {
                outcome: ReadOutcome::Snapshot(snapshot),
                ..
            } => self.reads(at, &life.identity, snapshot),
            _ => {}
        }
    }

    /// Who reads a `split` that changed since its last read skips `stable-after` (R4).
    fn reads(&mut self, at: Time, by: &Identity, snapshot: &Snapshot) {
        let mut records = snapshot.records.iter();
        let Some((_, stored)) = records.find(|(key, _)| kind(key) == Kind::Split) else {
            return;
        };
        let before = self.read.insert(by.incarnation, stored.version);
        if before.is_none_or(|before| before == stored.version) {
            return;
        }
        let split: Option<SplitRecord> = serde_json::from_str(&stored.value).ok();
        let by_other = |one: &SplitRecord| one.writer.as_ref().is_some_and(|other| other != by);
        if let Some(split) = split.filter(by_other) {
            self.hurried.insert(by.incarnation, (split.generation, at));
        }
    }

    /// A server sends a transaction: what is wrong with it, should it be carried out.
    fn sends(
        &self,
        at: Time,
        life: &Life,
        transaction: &Transaction,
        facts: &Facts,
    ) -> Result<(), Violation> {
        let Some(old) = facts.roster() else {
            return Ok(());
        };
        for operation in &transaction.operations {
            let Operation::Put { key, value, .. } = operation else {
                continue;
            };
            if kind(key) == Kind::Split
                && let Ok(split) = serde_json::from_str::<SplitRecord>(value)
            {
                announces(at, life, &split, old, facts)?;
            }
            if kind(key) == Kind::Cluster
                && let Ok(new) = serde_json::from_str::<ClusterRecord>(value)
            {
                self.decides(at, &life.identity, old, &new.roster, facts)?;
            }
        }
        Ok(())
    }

    fn decides(
        &self,
        at: Time,
        by: &Identity,
        old: &Roster,
        new: &Roster,
        facts: &Facts,
    ) -> Result<(), Violation> {
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
        let preferred = is_preferred(old, &kept, facts.down_if_alone);
        let current = |known: Option<&(Generation, Time)>| {
            let known = known.filter(|(generation, _)| *generation == old.generation);
            known.map(|(_, at)| *at)
        };
        let announced = current(self.told.get(&by.incarnation));
        let hurried = current(self.hurried.get(&by.incarnation));
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
            hasty(at, &name, &out, hurried, facts)?;
            if let Some(whole) = self.ears.whole(by) {
                let announced = announced.filter(|_| !preferred);
                after_whole(at, &name, whole, announced, hurried, facts)?;
            }
        }
        needless(at, by, &out, facts)
    }
}

/// Nobody acts before `stable-after`: the dead stay dead; whom one does not hear otherwise is not
/// heard for some trouble.
fn hasty(
    at: Time,
    name: &str,
    out: &[&Identity],
    hurried: Option<Time>,
    facts: &Facts,
) -> Result<(), Violation> {
    let stable = percent(facts.times.stable_after, 98);
    let gap = facts.times.detection.saturating_add(BACKLOG);
    let trouble = facts.envelope.troubled_since(at, gap);
    let since = |one: &Identity| {
        let died = facts.life(one.incarnation).and_then(|life| life.ended);
        died.into_iter().chain(trouble).min()
    };
    let quick = |one: &&&Identity| since(one).is_none_or(|since| at.since(since) < stable);
    let hasty = out.iter().find(quick);
    claim!(
        NAME,
        at,
        hurried.is_some() || hasty.is_none(),
        "hasty",
        "{name} left out {hasty:?} before stable-after: {trouble:?} was the first trouble"
    );
    Ok(())
}

/// Whatever lets a side act began after it was last connected with all.
fn after_whole(
    at: Time,
    name: &str,
    whole: Time,
    announced: Option<Time>,
    hurried: Option<Time>,
    facts: &Facts,
) -> Result<(), Violation> {
    let stable = percent(facts.times.stable_after, 98);
    claim!(
        NAME,
        at,
        announced.is_none_or(|announced| announced >= whole),
        "void",
        "{name} acted on its announcement of {announced:?}, though it was connected with all at \
         {whole}"
    );
    claim!(
        NAME,
        at,
        hurried.is_some_and(|hurried| hurried >= whole)
            || announced.unwrap_or(at).since(whole) >= stable,
        "hasty",
        "{name} left others out before stable-after: it was connected with all at {whole}"
    );
    Ok(())
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
fn announces(
    at: Time,
    life: &Life,
    split: &SplitRecord,
    roster: &Roster,
    facts: &Facts,
) -> Result<(), Violation> {
    let preferred = is_preferred(roster, &split.connected, facts.down_if_alone);
    claim!(
        NAME,
        at,
        !preferred || facts.mixed || split.generation != roster.generation,
        "announced needlessly",
        "{} announces itself as {:?} of generation {}, which is the preferred side",
        life.name,
        split.connected,
        roster.generation
    );
    Ok(())
}

#[cfg(test)]
#[path = "splits_tests.rs"]
mod tests;
