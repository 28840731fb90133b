//! Listens to a run and counts what is interesting.

use super::{Counters, Thing};
use crate::oracle::facts::Facts;
use crate::oracle::kinds;
use crate::oracle::records::{Change, Kind, Step, kind};
use crate::trace::seen::{Deed, NodeId, Seen, Written};
use doyen_core::identity::{CallId, Incarnation, JobId, Role};
use doyen_core::input::{Input, LinkEvent};
use doyen_core::output::{Answer, ClusterEvent, Output, StopReason, TakenBy};
use doyen_core::records::call::{CallOutcome, CallState};
use doyen_core::records::job::{JobRecord, JobState};
use doyen_core::records::singleton::SingletonRecord;
use doyen_core::records::transaction::{CommitOutcome, Operation};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Listens to a run and counts.
#[derive(Debug, Default)]
pub struct Watch {
    /// What happened so far.
    pub counters: Counters,
    announced: BTreeMap<Incarnation, u64>,
    calls: BTreeMap<CallId, u64>,
    takers: BTreeMap<JobId, (Incarnation, u64)>,
    intents: BTreeSet<(String, u64)>,
    owners: BTreeSet<Incarnation>,
    engines: BTreeMap<Incarnation, NodeId>,
    challenged: bool,
}

impl Watch {
    /// Takes an observation that `facts` know already.
    pub fn seen(&mut self, kind: u32, seen: &Seen<'_>, facts: &Facts) {
        const COUNTED: u32 = kinds::EVENT
            | kinds::STORE
            | kinds::LIFE
            | kinds::DEED
            | kinds::CLIENT
            | kinds::ANSWER
            | kinds::LINK
            | kinds::CHANGED;
        if kind & COUNTED == 0 {
            return;
        }
        match seen {
            Seen::Output {
                output: Output::Event(event),
                ..
            } => self.event(event),
            Seen::Output {
                output: Output::Answer { answer, .. },
                ..
            } => self.answer(answer),
            Seen::Input {
                input: Input::Link(event),
                ..
            } => match event {
                LinkEvent::Refused { .. } => self.counters.note(Thing::DialRefused),
                LinkEvent::Silent { .. } => self.counters.note(Thing::DialSilent),
                LinkEvent::Up { .. } | LinkEvent::Down { .. } | LinkEvent::Rejected { .. } => {}
            },
            Seen::Input {
                node,
                input: Input::StoreChanged(doyen_core::records::transaction::Change::Everything),
                ..
            } => {
                let fresh = facts.at_node(*node).is_none_or(|one| one.began == facts.at);
                if !fresh {
                    self.counters.note(Thing::SessionLost);
                }
            }
            Seen::Store(written) => self.store(written, facts),
            Seen::Ended { identity, how, .. } => self.ended(identity.incarnation, how, facts),
            Seen::Deed { node, deed } => self.deed(*node, deed),
            Seen::Read { node, found, .. } => self.read(*node, found.is_none(), facts),
            _ => {}
        }
    }

    fn event(&mut self, event: &ClusterEvent) {
        let thing = match event {
            ClusterEvent::Founded { .. } => Thing::Founded,
            ClusterEvent::Refounded { .. } => Thing::Refounded,
            ClusterEvent::SteppedDown { .. } => Thing::SteppedDown,
            ClusterEvent::Unreachable { .. } => Thing::Unreachable,
            ClusterEvent::Reachable { .. } => Thing::ReachableAgain,
            ClusterEvent::StoreReachable { reachable: false } => Thing::StoreLost,
            ClusterEvent::StoreReachable { reachable: true } => Thing::StoreBack,
            ClusterEvent::OfficeTaken { by, .. } => match by {
                TakenBy::Proof => Thing::MovedByProof,
                TakenBy::Challenge => Thing::MovedByChallenge,
                TakenBy::Vacancy => Thing::MovedByVacancy,
                TakenBy::Split => Thing::MovedBySplit,
                // A grant is seen in the store, under the granter's name.
                TakenBy::Founding | TakenBy::Grant => return,
            },
            _ => return,
        };
        self.counters.note(thing);
    }

    fn answer(&mut self, answer: &Answer) {
        let thing = match answer {
            Answer::Unknown => Thing::AnswerUnknown,
            Answer::CallInProgress { .. } => Thing::AnswerInProgress,
            Answer::NotReady { .. } => Thing::NotReady,
            _ => return,
        };
        self.counters.note(thing);
    }

