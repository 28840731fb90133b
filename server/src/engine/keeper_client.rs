//! The driver's end of the pipe to its keeper.

use super::environment;
use super::keeper::protocol::{ChildSpec, Command, Exit, LINE_BYTES_MAX, Report, Rung};
use super::lock::DriverLock;
use super::process_table;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tokio_util::codec::{FramedRead, LinesCodec};

/// Commands that wait to be written; each waits for its sender's turn, none is dropped.
const COMMANDS_MAX: usize = 16;
/// Events of one child that wait for their reader, who does nothing but read them.
const EVENTS_MAX: usize = 64;
/// The keeper's grace of 1.5 s, and what SIGKILL needs.
const END_WITHIN: Duration = Duration::from_secs(6);

/// How a keeper is started.
#[derive(Clone, Debug)]
pub struct KeeperCommand {
    /// The program: this one.
    pub program: PathBuf,
    /// Its arguments: `keeper`.
    pub arguments: Vec<String>,
    /// Variables beside the allowed ones and the mark; none in production.
    pub environment: BTreeMap<String, String>,
}

/// A running keeper.
pub(super) struct Keeper {
    commands: Mutex<Option<mpsc::Sender<Command>>>,
    routes: Routes,
    gone: watch::Receiver<bool>,
}

type Routes = Arc<Mutex<BTreeMap<String, mpsc::Sender<ChildEvent>>>>;

/// What is told of a child. The channel ends without `Exited` when the keeper died.
pub(super) enum ChildEvent {
    Started,
    Failed(String),
    Line(String),
    Exited(Exit),
}

/// A child as the driver holds it.
pub(super) struct ChildHandle {
    name: String,
    keeper: Arc<Keeper>,
    events: mpsc::Receiver<ChildEvent>,
}

impl Keeper {
    pub(super) fn start(
        command: &KeeperCommand,
        lock: &DriverLock,
        environment: &BTreeMap<String, String>,
    ) -> io::Result<Arc<Self>> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut child = tokio::process::Command::new(&command.program)
            .args(&command.arguments)
            .env_clear()
            .envs(environment)
            .envs(&command.environment)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::from(lock.share()?))
            .process_group(0)
            .spawn()
            .map_err(|e| super::paths::named(&e, "cannot start the keeper", &command.program))?;
        let (read, write) = UnixStream::from_std(ours)?.into_split();
        let (commands, queue) = mpsc::channel(COMMANDS_MAX);
        let (tell_gone, gone) = watch::channel(false);
        let routes = Routes::default();
        tokio::spawn(write_commands(write, queue));
        tokio::spawn({
            let routes = Arc::clone(&routes);
            let mark = environment.get(environment::ATTEMPT).cloned();
            async move {
                route_reports(read, &routes).await;
                let _ = child.wait().await;
                // A keeper that was killed leaves its children to init: they carry the mark.
                let swept = tokio::task::spawn_blocking(move || sweep(mark.as_deref()));
                let _ = swept.await;
                held(&routes).clear();
                let _ = tell_gone.send(true);
            }
        });
        Ok(Arc::new(Self {
            commands: Mutex::new(Some(commands)),
            routes,
            gone,
        }))
    }

    /// Starts a child. What becomes of it is told by the handle.
    pub(super) async fn child(self: &Arc<Self>, spec: ChildSpec) -> ChildHandle {
        let (route, events) = mpsc::channel(EVENTS_MAX);
        let name = spec.child.clone();
        if !*self.gone.borrow() {
            held(&self.routes).insert(name.clone(), route);
        }
        self.send(Command::Start(Box::new(spec))).await;
        ChildHandle {
            name,
            keeper: Arc::clone(self),
            events,
        }
    }

    /// Returns when the keeper and everything that it started are gone.
    pub(super) async fn wait_gone(&self) {
        let mut gone = self.gone.clone();
        let _ = gone.wait_for(|gone| *gone).await;
    }

    /// Ends the keeper and everything that it started; whether all was gone within its bound.
    pub(super) async fn end(&self) -> bool {
        held(&self.commands).take();
        timeout(END_WITHIN, self.wait_gone()).await.is_ok()
    }

    async fn send(&self, command: Command) {
        let commands = held(&self.commands).clone();
        if let Some(commands) = commands {
            let _ = commands.send(command).await;
        }
    }
}

impl ChildHandle {
    pub(super) async fn next(&mut self) -> Option<ChildEvent> {
        self.events.recv().await
    }

    pub(super) async fn write(&self, text: String) {
        let child = self.name.clone();
        self.keeper.send(Command::Write { child, text }).await;
    }

    pub(super) async fn close_input(&self) {
        let child = self.name.clone();
        self.keeper.send(Command::CloseInput { child }).await;
    }

    pub(super) async fn signal(&self, rung: Rung) {
        let child = self.name.clone();
        self.keeper.send(Command::Signal { child, rung }).await;
    }
}

async fn write_commands(mut write: OwnedWriteHalf, mut queue: mpsc::Receiver<Command>) {
    while let Some(command) = queue.recv().await {
        let Ok(mut line) = serde_json::to_string(&command) else {
            continue;
        };
        line.push('\n');
        if write.write_all(line.as_bytes()).await.is_err() {
            return;
        }
    }
    // Dropping the half shuts the socket's way to the keeper: it ends everything.
}

async fn route_reports(read: OwnedReadHalf, routes: &Routes) {
    let codec = LinesCodec::new_with_max_length(LINE_BYTES_MAX);
    let mut lines = FramedRead::new(read, codec);
    while let Some(Ok(line)) = lines.next().await {
        let Ok(report) = serde_json::from_str::<Report>(&line) else {
            tracing::error!("a report of the keeper cannot be read");
            continue;
        };
        let (child, event, is_last) = match report {
            Report::Started { child, .. } => (child, ChildEvent::Started, false),
            Report::Failed { child, reason } => (child, ChildEvent::Failed(reason), true),
            Report::Line { child, text } => (child, ChildEvent::Line(text), false),
            Report::Exited { child, exit } => (child, ChildEvent::Exited(exit), true),
        };
        let route = if is_last {
            held(routes).remove(&child)
        } else {
            held(routes).get(&child).cloned()
        };
        if let Some(route) = route {
            let _ = route.send(event).await;
        }
    }
}

/// Kills what carries the attempt's mark, but this process and those above it.
fn sweep(mark: Option<&str>) {
    let Some(mark) = mark else { return };
    let table = process_table::all();
    let mut spared = vec![std::process::id()];
    while let Some(entry) = spared.last().and_then(|pid| table.get(pid)) {
        spared.push(entry.parent);
    }
    for _ in 0..50 {
        let left: Vec<u32> = process_table::marked(|one| one == mark)
            .into_iter()
            .filter(|pid| !spared.contains(pid))
            .collect();
        if left.is_empty() {
            return;
        }
        for pid in left {
            super::attempt::kill_marked(pid, |one| one == mark);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
