//! Doubles of the seams: a store, a binary store and a gateway that tests can see and steer.

use super::support::THEN;
use crate::http::Gateway;
use async_trait::async_trait;
use axum::body::Bytes;
use doyen_core::identity::JobId;
use doyen_core::input::{NewCall, NewJob};
use doyen_core::output::Answer;
use doyen_core::process::ClusterView;
use doyen_core::records::model::StoreModel;
use doyen_core::records::transaction::{CommitOutcome, Query, ReadOutcome, Transaction};
use doyen_core::time::Stamp;
use doyen_runtime::store::{BinaryDao, BinaryError, Changes, Content, MetaDataDao};
use futures_util::{StreamExt, stream};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

#[derive(Default)]
pub(crate) struct TestStore {
    pub(crate) model: Mutex<StoreModel>,
    pub(crate) away: AtomicBool,
    pub(crate) reads: AtomicU32,
    /// So many commits are refused before the next one is carried out.
    pub(crate) refuse: AtomicU32,
    /// So many commits are carried out, but their answers are lost.
    pub(crate) lose: AtomicU32,
    clock: AtomicU64,
}

fn take_one(count: &AtomicU32) -> bool {
    count
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
        .is_ok()
}

#[async_trait]
impl MetaDataDao for TestStore {
    async fn commit(&self, transaction: Transaction) -> CommitOutcome {
        if self.away.load(Ordering::SeqCst) {
            let reason = String::from("test: away");
            return CommitOutcome::NotSent { reason };
        }
        if take_one(&self.refuse) {
            return CommitOutcome::Refused { operation: 0 };
        }
        let stamp = Stamp(THEN + self.clock.fetch_add(1, Ordering::SeqCst));
        let (outcome, _) = self.model.lock().unwrap().commit(&transaction, stamp);
        if take_one(&self.lose) {
            return CommitOutcome::Unknown;
        }
        outcome
    }

    async fn read(&self, query: Query) -> ReadOutcome {
        self.reads.fetch_add(1, Ordering::SeqCst);
        if self.away.load(Ordering::SeqCst) {
            let reason = String::from("test: away");
            return ReadOutcome::Failed { reason };
        }
        let stamp = Stamp(THEN + self.clock.load(Ordering::SeqCst));
        ReadOutcome::Snapshot(self.model.lock().unwrap().read(&query, stamp))
    }

    async fn watch(&self) -> Changes {
        stream::pending().boxed()
    }

    async fn store_id(&self) -> Option<String> {
        Some(String::from("test"))
    }
}

#[derive(Default)]
pub(crate) struct TestObjects {
    pub(crate) objects: Mutex<BTreeMap<String, Bytes>>,
    /// Why puts fail, if they do.
    pub(crate) failure: Mutex<Option<String>>,
    /// Objects larger than this are counted, not kept.
    pub(crate) keep_max: AtomicU64,
    pub(crate) counted: AtomicU64,
}

#[async_trait]
impl BinaryDao for TestObjects {
    async fn put(&self, name: &str, mut content: Content) -> Result<u64, BinaryError> {
        if let Some(reason) = self.failure.lock().unwrap().clone() {
            return Err(BinaryError::Content(reason));
        }
        let (mut kept, mut length) = (Vec::new(), 0_u64);
        while let Some(piece) = content.next().await {
            let piece = piece?;
            length += u64::try_from(piece.len()).unwrap();
            if length <= self.keep_max.load(Ordering::SeqCst) {
                kept.extend_from_slice(&piece);
            }
        }
        self.counted.store(length, Ordering::SeqCst);
        let mut objects = self.objects.lock().unwrap();
        objects.entry(name.to_owned()).or_insert(Bytes::from(kept));
        Ok(length)
    }

    async fn get(&self, name: &str) -> Result<Content, BinaryError> {
        let objects = self.objects.lock().unwrap();
        let bytes = objects.get(name).cloned();
        let bytes = bytes.ok_or_else(|| BinaryError::NotFound(name.to_owned()))?;
        let pieces: Vec<_> = bytes.chunks(7).map(Bytes::copy_from_slice).collect();
        Ok(stream::iter(pieces.into_iter().map(Ok)).boxed())
    }

    async fn delete(&self, name: &str) -> Result<(), BinaryError> {
        self.objects.lock().unwrap().remove(name);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<String>, BinaryError> {
        Ok(self.objects.lock().unwrap().keys().cloned().collect())
    }
}

/// Gives prepared answers in order; without one it waits to be woken.
pub(crate) struct FakeGateway {
    pub(crate) answers: Mutex<VecDeque<Answer>>,
    pub(crate) calls: Mutex<Vec<NewCall>>,
    pub(crate) jobs: Mutex<Vec<NewJob>>,
    pub(crate) kills: Mutex<Vec<JobId>>,
    pub(crate) left: AtomicBool,
    pub(crate) wake: tokio::sync::Notify,
    pub(crate) view: Mutex<Arc<ClusterView>>,
}

impl FakeGateway {
    async fn next(&self) -> Answer {
        loop {
            let woken = self.wake.notified();
            let next = self.answers.lock().unwrap().pop_front();
            if let Some(answer) = next {
                return answer;
            }
            woken.await;
        }
    }
}

#[async_trait]
impl Gateway for FakeGateway {
    async fn call(&self, call: NewCall) -> Answer {
        self.calls.lock().unwrap().push(call);
        self.next().await
    }

    async fn submit(&self, job: NewJob) -> Answer {
        self.jobs.lock().unwrap().push(job);
        self.next().await
    }

    async fn kill(&self, job: JobId) -> Answer {
        self.kills.lock().unwrap().push(job);
        self.next().await
    }

    fn view(&self) -> Arc<ClusterView> {
        self.view.lock().unwrap().clone()
    }

    fn leave(&self) {
        self.left.store(true, Ordering::SeqCst);
    }
}
