//! What all oracles know of a run: who lives, which faults are about, what the store holds.

use super::envelope::{self, Envelope};
use super::records::{Change, Records};
use crate::schedule::model::{FaultKind, Schedule};
use crate::trace::seen::{Deed, Ended, NodeId, Phase, Seen, Written};
use doyen_core::config::{Config, Limits, Times};
use doyen_core::identity::{ContextId, Identity, Incarnation, Role};
use doyen_core::output::StopReason;
use doyen_core::records::cluster::Roster;
use doyen_core::records::context::IntentNumber;
use doyen_core::records::transaction::CommitOutcome;
use doyen_core::time::Time;
use std::collections::BTreeMap;
use std::time::Duration;

/// So many hundredths of a span. Claims about times leave some room for the steps of a run.
#[must_use]
pub fn percent(span: Duration, hundredths: u32) -> Duration {
    span.saturating_mul(hundredths) / 100
}

/// One life of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// Where.
    pub node: NodeId,
    /// Who.
    pub identity: Identity,
    /// What it does.
    pub role: Role,
    /// The name of its place.
    pub name: String,
    /// When it began.
    pub began: Time,
    /// When it ended.
    pub ended: Option<Time>,
    /// How it ended, if it stopped itself.
    pub stopped: Option<StopReason>,
    /// Its own clock, as of its last input.
    pub clock: Time,
    /// Its own clock at its first input.
    pub began_clock: Option<Time>,
}

impl Life {
    /// Whether it goes on.
    #[must_use]
    pub const fn lives(&self) -> bool {
        self.ended.is_none()
    }

    /// How old it is by its own clock.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.began_clock
            .map_or(Duration::ZERO, |began| self.clock.since(began))
    }
}

/// A driver as its launch made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launched {
    /// Of which context.
    pub context: ContextId,
    /// By which intent.
    pub intent: IntentNumber,
    /// The server whose host it runs on.
    pub host: NodeId,
}

/// What all oracles know.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The world's time.
    pub at: Time,
    /// The phase, and since when.
    pub phase: (Phase, Time),
    /// The times of the configuration.
    pub times: Times,
    /// The bounds of the configuration.
    pub limits: Limits,
    /// Whether a lone oldest yields (sbr.md 4.1).
    pub down_if_alone: bool,
    /// Some server has settings of its own: claims about times do not hold for it.
    pub mixed: bool,
    /// The faults of the schedule.
    pub faults: Vec<FaultKind>,
    /// The seed list of each server, by name.
    pub seeds: BTreeMap<String, Vec<String>>,
    /// The troubles.
    pub envelope: Envelope,
    /// The store.
    pub records: Records,
    /// What the commit that is being looked at did; empty when it was refused.
    pub changes: Vec<Change>,
    /// The digest of the state of membership that is being told, if one is.
    pub gossip: Option<u64>,
    /// When a client asked last.
    pub asked: Time,
    /// When the records of contexts, calls and jobs last changed.
    pub progressed: Time,
    /// Every driver that was started.
    pub launched: BTreeMap<Incarnation, Launched>,
    lives: Vec<Life>,
    by_incarnation: BTreeMap<Incarnation, usize>,
    /// The last life at each place, by the place's number.
    by_node: Vec<Option<usize>>,
}

impl Facts {
    /// The facts before a run of this schedule with this configuration.
    #[must_use]
    pub fn new(schedule: &Schedule, config: &Config) -> Self {
        let all: Vec<String> = schedule
            .servers
            .iter()
            .map(|one| one.name.clone())
            .collect();
        let seeds = schedule.servers.iter().map(|server| {
            let own = server.seed_list.clone();
            let list = if own.is_empty() { all.clone() } else { own };
            (server.name.clone(), list)
        });
        Self {
            at: Time::ZERO,
            phase: (Phase::WarmUp, Time::ZERO),
            times: config.times.clone(),
            limits: config.limits.clone(),
            down_if_alone: config.down_if_alone,
            mixed: schedule.servers.iter().any(|one| !one.settings.is_empty()),
            faults: schedule.faults.iter().map(|one| one.kind.clone()).collect(),
            seeds: seeds.collect(),
            envelope: Envelope::new(&schedule.faults),
            records: Records::default(),
            changes: Vec::new(),
            gossip: None,
            asked: Time::ZERO,
            progressed: Time::ZERO,
            launched: BTreeMap::new(),
            lives: Vec::new(),
            by_incarnation: BTreeMap::new(),
            by_node: Vec::new(),
        }
    }

