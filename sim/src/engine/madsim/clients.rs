//! Clients: they ask servers as the HTTP layer would, and hear what core answers.

use super::journal::Noted;
use super::store::{Client, EPOCH_MS};
use super::world::{World, first_request};
use crate::schedule::model::{Ask, Request};
use crate::trace::seen::{Ended, NodeId};
use doyen_core::identity::{CallId, ContextId, JobId};
use doyen_core::input::{NewCall, NewJob, RequestId, RequestKey};
use doyen_core::output::Answer;
use doyen_core::records::call::CallOperation;
use doyen_core::records::context::NameRecord;
use doyen_core::records::decode;
use doyen_core::records::job::{JobContextRecord, Payload};
use doyen_core::records::key::{Key, Layout};
use doyen_core::records::transaction::{Query, ReadOutcome, Stored};
use doyen_core::time::Time;
use doyen_runtime::host::HostHandle;
use doyen_runtime::simulated::timeout;
use doyen_runtime::store::MetaDataDao;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;

const USER: &str = "anonymous";
/// How long a read waits for the store.
const READ_DEADLINE: Duration = Duration::from_secs(2);

/// One request of a client, ready to be asked.
enum Errand {
    Call(NewCall),
    Submit(Box<NewJob>),
    Kill(JobId),
    ReadJob(JobId),
    ReadContext(String),
}

impl World {
    /// A client asks. A job that was never given to anybody cannot be asked for.
    pub(super) fn ask(self: &Arc<Self>, ask: &Ask) {
        let Some(node) = self.with(|state| state.resolve(&ask.of)?.node()) else {
            return;
        };
        let Some(errand) = self.errand(ask) else {
            return;
        };
        let (world, ask) = (self.clone(), ask.clone());
        self.aside(async move { world.carry(node, ask, errand).await });
    }

    fn errand(&self, ask: &Ask) -> Option<Errand> {
        let deadline = self.driver_config.times().client_deadline;
        let key = ask.key.as_ref().map(|key| RequestKey {
            digest: format!("{USER}-{key}"),
            request: format!("{:?}", ask.what),
        });
        let call = |route: &str, operation| {
            Errand::Call(NewCall {
                id: CallId::new(self.fresh_id()),
                user: USER.to_owned(),
                route: route.to_owned(),
                key: key.clone(),
                operation,
                wait: deadline,
            })
        };
        let id_of = |job: &String| self.with(|state| state.jobs.get(job).cloned());
        Some(match &ask.what {
            Request::CreateContext { context } => call(
                "POST /contexts",
                CallOperation::CreateContext {
                    name: context.clone(),
                    settings: "{}".to_owned(),
                    adhoc: false,
                },
            ),
            Request::DeleteContext { context } => call(
                "DELETE /contexts",
                CallOperation::DeleteContext {
                    name: context.clone(),
                },
            ),
            Request::Submit {
                context,
                job,
                lasts,
                sync,
                fails,
            } => {
                let id = JobId::new(self.fresh_id());
                self.with(|state| state.jobs.insert(job.clone(), id.clone()));
                let word = if *fails { "fail" } else { "sleep" };
                Errand::Submit(Box::new(NewJob {
                    id,
                    context_name: context.clone(),
                    main_class: format!("{word}-{}", lasts.0),
                    class_path: Vec::new(),
                    config: Payload::Inline("{}".to_owned()),
                    adhoc: None,
                    sync: *sync,
                    user: USER.to_owned(),
                    key,
                    wait: deadline,
                }))
            }
            Request::Kill { job } => Errand::Kill(id_of(job)?),
            Request::ReadJob { job } => Errand::ReadJob(id_of(job)?),
            Request::ReadContext { context } => Errand::ReadContext(context.clone()),
        })
    }

    /// A UUID of version 7 of the store's time.
    fn fresh_id(&self) -> String {
        let millis = EPOCH_MS.saturating_add(self.now() / 1_000_000);
        self.with(|state| {
            state.ids = state.ids.saturating_add(1);
            let (high, low) = (millis >> 16, millis & 0xffff);
            format!("{high:08x}-{low:04x}-7000-8000-{:012x}", state.ids)
        })
    }

    async fn carry(self: Arc<Self>, node: NodeId, ask: Ask, errand: Errand) {
        let bound = self.driver_config.times().client_deadline;
        let begun = self.with(|state| {
            let place = state.places.get_mut(usize::from(node.0))?;
            let life = place.life.as_mut()?;
            let handle = life.handle.clone()?;
            Some((life.serial, handle))
        });
        let job = match &errand {
            Errand::Submit(job) => Some(job.id.clone()),
            _ => None,
        };
        let is_read = matches!(errand, Errand::ReadJob(_) | Errand::ReadContext(_));
        let request = match &begun {
            // The host numbers a life's requests in the order in which they are made, and this one
            // is made before anything else runs.
            Some((serial, handle)) if !is_read => {
                RequestId(first_request(*serial).saturating_add(handle.next_request()))
            }
            _ => self.with(|state| {
                state.ids = state.ids.saturating_add(1);
                RequestId(u64::MAX.saturating_sub(state.ids))
            }),
        };
        let now = Time::from_nanos(self.now());
        self.note(Noted::Asked {
            node,
            request,
            what: ask.what,
            key: ask.key,
            job,
            deadline: now.after(bound),
        });
        let Some((serial, handle)) = begun else {
            self.note(Noted::Answered(node, request, None));
            return;
        };
        match errand {
            Errand::ReadJob(id) => self.read_job(node, request, &handle, &id).await,
            Errand::ReadContext(name) => self.read_context(node, request, &handle, &name).await,
            Errand::Call(_) | Errand::Submit(_) | Errand::Kill(_) => {
                let answered = timeout(bound, answer(&handle, errand)).await;
                if let Ok(answer) = answered {
                    self.heard(node, serial, request, answer);
                }
            }
        }
    }

