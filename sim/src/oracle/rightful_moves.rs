//! `rightful_moves` (of `single_effective_singleton` and `someone_survives`): the office moves for a
//! reason, and a holder that lives and has the store keeps it.
//!
//! | claim | envelope |
//! | --- | --- |
//! | the new holder is listed; who takes the office takes it for itself, but for a grant (S2, S3) | always |
//! | a grant is given by a holder that leaves (S3) | always |
//! | a claim rests on a proof of death or an unanswered challenge (S4, S5, S7, ADR 0016) | always |
//! | a challenge rests on silence, a standing `pulse` or the holder's word, as its writer was told (S5, S6, S7) | all have the same configuration |
//! | a challenge is waited for (S5) | clocks true |
//! | a founding anew waits until `pulse` stood still, and for its turn (F4), or is alone (F5) | clocks true |
//! | a holder that lives, runs and has the store keeps the office while it is listed (S1) | no firewall that refuses |
//!
//! Source: protocol.md S, F4, F5, R5.

use super::envelope;
use super::facts::{Facts, percent};
use super::records::{Change, Kind, Step, kind};
use super::report::claim;
use super::{Oracle, Violation, kinds};
use crate::schedule::model::FaultKind;
use crate::trace::seen::{NodeId, Seen, Written};
use doyen_core::identity::{Identity, Incarnation};
use doyen_core::input::{Command, Input};
use doyen_core::output::{ClusterEvent, Output};
use doyen_core::records::cluster::Roster;
use doyen_core::records::singleton::{ChallengeRecord, Epoch, SingletonRecord};
use doyen_core::records::transaction::{
    Change as RecordChange, Operation, ReadOutcome, Snapshot, Version,
};
use doyen_core::time::Time;
use doyen_core::wire::Beat;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const NAME: &str = "rightful_moves";
/// A holder counts as sound when nothing has hit it for so long: it has read what was asked of it.
const SOUND: Duration = Duration::from_secs(4);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct RightfulMoves {
    leaving: BTreeSet<Incarnation>,
    /// Who had proof of whose death.
    proofs: BTreeSet<(Incarnation, Incarnation)>,
    /// Whose victim turned out to live.
    turned_out: BTreeSet<(Incarnation, Incarnation)>,
    /// The challenges of the present epoch: by whom, when first and when last.
    challenges: BTreeMap<Incarnation, (Time, Time)>,
    /// What each life was told of holders.
    told: BTreeMap<Incarnation, Told>,
}

/// The last beat of a server: its number, when it came, whether it said `vacant`.
#[derive(Clone, Copy, Debug)]
struct LastBeat {
    sequence: u64,
    at: Time,
    vacant: bool,
}

/// What a life was told, by its own clock.
#[derive(Debug, Default)]
struct Told {
    /// The last beat of each server.
    beats: BTreeMap<Incarnation, LastBeat>,
    /// The last version of `pulse` that it read.
    pulse: Option<Version>,
    /// When it was last told that `pulse` moved.
    moved: Option<Time>,
}

impl Told {
    fn beat(&mut self, clock: Time, beat: &Beat) {
        let new = LastBeat {
            sequence: beat.sequence,
            at: clock,
            vacant: beat.vacant,
        };
        let last = self.beats.entry(beat.from.incarnation).or_insert(new);
        if last.sequence < new.sequence {
            *last = new;
        }
    }

    fn reads(&mut self, clock: Time, snapshot: &Snapshot) {
        let mut records = snapshot.records.iter();
        if let Some((_, pulse)) = records.find(|(key, _)| kind(key) == Kind::Pulse)
            && self.pulse.replace(pulse.version) != Some(pulse.version)
        {
            self.moved = Some(clock);
        }
    }
}

impl Oracle for RightfulMoves {
    fn name(&self) -> &'static str {
        NAME
    }

    fn listens(&self) -> u32 {
        let told = kinds::BEAT | kinds::COMMAND | kinds::SNAPSHOT | kinds::CHANGED;
        told | kinds::STORE | kinds::EVENT
    }

    fn seen(&mut self, at: Time, seen: &Seen<'_>, facts: &Facts) -> Result<(), Violation> {
        match seen {
            Seen::Input { node, clock, input } => {
                if let Some(life) = facts.at_node(*node) {
                    self.input(life.identity.incarnation, *clock, input);
                }
                Ok(())
            }
            Seen::Output {
                node,
                output: Output::Event(event),
            } => self.event(at, *node, event, facts),
            Seen::Store(written) => self.written(at, written, facts),
            _ => Ok(()),
        }
    }
}

impl RightfulMoves {
    fn input(&mut self, me: Incarnation, clock: Time, input: &Input) {
        match input {
            Input::Command(Command::Leave) => {
                self.leaving.insert(me);
            }
            Input::Beat(beat) => {
                let pair = (me, beat.from.incarnation);
                self.told.entry(me).or_default().beat(clock, beat);
                if !self.proofs.is_empty() && self.proofs.contains(&pair) {
                    self.turned_out.insert(pair);
                }
            }
            Input::Read {
                outcome: ReadOutcome::Snapshot(snapshot),
                ..
            } => self.told.entry(me).or_default().reads(clock, snapshot),
            Input::StoreChanged(RecordChange::Record(key)) if kind(key) == Kind::Pulse => {
                self.told.entry(me).or_default().moved = Some(clock);
            }
            _ => {}
        }
    }

