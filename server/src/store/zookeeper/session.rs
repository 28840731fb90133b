//! The way to ZooKeeper: one client at a time, made anew for ever, and the watch on everything.
//!
//! The crate reconnects by itself and keeps its session, but it loses persistent watches then, and
//! ZooKeeper does not tell what happened meanwhile. So after each reconnect the watch is set again
//! and [`Change::Everything`] is said; so it is after a session's end. A reconnect that takes longer
//! than [`RECONNECT_MAX`] is ended for a new client: nothing of ours hangs on a session, and the
//! crate's pauses grow to seconds.

use super::ZooKeeperOptions;
use super::clock::{StoreClock, stamp};
use super::node::{CLOCK, Root, STORE};
use doyen_core::records::transaction::Change;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use zookeeper_client::{
    Acls, AddWatchMode, Client, CreateMode, Error, EventType, PersistentWatcher, SessionState,
    WatchedEvent,
};

/// A server that says nothing for so long is left for another one. Doubled up to the second after
/// each try that failed: an ensemble that is only slow is reached at last.
const SILENCE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(4));
/// The bound of one try to connect to all servers, and of setting up behind it.
const CONNECT_MAX: Duration = Duration::from_secs(15);
/// A reconnect that takes longer is ended for a new client.
const RECONNECT_MAX: Duration = Duration::from_secs(2);
/// Pauses between tries: doubled from the first to the last.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));
/// How often the store's time is asked for when no own write tells it.
const CLOCK_EVERY: Duration = Duration::from_secs(30);
/// Folders remembered as made; a forgotten one costs a request that changes nothing.
const FOLDERS_MAX: usize = 4_096;
/// The form of the store that this release reads and writes.
const FORMAT: u32 = 1;

/// How the store is reached now.
#[derive(Clone)]
pub(super) enum State {
    /// Out of reach.
    Away {
        /// Why.
        reason: String,
    },
    /// Connected, and the watch is set.
    Here(Arc<Link>),
}

/// A client in its session, and what calls need beside it.
pub(super) struct Link {
    pub(super) client: Client,
    pub(super) root: Arc<Root>,
    pub(super) store_id: String,
    pub(super) clock: Arc<StoreClock>,
    pub(super) folders: Arc<Folders>,
    is_closed: bool,
}

impl Link {
    /// What everything that we make is protected with.
    pub(super) const fn acls(&self) -> Acls<'static> {
        acls(self.is_closed)
    }
}

const fn acls(is_closed: bool) -> Acls<'static> {
    if is_closed {
        Acls::creator_all()
    } else {
        Acls::anyone_all()
    }
}

/// Folders that were seen; they may be gone since.
#[derive(Debug, Default)]
pub(super) struct Folders(Mutex<BTreeSet<String>>);

impl Folders {
    pub(super) fn knows(&self, path: &str) -> bool {
        self.set().contains(path)
    }

    pub(super) fn learn(&self, path: &str) {
        let mut set = self.set();
        if set.len() >= FOLDERS_MAX {
            set.clear();
        }
        set.insert(path.to_owned());
    }

    pub(super) fn forget(&self, paths: &BTreeSet<String>) {
        self.set().retain(|path| !paths.contains(path));
    }

