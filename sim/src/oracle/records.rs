//! The store's records as they are written, each decoded once for all oracles and shared by them.

use doyen_core::identity::{CallId, ContextId, Incarnation, JobId};
use doyen_core::records::call::{CallRecord, KeyRecord};
use doyen_core::records::cluster::ClusterRecord;
use doyen_core::records::context::{ContextRecord, LifeRecord, NameRecord, OwnerRecord};
use doyen_core::records::job::{JobContextRecord, JobRecord};
use doyen_core::records::key::{Key, unescape};
use doyen_core::records::singleton::{ChallengeRecord, PulseRecord, SingletonRecord, SplitRecord};
use doyen_core::records::transaction::{Operation, Transaction, Version};
use doyen_core::time::{Stamp, Time};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A record as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Held<T> {
    /// Its content.
    pub value: T,
    /// Its version.
    pub version: Version,
    /// When it was made, by the world's time.
    pub since: Time,
    /// When it was made, by the store's clock.
    pub created: Stamp,
    /// When it was last written, by the world's time.
    pub at: Time,
    /// Who wrote it last.
    pub by: Incarnation,
}

/// What a commit did to one record.
#[derive(Clone, Debug, PartialEq)]
pub struct Step<T> {
    /// Before.
    pub before: Option<Rc<Held<T>>>,
    /// After.
    pub after: Option<Rc<Held<T>>>,
}

impl<T> Step<T> {
    /// The content before.
    pub fn was(&self) -> Option<&T> {
        self.before.as_ref().map(|one| &one.value)
    }

    /// The content after.
    pub fn now(&self) -> Option<&T> {
        self.after.as_ref().map(|one| &one.value)
    }
}

/// What a commit did, record by record.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "each names its record (protocol.md, Records)")]
pub enum Change {
    Cluster(Step<ClusterRecord>),
    Singleton(Step<SingletonRecord>),
    Pulse(Step<PulseRecord>),
    Challenge(Step<ChallengeRecord>),
    Split(Step<SplitRecord>),
    Call(CallId, Step<CallRecord>),
    Settled(CallId, Step<CallRecord>),
    Key(String, Step<KeyRecord>),
    Context(ContextId, Step<ContextRecord>),
    Ended(ContextId, Step<ContextRecord>),
    Name(String, Step<NameRecord>),
    LastName(String, Step<NameRecord>),
    Owner(ContextId, Step<OwnerRecord>),
    Life(ContextId, Step<LifeRecord>),
    Job(JobId, Step<JobRecord>),
    Done(JobId, Step<JobRecord>),
    Place(JobId, Step<JobContextRecord>),
    /// A record that no oracle knows.
    Other(Key),
    /// Content that this release cannot read.
    Damaged(Key, String),
}

/// Which record a key names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each names its record (protocol.md, Records)")]
pub enum Kind {
    Cluster,
    Singleton,
    Pulse,
    Challenge,
    Split,
    Call,
    Settled,
    Key,
    Context,
    Ended,
    Name,
    LastName,
    Owner,
    Life,
    Job,
    Done,
    Place,
    Other,
}

/// Which record a key names.
#[must_use]
pub fn kind(key: &Key) -> Kind {
    let mut parts = key.as_str().as_bytes().split(|byte| *byte == b'/');
    if parts.next() == Some(b"cluster") {
        return Kind::Cluster;
    }
    match parts.nth(1) {
        Some(b"singleton") => Kind::Singleton,
        Some(b"pulse") => Kind::Pulse,
        Some(b"challenge") => Kind::Challenge,
        Some(b"split") => Kind::Split,
        Some(b"call") => Kind::Call,
        Some(b"settled") => Kind::Settled,
        Some(b"key") => Kind::Key,
        Some(b"context") => Kind::Context,
        Some(b"ended") => Kind::Ended,
        Some(b"context-name") => Kind::Name,
        Some(b"context-last") => Kind::LastName,
        Some(b"owner") => Kind::Owner,
        Some(b"life") => Kind::Life,
        Some(b"job") => Kind::Job,
        Some(b"done") => Kind::Done,
        Some(b"job-context") => Kind::Place,
        _ => Kind::Other,
    }
}

