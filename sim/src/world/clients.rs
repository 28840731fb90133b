//! Clients: what they ask, as the REST interface hands it to core (server/src/http), and what they
//! are told.

use super::World;
use super::engines::main_class;
use super::events::{Event, Life};
use super::random::{Random, fnv};
use super::storage::EPOCH_MS;
use crate::schedule::model::{Ask, Request as Asked};
use crate::trace::seen::{NodeId, Seen, Sink};
use doyen_core::identity::{CallId, ContextId, JobId};
use doyen_core::input::{Command, NewCall, NewJob, RequestId, RequestKey};
use doyen_core::output::Answer;
use doyen_core::records::call::{CallOperation, CallOutcome};
use doyen_core::records::job::Payload;
use doyen_core::time::Time;
use std::collections::BTreeMap;
use std::time::Duration;

/// Who asks, while there is no authentication.
pub(crate) const USER: &str = "anonymous";
/// How long a context may take to start, and to stop (`server/src/http/settings.rs`).
pub(crate) const CREATION_TIMEOUT: Duration = Duration::from_secs(60);
pub(crate) const DELETION_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a submission waits.
pub(crate) const SYNC_TIMEOUT: Duration = Duration::from_secs(10);

/// One request of a client.
#[derive(Clone, Debug)]
pub(crate) struct ClientRequest {
    pub(crate) life: Life,
    pub(crate) began: Time,
    pub(crate) is_over: bool,
    /// The client's own name of the job that it submits.
    pub(crate) names: Option<String>,
    pub(crate) reads: Option<Reading>,
}

/// How far a read is, and what is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// A job, by its id: where is it?
    Job {
        /// Its id.
        id: JobId,
        /// Its context, once known.
        context: Option<ContextId>,
        /// It is to be killed if it is not over.
        kills: bool,
    },
    /// The context that was started last under a name.
    ContextName {
        /// The name.
        name: String,
        /// The contexts of that name, once known.
        ids: Option<Vec<ContextId>>,
    },
    /// A context by its id.
    Context {
        /// Its id.
        id: ContextId,
    },
}

/// All requests, and what clients know.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    pub(crate) requests: Vec<ClientRequest>,
    /// Jobs that a client was told are taken, by its own name for them.
    pub(crate) jobs: BTreeMap<String, JobId>,
    /// Contexts that a client was told are there, with their names.
    pub(crate) contexts: BTreeMap<ContextId, String>,
    /// Names of contexts by the request that creates them.
    creating: BTreeMap<RequestId, String>,
    /// Asks of the schedule that were made.
    pub(crate) asked: usize,
}

impl Clients {
    /// Whether everything that was asked so far is answered, or waited for in vain.
    pub(crate) fn is_quiet(&self) -> bool {
        self.requests.iter().all(|request| request.is_over)
    }

    fn request(&self, id: RequestId) -> Option<&ClientRequest> {
        self.requests.get(index(id)?)
    }

    pub(super) fn request_mut(&mut self, id: RequestId) -> Option<&mut ClientRequest> {
        self.requests.get_mut(index(id)?)
    }
}

fn index(id: RequestId) -> Option<usize> {
    usize::try_from(id.0.checked_sub(1)?).ok()
}

/// A UUID of version 7: so many milliseconds since the Unix epoch, then random bits.
pub(crate) fn uuid_v7(millis: u64, random: &mut Random) -> String {
    let (high, low) = ((millis >> 16) & 0xffff_ffff, millis & 0xffff);
    let (one, two) = (random.next(), random.next());
    let (a, b) = (one & 0xfff, 0x8000 | (one >> 12) & 0x3fff);
    let c = two & 0xffff_ffff_ffff;
    format!("{high:08x}-{low:04x}-7{a:03x}-{b:04x}-{c:012x}")
}

/// The digests of a key of idempotency and of the request that it came with (C5). 128 bits of a
/// plain hash are enough here: nobody attacks.
pub(crate) fn key_of(key: &str, route: &str, content: &str) -> RequestKey {
    let digest = |text: &str| {
        let (one, two) = (fnv(text), fnv(&format!("{text}\u{0}")));
        format!("{:016x}{:016x}", Random::new(one).next(), two)
    };
    RequestKey {
        digest: digest(&format!("{USER}\u{0}{route}\u{0}{key}")),
        request: digest(&format!("{route}\u{0}{content}")),
    }
}

