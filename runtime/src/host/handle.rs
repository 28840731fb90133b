//! What the rest of the program holds of a process: it asks, looks and listens.

use super::task::Request;
use doyen_core::identity::JobId;
use doyen_core::input::{Command, NewCall, NewJob, RequestId};
use doyen_core::output::{Answer, ClusterEvent};
use doyen_core::process::ClusterView;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, broadcast, mpsc, oneshot, watch};

/// Asks a process things. Clones are cheap.
#[derive(Clone)]
pub struct HostHandle {
    pub(super) requests: mpsc::Sender<Request>,
    pub(super) numbers: Arc<AtomicU64>,
    pub(super) dropped: Arc<Dropped>,
    pub(super) leave: Arc<Notify>,
    pub(super) view: watch::Receiver<Arc<ClusterView>>,
    pub(super) events: broadcast::Sender<ClusterEvent>,
}

/// The requests whose callers are gone. At most as many as wait, so it needs no further bound.
#[derive(Default)]
pub(super) struct Dropped {
    ids: Mutex<Vec<RequestId>>,
    some: Notify,
}

impl Dropped {
    fn push(&self, id: RequestId) {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.push(id);
        drop(ids);
        self.some.notify_one();
    }

    /// Waits until there are some.
    pub(super) async fn wait(&self) {
        self.some.notified().await;
    }

    /// Takes them.
    pub(super) fn take(&self) -> Vec<RequestId> {
        std::mem::take(&mut *self.ids.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Says that its caller is gone, unless the answer came first.
struct Guard<'a> {
    dropped: &'a Dropped,
    id: Option<RequestId>,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            self.dropped.push(id);
        }
    }
}

fn stopping() -> Answer {
    Answer::NotReady {
        reason: "this process is stopping".into(),
    }
}

impl HostHandle {
    /// Makes a call that changes contexts; waits for its answer as long as core holds it. Dropping
    /// the future forgets the answer, not the call.
    pub async fn call(&self, call: NewCall) -> Answer {
        self.ask(|request| Command::Call { request, call }).await
    }

    /// Submits a job.
    pub async fn submit(&self, job: NewJob) -> Answer {
        self.ask(|request| Command::Submit { request, job }).await
    }

    /// Kills a job.
    pub async fn kill(&self, job: JobId) -> Answer {
        self.ask(|request| Command::KillJob { request, job }).await
    }

    /// Tells the process to leave the cluster in order and stop (S3). Returns at once.
    pub fn leave(&self) {
        self.leave.notify_one();
    }

    /// What the process knew of the cluster at most 250 ms ago; what it made an event of shows at
    /// once.
    #[must_use]
    pub fn view(&self) -> Arc<ClusterView> {
        self.view.borrow().clone()
    }

    /// Follows the view.
    #[must_use]
    pub fn watch_view(&self) -> watch::Receiver<Arc<ClusterView>> {
        self.view.clone()
    }

    /// What the process knows of the cluster now, everything included that it was told before;
    /// the last view when it has stopped.
    pub async fn exact_view(&self) -> Arc<ClusterView> {
        let (answer, answered) = oneshot::channel();
        if self.requests.send(Request::View { answer }).await.is_ok()
            && let Ok(view) = answered.await
        {
            return view;
        }
        self.view()
    }

    /// What happens from now on. A receiver that is 1,024 events behind loses the oldest.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<ClusterEvent> {
        self.events.subscribe()
    }

    /// The number that the next request of this process gets, for a simulator that shows requests by
    /// their numbers.
    #[cfg(madsim)]
    #[must_use]
    pub fn next_request(&self) -> u64 {
        self.numbers.load(Ordering::Relaxed)
    }

    async fn ask(&self, command: impl FnOnce(RequestId) -> Command) -> Answer {
        let id = RequestId(self.numbers.fetch_add(1, Ordering::Relaxed));
        let (answer, answered) = oneshot::channel();
        let request = Request::Command {
            id,
            command: Box::new(command(id)),
            answer,
        };
        if self.requests.send(request).await.is_err() {
            return stopping();
        }
        let mut guard = Guard {
            dropped: &self.dropped,
            id: Some(id),
        };
        let answer = answered.await;
        guard.id = None;
        answer.unwrap_or_else(|_| stopping())
    }
}