/// The store as its writes made it.
#[derive(Clone, Debug, Default)]
pub struct Records {
    /// `cluster`.
    pub cluster: Option<Rc<Held<ClusterRecord>>>,
    /// `singleton`.
    pub singleton: Option<Rc<Held<SingletonRecord>>>,
    /// `pulse`.
    pub pulse: Option<Rc<Held<PulseRecord>>>,
    /// `challenge`.
    pub challenge: Option<Rc<Held<ChallengeRecord>>>,
    /// `split`.
    pub split: Option<Rc<Held<SplitRecord>>>,
    /// `call/`.
    pub calls: BTreeMap<CallId, Rc<Held<CallRecord>>>,
    /// `settled/`.
    pub settled: BTreeMap<CallId, Rc<Held<CallRecord>>>,
    /// `key/`, by digest.
    pub keys: BTreeMap<String, Rc<Held<KeyRecord>>>,
    /// `context/`.
    pub contexts: BTreeMap<ContextId, Rc<Held<ContextRecord>>>,
    /// `ended/`.
    pub ended: BTreeMap<ContextId, Rc<Held<ContextRecord>>>,
    /// `context-name/`.
    pub names: BTreeMap<String, Rc<Held<NameRecord>>>,
    /// `context-last/`.
    pub last_names: BTreeMap<String, Rc<Held<NameRecord>>>,
    /// `owner/`.
    pub owners: BTreeMap<ContextId, Rc<Held<OwnerRecord>>>,
    /// `life/`.
    pub lives: BTreeMap<ContextId, Rc<Held<LifeRecord>>>,
    /// `job/`.
    pub jobs: BTreeMap<JobId, Rc<Held<JobRecord>>>,
    /// `done/`.
    pub done: BTreeMap<JobId, Rc<Held<JobRecord>>>,
    /// `job-context/`.
    pub places: BTreeMap<JobId, Rc<Held<JobContextRecord>>>,
}

/// When and by whom a commit was made.
#[derive(Clone, Copy, Debug)]
struct Mark {
    at: Time,
    stamp: Stamp,
    by: Incarnation,
}

impl Records {
    /// Takes a committed transaction; what it did, in the order of its operations.
    pub fn commit(
        &mut self,
        transaction: &Transaction,
        at: Time,
        stamp: Stamp,
        by: Incarnation,
    ) -> Vec<Change> {
        let mark = Mark { at, stamp, by };
        let of = |operation: &Operation| match operation {
            Operation::Create { .. } | Operation::Put { .. } | Operation::Delete { .. } => true,
            Operation::Check { .. } | Operation::CheckAbsent { .. } => false,
        };
        let mut changes = Vec::with_capacity(transaction.operations.len());
        for operation in transaction.operations.iter().filter(|one| of(one)) {
            let value = match operation {
                Operation::Create { value, .. } | Operation::Put { value, .. } => {
                    Some(value.as_str())
                }
                _ => None,
            };
            changes.push(self.apply(operation.key(), value, mark));
        }
        changes
    }

    fn apply(&mut self, key: &Key, value: Option<&str>, mark: Mark) -> Change {
        match self.step(key, value, mark) {
            Ok(change) => change,
            Err(reason) => Change::Damaged(key.clone(), reason),
        }
    }

    fn step(&mut self, key: &Key, value: Option<&str>, mark: Mark) -> Result<Change, String> {
        let id = key.name();
        Ok(match kind(key) {
            Kind::Cluster => Change::Cluster(one(&mut self.cluster, value, mark)?),
            Kind::Singleton => Change::Singleton(one(&mut self.singleton, value, mark)?),
            Kind::Pulse => Change::Pulse(one(&mut self.pulse, value, mark)?),
            Kind::Challenge => Change::Challenge(one(&mut self.challenge, value, mark)?),
            Kind::Split => Change::Split(one(&mut self.split, value, mark)?),
            Kind::Call => named(&mut self.calls, CallId::new(id), value, mark, Change::Call)?,
            Kind::Settled => {
                let id = CallId::new(id);
                named(&mut self.settled, id, value, mark, Change::Settled)?
            }
            Kind::Key => named(&mut self.keys, id.to_owned(), value, mark, Change::Key)?,
            Kind::Context => {
                let id = ContextId::new(id);
                named(&mut self.contexts, id, value, mark, Change::Context)?
            }
            Kind::Ended => {
                let id = ContextId::new(id);
                named(&mut self.ended, id, value, mark, Change::Ended)?
            }
            Kind::Name => named(&mut self.names, name_of(id), value, mark, Change::Name)?,
            Kind::LastName => {
                let map = &mut self.last_names;
                named(map, name_of(id), value, mark, Change::LastName)?
            }
            Kind::Owner => {
                let id = ContextId::new(id);
                named(&mut self.owners, id, value, mark, Change::Owner)?
            }
            Kind::Life => {
                let id = ContextId::new(id);
                named(&mut self.lives, id, value, mark, Change::Life)?
            }
            Kind::Job => named(&mut self.jobs, JobId::new(id), value, mark, Change::Job)?,
            Kind::Done => named(&mut self.done, JobId::new(id), value, mark, Change::Done)?,
            Kind::Place => named(&mut self.places, JobId::new(id), value, mark, Change::Place)?,
            Kind::Other => Change::Other(key.clone()),
        })
    }
}