impl<S: Sink> World<S> {
    /// A client of the schedule asks.
    pub(super) fn ask(&mut self, number: usize) {
        self.clients.asked += 1;
        let schedule = self.schedule.clone();
        let Some(ask) = schedule.workload.get(number) else {
            return;
        };
        let Some(node) = self.resolve(&ask.of).and_then(super::paths::Side::node) else {
            return;
        };
        self.ask_of(node, ask);
    }

    /// A client asks this node; `None` when it has nothing to name.
    pub(crate) fn ask_of(&mut self, node: NodeId, ask: &Ask) -> Option<RequestId> {
        let reads = match &ask.what {
            Asked::ReadJob { job } | Asked::Kill { job } => Some(Reading::Job {
                id: self.clients.jobs.get(job)?.clone(),
                context: None,
                kills: matches!(ask.what, Asked::Kill { .. }),
            }),
            Asked::ReadContext { context } => Some(Reading::ContextName {
                name: context.clone(),
                ids: None,
            }),
            Asked::CreateContext { .. } | Asked::DeleteContext { .. } | Asked::Submit { .. } => {
                None
            }
        };
        let id = self.new_id();
        let job = match (&ask.what, &reads) {
            (Asked::Submit { .. }, _) => Some(JobId::new(id.clone())),
            (_, Some(Reading::Job { id, .. })) => Some(id.clone()),
            _ => None,
        };
        let request = self.open(node, &ask.what, ask.key.as_deref(), job.as_ref(), reads);
        if !self.nodes[node].lives() {
            self.answered(request, None);
            return Some(request);
        }
        let way = self.nodes[node].random.client.micros(80, 500);
        let at = self.now.after(way);
        let life = self.nodes[node].life;
        let event = match self.command(request, id, ask) {
            Some(command) => Event::Request(life, Box::new(command)),
            None => Event::ReadBegins(life, request),
        };
        self.queue.push(at, event);
        Some(request)
    }

    fn new_id(&mut self) -> String {
        let millis = EPOCH_MS.saturating_add(self.now.as_millis());
        uuid_v7(millis, &mut self.random_ids)
    }

    /// Opens a request, and shows that it was made.
    pub(super) fn open(
        &mut self,
        node: NodeId,
        what: &Asked,
        key: Option<&str>,
        job: Option<&JobId>,
        reads: Option<Reading>,
    ) -> RequestId {
        let names = match what {
            Asked::Submit { job, .. } => Some(job.clone()),
            _ => None,
        };
        self.clients.requests.push(ClientRequest {
            life: self.nodes[node].life,
            began: self.now,
            is_over: false,
            names,
            reads,
        });
        let request = RequestId(self.clients.requests.len() as u64);
        if let Asked::CreateContext { context } = what {
            self.clients.creating.insert(request, context.clone());
        }
        let bound = self.nodes[node].config.times().client_deadline;
        let deadline = self.now.after(bound);
        self.queue.push(deadline, Event::Deadline(request));
        let seen = Seen::Asked {
            node,
            request,
            what,
            key,
            job,
            deadline,
        };
        self.sink.seen(self.now, &seen);
        request
    }

    fn command(&self, request: RequestId, id: String, ask: &Ask) -> Option<Command> {
        let call = |route: &str, content: &str, operation, wait| {
            let key = ask.key.as_ref().map(|key| key_of(key, route, content));
            let call = NewCall {
                id: CallId::new(id.clone()),
                user: USER.to_owned(),
                route: route.to_owned(),
                key,
                operation,
                wait,
            };
            Command::Call { request, call }
        };
        Some(match &ask.what {
            Asked::CreateContext { context } => {
                let operation = CallOperation::CreateContext {
                    name: context.clone(),
                    settings: "{}".to_owned(),
                    adhoc: false,
                };
                call("POST /contexts", context, operation, CREATION_TIMEOUT)
            }
            Asked::DeleteContext { context } => {
                let name = context.clone();
                let operation = CallOperation::DeleteContext { name };
                call("DELETE /contexts", context, operation, DELETION_TIMEOUT)
            }
            Asked::Submit {
                context,
                job,
                lasts,
                sync,
                fails,
            } => {
                let class = main_class(lasts.duration(), *fails);
                let content = format!("{context}\u{0}{class}\u{0}{sync}\u{0}{job}");
                let key = ask.key.as_ref();
                let job = NewJob {
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
                };
                Command::Submit { request, job }
            }
            Asked::Kill { .. } | Asked::ReadJob { .. } | Asked::ReadContext { .. } => return None,
        })
    }

