//! The store as its users see it: each call bounded in time, and in number.
//!
//! | when | a commit becomes | a read becomes |
//! | --- | --- | --- |
//! | not sent when the call's time is over | `NotSent` | `Failed` |
//! | sent, and the connection breaks | `Unknown` | asked again |
//! | sent, no answer in time | `Unknown` | `Failed` |

use super::clock::StoreClock;
use super::multi;
use super::node::Root;
use super::read::{ReadError, read};
use super::session::{Folders, Link, Session, State};
use super::{ZooKeeperError, ZooKeeperOptions};
use async_trait::async_trait;
use doyen_core::records::model::over_bounds;
use doyen_core::records::transaction::{Change, CommitOutcome, Query, ReadOutcome, Transaction};
use doyen_runtime::store::{Changes, MetaDataDao};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout, timeout_at};

/// Commits, and reads, that may be under way at once. One that nobody waits for any more counts
/// until ZooKeeper answers it or the connection breaks, so the crate's queues are bounded by this.
const OPEN_MAX: usize = 256;
/// Events that a watcher may be behind before it is told [`Change::Everything`].
const EVENTS_MAX: usize = 1024;
/// Pause before a read is asked again on a connection that is said to be there.
const AGAIN: Duration = Duration::from_millis(20);

/// The store in ZooKeeper. Clones share one session.
#[derive(Clone)]
pub struct ZooKeeperStore {
    state: watch::Receiver<State>,
    changes: broadcast::Sender<Change>,
    commits: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    store_call: Duration,
    _user: mpsc::Sender<()>,
}

impl ZooKeeperStore {
    /// Opens the store; must be called on a tokio runtime with time and I/O. Returns before ZooKeeper
    /// is reached; it is dialled for ever.
    ///
    /// # Errors
    /// When the options cannot be meant: see [`ZooKeeperError`].
    pub fn open(options: ZooKeeperOptions) -> Result<Self, ZooKeeperError> {
        check_servers(&options.servers)?;
        let root = Arc::new(Root::new(&options.dir)?);
        let (tell, state) = watch::channel(State::Away {
            reason: format!("ZooKeeper at {} was not reached yet", options.servers),
        });
        let changes = broadcast::Sender::new(EVENTS_MAX);
        // Nothing is sent: it only tells that the last clone is gone.
        let (user, users) = mpsc::channel(1);
        let store_call = options.store_call;
        let session = Session {
            options,
            root,
            state: tell,
            changes: changes.clone(),
            clock: Arc::new(StoreClock::default()),
            folders: Arc::new(Folders::default()),
        };
        tokio::spawn(session.run(users));
        Ok(Self {
            state,
            changes,
            commits: Arc::new(Semaphore::new(OPEN_MAX)),
            reads: Arc::new(Semaphore::new(OPEN_MAX)),
            store_call,
            _user: user,
        })
    }

    /// The way to the store, once it is there.
    async fn link(&self) -> Option<Arc<Link>> {
        let mut state = self.state.clone();
        let here = state.wait_for(|state| matches!(state, State::Here(_)));
        match &*here.await.ok()? {
            State::Here(link) => Some(Arc::clone(link)),
            State::Away { .. } => None,
        }
    }

    /// Why there was no answer.
    fn no_answer(&self) -> String {
        match &*self.state.borrow() {
            State::Away { reason } => reason.clone(),
            State::Here(_) => {
                let ms = self.store_call.as_millis();
                format!("ZooKeeper gave no answer within {ms} ms")
            }
        }
    }

    async fn read_at_last(&self, query: &Query, end: Instant) -> ReadOutcome {
        loop {
            let Some(link) = self.link().await else {
                return ReadOutcome::Failed {
                    reason: self.no_answer(),
                };
            };
            match read(&link, query).await {
                Ok(snapshot) => return ReadOutcome::Snapshot(snapshot),
                Err(ReadError::Refused(reason)) => return ReadOutcome::Failed { reason },
                Err(ReadError::Broken(reason)) if Instant::now() + AGAIN >= end => {
                    return ReadOutcome::Failed { reason };
                }
                Err(ReadError::Broken(_)) => tokio::time::sleep(AGAIN).await,
            }
        }
    }
}

