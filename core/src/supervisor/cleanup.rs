//! Deletes what is past: final jobs, final contexts and settled calls after `dao-cleanup-after`,
//! their keys of idempotency a day after their end, and jobs that were refused in place and whose
//! gateway died (protocol.md, Times; C5; J3).
//!
//! History lies in folders by hour (C1), so a pass walks the hours, the newest first: two minutes
//! after a take-over and then every hour (storage.md 11), once a day far back. Nothing of it is
//! urgent: one store call is under way at most, looks come a second apart, and an hour that cannot
//! be read is left to a later pass.
//!
//! | stage | what is awaited |
//! |---|---|
//! | looking | a page of each folder of an hour |
//! | linking | keys, last names and jobs that belong to some of what is past |
//! | deleting | the commit of that, under the fence on the office (W2) |
//! | doubting | whether a commit whose answer was lost was carried out (W4) |
//!
//! Objects of the binary store that no record names are swept by the holder's host, which can list
//! them: see [`crate::records::orphans`].

mod past;

use super::{Supervisor, SupervisorWork};
use crate::output::{Effect, Output};
use crate::records::call::KeyRecord;
use crate::records::context::NameRecord;
use crate::records::decode;
use crate::records::key::{Key, Layout};
use crate::records::transaction::{CommitOutcome, Query, ReadOutcome, Snapshot, Transaction};
use crate::server::shared::{Purpose, Shared};
use crate::time::Time;
use past::{Item, Rules};
use std::collections::VecDeque;
use std::time::Duration;

const FIRST_AFTER: Duration = Duration::from_secs(120);
const EVERY: Duration = Duration::from_secs(3_600);
const FAR_EVERY: Duration = Duration::from_secs(24 * 3_600);
/// The pauses between two hours, and between two transactions.
const LOOK_PACE: Duration = Duration::from_secs(1);
const DELETE_PACE: Duration = Duration::from_millis(100);
/// What one transaction deletes: three records each at most, below the bound of operations (W6).
const ITEMS_AT_ONCE: usize = 40;

/// What is awaited of the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Idle,
    Looking(u64, Query),
    Linking(Vec<Item>),
    Deleting(Vec<Item>),
    Doubting(Vec<Item>),
}

/// Where the pass is.
#[derive(Clone, Debug, Default)]
pub(super) struct Cleanup {
    next: Option<Time>,
    /// When the next pass is due, once one has begun.
    next_pass: Option<Time>,
    next_far: Option<Time>,
    /// The hours that this pass has yet to look at.
    hours: VecDeque<u64>,
    /// The hour of which not all was read yet, and its next pages.
    unread: Option<(u64, Query)>,
    /// What is past of the pages that were looked at last: bounded as they are.
    items: VecDeque<Item>,
    /// So many of them are deleted one by one, since a transaction with them was refused.
    alone: usize,
    stage: Stage,
}

impl Supervisor {
    pub(super) fn clean_up(&mut self, shared: &mut Shared) {
        let now = shared.now;
        let due = *self
            .cleanup
            .next
            .get_or_insert_with(|| now.after(FIRST_AFTER));
        if self.cleanup.stage != Stage::Idle || now < due {
            return;
        }
        let Some(layout) = shared.layout() else {
            self.cleanup.rest(now, LOOK_PACE);
            return;
        };
        if !self.cleanup.items.is_empty() {
            self.link(shared);
            return;
        }
        if let Some((hour, query)) = self.cleanup.unread.take() {
            self.look(shared, hour, query);
            return;
        }
        let rules = rules(shared);
        if self.cleanup.hours.is_empty() && self.cleanup.begin_pass(now) {
            let far = self.cleanup.next_far.is_none_or(|at| now >= at);
            if far {
                self.cleanup.next_far = Some(now.after(FAR_EVERY));
            }
            self.cleanup.hours = rules.hours(far);
        }
        match self.cleanup.hours.pop_front() {
            Some(hour) => self.look(shared, hour, rules.look(&layout, hour)),
            None => self.cleanup.next = self.cleanup.next_pass,
        }
    }

    pub(super) fn cleanup_deadline(&self) -> Option<Time> {
        self.cleanup
            .next
            .filter(|_| self.cleanup.stage == Stage::Idle)
    }

    pub(super) fn cleanup_was_read(&mut self, shared: &mut Shared, outcome: &ReadOutcome) {
        let stage = std::mem::take(&mut self.cleanup.stage);
        self.cleanup.rest(shared.now, LOOK_PACE);
        let (Some(layout), ReadOutcome::Snapshot(found)) = (shared.layout(), outcome) else {
            // The store is away, or this cannot be read: a later pass comes by again.
            return;
        };
        match stage {
            Stage::Idle | Stage::Deleting(_) => {}
            Stage::Looking(hour, query) => {
                self.cleanup.unread = query.next_pages(found).map(|next| (hour, next));
                let (items, damaged) = rules(shared).past(&layout, hour, found);
                if let Some(error) = damaged {
                    shared.warn(&error);
                }
                self.cleanup.items = items;
                self.cleanup.alone = 0;
                if !self.cleanup.items.is_empty() {
                    self.link(shared);
                }
            }
            Stage::Linking(items) => self.delete(shared, &layout, items, found),
            Stage::Doubting(items) => {
                let left = |item: &Item| removed(item).any(|key| found.records.contains_key(key));
                if !items.iter().any(left) {
                    delete_objects(shared, items);
                }
            }
        }
    }

