//! The `doyen store` process: one per data directory, serves its clients, ends when unused.

use super::StoreError;
use super::connection::{self, Serving};
use super::database::Database;
use super::frame::{ANSWER_BYTES_MAX, Answer, PROTOCOL, encode};
use super::log::Log;
use super::place::Place;
use super::process::ProcessMark;
use super::worker::{self, Frame, JOBS_MAX};
use std::fs::{self, File, Permissions, TryLockError};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

/// How long a store that nobody uses stays (protocol.md, Times).
pub const IDLE_EXIT: Duration = Duration::from_secs(30);

/// Clients at once: the servers and drivers of one host.
const CONNECTIONS_MAX: usize = 256;
/// Groups of events that a connection may be behind before it is told "everything".
const EVENTS_MAX: usize = 256;
/// How often the process looks whether its files are still its own.
const LOOK_AFTER_FILES: Duration = Duration::from_secs(5);
/// How long the commits in hand may take when the process is told to end.
const DRAIN: Duration = Duration::from_secs(2);

/// Why a store process ended in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Another process serves this data directory.
    AlreadyServed,
    /// No connection was open for the time given.
    Unused,
    /// It was told to.
    Signal,
    /// Its folder was removed or replaced.
    FolderGone,
}

/// The whole of `doyen store`: a session of its own, its runtime, [`serve`].
///
/// Exit codes: 0 ended in order, also when another one serves the directory; 1 failed.
#[must_use]
pub fn run_store(data_dir: &Path, idle_exit: Duration) -> ExitCode {
    // Fails for a leader of a process group, which a shell's job is: then it stays in its session.
    let _ = rustix::process::setsid();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let ended = match runtime {
        Ok(runtime) => runtime
            .block_on(serve(data_dir, idle_exit))
            .map_err(|e| e.to_string()),
        Err(e) => Err(format!("the store's runtime cannot start: {e}")),
    };
    match ended {
        Ok(Ended::AlreadyServed) => {
            let folder = data_dir.display();
            eprintln!("doyen store: another process serves `{folder}` already");
            ExitCode::SUCCESS
        }
        Ok(Ended::Unused | Ended::Signal | Ended::FolderGone) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("doyen store: {reason}");
            ExitCode::FAILURE
        }
    }
}

/// Serves the store of a data directory until nobody used it for `idle_exit`, or SIGTERM.
///
/// # Errors
/// What keeps it from serving, with the path; see [`StoreError`].
pub async fn serve(data_dir: &Path, idle_exit: Duration) -> Result<Ended, StoreError> {
    let place = Place::open(data_dir)?;
    let mut lock = place.open_lock()?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(Ended::AlreadyServed),
        Err(TryLockError::Error(e)) => {
            return Err(StoreError::file(&place.lock(), "locking")(e));
        }
    }
    let mark = ProcessMark::own();
    let mark = mark.map_err(StoreError::file(Path::new("/proc/self/stat"), "reading"))?;
    mark.write(&mut lock)
        .map_err(StoreError::file(&place.lock(), "writing"))?;
    let log = Arc::new(Log::open(place.log()));
    let database = Database::open(&place.database())?;
    log.line(&format!(
        "doyen store {} serves `{}`, store {}",
        env!("CARGO_PKG_VERSION"),
        place.folder().display(),
        database.store_id()
    ));
    let server = Server::start(place, lock, mark, database, log.clone())?;
    let ended = server.run(idle_exit).await;
    match &ended {
        Ok(ended) => log.line(&format!("ends: {ended:?}")),
        Err(e) => log.line(&format!("fails: {e}")),
    }
    ended
}

struct Server {
    place: Place,
    /// Held for the life of the process.
    lock: File,
    log: Arc<Log>,
    listener: UnixListener,
    hello: Frame,
    jobs: mpsc::Sender<worker::Job>,
    events: broadcast::Sender<Frame>,
    worker: oneshot::Receiver<Result<(), StoreError>>,
    stop: watch::Sender<bool>,
    clients: JoinSet<()>,
}

impl Server {
    fn start(
        place: Place,
        lock: File,
        process: ProcessMark,
        database: Database,
        log: Arc<Log>,
    ) -> Result<Self, StoreError> {
        let listener = listen(&place)?;
        let hello = Answer::Hello {
            protocol: PROTOCOL,
            store_id: database.store_id().to_owned(),
            process,
        };
        let hello = encode(&hello, ANSWER_BYTES_MAX).unwrap_or_default().into();
        let (jobs, work) = mpsc::channel(JOBS_MAX);
        let events = broadcast::Sender::new(EVENTS_MAX);
        let (done, worker) = oneshot::channel();
        let sender = events.clone();
        let thread = std::thread::Builder::new().name("database".to_owned());
        let path = place.database();
        thread
            .spawn(move || {
                let _ = done.send(worker::run(database, work, &sender));
            })
            .map_err(StoreError::file(&path, "starting its thread"))?;
        Ok(Self {
            place,
            lock,
            log,
            listener,
            hello,
            jobs,
            events,
            worker,
            stop: watch::Sender::new(false),
            clients: JoinSet::new(),
        })
    }

