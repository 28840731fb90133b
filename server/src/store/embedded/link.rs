//! A client's way to the store process: dials it, starts it when it is dead, kills it when it hangs.

use super::frame::{ANSWER_BYTES_MAX, Answer, PROTOCOL, take};
use super::log::{append, last_line};
use super::place::Place;
use super::process::ProcessMark;
use bytes::BytesMut;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// A store that answered nothing for so long is killed (design.md 7).
pub(super) const HUNG_AFTER: Duration = Duration::from_secs(2);
/// A store process that does not open its socket for so long is killed; recovery takes milliseconds.
const START_MAX: Duration = Duration::from_secs(10);
/// Pause between looks for the socket of a store that starts.
const LOOK_AGAIN: Duration = Duration::from_millis(4);
/// Clients that saw one store die wait a random part of this, so that few of them start one.
const HERD: Duration = Duration::from_millis(8);
/// Pauses after starts that failed: doubled from the first to the last.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// An open connection on which the store has spoken.
pub(super) struct Link {
    pub(super) stream: UnixStream,
    pub(super) store_id: String,
    pub(super) process: ProcessMark,
    /// What came behind the greeting.
    pub(super) received: BytesMut,
}

/// One try to reach the store.
pub(super) enum Dialled {
    /// Reached.
    Link(Box<Link>),
    /// Not yet; look again after this time.
    Later(Duration),
}

/// Reaches the store of one place again and again.
pub(super) struct Dialler {
    place: Place,
    program: PathBuf,
    /// A store process that this client started and whose socket is awaited.
    started: Option<Started>,
    /// Another live store process without a socket, and since when.
    silent: Option<(ProcessMark, Instant)>,
    /// The next look at a dead socket starts a store; see [`HERD`].
    is_second_look: bool,
    pause: Duration,
    /// Why the store is out of reach, for the reasons of outcomes.
    pub(super) reason: String,
}

struct Started {
    child: Child,
    since: Instant,
}

impl Dialler {
    pub(super) fn new(place: Place, program: PathBuf) -> Self {
        Self {
            place,
            program,
            started: None,
            silent: None,
            is_second_look: false,
            pause: PAUSE.0,
            reason: "the embedded store was not reached yet".to_owned(),
        }
    }

