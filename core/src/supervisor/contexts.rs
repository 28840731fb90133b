//! What becomes of each context: launches, readiness, loss of drivers (protocol.md E, S9).
//!
//! | owner record | driver says | holder does |
//! |---|---|---|
//! | not taken | – | launches, or supersedes a launch whose server is gone; gives up in time |
//! | taken | starting | waits, at most `context-init-timeout` |
//! | taken | ready | STARTED → RUNNING, settles the creation |
//! | taken | ended | ends the attempt |
//! | taken | nothing, and nobody hears it | verifies; ends the attempt by proof or by time |
//! | ended | – | ends its jobs, then the context: see `ending` |

use super::calls::next_intent;
use super::{DriverContact, Local, Supervisor, SupervisorWork, VERIFY_EVERY};
use crate::identity::{ContextId, Identity, Incarnation};
use crate::output::{Effect, Output};
use crate::planted::planted;
use crate::records::Versioned;
use crate::records::call::{CallOperation, CallOutcome, CallState};
use crate::records::context::{
    ContextRecord, ContextState, DriverPhase, Intent, IntentKind, LifeRecord, Owner, OwnerRecord,
};
use crate::records::encode;
use crate::records::job::JobError;
use crate::records::transaction::Transaction;
use crate::server::shared::{Purpose, Shared};
use crate::time::Time;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A context with the records that belong to it.
pub(super) struct Whole {
    pub(super) context: Arc<Versioned<ContextRecord>>,
    pub(super) owner: Arc<Versioned<OwnerRecord>>,
    pub(super) life: Arc<Versioned<LifeRecord>>,
}

impl Whole {
    fn launch(&self) -> Option<(&Intent, &Identity)> {
        let intent = self.context.value.intent.as_ref()?;
        match &intent.kind {
            IntentKind::Launch { launcher } if intent.number == self.owner.value.intent => {
                Some((intent, launcher))
            }
            IntentKind::Launch { .. } | IntentKind::Stop => None,
        }
    }
}

impl Supervisor {
    pub(super) fn evaluate(
        &mut self,
        shared: &mut Shared,
        id: &ContextId,
        drivers: &BTreeMap<Incarnation, DriverContact>,
        alive: &dyn Fn(&Shared, &Identity) -> bool,
    ) {
        let local = self.local(id);
        if local.busy {
            return;
        }
        if let Some(at) = local.retry_at.filter(|at| shared.now < *at) {
            self.wake(at);
            return;
        }
        let (Some(context), Some(owner), Some(life)) = (
            self.view.contexts.get(id).cloned(),
            self.view.owners.get(id).cloned(),
            self.view.lives.get(id).cloned(),
        ) else {
            return;
        };
        let whole = Whole {
            context,
            owner,
            life,
        };
        self.note_since(shared.now, id, &whole);
        match (whole.owner.value.owner.clone(), whole.launch()) {
            (Some(owner), _) => self.owned(shared, id, &whole, &owner, drivers),
            (None, Some((intent, launcher))) => {
                let (intent, launcher) = (intent.clone(), launcher.clone());
                self.untaken(shared, id, &whole, &intent, &launcher, alive);
            }
            // The attempt is over; or a stop came before any driver took it.
            (None, None) if whole.context.value.ending.is_some() => {
                self.go_on_ending(shared, id, &whole);
            }
            (None, None) => self.end_attempt(shared, id, &whole, ContextState::Finished, None),
        }
    }

    /// Times of intents and owners are counted by our own clock, from when we saw them.
    fn note_since(&mut self, now: Time, id: &ContextId, whole: &Whole) {
        let driver = whole.owner.value.owner.as_ref().map(|owner| owner.driver);
        let number = whole
            .context
            .value
            .intent
            .as_ref()
            .map_or(whole.owner.value.intent, |i| i.number);
        let life = whole.life.version;
        let local = self.local(id);
        if local.life.is_none_or(|(seen, _)| seen != life) {
            local.life = Some((life, now));
        }
        if local.since_of != Some((number, driver)) {
            local.since_of = Some((number, driver));
            local.since = now;
            local.verify_at = None;
            local.kill_at = None;
            if !planted!(VerdictKept) {
                local.over = None;
            }
        }
    }

