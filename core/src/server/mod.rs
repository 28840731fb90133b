//! One job server: membership, roster, singleton, gateway and supervisor, composed.
//!
//! Each input goes to the parts that it concerns; then every part is asked whether something is due
//! (`step`). Parts talk through what is shared (`shared::Shared`) and through typed values.

mod beats;
pub(crate) mod follow;
mod leave;
mod look;
mod messages;
mod news;
mod picture;
pub(crate) mod shared;
mod spread;
#[cfg(test)]
mod tests;
pub(crate) mod work;

use crate::config::ValidConfig;
use crate::downing::roster::RosterKeeper;
use crate::gateway::{DriverLinks, Gateway};
use crate::identity::{Address, ClusterId, Identity, Incarnation};
use crate::input::{Command, Input, RequestId};
use crate::join::Join;
use crate::membership::Membership;
use crate::output::{Answer, Output, StopReason, TakenBy};
use crate::reachability::detector::Detector;
use crate::reachability::sight::Seen;
use crate::records::cluster::Secret;
use crate::records::transaction::{Change, CommitOutcome, ReadOutcome};
use crate::singleton::{Singleton, candidates};
use crate::supervisor::{DriverContact, Supervisor};
use crate::time::Time;
use follow::Follow;
use leave::Leave;
use picture::Picture;
use shared::{PendingCall, Purpose, Shared};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A wake that comes so late shows that this process did not run meanwhile (S5).
const LATE: Duration = Duration::from_millis(250);
/// Gossip is sent when something changed, at most so often, and once a second to one peer.
const GOSSIP_PAUSE: Duration = Duration::from_millis(20);
const GOSSIP_EVERY: Duration = Duration::from_secs(1);
/// Drivers that are remembered; more are not listened to.
const DRIVERS_MAX: usize = 4_096;

/// What a founder gives its cluster; drawn by the host for each life, used by the founder only.
#[derive(Clone, Debug)]
pub struct Founding {
    /// A random cluster id.
    pub cluster: ClusterId,
    /// A random secret.
    pub secret: Secret,
}

/// A job server.
#[derive(Clone, Debug)]
pub struct ServerProcess {
    shared: Shared,
    follow: Follow,
    join: Join,
    membership: Membership,
    detector: Detector,
    picture: Picture,
    roster: RosterKeeper,
    singleton: Singleton,
    gateway: Gateway,
    supervisor: Supervisor,
    leave: Leave,
    links: BTreeSet<Identity>,
    /// Listed members whose link broke: half of a proof of death (S4).
    broken: BTreeSet<Identity>,
    drivers: BTreeMap<Incarnation, DriverContact>,
    driver_links: DriverLinks,
    driver_names: BTreeMap<Incarnation, (Identity, String, bool)>,
    dialled: BTreeSet<Address>,
    rejected: BTreeMap<Address, String>,
    /// Addresses that two servers use at once, as was said already.
    doubled: BTreeSet<Address>,
    proved: bool,
    beat_sent: Option<Time>,
    gossip_dirty: bool,
    gossip_sent: Time,
    gossip_turn: usize,
    /// When something is due by itself, as of the last input.
    due: Option<Time>,
    stopped: bool,
}

impl ServerProcess {
    /// A starting server.
    #[must_use]
    pub fn new(config: ValidConfig, identity: Identity, founding: Founding, now: Time) -> Self {
        let membership = Membership::new(identity.clone(), config.get().version.clone());
        let mut new = Self {
            shared: Shared::new(config, identity, now),
            follow: Follow::default(),
            join: Join::new(founding, now),
            membership,
            detector: Detector::default(),
            picture: Picture::default(),
            roster: RosterKeeper::default(),
            singleton: Singleton::default(),
            gateway: Gateway::default(),
            supervisor: Supervisor::default(),
            leave: Leave::default(),
            links: BTreeSet::new(),
            broken: BTreeSet::new(),
            drivers: BTreeMap::new(),
            driver_links: BTreeMap::new(),
            driver_names: BTreeMap::new(),
            dialled: BTreeSet::new(),
            rejected: BTreeMap::new(),
            doubled: BTreeSet::new(),
            proved: false,
            beat_sent: None,
            gossip_dirty: false,
            gossip_sent: now,
            gossip_turn: 0,
            due: None,
            stopped: false,
        };
        new.step();
        new.due = new.next_due();
        new
    }

