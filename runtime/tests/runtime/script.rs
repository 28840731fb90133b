//! A host whose process follows a script, with a store and a launcher that do as told.

use crate::peer::{DEADLINE, free_address};
use async_trait::async_trait;
use doyen_core::identity::{Address, CallId, Identity, Role};
use doyen_core::input::{EffectReport, Input, NewCall, RequestId};
use doyen_core::output::{Answer, Effect, Output, StopReason};
use doyen_core::process::ClusterView;
use doyen_core::records::call::CallOperation;
use doyen_core::records::cluster::Generation;
use doyen_core::records::singleton::Epoch;
use doyen_core::records::transaction::{
    Change, CommitOutcome, Query, ReadOutcome, Snapshot, Transaction,
};
use doyen_core::time::Time;
use doyen_runtime::host::{Decider, HostHandle, HostParts, start};
use doyen_runtime::launcher::Launcher;
use doyen_runtime::store::{Changes, MetaDataDao};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A process that reports what it is told and does as the test says.
pub(crate) struct Script {
    pub(crate) me: Identity,
    pub(crate) told: mpsc::UnboundedSender<(Time, Input)>,
    pub(crate) react: fn(&mut Self, Time, &Input),
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) wake: Option<Time>,
    pub(crate) ready: bool,
}

impl Script {
    pub(crate) fn answer(&mut self, request: RequestId, answer: Answer) {
        self.outputs.push_back(Output::Answer { request, answer });
    }
}

impl Decider for Script {
    fn handle(&mut self, now: Time, input: Input) {
        assert!(self.outputs.is_empty(), "told before it was drained");
        if input == Input::Timeout {
            assert!(self.wake.is_some_and(|wake| wake <= now), "woken early");
            self.wake = None;
        }
        (self.react)(self, now, &input);
        let _ = self.told.send((now, input));
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Time> {
        self.wake
    }

    fn view(&self, _now: Time) -> ClusterView {
        ClusterView {
            identity: self.me.clone(),
            cluster: None,
            epoch: Epoch(0),
            holder: None,
            generation: Generation(0),
            leader: None,
            converged: false,
            ready: self.ready,
            takes_calls: self.ready,
            not_ready: None,
            store_age_ms: None,
            others_have_store: false,
            members: Vec::new(),
        }
    }
}

/// A store that answers, is slow, or dies, by the ticket's transaction id.
#[derive(Default)]
struct Store {
    watches: AtomicUsize,
    asked: AtomicUsize,
}

#[async_trait]
impl MetaDataDao for Store {
    async fn commit(&self, transaction: Transaction) -> CommitOutcome {
        match transaction.id.0.as_str() {
            "slow" => std::future::pending().await,
            "dies" => panic!("as the test wants"),
            other => CommitOutcome::NotSent {
                reason: other.to_owned(),
            },
        }
    }

    async fn read(&self, query: Query) -> ReadOutcome {
        if query.keys.is_empty() {
            return ReadOutcome::Snapshot(Snapshot::default());
        }
        std::future::pending().await
    }

    async fn watch(&self) -> Changes {
        // The first watch ends at once, the second one lasts.
        let first = self.watches.fetch_add(1, Ordering::SeqCst) == 0;
        let one = tokio_stream::once(Change::Everything);
        if first {
            Box::pin(one)
        } else {
            Box::pin(tokio_stream::StreamExt::chain(one, tokio_stream::pending()))
        }
    }

    async fn store_id(&self) -> Option<String> {
        // Out of reach when it is asked first.
        (self.asked.fetch_add(1, Ordering::SeqCst) > 0).then(|| "store".into())
    }
}

struct Starter;

#[async_trait]
impl Launcher for Starter {
    async fn begin(&self, effect: Effect, reports: mpsc::Sender<EffectReport>) {
        let report = match effect {
            Effect::KillJob { job } => EffectReport::JobKilled {
                job,
                rung: "killed".into(),
            },
            other => panic!("{other:?}"),
        };
        reports.send(report).await.unwrap();
    }
}

pub(crate) struct Run {
    pub(crate) handle: HostHandle,
    pub(crate) task: JoinHandle<StopReason>,
    pub(crate) told: mpsc::UnboundedReceiver<(Time, Input)>,
    pub(crate) address: Address,
}

pub(crate) async fn run(begin: fn(&mut Script), react: fn(&mut Script, Time, &Input)) -> Run {
    let address = free_address();
    let (sender, told) = mpsc::unbounded_channel();
    let make = move |me, _now| {
        let mut script = Script {
            me,
            told: sender.clone(),
            react,
            outputs: VecDeque::new(),
            wake: None,
            ready: false,
        };
        begin(&mut script);
        script
    };
    let parts = HostParts {
        make: Box::new(make),
        address: address.clone(),
        incarnation: None,
        role: Role::Server,
        cluster_name: "test".into(),
        metadata: Arc::new(Store::default()),
        launcher: Arc::new(Starter),
        store_call: Duration::from_millis(100),
    };
    let (handle, task) = start(parts).await.unwrap();
    Run {
        handle,
        task,
        told,
        address,
    }
}

impl Run {
    /// Goes on until this is told; gives when.
    pub(crate) async fn until(&mut self, mut wanted: impl FnMut(&Input) -> bool) -> Time {
        loop {
            let next = tokio::time::timeout(DEADLINE, self.told.recv()).await;
            let (now, input) = next.expect("not told").unwrap();
            if wanted(&input) {
                return now;
            }
        }
    }
}

pub(crate) fn idle(_: &mut Script) {}

pub(crate) fn call(name: &str) -> NewCall {
    NewCall {
        id: CallId::new("c"),
        user: "u".into(),
        route: "DELETE /contexts".into(),
        key: None,
        operation: CallOperation::DeleteContext { name: name.into() },
        wait: Duration::from_secs(1),
    }
}