    /// A command reaches the process at a node.
    pub(super) fn requested(&mut self, life: Life, command: Box<Command>) {
        if !self.is_living(life) {
            // Its client was told when the process went.
            return;
        }
        let node = &mut self.nodes[life.node];
        if node.is_stopped() {
            return node.backlog.push(Event::Request(life, command));
        }
        if let Command::Submit { request, .. } = &*command {
            let request = *request;
            let now = self.clock_of(life.node);
            let process = self.nodes[life.node].process.as_ref();
            let view = process.map(|process| process.view(now));
            if let Some(view) = view.filter(|view| !view.takes_calls) {
                let reason = view.not_ready.unwrap_or_default();
                return self.answered(request, Some(&Answer::NotReady { reason }));
            }
        }
        self.handle(life.node, doyen_core::input::Input::Command(*command));
    }

    /// A request is answered; `None` when its server is gone.
    pub(super) fn answered(&mut self, request: RequestId, answer: Option<&Answer>) {
        let Some(asked) = self.clients.request_mut(request) else {
            return;
        };
        if std::mem::replace(&mut asked.is_over, true) {
            return;
        }
        let node = asked.life.node;
        let names = asked.names.clone();
        match answer {
            Some(Answer::JobAccepted(job) | Answer::JobDone(job)) => {
                if let Some(name) = names {
                    self.clients.jobs.insert(name, job.id.clone());
                }
            }
            Some(Answer::Call(CallOutcome::ContextCreated { context })) => {
                if let Some(name) = self.clients.creating.get(&request) {
                    let name = name.clone();
                    self.clients.contexts.insert(context.clone(), name);
                }
            }
            Some(_) | None => {}
        }
        let seen = Seen::Answered {
            node,
            request,
            answer,
        };
        self.sink.seen(self.now, &seen);
    }

    /// Every request that a process holds is answered; `None` when it is gone.
    pub(super) fn answer_all(&mut self, id: NodeId, answer: Option<&Answer>) {
        let life = self.nodes[id].life;
        for number in 1..=self.clients.requests.len() as u64 {
            let request = RequestId(number);
            let held = self.clients.request(request);
            if held.is_some_and(|one| one.life == life && !one.is_over) {
                self.answered(request, answer);
            }
        }
    }

    /// A client has waited long enough: its server forgets the request.
    pub(super) fn deadline(&mut self, request: RequestId) {
        let Some(asked) = self.clients.request_mut(request) else {
            return;
        };
        if std::mem::replace(&mut asked.is_over, true) {
            return;
        }
        let life = asked.life;
        let forget = Command::Forget { request };
        self.queue
            .push(self.now, Event::Request(life, Box::new(forget)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use doyen_core::identity::hour_of;

    #[test]
    fn ids_carry_their_hour_and_differ() {
        let mut random = Random::new(1);
        let millis = EPOCH_MS + 3_600_000;
        let (one, two) = (uuid_v7(millis, &mut random), uuid_v7(millis, &mut random));
        assert_ne!(one, two);
        assert_eq!(hour_of(&one), Some(millis / 3_600_000));
    }

    #[test]
    fn equal_requests_have_equal_digests_and_others_do_not() {
        let one = key_of("k", "POST /jobs", "a");
        assert_eq!(one, key_of("k", "POST /jobs", "a"));
        let other = key_of("k", "POST /jobs", "b");
        assert_eq!(one.digest, other.digest);
        assert_ne!(one.request, other.request);
        assert_ne!(one.digest, key_of("l", "POST /jobs", "a").digest);
    }
}
