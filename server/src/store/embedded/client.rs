//! The client of the embedded store: one connection per process, made anew for ever.
//!
//! | when | a commit becomes | a read becomes |
//! | --- | --- | --- |
//! | not written when the call's time is over | `NotSent` | `Failed` |
//! | written, and the connection breaks | `Unknown` | asked again |
//! | written, no answer in time | `Unknown` | `Failed` |

mod conversation;

use super::StoreError;
use super::link::{Dialled, Dialler, pause};
use super::place::Place;
use async_trait::async_trait;
use conversation::{Closed, Conversation};
use doyen_core::records::model::over_bounds;
use doyen_core::records::transaction::{Change, CommitOutcome, Query, ReadOutcome, Transaction};
use doyen_runtime::store::{Changes, MetaDataDao};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::timeout;

/// The bound of one store call (protocol.md, Times).
const STORE_CALL: Duration = Duration::from_millis(800);
/// Calls that wait to be written; more wait within their time in their callers.
const ASKS_MAX: usize = 512;
/// Events that a watcher may be behind before it is told [`Change::Everything`].
const EVENTS_MAX: usize = 1024;

/// The embedded store of a data directory (design.md 7). Clones share one connection.
#[derive(Clone, Debug)]
pub struct EmbeddedStore {
    asks: mpsc::Sender<Ask>,
    changes: broadcast::Sender<Change>,
    state: watch::Receiver<State>,
}

/// How the connection is.
#[derive(Clone, Debug)]
enum State {
    /// Out of reach.
    Away {
        /// Why.
        reason: String,
    },
    /// Connected, and events come.
    Here {
        /// The store's id.
        store_id: String,
    },
}

/// One call on its way to the connection.
#[derive(Debug)]
enum Ask {
    Commit {
        transaction: Transaction,
        permit: Permit,
        answer: oneshot::Sender<CommitOutcome>,
    },
    Read {
        query: Query,
        answer: oneshot::Sender<ReadOutcome>,
    },
}

impl Ask {
    /// Whether nobody waits for the answer any more.
    fn is_forgotten(&self) -> bool {
        match self {
            Self::Commit { answer, .. } => answer.is_closed(),
            Self::Read { answer, .. } => answer.is_closed(),
        }
    }

    /// Answers a call that cannot be written.
    fn refuse(self, reason: String) {
        match self {
            Self::Commit { answer, .. } => {
                let _ = answer.send(CommitOutcome::NotSent { reason });
            }
            Self::Read { answer, .. } => {
                let _ = answer.send(ReadOutcome::Failed { reason });
            }
        }
    }
}

/// Decides between the caller, whose time is over, and the connection, which would write a commit:
/// whoever takes it first. So *not sent* is certain.
#[derive(Clone, Debug, Default)]
struct Permit(Arc<AtomicBool>);

impl Permit {
    fn take(&self) -> bool {
        !self.0.swap(true, Ordering::SeqCst)
    }

    /// Given back by the connection: it has not written the commit after all.
    fn give_back(&self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl EmbeddedStore {
    /// Opens the store of a data directory; must be called on a tokio runtime with time and I/O.
    ///
    /// `program` is the `doyen` program, started as `doyen store` when no store process serves the
    /// directory. Returns before the store is reached; it is dialled for ever.
    ///
    /// # Errors
    /// When a store cannot lie there: see [`StoreError`].
    pub fn open(data_dir: &Path, program: PathBuf) -> Result<Self, StoreError> {
        let place = Place::open(data_dir)?;
        let program = match program.components().count() {
            // A bare name is looked up in PATH.
            1 => program,
            _ => std::path::absolute(&program)
                .map_err(StoreError::file(&program, "finding its absolute path"))?,
        };
        let (asks, waiting) = mpsc::channel(ASKS_MAX);
        let changes = broadcast::Sender::new(EVENTS_MAX);
        let dialler = Dialler::new(place, program);
        let (tell, state) = watch::channel(State::Away {
            reason: dialler.reason.clone(),
        });
        let conversation = Conversation::new(waiting, changes.clone());
        tokio::spawn(stay_connected(dialler, conversation, tell));
        Ok(Self {
            asks,
            changes,
            state,
        })
    }

    /// Why there was no answer.
    fn no_answer(&self) -> String {
        let ms = STORE_CALL.as_millis();
        match &*self.state.borrow() {
            State::Away { reason } => format!("the embedded store is away: {reason}"),
            State::Here { .. } => format!("the embedded store gave no answer within {ms} ms"),
        }
    }
}

#[async_trait]
impl MetaDataDao for EmbeddedStore {
    async fn commit(&self, transaction: Transaction) -> CommitOutcome {
        if let Some(reason) = over_bounds(&transaction) {
            return CommitOutcome::NotSent { reason };
        }
        let permit = Permit::default();
        let (answer, outcome) = oneshot::channel();
        let ask = Ask::Commit {
            transaction,
            permit: permit.clone(),
            answer,
        };
        let call = async {
            self.asks.send(ask).await.ok()?;
            outcome.await.ok()
        };
        match timeout(STORE_CALL, call).await {
            Ok(Some(outcome)) => outcome,
            Ok(None) | Err(_) if permit.take() => CommitOutcome::NotSent {
                reason: self.no_answer(),
            },
            Ok(None) | Err(_) => CommitOutcome::Unknown,
        }
    }

    async fn read(&self, query: Query) -> ReadOutcome {
        let (answer, outcome) = oneshot::channel();
        let call = async {
            self.asks.send(Ask::Read { query, answer }).await.ok()?;
            outcome.await.ok()
        };
        match timeout(STORE_CALL, call).await {
            Ok(Some(outcome)) => outcome,
            Ok(None) | Err(_) => ReadOutcome::Failed {
                reason: self.no_answer(),
            },
        }
    }

    async fn watch(&self) -> Changes {
        crate::store::watch(&self.changes, || {
            matches!(*self.state.borrow(), State::Here { .. })
        })
    }

    async fn store_id(&self) -> Option<String> {
        let mut state = self.state.clone();
        let here = state.wait_for(|state| matches!(state, State::Here { .. }));
        match &*timeout(STORE_CALL, here).await.ok()?.ok()? {
            State::Here { store_id } => Some(store_id.clone()),
            State::Away { .. } => None,
        }
    }
}

/// Connects and talks, again and again, until the last clone of the client is dropped.
async fn stay_connected(
    mut dialler: Dialler,
    mut conversation: Conversation,
    tell: watch::Sender<State>,
) {
    while !conversation.is_unused() {
        let link = match dialler.dial().await {
            Dialled::Link(link) => *link,
            Dialled::Later(later) => {
                let reason = dialler.reason.clone();
                tell.send_replace(State::Away { reason });
                conversation.drop_forgotten();
                pause(later).await;
                continue;
            }
        };
        let process = link.process.clone();
        tell.send_replace(State::Here {
            store_id: link.store_id.clone(),
        });
        conversation.changed(Change::Everything);
        let closed = conversation.run(link).await;
        let reason = closed.to_string();
        if matches!(closed, Closed::Hung) {
            dialler.kill(&process, &reason);
        }
        if !matches!(closed, Closed::Unused) {
            tracing::info!("the embedded store is away: {reason}");
        }
        dialler.reason.clone_from(&reason);
        tell.send_replace(State::Away { reason });
        conversation.settle();
    }
}
