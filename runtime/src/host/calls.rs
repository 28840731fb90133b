//! Store calls under way: each a task of its own, bounded in time, each answered exactly once.

use crate::platform::{Id, JoinSet, timeout};
use crate::store::MetaDataDao;
use doyen_core::input::{Input, Ticket};
use doyen_core::records::transaction::{CommitOutcome, Query, ReadOutcome, Transaction};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone, Copy)]
enum Kind {
    Commit,
    Read,
}

/// The store calls of one life.
pub(super) struct StoreCalls {
    metadata: Arc<dyn MetaDataDao>,
    bound: Duration,
    tasks: JoinSet<Input>,
    /// What to answer for a call whose task died.
    asked: HashMap<Id, (Ticket, Kind)>,
}

impl StoreCalls {
    pub(super) fn new(metadata: Arc<dyn MetaDataDao>, bound: Duration) -> Self {
        Self {
            metadata,
            bound,
            tasks: JoinSet::new(),
            asked: HashMap::new(),
        }
    }

    /// Forgets all calls under way; their tickets mean nothing to the next life.
    pub(super) fn forget(&mut self) {
        self.tasks = JoinSet::new();
        self.asked.clear();
    }

    /// Begins a commit. An answer that does not come in time is the third outcome (W4).
    pub(super) fn commit(&mut self, ticket: Ticket, transaction: Transaction) {
        let (metadata, bound) = (self.metadata.clone(), self.bound);
        let task = self.tasks.spawn(async move {
            let answer = timeout(bound, metadata.commit(transaction)).await;
            let outcome = answer.unwrap_or(CommitOutcome::Unknown);
            Input::Committed { ticket, outcome }
        });
        self.asked.insert(task.id(), (ticket, Kind::Commit));
    }

    /// Begins a read.
    pub(super) fn read(&mut self, ticket: Ticket, query: Query) {
        let (metadata, bound) = (self.metadata.clone(), self.bound);
        let task = self.tasks.spawn(async move {
            let answer = timeout(bound, metadata.read(query)).await;
            let outcome = answer.unwrap_or_else(|_| ReadOutcome::Failed {
                reason: format!("no answer within {} ms", bound.as_millis()),
            });
            Input::Read { ticket, outcome }
        });
        self.asked.insert(task.id(), (ticket, Kind::Read));
    }

    /// The next answer; waits for ever when nothing was asked.
    pub(super) async fn next(&mut self) -> Input {
        loop {
            let Some(joined) = self.tasks.join_next_with_id().await else {
                return std::future::pending().await;
            };
            match joined {
                Ok((id, input)) => {
                    self.asked.remove(&id);
                    return input;
                }
                Err(error) => {
                    tracing::error!(%error, "a store call died");
                    if let Some((ticket, kind)) = self.asked.remove(&error.id()) {
                        return died(ticket, kind);
                    }
                }
            }
        }
    }
}

fn died(ticket: Ticket, kind: Kind) -> Input {
    match kind {
        Kind::Commit => Input::Committed {
            ticket,
            outcome: CommitOutcome::Unknown,
        },
        Kind::Read => Input::Read {
            ticket,
            outcome: ReadOutcome::Failed {
                reason: "the store call died".into(),
            },
        },
    }
}