    fn ended(&mut self, who: Incarnation, how: &crate::trace::seen::Ended, facts: &Facts) {
        use crate::trace::seen::Ended;
        if let Some(node) = self.engines.get(&who)
            && facts.last_at_node(*node).is_some()
            && matches!(how, Ended::Killed)
        {
            self.counters.note(Thing::OrphanFound);
        }
        let Ended::Stopped(reason) = how else { return };
        let thing = match reason {
            StopReason::Left => Thing::Left,
            StopReason::LeftOut { .. } => Thing::LeftOut,
            StopReason::Reincarnate => Thing::Reincarnated,
            StopReason::DriverFenced { .. } if self.owners.contains(&who) => Thing::ZombieStopped,
            StopReason::DriverFenced { .. } => Thing::LateDriver,
            StopReason::ClusterChanged { .. } | StopReason::DriverDone => return,
        };
        self.counters.note(thing);
    }

    fn deed(&mut self, node: NodeId, deed: &Deed) {
        match deed {
            Deed::DriverStarted {
                context, intent, ..
            } => {
                if !self.intents.insert((context.to_string(), intent.0)) {
                    self.counters.note(Thing::LaunchDoubled);
                }
            }
            Deed::EngineStarted { driver, .. } => {
                self.engines.insert(*driver, node);
            }
            Deed::EngineEnded { driver, .. } => {
                self.engines.remove(driver);
            }
            Deed::Killed { hit: Some(_), .. } => self.counters.note(Thing::Killed),
            Deed::Verified {
                driver: Some(_),
                verdict: doyen_core::input::Verdict::Dead,
                ..
            } => self.counters.note(Thing::AttemptProvedDead),
            Deed::JobStarted { .. }
            | Deed::JobEnded { .. }
            | Deed::Killed { .. }
            | Deed::Verified { .. } => {}
        }
    }

    fn read(&mut self, node: NodeId, stale: bool, facts: &Facts) {
        if stale {
            self.counters.note(Thing::ReadStale);
        }
        let lives = facts
            .lives()
            .iter()
            .filter(|life| life.node == node)
            .count();
        if lives > 1 {
            self.counters.note(Thing::ReadAtRestarted);
        }
    }

    fn store(&mut self, written: &Written<'_>, facts: &Facts) {
        let committed = matches!(written.outcome, CommitOutcome::Committed { .. });
        if !written.told {
            let thing = if committed {
                Thing::UnknownCommitted
            } else {
                Thing::UnknownRefused
            };
            self.counters.note(thing);
        }
        if let CommitOutcome::Refused { operation } = written.outcome {
            self.refused(written, *operation);
            return;
        }
        let dead = facts
            .life(written.by.incarnation)
            .is_some_and(|life| !life.lives());
        if committed && dead {
            self.counters.note(Thing::CommittedAfterDeath);
        }
        for change in &facts.changes {
            self.changed(change, written, facts);
        }
    }

    fn refused(&mut self, written: &Written<'_>, operation: usize) {
        let Some(failed) = written.transaction.operations.get(operation) else {
            return;
        };
        let thing = match (kind(failed.key()), failed) {
            (Kind::Key, Operation::Create { .. }) => Thing::KeyRepeated,
            (Kind::Singleton, Operation::Put { .. }) => Thing::ClaimLost,
            (Kind::Cluster, Operation::Put { .. }) => Thing::RosterLost,
            (Kind::Singleton | Kind::Owner, Operation::Check { .. }) => Thing::StaleWriteRefused,
            _ => Thing::VersionRefused,
        };
        self.counters.note(thing);
    }

    fn changed(&mut self, change: &Change, written: &Written<'_>, facts: &Facts) {
        let epoch = facts
            .records
            .singleton
            .as_ref()
            .map_or(0, |one| one.value.epoch.0);
        match change {
            Change::Cluster(step) => {
                if let (Some(old), Some(new)) = (step.was(), step.now()) {
                    self.roster(&old.roster, &new.roster, written.by.incarnation);
                }
            }
            Change::Singleton(step) => {
                self.challenged = false;
                if let Some(old) = step.was() {
                    self.office(old, written.by.incarnation, facts);
                }
            }
            Change::Challenge(step) => self.challenged = step.before.is_some(),
            Change::Pulse(step)
                if step.before.is_some() && std::mem::take(&mut self.challenged) =>
            {
                self.counters.note(Thing::ChallengeAnswered);
            }
            Change::Split(step) => {
                if let Some(new) = step.now().filter(|one| one.writer.is_some()) {
                    self.counters.note(Thing::WitnessAnnounced);
                    self.announced
                        .insert(written.by.incarnation, new.generation.0);
                }
            }
            Change::Call(id, step) if step.before.is_none() => {
                self.calls.insert(id.clone(), epoch);
            }
            Change::Settled(id, step) => {
                if let Some(CallState::Settled { outcome }) = step.now().map(|one| &one.progress) {
                    let made = self.calls.remove(id).unwrap_or(epoch);
                    self.settled(outcome, epoch.saturating_sub(made));
                }
            }
            Change::Owner(_, step) => {
                let new = step.now();
                if let Some(owner) = new.and_then(|one| one.owner.as_ref()) {
                    self.owners.insert(owner.driver);
                }
                let free = step.was().is_some_and(|one| one.owner.is_none());
                if free && new.is_some_and(|one| one.owner.is_none()) {
                    self.counters.note(Thing::LaunchSuperseded);
                }
            }
            Change::Job(id, step) => self.job(id, step, written.by.incarnation, facts),
            Change::Done(id, step) => {
                if let Some(new) = step.now() {
                    self.job_ended(id, &new.state, facts);
                }
            }
            _ => {}
        }
    }