    fn untaken(
        &mut self,
        shared: &mut Shared,
        id: &ContextId,
        whole: &Whole,
        intent: &Intent,
        launcher: &Identity,
        alive: &dyn Fn(&Shared, &Identity) -> bool,
    ) {
        let Local {
            since,
            launched,
            over,
            verify_at,
            ..
        } = self.local(id).clone();
        let late = since.after(shared.times().driver_take);
        if let Some(error) = over {
            self.end_attempt(shared, id, whole, ContextState::Error, Some(error));
        } else if shared.now >= late {
            let error = JobError::new(
                "java.lang.RuntimeException",
                "Context failed to connect back within initialization time",
            );
            self.end_attempt(shared, id, whole, ContextState::Error, Some(error));
        } else if *launcher == shared.me {
            if launched != Some(intent.number) {
                self.local(id).launched = Some(intent.number);
                let context = Box::new(whole.context.value.clone());
                let intent = if planted!(LaunchesOldIntent) {
                    crate::records::context::IntentNumber(1)
                } else {
                    intent.number
                };
                let effect = Effect::Launch { context, intent };
                shared.outbox.push(Output::Effect(effect));
            }
            self.verify(shared, id, None, verify_at);
            self.wake(late);
        } else if alive(shared, launcher) && shared.now < since.after(VERIFY_EVERY) {
            self.wake(since.after(VERIFY_EVERY));
        } else {
            // E2: an intent that no driver took may be superseded; the late driver comes too late.
            // Its server is gone, or lost the office before it launched.
            self.supersede(shared, id, whole);
        }
    }

    fn supersede(&mut self, shared: &mut Shared, id: &ContextId, whole: &Whole) {
        let (Some(layout), Some(transaction)) = (shared.layout(), shared.fenced()) else {
            return;
        };
        let number = next_intent(&whole.context.value, &whole.owner.value);
        let mut context = whole.context.value.clone();
        context.intent = Some(Intent {
            number,
            since: shared.stamps.now(shared.now),
            kind: IntentKind::Launch {
                launcher: shared.me.clone(),
            },
        });
        let mut owner = whole.owner.value.clone();
        owner.intent = number;
        let transaction = transaction
            .put(layout.context(id), encode(&context), whole.context.version)
            .put(layout.owner(id), encode(&owner), whole.owner.version);
        self.commit_context(shared, id, transaction);
    }

    fn owned(
        &mut self,
        shared: &mut Shared,
        id: &ContextId,
        whole: &Whole,
        owner: &Owner,
        drivers: &BTreeMap<Incarnation, DriverContact>,
    ) {
        let local = self.local(id).clone();
        let stopping = whole.context.value.state == ContextState::Stopping;
        match &whole.life.value.phase {
            DriverPhase::Ended { orderly, error } => {
                let asked = stopping || *orderly;
                let (state, error) = ended_as(&whole.context.value, asked, error.clone());
                self.end_attempt(shared, id, whole, state, error);
                return;
            }
            DriverPhase::Ready {
                application_id,
                url,
            } if whole.context.value.state == ContextState::Started => {
                self.ready(shared, id, whole, application_id.clone(), url.clone());
                return;
            }
            DriverPhase::Ready { .. } | DriverPhase::Starting | DriverPhase::Silent => {}
        }
        if let Some(error) = local.over {
            let (state, error) = ended_as(&whole.context.value, stopping, Some(error));
            self.end_attempt(shared, id, whole, state, error);
            return;
        }
        let heard = drivers.get(&owner.driver);
        let linked = heard.is_some_and(|contact| contact.linked);
        // E8: from the last beat, from when `life` was seen to change, or from the take-over.
        let known = local
            .life
            .map_or(local.since, |(_, at)| at.max(local.since));
        let known = if planted!(LifeNotCounted) {
            local.since
        } else {
            known
        };
        let last = heard.map_or(known, |contact| contact.heard.max(known));
        if !linked {
            let lost = last.after(shared.times().driver_lost_after);
            if shared.now >= lost {
                let error = JobError::new(
                    "java.lang.RuntimeException",
                    "Context's driver was not heard for driver-lost-after",
                );
                self.end_attempt(shared, id, whole, ContextState::Killed, Some(error));
                return;
            }
            self.wake(lost);
            self.verify(shared, id, Some(owner.clone()), local.verify_at);
        }
        if self.time_out(shared, id, whole, &local) {
            return;
        }
        if stopping {
            self.insist(shared, id, whole, owner, &local);
        }
    }

    /// Asks the host whether the attempt's processes are gone, now and then (E3).
    fn verify(
        &mut self,
        shared: &mut Shared,
        id: &ContextId,
        owner: Option<Owner>,
        verify_at: Option<Time>,
    ) {
        // A driver that never was heard gets a moment to dial us before it is looked at.
        let first = if owner.is_some() {
            shared.now
        } else {
            shared.now.after(VERIFY_EVERY)
        };
        let due = verify_at.unwrap_or(first);
        if shared.now >= due {
            self.local(id).verify_at = Some(shared.now.after(VERIFY_EVERY));
            let context = id.clone();
            shared
                .outbox
                .push(Output::Effect(Effect::Verify { context, owner }));
        } else {
            self.local(id).verify_at = Some(due);
        }
        let next = self.local(id).verify_at;
        if let Some(next) = next {
            self.wake(next);
        }
    }

