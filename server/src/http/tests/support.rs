//! A world without a cluster: a store, a binary store and a gateway that tests can see and steer.

use crate::http::{Gateway, Http, HttpSettings, Peer, router};
use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use doyen_core::identity::{Address, ClusterId, ContextId, Identity, Incarnation, JobId, Role};
use doyen_core::input::{NewCall, NewJob};
use doyen_core::membership::Status;
use doyen_core::output::Answer;
use doyen_core::process::{ClusterView, MemberView};
use doyen_core::records::cluster::Generation;
use doyen_core::records::context::{ContextRecord, ContextState, NameRecord};
use doyen_core::records::encode;
use doyen_core::records::job::{
    BinaryType, ClassPathEntry, JobContextRecord, JobRecord, JobState, Payload,
};
use doyen_core::records::key::{Key, Layout};
use doyen_core::records::model::StoreModel;
use doyen_core::records::singleton::Epoch;
use doyen_core::records::transaction::{
    CommitOutcome, Query, ReadOutcome, Transaction, TransactionId,
};
use doyen_core::time::Stamp;
use doyen_runtime::store::{BinaryDao, BinaryError, Changes, Content, MetaDataDao};
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tower::ServiceExt;

/// 2024-03-05T09:10:11.120Z
pub(crate) const THEN: u64 = 1_709_629_811_120;

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
    view: Mutex<Arc<ClusterView>>,
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

/// What a client sees.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    #[track_caller]
    pub(crate) fn is(&self, row: &str, status: u16, body: &str) {
        assert_eq!(
            (self.status.as_u16(), self.body.as_str()),
            (status, body),
            "{row}"
        );
    }
}

pub(crate) struct World {
    pub(crate) store: Arc<TestStore>,
    pub(crate) objects: Arc<TestObjects>,
    pub(crate) gateway: Arc<FakeGateway>,
    pub(crate) router: Router,
    pub(crate) layout: Layout,
    _spool: tempfile::TempDir,
}

