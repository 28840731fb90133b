//! How an observation goes into the trace hash: every field of it. What comes often is taken field
//! by field, the rest as its `Debug` text.

use super::hash::Hash64;
use super::seen::{Ended, NodeId, Seen, Written};
use doyen_core::gossip::Gossip;
use doyen_core::identity::{Address, Identity};
use doyen_core::input::Input;
use doyen_core::output::{BeatPlan, Output};
use doyen_core::process::ClusterView;
use doyen_core::reachability::table::ReachabilityTable;
use doyen_core::records::transaction::{
    CommitOutcome, Operation, Query, ReadOutcome, Stored, Transaction,
};
use doyen_core::wire::{Beat, Message};

/// Something that goes into a hash, whole.
pub trait Digest {
    /// Tells the hash all of it.
    fn digest(&self, hash: &mut Hash64);
}

impl<T: Digest> Digest for Option<T> {
    fn digest(&self, hash: &mut Hash64) {
        match self {
            Some(one) => {
                hash.word(1);
                one.digest(hash);
            }
            None => hash.word(0),
        }
    }
}

impl<T: Digest + ?Sized> Digest for &T {
    fn digest(&self, hash: &mut Hash64) {
        (*self).digest(hash);
    }
}

impl Digest for str {
    fn digest(&self, hash: &mut Hash64) {
        hash.bytes(self.as_bytes());
    }
}

impl Digest for Address {
    #[allow(
        clippy::cast_possible_truncation,
        reason = "each half of the head is a word"
    )]
    fn digest(&self, hash: &mut Hash64) {
        let head = self.head();
        hash.word((head >> 64) as u64);
        hash.word(head as u64);
        if self.host_is_long() {
            self.host().digest(hash);
        }
        hash.word(u64::from(self.port()));
    }
}

impl Digest for Identity {
    fn digest(&self, hash: &mut Hash64) {
        self.address.digest(hash);
        hash.word(self.incarnation.0);
    }
}

impl Digest for Beat {
    fn digest(&self, hash: &mut Hash64) {
        self.from.digest(hash);
        hash.word(self.sequence);
        hash.word(self.generation.0);
        hash.word(self.epoch.0);
        hash.word(self.holder.map_or(0, |one| one.0));
        many(hash, self.hears.iter());
        hash.word(self.store_age_ms);
        hash.word(u64::from(self.vacant));
    }
}

impl Digest for Gossip {
    fn digest(&self, hash: &mut Hash64) {
        hash.word(self.roster.generation.0);
        many(hash, self.roster.listed.iter());
        self.content(hash);
        many(hash, self.seen.iter());
        for (identity, count) in self.version.entries() {
            identity.digest(hash);
            hash.word(*count);
        }
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
            Self::Gossip { to, gossip } => {
                hash.word(1);
                to.digest(hash);
                gossip.digest(hash);
            }
            Self::DriverBeat {
                sequence,
                context,
                context_name,
                intent,
                owns,
            } => {
                hash.word(2);
                hash.word(*sequence);
                context.as_str().digest(hash);
                context_name.as_str().digest(hash);
                hash.word(intent.0);
                hash.word(u64::from(*owns));
            }
            Self::DriverHeard { sequence, servers } => {
                hash.word(3);
                hash.word(*sequence);
                many(hash, servers.iter());
            }
            Self::DriverSeen { driver } => {
                hash.word(4);
                hash.word(driver.0);
            }
            Self::Contact { .. }
            | Self::ContactAck { .. }
            | Self::ContactNack { .. }
            | Self::Join { .. }
            | Self::JoinRefused { .. }
            | Self::CallHint { .. }
            | Self::JobHint { .. } => {
                hash.word(5);
                hash.debug(self);
            }
        }
    }
}

impl Digest for Transaction {
    fn digest(&self, hash: &mut Hash64) {
        self.id.0.as_str().digest(hash);
        for operation in &self.operations {
            let (tag, value, version) = match operation {
                Operation::Check { version, .. } => (1, None, Some(*version)),
                Operation::CheckAbsent { .. } => (2, None, None),
                Operation::Create { value, .. } => (3, Some(value), None),
                Operation::Put { value, version, .. } => (4, Some(value), *version),
                Operation::Delete { version, .. } => (5, None, *version),
            };
            hash.word(tag);
            operation.key().as_str().digest(hash);
            value.map(String::as_str).digest(hash);
            hash.word(version.map_or(u64::MAX, |one| u64::from(one.0)));
        }
    }
}

impl Digest for Stored {
    fn digest(&self, hash: &mut Hash64) {
        self.value.as_str().digest(hash);
        hash.word(u64::from(self.version.0));
        hash.word(self.created.0);
        hash.word(self.modified.0);
        self.written_by.0.as_str().digest(hash);
    }
}

impl Digest for CommitOutcome {
    fn digest(&self, hash: &mut Hash64) {
        match self {
            Self::Committed { stamp } => {
                hash.word(1);
                hash.word(stamp.0);
            }
            Self::Refused { operation } => {
                hash.word(2);
                hash.word(*operation as u64);
            }
            Self::Unknown => hash.word(3),
            Self::NotSent { reason } => {
                hash.word(4);
                reason.as_str().digest(hash);
            }
        }
    }
}

impl Digest for ReadOutcome {
    fn digest(&self, hash: &mut Hash64) {
        match self {
            Self::Snapshot(found) => {
                hash.word(1);
                hash.word(found.stamp.0);
                hash.word(found.records.len() as u64);
                for (key, stored) in &found.records {
                    key.as_str().digest(hash);
                    stored.digest(hash);
                }
            }
            Self::Failed { reason } => {
                hash.word(2);
                reason.as_str().digest(hash);
            }
        }
    }
}

