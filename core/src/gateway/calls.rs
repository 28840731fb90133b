//! A call that changes contexts: written, watched, answered from its record (protocol.md C).

use super::{KeyAnswer, Next, RETRY_FIRST, create_key, read_key, watch};
use crate::identity::CallId;
use crate::input::{NewCall, RequestKey};
use crate::output::Answer;
use crate::planted::planted;
use crate::records::call::{CallOutcome, CallRecord, CallState, KeyObject, KeyRecord};
use crate::records::key::Layout;
use crate::records::transaction::{CommitOutcome, Query, Snapshot, Transaction, Version};
use crate::records::{Versioned, encode};
use crate::server::follow::decoded;
use crate::server::shared::Shared;
use crate::time::Time;
use crate::wire::Message;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    Writing,
    Waiting,
    /// Our own time is over: expired by us under its version, once the store's clock is past its
    /// deadline too (C4).
    Expiring,
}

#[derive(Clone, Debug)]
pub(super) struct CallRequest {
    call: NewCall,
    /// Not written while this key is taken.
    unless: Option<RequestKey>,
    /// The call whose record is watched: ours, or the one that our key belongs to.
    watched: CallId,
    stage: Stage,
    /// By when it must be decided, by our own clock: the record names what is left of it.
    deadline: Time,
    /// How far its record was when we looked last.
    progress: Option<CallState>,
}

impl CallRequest {
    pub(super) fn new(call: NewCall, deadline: Time) -> Self {
        Self {
            watched: call.id.clone(),
            unless: None,
            call,
            stage: Stage::Writing,
            deadline,
            progress: None,
        }
    }

    /// A call that is written only while a key of another request is free; whoever gives it must
    /// look at that key itself, in what `looked` is given.
    pub(super) fn unless(call: NewCall, deadline: Time, taken: Option<RequestKey>) -> Self {
        Self {
            unless: taken,
            ..Self::new(call, deadline)
        }
    }

    pub(super) fn go_on(&mut self, shared: &mut Shared) -> Next {
        let Some(layout) = shared.layout() else {
            return Next::Again;
        };
        match self.stage {
            Stage::Writing => Next::Write(self.write(shared, &layout)),
            Stage::Waiting | Stage::Expiring => Next::Look(self.records(&layout)),
        }
    }

    pub(super) fn committed(
        &mut self,
        shared: &mut Shared,
        withdrawn: bool,
        outcome: &CommitOutcome,
    ) -> Next {
        let Some(layout) = shared.layout() else {
            return Next::Again;
        };
        if withdrawn {
            return match outcome {
                CommitOutcome::Committed { .. } => Next::Answer(Answer::Call(CallOutcome::Expired)),
                // Somebody changed it meanwhile: look once more, then answer as it stands.
                CommitOutcome::Refused { .. } => Next::Look(self.records(&layout)),
                CommitOutcome::Unknown if planted!(UnknownIsExpired) => {
                    Next::Answer(Answer::Call(CallOutcome::Expired))
                }
                CommitOutcome::Unknown | CommitOutcome::NotSent { .. } => {
                    Next::Answer(Answer::Unknown)
                }
            };
        }
        match outcome {
            CommitOutcome::Committed { .. } => {
                self.stage = Stage::Waiting;
                if let Some(holder) = shared.holder().filter(|holder| **holder != shared.me) {
                    let (holder, call) = (holder.clone(), self.watched.clone());
                    shared.outbox.send(&holder, Message::CallHint { call });
                }
                Next::Watch(self.records(&layout))
            }
            // Either it was committed by an attempt whose answer was lost, or its key is taken.
            CommitOutcome::Refused { .. } | CommitOutcome::Unknown => {
                let mut query = self.records(&layout);
                let keys = [&self.call.key, &self.unless];
                let keys = keys.into_iter().flatten();
                query
                    .keys
                    .extend(keys.map(|key| layout.idempotency(&key.digest)));
                Next::Look(query)
            }
            CommitOutcome::NotSent { .. } => Next::Again,
        }
    }

    pub(super) fn looked(&mut self, shared: &mut Shared, found: &Snapshot) -> Next {
        let Some(layout) = shared.layout() else {
            return Next::Again;
        };
        if self.stage == Stage::Writing
            && let Some(key) = self.call.key.clone()
            && let Some(record) =
                decoded::<KeyRecord>(shared, found, &layout.idempotency(&key.digest), "a key")
        {
            match read_key(&record.value, &key.request) {
                KeyAnswer::Mismatch => return Next::Answer(Answer::KeyMismatch),
                KeyAnswer::Object(KeyObject::Job(job)) => {
                    return Next::Answer(Answer::JobWaiting { job });
                }
                KeyAnswer::Object(KeyObject::Call(call)) if call != self.watched => {
                    self.watched = call;
                    self.stage = Stage::Waiting;
                    return Next::Look(self.records(&layout));
                }
                KeyAnswer::Object(KeyObject::Call(_)) => {}
            }
        }
        let settled = layout.settled(&self.watched);
        if let Some(record) = decoded::<CallRecord>(shared, found, &settled, "a settled call") {
            return match record.value.progress {
                CallState::Settled { outcome } => Next::Answer(Answer::Call(outcome)),
                CallState::Open | CallState::Accepted { .. } => Next::Answer(Answer::Unknown),
            };
        }
        let open = decoded::<CallRecord>(shared, found, &layout.call(&self.watched), "a call");
        match (open, &self.stage) {
            (Some(record), Stage::Expiring) => self.expire(shared, &layout, found, &record),
            (Some(record), Stage::Writing | Stage::Waiting) => {
                self.progress = Some(record.value.progress);
                self.stage = Stage::Waiting;
                Next::Watch(self.records(&layout))
            }
            // It was not committed, and cannot be settled while it is guarded by its absence.
            (None, Stage::Writing) => Next::Again,
            // Cleaned up: its key outlived it.
            (None, Stage::Waiting | Stage::Expiring) => Next::Answer(Answer::Unknown),
        }
    }