    fn set(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The content of the node of the store's id.
#[derive(Debug, Serialize, Deserialize)]
struct StoreMark {
    id: String,
    format: u32,
}

/// Keeps the store reached until nobody uses it any more.
pub(super) struct Session {
    pub(super) options: ZooKeeperOptions,
    pub(super) root: Arc<Root>,
    pub(super) state: watch::Sender<State>,
    pub(super) changes: broadcast::Sender<Change>,
    pub(super) clock: Arc<StoreClock>,
    pub(super) folders: Arc<Folders>,
}

impl Session {
    /// Connects and serves, again and again, until the last sender of `users` is dropped; nothing is
    /// ever sent through it.
    pub(super) async fn run(self, mut users: mpsc::Receiver<()>) {
        let (mut pause, mut silence) = (PAUSE.0, SILENCE.0);
        loop {
            let connected = tokio::select! {
                biased;
                _ = users.recv() => return,
                connected = timeout(CONNECT_MAX, self.connect(silence)) => connected,
            };
            let reason = match connected {
                Ok(Ok((client, watcher, store_id))) => {
                    (pause, silence) = (PAUSE.0, SILENCE.0);
                    match self.serve(client, watcher, store_id, &mut users).await {
                        Some(reason) => reason,
                        None => return,
                    }
                }
                Ok(Err(reason)) => reason,
                Err(_) => format!(
                    "ZooKeeper at {} does not answer within {} s",
                    self.options.servers,
                    CONNECT_MAX.as_secs()
                ),
            };
            self.away(reason);
            tokio::select! {
                biased;
                _ = users.recv() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(PAUSE.1);
            silence = (silence * 2).min(SILENCE.1);
        }
    }

    /// Says why the store is out of reach; logged when that changes.
    fn away(&self, reason: String) {
        let is_news =
            !matches!(&*self.state.borrow(), State::Away { reason: said } if *said == reason);
        if is_news {
            tracing::warn!("the ZooKeeper store is away: {reason}");
            self.state.send_replace(State::Away { reason });
        }
    }

    fn here(&self, client: &Client, store_id: &str) {
        let link = Link {
            client: client.clone(),
            root: Arc::clone(&self.root),
            store_id: store_id.to_owned(),
            clock: Arc::clone(&self.clock),
            folders: Arc::clone(&self.folders),
            is_closed: self.options.digest.is_some(),
        };
        if matches!(&*self.state.borrow(), State::Away { .. }) {
            tracing::info!(session = %client.session_id(), "the ZooKeeper store is reached");
        }
        self.state.send_replace(State::Here(Arc::new(link)));
        self.changed(Change::Everything);
    }

    /// Tells watchers; there may be none.
    fn changed(&self, change: Change) {
        let _ = self.changes.send(change);
    }

    async fn connect(
        &self,
        silence: Duration,
    ) -> Result<(Client, PersistentWatcher, String), String> {
        let mut connector = Client::connector()
            .with_session_timeout(self.options.session_timeout)
            .with_connection_timeout(silence)
            .with_fail_eagerly();
        if let Some(digest) = &self.options.digest {
            connector = connector.with_auth("digest", digest.bytes());
        }
        let servers = &self.options.servers;
        let client = connector
            .connect(servers)
            .await
            .map_err(|error| match error {
                Error::NoHosts | Error::Timeout => format!(
                    "no ZooKeeper server of {servers} takes a session: none listens there, or they \
                 have no quorum; see `spark.jobserver.zookeeperdao.connection-string`"
                ),
                Error::AuthFailed => format!("ZooKeeper at {servers} refuses our credentials"),
                other => format!("ZooKeeper at {servers}: {other}"),
            })?;
        let (watcher, store_id) = self.prepare(&client).await?;
        Ok((client, watcher, store_id))
    }

    /// Sets the watch, makes what must be there, and learns the store's id and time.
    async fn prepare(&self, client: &Client) -> Result<(PersistentWatcher, String), String> {
        let watcher = client
            .watch(self.root.path(), AddWatchMode::PersistentRecursive)
            .await
            .map_err(|error| match error {
                Error::Unimplemented => format!(
                    "ZooKeeper at {} is older than 3.6: it has no recursive watches, which Doyen \
                     needs; upgrade it to 3.6 or later",
                    self.options.servers
                ),
                other => self.trouble("watching", &other),
            })?;
        if self.root.path() != "/" {
            let options = CreateMode::Persistent.with_acls(acls(self.options.digest.is_some()));
            let made = client.mkdir(self.root.path(), &options).await;
            made.map_err(|error| match error {
                Error::NoNode => format!(
                    "the chroot of `{}` does not exist in ZooKeeper: create it, or correct \
                     `spark.jobserver.zookeeperdao.connection-string`",
                    self.options.servers
                ),
                other => self.trouble("making", &other),
            })?;
        }
        let store_id = self.store_id(client).await?;
        self.ask_time(client)
            .await
            .map_err(|error| self.trouble("writing into", &error))?;
        Ok((watcher, store_id))
    }

    fn trouble(&self, doing: &str, error: &Error) -> String {
        let (dir, servers) = (self.root.path(), &self.options.servers);
        match error {
            Error::NoAuth => format!(
                "{doing} {dir} of ZooKeeper at {servers} is not allowed to us: another user made \
                 it; give the digest of that user"
            ),
            Error::QuotaExceeded => {
                format!("{doing} {dir} of ZooKeeper at {servers}: its quota is used up")
            }
            other => format!("{doing} {dir} of ZooKeeper at {servers}: {other}"),
        }
    }

    /// Reads the store's id; the first process that comes makes it.
    async fn store_id(&self, client: &Client) -> Result<String, String> {
        let path = self.root.own(STORE);
        let data = match client.get_data(&path).await {
            Err(Error::NoNode) => {
                let mark = StoreMark {
                    id: format!("zookeeper-{}", uuid::Uuid::new_v4().simple()),
                    format: FORMAT,
                };
                let text = serde_json::to_vec(&mark).unwrap_or_default();
                let options = CreateMode::Persistent.with_acls(acls(self.options.digest.is_some()));
                match client.create(&path, &text, &options).await {
                    Ok(_) => Ok((text, None)),
                    Err(Error::NodeExists) => client
                        .get_data(&path)
                        .await
                        .map(|(data, stat)| (data, Some(stat))),
                    Err(error) => Err(error),
                }
            }
            other => other.map(|(data, stat)| (data, Some(stat))),
        };
        let (data, _) = data.map_err(|error| self.trouble("reading", &error))?;
        let mark: StoreMark = serde_json::from_slice(&data)
            .map_err(|error| format!("node {path} of ZooKeeper is not Doyen's: {error}"))?;
        if mark.format > FORMAT {
            return Err(format!(
                "the store in {} of ZooKeeper has format {}, and this release knows formats up to \
                 {FORMAT}: run the release that made it, or a newer one",
                self.root.path(),
                mark.format
            ));
        }
        Ok(mark.id)
    }

    /// Writes the clock's node: ZooKeeper stamps the write.
    async fn ask_time(&self, client: &Client) -> Result<(), Error> {
        let path = self.root.own(CLOCK);
        let stat = match client.set_data(&path, b"", None).await {
            Err(Error::NoNode) => {
                let options = CreateMode::Persistent.with_acls(acls(self.options.digest.is_some()));
                match client.create(&path, b"", &options).await {
                    Ok(_) | Err(Error::NodeExists) => {}
                    Err(error) => return Err(error),
                }
                client.set_data(&path, b"", None).await?
            }
            other => other?,
        };
        self.clock.stamped(stamp(stat.mtime));
        Ok(())
    }

    /// Serves one client until it is of no use any more: says why, or `None` when nobody uses the
    /// store.
    async fn serve(
        &self,
        client: Client,
        mut watcher: PersistentWatcher,
        store_id: String,
        users: &mut mpsc::Receiver<()>,
    ) -> Option<String> {
        self.here(&client, &store_id);
        let mut clock_at = Instant::now() + CLOCK_EVERY;
        // When a reconnect has taken too long.
        let mut give_up = None;
        loop {
            let end = give_up.unwrap_or_else(|| Instant::now() + CLOCK_EVERY);
            tokio::select! {
                biased;
                _ = users.recv() => return None,
                event = watcher.changed() => match self.noted(&event) {
                    Noted::Nothing => {}
                    Noted::Lost => {
                        give_up.get_or_insert(Instant::now() + RECONNECT_MAX);
                        self.away("the connection to ZooKeeper broke".to_owned());
                    }
                    Noted::Back => match timeout(RECONNECT_MAX, self.prepare(&client)).await {
                        Ok(Ok((again, id))) => {
                            // The old watcher goes after the new one is there, so that the crate
                            // does not take the watch off the server.
                            watcher = again;
                            give_up = None;
                            self.here(&client, &id);
                        }
                        Ok(Err(reason)) => return Some(reason),
                        Err(_) => return Some("ZooKeeper hangs since a reconnect".to_owned()),
                    },
                    Noted::Over(reason) => return Some(reason),
                },
                () = sleep_until(end), if give_up.is_some() => {
                    return Some("reconnecting to ZooKeeper takes too long".to_owned());
                }
                () = sleep_until(clock_at) => {
                    clock_at = Instant::now() + CLOCK_EVERY;
                    // What fails here fails louder elsewhere.
                    let _ = timeout(RECONNECT_MAX, self.ask_time(&client)).await;
                }
            }
        }
    }

    fn noted(&self, event: &WatchedEvent) -> Noted {
        if event.event_type != EventType::Session {
            if let Some(key) = self.root.key(&event.path) {
                self.changed(Change::Record(key));
            }
            return Noted::Nothing;
        }
        match event.session_state {
            SessionState::Disconnected => Noted::Lost,
            SessionState::SyncConnected | SessionState::ConnectedReadOnly => Noted::Back,
            SessionState::Expired => Noted::Over("the session expired".to_owned()),
            SessionState::AuthFailed => Noted::Over("ZooKeeper refuses our credentials".to_owned()),
            SessionState::Closed => Noted::Over("the session was closed".to_owned()),
        }
    }
}

/// What an event means for the way to the store.
enum Noted {
    Nothing,
    Lost,
    Back,
    Over(String),
}