    /// See [`crate::process::Process::handle`].
    pub fn handle(&mut self, now: Time, input: Input) {
        debug_assert!(
            self.shared.outbox.is_empty(),
            "outputs must be drained before the next input"
        );
        if self.stopped {
            return;
        }
        let late = self.due.map_or(Duration::ZERO, |due| now.since(due));
        if late > LATE {
            self.singleton.count_anew(now);
            self.detector.reset(now);
            let detection = self.shared.times().detection;
            self.roster.count_anew(now, late, detection);
        }
        self.shared.now = now.max(self.shared.now);
        match input {
            Input::Message { from, message } => self.message(&from, message),
            Input::Beat(beat) => self.beat(beat),
            Input::Link(event) => self.link(event),
            Input::Timeout => {}
            Input::Command(command) => self.command(command),
            Input::Committed { ticket, outcome } => {
                if let Some(call) = self.shared.committed(ticket, &outcome) {
                    self.committed(&call, &outcome);
                }
            }
            Input::Read { ticket, outcome } => {
                if let Some(call) = self.shared.was_read(ticket, &outcome) {
                    self.was_read(&call, &outcome);
                }
            }
            Input::StoreChanged(change) => self.store_changed(&change),
            Input::EffectReport(report) => self.supervisor.reported(&self.shared, &report),
        }
        self.step();
        self.due = self.next_due();
    }

    /// See [`crate::process::Process::poll_output`].
    pub fn poll_output(&mut self) -> Option<Output> {
        self.shared.outbox.pop()
    }

    /// See [`crate::process::Process::poll_timeout`].
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Time> {
        self.due
    }

    fn next_due(&self) -> Option<Time> {
        if self.stopped {
            return None;
        }
        let shared = &self.shared;
        let gossip = if self.gossip_dirty {
            GOSSIP_PAUSE
        } else {
            GOSSIP_EVERY
        };
        let detection = shared.times().detection;
        let dues = [
            self.follow
                .deadline(shared)
                .filter(|_| !self.follow.is_reading()),
            self.join.deadline(shared),
            self.roster.deadline(shared),
            self.gateway.deadline(),
            self.supervisor.deadline(),
            self.leave.deadline(shared),
            self.beat_sent
                .map(|sent| sent.after(shared.times().beat_renewal)),
            Some(self.gossip_sent.after(gossip)),
            self.detector.next_expiry(shared.now, detection),
        ];
        let other = dues.into_iter().flatten().min();
        let singleton = self.singleton.deadline(shared, self.seen(), other);
        singleton.into_iter().chain(other).min()
    }

    fn command(&mut self, command: Command) {
        let listed = self.shared.listed();
        let refuse = |request: RequestId, reason: &str| Output::Answer {
            request,
            answer: Answer::NotReady {
                reason: reason.to_owned(),
            },
        };
        match command {
            Command::Leave => self.leave.begin(&mut self.shared, &mut self.membership),
            Command::Call { request, .. }
            | Command::Submit { request, .. }
            | Command::KillJob { request, .. }
                if !listed =>
            {
                let text = "this server is not listed in the cluster's roster yet";
                self.shared.outbox.push(refuse(request, text));
            }
            Command::Call { .. }
            | Command::Submit { .. }
            | Command::KillJob { .. }
            | Command::Forget { .. } => self.gateway.take(&mut self.shared, command),
        }
    }

    fn store_changed(&mut self, change: &Change) {
        self.follow.changed(&mut self.shared, change);
        self.supervisor.changed(&mut self.shared, change);
        self.gateway.changed(&mut self.shared, change);
    }