/// The crate's own check comes too late: after the first try to connect.
fn check_servers(servers: &str) -> Result<(), ZooKeeperError> {
    let bad = |reason: &str| ZooKeeperError::Servers {
        servers: servers.to_owned(),
        reason: reason.to_owned(),
    };
    let hosts = servers.split_once('/').map_or(servers, |(hosts, _)| hosts);
    for server in hosts.split(',') {
        let (host, port) = server
            .rsplit_once(':')
            .ok_or_else(|| bad(&format!("`{server}` has no port")))?;
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err(bad(&format!("`{server}` has no host")));
        }
        if port.parse::<u16>().ok().is_none_or(|port| port == 0) {
            return Err(bad(&format!("`{port}` is no port")));
        }
    }
    match servers.split_once('/') {
        Some((_, chroot)) if chroot.is_empty() || chroot.ends_with('/') || chroot.contains(',') => {
            Err(bad("the chroot is a path behind the last server"))
        }
        _ => Ok(()),
    }
}

#[async_trait]
impl MetaDataDao for ZooKeeperStore {
    async fn commit(&self, transaction: Transaction) -> CommitOutcome {
        if let Some(reason) = over_bounds(&transaction) {
            return CommitOutcome::NotSent { reason };
        }
        let is_sent = Arc::new(AtomicBool::new(false));
        let call = async {
            let permit = Arc::clone(&self.commits).acquire_owned().await.ok()?;
            let link = self.link().await?;
            let (answer, outcome) = oneshot::channel();
            is_sent.store(true, Ordering::SeqCst);
            // A task of its own: the permit is held until ZooKeeper has answered, also when the
            // caller's time is over before.
            tokio::spawn(async move {
                let outcome = multi::commit(&link, &transaction, || !answer.is_closed()).await;
                let _ = answer.send(outcome);
                drop(permit);
            });
            outcome.await.ok()
        };
        match timeout(self.store_call, call).await {
            Ok(Some(outcome)) => outcome,
            Ok(None) | Err(_) if is_sent.load(Ordering::SeqCst) => CommitOutcome::Unknown,
            Ok(None) | Err(_) => CommitOutcome::NotSent {
                reason: self.no_answer(),
            },
        }
    }

    async fn read(&self, query: Query) -> ReadOutcome {
        let end = Instant::now() + self.store_call;
        let call = async {
            let permit = Arc::clone(&self.reads).acquire_owned().await.ok()?;
            let (answer, outcome) = oneshot::channel();
            let store = self.clone();
            tokio::spawn(async move {
                let mut answer = answer;
                let outcome = tokio::select! {
                    biased;
                    outcome = store.read_at_last(&query, end) => Some(outcome),
                    () = store.forgotten(&mut answer) => None,
                };
                if let Some(outcome) = outcome {
                    let _ = answer.send(outcome);
                }
                drop(permit);
            });
            outcome.await.ok()
        };
        match timeout_at(end, call).await {
            Ok(Some(outcome)) => outcome,
            Ok(None) | Err(_) => ReadOutcome::Failed {
                reason: self.no_answer(),
            },
        }
    }

    async fn watch(&self) -> Changes {
        crate::store::watch(&self.changes, || {
            matches!(*self.state.borrow(), State::Here(_))
        })
    }

    async fn store_id(&self) -> Option<String> {
        let link = timeout(self.store_call, self.link()).await.ok()??;
        Some(link.store_id.clone())
    }
}

impl ZooKeeperStore {
    /// Waits until nobody wants a read's answer and the connection that may still carry its requests
    /// is gone: until then it counts.
    async fn forgotten(&self, answer: &mut oneshot::Sender<ReadOutcome>) {
        answer.closed().await;
        let mut state = self.state.clone();
        let _ = state
            .wait_for(|state| matches!(state, State::Away { .. }))
            .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_that_cannot_be_meant_are_refused_with_an_example() {
        for good in ["z:1", "z1:2181,z2:2181", "10.0.0.1:2181/a/b", "[::1]:2181"] {
            check_servers(good).unwrap();
        }
        for bad in [
            "",
            "z",
            "z:x",
            "z:0",
            ":1",
            "z:1,",
            "z:1/",
            "z:1/a/",
            "z:1/a,y:2",
            "a b:1",
        ] {
            let error = check_servers(bad).unwrap_err().to_string();
            assert!(error.contains("z1:2181,z2:2181"), "{error}");
        }
    }
}
