//! Clients: they ask servers as the HTTP layer would, and hear what core answers.

use super::journal::Noted;
use super::reads::Looked;
use super::store::EPOCH_MS;
use super::world::{State, World};
use crate::schedule::model::{Ask, Request};
use crate::trace::seen::{Ended, NodeId};
use crate::world::clients::{
    CREATION_TIMEOUT, DELETION_TIMEOUT, Reading, SYNC_TIMEOUT, USER, key_of, uuid_v7,
};
use crate::world::engines::main_class;
use doyen_core::identity::{CallId, ContextId, JobId};
use doyen_core::input::{NewCall, NewJob, RequestId};
use doyen_core::output::Answer;
use doyen_core::records::call::{CallOperation, CallOutcome};
use doyen_core::records::job::Payload;
use doyen_core::records::key::Key;
use doyen_core::records::transaction::Stored;
use doyen_core::time::Time;
use doyen_runtime::host::HostHandle;
use doyen_runtime::simulated::{sleep_until, timeout};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long a request is on its way, in microseconds.
const WAY_MICROS: (u64, u64) = (80, 500);

/// What clients know, and how requests are numbered.
#[derive(Debug, Default)]
pub(super) struct Clients {
    /// Jobs that a client was told are taken, by its own name for them.
    jobs: BTreeMap<String, JobId>,
    /// Contexts that a client was told are there, with their names.
    contexts: BTreeMap<ContextId, String>,
    /// Requests that somebody still waits for.
    pub(super) open: u64,
    requests: u64,
    /// The world's number of a request, by its life and the host's own number.
    numbers: BTreeMap<(u64, RequestId), RequestId>,
    hosts: BTreeMap<RequestId, RequestId>,
}

/// What a server is asked.
enum Errand {
    Call(NewCall),
    Submit(Box<NewJob>),
    Read(Reading),
}

/// A request on its way.
struct Sent {
    node: NodeId,
    request: RequestId,
    /// The client's own name for what it makes.
    names: Option<String>,
    deadline: u64,
}

impl World {
    /// The world's number of a request.
    pub(super) fn world_number(&self, serial: u64, request: RequestId) -> RequestId {
        self.with(|state| {
            let number = state.clients.numbers.get(&(serial, request));
            number.copied().unwrap_or(request)
        })
    }

    /// The host's own number of a request.
    pub(super) fn host_number(&self, request: RequestId) -> RequestId {
        self.with(|state| {
            state
                .clients
                .hosts
                .get(&request)
                .copied()
                .unwrap_or(request)
        })
    }

    /// The next request of this life is that one. The host numbers them in the order in which they
    /// are made, and it is made before anything else runs.
    fn number(&self, serial: u64, handle: &HostHandle, request: RequestId) {
        let own = RequestId(handle.next_request());
        self.with(|state| {
            state.clients.numbers.insert((serial, own), request);
            state.clients.hosts.insert(request, own);
        });
    }

    /// A client asks; it does nothing when it has nothing to name.
    pub(super) fn ask(self: &Arc<Self>, ask: &Ask) {
        let Some(node) = self.with(|state| state.resolve(&ask.of)?.node()) else {
            return;
        };
        let now = self.now();
        let id = self.with(|state| state.fresh_id(now));
        let Some(errand) = self.errand(ask, &id) else {
            return;
        };
        let job = match (&errand, &ask.what) {
            (Errand::Submit(_), _) => Some(JobId::new(id)),
            (Errand::Read(Reading::Job { id, .. }), _) => Some(id.clone()),
            _ => None,
        };
        self.send(node, &ask.what, ask.key.clone(), job, errand);
    }

