//! Decides open calls: accepts them with their intents, or refuses them under guards on everything
//! that the refusal rests on (protocol.md C2, C3, W3). One that is past its deadline is not decided
//! any more but settled as expired, whoever wrote it: all are listed with every pulse (C1, C4).

use super::{Supervisor, SupervisorWork};
use crate::gateway::settle;
use crate::identity::{CallId, ContextId};
use crate::planted::planted;
use crate::records::Versioned;
use crate::records::call::{CallOperation, CallOutcome, CallRecord, CallState};
use crate::records::context::{
    ContextRecord, ContextState, DriverPhase, Intent, IntentKind, IntentNumber, LifeRecord,
    NameRecord, OwnerRecord,
};
use crate::records::encode;
use crate::records::key::Layout;
use crate::records::transaction::{Transaction, Version};
use crate::server::shared::{Purpose, Shared};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// What an open call leads to.
enum Decision {
    /// It is answered, and nothing else changes.
    Settles(Transaction),
    /// It is accepted, and its context changes.
    Changes(Transaction),
}

impl Supervisor {
    pub(super) fn decide_calls(&mut self, shared: &mut Shared) {
        let now = shared.now;
        self.call_retries.retain(|_, at| *at > now);
        if let Some(at) = self.call_retries.values().min().copied() {
            self.wake(at);
        }
        let mut changing: BTreeSet<String> = self.busy_calls.values().flatten().cloned().collect();
        let waits = |(id, call): &(&CallId, &Arc<Versioned<CallRecord>>)| {
            call.value.progress == CallState::Open
                && !self.busy_calls.contains_key(id)
                && !self.call_retries.contains_key(id)
        };
        let open = self.view.calls.iter().filter(waits);
        let open: Vec<_> = open.map(|(_, call)| call.clone()).collect();
        for call in open {
            let name = call.value.operation.context_name();
            // What follows from the change is decided when it is known.
            if changing.contains(name) {
                continue;
            }
            let Some(decision) = self.decide(shared, &call) else {
                continue;
            };
            let (transaction, changes) = match decision {
                Decision::Changes(transaction) => (transaction, Some(name.to_owned())),
                // Each carries its guards, so that many of one name may be under way.
                Decision::Settles(transaction) => (transaction, None),
            };
            changing.extend(changes.clone());
            let id = call.value.id.clone();
            self.busy_calls.insert(id.clone(), changes);
            let work = SupervisorWork::Call(self.epoch, id);
            shared.commit(transaction, Purpose::Supervisor(work));
        }
    }

    fn decide(&mut self, shared: &mut Shared, call: &Versioned<CallRecord>) -> Option<Decision> {
        let layout = shared.layout()?;
        let transaction = shared.fenced()?;
        if call.remaining(shared.stamps.reached()).is_none() {
            // C4: the gateway that wrote it is gone, or nothing could be decided in time.
            return self.settles(transaction, &layout, call, CallOutcome::Expired);
        }
        if call.remaining(shared.stamps.now(shared.now)).is_none() {
            // Past its deadline, as far as we can tell: the store's next answer says for certain.
            self.wake(shared.now.after(shared.times().idle_barrier));
            return None;
        }
        let max = shared.limits().calls_max;
        if self.view.calls.len() > max {
            let outcome = CallOutcome::TooMany {
                limit: format!("{max} open calls"),
            };
            return self.settles(transaction, &layout, call, outcome);
        }
        let known = self
            .view
            .named(call.value.operation.context_name())
            .cloned();
        match (&call.value.operation, known) {
            (CallOperation::CreateContext { name, .. }, Some(known)) => {
                // The name's version starts over with each context, so its context is guarded too.
                let transaction = transaction
                    .check(layout.context_name(name), Version(0))
                    .check(layout.context(&known.value.id), known.version);
                self.settles(transaction, &layout, call, CallOutcome::ContextExists)
            }
            (CallOperation::CreateContext { .. }, None) => {
                let max = shared.limits().contexts_max;
                if self.view.contexts.len() >= max {
                    let outcome = CallOutcome::TooMany {
                        limit: format!("{max} live contexts"),
                    };
                    return self.settles(transaction, &layout, call, outcome);
                }
                let transaction = create(shared, transaction, &layout, call);
                Some(Decision::Changes(transaction))
            }
            (CallOperation::DeleteContext { name }, None) => {
                let transaction = if planted!(AbsenceUnguarded) {
                    transaction
                } else {
                    transaction.check_absent(layout.context_name(name))
                };
                self.settles(transaction, &layout, call, CallOutcome::ContextNotFound)
            }
            (CallOperation::DeleteContext { .. }, Some(known)) => {
                self.stop(shared, transaction, &layout, call, &known)
            }
        }
    }

    fn settles(
        &self,
        transaction: Transaction,
        layout: &Layout,
        call: &Versioned<CallRecord>,
        outcome: CallOutcome,
    ) -> Option<Decision> {
        let transaction = self.settle_call(transaction, layout, call, outcome);
        Some(Decision::Settles(transaction))
    }

