//! The context supervisor: what the holder of the office decides (protocol.md C2, E, S9).
//!
//! | phase | what is done |
//! |---|---|
//! | idle | the office is another's |
//! | taking over | all open records are read (the barrier of S9 is the same round) |
//! | serving | endings begun are finished, intents recovered, calls settled, as records change |

mod calls;
mod cleanup;
mod contexts;
mod ending;
mod view;

use crate::identity::{CallId, ContextId, Identity, Incarnation};
use crate::input::{EffectReport, Verdict};
use crate::output::ClusterEvent;
use crate::planted::planted;
use crate::records::context::IntentNumber;
use crate::records::job::JobError;
use crate::records::key::{Key, Layout};
use crate::records::singleton::Epoch;
use crate::records::transaction::{
    Change, CommitOutcome, Operation, Query, ReadOutcome, Snapshot, Transaction, Version, written,
};
use crate::server::shared::{PendingCall, Purpose, Shared};
use crate::server::work::SupervisorWork;
use crate::time::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use view::View;

/// A driver that nobody hears is looked at so often; and a launch of another server that no driver
/// took is superseded after so long.
const VERIFY_EVERY: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(100);

/// What a driver was last heard to be; kept by every server, used by the holder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DriverContact {
    pub(crate) heard: Time,
    pub(crate) linked: bool,
    /// When the holder was told last, and which (E8).
    pub(crate) reported: Option<(Time, Incarnation)>,
}

/// What the holder remembers of a context beside its records; nothing is lost with it.
#[derive(Clone, Debug, Default)]
struct Local {
    /// Since when the present intent or owner is known to this holder.
    since: Time,
    since_of: Option<(IntentNumber, Option<Incarnation>)>,
    /// The version of `life` that was seen last, and since when (E8).
    life: Option<(Version, Time)>,
    launched: Option<IntentNumber>,
    verify_at: Option<Time>,
    kill_at: Option<Time>,
    /// Proof of the attempt's death, or the failure of its launch: why it is over.
    over: Option<JobError>,
    busy: bool,
    retry_at: Option<Time>,
    ending: Option<ending::Ending>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Idle,
    TakingOver,
    Serving,
}

/// The holder's work.
#[derive(Clone, Debug, Default)]
pub(crate) struct Supervisor {
    phase: Phase,
    epoch: Epoch,
    view: View,
    locals: BTreeMap<ContextId, Local>,
    /// Calls whose decision is under way; with their context's name if it changes the context.
    busy_calls: BTreeMap<CallId, Option<String>>,
    /// Calls whose decision was not committed: not before then again.
    call_retries: BTreeMap<CallId, Time>,
    /// Calls whose key is gone, so that settling them must not delete it.
    keyless: BTreeSet<CallId>,
    dirty: BTreeSet<Key>,
    read_all: bool,
    reading: bool,
    /// Written by ourselves while a read was under way, so that its answer may be older.
    newer: BTreeSet<Key>,
    relist_at: Time,
    /// Something changed since everything was last evaluated.
    stirred: bool,
    due: Option<Time>,
    cleanup: cleanup::Cleanup,
}

impl Supervisor {
    /// S9: the office is ours under this epoch.
    pub(crate) fn take_over(&mut self, shared: &mut Shared) {
        *self = Self {
            phase: Phase::TakingOver,
            epoch: shared.epoch(),
            ..Self::default()
        };
        self.relist_at = shared.now.after(shared.times().pulse);
        self.read_all = true;
        self.refresh(shared);
    }

