//! What is past: which hours of history are looked at, and which of their records go. Pure.

use crate::identity::{ContextId, JobId};
use crate::records::call::{CallRecord, KeyObject};
use crate::records::context::ContextRecord;
use crate::records::job::{JobContextRecord, JobRecord, JobState};
use crate::records::key::{Key, Layout};
use crate::records::orphans::payloads;
use crate::records::transaction::{Query, Snapshot, Stored, Version};
use crate::records::{RecordError, Versioned, decode};
use crate::time::Stamp;
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);
/// Keys of idempotency are kept so long after their object's end (C5).
pub(super) const KEYS_AFTER: Duration = Duration::from_secs(24 * 3_600);
/// A job that was refused in place is left to its gateway for so long; the gateway removes it.
pub(super) const REFUSED_AFTER: Duration = HOUR;

/// How far a pass looks back beyond what is past. Records lie by the hour of their ids, so what
/// lived for long lies far back: a record older than this when it became final is never found.
pub(super) const FAR_HOURS: u64 = 60 * 24;
const NEAR_HOURS: u64 = 6;
/// So many records of a folder are read at once: an hour may hold more than fits one answer.
pub(super) const PAGE_RECORDS: usize = 1_000;

/// What one pass may delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    /// The time, by the store's clock.
    pub(super) now: Stamp,
    /// How long final records are kept.
    pub(super) keep: Duration,
}

/// One record that goes, or whose key does, with what must be read before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Item {
    /// The record that goes; `None` when only its key does.
    pub(super) record: Option<(Key, Version)>,
    /// Its key of idempotency; goes only while it belongs to this object: a call that was refused
    /// freed its key, and another one may have it now (C5).
    pub(super) key: Option<(Key, KeyObject)>,
    /// The last name, goes only while it names this context.
    pub(super) last: Option<(Key, ContextId)>,
    /// Objects of the binary store that the record owns.
    pub(super) objects: Vec<String>,
    /// Where the job lies to which the record, a `job-context`, points.
    pub(super) place: Option<Key>,
    /// A refused job in its place.
    pub(super) job: Option<(Key, Version)>,
}

impl Item {
    /// The linked records, to be read before anything is decided.
    pub(super) fn links(&self) -> impl Iterator<Item = &Key> {
        let key = self.key.as_ref().map(|(key, _)| key);
        let last = self.last.as_ref().map(|(key, _)| key);
        key.into_iter().chain(last).chain(self.place.as_ref())
    }
}

impl Rules {
    fn ago(&self, age: Duration) -> Stamp {
        let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        Stamp(self.now.0.saturating_sub(age))
    }

    fn is_past(&self, stored: &Stored, after: Duration) -> bool {
        stored.modified <= self.ago(after)
    }

    /// The hours of a pass, newest first: those whose keys or records became past lately, or, far
    /// back, all in which something may be left.
    pub(super) fn hours(&self, far: bool) -> VecDeque<u64> {
        let back = if far { FAR_HOURS } else { NEAR_HOURS };
        let keys = self.ago(KEYS_AFTER.min(self.keep)).hour();
        let refused = self.ago(REFUSED_AFTER).hour();
        let records = self.ago(self.keep).hour();
        let down_to = |hour: u64| hour.saturating_sub(back).max(1);
        let hours: BTreeSet<u64> = (down_to(keys)..=refused.max(keys))
            .chain(down_to(records)..=records)
            .filter(|hour| *hour > 0)
            .collect();
        hours.into_iter().rev().collect()
    }

    /// What is read of an hour first: its final records only if any may be past. The pages behind
    /// these follow until the hour is read.
    pub(super) fn look(&self, layout: &Layout, hour: u64) -> Query {
        let past = hour <= self.ago(KEYS_AFTER.min(self.keep)).hour();
        let finals = ["done", "ended", "settled"]
            .into_iter()
            .filter(|_| past)
            .chain(["job-context"]);
        finals.fold(Query::default(), |query, what| {
            query.with_page(layout.hour(what, hour), PAGE_RECORDS)
        })
    }

    /// What of an hour's records goes. A record that cannot be read stays where it is; the first
    /// one is named.
    pub(super) fn past(
        &self,
        layout: &Layout,
        hour: u64,
        found: &Snapshot,
    ) -> (VecDeque<Item>, Option<RecordError>) {
        let folder = |what: &str| layout.hour(what, hour);
        let (done, ended) = (folder("done"), folder("ended"));
        let (settled, places) = (folder("settled"), folder("job-context"));
        let mut error = None;
        let mut items = VecDeque::new();
        for (key, stored) in &found.records {
            let item = if key.is_in(&done) {
                decode(key, "a final job", stored).map(|job| self.job(layout, key, stored, job))
            } else if key.is_in(&ended) {
                decode(key, "a final context", stored).map(|c| self.context(layout, key, stored, c))
            } else if key.is_in(&settled) {
                decode(key, "a settled call", stored).map(|c| self.call(layout, key, stored, &c))
            } else if key.is_in(&places) {
                decode(key, "a job's context", stored).map(|p| self.place(layout, key, stored, &p))
            } else {
                Ok(None)
            };
            match item {
                Ok(item) => items.extend(item),
                Err(damaged) => {
                    error.get_or_insert(damaged);
                }
            }
        }
        (items, error)
    }

