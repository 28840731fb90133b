//! Clients' reads: by the store, as `GET /jobs/<id>` and `GET /contexts/<name>` do it
//! (server/src/http/jobs.rs, contexts.rs; protocol.md B).

use super::World;
use super::act::Answered;
use super::clients::Reading;
use super::events::{Event, Life};
use super::storage::Call;
use super::store_calls::READ_DEADLINE;
use crate::schedule::model::Request as Asked;
use crate::trace::seen::{NodeId, Seen, Sink};
use doyen_core::identity::{ClusterId, ContextId, JobId};
use doyen_core::input::{Command, Input, RequestId};
use doyen_core::output::Answer;
use doyen_core::records::context::NameRecord;
use doyen_core::records::decode;
use doyen_core::records::job::{JobContextRecord, JobRecord, JobState};
use doyen_core::records::key::{Key, Layout};
use doyen_core::records::transaction::{Query, ReadOutcome, Snapshot, Stored};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// A view is made anew at most so often (runtime/src/host/task.rs).
const VIEW_PAUSE: Duration = Duration::from_millis(20);

/// What a look at the store leads to.
pub(crate) enum Next {
    /// Another look.
    Look(Query),
    /// This record is what was looked for; or there is none, and it would lie there.
    Found(Key, Option<Stored>),
}

fn record<T: DeserializeOwned>(found: &Snapshot, key: &Key) -> Option<T> {
    let stored = found.records.get(key)?;
    decode(key, "a record", stored).ok().map(|one| one.value)
}

impl Reading {
    pub(crate) fn query(&self, layout: &Layout) -> Query {
        match self {
            Self::Job { id, context, .. } => match context {
                None => Query::keys([layout.job_context(id), layout.done(id)]),
                Some(context) => Query::keys([layout.job(context, id), layout.done(id)]),
            },
            Self::ContextName { name, ids } => match ids {
                None => Query::keys([layout.context_name(name), layout.last_context(name)]),
                Some(ids) => {
                    let keys = ids.iter();
                    Query::keys(keys.flat_map(|id| [layout.context(id), layout.ended(id)]))
                }
            },
            Self::Context { id } => Query::keys([layout.context(id), layout.ended(id)]),
        }
    }

    /// Goes on from what was found.
    pub(crate) fn next(&mut self, layout: &Layout, found: &Snapshot) -> Next {
        let of = |key: &Key| found.records.get(key).cloned();
        match self {
            Self::Job { id, context, .. } => {
                let done = layout.done(id);
                if let Some(stored) = of(&done) {
                    return Next::Found(done, Some(stored));
                }
                if let Some(context) = context {
                    let live = layout.job(context, id);
                    let stored = of(&live);
                    return match stored {
                        Some(_) => Next::Found(live, stored),
                        None => Next::Found(done, None),
                    };
                }
                match record::<JobContextRecord>(found, &layout.job_context(id)) {
                    None => Next::Found(done, None),
                    Some(place) => {
                        *context = Some(place.context);
                        Next::Look(self.query(layout))
                    }
                }
            }
            Self::ContextName { name, ids: None } => {
                let (live, last) = (layout.context_name(name), layout.last_context(name));
                let named = [&live, &last].map(|key| record::<NameRecord>(found, key));
                let all: Vec<ContextId> =
                    named.into_iter().flatten().map(|one| one.context).collect();
                if all.is_empty() {
                    return Next::Found(live, None);
                }
                let again = Self::ContextName {
                    name: name.clone(),
                    ids: Some(all),
                };
                *self = again;
                Next::Look(self.query(layout))
            }
            Self::ContextName {
                name,
                ids: Some(ids),
            } => {
                for id in ids.iter() {
                    for key in [layout.ended(id), layout.context(id)] {
                        if let Some(stored) = of(&key) {
                            return Next::Found(key, Some(stored));
                        }
                    }
                }
                Next::Found(layout.context_name(name), None)
            }
            Self::Context { id } => {
                let ended = layout.ended(id);
                if let Some(stored) = of(&ended) {
                    return Next::Found(ended, Some(stored));
                }
                let live = layout.context(id);
                let stored = of(&live);
                Next::Found(live, stored)
            }
        }
    }
}

impl<S: Sink> World<S> {
    /// The layout of a cluster's records: made anew only when another cluster is asked for.
    fn layout(&mut self, cluster: ClusterId) -> Layout {
        match &self.layout {
            Some((known, layout)) if *known == cluster => layout.clone(),
            _ => {
                let layout = Layout::new(&cluster);
                self.layout = Some((cluster, layout.clone()));
                layout
            }
        }
    }

    /// A client's read reaches its server.
    pub(super) fn read_begins(&mut self, life: Life, request: RequestId) {
        if !self.is_living(life) {
            return;
        }
        if self.nodes[life.node].is_stopped() {
            let event = Event::ReadBegins(life, request);
            return self.nodes[life.node].backlog.push(event);
        }
        let cluster = self.nodes[life.node].proves.clone();
        let reads = self.clients.request_mut(request);
        let reads = reads.and_then(|request| request.reads.clone());
        match (cluster, reads) {
            (Some(cluster), Some(reads)) => {
                let query = reads.query(&self.layout(cluster));
                let call = Call::Client(request, query);
                self.call_store(life.node, call, Answered::Yes);
            }
            _ => self.unread(life, request),
        }
    }