    fn committed(&mut self, call: &PendingCall, outcome: &CommitOutcome) {
        let by = call.purpose.takes_by().unwrap_or(TakenBy::Grant);
        let own = matches!(
            call.purpose,
            Purpose::Join(_) | Purpose::Roster(_) | Purpose::Singleton(_)
        );
        if own {
            let shared = &mut self.shared;
            match (outcome, &call.transaction) {
                (CommitOutcome::Committed { stamp }, Some(transaction)) => {
                    let news = self.follow.absorb(shared, transaction, *stamp);
                    self.take_news(news, by);
                }
                // Refused or unknown: what holds is what is read next (W1, W4).
                _ => self.follow.want(shared),
            }
        }
        let shared = &mut self.shared;
        match &call.purpose {
            Purpose::Follow => {}
            Purpose::Join(work) => self.join.committed(shared, *work, outcome),
            Purpose::Roster(work) => self.roster.committed(shared, *work, outcome),
            // With a new epoch everything began anew: an older call says nothing of it (S5).
            Purpose::Singleton(work) if call.epoch == shared.epoch() => {
                self.singleton.committed(shared, *work, call.sent, outcome);
            }
            Purpose::Singleton(_) => {}
            Purpose::Gateway(work) => {
                self.gateway
                    .committed(shared, &self.driver_links, work, call, outcome);
            }
            Purpose::Supervisor(work) => {
                self.supervisor.committed(shared, work, call, outcome);
                let fence = matches!(outcome, CommitOutcome::Refused { operation: 0 });
                if fence {
                    // W1: confirmed by a read after a barrier, this ends the tenure.
                    self.follow.want(shared);
                }
            }
        }
    }

    fn was_read(&mut self, call: &PendingCall, outcome: &ReadOutcome) {
        let shared = &mut self.shared;
        match &call.purpose {
            Purpose::Follow => match outcome {
                ReadOutcome::Snapshot(snapshot) => {
                    let news = self.follow.answered(shared, snapshot);
                    self.roster.split_was_read(&self.shared);
                    self.take_news(news, self.shared.taken_by());
                }
                ReadOutcome::Failed { .. } => self.follow.failed(),
            },
            Purpose::Gateway(work) => self.gateway.was_read(shared, work, outcome),
            Purpose::Supervisor(work) => {
                let query = call.query.clone().unwrap_or_default();
                self.supervisor.was_read(shared, work, &query, outcome);
            }
            Purpose::Join(_) | Purpose::Roster(_) | Purpose::Singleton(_) => {}
        }
    }

    const fn seen(&self) -> Seen<'_> {
        Seen {
            membership: &self.membership,
            detector: &self.detector,
            lanes: &self.picture.lanes,
            sight: &self.picture.sight,
        }
    }

    fn step(&mut self) {
        if self.stopped {
            return;
        }
        let shared = &mut self.shared;
        self.follow.step(shared);
        if self.join.step(shared, &self.links) {
            self.stop(StopReason::Reincarnate);
            return;
        }
        let news = self.look_around();
        if news {
            self.observe();
        }
        let shared = &mut self.shared;
        let seen = Seen {
            membership: &self.membership,
            detector: &self.detector,
            lanes: &self.picture.lanes,
            sight: &self.picture.sight,
        };
        self.roster.step(shared, seen, news);
        self.singleton.step(shared, seen);
        self.gateway.step(shared);
        let (sight, links) = (&self.picture.sight, &self.links);
        self.supervisor.step(shared, &self.drivers, |shared, one| {
            *one == shared.me || (sight.sees(one) && links.contains(one))
        });
        let idle = self.gateway.len() == 0;
        let (epoch, leave) = (shared.epoch(), &self.leave);
        let may = |one: &&Identity| leave.may_give(epoch, seen.membership, one);
        let heir = shared.leaving.then(|| candidates(shared, seen).find(may));
        let heir = heir.flatten().cloned();
        if self.leave.step(
            shared,
            &mut self.membership,
            &mut self.singleton,
            heir,
            idle,
        ) {
            self.stop(StopReason::Left);
            return;
        }
        if news {
            self.dial();
        }
        self.prove();
        self.beats();
        self.gossip();
    }
}