    /// A record that has a key goes no sooner than that: nothing else leads to its key.
    fn item(
        &self,
        key: &Key,
        stored: &Stored,
        idempotency: Option<(Key, KeyObject)>,
    ) -> Option<Item> {
        let keep = if idempotency.is_some() {
            self.keep.max(KEYS_AFTER)
        } else {
            self.keep
        };
        let gone = self.is_past(stored, keep);
        let key_gone = idempotency.is_some() && self.is_past(stored, KEYS_AFTER);
        (gone || key_gone).then(|| Item {
            record: gone.then(|| (key.clone(), stored.version)),
            key: idempotency,
            ..Item::default()
        })
    }

    fn job(
        &self,
        layout: &Layout,
        key: &Key,
        stored: &Stored,
        job: Versioned<JobRecord>,
    ) -> Option<Item> {
        let job = job.value;
        let mut item = self.item(key, stored, job_key(layout, &job))?;
        if item.record.is_some() {
            item.objects = objects(&job);
        }
        Some(item)
    }

    fn call(
        &self,
        layout: &Layout,
        key: &Key,
        stored: &Stored,
        call: &Versioned<CallRecord>,
    ) -> Option<Item> {
        let object = KeyObject::Call(call.value.id.clone());
        let digest = call.value.key.as_ref();
        let idempotency = digest.map(|digest| (layout.idempotency(digest), object));
        self.item(key, stored, idempotency)
    }

    fn context(
        &self,
        layout: &Layout,
        key: &Key,
        stored: &Stored,
        context: Versioned<ContextRecord>,
    ) -> Option<Item> {
        let mut item = self.item(key, stored, None)?;
        let last = layout.last_context(&context.value.name);
        item.last = Some((last, context.value.id));
        Some(item)
    }

    fn place(
        &self,
        layout: &Layout,
        key: &Key,
        stored: &Stored,
        place: &Versioned<JobContextRecord>,
    ) -> Option<Item> {
        // A job's id is of letters, digits and dashes, so it is its own name in the path.
        let job = JobId::new(key.name());
        self.is_past(stored, REFUSED_AFTER).then(|| Item {
            record: Some((key.clone(), stored.version)),
            place: Some(layout.job(&place.value.context, &job)),
            ..Item::default()
        })
    }

    /// The job of a `job-context` was read: it goes if it was refused long ago, and what points to
    /// nothing goes too. `None`: it stays.
    pub(super) fn placed(&self, layout: &Layout, item: &Item, found: &Snapshot) -> Option<Item> {
        let place = item.place.clone()?;
        let Some(stored) = found.records.get(&place) else {
            return Some(item.clone());
        };
        let job = decode::<JobRecord>(&place, "a job", stored).ok()?.value;
        let refused = matches!(job.state, JobState::Refused { .. });
        (refused && self.is_past(stored, REFUSED_AFTER)).then(|| Item {
            record: item.record.clone(),
            key: job_key(layout, &job),
            job: Some((place, stored.version)),
            objects: objects(&job),
            ..Item::default()
        })
    }
}

fn job_key(layout: &Layout, job: &JobRecord) -> Option<(Key, KeyObject)> {
    let object = KeyObject::Job(job.id.clone());
    let digest = job.key.as_ref()?;
    Some((layout.idempotency(digest), object))
}

fn objects(job: &JobRecord) -> Vec<String> {
    payloads(job).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24;

    fn rules(keep_hours: u64) -> Rules {
        Rules {
            now: Stamp(472_222 * 3_600_000 + 60_000),
            keep: HOUR.saturating_mul(u32::try_from(keep_hours).unwrap()),
        }
    }

    #[test]
    fn a_far_pass_looks_back_sixty_days_beyond_what_is_past_and_a_near_one_a_few_hours() {
        for (keep, far, newest, oldest, count) in [
            (72, false, 1, 78, 30 + 7),
            (72, true, 1, 72 + 60 * DAY, 72 + 60 * DAY),
            (1, false, 1, 7, 7),
            (0, false, 0, 6, 7),
            // What is kept for longer than a far pass looks back is found all the same.
            (200 * DAY, true, 1, 260 * DAY, 24 + 2 * 60 * DAY + 1),
        ] {
            let rules = rules(keep);
            let hours = rules.hours(far);
            let ago = |hour: Option<&u64>| rules.now.hour() - hour.unwrap();
            let seen = (
                ago(hours.front()),
                ago(hours.back()),
                u64::try_from(hours.len()).unwrap(),
            );
            assert_eq!(seen, (newest, oldest, count), "keep {keep} far {far}");
        }
    }

    #[test]
    fn a_clock_that_was_never_read_has_no_hours() {
        let rules = Rules {
            now: Stamp(0),
            keep: HOUR,
        };
        assert_eq!(rules.hours(true), VecDeque::new());
    }

    #[test]
    fn final_records_are_read_of_hours_only_in_which_one_may_be_past() {
        let layout = Layout::new(&crate::identity::ClusterId::new("k"));
        let rules = rules(72);
        let hour = rules.now.hour();
        assert_eq!(rules.look(&layout, hour - 23).pages.len(), 1);
        assert_eq!(rules.look(&layout, hour - 24).pages.len(), 4);
    }
}
