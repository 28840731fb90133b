//! What the parts of a server share: its configuration, what it last read of the cluster's own
//! records, the store's health, and which answer of the store belongs to which part.

use super::work::{GatewayWork, JoinWork, RosterWork, SingletonWork, SupervisorWork};
use crate::config::{Limits, Times, ValidConfig};
use crate::identity::Identity;
use crate::input::Ticket;
use crate::outbox::Outbox;
use crate::output::{ClusterEvent, TakenBy};
use crate::planted::planted;
use crate::records::cluster::{ClusterRecord, Generation, Roster};
use crate::records::key::Layout;
use crate::records::singleton::{
    ChallengeRecord, Epoch, PulseRecord, SingletonRecord, SplitRecord,
};
use crate::records::transaction::{
    CommitOutcome, Query, ReadOutcome, Transaction, TransactionId, Version,
};
use crate::records::{Rest, Versioned, encode};
use crate::time::{StampClock, Time};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// What a store call was for: the part that made it, and that part's own word for it.
#[derive(Clone, Debug)]
pub(crate) enum Purpose {
    Follow,
    Join(JoinWork),
    Roster(RosterWork),
    Singleton(SingletonWork),
    Gateway(GatewayWork),
    Supervisor(SupervisorWork),
}

/// A store call that is not answered yet.
#[derive(Clone, Debug)]
pub(crate) struct PendingCall {
    pub(crate) purpose: Purpose,
    pub(crate) sent: Time,
    /// The epoch in which it was sent.
    pub(crate) epoch: Epoch,
    /// The transaction, kept to carry its effect over into what we know once it is committed.
    pub(crate) transaction: Option<Transaction>,
    /// The supervisor's query, kept to tell which of its records are absent.
    pub(crate) query: Option<Query>,
}

/// The cluster's own records as last read, or as last written by ourselves.
#[derive(Clone, Debug, Default)]
pub(crate) struct Followed {
    /// Whether the store was read at all in this life.
    pub(crate) read: bool,
    pub(crate) cluster: Option<Versioned<ClusterRecord>>,
    /// How often `cluster` was replaced here by another write of it.
    pub(crate) replaced: u64,
    /// The keys of its records, which never change: another id is another cluster (F7).
    pub(crate) layout: Option<Layout>,
    pub(crate) singleton: Option<Versioned<SingletonRecord>>,
    pub(crate) challenge: Option<Versioned<ChallengeRecord>>,
    pub(crate) split: Option<Versioned<SplitRecord>>,
    pub(crate) pulse: Option<Version>,
    /// What a newer release added to `pulse` (W7).
    pub(crate) pulse_rest: Rest,
    /// When `pulse` was last seen to move, or first seen.
    pub(crate) pulse_moved: Time,
}

/// Shared state of a server's parts.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) config: ValidConfig,
    pub(crate) me: Identity,
    pub(crate) now: Time,
    pub(crate) started: Time,
    pub(crate) outbox: Outbox,
    pub(crate) stamps: StampClock,
    pub(crate) followed: Followed,
    /// The generation that first listed us, if any did (R6).
    pub(crate) listed_in: Option<Generation>,
    /// Whether we are leaving in order.
    pub(crate) leaving: bool,
    pub(crate) store_success: Option<Time>,
    /// Since when every call of ours was answered.
    pub(crate) store_since: Time,
    store_reachable: bool,
    pending: BTreeMap<Ticket, PendingCall>,
    /// The last transactions of ours that may take the office, and by what right.
    takings: VecDeque<(TransactionId, TakenBy)>,
}

/// So many transactions that may take the office can be in doubt at once.
const TAKINGS_MAX: usize = 8;

impl Purpose {
    /// By what right the office is taken, if a call of this purpose takes it.
    pub(crate) const fn takes_by(&self) -> Option<TakenBy> {
        match self {
            Self::Join(_) => Some(TakenBy::Founding),
            Self::Roster(_) => Some(TakenBy::Split),
            Self::Singleton(SingletonWork::Claim(by)) => Some(*by),
            Self::Singleton(_) | Self::Follow | Self::Gateway(_) | Self::Supervisor(_) => None,
        }
    }
}

impl Shared {
    pub(crate) fn new(config: ValidConfig, me: Identity, now: Time) -> Self {
        Self {
            config,
            outbox: Outbox::new(me.clone()),
            me,
            now,
            started: now,
            stamps: StampClock::default(),
            followed: Followed::default(),
            listed_in: None,
            leaving: false,
            store_success: None,
            store_since: now,
            store_reachable: true,
            pending: BTreeMap::new(),
            takings: VecDeque::new(),
        }
    }

    pub(crate) const fn times(&self) -> &Times {
        self.config.times()
    }

    pub(crate) const fn limits(&self) -> &Limits {
        self.config.limits()
    }

    pub(crate) fn layout(&self) -> Option<Layout> {
        self.followed.layout.clone()
    }

    pub(crate) fn roster(&self) -> Option<&Roster> {
        self.followed
            .cluster
            .as_ref()
            .map(|cluster| &cluster.value.roster)
    }

    pub(crate) fn generation(&self) -> Generation {
        self.roster()
            .map_or(Generation(0), |roster| roster.generation)
    }