    /// Adds the settling of a call to a transaction; a key that is gone is left alone.
    pub(super) fn settle_call(
        &self,
        transaction: Transaction,
        layout: &Layout,
        call: &Versioned<CallRecord>,
        outcome: CallOutcome,
    ) -> Transaction {
        let mut record = call.value.clone();
        if self.keyless.contains(&record.id) {
            record.key = None;
        }
        settle(transaction, layout, &record, call.version, outcome)
    }

    /// Accepts a stop, or answers 202 when one is under way (rest-api.md 4.4).
    fn stop(
        &mut self,
        shared: &Shared,
        transaction: Transaction,
        layout: &Layout,
        call: &Versioned<CallRecord>,
        known: &Versioned<ContextRecord>,
    ) -> Option<Decision> {
        let context = known.value.id.clone();
        if self.locals.get(&context).is_some_and(|local| local.busy) {
            return None;
        }
        if known.value.state == ContextState::Stopping || known.value.ending.is_some() {
            let transaction = transaction.check(layout.context(&context), known.version);
            let outcome = CallOutcome::StopInProgress { context };
            return self.settles(transaction, layout, call, outcome);
        }
        let owner = self.view.owners.get(&context)?;
        let mut record = known.value.clone();
        record.state = ContextState::Stopping;
        record.intent = Some(Intent {
            number: next_intent(&known.value, &owner.value),
            since: shared.stamps.now(shared.now),
            kind: IntentKind::Stop,
        });
        let wait = shared
            .times()
            .context_stop
            .saturating_sub(Duration::from_secs(2));
        let until = shared.stamps.now(shared.now).after(wait);
        let transaction = transaction
            .check(layout.owner(&context), owner.version)
            .put(layout.context(&context), encode(&record), known.version)
            .put(
                layout.call(&call.value.id),
                encode(&accepted(&call.value, context, until)),
                call.version,
            );
        Some(Decision::Changes(transaction))
    }

    /// The accepted calls of a context.
    pub(super) fn accepted_calls(&self, context: &ContextId) -> Vec<Arc<Versioned<CallRecord>>> {
        let of_context = |call: &&Arc<Versioned<CallRecord>>| match &call.value.progress {
            CallState::Accepted { context: of, .. } => of == context,
            CallState::Open | CallState::Settled { .. } => false,
        };
        self.view
            .calls
            .values()
            .filter(of_context)
            .cloned()
            .collect()
    }
}

/// The intent number after every one that this context has used.
pub(super) fn next_intent(context: &ContextRecord, owner: &OwnerRecord) -> IntentNumber {
    let last = context
        .intent
        .as_ref()
        .map_or(IntentNumber(0), |intent| intent.number);
    last.max(owner.intent).next()
}

fn accepted(call: &CallRecord, context: ContextId, until: crate::time::Stamp) -> CallRecord {
    let mut record = call.clone();
    record.progress = CallState::Accepted { context, until };
    record
}

/// Accepts a creation: the context with its launch intent, its name, and empty records for owner
/// and life, all in the transaction that accepts the call (C2).
fn create(
    shared: &Shared,
    transaction: Transaction,
    layout: &Layout,
    call: &Versioned<CallRecord>,
) -> Transaction {
    let CallOperation::CreateContext {
        name,
        settings,
        adhoc,
    } = &call.value.operation
    else {
        return transaction;
    };
    let id = context_of(&call.value.id);
    let now = shared.stamps.now(shared.now);
    let number = IntentNumber(1);
    let kind = IntentKind::Launch {
        launcher: shared.me.clone(),
    };
    let record = ContextRecord {
        id: id.clone(),
        name: name.clone(),
        settings: settings.clone(),
        adhoc: *adhoc,
        user: call.value.user.clone(),
        state: ContextState::Started,
        intent: Some(Intent {
            number,
            since: now,
            kind,
        }),
        ending: None,
        started: now,
        ended: None,
        error: None,
        application_id: None,
        url: None,
        key: call.value.key.clone().filter(|_| *adhoc),
        rest: Default::default(),
    };
    let owner = OwnerRecord {
        intent: number,
        owner: None,
        rest: Default::default(),
    };
    let life = LifeRecord {
        driver: None,
        phase: DriverPhase::Silent,
        count: 0,
        rest: Default::default(),
    };
    let named = NameRecord {
        context: id.clone(),
        rest: Default::default(),
    };
    let until = now.after(
        shared
            .times()
            .driver_take
            .saturating_add(shared.times().context_init),
    );
    transaction
        .create(layout.context_name(name), encode(&named))
        .create(layout.context(&id), encode(&record))
        .create(layout.owner(&id), encode(&owner))
        .create(layout.life(&id), encode(&life))
        .put(
            layout.call(&call.value.id),
            encode(&accepted(&call.value, id, until)),
            call.version,
        )
}

/// A context has the id of the call that created it, so that whoever repeats the decision names
/// the same one.
fn context_of(call: &CallId) -> ContextId {
    ContextId::new(call.as_str())
}
