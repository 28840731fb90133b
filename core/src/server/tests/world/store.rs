//! What a test does with the store by hand: holds commits back, answers them, writes as others do.

use super::*;

impl World {
    /// From now on commits that write this record wait for [`World::let_go`].
    pub(in crate::server::tests) fn hold(&mut self, key: Key) {
        self.holding.insert(key);
    }

    /// The commits that wait, as text.
    pub(in crate::server::tests) fn held(&self) -> Vec<Vec<String>> {
        self.held.iter().map(|(_, one)| text(one)).collect()
    }

    /// The oldest held commit is answered, and no further one is held.
    pub(in crate::server::tests) fn let_go(&mut self, say: Say) {
        self.holding.clear();
        self.answer_held(say);
    }

    /// The oldest held commit is answered; others go on being held.
    pub(in crate::server::tests) fn answer_held(&mut self, say: Say) {
        let (ticket, transaction) = self.held.pop_front().unwrap();
        self.answer_commit(ticket, &transaction, say);
        self.run();
    }

    /// The oldest held commit is carried out now; its answer goes on being held.
    pub(in crate::server::tests) fn carry_out_held(&mut self) {
        let (_, transaction) = self.held.front().unwrap().clone();
        let (outcome, changed) = self.store.commit(&transaction, self.stamp());
        self.early.insert(transaction.id, outcome);
        self.tell_changes(changed);
        self.run();
    }

    pub(in crate::server::tests) fn release_reads(&mut self) {
        self.slow_reads = false;
        self.queue.append(&mut self.slow);
        self.run();
    }

    /// Somebody else commits.
    pub(in crate::server::tests) fn other(
        &mut self,
        fill: impl FnOnce(Transaction) -> Transaction,
    ) {
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
    pub(in crate::server::tests) fn puts<T: Serialize>(&mut self, key: Key, record: &T) {
        self.other(|one| one.put_any(key, encode(record)));
    }

    /// Somebody else makes this the roster, of the next generation.
    pub(in crate::server::tests) fn lists(&mut self, listed: &[Identity]) {
        let mut record: ClusterRecord = self.get(&key::cluster()).unwrap().value;
        record.roster = Roster {
            generation: record.roster.generation.next(),
            listed: listed.to_vec(),
        };
        self.puts(key::cluster(), &record);
    }

    /// Somebody takes the office.
    pub(in crate::server::tests) fn takes_office(&mut self, holder: &Identity) {
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
    pub(in crate::server::tests) fn pulses(&mut self) {
        let mut pulse: PulseRecord = self.get(&layout().pulse()).unwrap().value;
        pulse.count += 1;
        self.puts(layout().pulse(), &pulse);
    }

    pub(in crate::server::tests) fn get<T: DeserializeOwned>(
        &self,
        key: &Key,
    ) -> Option<Versioned<T>> {
        let found = self.store.read(&Query::keys([key.clone()]), self.stamp());
        let stored = found.records.get(key);
        stored.map(|stored| decode(key, "a record", stored).unwrap())
    }

    pub(in crate::server::tests) fn roster(&self) -> Option<Roster> {
        let record = self.get::<ClusterRecord>(&key::cluster());
        record.map(|record| record.value.roster)
    }

    pub(in crate::server::tests) fn listed(&self) -> Vec<Identity> {
        self.roster().unwrap().listed
    }

    pub(in crate::server::tests) fn office(&self) -> SingletonRecord {
        self.get(&layout().singleton()).unwrap().value
    }

    /// Every commit so far that writes this record, as text.
    pub(in crate::server::tests) fn written(&self, key: &Key) -> Vec<Vec<String>> {
        let all = self.commits.iter().map(|(one, _)| one);
        let touching = all.filter(|one| writes(one).iter().any(|op| op.key() == key));
        touching.map(text).collect()
    }
}
