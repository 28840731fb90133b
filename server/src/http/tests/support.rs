//! A world without a cluster, and what its clients see.

use super::doubles::{FakeGateway, TestObjects, TestStore};
use crate::http::{Http, HttpSettings, Peer, router};
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use doyen_core::identity::{Address, ClusterId, ContextId, Identity, Incarnation, JobId, Role};
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
use doyen_core::records::singleton::Epoch;
use doyen_core::records::transaction::{CommitOutcome, Transaction, TransactionId};
use doyen_core::time::Stamp;
use http_body_util::BodyExt;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tower::ServiceExt;

/// 2024-03-05T09:10:11.120Z
pub(crate) const THEN: u64 = 1_709_629_811_120;

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
        takes_calls: true,
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
        ending: None,
        started: Stamp(THEN),
        ended: state.is_final().then_some(Stamp(THEN + 1_000)),
        error: None,
        application_id: None,
        url: None,
        key: None,
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
        never_ran: false,
        error: None,
        result: None,
        key: None,
        rest: BTreeMap::new(),
    }
}