    async fn run(mut self, idle_exit: Duration) -> Result<Ended, StoreError> {
        let signals = |kind| {
            let signals = signal(kind);
            signals.map_err(StoreError::file(
                self.place.folder(),
                "listening for signals",
            ))
        };
        let mut terminate = signals(SignalKind::terminate())?;
        let mut interrupt = signals(SignalKind::interrupt())?;
        let mut look = interval(LOOK_AFTER_FILES);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut unused_until = Instant::now() + idle_exit;
        let ended = loop {
            tokio::select! {
                biased;
                _ = terminate.recv() => break Ended::Signal,
                _ = interrupt.recv() => break Ended::Signal,
                ended = &mut self.worker => return Err(self.database_ended(ended.ok())),
                Some(_) = self.clients.join_next() => unused_until = Instant::now() + idle_exit,
                _ = look.tick() => if !self.look_after_files()? {
                    break Ended::FolderGone;
                },
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => self.admit(stream),
                    Err(e) => {
                        // Out of files, most likely: a pause, else this loop is all that runs.
                        self.log.line(&format!("a connection was not accepted: {e}"));
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                () = sleep_until(unused_until), if self.clients.is_empty() => break Ended::Unused,
            }
        };
        self.end().await;
        Ok(ended)
    }

    /// Answers what was received, then lets the lock go with the process.
    async fn end(mut self) {
        let _ = self.stop.send(true);
        let drained = timeout(DRAIN, async {
            while self.clients.join_next().await.is_some() {}
        });
        if drained.await.is_err() {
            self.log
                .line("some clients did not take their answers in time");
        }
        self.clients.shutdown().await;
        drop(self.jobs);
        // The thread closes the database, which moves the WAL into it.
        let _ = timeout(DRAIN, self.worker).await;
        let _ = fs::remove_file(self.place.socket());
        drop(self.lock);
    }

    fn admit(&mut self, stream: UnixStream) {
        if self.clients.len() >= CONNECTIONS_MAX {
            self.log.line("a connection is refused: too many");
            let reason = format!("the embedded store serves {CONNECTIONS_MAX} clients already");
            let refusal = encode(&Answer::Refused { reason }, ANSWER_BYTES_MAX);
            // The socket's own buffer takes it at once.
            let _ = stream.try_write(&refusal.unwrap_or_default());
            return;
        }
        let serving = Serving {
            hello: self.hello.clone(),
            jobs: self.jobs.clone(),
            events: self.events.subscribe(),
            stop: self.stop.subscribe(),
        };
        let log = self.log.clone();
        self.clients.spawn(async move {
            if let Err(e) = connection::serve(stream, serving).await {
                log.line(&format!("a connection ended: {e}"));
            }
        });
    }

    fn database_ended(&self, how: Option<Result<(), StoreError>>) -> StoreError {
        let _ = fs::remove_file(self.place.socket());
        match how {
            Some(Err(e)) => e,
            // Its senders live here, so without an error it can only have panicked.
            Some(Ok(())) | None => StoreError::Database {
                path: self.place.database(),
                reason: "its thread ended".to_owned(),
            },
        }
    }

    /// Whether the folder is still the one that this process locked; makes the socket anew when
    /// somebody removed it.
    fn look_after_files(&mut self) -> Result<bool, StoreError> {
        let inode = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        let held = self.lock.metadata().map(inode).ok();
        if held.is_none() || fs::metadata(self.place.lock()).map(inode).ok() != held {
            return Ok(false);
        }
        if !fs::exists(self.place.socket()).unwrap_or(true) {
            self.log.line("the socket was removed; it is made anew");
            self.listener = listen(&self.place)?;
        }
        Ok(true)
    }
}

/// Makes the socket under another name and renames it, so that it is never seen half made.
fn listen(place: &Place) -> Result<UnixListener, StoreError> {
    let fresh = place.short("socket.new");
    let path = place.socket();
    let failed = |doing| StoreError::file(&path, doing);
    if fs::exists(&fresh).unwrap_or(false) {
        fs::remove_file(&fresh).map_err(failed("removing an old one"))?;
    }
    let listener = UnixListener::bind(&fresh).map_err(failed("binding"))?;
    fs::set_permissions(&fresh, Permissions::from_mode(0o600))
        .map_err(failed("setting its mode to 0600"))?;
    fs::rename(&fresh, &path).map_err(failed("renaming"))?;
    Ok(listener)
}