    fn event(
        &mut self,
        at: Time,
        node: NodeId,
        event: &ClusterEvent,
        facts: &Facts,
    ) -> Result<(), Violation> {
        let Some(life) = facts.last_at_node(node) else {
            return Ok(());
        };
        match event {
            ClusterEvent::ProofOfDeath { member, .. } => {
                let pair = (life.identity.incarnation, member.incarnation);
                let victim = facts.life(member.incarnation);
                let lives = victim.is_some_and(|victim| victim.lives());
                claim!(
                    NAME,
                    at,
                    !lives || refuses(facts),
                    "false proof",
                    "{} takes {} for proved dead, which lives",
                    life.name,
                    facts.name(member)
                );
                claim!(
                    NAME,
                    at,
                    !self.turned_out.contains(&pair),
                    "proof twice",
                    "{} takes proof of the death of {} again, after it had turned out to live (S4)",
                    life.name,
                    facts.name(member)
                );
                self.proofs.insert(pair);
            }
            ClusterEvent::Challenged { member } => {
                let (times, nothing) = (&facts.times, Told::default());
                let me = life.identity.incarnation;
                let told = self.told.get(&me).unwrap_or(&nothing);
                let beat = told.beats.get(&member.incarnation);
                let vacant = beat.is_some_and(|beat| beat.vacant);
                let heard = beat.map(|beat| life.clock.since(beat.at));
                let moved = told.moved.map(|at| life.clock.since(at));
                let silent = heard.is_none_or(|heard| heard >= percent(times.claim_after, 95));
                let still = moved.is_none_or(|moved| moved >= percent(times.hung_after, 95));
                claim!(
                    NAME,
                    at,
                    silent || still || vacant || facts.mixed,
                    "hasty challenge",
                    "{} challenges {}, which it heard {heard:?} ago and of whose pulse it was told \
                     {moved:?} ago",
                    life.name,
                    facts.name(member)
                );
            }
            _ => {}
        }
        Ok(())
    }

