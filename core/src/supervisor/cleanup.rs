//! Deletes what is past: final jobs, final contexts and settled calls after `dao-cleanup-after`,
//! their keys of idempotency a day after their end (protocol.md, Times; C5).
//!
//! History lies in folders by hour (C1), so a pass walks the hours, one at a time, the newest
//! first: two minutes after a take-over, then every hour (storage.md 11). Nothing of it is urgent:
//! one store call is under way at most, and a pass that fails goes on with the next hour.
//!
//! | step | reads or writes |
//! |---|---|
//! | look | the three folders of an hour |
//! | link | the keys of idempotency and last names that belong to what is past |
//! | delete | some of it, under the fence; then look again |
//!
//! Not deleted yet: jobs refused in place whose gateway died, and objects of the binary store that
//! no version of a binary names.

use super::{Supervisor, SupervisorWork};
use crate::output::{Effect, Output};
use crate::records::call::CallRecord;
use crate::records::context::{ContextRecord, NameRecord};
use crate::records::decode;
use crate::records::job::{JobRecord, Payload};
use crate::records::key::{Key, Layout};
use crate::records::transaction::{Query, ReadOutcome, Snapshot, Stored, Transaction, Version};
use crate::server::shared::{Purpose, Shared};
use crate::time::{Stamp, Time};
use std::time::Duration;

const FIRST_AFTER: Duration = Duration::from_secs(120);
const EVERY: Duration = Duration::from_secs(3_600);
const PACE: Duration = Duration::from_millis(100);
/// Hours that a pass looks back beyond what is past.
const HOURS_BACK: u64 = 60 * 24;
const KEYS_AFTER: Duration = Duration::from_secs(24 * 3_600);
/// Records that one transaction deletes; each may have a linked one.
const RECORDS_AT_ONCE: usize = 20;
/// Linked records that one transaction deletes, and that one look asks for.
const LINKED_AT_ONCE: usize = 60;
const LINKED_MAX: usize = 1_000;

/// What is past of one hour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Past {
    records: Vec<(Key, Version)>,
    /// Records that may belong to them, with the context that a last name must name.
    linked: Vec<(Key, Option<String>)>,
    objects: Vec<String>,
}

/// Where the pass is.
#[derive(Clone, Debug, Default)]
pub(super) struct Cleanup {
    next: Option<Time>,
    /// The hour that is looked at next, and the last one of the pass.
    hours: Option<(u64, u64)>,
    past: Option<Past>,
    busy: bool,
}

impl Supervisor {
    pub(super) fn clean_up(&mut self, shared: &mut Shared) {
        let now = shared.now;
        let due = *self
            .cleanup
            .next
            .get_or_insert_with(|| now.after(FIRST_AFTER));
        if self.cleanup.busy || now < due {
            return;
        }
        let (Some(layout), stamp) = (shared.layout(), shared.stamps.now(now)) else {
            return;
        };
        let shortest = millis(KEYS_AFTER.min(shared.times().cleanup_after));
        let newest = Stamp(stamp.0.saturating_sub(shortest)).hour();
        let (hour, last) = self
            .cleanup
            .hours
            .unwrap_or((newest, newest.saturating_sub(HOURS_BACK)));
        if hour < last || hour == 0 {
            self.cleanup = Cleanup {
                next: Some(now.after(EVERY)),
                ..Cleanup::default()
            };
            return;
        }
        self.cleanup.hours = Some((hour, last));
        self.cleanup.busy = true;
        let folders = ["done", "ended", "settled"].map(|what| layout.hour(what, hour));
        let query = Query {
            keys: Default::default(),
            folders: folders.into(),
        };
        shared.read(
            query,
            Purpose::Supervisor(SupervisorWork::CleanupRead(self.epoch)),
        );
    }

    pub(super) fn cleanup_deadline(&self) -> Option<Time> {
        self.cleanup.next.filter(|_| !self.cleanup.busy)
    }

    pub(super) fn cleanup_was_read(&mut self, shared: &mut Shared, outcome: &ReadOutcome) {
        let Some(layout) = shared.layout() else {
            return;
        };
        let ReadOutcome::Snapshot(found) = outcome else {
            self.cleanup.past = None;
            self.next_hour(shared);
            return;
        };
        match self.cleanup.past.take() {
            None => {
                let past = past(shared, &layout, found);
                if past.records.is_empty() && past.linked.is_empty() {
                    self.next_hour(shared);
                    return;
                }
                let query = Query::keys(past.linked.iter().map(|(key, _)| key.clone()));
                self.cleanup.past = Some(past);
                let work = SupervisorWork::CleanupRead(self.epoch);
                shared.read(query, Purpose::Supervisor(work));
            }
            Some(past) => self.delete(shared, past, found),
        }
    }

