//! What servers and drivers write, as they should.

use super::History;
use super::make::{
    call_record, cluster, context_record, driver, job_record, key_name, launch, layout, life,
    office, owner, pulse,
};
use doyen_core::identity::{CallId, ContextId, Identity, JobId};
use doyen_core::records::call::CallState;
use doyen_core::records::cluster::{Generation, Roster};
use doyen_core::records::context::{ContextState, DriverPhase};
use doyen_core::records::job::JobState;
use doyen_core::records::singleton::{ChallengeRecord, SplitRecord};
use doyen_core::records::transaction::Transaction;
use doyen_core::records::{encode, key};

impl History {
    pub(crate) fn founds(&mut self, by: &Identity) -> &mut Self {
        let roster = Roster {
            generation: Generation(1),
            listed: vec![by.clone()],
        };
        let transaction = self
            .transaction()
            .create(key::cluster(), cluster(roster))
            .create(layout().singleton(), office(1, by))
            .create(layout().pulse(), pulse(1, 0))
            .create(layout().challenge(), encode(&ChallengeRecord::default()))
            .create(layout().split(), encode(&SplitRecord::default()));
        self.writes(by, &transaction)
    }

    /// Replaces the roster, with the guards that R5 wants.
    pub(crate) fn rosters(&mut self, by: &Identity, generation: u64, listed: Vec<Identity>) {
        let transaction = self.roster_of(by, generation, listed);
        self.writes(by, &transaction);
    }

    /// What replaces the roster, with the guards that R5 wants.
    pub(crate) fn roster_of(
        &mut self,
        by: &Identity,
        generation: u64,
        listed: Vec<Identity>,
    ) -> Transaction {
        let roster = Roster {
            generation: Generation(generation),
            listed,
        };
        let singleton = self.facts.records.singleton.as_ref().unwrap();
        let takes = !roster.lists(&singleton.value.holder) && roster.lists(by);
        let (version, epoch) = (singleton.version, singleton.value.epoch.0);
        let cluster_version = self.version_of_cluster();
        let transaction = self
            .transaction()
            .put(key::cluster(), cluster(roster), cluster_version);
        if takes {
            transaction
                .put(layout().singleton(), office(epoch + 1, by), version)
                .put_any(layout().pulse(), pulse(epoch + 1, 0))
        } else {
            transaction.check(layout().singleton(), version)
        }
    }

    /// Takes the office, with the guards that S2 wants.
    pub(crate) fn claims(&mut self, by: &Identity, holder: &Identity) -> &mut Self {
        let singleton = self.facts.records.singleton.as_ref().unwrap();
        let (version, epoch) = (singleton.version, singleton.value.epoch.0 + 1);
        let cluster_version = self.version_of_cluster();
        let transaction = self
            .transaction()
            .put(layout().singleton(), office(epoch, holder), version)
            .check(key::cluster(), cluster_version)
            .put_any(layout().pulse(), pulse(epoch, 0));
        self.writes(by, &transaction)
    }

    /// Challenges the holder.
    pub(crate) fn challenges(&mut self, by: &Identity) -> &mut Self {
        let records = &self.facts.records;
        let singleton = records.singleton.as_ref().unwrap();
        let record = ChallengeRecord {
            epoch: singleton.value.epoch,
            challenger: Some(by.clone()),
            rest: Default::default(),
        };
        let versions = (
            singleton.version,
            records.pulse.as_ref().unwrap().version,
            records.challenge.as_ref().unwrap().version,
        );
        let transaction = self
            .transaction()
            .check(layout().singleton(), versions.0)
            .check(layout().pulse(), versions.1)
            .put(layout().challenge(), encode(&record), versions.2);
        self.writes(by, &transaction)
    }