    /// Tries once; takes at most [`HUNG_AFTER`].
    pub(super) async fn dial(&mut self) -> Dialled {
        // Read before the dial: only who was there then can be the one that does not answer.
        let process = ProcessMark::read(&self.place.lock());
        let stream = UnixStream::connect(self.place.short("socket")).await;
        let e = match stream {
            Ok(stream) => return self.greet(stream, process).await,
            Err(e) => e,
        };
        match e.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => self.start(process).await,
            // It died between taking the connection and being asked how that went.
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Dialled::Later(LOOK_AGAIN),
            // Its queue of connections is full: it is stopped, or very busy.
            ErrorKind::WouldBlock => self.wait_for(process, HUNG_AFTER),
            _ => self.later(format!("dialling its socket failed: {e}"), PAUSE.1),
        }
    }

    /// Kills a store that hangs, if the lock file still names it.
    pub(super) fn kill(&mut self, process: &ProcessMark, why: &str) {
        if ProcessMark::read(&self.place.lock()).as_ref() != Some(process) {
            return;
        }
        let killed = process.kill();
        tracing::warn!(
            pid = process.pid,
            ?killed,
            "the embedded store is killed: {why}"
        );
        self.reason = format!("process {} of the store was killed: {why}", process.pid);
    }

    async fn greet(&mut self, stream: UnixStream, process: Option<ProcessMark>) -> Dialled {
        match timeout(HUNG_AFTER, hello(stream)).await {
            Err(_) => {
                tracing::warn!("the embedded store did not greet for {HUNG_AFTER:?}");
                if let Some(process) = process {
                    self.kill(&process, "it did not greet for 2 s");
                }
                self.later("it did not greet".to_owned(), LOOK_AGAIN)
            }
            // It ended while it was dialled; nothing was sent.
            Ok(Ok(None)) => self.later("it ended".to_owned(), LOOK_AGAIN),
            Ok(Err(reason)) => self.later(reason, PAUSE.1),
            Ok(Ok(Some(link))) => {
                self.silent = None;
                self.is_second_look = false;
                self.pause = PAUSE.0;
                if let Some(mut started) = self.started.take() {
                    // Only so that it leaves no zombie: it outlives this process.
                    tokio::spawn(async move { started.child.wait().await });
                }
                Dialled::Link(Box::new(link))
            }
        }
    }

    /// The socket is dead: waits for who is about to open it, or starts a store.
    async fn start(&mut self, process: Option<ProcessMark>) -> Dialled {
        self.place.follow();
        if let Some(started) = &mut self.started {
            return match started.child.try_wait() {
                Ok(None) if started.since.elapsed() < START_MAX => Dialled::Later(LOOK_AGAIN),
                Ok(None) => {
                    let _ = started.child.start_kill();
                    let _ = started.child.wait().await;
                    self.failed(format!("it did not open its socket within {START_MAX:?}"))
                }
                Ok(Some(status)) if status.success() => {
                    // Another one has the lock, or it ended unused.
                    self.started = None;
                    Dialled::Later(LOOK_AGAIN)
                }
                Ok(Some(status)) => {
                    let said = last_line(&self.place.log()).unwrap_or_default();
                    self.failed(format!("`doyen store` ended with {status}: {said}"))
                }
                Err(e) => self.failed(format!("`doyen store` cannot be waited for: {e}")),
            };
        }
        if process.as_ref().is_some_and(ProcessMark::is_alive) {
            return self.wait_for(process, START_MAX);
        }
        self.silent = None;
        if !std::mem::replace(&mut self.is_second_look, true) {
            return Dialled::Later(HERD.mul_f64(random_part()));
        }
        match self.spawn() {
            Ok(child) => {
                let since = Instant::now();
                self.started = Some(Started { child, since });
                Dialled::Later(LOOK_AGAIN)
            }
            Err(e) => self.failed(format!(
                "`{}` cannot be started: {e}",
                self.program.display()
            )),
        }
    }

    /// Waits for a living store that cannot be dialled, for so long.
    fn wait_for(&mut self, process: Option<ProcessMark>, at_most: Duration) -> Dialled {
        let Some(process) = process else {
            return self.later("its queue of connections is full".to_owned(), PAUSE.0);
        };
        match &self.silent {
            Some((same, since)) if *same == process => {
                if since.elapsed() > at_most {
                    self.silent = None;
                    self.kill(&process, "it could not be dialled");
                }
            }
            Some(_) | None => self.silent = Some((process, Instant::now())),
        }
        Dialled::Later(LOOK_AGAIN)
    }

    fn failed(&mut self, reason: String) -> Dialled {
        self.started = None;
        tracing::warn!("the embedded store does not start: {reason}");
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSE.1);
        self.later(reason, pause)
    }

    fn later(&mut self, reason: String, pause: Duration) -> Dialled {
        if pause >= PAUSE.1 {
            tracing::warn!("the embedded store is dialled again in {pause:?}: {reason}");
        }
        self.reason = reason;
        Dialled::Later(pause)
    }

    /// Starts a detached store process: it makes a session of its own and outlives this process.
    fn spawn(&self) -> std::io::Result<Child> {
        let folder = self.place.folder();
        let data_dir = folder.parent().unwrap_or(folder);
        let mut command = Command::new(&self.program);
        command
            .arg("store")
            .arg("--data-dir")
            .arg(data_dir)
            // It needs nothing of this process's environment, which may hold secrets.
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(append(&self.place.log()).map_or_else(Stdio::null, Stdio::from));
        if let Some(trace) = std::env::var_os("RUST_BACKTRACE") {
            command.env("RUST_BACKTRACE", trace);
        }
        command.spawn()
    }
}

/// The store's first frame; `None` when it closed the connection, the reason when it refuses.
async fn hello(mut stream: UnixStream) -> Result<Option<Link>, String> {
    let mut received = BytesMut::new();
    let answer = loop {
        match take(&mut received, ANSWER_BYTES_MAX) {
            Ok(Some(answer)) => break answer,
            Ok(None) => {}
            Err(e) => return Err(e.to_string()),
        }
        match stream.read_buf(&mut received).await {
            Ok(0) | Err(_) => return Ok(None),
            Ok(_) => {}
        }
    };
    match answer {
        Answer::Hello {
            protocol: PROTOCOL,
            store_id,
            process,
        } => Ok(Some(Link {
            stream,
            store_id,
            process,
            received,
        })),
        Answer::Hello { protocol, .. } => Err(format!(
            "the running `doyen store` speaks protocol {protocol}, this release {PROTOCOL}: \
             stop the processes of the other release"
        )),
        Answer::Refused { reason } => Err(reason),
        other => Err(format!("the store did not greet but said {other:?}")),
    }
}

/// A random number from 0 to 1; without randomness the clients come at once, which is harmless.
fn random_part() -> f64 {
    let mut byte = [0];
    let _ = getrandom::fill(&mut byte);
    f64::from(byte[0]) / 255.0
}

/// Waits before the next try.
pub(super) async fn pause(duration: Duration) {
    sleep(duration).await;
}