    /// The store answered a read of a client, or did not.
    pub(super) fn client_read(&mut self, life: Life, request: RequestId, found: Box<ReadOutcome>) {
        if !self.is_living(life) {
            return;
        }
        if self.nodes[life.node].is_stopped() {
            let event = Event::ClientRead(life, request, found);
            return self.nodes[life.node].backlog.push(event);
        }
        let cluster = self.nodes[life.node].proves.clone();
        let layout = cluster.map(|cluster| self.layout(cluster));
        let now = self.now;
        let Some(asked) = self.clients.request_mut(request) else {
            return;
        };
        if asked.is_over {
            return;
        }
        let in_time = now <= asked.began.after(READ_DEADLINE.saturating_mul(3));
        let (ReadOutcome::Snapshot(found), Some(layout), Some(reads), true) =
            (*found, layout, &mut asked.reads, in_time)
        else {
            return self.unread(life, request);
        };
        match reads.next(&layout, &found) {
            Next::Look(query) => {
                self.call_store(life.node, Call::Client(request, query), Answered::Yes);
            }
            Next::Found(key, stored) => {
                let reads = reads.clone();
                self.was_found(life, request, &reads, &key, stored);
            }
        }
    }

    fn was_found(
        &mut self,
        life: Life,
        request: RequestId,
        reads: &Reading,
        key: &Key,
        stored: Option<Stored>,
    ) {
        let Reading::Job {
            id, kills: true, ..
        } = reads
        else {
            return self.show_read(life, request, key, stored);
        };
        let job = stored.and_then(|stored| decode::<JobRecord>(key, "a job", &stored).ok());
        let job = job.map(|job| job.value);
        match job {
            None => self.answered(request, Some(&Answer::JobNotFound)),
            Some(job) if matches!(job.state, JobState::Refused { .. }) => {
                self.answered(request, Some(&Answer::JobNotFound));
            }
            Some(job) if job.state.is_final() => {
                self.answered(request, Some(&Answer::JobDone(Box::new(job))));
            }
            Some(_) => {
                let job = id.clone();
                let command = Command::KillJob { request, job };
                self.handle(life.node, Input::Command(command));
            }
        }
    }

    fn show_read(&mut self, life: Life, request: RequestId, key: &Key, stored: Option<Stored>) {
        // A server that is not ready marks its answers as stale (F8).
        let fresh = self.is_ready(life.node);
        // A refused job is not shown (J3); a final one was not refused.
        let shown = stored.filter(|stored| {
            let is_live = key.as_str().contains("/job/");
            let job = is_live.then(|| decode::<JobRecord>(key, "a job", stored));
            let job = job.and_then(Result::ok);
            !job.is_some_and(|job| matches!(job.value.state, JobState::Refused { .. }))
        });
        self.end_read(life.node, request, key, fresh.then_some(shown.as_ref()));
    }

    /// Whether a server was ready when its view was last made, at most 20 ms ago, as its host has it.
    fn is_ready(&mut self, id: NodeId) -> bool {
        let (now, clock) = (self.now, self.clock_of(id));
        let node = &mut self.nodes[id];
        if let Some((at, ready)) = node.ready
            && now.since(at) < VIEW_PAUSE
        {
            return ready;
        }
        let process = node.process.as_ref();
        let ready = process.is_some_and(|process| process.view(clock).ready);
        node.ready = Some((now, ready));
        ready
    }

    /// A read that failed, or that is answered from an older one.
    fn unread(&mut self, life: Life, request: RequestId) {
        let reads = self.clients.request_mut(request);
        let reads = reads.and_then(|request| request.reads.clone());
        if let Some(Reading::Job { kills: true, .. }) = reads {
            return self.answered(request, Some(&Answer::Unknown));
        }
        let cluster = self.nodes[life.node].proves.clone();
        let layout = cluster.map(|cluster| self.layout(cluster));
        let query = reads
            .zip(layout)
            .map(|(reads, layout)| reads.query(&layout));
        let key = query.and_then(|query| query.keys.into_iter().next());
        let key = key.unwrap_or_else(doyen_core::records::key::cluster);
        self.end_read(life.node, request, &key, None);
    }

    fn end_read(
        &mut self,
        node: NodeId,
        request: RequestId,
        key: &Key,
        found: Option<Option<&Stored>>,
    ) {
        if let Some(asked) = self.clients.request_mut(request)
            && std::mem::replace(&mut asked.is_over, true)
        {
            return;
        }
        let seen = Seen::Read {
            node,
            request,
            key,
            found,
        };
        self.sink.seen(self.now, &seen);
    }

    /// At every living server every job and context that a client was told of is read.
    pub(crate) fn read_everything(&mut self) {
        let jobs: Vec<(String, JobId)> = self.clients.jobs.clone().into_iter().collect();
        let contexts: Vec<_> = self.clients.contexts.clone().into_iter().collect();
        for node in self.living_servers() {
            for (name, id) in &jobs {
                let what = Asked::ReadJob { job: name.clone() };
                let reads = Reading::Job {
                    id: id.clone(),
                    context: None,
                    kills: false,
                };
                self.read_of(node, &what, Some(id), reads);
            }
            for (id, name) in &contexts {
                let what = Asked::ReadContext {
                    context: name.clone(),
                };
                self.read_of(node, &what, None, Reading::Context { id: id.clone() });
            }
        }
    }

    fn read_of(&mut self, node: NodeId, what: &Asked, job: Option<&JobId>, reads: Reading) {
        let request = self.open(node, what, None, job, Some(reads));
        let way = self.nodes[node].random.client.micros(80, 500);
        let event = Event::ReadBegins(self.nodes[node].life, request);
        self.queue.push(self.now.after(way), event);
    }
}