fn name_of(part: &str) -> String {
    unescape(part).unwrap_or_else(|| part.to_owned())
}

fn named<K: Ord + Clone, T: DeserializeOwned>(
    map: &mut BTreeMap<K, Rc<Held<T>>>,
    id: K,
    value: Option<&str>,
    mark: Mark,
    change: impl Fn(K, Step<T>) -> Change,
) -> Result<Change, String> {
    let mut slot = map.remove(&id);
    let step = one(&mut slot, value, mark)?;
    if let Some(held) = slot {
        map.insert(id.clone(), held);
    }
    Ok(change(id, step))
}

fn one<T: DeserializeOwned>(
    slot: &mut Option<Rc<Held<T>>>,
    value: Option<&str>,
    mark: Mark,
) -> Result<Step<T>, String> {
    let before = slot.take();
    let Some(text) = value else {
        return Ok(Step {
            before,
            after: None,
        });
    };
    let value: T = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let (version, since, created) = before
        .as_ref()
        .map_or((Version(0), mark.at, mark.stamp), |old| {
            (old.version.next(), old.since, old.created)
        });
    let held = Rc::new(Held {
        value,
        version,
        since,
        created,
        at: mark.at,
        by: mark.by,
    });
    *slot = Some(held.clone());
    Ok(Step {
        before,
        after: Some(held),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use doyen_core::identity::ClusterId;
    use doyen_core::records::encode;
    use doyen_core::records::key::{self, Layout};
    use doyen_core::records::singleton::Epoch;
    use doyen_core::records::transaction::TransactionId;

    #[test]
    fn every_record_of_the_layout_has_its_kind() {
        let layout = Layout::new(&ClusterId::new("x"));
        let (call, context, job) = (CallId::new("a"), ContextId::new("b"), JobId::new("j"));
        for (key, expected) in [
            (key::cluster(), Kind::Cluster),
            (layout.singleton(), Kind::Singleton),
            (layout.pulse(), Kind::Pulse),
            (layout.challenge(), Kind::Challenge),
            (layout.split(), Kind::Split),
            (layout.call(&call), Kind::Call),
            (layout.settled(&call), Kind::Settled),
            (layout.idempotency("abcd"), Kind::Key),
            (layout.context(&context), Kind::Context),
            (layout.ended(&context), Kind::Ended),
            (layout.context_name("n"), Kind::Name),
            (layout.last_context("n"), Kind::LastName),
            (layout.owner(&context), Kind::Owner),
            (layout.life(&context), Kind::Life),
            (layout.job(&context, &job), Kind::Job),
            (layout.done(&job), Kind::Done),
            (layout.job_context(&job), Kind::Place),
            (layout.binary("x"), Kind::Other),
        ] {
            assert_eq!(kind(&key), expected, "{key}");
        }
    }

    #[test]
    fn a_step_tells_what_was_and_what_is() {
        let mut records = Records::default();
        let layout = Layout::new(&ClusterId::new("x"));
        let pulse = |count| {
            encode(&PulseRecord {
                epoch: Epoch(1),
                count,
                rest: Default::default(),
            })
        };
        let id = || TransactionId("t".into());
        let make = Transaction::new(id()).create(layout.pulse(), pulse(0));
        records.commit(&make, Time::from_millis(1), Stamp(1), Incarnation(1));
        let put = Transaction::new(id()).put_any(layout.pulse(), pulse(1));
        let changes = records.commit(&put, Time::from_millis(2), Stamp(2), Incarnation(2));
        let [Change::Pulse(step)] = changes.as_slice() else {
            panic!("one change of `pulse`, not {changes:?}");
        };
        assert_eq!(step.was().map(|one| one.count), Some(0));
        assert_eq!(step.now().map(|one| one.count), Some(1));
        let after = step.after.as_ref();
        assert_eq!(after.map(|one| one.version), Some(Version(1)));
        assert_eq!(after.map(|one| one.since), Some(Time::from_millis(1)));
        let damaged = Transaction::new(id()).put_any(layout.pulse(), "{".into());
        let changes = records.commit(&damaged, Time::from_millis(3), Stamp(3), Incarnation(2));
        assert!(matches!(changes.as_slice(), [Change::Damaged(_, _)]));
    }
}
