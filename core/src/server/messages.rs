//! What peers say and what becomes of the links to them, each passed on to its part.

use super::ServerProcess;
use crate::identity::Identity;
use crate::input::LinkEvent;
use crate::output::{ClusterEvent, StopReason};
use crate::records::cluster::Generation;
use crate::wire::Message;

impl ServerProcess {
    pub(super) fn message(&mut self, from: &Identity, message: Message) {
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
            Message::JoinRefused { generation } => {
                if self.join.refused(shared, generation) {
                    self.stop(StopReason::Reincarnate);
                }
            }
            Message::Gossip { to, gossip } => {
                let received = self.membership.receive(from, &to, &gossip);
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
            Message::DriverSeen { driver } => self.driver_seen(from, driver),
            Message::JobHint { .. } | Message::DriverHeard { .. } => {}
        }
    }

    /// F2: a joiner of the current generation waits to be listed; one of another is refused.
    pub(super) fn joins(&mut self, from: &Identity, generation: Generation, version: &str) {
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

    pub(super) fn link(&mut self, event: LinkEvent) {
        let shared = &mut self.shared;
        match event {
            LinkEvent::Up { peer } => {
                self.links.insert(peer.clone());
                self.broken.remove(&peer);
                self.join.linked(shared, &peer);
                self.send_gossip(&peer);
                self.replaced_by(&peer);
            }
            LinkEvent::Down { peer } => {
                self.links.remove(&peer);
                self.join.unlinked(&peer);
                if let Some(contact) = self.drivers.get_mut(&peer.incarnation) {
                    contact.linked = false;
                    self.driver_links.retain(|_, driver| *driver != peer);
                    self.supervisor.stir();
                }
                if shared.roster().is_some_and(|roster| roster.lists(&peer)) {
                    self.broken.insert(peer);
                }
            }
            LinkEvent::Refused { address } => {
                let dead = self
                    .broken
                    .iter()
                    .filter(|broken| broken.address == address);
                for victim in dead.cloned().collect::<Vec<_>>() {
                    self.proved_dead(&victim, "refused");
                }
            }
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

    /// S4: another incarnation answers at the address of a listed one, which is dead then. One that
    /// was taken off came before it: a slow link may bring its answer late.
    fn replaced_by(&mut self, peer: &Identity) {
        if self.membership.gossip().tombstones.contains(peer) {
            return;
        }
        let listed = self
            .shared
            .roster()
            .into_iter()
            .flat_map(|roster| &roster.listed);
        let dead = listed.filter(|one| one.address == peer.address && *one != peer);
        for victim in dead.cloned().collect::<Vec<_>>() {
            self.proved_dead(&victim, "replaced");
        }
    }

    /// A dead member is not reachable any more, and leads nobody, without waiting for its silence.
    fn proved_dead(&mut self, victim: &Identity, how: &'static str) {
        self.broken.remove(victim);
        if *victim == self.shared.me {
            return;
        }
        self.singleton.proved(&mut self.shared, victim, how);
        self.detector.forget(victim);
        if self.membership.observe(victim, false) {
            self.gossip_dirty = true;
            let member = victim.clone();
            self.shared
                .outbox
                .event(ClusterEvent::Unreachable { member });
        }
    }
}