    fn ready(
        &mut self,
        shared: &mut Shared,
        id: &ContextId,
        whole: &Whole,
        application_id: Option<String>,
        url: Option<String>,
    ) {
        let (Some(layout), Some(transaction)) = (shared.layout(), shared.fenced()) else {
            return;
        };
        let mut context = whole.context.value.clone();
        context.state = ContextState::Running;
        context.intent = None;
        context.application_id = application_id;
        context.url = url;
        let mut transaction = transaction
            .check(layout.owner(id), whole.owner.version)
            .put(layout.context(id), encode(&context), whole.context.version);
        for call in self.accepted_calls(id) {
            if matches!(call.value.operation, CallOperation::CreateContext { .. }) {
                let outcome = CallOutcome::ContextCreated {
                    context: id.clone(),
                };
                transaction = self.settle_call(transaction, &layout, &call, outcome);
            }
        }
        self.commit_context(shared, id, transaction);
    }

    /// A start or a stop that takes too long. Returns whether something was decided.
    fn time_out(
        &mut self,
        shared: &mut Shared,
        id: &ContextId,
        whole: &Whole,
        local: &Local,
    ) -> bool {
        let (Some(layout), now) = (shared.layout(), shared.now) else {
            return false;
        };
        if whole.context.value.state == ContextState::Started {
            let late = local.since.after(shared.times().context_init);
            if now < late {
                self.wake(late);
                return false;
            }
            let Some(transaction) = shared.fenced() else {
                return false;
            };
            let mut context = whole.context.value.clone();
            context.state = ContextState::Stopping;
            context.error = Some(JobError::new(
                "java.lang.RuntimeException",
                "Context failed to initialize within context-init-timeout",
            ));
            context.intent = Some(Intent {
                number: next_intent(&whole.context.value, &whole.owner.value),
                since: shared.stamps.now(now),
                kind: IntentKind::Stop,
            });
            let transaction =
                transaction.put(layout.context(id), encode(&context), whole.context.version);
            self.commit_context(shared, id, transaction);
            return true;
        }
        let stamp = shared.stamps.now(now);
        for call in self.accepted_calls(id) {
            let CallState::Accepted { until, .. } = &call.value.progress else {
                continue;
            };
            if !matches!(call.value.operation, CallOperation::DeleteContext { .. }) {
                continue;
            }
            if stamp >= *until {
                let Some(transaction) = shared.fenced() else {
                    return false;
                };
                let outcome = CallOutcome::StopInProgress {
                    context: id.clone(),
                };
                let transaction = self.settle_call(transaction, &layout, &call, outcome);
                self.commit_context(shared, id, transaction);
                return true;
            }
            self.wake(now.after(std::time::Duration::from_millis(
                until.0.saturating_sub(stamp.0),
            )));
        }
        false
    }

    /// A driver that does not stop by itself is killed (E5).
    fn insist(
        &mut self,
        shared: &mut Shared,
        id: &ContextId,
        whole: &Whole,
        owner: &Owner,
        local: &Local,
    ) {
        let Some(intent) = whole
            .context
            .value
            .intent
            .as_ref()
            .map(|intent| intent.number)
        else {
            return;
        };
        let due = local
            .kill_at
            .unwrap_or_else(|| local.since.after(shared.times().context_stop));
        if shared.now >= due {
            self.local(id).kill_at = Some(shared.now.after(VERIFY_EVERY));
            let (context, owner) = (id.clone(), owner.clone());
            shared.outbox.push(Output::Effect(Effect::Kill {
                context,
                intent,
                owner,
            }));
        }
        let next = self.local(id).kill_at.unwrap_or(due);
        self.wake(next);
    }

    pub(super) fn commit_context(
        &mut self,
        shared: &mut Shared,
        id: &ContextId,
        transaction: Transaction,
    ) {
        self.local(id).busy = true;
        let work = SupervisorWork::Context(self.epoch, id.clone());
        shared.commit(transaction, Purpose::Supervisor(work));
    }
}

/// How a context ends whose attempt is over (lifecycle.md 2.1).
fn ended_as(
    context: &ContextRecord,
    asked: bool,
    error: Option<JobError>,
) -> (ContextState, Option<JobError>) {
    match (&context.error, context.state) {
        (Some(known), _) => (ContextState::Error, Some(known.clone())),
        (None, _) if asked => (ContextState::Finished, None),
        (None, ContextState::Started) => (ContextState::Error, error),
        (None, _) => (ContextState::Killed, error),
    }
}
