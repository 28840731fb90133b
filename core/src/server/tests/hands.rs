//! What the test does to the store: holds commits back, answers them, writes as others do, reads.

use super::world::{ID, Say, World, layout};
use crate::identity::Identity;
use crate::output::Answer;
use crate::records::cluster::{ClusterRecord, Roster};
use crate::records::key::{self, Key};
use crate::records::singleton::{PulseRecord, SingletonRecord};
use crate::records::transaction::{CommitOutcome, Operation, Query, Transaction, TransactionId};
use crate::records::{Versioned, decode, encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

impl World {
    /// From now on commits that write this record wait for [`World::let_go`].
    pub(super) fn hold(&mut self, key: Key) {
        self.holding.insert(key);
    }

    /// The commits that wait, as text.
    pub(super) fn held(&self) -> Vec<Vec<String>> {
        self.held.iter().map(|(_, one)| text(one)).collect()
    }

    pub(super) fn has_held(&self) -> bool {
        !self.held.is_empty()
    }

    pub(super) fn get_text(&self, key: &Key) -> Option<String> {
        let found = self.store.read(&Query::keys([key.clone()]), self.stamp());
        found.records.get(key).map(|stored| stored.value.clone())
    }

    /// The oldest held commit is answered, and no further one is held.
    pub(super) fn let_go(&mut self, say: Say) {
        self.holding.clear();
        self.answer_held(say);
    }

    /// The oldest held commit is answered; others go on being held.
    pub(super) fn answer_held(&mut self, say: Say) {
        let (ticket, transaction) = self.held.pop_front().unwrap();
        self.answer_commit(ticket, &transaction, say);
        self.run();
    }

    /// The oldest held commit is carried out now; its answer goes on being held.
    pub(super) fn carry_out_held(&mut self) {
        let (_, transaction) = self.held.front().unwrap().clone();
        let (outcome, changed) = self.store.commit(&transaction, self.stamp());
        self.early.insert(transaction.id, outcome);
        self.tell_changes(changed);
        self.run();
    }

    /// A commit that was thought lost is carried out now, if its guards hold.
    pub(super) fn comes_late(&mut self, transaction: &Transaction) -> CommitOutcome {
        let (outcome, changed) = self.store.commit(transaction, self.stamp());
        self.tell_changes(changed);
        self.run();
        outcome
    }

    pub(super) fn release_reads(&mut self) {
        self.slow_reads = false;
        self.queue.append(&mut self.slow);
        self.run();
    }

    /// Somebody else commits.
    pub(super) fn other(&mut self, fill: impl FnOnce(Transaction) -> Transaction) {
        self.others += 1;
        let transaction = fill(Transaction::new(TransactionId(format!("o{}", self.others))));
        let (outcome, changed) = self.store.commit(&transaction, self.stamp());
        assert!(
            matches!(outcome, CommitOutcome::Committed { .. }),
            "{outcome:?}"
        );
        self.tell_changes(changed);
        self.run();
    }

    /// Somebody else replaces a record.
    pub(super) fn puts<T: Serialize>(&mut self, key: Key, record: &T) {
        self.other(|one| one.put_any(key, encode(record)));
    }

    /// Somebody else makes this the roster, of the next generation.
    pub(super) fn lists(&mut self, listed: &[Identity]) {
        let mut record: ClusterRecord = self.get(&key::cluster()).unwrap().value;
        record.roster = Roster {
            generation: record.roster.generation.next(),
            listed: listed.to_vec(),
        };
        self.puts(key::cluster(), &record);
    }

    /// Somebody takes the office.
    pub(super) fn takes_office(&mut self, holder: &Identity) {
        let mut office = self.office();
        office.epoch = office.epoch.next();
        office.holder = holder.clone();
        let pulse = crate::join::pulse(office.epoch);
        let keys = (layout().singleton(), layout().pulse());
        self.other(|one| {
            one.put_any(keys.0, encode(&office))
                .put_any(keys.1, encode(&pulse))
        });
    }

    /// The holder raises its pulse.
    pub(super) fn pulses(&mut self) {
        let mut pulse: PulseRecord = self.get(&layout().pulse()).unwrap().value;
        pulse.count += 1;
        self.puts(layout().pulse(), &pulse);
    }

    pub(super) fn get<T: DeserializeOwned>(&self, key: &Key) -> Option<Versioned<T>> {
        let found = self.store.read(&Query::keys([key.clone()]), self.stamp());
        let stored = found.records.get(key);
        stored.map(|stored| decode(key, "a record", stored).unwrap())
    }

    pub(super) fn roster(&self) -> Option<Roster> {
        let record = self.get::<ClusterRecord>(&key::cluster());
        record.map(|record| record.value.roster)
    }

    pub(super) fn listed(&self) -> Vec<Identity> {
        self.roster().unwrap().listed
    }

    pub(super) fn office(&self) -> SingletonRecord {
        self.get(&layout().singleton()).unwrap().value
    }

    /// Every commit so far that writes this record, as text.
    pub(super) fn written(&self, key: &Key) -> Vec<Vec<String>> {
        let all = self.commits.iter().map(|(one, _)| one);
        let touching = all.filter(|one| writes(one).iter().any(|op| op.key() == key));
        touching.map(text).collect()
    }

    pub(super) fn answer_to(&self, request: u64) -> Option<&Answer> {
        let mut given = self.answers.iter().filter(|(to, _)| *to == request);
        let first = given.next().map(|(_, answer)| answer);
        assert!(
            given.next().is_none(),
            "request {request} is answered twice"
        );
        first
    }

    /// Forgets what was seen so far.
    pub(super) fn forget(&mut self) {
        self.commits.clear();
        self.queries.clear();
        self.sent.clear();
        self.events.clear();
        self.effects.clear();
    }
}

/// The operations that change something.
pub(super) fn writes(transaction: &Transaction) -> Vec<&Operation> {
    let all = transaction.operations.iter();
    all.filter(|one| !matches!(one, Operation::Check { .. } | Operation::CheckAbsent { .. }))
        .collect()
}

/// A transaction as text, without the cluster's folder: `put singleton@3`, `absent call/x`.
pub(super) fn text(transaction: &Transaction) -> Vec<String> {
    let root = format!("c/{ID}/");
    let all = transaction.operations.iter().map(|operation| {
        let key = operation.key().as_str();
        let key = key.strip_prefix(&root).unwrap_or(key);
        match operation {
            Operation::Check { version, .. } => format!("check {key}@{}", version.0),
            Operation::CheckAbsent { .. } => format!("absent {key}"),
            Operation::Create { .. } => format!("create {key}"),
            Operation::Put { version, .. } => match version {
                Some(version) => format!("put {key}@{}", version.0),
                None => format!("put {key}"),
            },
            Operation::Delete { version, .. } => match version {
                Some(version) => format!("delete {key}@{}", version.0),
                None => format!("delete {key}"),
            },
        }
    });
    all.collect()
}