    /// Announces a split of the current generation.
    pub(crate) fn announces(&mut self, by: &Identity) -> &mut Self {
        let split = self.facts.records.split.as_ref().unwrap();
        let record = SplitRecord {
            generation: self.facts.roster().unwrap().generation,
            writer: Some(by.clone()),
            connected: [by.clone()].into(),
            rest: Default::default(),
        };
        let version = split.version;
        let cluster_version = self.version_of_cluster();
        let transaction = self
            .transaction()
            .check(key::cluster(), cluster_version)
            .put(layout().split(), encode(&record), version);
        self.writes(by, &transaction)
    }

    /// A transaction of the holder that carries the fence.
    pub(crate) fn fenced(&mut self) -> Transaction {
        let version = self.facts.records.singleton.as_ref().unwrap().version;
        self.transaction().check(layout().singleton(), version)
    }

    /// The holder creates a context, with its launch intent 1 for the first server.
    pub(crate) fn creates_context(&mut self, by: &Identity, id: &str) -> &mut Self {
        let context = ContextId::new(id);
        let name = key_name(id);
        let transaction = self
            .fenced()
            .create(layout().context_name(id), name)
            .create(
                layout().context(&context),
                encode(&context_record(id, ContextState::Started, Some(launch(1)))),
            )
            .create(layout().owner(&context), owner(1, None))
            .create(layout().life(&context), life(None, DriverPhase::Silent, 0));
        self.writes(by, &transaction)
    }

    /// A driver takes a context that nobody owns.
    pub(crate) fn takes_context(&mut self, number: u16, id: &str) -> &mut Self {
        let context = ContextId::new(id);
        let records = &self.facts.records;
        let owned = &records.owners[&context];
        let versions = (
            records.contexts[&context].version,
            owned.version,
            records.lives[&context].version,
        );
        let intent = owned.value.intent.0;
        let by = driver(number);
        let transaction = self
            .transaction()
            .check(layout().context(&context), versions.0)
            .put(
                layout().owner(&context),
                owner(intent, Some(number)),
                versions.1,
            )
            .put(
                layout().life(&context),
                life(Some(number), DriverPhase::Starting, 1),
                versions.2,
            );
        self.writes(&by, &transaction)
    }

    /// A server writes a job.
    pub(crate) fn creates_job(&mut self, by: &Identity, context: &str, job: &str) -> &mut Self {
        let id = ContextId::new(context);
        let version = self.facts.records.owners[&id].version;
        let (key, place) = (layout().job(&id, &JobId::new(job)), JobId::new(job));
        let transaction = self
            .transaction()
            .check(layout().owner(&id), version)
            .check_absent(layout().done(&place))
            .create(key, encode(&job_record(context, job, JobState::Submitted)))
            .create(
                layout().job_context(&place),
                format!("{{\"context\":\"{context}\"}}"),
            );
        self.writes(by, &transaction)
    }

    /// A driver moves a job on; a final state moves its record to `done/`.
    #[allow(clippy::needless_pass_by_value, reason = "tests read better so")]
    pub(crate) fn moves_job(&mut self, number: u16, context: &str, job: &str, state: JobState) {
        let id = ContextId::new(context);
        let job_id = JobId::new(job);
        let fence = self.facts.records.owners[&id].version;
        let version = self.facts.records.jobs[&job_id].version;
        let key = layout().job(&id, &job_id);
        let transaction = self.transaction().check(layout().owner(&id), fence);
        let record = encode(&job_record(context, job, state.clone()));
        let transaction = if state.is_final() {
            transaction
                .delete(key, version)
                .delete_any(layout().job_context(&job_id))
                .create(layout().done(&job_id), record)
        } else {
            transaction.put(key, record, version)
        };
        self.writes(&driver(number), &transaction);
    }

    /// A server writes a call.
    pub(crate) fn creates_call(&mut self, by: &Identity, id: &str) -> &mut Self {
        let call = CallId::new(id);
        let transaction = self
            .transaction()
            .check_absent(layout().settled(&call))
            .create(
                layout().call(&call),
                encode(&call_record(id, CallState::Open)),
            );
        self.writes(by, &transaction)
    }
}
