//! How an observation goes into the trace hash: every field of it. What comes often is taken field
//! by field, the rest as its `Debug` text.
//!
//! | file | holds |
//! | --- | --- |
//! | `wire` | beats, messages, states of membership |
//! | `store` | transactions, queries, outcomes |
//! | `process` | inputs and outputs |

mod process;
mod store;
mod wire;

pub use wire::Content;

use super::hash::Hash64;
use super::seen::{Ended, NodeId, Seen, Written};
use crate::schedule::model::Request;
use doyen_core::identity::{Address, Identity, JobId};
use doyen_core::process::ClusterView;

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
    fn digest(&self, hash: &mut Hash64) {
        host(self, hash);
        hash.word(u64::from(self.port()));
    }
}

impl Digest for Identity {
    fn digest(&self, hash: &mut Hash64) {
        host(&self.address, hash);
        hash.pair(u64::from(self.address.port()), self.incarnation.0);
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "each half of the head is a word"
)]
fn host(address: &Address, hash: &mut Hash64) {
    let head = address.head();
    hash.pair((head >> 64) as u64, head as u64);
    if address.host_is_long() {
        address.host().digest(hash);
    }
}

impl Digest for Written<'_> {
    fn digest(&self, hash: &mut Hash64) {
        self.by.digest(hash);
        self.transaction.digest(hash);
        self.outcome.digest(hash);
        hash.pair(u64::from(self.told), self.stamp.0);
        hash.word(self.changed.len() as u64);
        for key in self.changed {
            key.as_str().digest(hash);
        }
    }
}

impl Digest for ClusterView {
    fn digest(&self, hash: &mut Hash64) {
        self.identity.digest(hash);
        self.cluster.as_ref().map(|one| one.as_str()).digest(hash);
        hash.pair(self.epoch.0, self.generation.0);
        self.holder.digest(hash);
        self.leader.digest(hash);
        let flags = [
            self.converged,
            self.ready,
            self.takes_calls,
            self.others_have_store,
        ];
        hash.pair(bits(&flags), self.store_age_ms.map_or(u64::MAX, |age| age));
        self.not_ready.as_deref().digest(hash);
        hash.word(self.members.len() as u64);
        for member in &self.members {
            member.identity.digest(hash);
            hash.pair(member.role as u64, member.status as u64);
            let age = member.age.map_or(u64::MAX, |age| age as u64);
            hash.pair(age, u64::from(member.reachable));
            member.version.as_str().digest(hash);
            member.context.as_deref().digest(hash);
        }
    }
}

impl Digest for Seen<'_> {
    fn digest(&self, hash: &mut Hash64) {
        match self {
            Self::Input { node, clock, input } => {
                hash.pair(tag(1, *node), clock.as_nanos());
                input.digest(hash);
            }
            Self::Output { node, output } => {
                hash.word(tag(2, *node));
                output.digest(hash);
            }
            Self::Store(written) => {
                hash.word(3);
                written.digest(hash);
            }
            // The views themselves are told by the tracker, as the state of all processes.
            Self::Views { views } => hash.pair(4, views.len() as u64),
            Self::Lost { node, output } => {
                hash.word(tag(6, *node));
                output.digest(hash);
            }
            Self::Began {
                node,
                name,
                identity,
                role,
            } => {
                hash.word(tag(7, *node));
                name.digest(hash);
                identity.digest(hash);
                hash.word(*role as u64);
            }
            Self::Ended {
                node,
                identity,
                how,
            } => {
                hash.word(tag(8, *node));
                identity.digest(hash);
                match how {
                    Ended::Killed => hash.word(0),
                    Ended::Stopped(reason) => hash.debug(reason),
                }
            }
            Self::Asked { .. } | Self::Answered { .. } | Self::Read { .. } => client(self, hash),
            Self::Phase(_)
            | Self::Paused { .. }
            | Self::Deed { .. }
            | Self::Fault { .. }
            | Self::Spins { .. }
            | Self::Panicked { .. } => {
                hash.word(12);
                hash.debug(self);
            }
        }
    }
}

/// What clients ask and are told.
fn client(seen: &Seen<'_>, hash: &mut Hash64) {
    match seen {
        Seen::Asked {
            node,
            request,
            what,
            key,
            job,
            deadline,
        } => {
            hash.pair(tag(9, *node), request.0);
            hash.word(deadline.as_nanos());
            what.digest(hash);
            key.digest(hash);
            job.map(JobId::as_str).digest(hash);
        }
        Seen::Answered {
            node,
            request,
            answer,
        } => {
            hash.pair(tag(10, *node), request.0);
            answer.digest(hash);
        }
        Seen::Read {
            node,
            request,
            key,
            found,
        } => {
            hash.pair(tag(11, *node), request.0);
            key.as_str().digest(hash);
            found.digest(hash);
        }
        other => hash.debug(other),
    }
}

impl Digest for Request {
    fn digest(&self, hash: &mut Hash64) {
        let (tag, name) = match self {
            Self::CreateContext { context } => (1, context),
            Self::DeleteContext { context } => (2, context),
            Self::Kill { job } => (3, job),
            Self::ReadJob { job } => (4, job),
            Self::ReadContext { context } => (5, context),
            Self::Submit { .. } => {
                hash.word(6);
                return hash.debug(self);
            }
        };
        hash.word(tag);
        name.as_str().digest(hash);
    }
}

fn tag(tag: u64, node: NodeId) -> u64 {
    tag << 16 | u64::from(node.0)
}

fn bits(flags: &[bool]) -> u64 {
    flags.iter().fold(0, |all, one| all * 2 + u64::from(*one))
}

fn many<'a, T: Digest + 'a>(hash: &mut Hash64, all: impl ExactSizeIterator<Item = &'a T>) {
    hash.word(all.len() as u64);
    for one in all {
        one.digest(hash);
    }
}