    fn written(&mut self, at: Time, written: &Written<'_>, facts: &Facts) -> Result<(), Violation> {
        for change in &facts.changes {
            match change {
                Change::Challenge(step) if step.before.is_some() => {
                    self.challenged(at, written.by, step, facts)?;
                }
                Change::Singleton(step) => {
                    if let (Some(old), Some(new)) = (step.was(), step.now()) {
                        self.moved(at, written, old, new, facts)?;
                    }
                    self.challenges.clear();
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn challenged(
        &mut self,
        at: Time,
        by: &Identity,
        step: &Step<ChallengeRecord>,
        facts: &Facts,
    ) -> Result<(), Violation> {
        let name = facts.name(by);
        let epoch = facts
            .records
            .singleton
            .as_ref()
            .map_or(Epoch(0), |one| one.value.epoch);
        let fits = step
            .now()
            .is_some_and(|one| one.epoch == epoch && one.challenger.as_ref() == Some(by));
        claim!(
            NAME,
            at,
            fits && facts.holder() != Some(by),
            "challenge",
            "{name} writes a challenge that does not fit: {:?}, the epoch is {epoch}",
            step.now()
        );
        let known = self.challenges.get(&by.incarnation).copied();
        let (first, last) = known.map_or((at, None), |(first, last)| (first, Some(last)));
        self.challenges.insert(by.incarnation, (first, at));
        let pause = percent(facts.times.challenge_pause, 60);
        // One whose answer was lost may have been carried out long after it was sent.
        let late = !facts.envelope.free_of(at, SOUND, envelope::STORE);
        claim!(
            NAME,
            at,
            late || !facts.true_times() || last.is_none_or(|last| at.since(last) >= pause),
            "challenges",
            "{name} challenges a second time after {:?} (S5: once a second)",
            at.since(last.unwrap_or(at))
        );
        Ok(())
    }

    fn moved(
        &self,
        at: Time,
        written: &Written<'_>,
        old: &SingletonRecord,
        new: &SingletonRecord,
        facts: &Facts,
    ) -> Result<(), Violation> {
        let (by, name) = (written.by, facts.name(written.by));
        let nobody = Roster::default();
        let roster = facts.roster().unwrap_or(&nobody);
        claim!(
            NAME,
            at,
            roster.lists(&new.holder),
            "not listed",
            "{name} gave the office to {}, whom generation {} does not list",
            new.holder,
            roster.generation
        );
        if old.holder == *by && new.holder != *by {
            claim!(
                NAME,
                at,
                self.leaving.contains(&by.incarnation),
                "grant",
                "{name} gave its office to {}, and does not leave",
                facts.name(&new.holder)
            );
            return Ok(());
        }
        claim!(
            NAME,
            at,
            new.holder == *by,
            "for another",
            "{name} took the office for {}",
            facts.name(&new.holder)
        );
        let cluster = facts.changes.iter().find_map(|change| match change {
            Change::Cluster(step) => Some(step),
            _ => None,
        });
        if let Some(step) = cluster {
            let old_roster = step.was().map_or(&nobody, |one| &one.roster);
            return self.with_roster(at, by, old_roster, roster, facts);
        }
        self.keeps(at, old, &name, facts)?;
        self.claimed(at, written, old, facts)
    }

    /// The office moved with the roster: a split that leaves the holder out, or a founding anew.
    fn with_roster(
        &self,
        at: Time,
        by: &Identity,
        old: &Roster,
        new: &Roster,
        facts: &Facts,
    ) -> Result<(), Violation> {
        let split = old.lists(by);
        let alone = old.listed.iter().all(|one| one.address == by.address);
        if split || alone || !facts.true_times() {
            return Ok(());
        }
        let name = facts.name(by);
        let life = facts.life(by.incarnation);
        let seeds = facts.seeds.get(&name);
        let turn = seeds.map_or(0, |seeds| {
            seeds
                .iter()
                .position(|seed| *seed == name)
                .unwrap_or(seeds.len())
        });
        let turn = u32::try_from(turn).unwrap_or(u32::MAX);
        let times = &facts.times;
        let wait = times
            .refound_after
            .saturating_add(times.seed_takeover.saturating_mul(turn));
        let looked = life.map_or(Duration::MAX, |life| at.since(life.began));
        claim!(
            NAME,
            at,
            looked >= percent(wait, 98),
            "founded too soon",
            "{name} founded generation {} anew after {looked:?}, its turn is after {wait:?}",
            new.generation
        );
        // `pulse` was raised by this very commit; its guard is the version that was looked at.
        let still = facts.changes.iter().find_map(|change| match change {
            Change::Pulse(step) => step.before.as_ref().map(|pulse| at.since(pulse.at)),
            _ => None,
        });
        claim!(
            NAME,
            at,
            still.is_none_or(|still| still >= percent(wait, 90)),
            "founded over a pulse",
            "{name} founded generation {} anew, though `pulse` moved {still:?} ago",
            new.generation
        );
        Ok(())
    }

    /// S1.
    fn keeps(
        &self,
        at: Time,
        old: &SingletonRecord,
        name: &str,
        facts: &Facts,
    ) -> Result<(), Violation> {
        let Some(life) = facts
            .life(old.holder.incarnation)
            .filter(|life| life.lives())
        else {
            return Ok(());
        };
        let sound = facts.sound(life.node, SOUND)
            && at.since(life.began) > SOUND
            && !self.leaving.contains(&old.holder.incarnation)
            && facts
                .roster()
                .is_some_and(|roster| roster.lists(&old.holder));
        claim!(
            NAME,
            at,
            !sound || refuses(facts),
            "taken from the living",
            "{name} took the office from {}, which lives, runs and has the store",
            life.name
        );
        Ok(())
    }

    fn claimed(
        &self,
        at: Time,
        written: &Written<'_>,
        old: &SingletonRecord,
        facts: &Facts,
    ) -> Result<(), Violation> {
        let (by, holder) = (written.by.incarnation, old.holder.incarnation);
        if self.proofs.contains(&(by, holder)) {
            return Ok(());
        }
        let name = facts.name(written.by);
        let Some((first, challenged)) = self.challenges.get(&by) else {
            claim!(
                NAME,
                at,
                false,
                "no reason",
                "{name} took the office from {}, without proof or challenge",
                facts.name(&old.holder)
            );
            return Ok(());
        };
        let guarded = written.transaction.operations.iter().any(|one| {
            let is_guard = matches!(
                one,
                Operation::Put {
                    version: Some(_),
                    ..
                } | Operation::Check { .. }
            );
            is_guard && kind(one.key()) == Kind::Pulse
        });
        claim!(
            NAME,
            at,
            guarded,
            "answer ignored",
            "{name} took the office after a challenge, without a guard on `pulse` (S5)"
        );
        let raised = facts.changes.iter().find_map(|change| match change {
            Change::Pulse(step) => step.before.as_ref().map(|pulse| pulse.at),
            _ => None,
        });
        claim!(
            NAME,
            at,
            raised.is_none_or(|raised| raised <= *challenged),
            "answer ignored",
            "{name} took the office at {at}, though its challenge of {challenged} was answered"
        );
        // A claim that was carried out late may follow a later challenge.
        let waited = at.since(*first);
        claim!(
            NAME,
            at,
            !facts.true_times() || waited >= percent(facts.times.challenge_wait, 98),
            "no wait",
            "{name} took the office {waited:?} after its challenge"
        );
        Ok(())
    }
}

/// Whether the schedule has a firewall that refuses: what looks like proof need not be one.
fn refuses(facts: &Facts) -> bool {
    let refuses = |kind: &FaultKind| matches!(kind, FaultKind::Cut { refuses: true, .. });
    facts.faults.iter().any(refuses)
}

#[cfg(test)]
#[path = "rightful_moves_tests.rs"]
mod tests;
