//! What a driver reads, and when (protocol.md B1, B2).

use super::desk::{Call, look};
use super::{DriverProcess, Phase};
use crate::input::Ticket;
use crate::output::{Credentials, Output};
use crate::records::cluster::ClusterRecord;
use crate::records::context::ContextRecord;
use crate::records::key;
use crate::records::transaction::{Change, Query, ReadOutcome, Snapshot};

impl DriverProcess {
    pub(super) fn read(&mut self, ticket: Ticket, outcome: ReadOutcome) {
        let found = match outcome {
            ReadOutcome::Snapshot(found) => Some(found),
            ReadOutcome::Failed { .. } => None,
        };
        match &found {
            Some(found) => self.desk.store_answered(Call::Read, Some(found.stamp)),
            None => self.desk.store_failed(Call::Read),
        }
        let success = found.is_some();
        let records = self.desk.records.answer(ticket, success);
        let listing = self.desk.listing.answer(ticket, success);
        let Some(found) = found else { return };
        if let Some(read) = records {
            self.observe(&found, read);
        }
        if let (Some(read), Phase::Owning(attempt)) = (listing, &mut self.phase) {
            let fate = attempt.list(&found, read, &mut self.desk);
            self.meet(fate);
        }
    }

    fn observe(&mut self, found: &Snapshot, read: u64) {
        self.observe_cluster(found);
        let key = self.desk.keys.context.clone();
        match look::<ContextRecord>(found, &key, "a context") {
            Ok(Some(context)) => self.desk.context = Some(context.value),
            Ok(None) => {}
            Err(error) => self.desk.warn_of(&key, error.to_string()),
        }
        match &mut self.phase {
            Phase::Taking(taking) => {
                let taken = taking.observe(found, &mut self.desk);
                self.taken(taken);
            }
            Phase::Owning(attempt) => {
                let fate = attempt.observe(found, read, &mut self.desk);
                self.meet(fate);
            }
            Phase::Fenced { .. } | Phase::Stopped => {}
        }
    }

    /// The roster says whom to dial, the secret proves membership. Neither ends a driver (E9, R6).
    fn observe_cluster(&mut self, found: &Snapshot) {
        let key = key::cluster();
        match look::<ClusterRecord>(found, &key, "the cluster") {
            Ok(Some(cluster)) if cluster.value.id == self.desk.launch.cluster => {
                self.contact.observe(cluster.value.roster);
                if self.secret.as_ref() != Some(&cluster.value.secret) {
                    self.secret = Some(cluster.value.secret.clone());
                    self.outbox().push(Output::Credentials(Some(Credentials {
                        cluster: cluster.value.id,
                        secret: cluster.value.secret,
                    })));
                }
            }
            Ok(Some(cluster)) => {
                let own = &self.desk.launch.cluster;
                let other = cluster.value.id;
                let text = format!("`{key}` is of cluster {other}, this driver is of {own}");
                self.desk.warn_of(&key, text);
            }
            Ok(None) => {}
            Err(error) => self.desk.warn_of(&key, error.to_string()),
        }
    }

    pub(super) fn changed(&mut self, change: &Change) {
        let desk = &mut self.desk;
        match change {
            Change::Everything => {
                desk.records.mark();
                desk.listing.mark();
            }
            Change::Record(key) => {
                let keys = &desk.keys;
                if *key == keys.context || *key == keys.owner || *key == key::cluster() {
                    desk.records.mark();
                } else if key.is_in(&keys.jobs) {
                    desk.listing.mark();
                }
            }
        }
    }

    pub(super) fn send_reads(&mut self) {
        let desk = &mut self.desk;
        if !desk.store.is_open() || matches!(self.phase, Phase::Fenced { .. }) {
            return;
        }
        if desk.records.is_wanted() {
            let keys = &desk.keys;
            let query = Query::keys([
                key::cluster(),
                keys.context.clone(),
                keys.owner.clone(),
                keys.life.clone(),
            ]);
            let ticket = desk.outbox.read(query);
            desk.records.begin(ticket, desk.now);
        }
        if let Phase::Owning(attempt) = &mut self.phase
            && desk.listing.is_wanted()
        {
            let query = attempt.listing(desk);
            let ticket = desk.outbox.read(query);
            desk.listing.begin(ticket, desk.now);
        }
    }
}