    fn office(&mut self, old: &SingletonRecord, by: Incarnation, facts: &Facts) {
        if old.holder.incarnation == by {
            self.counters.note(Thing::MovedByGrant);
        }
        let still = facts
            .life(old.holder.incarnation)
            .filter(|life| life.lives());
        let paused = still.is_some_and(|life| {
            let classes = crate::oracle::envelope::STOPPED;
            !facts
                .envelope
                .spared(facts.at, Duration::ZERO, classes, life.node)
        });
        if paused {
            self.counters.note(Thing::MovedWhilePaused);
        }
    }

    fn job(&mut self, id: &JobId, step: &Step<JobRecord>, by: Incarnation, facts: &Facts) {
        if step.before.is_none() {
            let generation = facts.roster().map_or(0, |one| one.generation.0);
            self.takers.insert(id.clone(), (by, generation));
        }
        if let Some(JobState::Refused { .. }) = step.now().map(|one| &one.state) {
            self.counters.note(Thing::JobRefused);
        }
    }

    fn roster(
        &mut self,
        old: &doyen_core::records::cluster::Roster,
        new: &doyen_core::records::cluster::Roster,
        by: Incarnation,
    ) {
        let gone: Vec<_> = old.listed.iter().filter(|one| !new.lists(one)).collect();
        let come: Vec<_> = new.listed.iter().filter(|one| !old.lists(one)).collect();
        if !come.is_empty() && new.listed.len() > 1 {
            self.counters.note(Thing::Joined);
        }
        if come
            .iter()
            .any(|one| gone.iter().any(|other| other.address == one.address))
        {
            self.counters.note(Thing::Replaced);
        }
        if come.is_empty() && gone.iter().any(|one| one.incarnation != by) {
            self.counters.note(Thing::SplitDecided);
            if self.announced.get(&by) == Some(&old.generation.0) {
                self.announced.remove(&by);
                self.counters.note(Thing::WitnessActed);
            }
        }
        let before = self.announced.len();
        self.announced
            .retain(|_, generation| *generation > old.generation.0);
        for _ in self.announced.len()..before {
            self.counters.note(Thing::WitnessVoided);
        }
    }

    fn settled(&mut self, outcome: &CallOutcome, epochs: u64) {
        self.counters.note(match outcome {
            CallOutcome::ContextCreated { .. } => Thing::ContextCreated,
            CallOutcome::ContextStopped { .. } | CallOutcome::StopInProgress { .. } => {
                Thing::ContextStopped
            }
            CallOutcome::ContextFailed { .. } => Thing::ContextFailed,
            CallOutcome::ContextExists
            | CallOutcome::ContextNotFound
            | CallOutcome::TooMany { .. } => Thing::CallRefused,
            CallOutcome::Expired => Thing::CallExpired,
        });
        if epochs > 0 {
            self.counters.note(Thing::CallOutlivedHolder);
        }
        if epochs > 1 {
            self.counters.note(Thing::CallOutlivedTwo);
        }
    }

    fn job_ended(&mut self, id: &JobId, state: &JobState, facts: &Facts) {
        self.counters.note(match state {
            JobState::Finished => Thing::JobFinished,
            JobState::Killed => Thing::JobKilled,
            JobState::Error
            | JobState::Refused { .. }
            | JobState::Submitted
            | JobState::Running => Thing::JobFailed,
        });
        let Some((taker, generation)) = self.takers.remove(id) else {
            return;
        };
        if *state != JobState::Finished {
            return;
        }
        if facts
            .life(taker)
            .is_some_and(|life| life.role == Role::Server && !life.lives())
        {
            self.counters.note(Thing::JobOutlivedServer);
        }
        if facts
            .roster()
            .is_some_and(|roster| roster.generation.0 > generation)
        {
            self.counters.note(Thing::JobOutlivedSplit);
        }
    }
}