    /// Takes an observation, before any oracle sees it.
    pub fn observe(&mut self, at: Time, seen: &Seen<'_>) {
        self.at = at;
        match seen {
            Seen::Input { node, clock, .. } => {
                if let Some(life) = self.last_at_node_mut(*node) {
                    life.clock = *clock;
                    life.began_clock.get_or_insert(*clock);
                }
            }
            Seen::Store(written) => self.store(at, written),
            Seen::Phase(phase) => {
                self.phase = (*phase, at);
                if *phase == Phase::Converge {
                    self.envelope.heal(at);
                }
            }
            Seen::Began {
                node,
                name,
                identity,
                role,
            } => self.began(at, *node, name, identity, *role),
            Seen::Ended {
                node,
                identity,
                how,
            } => self.ended(at, *node, identity, how),
            Seen::Paused { node, paused } => self.envelope.paused(at, *node, *paused),
            Seen::Fault {
                index,
                begins,
                hits,
            } => self.envelope.fault(at, *index, *begins, hits),
            Seen::Deed { node, deed } => self.deed(at, *node, deed),
            Seen::Panicked { node, .. } => {
                if let Some(one) = self.last_at_node_mut(*node) {
                    one.ended = Some(at);
                }
            }
            Seen::Asked { .. } => self.asked = at,
            Seen::Output { .. }
            | Seen::Lost { .. }
            | Seen::Answered { .. }
            | Seen::Read { .. }
            | Seen::Views { .. }
            | Seen::Spins { .. } => {}
        }
    }

    /// The life that goes on at a place.
    #[must_use]
    pub fn at_node(&self, node: NodeId) -> Option<&Life> {
        self.last_at_node(node).filter(|life| life.lives())
    }

    /// The last life at a place, whether it goes on or not.
    #[must_use]
    pub fn last_at_node(&self, node: NodeId) -> Option<&Life> {
        let index = *self.by_node.get(usize::from(node.0))?;
        self.lives.get(index?)
    }

    fn last_at_node_mut(&mut self, node: NodeId) -> Option<&mut Life> {
        let index = *self.by_node.get(usize::from(node.0))?;
        self.lives.get_mut(index?)
    }

    /// A life, whether it goes on or not.
    #[must_use]
    pub fn life(&self, incarnation: Incarnation) -> Option<&Life> {
        let index = self.by_incarnation.get(&incarnation)?;
        self.lives.get(*index)
    }

    /// Every life that goes on.
    pub fn living(&self) -> impl Iterator<Item = &Life> {
        self.by_node
            .iter()
            .flatten()
            .filter_map(|one| self.lives.get(*one))
            .filter(|life| life.lives())
    }

    /// Every server that lives.
    pub fn servers(&self) -> impl Iterator<Item = &Life> {
        self.living().filter(|life| life.role == Role::Server)
    }

    /// Every life so far.
    #[must_use]
    pub fn lives(&self) -> &[Life] {
        &self.lives
    }

    /// Who a life is, for people: its place's name, or its identity.
    #[must_use]
    pub fn name(&self, identity: &Identity) -> String {
        self.life(identity.incarnation)
            .map_or_else(|| identity.to_string(), |life| life.name.clone())
    }

    /// The current roster.
    #[must_use]
    pub fn roster(&self) -> Option<&Roster> {
        self.records.cluster.as_ref().map(|one| &one.value.roster)
    }

    /// The current holder.
    #[must_use]
    pub fn holder(&self) -> Option<&Identity> {
        self.records.singleton.as_ref().map(|one| &one.value.holder)
    }

    /// Whether nothing at all has been about for so long.
    #[must_use]
    pub fn calm_for(&self, span: Duration) -> bool {
        let since = self.envelope.calm_since();
        since.is_some_and(|since| self.at.since(since) >= span)
    }

