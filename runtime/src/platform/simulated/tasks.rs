//! Tasks of the current node.

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

pub use madsim::task::JoinHandle;
pub(crate) use madsim::task::spawn;

/// Which task of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Id(u64);

/// A task of a set.
pub(crate) struct Spawned(Id);

impl Spawned {
    pub(crate) const fn id(&self) -> Id {
        self.0
    }
}

/// A task of a set came to no end of its own.
#[derive(Debug, thiserror::Error)]
#[error("the task was cancelled")]
pub(crate) struct Died(Id);

impl Died {
    pub(crate) const fn id(&self) -> Id {
        self.0
    }
}

struct Member<T> {
    id: Id,
    task: JoinHandle<T>,
}

impl<T> Future for Member<T> {
    type Output = Result<(Id, T), Died>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let id = self.id;
        let joined = Pin::new(&mut self.task).poll(cx);
        joined.map(|end| end.map(|value| (id, value)).map_err(|_| Died(id)))
    }
}

impl<T> Drop for Member<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Tasks that end with their set.
pub(crate) struct JoinSet<T> {
    members: FuturesUnordered<Member<T>>,
    last: u64,
}

impl<T: Send + 'static> JoinSet<T> {
    pub(crate) fn new() -> Self {
        Self {
            members: FuturesUnordered::new(),
            last: 0,
        }
    }

    pub(crate) fn spawn(&mut self, work: impl Future<Output = T> + Send + 'static) -> Spawned {
        self.last += 1;
        let id = Id(self.last);
        let task = spawn(work);
        self.members.push(Member { id, task });
        Spawned(id)
    }

    pub(crate) async fn join_next_with_id(&mut self) -> Option<Result<(Id, T), Died>> {
        self.members.next().await
    }

    pub(crate) fn try_join_next(&mut self) -> Option<Result<T, Died>> {
        let joined = self.members.next().now_or_never().flatten()?;
        Some(joined.map(|(_, value)| value))
    }
}

/// How many turns of all tasks are free before one has to let others run.
const TURNS: u32 = 128;

thread_local! {
    static TURN: Cell<u32> = const { Cell::new(0) };
}

/// Lets others run now and then: time passes only between the turns of tasks.
pub(crate) async fn consume_budget() {
    let turn = TURN.get().wrapping_add(1) % TURNS;
    TURN.set(turn);
    if turn == 0 {
        madsim::task::yield_now().await;
    }
}

/// Work beside the rest: a task, since a simulated process has as many processors as it wants.
pub(crate) struct Aside;

impl Aside {
    /// Starts it; never fails.
    #[expect(clippy::unnecessary_wraps, reason = "production's may fail")]
    pub(crate) fn start(
        _name: &str,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<Self> {
        spawn(work);
        Ok(Self)
    }
}