    /// The office is another's, or we stop.
    pub(crate) fn step_down(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn changed(&mut self, shared: &mut Shared, change: &Change) {
        if self.phase == Phase::Idle {
            return;
        }
        match change {
            Change::Everything => self.read_all = true,
            Change::Record(key) => {
                if shared
                    .layout()
                    .is_some_and(|layout| View::holds(&layout, key))
                {
                    self.dirty.insert(key.clone());
                }
            }
        }
        self.refresh(shared);
    }

    /// A gateway says that it wrote a call (C1).
    pub(crate) fn hinted(&mut self, shared: &mut Shared, call: &CallId) {
        if let Some(layout) = shared.layout().filter(|_| self.phase != Phase::Idle) {
            self.changed(shared, &Change::Record(layout.call(call)));
        }
    }

    /// A driver came, beat or went.
    pub(crate) fn stir(&mut self) {
        self.stirred = true;
    }

    pub(crate) fn reported(&mut self, shared: &Shared, report: &EffectReport) {
        match report {
            EffectReport::Launched {
                context,
                intent,
                error: Some(error),
            } => {
                if self.is_current(context, *intent) {
                    self.local(context).over = Some(error.clone());
                }
            }
            EffectReport::Verified {
                context,
                driver,
                verdict,
                last_output,
            } if *verdict == Verdict::Dead
                || (planted!(UnknownIsDead) && *verdict == Verdict::Unknown) =>
            {
                let owner = self.view.owners.get(context);
                let same = owner.is_some_and(|owner| {
                    owner.value.owner.as_ref().map(|owner| owner.driver) == *driver
                });
                if same {
                    let mut error = JobError::new(
                        "java.lang.RuntimeException",
                        "Context's driver process ended unexpectedly",
                    );
                    error.stack.clone_from(last_output);
                    self.local(context).over = Some(error);
                }
            }
            EffectReport::Launched {
                context,
                error: None,
                ..
            }
            | EffectReport::Verified { context, .. } => {
                self.local(context).verify_at = Some(shared.now.after(VERIFY_EVERY));
            }
            EffectReport::EngineReady { .. }
            | EffectReport::EngineEnded { .. }
            | EffectReport::JobRunning { .. }
            | EffectReport::JobRefused { .. }
            | EffectReport::JobFinished { .. }
            | EffectReport::JobFailed { .. }
            | EffectReport::JobKilled { .. } => return,
        }
        self.stirred = true;
    }

    pub(crate) fn step(
        &mut self,
        shared: &mut Shared,
        drivers: &BTreeMap<Incarnation, DriverContact>,
        alive: impl Fn(&Shared, &Identity) -> bool,
    ) {
        if self.phase == Phase::Idle || self.epoch != shared.epoch() {
            return;
        }
        if shared.now >= self.relist_at {
            self.relist_at = shared.now.after(shared.times().pulse);
            self.read_all = true;
            self.refresh(shared);
        }
        if self.phase == Phase::TakingOver {
            return;
        }
        self.clean_up(shared);
        if !self.stirred && self.due.is_none_or(|due| shared.now < due) {
            return;
        }
        self.stirred = false;
        self.due = None;
        self.decide_calls(shared);
        for context in self.view.contexts.keys().cloned().collect::<Vec<_>>() {
            self.evaluate(shared, &context, drivers, &alive);
        }
        let live = &self.view.contexts;
        self.locals
            .retain(|context, local| local.busy || live.contains_key(context));
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        match self.phase {
            Phase::Idle => return None,
            Phase::TakingOver => return Some(self.relist_at),
            Phase::Serving => {}
        }
        let dues = [Some(self.relist_at), self.due, self.cleanup_deadline()];
        dues.into_iter().flatten().min()
    }

    pub(crate) fn was_read(
        &mut self,
        shared: &mut Shared,
        work: &SupervisorWork,
        query: &Query,
        outcome: &ReadOutcome,
    ) {
        let (SupervisorWork::ReadAll(epoch)
        | SupervisorWork::Refresh(epoch)
        | SupervisorWork::Call(epoch, _)
        | SupervisorWork::Context(epoch, _)
        | SupervisorWork::EndingRead(epoch, _)
        | SupervisorWork::CleanupRead(epoch)
        | SupervisorWork::CleanupDelete(epoch)) = work;
        if *epoch != self.epoch || self.phase == Phase::Idle {
            return;
        }
        if let SupervisorWork::EndingRead(_, context) = work {
            self.ending_was_read(shared, context, outcome);
            return;
        }
        if matches!(work, SupervisorWork::CleanupRead(_)) {
            self.cleanup_was_read(shared, outcome);
            return;
        }
        self.reading = false;
        match outcome {
            ReadOutcome::Failed { .. } => {
                // Nobody decides without the store; the next look is due soon.
                self.read_all = true;
                self.relist_at = shared.now.after(RETRY);
            }
            ReadOutcome::Snapshot(snapshot) => {
                self.take_snapshot(shared, work, query, snapshot);
                self.refresh(shared);
            }
        }
    }

    pub(crate) fn committed(
        &mut self,
        shared: &mut Shared,
        work: &SupervisorWork,
        call: &PendingCall,
        outcome: &CommitOutcome,
    ) {
        let (epoch, busy) = match work {
            SupervisorWork::Call(epoch, id) => {
                self.busy_calls.remove(id);
                (*epoch, None)
            }
            SupervisorWork::Context(epoch, id) => (*epoch, Some(id.clone())),
            SupervisorWork::ReadAll(epoch)
            | SupervisorWork::Refresh(epoch)
            | SupervisorWork::EndingRead(epoch, _)
            | SupervisorWork::CleanupRead(epoch)
            | SupervisorWork::CleanupDelete(epoch) => (*epoch, None),
        };
        if epoch != self.epoch || self.phase == Phase::Idle {
            return;
        }
        let done = matches!(outcome, CommitOutcome::Committed { .. });
        if matches!(work, SupervisorWork::CleanupDelete(_)) {
            self.cleanup_committed(shared, outcome);
            return;
        }
        let retry = shared.now.after(RETRY);
        if let SupervisorWork::Call(_, id) = work
            && !done
        {
            self.call_retries.insert(id.clone(), retry);
        }
        if let Some(id) = busy {
            let local = self.local(&id);
            local.busy = false;
            // What is left is read again after each step.
            local.ending = None;
            if !done {
                local.retry_at = Some(retry);
            }
        }
        if let (CommitOutcome::Committed { stamp }, Some(transaction)) =
            (outcome, &call.transaction)
        {
            if let Some(layout) = shared.layout() {
                self.absorb(shared, &layout, transaction, *stamp);
            }
        } else {
            self.not_committed(call.transaction.as_ref(), work, outcome);
            self.refresh(shared);
        }
        self.stirred = true;
    }

    fn absorb(
        &mut self,
        shared: &mut Shared,
        layout: &Layout,
        transaction: &Transaction,
        stamp: crate::time::Stamp,
    ) {
        for (key, stored) in written(transaction, stamp) {
            if !View::holds(layout, &key) {
                continue;
            }
            if self.reading {
                self.newer.insert(key.clone());
            }
            // What was put keeps the time of its creation.
            if let Err(error) = self.view.absorb(layout, &key, stored.as_ref()) {
                shared.warn(&error);
            }
        }
    }

    /// Refused or unknown: whatever it was decided from is read again (W1, W4).
    fn not_committed(
        &mut self,
        transaction: Option<&Transaction>,
        work: &SupervisorWork,
        outcome: &CommitOutcome,
    ) {
        self.read_all = true;
        let refused = match outcome {
            CommitOutcome::Refused { operation } => {
                transaction.and_then(|one| one.operations.get(*operation))
            }
            CommitOutcome::Committed { .. }
            | CommitOutcome::Unknown
            | CommitOutcome::NotSent { .. } => None,
        };
        // A key of idempotency that was cleaned up does not keep its call from being settled.
        if let (Some(Operation::Delete { key, .. }), SupervisorWork::Call(_, id)) = (refused, work)
            && key.as_str().contains("/key/")
        {
            self.keyless.insert(id.clone());
        }
    }

    fn take_snapshot(
        &mut self,
        shared: &mut Shared,
        work: &SupervisorWork,
        query: &Query,
        snapshot: &Snapshot,
    ) {
        let Some(layout) = shared.layout() else {
            return;
        };
        let newer = std::mem::take(&mut self.newer);
        let mut errors = Vec::new();
        if matches!(work, SupervisorWork::ReadAll(_)) {
            let old = std::mem::take(&mut self.view);
            (self.view, errors) = View::of(old, &layout, snapshot);
        } else {
            for key in query.keys.iter().filter(|key| !newer.contains(*key)) {
                let found = snapshot.records.get(key);
                errors.extend(self.view.absorb(&layout, key, found).err());
            }
        }
        self.dirty.extend(newer);
        for error in errors {
            shared.warn(&error);
        }
        self.stirred = true;
        if self.phase == Phase::TakingOver {
            self.phase = Phase::Serving;
            self.relist_at = shared.now.after(shared.times().pulse);
            shared
                .outbox
                .event(ClusterEvent::OfficeReady { epoch: self.epoch });
        }
    }

    fn refresh(&mut self, shared: &mut Shared) {
        let Some(layout) = shared.layout() else {
            return;
        };
        if self.reading || (!self.read_all && self.dirty.is_empty()) {
            return;
        }
        self.reading = true;
        if std::mem::take(&mut self.read_all) {
            self.dirty.clear();
            let work = SupervisorWork::ReadAll(self.epoch);
            shared.read(View::query(&layout), Purpose::Supervisor(work));
        } else {
            let query = Query::keys(std::mem::take(&mut self.dirty));
            shared.read(
                query,
                Purpose::Supervisor(SupervisorWork::Refresh(self.epoch)),
            );
        }
    }

    fn local(&mut self, context: &ContextId) -> &mut Local {
        self.locals.entry(context.clone()).or_default()
    }

    fn is_current(&self, context: &ContextId, intent: IntentNumber) -> bool {
        let record = self.view.contexts.get(context);
        record
            .and_then(|record| record.value.intent.as_ref())
            .is_some_and(|i| i.number == intent)
    }

    /// Evaluates again at this time at the latest.
    fn wake(&mut self, at: Time) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }
}