    /// Whether no clock was tampered with so far, and all configurations are equal: what claims
    /// about the times of another process need.
    #[must_use]
    pub fn true_times(&self) -> bool {
        let whole = self.at.since(Time::ZERO);
        !self.mixed && self.envelope.free_of(self.at, whole, envelope::CLOCK)
    }

    /// Whether the process at a place has run on a true clock, with the store, for so long.
    #[must_use]
    pub fn sound(&self, node: NodeId, span: Duration) -> bool {
        let classes = envelope::STOPPED | envelope::CLOCK | envelope::STORE;
        self.envelope.spared(self.at, span, classes, node)
    }

    fn began(&mut self, at: Time, node: NodeId, name: &str, identity: &Identity, role: Role) {
        let before = self
            .last_at_node(node)
            .and_then(|life| life.stopped.as_ref());
        let again = before.is_some_and(by_itself);
        let index = self.lives.len();
        self.lives.push(Life {
            node,
            identity: identity.clone(),
            role,
            name: name.to_owned(),
            began: at,
            ended: None,
            stopped: None,
            clock: Time::ZERO,
            began_clock: None,
        });
        self.by_incarnation.insert(identity.incarnation, index);
        let place = usize::from(node.0);
        if self.by_node.len() <= place {
            self.by_node.resize(place + 1, None);
        }
        if let Some(last) = self.by_node.get_mut(place) {
            *last = Some(index);
        }
        if role == Role::Server {
            let itself = if again { envelope::SELF } else { 0 };
            self.envelope.moment(at, envelope::ORDERLY | itself, node);
        }
    }

    fn ended(&mut self, at: Time, node: NodeId, identity: &Identity, how: &Ended) {
        let index = self.by_incarnation.get(&identity.incarnation);
        let Some(life) = index.and_then(|one| self.lives.get_mut(*one)) else {
            return;
        };
        life.ended = Some(at);
        if let Ended::Stopped(reason) = how {
            life.stopped = Some(reason.clone());
        }
        let classes = match (life.role, how) {
            (Role::Driver, Ended::Stopped(_)) => return,
            (_, Ended::Killed) => envelope::DEATH,
            (Role::Server, Ended::Stopped(reason)) if by_itself(reason) => {
                envelope::ORDERLY | envelope::SELF
            }
            (Role::Server, Ended::Stopped(_)) => envelope::ORDERLY,
        };
        self.envelope.moment(at, classes, node);
        // Who stood still when it died does not stand still any more.
        self.envelope.paused(at, node, false);
    }

    fn deed(&mut self, at: Time, node: NodeId, deed: &Deed) {
        match deed {
            Deed::DriverStarted {
                context,
                intent,
                driver,
            } => {
                let launched = Launched {
                    context: context.clone(),
                    intent: *intent,
                    host: node,
                };
                self.launched.insert(*driver, launched);
            }
            Deed::Killed { .. } => self.envelope.moment(at, envelope::DEATH, node),
            Deed::EngineStarted { .. }
            | Deed::EngineEnded { .. }
            | Deed::JobStarted { .. }
            | Deed::JobEnded { .. }
            | Deed::Verified { .. } => {}
        }
    }

    fn store(&mut self, at: Time, written: &Written<'_>) {
        self.changes.clear();
        if let CommitOutcome::Committed { stamp } = written.outcome {
            let by = written.by.incarnation;
            self.changes = self.records.commit(written.transaction, at, *stamp, by);
            let progresses = |change: &Change| {
                matches!(
                    change,
                    Change::Call(..)
                        | Change::Context(..)
                        | Change::Owner(..)
                        | Change::Job(..)
                        | Change::Done(..)
                )
            };
            if self.changes.iter().any(progresses) {
                self.progressed = at;
            }
        }
    }
}

/// Whether a server stopped without having been asked to.
const fn by_itself(reason: &StopReason) -> bool {
    match reason {
        StopReason::LeftOut { .. }
        | StopReason::ClusterChanged { .. }
        | StopReason::Reincarnate => true,
        StopReason::Left | StopReason::DriverDone | StopReason::DriverFenced { .. } => false,
    }
}