    fn heard(&self, node: NodeId, serial: u64, request: RequestId, answer: Answer) {
        let killed = self.with(|state| {
            let place = state.place(node);
            let lives_on = |life: &super::world::Life| life.serial == serial;
            let goes_on = place.and_then(|p| p.life.as_ref()).is_some_and(lives_on);
            !goes_on && place.is_some_and(|p| p.ended == Some(Ended::Killed))
        });
        // What the host says for a process that was killed, no client hears.
        if killed && matches!(answer, Answer::NotReady { .. }) {
            self.note(Noted::Answered(node, request, None));
            return;
        }
        self.with(|state| {
            if let Some(recording) = &mut state.recording {
                recording.answered(request, &answer);
            }
        });
        self.note(Noted::Answered(node, request, Some(Box::new(answer))));
    }

    async fn look(self: &Arc<Self>, node: NodeId, keys: Vec<Key>) -> Option<Found> {
        let client = Client {
            world: self.clone(),
            node,
        };
        let outcome = timeout(READ_DEADLINE, client.read(Query::keys(keys))).await;
        match outcome {
            Ok(ReadOutcome::Snapshot(snapshot)) => Some(Found(snapshot)),
            Ok(ReadOutcome::Failed { .. }) | Err(_) => None,
        }
    }

    /// `GET /jobs/<id>`, as the HTTP layer finds it: the final record wins over the live one.
    async fn read_job(
        self: &Arc<Self>,
        node: NodeId,
        request: RequestId,
        handle: &HostHandle,
        id: &JobId,
    ) {
        let Some(layout) = handle.view().cluster.as_ref().map(Layout::new) else {
            let key = Key::new(id.as_str());
            self.note(Noted::Read(node, request, key, None));
            return;
        };
        let (place, done) = (layout.job_context(id), layout.done(id));
        let mut key = done.clone();
        let mut found = None;
        if let Some(first) = self.look(node, vec![place.clone(), done.clone()]).await {
            found = Some(first.stored(&done));
            let context = first.value::<JobContextRecord>(&place);
            if let (Some(None), Some(context)) = (&found, context) {
                let live = layout.job(&context.context, id);
                found = None;
                if let Some(second) = self.look(node, vec![live.clone(), done.clone()]).await {
                    found = Some(second.stored(&done));
                    if found == Some(None) {
                        found = Some(second.stored(&live));
                        key = live;
                    }
                }
            }
        }
        self.note(Noted::Read(node, request, key, found));
    }

    /// `GET /contexts/<name>`: the live context of the name, or the last one.
    async fn read_context(
        self: &Arc<Self>,
        node: NodeId,
        request: RequestId,
        handle: &HostHandle,
        name: &str,
    ) {
        let Some(layout) = handle.view().cluster.as_ref().map(Layout::new) else {
            self.note(Noted::Read(node, request, Key::new(name), None));
            return;
        };
        let (live, last) = (layout.context_name(name), layout.last_context(name));
        let mut key = live.clone();
        let mut found = None;
        if let Some(first) = self.look(node, vec![live.clone(), last.clone()]).await {
            let named = [live, last].map(|key| first.value::<NameRecord>(&key));
            let ids: Vec<ContextId> = named.into_iter().flatten().map(|r| r.context).collect();
            found = Some(None);
            let both = |id: &ContextId| [layout.ended(id), layout.context(id)];
            let keys: Vec<Key> = ids.iter().flat_map(both).collect();
            if !keys.is_empty() {
                let second = self.look(node, keys.clone()).await;
                found = second.map(|second| {
                    let at = keys.into_iter().find(|key| second.stored(key).is_some())?;
                    key = at;
                    second.stored(&key)
                });
            }
        }
        self.note(Noted::Read(node, request, key, found));
    }
}

async fn answer(handle: &HostHandle, errand: Errand) -> Answer {
    match errand {
        Errand::Call(call) => handle.call(call).await,
        Errand::Submit(job) => handle.submit(*job).await,
        Errand::Kill(job) => handle.kill(job).await,
        Errand::ReadJob(_) | Errand::ReadContext(_) => std::future::pending().await,
    }
}

/// What a read found.
struct Found(doyen_core::records::transaction::Snapshot);

impl Found {
    fn stored(&self, key: &Key) -> Option<Stored> {
        self.0.records.get(key).cloned()
    }

    fn value<T: DeserializeOwned>(&self, key: &Key) -> Option<T> {
        let stored = self.0.records.get(key)?;
        decode(key, "a record", stored)
            .ok()
            .map(|versioned| versioned.value)
    }
}
