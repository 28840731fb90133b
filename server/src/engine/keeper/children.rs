//! The children of a keeper, from their start to the report of their end.

use super::log::BoundedLog;
use super::protocol::{
    ANSWER_FD, AnswerChannel, ChildInput, ChildOutput, ChildSpec, Command, Exit, LOCK_FD, Report,
    Rung,
};
use super::streams;
use crate::engine::environment::CHILD;
use crate::engine::process_table::{descendants_of, variable_of};
use command_fds::{CommandFdExt, FdMapping};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, kill_process_group, wait};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, PipeReader};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Texts that wait for a child to read its input; the driver sends few and short ones.
const INPUTS_MAX: usize = 16;
/// How long the pipes of an ended child may stay open: what it started is killed by then.
const DRAIN: Duration = Duration::from_secs(2);

pub(super) struct Children {
    lock: File,
    reports: mpsc::Sender<Report>,
    by_pid: BTreeMap<i32, Child>,
}

struct Child {
    name: String,
    input: Option<mpsc::Sender<String>>,
    log: JoinHandle<String>,
    stop_log: oneshot::Sender<()>,
    answer: JoinHandle<u64>,
}

impl Children {
    pub(super) const fn new(lock: File, reports: mpsc::Sender<Report>) -> Self {
        Self {
            lock,
            reports,
            by_pid: BTreeMap::new(),
        }
    }

    pub(super) async fn carry_out(&mut self, command: Command) {
        match command {
            Command::Start(spec) => self.start(*spec).await,
            Command::Write { child, text } => {
                let input = self.named(&child).and_then(|(_, c)| c.input.clone());
                // A child that reads too slowly for its few short texts is not waited for.
                if input.is_some_and(|input| input.try_send(text).is_err()) {
                    eprintln!("doyen keeper: {child} does not read its input; a text is dropped");
                }
            }
            Command::CloseInput { child } => {
                if let Some((_, child)) = self.named(&child) {
                    child.input = None;
                }
            }
            Command::Signal { child, rung } => {
                if let Some((pid, child)) = self.named(&child) {
                    match rung {
                        Rung::Terminate => signal_group(pid, Signal::TERM),
                        Rung::Kill => kill_leftovers(pid, &child.name),
                    }
                }
            }
        }
    }

    pub(super) fn close_inputs(&mut self) {
        for child in self.by_pid.values_mut() {
            child.input = None;
        }
    }

    /// Takes note of all that have ended, adopted ones included.
    pub(super) fn reap(&mut self) {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => self.ended(pid.as_raw_nonzero().get(), status),
                Err(rustix::io::Errno::INTR) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }

    fn named(&mut self, name: &str) -> Option<(i32, &mut Child)> {
        self.by_pid
            .iter_mut()
            .find(|(_, child)| child.name == name)
            .map(|(pid, child)| (*pid, child))
    }

    async fn start(&mut self, spec: ChildSpec) {
        let name = spec.child.clone();
        let report = match self.spawn(spec) {
            Ok((pid, child)) => {
                self.by_pid.insert(pid, child);
                Report::Started {
                    child: name,
                    pid: pid.unsigned_abs(),
                }
            }
            Err(reason) => Report::Failed {
                child: name,
                reason,
            },
        };
        let _ = self.reports.send(report).await;
    }

    fn spawn(&self, spec: ChildSpec) -> Result<(i32, Child), String> {
        let say = |what: &str| {
            let what = what.to_owned();
            move |e: io::Error| format!("{what}: {e}")
        };
        let log = BoundedLog::create(&spec.log).map_err(|e| e.to_string())?;
        let (output, output_end) = io::pipe().map_err(say("no pipe for the output"))?;
        let mut command = std::process::Command::new(&spec.program);
        command
            .args(&spec.arguments)
            .env_clear()
            .envs(&spec.environment)
            .env(CHILD, &spec.child)
            .current_dir(&spec.directory)
            .process_group(0);
        command.stdout(match spec.output {
            ChildOutput::Both => Stdio::from(output_end.try_clone().map_err(say("no pipe"))?),
            ChildOutput::ErrorOnly => Stdio::null(),
        });
        command.stderr(output_end);
        let feeding = attach_input(&mut command, spec.input)?;
        let mut mappings = Vec::new();
        let answers = attach_answers(&spec.answer, &mut mappings)?;
        if spec.shares_lock {
            let lock = self.lock.try_clone().map_err(say("the lock"))?;
            mappings.push(FdMapping {
                parent_fd: OwnedFd::from(lock),
                child_fd: LOCK_FD,
            });
        }
        command
            .fd_mappings(mappings)
            .map_err(|_| "two uses of one descriptor".to_owned())?;
        let spawned = command.spawn().map_err(|e| {
            let (program, folder) = (spec.program.display(), spec.directory.display());
            format!("cannot start {program} in {folder}: {e}")
        })?;
        // Our ends of the child's pipes close with the command: else its output never ends.
        drop(command);
        let pid = i32::try_from(spawned.id()).map_err(|e| e.to_string())?;
        let input = feeding.map(|(pipe, first)| {
            let (texts, queue) = mpsc::channel(INPUTS_MAX);
            let _ = texts.try_send(first);
            tokio::spawn(streams::feed(pipe, queue));
            texts
        });
        let (stop_log, stopped) = oneshot::channel();
        let child = Child {
            name: spec.child.clone(),
            input,
            log: tokio::spawn(streams::keep_log(output.into(), log, stopped)),
            stop_log,
            answer: self.keep_answers(spec.child, answers),
        };
        Ok((pid, child))
    }