    /// The deletion was answered: look at the same hour again, or give it up.
    pub(super) fn cleanup_committed(&mut self, shared: &mut Shared, done: bool) {
        let past = self.cleanup.past.take();
        if done {
            let names = past.map(|past| past.objects).unwrap_or_default();
            if !names.is_empty() {
                shared
                    .outbox
                    .push(Output::Effect(Effect::DeleteObjects { names }));
            }
            self.cleanup.busy = false;
            self.cleanup.next = Some(shared.now.after(PACE));
        } else {
            self.next_hour(shared);
        }
    }

    fn delete(&mut self, shared: &mut Shared, past: Past, found: &Snapshot) {
        let Some(mut transaction) = shared.fenced() else {
            return;
        };
        let guards = transaction.operations.len();
        let linked = past.linked.iter().filter_map(|(key, named)| {
            let stored = found.records.get(key)?;
            names(key, stored, named.as_deref()).then(|| (key.clone(), stored.version))
        });
        transaction = linked
            .take(LINKED_AT_ONCE)
            .fold(transaction, |t, one| remove(t, &one));
        transaction = past.records.iter().fold(transaction, remove);
        if transaction.operations.len() == guards {
            self.next_hour(shared);
            return;
        }
        self.cleanup.past = Some(past);
        let work = SupervisorWork::CleanupDelete(self.epoch);
        shared.commit(transaction, Purpose::Supervisor(work));
    }

    fn next_hour(&mut self, shared: &Shared) {
        self.cleanup.busy = false;
        self.cleanup.next = Some(shared.now.after(PACE));
        if let Some((hour, last)) = self.cleanup.hours {
            // One below the last ends the pass.
            self.cleanup.hours = Some((hour.saturating_sub(1), last));
        }
    }
}

fn remove(transaction: Transaction, record: &(Key, Version)) -> Transaction {
    transaction.delete(record.0.clone(), record.1)
}

/// Whether a linked record may be deleted: a last name only while it names that context.
fn names(key: &Key, stored: &Stored, context: Option<&str>) -> bool {
    let Some(context) = context else { return true };
    decode::<NameRecord>(key, "a last name", stored)
        .is_ok_and(|name| name.value.context.as_str() == context)
}

/// What of an hour's records is past. A record that cannot be read is left where it is.
fn past(shared: &Shared, layout: &Layout, found: &Snapshot) -> Past {
    let now = shared.stamps.now(shared.now);
    let keep = shared.times().cleanup_after;
    let mut past = Past::default();
    for (key, stored) in &found.records {
        // Final records are written once, so this is when they became final.
        let is_past = |after: Duration| stored.modified.after(after) <= now;
        let gone = is_past(keep);
        if !gone && !is_past(KEYS_AFTER) {
            continue;
        }
        if past.records.len() >= RECORDS_AT_ONCE || past.linked.len() >= LINKED_MAX {
            break;
        }
        if let Ok(job) = decode::<JobRecord>(key, "a final job", stored) {
            past.linked
                .extend(job.value.key.iter().map(|k| (layout.idempotency(k), None)));
            if gone {
                let payloads = [Some(job.value.config), job.value.result];
                past.objects
                    .extend(payloads.into_iter().flatten().filter_map(object));
            }
        } else if let Ok(call) = decode::<CallRecord>(key, "a settled call", stored) {
            past.linked
                .extend(call.value.key.iter().map(|k| (layout.idempotency(k), None)));
        } else if let Ok(context) = decode::<ContextRecord>(key, "a final context", stored) {
            if gone {
                let last = layout.last_context(&context.value.name);
                past.linked.push((last, Some(context.value.id.to_string())));
            }
        } else {
            continue;
        }
        if gone {
            past.records.push((key.clone(), stored.version));
        }
    }
    past
}

fn object(payload: Payload) -> Option<String> {
    match payload {
        Payload::Inline(_) => None,
        Payload::Object(name) => Some(name),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
