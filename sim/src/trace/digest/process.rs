//! What processes are told and what they want.

use super::{Digest, bits, many};
use crate::trace::hash::Hash64;
use doyen_core::input::{Input, LinkEvent};
use doyen_core::output::{Answer, BeatPlan, ClusterEvent, Output};
use doyen_core::records::job::JobRecord;
use doyen_core::records::transaction::Change;

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
                hash.pair(4, ticket.0);
                outcome.digest(hash);
            }
            Self::Read { ticket, outcome } => {
                hash.pair(5, ticket.0);
                outcome.digest(hash);
            }
            Self::StoreChanged(Change::Everything) => hash.word(6),
            Self::StoreChanged(Change::Record(key)) => {
                hash.word(7);
                key.as_str().digest(hash);
            }
            Self::Link(event) => {
                hash.word(8);
                event.digest(hash);
            }
            Self::Command(_) | Self::EffectReport(_) => {
                hash.word(9);
                hash.debug(self);
            }
        }
    }
}

impl Digest for LinkEvent {
    fn digest(&self, hash: &mut Hash64) {
        match self {
            Self::Up { peer } => {
                hash.word(1);
                peer.digest(hash);
            }
            Self::Down { peer } => {
                hash.word(2);
                peer.digest(hash);
            }
            Self::Refused { address } => {
                hash.word(3);
                address.digest(hash);
            }
            Self::Silent { address } => {
                hash.word(4);
                address.digest(hash);
            }
            Self::Rejected { address, reason } => {
                hash.word(5);
                address.digest(hash);
                reason.as_str().digest(hash);
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
            hash.pair(every.as_secs(), u64::from(every.subsec_nanos()));
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
                hash.pair(3, ticket.0);
                transaction.digest(hash);
            }
            Self::Read { ticket, query } => {
                hash.pair(4, ticket.0);
                query.digest(hash);
            }
            Self::Dial { addresses } => {
                hash.word(5);
                many(hash, addresses.iter());
            }
            Self::Event(event) => {
                hash.word(6);
                event.digest(hash);
            }
            Self::Answer { request, answer } => {
                hash.pair(7, request.0);
                answer.digest(hash);
            }
            Self::Credentials(_) | Self::Effect(_) | Self::Stop(_) => {
                hash.word(8);
                hash.debug(self);
            }
        }
    }
}

impl Digest for ClusterEvent {
    fn digest(&self, hash: &mut Hash64) {
        match self {
            Self::RosterChanged { generation, listed } => {
                hash.pair(1, generation.0);
                many(hash, listed.iter());
            }
            Self::SingletonMoved { epoch, holder } => {
                hash.pair(2, epoch.0);
                holder.digest(hash);
            }
            Self::Unreachable { member } => {
                hash.word(3);
                member.digest(hash);
            }
            Self::Reachable { member } => {
                hash.word(4);
                member.digest(hash);
            }
            seldom => {
                hash.word(5);
                hash.debug(seldom);
            }
        }
    }
}

impl Digest for Answer {
    fn digest(&self, hash: &mut Hash64) {
        match self {
            Self::JobAccepted(job) => {
                hash.word(1);
                job.digest(hash);
            }
            Self::JobDone(job) => {
                hash.word(2);
                job.digest(hash);
            }
            Self::JobWaiting { job } => {
                hash.word(3);
                job.as_str().digest(hash);
            }
            short => {
                hash.word(4);
                hash.debug(short);
            }
        }
    }
}

impl Digest for JobRecord {
    fn digest(&self, hash: &mut Hash64) {
        let Self {
            id,
            context,
            context_name,
            main_class,
            class_path,
            config,
            sync,
            user,
            state,
            kill,
            started,
            ended,
            never_ran,
            error,
            result,
            key,
            rest,
        } = self;
        for text in [
            id.as_str(),
            context.as_str(),
            context_name,
            main_class,
            user,
        ] {
            text.digest(hash);
        }
        let flags = [*sync, *kill, *never_ran];
        hash.pair(started.0, ended.map_or(u64::MAX, |one| one.0));
        hash.word(bits(&flags));
        key.as_deref().digest(hash);
        hash.debug(&(class_path, config, state, error, result, rest));
    }
}