    fn keep_answers(&self, child: String, answers: Answers) -> JoinHandle<u64> {
        match answers {
            Answers::None => tokio::spawn(async { 0 }),
            Answers::File(pipe, file, bytes_max) => {
                tokio::spawn(streams::keep_answer(pipe.into(), file, bytes_max))
            }
            Answers::Lines(pipe) => {
                let reports = self.reports.clone();
                tokio::spawn(async move {
                    streams::report_lines(pipe.into(), child, reports).await;
                    0
                })
            }
        }
    }

    fn ended(&mut self, pid: i32, status: WaitStatus) {
        let Some(child) = self.by_pid.remove(&pid) else {
            return;
        };
        kill_leftovers(pid, &child.name);
        drop(child.input);
        let reports = self.reports.clone();
        tokio::spawn(async move {
            // Answers first: a line must be reported before the end.
            let mut answer = child.answer;
            let answer_bytes = match timeout(DRAIN, &mut answer).await {
                Ok(Ok(bytes)) => bytes,
                Ok(Err(_)) | Err(_) => u64::MAX,
            };
            answer.abort();
            let mut log = child.log;
            let last_output = if let Ok(last) = timeout(DRAIN, &mut log).await {
                last.unwrap_or_default()
            } else {
                let _ = child.stop_log.send(());
                log.await.unwrap_or_default()
            };
            let exit = Exit {
                code: status.exit_status(),
                signal: status.terminating_signal(),
                last_output,
                answer_bytes,
            };
            let child = child.name;
            let _ = reports.send(Report::Exited { child, exit }).await;
        });
    }
}

enum Answers {
    None,
    File(PipeReader, File, u64),
    Lines(PipeReader),
}

fn attach_answers(
    channel: &AnswerChannel,
    mappings: &mut Vec<FdMapping>,
) -> Result<Answers, String> {
    if *channel == AnswerChannel::None {
        return Ok(Answers::None);
    }
    let (read, write) = io::pipe().map_err(|e| format!("no pipe for the answer: {e}"))?;
    mappings.push(FdMapping {
        parent_fd: write.into(),
        child_fd: ANSWER_FD,
    });
    match channel {
        AnswerChannel::File { path, bytes_max } => {
            let file = make_private_file(path).map_err(|e| e.to_string())?;
            Ok(Answers::File(read, file, *bytes_max))
        }
        AnswerChannel::None | AnswerChannel::Lines => Ok(Answers::Lines(read)),
    }
}

fn attach_input(
    command: &mut std::process::Command,
    input: ChildInput,
) -> Result<Option<(OwnedFd, String)>, String> {
    match input {
        ChildInput::File(path) => {
            let file = File::open(&path)
                .map_err(|e| format!("cannot read the input {}: {e}", path.display()))?;
            command.stdin(file);
            Ok(None)
        }
        ChildInput::Open(first) => {
            let (read, write) = io::pipe().map_err(|e| format!("no pipe for the input: {e}"))?;
            command.stdin(read);
            Ok(Some((write.into(), first)))
        }
    }
}

fn make_private_file(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(|e| crate::engine::paths::named(&e, "cannot write", path))
}

fn signal_group(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process_group(pid, signal);
    }
}

/// SIGKILL to a child's process group and to every descendant of ours under the child's mark: what
/// made a session of its own was adopted by this process.
fn kill_leftovers(pid: i32, child: &str) {
    signal_group(pid, Signal::KILL);
    for pid in descendants_of(std::process::id()) {
        if variable_of(pid, CHILD).as_deref() == Some(child) {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
            if let Some(pid) = pid {
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
        }
    }
}