pub(crate) fn parse(text: &str) -> Result<serde_json::Value, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn view() -> ClusterView {
    let identity = Identity::new(Address::new("127.0.0.1", 2552), Incarnation(7));
    ClusterView {
        cluster: Some(ClusterId::new("c1")),
        epoch: Epoch(3),
        holder: Some(identity.clone()),
        generation: Generation(2),
        leader: Some(identity.clone()),
        converged: true,
        ready: true,
        not_ready: None,
        store_age_ms: Some(20),
        others_have_store: true,
        members: vec![MemberView {
            identity: identity.clone(),
            role: Role::Server,
            status: Status::Up,
            age: Some(0),
            reachable: true,
            version: String::from("0.1.0"),
            context: None,
        }],
        identity,
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut HttpSettings)) -> Self {
        let spool = tempfile::tempdir().unwrap();
        let mut settings = HttpSettings::new(spool.path().to_owned(), parse);
        settings.read_deadline = Duration::from_millis(60);
        settings.short_timeout = Duration::from_millis(120);
        settings.gateway_hold = Duration::from_millis(300);
        change(&mut settings);
        let (store, objects) = (
            Arc::new(TestStore::default()),
            Arc::new(TestObjects::default()),
        );
        objects.keep_max.store(1 << 20, Ordering::SeqCst);
        let gateway = Arc::new(FakeGateway {
            answers: Mutex::default(),
            calls: Mutex::default(),
            jobs: Mutex::default(),
            kills: Mutex::default(),
            left: AtomicBool::new(false),
            wake: tokio::sync::Notify::new(),
            view: Mutex::new(Arc::new(view())),
        });
        let router = router(Http {
            gateway: gateway.clone(),
            metadata: store.clone(),
            binaries: objects.clone(),
            settings,
        });
        Self {
            store,
            objects,
            gateway,
            router,
            layout: Layout::new(&ClusterId::new("c1")),
            _spool: spool,
        }
    }

    pub(crate) fn will_answer(&self, answer: Answer) -> &Self {
        self.gateway.answers.lock().unwrap().push_back(answer);
        self
    }

    pub(crate) fn change_view(&self, change: impl FnOnce(&mut ClusterView)) {
        let mut view = self.gateway.view.lock().unwrap();
        change(Arc::make_mut(&mut view));
    }

    pub(crate) fn put(&self, key: Key, value: String) {
        let id = TransactionId(format!("test/{key}/{}", value.len()));
        let create = Transaction::new(id).create(key, value);
        let (outcome, _) = self
            .store
            .model
            .lock()
            .unwrap()
            .commit(&create, Stamp(THEN));
        assert!(matches!(outcome, CommitOutcome::Committed { .. }));
    }

    pub(crate) fn put_context(&self, context: &ContextRecord) {
        let name = NameRecord {
            context: context.id.clone(),
            rest: BTreeMap::new(),
        };
        if context.state.is_final() {
            self.put(self.layout.ended(&context.id), encode(context));
            self.put(self.layout.last_context(&context.name), encode(&name));
        } else {
            self.put(self.layout.context(&context.id), encode(context));
            self.put(self.layout.context_name(&context.name), encode(&name));
        }
    }

    pub(crate) fn put_job(&self, job: &JobRecord) {
        if job.state.is_final() && !matches!(job.state, JobState::Refused { .. }) {
            self.put(self.layout.done(&job.id), encode(job));
        } else {
            self.put(self.layout.job(&job.context, &job.id), encode(job));
            let place = JobContextRecord {
                context: job.context.clone(),
            };
            self.put(self.layout.job_context(&job.id), encode(&place));
        }
    }

    /// Sends `METHOD /path` with headers `name: value` and a body.
    pub(crate) async fn send(&self, line: &str, headers: &[&str], body: impl Into<Body>) -> Seen {
        let (method, uri) = line.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(uri);
        for header in headers {
            let (name, value) = header.split_once(": ").unwrap();
            request = request.header(name, value);
        }
        self.ask(request.body(body.into()).unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Seen {
        self.send(&format!("GET {path}"), &[], Body::empty()).await
    }

    pub(crate) async fn ask(&self, request: Request<Body>) -> Seen {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Seen {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    pub(crate) async fn upload(&self, name: &str, kind: &str, body: impl Into<Body>) -> Seen {
        let line = format!("POST /binaries/{name}");
        self.send(&line, &[&format!("content-type: {kind}")], body)
            .await
    }
}

/// The two ends of a request over loopback.
pub(crate) fn loopback() -> Peer {
    Peer {
        remote: "127.0.0.1:40000".parse().unwrap(),
        bound: "127.0.0.1:8090".parse().unwrap(),
    }
}

pub(crate) fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

pub(crate) fn context(name: &str, state: ContextState) -> ContextRecord {
    ContextRecord {
        id: ContextId::new(new_id()),
        name: name.to_owned(),
        settings: String::from("{}"),
        adhoc: false,
        user: String::from("anonymous"),
        state,
        intent: None,
        started: Stamp(THEN),
        ended: state.is_final().then_some(Stamp(THEN + 1_000)),
        error: None,
        application_id: None,
        url: None,
        rest: BTreeMap::new(),
    }
}

pub(crate) fn job(context: &ContextRecord, state: JobState) -> JobRecord {
    let ended = state.is_final().then_some(Stamp(THEN + 6_341));
    JobRecord {
        id: JobId::new(new_id()),
        context: context.id.clone(),
        context_name: context.name.clone(),
        main_class: String::from("com.acme.Count"),
        class_path: vec![ClassPathEntry {
            name: String::from("wordcount"),
            binary_type: BinaryType::Wheel,
            hash: Some(String::from("00")),
        }],
        config: Payload::Inline(String::from(r#"{"b":1,"a":{"c":"x"}}"#)),
        sync: false,
        user: String::from("anonymous"),
        state,
        kill: false,
        started: Stamp(THEN),
        ended,
        error: None,
        result: None,
        key: None,
        rest: BTreeMap::new(),
    }
}
