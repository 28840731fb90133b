//! The part of `splits` about what must come to pass in time: who is dead is off the roster, and two
//! sides of a clean cut do not both stay on it.
//!
//! Envelope: nothing else goes wrong. Source: protocol.md R4; sbr.md 4.1.

use super::Violation;
use super::envelope::{self, Trouble};
use super::facts::Facts;
use super::report::claim;
use super::splits::NAME;
use crate::schedule::model::{FaultKind, Target, Topology};
use crate::trace::seen::NodeId;
use doyen_core::records::cluster::Roster;
use doyen_core::time::Time;
use std::time::Duration;

/// The steps of a decision: store calls, beats, the look of this oracle once a second.
const ROOM: Duration = Duration::from_secs(5);

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

pub(super) fn dead_are_taken_off(at: Time, facts: &Facts) -> Result<(), Violation> {
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

pub(super) fn cuts_are_decided(at: Time, facts: &Facts) -> Result<(), Violation> {
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
