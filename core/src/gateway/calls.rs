//! A call that changes contexts: written, watched, answered from its record (protocol.md C).

use super::{KeyAnswer, Next, create_key, read_key, watch};
use crate::identity::CallId;
use crate::input::NewCall;
use crate::output::Answer;
use crate::planted::planted;
use crate::records::call::{CallOutcome, CallRecord, CallState, KeyObject, KeyRecord};
use crate::records::encode;
use crate::records::key::Layout;
use crate::records::transaction::{CommitOutcome, Snapshot, Transaction, Version};
use crate::server::follow::decoded;
use crate::server::shared::Shared;
use crate::wire::Message;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    Writing,
    Waiting,
    /// Past its deadline, and still open: expired by us under its version (C4).
    Expiring,
}

#[derive(Clone, Debug)]
pub(super) struct CallRequest {
    call: NewCall,
    /// The call whose record is watched: ours, or the one that our key belongs to.
    watched: CallId,
    stage: Stage,
    state: Option<(CallRecord, Version)>,
}

impl CallRequest {
    pub(super) fn new(call: NewCall) -> Self {
        Self {
            watched: call.id.clone(),
            call,
            stage: Stage::Writing,
            state: None,
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
                query.keys.extend(
                    self.call
                        .key
                        .as_ref()
                        .map(|k| layout.idempotency(&k.digest)),
                );
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
            (Some(record), Stage::Expiring) => {
                self.state = Some((record.value, record.version));
                self.expired(shared)
            }
            (Some(record), Stage::Writing | Stage::Waiting) => {
                self.state = Some((record.value, record.version));
                self.stage = Stage::Waiting;
                Next::Watch(self.records(&layout))
            }
            // It was not committed, and cannot be settled while it is guarded by its absence.
            (None, Stage::Writing) => Next::Again,
            // Cleaned up: its key outlived it.
            (None, Stage::Waiting | Stage::Expiring) => Next::Answer(Answer::Unknown),
        }
    }

    /// C4: an open call is expired under its version; an accepted one is only answered.
    pub(super) fn expired(&mut self, shared: &mut Shared) -> Next {
        let (Some(layout), Some((record, version))) = (shared.layout(), self.state.clone()) else {
            // Never seen in the store: whether it is there is not known.
            return Next::Answer(Answer::Unknown);
        };
        let already = self.stage == Stage::Expiring;
        match &record.progress {
            CallState::Accepted { context, .. } => Next::Answer(Answer::CallInProgress {
                context: context.clone(),
            }),
            CallState::Settled { outcome } => Next::Answer(Answer::Call(outcome.clone())),
            CallState::Open if already => Next::Answer(Answer::Unknown),
            CallState::Open => {
                self.stage = Stage::Expiring;
                let transaction = shared.outbox.transaction();
                let outcome = CallOutcome::Expired;
                Next::Withdraw(settle(transaction, &layout, &record, version, outcome))
            }
        }
    }

    fn records(&self, layout: &Layout) -> crate::records::transaction::Query {
        watch([layout.call(&self.watched), layout.settled(&self.watched)])
    }

    fn write(&self, shared: &mut Shared, layout: &Layout) -> Transaction {
        let call = &self.call;
        let hold = shared.times().gateway_hold.as_millis();
        let record = CallRecord {
            id: call.id.clone(),
            user: call.user.clone(),
            route: call.route.clone(),
            key: call.key.as_ref().map(|key| key.digest.clone()),
            deadline_ms: u64::try_from(hold).unwrap_or(u64::MAX),
            operation: call.operation.clone(),
            progress: CallState::Open,
            rest: Default::default(),
        };
        let transaction = shared
            .outbox
            .transaction()
            .check_absent(layout.settled(&call.id))
            .create(layout.call(&call.id), encode(&record));
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