    pub(super) fn cleanup_committed(&mut self, shared: &mut Shared, outcome: &CommitOutcome) {
        let Stage::Deleting(items) = std::mem::take(&mut self.cleanup.stage) else {
            return;
        };
        self.cleanup.rest(shared.now, DELETE_PACE);
        match outcome {
            CommitOutcome::Committed { .. } => delete_objects(shared, items),
            CommitOutcome::Unknown => {
                let query = Query::keys(items.iter().flat_map(removed).cloned());
                if !query.keys.is_empty() {
                    self.cleanup.stage = Stage::Doubting(items);
                    self.read(shared, query);
                }
            }
            // Something changed meanwhile: one by one, so that it keeps nothing else from going.
            CommitOutcome::Refused { operation } if *operation > 0 && items.len() > 1 => {
                self.cleanup.alone = items.len();
                for item in items.into_iter().rev() {
                    self.cleanup.items.push_front(item);
                }
            }
            CommitOutcome::Refused { .. } | CommitOutcome::NotSent { .. } => {
                self.cleanup.rest(shared.now, LOOK_PACE);
            }
        }
    }

    fn look(&mut self, shared: &mut Shared, hour: u64, query: Query) {
        self.cleanup.stage = Stage::Looking(hour, query.clone());
        self.read(shared, query);
    }

    /// Reads what belongs to the next items, if anything does.
    fn link(&mut self, shared: &mut Shared) {
        let items = self.cleanup.take_some();
        let query = Query::keys(items.iter().flat_map(Item::links).cloned());
        if query.keys.is_empty() {
            if let Some(layout) = shared.layout() {
                self.delete(shared, &layout, items, &Snapshot::default());
            }
            return;
        }
        self.cleanup.stage = Stage::Linking(items);
        self.read(shared, query);
    }

    fn delete(&mut self, shared: &mut Shared, layout: &Layout, items: Vec<Item>, found: &Snapshot) {
        self.cleanup.rest(shared.now, DELETE_PACE);
        let Some(mut transaction) = shared.fenced() else {
            return;
        };
        let guards = transaction.operations.len();
        let rules = rules(shared);
        let mut deleted = Vec::new();
        for item in items {
            let item = if item.place.is_some() {
                match rules.placed(layout, &item, found) {
                    None => continue,
                    // Its key is not read yet.
                    Some(placed) if placed.job.is_some() => {
                        self.cleanup.items.push_back(placed);
                        continue;
                    }
                    Some(orphan) => orphan,
                }
            } else {
                item
            };
            transaction = remove(transaction, &item, found);
            deleted.push(item);
        }
        if transaction.operations.len() > guards {
            self.cleanup.stage = Stage::Deleting(deleted);
            let work = SupervisorWork::CleanupDelete(self.epoch);
            shared.commit(transaction, Purpose::Supervisor(work));
        }
    }

    fn read(&self, shared: &mut Shared, query: Query) {
        let work = SupervisorWork::CleanupRead(self.epoch);
        shared.read(query, Purpose::Supervisor(work));
    }
}

impl Cleanup {
    fn rest(&mut self, now: Time, pace: Duration) {
        self.next = Some(now.after(pace));
    }

    /// Whether a pass begins now; the next one is due an hour later.
    fn begin_pass(&mut self, now: Time) -> bool {
        let begins = self.next_pass.is_none_or(|at| now >= at);
        if begins {
            self.next_pass = Some(now.after(EVERY));
        }
        begins
    }

    fn take_some(&mut self) -> Vec<Item> {
        let count = if self.alone > 0 { 1 } else { ITEMS_AT_ONCE };
        self.alone = self.alone.saturating_sub(1);
        let count = count.min(self.items.len());
        self.items.drain(..count).collect()
    }
}

fn rules(shared: &Shared) -> Rules {
    // Whoever waits for an outcome reads it first, even if nothing is kept at all.
    let keep = shared.times().cleanup_after;
    Rules {
        now: shared.stamps.now(shared.now),
        keep: keep.max(shared.times().client_deadline),
    }
}

/// The records that an item removes in any case.
fn removed(item: &Item) -> impl Iterator<Item = &Key> {
    let both = item.record.iter().chain(item.job.iter());
    both.map(|(key, _)| key)
}

/// Adds what an item deletes, each under the version that was read (W3).
fn remove(mut transaction: Transaction, item: &Item, found: &Snapshot) -> Transaction {
    if let Some(place) = &item.place {
        transaction = transaction.check_absent(place.clone());
    }
    for (key, version) in item.record.iter().chain(item.job.iter()) {
        transaction = transaction.delete(key.clone(), *version);
    }
    let key = item.key.as_ref().filter(|(key, object)| {
        let stored = found.records.get(key);
        let record = stored.and_then(|stored| decode::<KeyRecord>(key, "a key", stored).ok());
        record.is_some_and(|record| record.value.object == *object)
    });
    let last = item.last.as_ref().filter(|(key, context)| {
        let stored = found.records.get(key);
        let record = stored.and_then(|one| decode::<NameRecord>(key, "a last name", one).ok());
        record.is_some_and(|record| record.value.context == *context)
    });
    let linked = key.map(|(key, _)| key).into_iter();
    for key in linked.chain(last.map(|(key, _)| key)) {
        if let Some(stored) = found.records.get(key) {
            transaction = transaction.delete(key.clone(), stored.version);
        }
    }
    transaction
}

/// The records are gone, so nothing names their objects any more.
fn delete_objects(shared: &mut Shared, items: Vec<Item>) {
    let names: Vec<String> = items.into_iter().flat_map(|item| item.objects).collect();
    if !names.is_empty() {
        let effect = Effect::DeleteObjects { names };
        shared.outbox.push(Output::Effect(effect));
    }
}