    /// At every living server every job and context that a client was told of is read.
    pub(super) fn read_everything(self: &Arc<Self>) {
        let (servers, jobs, contexts) = self.with(|state| {
            let servers: Vec<NodeId> = state.servers().collect();
            let living = |node: &NodeId| state.place(*node).is_some_and(|p| p.life.is_some());
            let servers: Vec<NodeId> = servers.into_iter().filter(living).collect();
            (
                servers,
                state.clients.jobs.clone(),
                state.clients.contexts.clone(),
            )
        });
        for node in servers {
            for (name, id) in &jobs {
                let what = Request::ReadJob { job: name.clone() };
                let reading = Reading::Job {
                    id: id.clone(),
                    context: None,
                    kills: false,
                };
                self.send(node, &what, None, Some(id.clone()), Errand::Read(reading));
            }
            for (id, name) in &contexts {
                let context = name.clone();
                let what = Request::ReadContext { context };
                let reading = Reading::Context { id: id.clone() };
                self.send(node, &what, None, None, Errand::Read(reading));
            }
        }
    }

    fn errand(&self, ask: &Ask, id: &str) -> Option<Errand> {
        let call = |route: &str, content: &str, operation, wait| {
            let key = ask.key.as_ref().map(|key| key_of(key, route, content));
            Errand::Call(NewCall {
                id: CallId::new(id),
                user: USER.to_owned(),
                route: route.to_owned(),
                key,
                operation,
                wait,
            })
        };
        Some(match &ask.what {
            Request::CreateContext { context } => {
                let operation = CallOperation::CreateContext {
                    name: context.clone(),
                    settings: "{}".to_owned(),
                    adhoc: false,
                };
                call("POST /contexts", context, operation, CREATION_TIMEOUT)
            }
            Request::DeleteContext { context } => {
                let name = context.clone();
                let operation = CallOperation::DeleteContext { name };
                call("DELETE /contexts", context, operation, DELETION_TIMEOUT)
            }
            Request::Submit {
                context,
                job,
                lasts,
                sync,
                fails,
            } => {
                let class = main_class(lasts.duration(), *fails);
                let content = format!("{context}\u{0}{class}\u{0}{sync}\u{0}{job}");
                let key = ask.key.as_ref();
                Errand::Submit(Box::new(NewJob {
                    id: JobId::new(id),
                    context_name: context.clone(),
                    adhoc: None,
                    main_class: class,
                    class_path: Vec::new(),
                    config: Payload::Inline("{}".to_owned()),
                    sync: *sync,
                    user: USER.to_owned(),
                    key: key.map(|key| key_of(key, "POST /jobs", &content)),
                    wait: SYNC_TIMEOUT,
                }))
            }
            Request::Kill { job } | Request::ReadJob { job } => Errand::Read(Reading::Job {
                id: self.with(|state| state.clients.jobs.get(job).cloned())?,
                context: None,
                kills: matches!(ask.what, Request::Kill { .. }),
            }),
            Request::ReadContext { context } => Errand::Read(Reading::ContextName {
                name: context.clone(),
                ids: None,
            }),
        })
    }

    /// Sends a request on its way, and shows that it was made.
    fn send(
        self: &Arc<Self>,
        node: NodeId,
        what: &Request,
        key: Option<String>,
        job: Option<JobId>,
        errand: Errand,
    ) {
        let now = Time::from_nanos(self.now());
        let deadline = now.after(self.driver_config.times().client_deadline);
        let (request, way) = self.with(|state| {
            state.clients.requests = state.clients.requests.saturating_add(1);
            state.clients.open = state.clients.open.saturating_add(1);
            let way = state
                .streams
                .of("client", node.0)
                .micros(WAY_MICROS.0, WAY_MICROS.1);
            (RequestId(state.clients.requests), way)
        });
        let names = match what {
            Request::Submit { job, .. } => Some(job.clone()),
            Request::CreateContext { context } => Some(context.clone()),
            _ => None,
        };
        self.note(Noted::Asked {
            node,
            request,
            what: what.clone(),
            key,
            job,
            deadline,
        });
        let sent = Sent {
            node,
            request,
            names,
            deadline: deadline.as_nanos(),
        };
        let begun = self.with(|state| {
            let life = state.place(node)?.life.as_ref()?;
            Some((life.serial, life.handle.clone()?))
        });
        let Some((serial, handle)) = begun else {
            self.answered(&sent, None);
            return;
        };
        let (world, arrives) = (self.clone(), now.after(way).as_nanos());
        self.aside(async move {
            sleep_until(arrives).await;
            let bound = sent.deadline.saturating_sub(world.now());
            let work = world.serve(&sent, serial, &handle, errand);
            if timeout(Duration::from_nanos(bound), work).await.is_err() {
                // Its client waits no more: what comes is told nobody.
                world.with(|state| state.clients.open = state.clients.open.saturating_sub(1));
            }
        });
    }