    /// Whether the last roster read lists us.
    pub(crate) fn listed(&self) -> bool {
        self.roster().is_some_and(|roster| roster.lists(&self.me))
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.followed
            .singleton
            .as_ref()
            .map_or(Epoch(0), |singleton| singleton.value.epoch)
    }

    pub(crate) fn holder(&self) -> Option<&Identity> {
        self.followed
            .singleton
            .as_ref()
            .map(|singleton| &singleton.value.holder)
    }

    /// Whether the office is ours as far as we know.
    pub(crate) fn holds_office(&self) -> bool {
        self.holder() == Some(&self.me) && self.listed_in.is_some()
    }

    /// By what right the office came to us that a read shows to be ours: by our own transaction, whose
    /// answer is on its way or was lost, or by another's grant (W4).
    pub(crate) fn taken_by(&self) -> TakenBy {
        let written = self.followed.singleton.as_ref().map(|one| &one.written_by);
        let mut takings = self.takings.iter();
        let own = takings.find(|(id, _)| Some(id) == written);
        own.map_or(TakenBy::Grant, |(_, by)| *by)
    }

    /// The content of a raise of `pulse`: whoever writes it keeps what a newer release added (W7).
    pub(crate) fn raised_pulse(&self, epoch: Epoch, count: u64) -> String {
        encode(&PulseRecord {
            epoch,
            count,
            rest: self.followed.pulse_rest.clone(),
        })
    }

    /// Starts a transaction that carries the fence on the office as its first operation (W2).
    pub(crate) fn fenced(&mut self) -> Option<Transaction> {
        let layout = self.layout()?;
        let version = self
            .followed
            .singleton
            .as_ref()
            .map(|singleton| singleton.version)?;
        let transaction = self.outbox.transaction();
        if planted!(SupervisorUnfenced) {
            return Some(transaction);
        }
        Some(transaction.check(layout.singleton(), version))
    }

    pub(crate) fn commit(&mut self, transaction: Transaction, purpose: Purpose) -> Ticket {
        let ticket = self.outbox.commit(transaction.clone());
        if let Some(by) = purpose.takes_by() {
            if self.takings.len() >= TAKINGS_MAX {
                self.takings.pop_front();
            }
            self.takings.push_back((transaction.id.clone(), by));
        }
        let call = PendingCall {
            purpose,
            sent: self.now,
            epoch: self.epoch(),
            transaction: Some(transaction),
            query: None,
        };
        self.pending.insert(ticket, call);
        ticket
    }

    pub(crate) fn read(&mut self, query: Query, purpose: Purpose) -> Ticket {
        let kept = matches!(purpose, Purpose::Supervisor(_)).then(|| query.clone());
        let ticket = self.outbox.read(query);
        let call = PendingCall {
            purpose,
            sent: self.now,
            epoch: self.epoch(),
            transaction: None,
            query: kept,
        };
        self.pending.insert(ticket, call);
        ticket
    }

    /// Takes note of a commit's answer; gives back what it was for.
    pub(crate) fn committed(
        &mut self,
        ticket: Ticket,
        outcome: &CommitOutcome,
    ) -> Option<PendingCall> {
        let call = self.pending.remove(&ticket)?;
        match outcome {
            CommitOutcome::Committed { stamp } => {
                self.stamps.observe(self.now, *stamp);
                if planted!(LeapBelieved) {
                    // Taken for the second answer, which confirms it.
                    self.stamps.observe(self.now, *stamp);
                }
                self.store_answered(call.sent);
            }
            CommitOutcome::Refused { .. } => self.store_answered(call.sent),
            CommitOutcome::Unknown | CommitOutcome::NotSent { .. } => self.store_silent(),
        }
        Some(call)
    }

    /// Takes note of a read's answer; gives back what it was for.
    pub(crate) fn was_read(
        &mut self,
        ticket: Ticket,
        outcome: &ReadOutcome,
    ) -> Option<PendingCall> {
        let call = self.pending.remove(&ticket)?;
        match outcome {
            ReadOutcome::Snapshot(snapshot) => {
                self.stamps.observe(self.now, snapshot.stamp);
                self.store_answered(call.sent);
            }
            ReadOutcome::Failed { .. } => self.store_silent(),
        }
        Some(call)
    }

    /// A success counts from when it was asked for: what is said since may have been missed.
    fn store_answered(&mut self, sent: Time) {
        self.store_success = Some(self.store_success.map_or(sent, |last| last.max(sent)));
        if !self.store_reachable {
            self.store_reachable = true;
            self.store_since = self.now;
            self.outbox
                .event(ClusterEvent::StoreReachable { reachable: true });
        }
    }

    fn store_silent(&mut self) {
        if self.store_reachable {
            self.store_reachable = false;
            self.outbox
                .event(ClusterEvent::StoreReachable { reachable: false });
        }
    }

    /// How long ago the store last did what we asked (S7).
    pub(crate) fn store_age(&self) -> Duration {
        self.now.since(self.store_success.unwrap_or(self.started))
    }

    /// Whether we have the store, by the measure of S7.
    pub(crate) fn has_store(&self) -> bool {
        self.store_success.is_some() && self.store_age() < self.times().vacant_after
    }

    /// Reports a record that cannot be read; it is left as it is.
    pub(crate) fn warn(&mut self, text: &impl ToString) {
        self.outbox.event(ClusterEvent::Warning {
            text: text.to_string(),
        });
    }
}
