//! Whom a server dials, what it proves to them, and the gossip that it spreads.

use super::{GOSSIP_EVERY, GOSSIP_PAUSE, ServerProcess};
use crate::identity::Identity;
use crate::join::Join;
use crate::output::{Credentials, Output};
use crate::planted::planted;
use crate::wire::Message;
use std::collections::BTreeSet;

impl ServerProcess {
    /// Dials the roster, the joiners and, until we are listed, the seeds.
    pub(super) fn dial(&mut self) {
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

    pub(super) fn prove(&mut self) {
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

    pub(super) fn gossip(&mut self) {
        let now = self.shared.now;
        let pause = if self.gossip_dirty {
            GOSSIP_PAUSE
        } else {
            GOSSIP_EVERY
        };
        if now < self.gossip_sent.after(pause) {
            self.gossip_dirty &= !planted!(GossipForgotten);
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
    pub(super) fn send_gossip(&mut self, to: &Identity) {
        if self.membership.status(to).is_some()
            && self.shared.followed.cluster.is_some()
            && *to != self.shared.me
        {
            let gossip = self.membership.gossip().clone();
            self.shared.outbox.send(
                to,
                Message::Gossip {
                    to: to.clone(),
                    gossip,
                },
            );
        }
    }
}