    async fn serve(
        self: &Arc<Self>,
        sent: &Sent,
        serial: u64,
        handle: &HostHandle,
        errand: Errand,
    ) {
        if !self.lives_on(sent.node, serial) {
            return self.answered(sent, None);
        }
        let answer = match errand {
            Errand::Call(call) => {
                self.number(serial, handle, sent.request);
                handle.call(call).await
            }
            Errand::Submit(job) => {
                let view = handle.view();
                if !view.takes_calls {
                    let reason = view.not_ready.clone().unwrap_or_default();
                    return self.answered(sent, Some(Answer::NotReady { reason }));
                }
                self.number(serial, handle, sent.request);
                handle.submit(*job).await
            }
            Errand::Read(reading) => match self.look(sent.node, handle, reading).await {
                None => return self.answered(sent, None),
                Some(Looked::Found(key, found)) => return self.was_read(sent, key, found),
                Some(Looked::Answer(answer)) => return self.answered(sent, Some(answer)),
                Some(Looked::Kill(job)) => {
                    self.number(serial, handle, sent.request);
                    handle.kill(job).await
                }
            },
        };
        // What the host says for a process that was killed, no client hears.
        let killed = !self.lives_on(sent.node, serial)
            && self.with(|s| s.place(sent.node)?.ended.clone()) == Some(Ended::Killed);
        if killed && matches!(answer, Answer::NotReady { .. }) {
            return self.answered(sent, None);
        }
        self.with(|state| {
            if let Some(recording) = &mut state.recording {
                recording.answered(sent.request, &answer);
            }
        });
        self.answered(sent, Some(answer));
    }

    fn lives_on(&self, node: NodeId, serial: u64) -> bool {
        self.with(|state| {
            let life = state.place(node).and_then(|place| place.life.as_ref());
            life.is_some_and(|life| life.serial == serial)
        })
    }

    fn answered(&self, sent: &Sent, answer: Option<Answer>) {
        self.with(|state| {
            let clients = &mut state.clients;
            clients.open = clients.open.saturating_sub(1);
            match (&answer, &sent.names) {
                (Some(Answer::JobAccepted(job) | Answer::JobDone(job)), Some(name)) => {
                    clients.jobs.insert(name.clone(), job.id.clone());
                }
                (Some(Answer::Call(CallOutcome::ContextCreated { context })), Some(name)) => {
                    clients.contexts.insert(context.clone(), name.clone());
                }
                _ => {}
            }
        });
        self.note(Noted::Answered(
            sent.node,
            sent.request,
            answer.map(Box::new),
        ));
    }

    fn was_read(&self, sent: &Sent, key: Key, found: Option<Option<Stored>>) {
        self.with(|state| state.clients.open = state.clients.open.saturating_sub(1));
        self.note(Noted::Read(sent.node, sent.request, key, found));
    }
}

impl State {
    /// A UUID of version 7 of the world's time, which is the store's.
    fn fresh_id(&mut self, now: u64) -> String {
        let millis = EPOCH_MS.saturating_add(now / 1_000_000);
        uuid_v7(millis, self.streams.of("ids", 0))
    }
}
