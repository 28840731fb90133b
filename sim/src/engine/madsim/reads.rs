//! Clients' reads, as the HTTP layer of a server makes them: in its process, from the store.

use super::store::Client;
use super::world::World;
use crate::trace::seen::NodeId;
use crate::world::clients::Reading;
use crate::world::reads::Next;
use doyen_core::identity::JobId;
use doyen_core::output::Answer;
use doyen_core::records::decode;
use doyen_core::records::job::{JobRecord, JobState};
use doyen_core::records::key::{self, Key, Layout};
use doyen_core::records::transaction::{ReadOutcome, Stored};
use doyen_runtime::host::HostHandle;
use doyen_runtime::simulated::timeout;
use doyen_runtime::store::MetaDataDao;
use madsim::runtime::Handle;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long a read waits for the store, each time.
const READ_DEADLINE: Duration = Duration::from_secs(1);

/// What came of a look at the store on a server.
pub(super) enum Looked {
    Found(Key, Option<Option<Stored>>),
    Kill(JobId),
    Answer(Answer),
}

impl World {
    /// Looks at the store, in the server's own process; `None` when that is gone.
    pub(super) async fn look(
        self: &Arc<Self>,
        node: NodeId,
        handle: &HostHandle,
        reading: Reading,
    ) -> Option<Looked> {
        let machine = self.with(|state| state.place(node).map(|place| place.machine))?;
        let (world, handle) = (self.clone(), handle.clone());
        let (done, looked) = oneshot::channel();
        Handle::current().get_node(machine)?.spawn(async move {
            let _ = done.send(world.look_there(node, &handle, reading).await);
        });
        looked.await.ok()
    }

    async fn look_there(
        self: Arc<Self>,
        node: NodeId,
        handle: &HostHandle,
        mut reading: Reading,
    ) -> Looked {
        let cluster = handle.view().cluster.clone();
        let kills = matches!(reading, Reading::Job { kills: true, .. });
        let Some(layout) = cluster.as_ref().map(Layout::new) else {
            return unread(kills, key::cluster());
        };
        let client = Client {
            world: self.clone(),
            node,
        };
        loop {
            let query = reading.query(&layout);
            let first = query.keys.first().cloned().unwrap_or_else(key::cluster);
            let outcome = timeout(READ_DEADLINE, client.read(query)).await;
            let Ok(ReadOutcome::Snapshot(found)) = outcome else {
                return unread(kills, first);
            };
            match reading.next(&layout, &found) {
                Next::Look(_) => {}
                Next::Found(key, stored) => {
                    return shown(handle, &reading, key, stored);
                }
            }
        }
    }
}

/// A read that failed, or that is answered from an older one.
fn unread(kills: bool, key: Key) -> Looked {
    if kills {
        Looked::Answer(Answer::Unknown)
    } else {
        Looked::Found(key, None)
    }
}

/// What a server makes of what it found.
fn shown(handle: &HostHandle, reading: &Reading, key: Key, stored: Option<Stored>) -> Looked {
    let job = stored.as_ref().and_then(|stored| {
        let job = decode::<JobRecord>(&key, "a job", stored).ok();
        job.map(|job| job.value)
    });
    // A refused job is not shown (J3).
    let refused = job
        .as_ref()
        .is_some_and(|job| matches!(job.state, JobState::Refused { .. }));
    if let Reading::Job {
        id, kills: true, ..
    } = reading
    {
        return match job {
            Some(job) if !refused && job.state.is_final() => {
                Looked::Answer(Answer::JobDone(Box::new(job)))
            }
            Some(_) if !refused => Looked::Kill(id.clone()),
            Some(_) | None => Looked::Answer(Answer::JobNotFound),
        };
    }
    // A server that is not ready marks its answers as stale (F8).
    let fresh = handle.view().ready;
    Looked::Found(key, fresh.then_some(stored.filter(|_| !refused)))
}
