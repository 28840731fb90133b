//! One job server: membership, roster, singleton, gateway and supervisor, composed.
//!
//! Each input goes to the parts that it concerns; then every part is asked whether something is due
//! (`step`). Parts talk through what is shared ([`shared::Shared`]) and through typed values.

mod beats;
pub(crate) mod follow;
mod leave;
mod look;
pub(crate) mod shared;

use crate::config::ValidConfig;
use crate::downing::roster::RosterKeeper;
use crate::gateway::{DriverLinks, Gateway};
use crate::identity::{Address, ClusterId, Identity, Incarnation};
use crate::input::{Command, Input, LinkEvent, RequestId};
use crate::join::Join;
use crate::membership::Membership;
use crate::output::{Answer, ClusterEvent, Credentials, Output, StopReason, TakenBy};
use crate::reachability::detector::Detector;
use crate::records::cluster::Secret;
use crate::records::transaction::{Change, CommitOutcome, ReadOutcome};
use crate::singleton::{Singleton, SingletonWork};
use crate::supervisor::{DriverContact, Supervisor};
use crate::time::Time;
use crate::wire::Message;
use follow::{Follow, News};
use leave::Leave;
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
    roster: RosterKeeper,
    singleton: Singleton,
    gateway: Gateway,
    supervisor: Supervisor,
    leave: Leave,
    links: BTreeSet<Identity>,
    drivers: BTreeMap<Incarnation, DriverContact>,
    driver_links: DriverLinks,
    driver_names: BTreeMap<Incarnation, (Identity, String, bool)>,
    dialled: BTreeSet<Address>,
    rejected: BTreeMap<Address, String>,
    proved: bool,
    beat_sent: Option<Time>,
    gossip_dirty: bool,
    gossip_sent: Time,
    gossip_turn: usize,
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
            roster: RosterKeeper::default(),
            singleton: Singleton::default(),
            gateway: Gateway::default(),
            supervisor: Supervisor::default(),
            leave: Leave::default(),
            links: BTreeSet::new(),
            drivers: BTreeMap::new(),
            driver_links: BTreeMap::new(),
            driver_names: BTreeMap::new(),
            dialled: BTreeSet::new(),
            rejected: BTreeMap::new(),
            proved: false,
            beat_sent: None,
            gossip_dirty: false,
            gossip_sent: now,
            gossip_turn: 0,
            stopped: false,
        };
        new.step();
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
        if self.poll_timeout().is_some_and(|due| now.since(due) > LATE) {
            self.singleton.count_anew(now);
            self.detector.reset(now);
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
    }

    /// See [`crate::process::Process::poll_output`].
    pub fn poll_output(&mut self) -> Option<Output> {
        self.shared.outbox.pop()
    }

    /// See [`crate::process::Process::poll_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
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
            self.singleton.deadline(shared, &self.detector),
            self.gateway.deadline(),
            self.supervisor.deadline(),
            self.leave.deadline(shared),
            self.beat_sent
                .map(|sent| sent.after(shared.times().beat_renewal)),
            Some(self.gossip_sent.after(gossip)),
            self.detector.next_expiry(shared.now, detection),
        ];
        dues.into_iter().flatten().min()
    }

    fn message(&mut self, from: &Identity, message: Message) {
        let shared = &mut self.shared;
        match message {
            Message::Contact { seeds } => self.join.asked(shared, from, &seeds),
            Message::ContactAck { seeds, .. } => self.join.acked(shared, from, &seeds),
            Message::ContactNack { seeds, reason } => {
                self.join.nacked(shared, from, &seeds, reason);
            }
            Message::Join {
                generation,
                version,
            } => self.joins(from, generation, &version),
            Message::JoinRefused { generation } => self.join.refused(shared, generation),
            Message::Gossip { to, gossip } => {
                let received = self.membership.receive(from, &to, *gossip);
                if received.newer_roster {
                    // Gossip spreads the decision; what ends a process is read from the store.
                    self.follow.want(&mut self.shared);
                }
                self.gossip_dirty |= received.changed;
                if received.reply {
                    self.send_gossip(from);
                }
            }
            Message::CallHint { call } => self.supervisor.hinted(shared, &call),
            Message::DriverBeat {
                sequence,
                context,
                context_name,
                owns,
                ..
            } => {
                self.driver_beat(from, sequence, context, context_name, owns);
            }
            Message::JobHint { .. } | Message::DriverHeard { .. } => {}
        }
    }

    /// F2: a joiner of the current generation waits to be listed; one of another is refused.
    fn joins(
        &mut self,
        from: &Identity,
        generation: crate::records::cluster::Generation,
        version: &str,
    ) {
        let current = self.shared.generation();
        if !self.shared.listed()
            || self.shared.leaving
            || self.shared.roster().is_some_and(|r| r.lists(from))
        {
            return;
        }
        if generation > current {
            self.follow.want(&mut self.shared);
        } else if generation < current {
            self.shared.outbox.send(
                from,
                Message::JoinRefused {
                    generation: current,
                },
            );
        } else {
            self.roster.joins(self.shared.now, from.clone(), generation);
            self.detector.expect(self.shared.now, from);
            if self.membership.add_joining(from, version) {
                self.gossip_dirty = true;
                self.beat_sent = None;
            }
        }
    }

    fn link(&mut self, event: LinkEvent) {
        let shared = &mut self.shared;
        match event {
            LinkEvent::Up { peer } => {
                self.links.insert(peer.clone());
                self.join.linked(shared, &peer);
                self.singleton.link_came(shared, &peer);
                self.send_gossip(&peer);
            }
            LinkEvent::Down { peer } => {
                self.links.remove(&peer);
                self.join.unlinked(&peer);
                self.singleton.link_broke(shared, &peer);
                if let Some(contact) = self.drivers.get_mut(&peer.incarnation) {
                    contact.linked = false;
                    self.driver_links.retain(|_, driver| *driver != peer);
                    self.supervisor.stir();
                }
            }
            LinkEvent::Refused { address } => self.singleton.dial_refused(shared, &address),
            LinkEvent::Silent { .. } => {}
            LinkEvent::Rejected { address, reason } => {
                // Said once, not at every dial.
                if self.rejected.get(&address) != Some(&reason) {
                    shared.warn(&format!("{address} is no peer of this server: {reason}"));
                    self.rejected.insert(address, reason);
                }
            }
        }
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
        let by = match &call.purpose {
            Purpose::Join(_) => TakenBy::Founding,
            Purpose::Roster(_) => TakenBy::Split,
            Purpose::Singleton(SingletonWork::Claim(by)) => *by,
            Purpose::Singleton(_)
            | Purpose::Follow
            | Purpose::Gateway(_)
            | Purpose::Supervisor(_) => TakenBy::Grant,
        };
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
            Purpose::Singleton(work) => {
                self.singleton.committed(shared, *work, call.sent, outcome);
            }
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
                    self.take_news(news, TakenBy::Grant);
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

    fn take_news(&mut self, news: News, by: TakenBy) {
        if let Some(what) = news.cluster_changed {
            let reason = if self.shared.listed_in.is_some() {
                StopReason::ClusterChanged { what }
            } else {
                StopReason::Reincarnate
            };
            self.stop(reason);
            return;
        }
        if news.roster {
            self.roster_changed();
        }
        if let Some(before) = news.office {
            self.office_changed(before.as_ref(), by);
        }
    }

    fn roster_changed(&mut self) {
        let Some(roster) = self.shared.roster().cloned() else {
            return;
        };
        for one in roster.listed.iter().filter(|one| **one != self.shared.me) {
            self.detector.expect(self.shared.now, one);
        }
        self.gossip_dirty |= self.membership.adopt(&roster);
        self.forget_the_removed();
        self.beat_sent = None;
        for gone in self
            .roster
            .forget_joiners(self.shared.now, roster.generation)
        {
            self.gossip_dirty |= self.membership.remove_joining(&gone);
        }
        let generation = roster.generation;
        if roster.lists(&self.shared.me) {
            if self.shared.listed_in.is_none() {
                self.shared.listed_in = Some(generation);
                self.shared
                    .outbox
                    .event(ClusterEvent::Listed { generation });
            }
        } else if self.shared.listed_in.is_some() {
            let left = self.shared.leaving;
            self.stop(if left {
                StopReason::Left
            } else {
                StopReason::LeftOut { generation }
            });
        }
    }

    /// Incarnations that are no members any more are not followed any longer.
    fn forget_the_removed(&mut self) {
        let hears = self.detector.hears(self.shared.now, Duration::MAX);
        for gone in hears
            .iter()
            .filter(|one| self.membership.status(one).is_none())
        {
            self.detector.forget(gone);
        }
    }

    fn office_changed(&mut self, before: Option<&Identity>, by: TakenBy) {
        let shared = &mut self.shared;
        self.singleton.office_changed(shared.now);
        self.beat_sent = None;
        if shared.holds_office() {
            let epoch = shared.epoch();
            shared.outbox.event(ClusterEvent::OfficeTaken { epoch, by });
            self.supervisor.take_over(shared);
        } else {
            self.supervisor.step_down();
            if before == Some(&shared.me) {
                let epoch = shared.epoch();
                shared.outbox.event(ClusterEvent::SteppedDown { epoch });
            }
        }
    }

    fn step(&mut self) {
        if self.stopped {
            return;
        }
        let shared = &mut self.shared;
        self.follow.step(shared);
        self.join.step(shared, &self.links);
        self.observe();
        let shared = &mut self.shared;
        self.roster.step(shared, &self.membership, &self.detector);
        self.singleton.step(shared, &self.detector);
        self.gateway.step(shared);
        let mut alive = self.detector.hears(shared.now, shared.times().detection);
        alive.retain(|one| shared.roster().is_some_and(|roster| roster.lists(one)));
        alive.retain(|one| self.links.contains(one));
        alive.insert(shared.me.clone());
        self.supervisor.step(shared, &self.drivers, &alive);
        let idle = self.gateway.len() == 0;
        if self.leave.step(
            shared,
            &mut self.membership,
            &mut self.singleton,
            &self.detector,
            idle,
        ) {
            self.stop(StopReason::Left);
            return;
        }
        self.dial();
        self.prove();
        self.beats();
        self.gossip();
    }

    /// Dials the roster, the joiners and, until we are listed, the seeds.
    fn dial(&mut self) {
        let mut addresses: BTreeSet<_> = self
            .membership
            .members()
            .keys()
            .map(|member| member.address.clone())
            .collect();
        addresses.extend(
            self.shared
                .roster()
                .into_iter()
                .flat_map(|roster| roster.listed.iter().map(|one| one.address.clone())),
        );
        if self.shared.listed_in.is_none() {
            addresses.extend(Join::contacts(&self.shared));
        }
        addresses.remove(&self.shared.me.address);
        if addresses != self.dialled {
            self.rejected
                .retain(|address, _| addresses.contains(address));
            self.dialled.clone_from(&addresses);
            self.shared.outbox.push(Output::Dial { addresses });
        }
    }

    fn prove(&mut self) {
        if !self.proved
            && let Some(cluster) = &self.shared.followed.cluster
        {
            self.proved = true;
            let (cluster, secret) = (cluster.value.id.clone(), cluster.value.secret.clone());
            self.shared
                .outbox
                .push(Output::Credentials(Some(Credentials { cluster, secret })));
        }
    }

    fn gossip(&mut self) {
        let now = self.shared.now;
        let pause = if self.gossip_dirty {
            GOSSIP_PAUSE
        } else {
            GOSSIP_EVERY
        };
        if now < self.gossip_sent.after(pause) {
            return;
        }
        self.gossip_sent = now;
        let peers: Vec<_> = self
            .membership
            .members()
            .keys()
            .filter(|peer| self.links.contains(*peer))
            .cloned()
            .collect();
        if std::mem::take(&mut self.gossip_dirty) {
            for peer in &peers {
                self.send_gossip(peer);
            }
        } else if !peers.is_empty() {
            self.gossip_turn = self.gossip_turn.wrapping_add(1);
            let turn = self
                .gossip_turn
                .checked_rem(peers.len())
                .unwrap_or_default();
            if let Some(peer) = peers.get(turn) {
                self.send_gossip(&peer.clone());
            }
        }
    }

    /// Sends our state to a member; to nobody else, and nothing before we are in a cluster.
    fn send_gossip(&mut self, to: &Identity) {
        if self.membership.status(to).is_some()
            && self.shared.followed.cluster.is_some()
            && *to != self.shared.me
        {
            let gossip = Box::new(self.membership.gossip().clone());
            self.shared.outbox.send(
                to,
                Message::Gossip {
                    to: to.clone(),
                    gossip,
                },
            );
        }
    }

    fn stop(&mut self, reason: StopReason) {
        self.gateway.give_up(
            &mut self.shared,
            "this server is leaving the cluster; ask another one",
        );
        self.supervisor.step_down();
        self.stopped = true;
        self.shared.outbox.push(Output::Stop(reason));
    }
}
