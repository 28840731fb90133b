//! Beats, messages and states of membership.

use super::{Digest, many};
use crate::trace::hash::Hash64;
use doyen_core::gossip::Gossip;
use doyen_core::reachability::table::ReachabilityTable;
use doyen_core::wire::{Beat, Message};

impl Digest for Beat {
    fn digest(&self, hash: &mut Hash64) {
        self.from.digest(hash);
        hash.pair(self.sequence, self.generation.0);
        hash.pair(self.epoch.0, self.holder.map_or(0, |one| one.0));
        many(hash, self.hears.iter());
        hash.pair(self.store_age_ms, u64::from(self.vacant));
    }
}

impl Digest for Gossip {
    fn digest(&self, hash: &mut Hash64) {
        hash.word(self.roster.generation.0);
        many(hash, self.roster.listed.iter());
        self.content(hash);
        many(hash, self.seen.iter());
        hash.word(self.version.entries().len() as u64);
        for (identity, count) in self.version.entries() {
            identity.digest(hash);
            hash.word(*count);
        }
        hash.word(self.tombstones.entries().len() as u64);
        for (identity, generation) in self.tombstones.entries() {
            identity.digest(hash);
            hash.word(generation.0);
        }
    }
}

/// Members and reachability of a state of membership: what members must agree on.
pub trait Content {
    /// Tells the hash.
    fn content(&self, hash: &mut Hash64);
}

impl Content for Gossip {
    fn content(&self, hash: &mut Hash64) {
        hash.word(self.members.len() as u64);
        for member in self.members.values() {
            member.identity.digest(hash);
            hash.word(member.status as u64);
            member.version.as_str().digest(hash);
        }
        self.reachability.digest(hash);
    }
}

impl Digest for ReachabilityTable {
    fn digest(&self, hash: &mut Hash64) {
        hash.word(self.rows().len() as u64);
        for (observer, row) in self.rows() {
            observer.digest(hash);
            hash.word(row.version);
            many(hash, row.unreachable.iter());
        }
    }
}

impl Digest for Message {
    fn digest(&self, hash: &mut Hash64) {
        match self {
            // The state itself is told by the tracker, which remembers digests of states.
            Self::Gossip { to, gossip: _ } => {
                hash.word(1);
                to.digest(hash);
            }
            Self::DriverBeat {
                sequence,
                context,
                context_name,
                intent,
                owns,
            } => {
                hash.pair(2, *sequence);
                context.as_str().digest(hash);
                context_name.as_str().digest(hash);
                hash.pair(intent.0, u64::from(*owns));
            }
            Self::DriverHeard { sequence, servers } => {
                hash.pair(3, *sequence);
                many(hash, servers.iter());
            }
            Self::DriverSeen { driver } => hash.pair(4, driver.0),
            Self::Contact { seeds } => {
                hash.word(5);
                seeds.as_str().digest(hash);
            }
            Self::ContactAck { seeds, generation } => {
                hash.pair(6, generation.0);
                seeds.as_str().digest(hash);
            }
            Self::ContactNack { seeds, reason } => {
                hash.pair(7, *reason as u64);
                seeds.as_str().digest(hash);
            }
            Self::Join {
                generation,
                version,
            } => {
                hash.pair(8, generation.0);
                version.as_str().digest(hash);
            }
            Self::JoinRefused { generation } => hash.pair(9, generation.0),
            Self::CallHint { call } => {
                hash.word(10);
                call.as_str().digest(hash);
            }
            Self::JobHint { context, job } => {
                hash.word(11);
                context.as_str().digest(hash);
                job.as_str().digest(hash);
            }
        }
    }
}