impl Digest for Query {
    fn digest(&self, hash: &mut Hash64) {
        hash.word(self.keys.len() as u64);
        for key in self.keys.iter().chain(&self.folders) {
            key.as_str().digest(hash);
        }
    }
}

impl Digest for Input {
    fn digest(&self, hash: &mut Hash64) {
        match self {
            Self::Beat(beat) => {
                hash.word(1);
                beat.digest(hash);
            }
            Self::Timeout => hash.word(2),
            Self::Message { from, message } => {
                hash.word(3);
                from.digest(hash);
                message.digest(hash);
            }
            Self::Committed { ticket, outcome } => {
                hash.word(4);
                hash.word(ticket.0);
                outcome.digest(hash);
            }
            Self::Read { ticket, outcome } => {
                hash.word(5);
                hash.word(ticket.0);
                outcome.digest(hash);
            }
            Self::StoreChanged(change) => {
                hash.word(6);
                hash.debug(change);
            }
            Self::Link(_) | Self::Command(_) | Self::EffectReport(_) => {
                hash.word(7);
                hash.debug(self);
            }
        }
    }
}

impl Digest for BeatPlan {
    fn digest(&self, hash: &mut Hash64) {
        self.beat.digest(hash);
        hash.word(self.targets.len() as u64);
        for (address, every) in &self.targets {
            address.digest(hash);
            hash.word(every.as_secs());
            hash.word(u64::from(every.subsec_nanos()));
        }
    }
}

impl Digest for Output {
    fn digest(&self, hash: &mut Hash64) {
        match self {
            Self::Send { to, message } => {
                hash.word(1);
                to.digest(hash);
                message.digest(hash);
            }
            Self::Beat(plan) => {
                hash.word(2);
                plan.digest(hash);
            }
            Self::Commit {
                ticket,
                transaction,
            } => {
                hash.word(3);
                hash.word(ticket.0);
                transaction.digest(hash);
            }
            Self::Read { ticket, query } => {
                hash.word(4);
                hash.word(ticket.0);
                query.digest(hash);
            }
            Self::Dial { .. }
            | Self::Credentials(_)
            | Self::Effect(_)
            | Self::Answer { .. }
            | Self::Event(_)
            | Self::Stop(_) => {
                hash.word(5);
                hash.debug(self);
            }
        }
    }
}

impl Digest for Written<'_> {
    fn digest(&self, hash: &mut Hash64) {
        self.by.digest(hash);
        self.transaction.digest(hash);
        self.outcome.digest(hash);
        hash.word(u64::from(self.told));
        hash.word(self.stamp.0);
        for key in self.changed {
            key.as_str().digest(hash);
        }
    }
}

impl Digest for ClusterView {
    fn digest(&self, hash: &mut Hash64) {
        self.identity.digest(hash);
        self.cluster.as_ref().map(|one| one.as_str()).digest(hash);
        hash.word(self.epoch.0);
        self.holder.digest(hash);
        hash.word(self.generation.0);
        self.leader.digest(hash);
        let flags = [
            self.converged,
            self.ready,
            self.takes_calls,
            self.others_have_store,
        ];
        hash.word(flags.iter().fold(0, |all, one| all * 2 + u64::from(*one)));
        self.not_ready.as_deref().digest(hash);
        hash.word(self.store_age_ms.map_or(u64::MAX, |age| age));
        hash.word(self.members.len() as u64);
        for member in &self.members {
            member.identity.digest(hash);
            hash.word(member.role as u64);
            hash.word(member.status as u64);
            hash.word(member.age.map_or(u64::MAX, |age| age as u64));
            hash.word(u64::from(member.reachable));
            member.version.as_str().digest(hash);
            member.context.as_deref().digest(hash);
        }
    }
}

impl Digest for Seen<'_> {
    fn digest(&self, hash: &mut Hash64) {
        match self {
            Self::Input { node, clock, input } => {
                tag(hash, 1, *node);
                hash.word(clock.as_nanos());
                input.digest(hash);
            }
            Self::Output { node, output } => {
                tag(hash, 2, *node);
                output.digest(hash);
            }
            Self::Store(written) => {
                hash.word(3);
                written.digest(hash);
            }
            Self::Views { views } => {
                hash.word(4);
                for (node, view) in *views {
                    tag(hash, 5, *node);
                    view.digest(hash);
                }
            }
            Self::Lost { node, output } => {
                tag(hash, 6, *node);
                output.digest(hash);
            }
            Self::Began {
                node,
                name,
                identity,
                role,
            } => {
                tag(hash, 7, *node);
                name.digest(hash);
                identity.digest(hash);
                hash.word(*role as u64);
            }
            Self::Ended {
                node,
                identity,
                how,
            } => {
                tag(hash, 8, *node);
                identity.digest(hash);
                match how {
                    Ended::Killed => hash.word(0),
                    Ended::Stopped(reason) => hash.debug(reason),
                }
            }
            Self::Phase(_)
            | Self::Paused { .. }
            | Self::Deed { .. }
            | Self::Asked { .. }
            | Self::Answered { .. }
            | Self::Read { .. }
            | Self::Fault { .. }
            | Self::Spins { .. }
            | Self::Panicked { .. } => {
                hash.word(9);
                hash.debug(self);
            }
        }
    }
}

fn tag(hash: &mut Hash64, tag: u64, node: NodeId) {
    hash.word(tag << 16 | u64::from(node.0));
}

fn many<'a, T: Digest + 'a>(hash: &mut Hash64, all: impl ExactSizeIterator<Item = &'a T>) {
    hash.word(all.len() as u64);
    for one in all {
        one.digest(hash);
    }
}