    /// Our own time is over. What was seen accepted is answered so; an open call is looked at once
    /// more, and what cannot be settled by now stays open for others to settle (C4).
    pub(super) fn expired(&mut self, shared: &Shared) -> Next {
        if let Some(CallState::Accepted { context, .. }) = &self.progress {
            let context = context.clone();
            return Next::Answer(Answer::CallInProgress { context });
        }
        match (&self.stage, shared.layout()) {
            (Stage::Waiting, Some(layout)) => {
                self.stage = Stage::Expiring;
                Next::Look(self.records(&layout))
            }
            // Whether it is in the store, or what became of it there, is not known.
            _ => Next::Answer(Answer::Unknown),
        }
    }

    /// C4: an open call is expired under its version, past its deadline by the store's clock; an
    /// accepted one is only answered.
    fn expire(
        &mut self,
        shared: &mut Shared,
        layout: &Layout,
        found: &Snapshot,
        known: &Versioned<CallRecord>,
    ) -> Next {
        match &known.value.progress {
            CallState::Accepted { context, .. } => {
                let context = context.clone();
                Next::Answer(Answer::CallInProgress { context })
            }
            CallState::Settled { outcome } => Next::Answer(Answer::Call(outcome.clone())),
            CallState::Open => match known.remaining(shared.stamps.reached()) {
                Some(remaining) => Next::AgainAfter(remaining.max(RETRY_FIRST)),
                None => {
                    let mut record = known.value.clone();
                    // One that is gone must not keep its call from being settled.
                    record.key = record.key.filter(|digest| {
                        let key = layout.idempotency(digest);
                        found.records.contains_key(&key)
                    });
                    let transaction = shared.outbox.transaction();
                    let (version, outcome) = (known.version, CallOutcome::Expired);
                    Next::Withdraw(settle(transaction, layout, &record, version, outcome))
                }
            },
        }
    }

    /// The records that tell how far the call is; while it expires its key too, which goes with it.
    fn records(&self, layout: &Layout) -> Query {
        let mut query = watch([layout.call(&self.watched), layout.settled(&self.watched)]);
        if self.stage == Stage::Expiring {
            let key = self.call.key.as_ref();
            query
                .keys
                .extend(key.map(|key| layout.idempotency(&key.digest)));
        }
        query
    }

    fn write(&self, shared: &mut Shared, layout: &Layout) -> Transaction {
        let call = &self.call;
        let left = self.deadline.since(shared.now).as_millis();
        let record = CallRecord {
            id: call.id.clone(),
            user: call.user.clone(),
            route: call.route.clone(),
            key: call.key.as_ref().map(|key| key.digest.clone()),
            deadline_ms: u64::try_from(left).unwrap_or(u64::MAX),
            operation: call.operation.clone(),
            progress: CallState::Open,
            rest: Default::default(),
        };
        let transaction = shared
            .outbox
            .transaction()
            .check_absent(layout.settled(&call.id))
            .create(layout.call(&call.id), encode(&record));
        let transaction = match &self.unless {
            Some(taken) => transaction.check_absent(layout.idempotency(&taken.digest)),
            None => transaction,
        };
        let object = KeyObject::Call(call.id.clone());
        create_key(transaction, layout, call.key.as_ref(), object)
    }
}

/// Adds to a transaction what settles a call: the record moves to `settled/`, and a refusal or an
/// expiry frees its key (C1, C5).
pub(crate) fn settle(
    transaction: Transaction,
    layout: &Layout,
    record: &CallRecord,
    version: Version,
    outcome: CallOutcome,
) -> Transaction {
    let keeps = outcome.keeps_key();
    let mut settled = record.clone();
    settled.progress = CallState::Settled { outcome };
    let transaction = transaction
        .delete(layout.call(&record.id), version)
        .create(layout.settled(&record.id), encode(&settled));
    let transaction = if planted!(SettlesBlindly) {
        crate::planted::unguarded(transaction, &layout.call(&record.id))
    } else {
        transaction
    };
    let keeps = keeps || planted!(KeyOutlivesRefusal);
    match record.key.as_ref().filter(|_| !keeps) {
        Some(digest) => transaction.delete(layout.idempotency(digest), Version(0)),
        None => transaction,
    }
}
