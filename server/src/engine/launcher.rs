//! The effects of a server: start a driver, prove an attempt dead, kill it (protocol.md E1, E3, E5).

use super::attempt;
use super::environment;
use super::paths::DriverFolder;
use async_trait::async_trait;
use doyen_core::identity::{Address, ClusterId, ContextId, Incarnation};
use doyen_core::input::EffectReport;
use doyen_core::output::Effect;
use doyen_core::records::context::IntentNumber;
use doyen_core::records::job::JobError;
use doyen_runtime::launcher::Launcher;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::sync::{mpsc, watch};

/// A driver's log that is longer when the next driver starts is set aside.
const LOG_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// What a server knows of the cluster when it starts a driver; kept up to date by its host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The cluster, once known.
    pub cluster: Option<ClusterId>,
    /// Servers that the driver dials first.
    pub servers: Vec<Address>,
}

/// Carries out a server's effects on its own host.
pub struct ServerLauncher {
    program: PathBuf,
    config: Option<PathBuf>,
    overrides: Vec<String>,
    data_dir: PathBuf,
    surroundings: watch::Receiver<Surroundings>,
}

/// What a driver is started with: the command line of `doyen driver`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriverCommand {
    /// The server's configuration file, if it has one.
    pub config: Option<PathBuf>,
    /// What the server's command line sets over its file, as `KEY=VALUE`.
    pub overrides: Vec<String>,
    /// The data directory.
    pub data_dir: PathBuf,
    /// The context.
    pub context: ContextId,
    /// The intent that the driver must find.
    pub intent: IntentNumber,
    /// The cluster.
    pub cluster: ClusterId,
    /// Which life of a driver; drawn anew for every launch.
    pub incarnation: Incarnation,
    /// Servers to dial first.
    pub servers: Vec<Address>,
}

impl DriverCommand {
    /// The arguments of the program.
    #[must_use]
    pub fn arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["driver".into()];
        let mut add = |name: &str, value: OsString| {
            arguments.push(name.into());
            arguments.push(value);
        };
        if let Some(config) = &self.config {
            add("--config", config.into());
        }
        for assignment in &self.overrides {
            add("--set", assignment.into());
        }
        add("--data-dir", self.data_dir.clone().into());
        add("--context", self.context.as_str().into());
        add("--intent", self.intent.0.to_string().into());
        add("--cluster", self.cluster.as_str().into());
        add("--incarnation", self.incarnation.to_string().into());
        for server in &self.servers {
            add("--server", server.to_string().into());
        }
        arguments
    }
}

impl ServerLauncher {
    /// A launcher of this program's drivers. `program` is the path of this executable.
    ///
    /// # Errors
    /// A path is empty, or relative while the working directory is gone.
    pub fn new(
        program: &Path,
        config: Option<&Path>,
        data_dir: &Path,
        surroundings: watch::Receiver<Surroundings>,
    ) -> io::Result<Self> {
        // A driver has a working directory of its own.
        Ok(Self {
            program: std::path::absolute(program)?,
            config: config.map(std::path::absolute).transpose()?,
            overrides: Vec::new(),
            data_dir: std::path::absolute(data_dir)?,
            surroundings,
        })
    }

    /// Drivers see these `KEY=VALUE` settings too.
    #[must_use]
    pub fn with_overrides(mut self, overrides: Vec<String>) -> Self {
        self.overrides = overrides;
        self
    }

    fn launch(&self, context: &ContextId, intent: IntentNumber) -> io::Result<()> {
        let surroundings = self.surroundings.borrow().clone();
        let Some(cluster) = surroundings.cluster else {
            return Err(io::Error::other("this server knows no cluster yet"));
        };
        let command = DriverCommand {
            config: self.config.clone(),
            overrides: self.overrides.clone(),
            data_dir: self.data_dir.clone(),
            context: context.clone(),
            intent,
            cluster,
            incarnation: draw_incarnation()?,
            servers: surroundings.servers,
        };
        let folder = DriverFolder::new(&self.data_dir, context)?;
        folder.make()?;
        let log = open_log(&folder.driver_log())?;
        let mut child = tokio::process::Command::new(&self.program)
            .args(command.arguments())
            .env_clear()
            .envs(environment::of_attempt(context, command.incarnation))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .current_dir(folder.path())
            .kill_on_drop(false)
            .spawn()
            .map_err(|e| super::paths::named(&e, "cannot start", &self.program))?;
        // Only to reap it, should it end before this server does.
        tokio::spawn(async move { child.wait().await });
        Ok(())
    }
}

#[async_trait]
impl Launcher for ServerLauncher {
    async fn begin(&self, effect: Effect, reports: mpsc::Sender<EffectReport>) {
        let data_dir = self.data_dir.clone();
        match effect {
            Effect::Launch { context, intent } => {
                let error = self.launch(&context.id, intent).err().map(|e| {
                    let what = format!("the driver of `{}` was not started: {e}", context.name);
                    JobError::new("doyen.LaunchFailed", what)
                });
                let report = EffectReport::Launched {
                    context: context.id,
                    intent,
                    error,
                };
                tokio::spawn(async move { reports.send(report).await });
            }
            Effect::Verify { context, owner } => {
                in_background(reports, move || {
                    attempt::verify(&data_dir, &context, owner.as_ref())
                });
            }
            Effect::Kill { context, owner, .. } => {
                in_background(reports, move || attempt::kill(&data_dir, &context, &owner));
            }
            Effect::DeleteObjects { .. }
            | Effect::StartEngine { .. }
            | Effect::StopEngine
            | Effect::StartJob { .. }
            | Effect::KillJob { .. } => {
                tracing::error!("an effect that is not the launcher's came to it: {effect:?}");
            }
        }
    }
}

fn in_background(
    reports: mpsc::Sender<EffectReport>,
    work: impl FnOnce() -> EffectReport + Send + 'static,
) {
    tokio::spawn(async move {
        if let Ok(report) = tokio::task::spawn_blocking(work).await {
            let _ = reports.send(report).await;
        }
    });
}

/// Makes the calling process the leader of a session of its own: what ends its server's session
/// does not end it (E1). `doyen driver` calls it first.
///
/// # Errors
/// The process leads a group already: it was started by hand from a shell, which is as good.
pub fn own_session() -> io::Result<()> {
    rustix::process::setsid()?;
    Ok(())
}

fn draw_incarnation() -> io::Result<Incarnation> {
    let drawn = getrandom::u64().map_err(|e| io::Error::other(format!("no randomness: {e}")));
    drawn.map(Incarnation)
}

fn open_log(path: &Path) -> io::Result<File> {
    if fs::metadata(path).is_ok_and(|log| log.len() > LOG_BYTES_MAX) {
        let mut old = path.as_os_str().to_owned();
        old.push(".old");
        fs::rename(path, old)?;
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(|e| super::paths::named(&e, "cannot write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_is_told_everything_by_its_command_line() {
        let command = DriverCommand {
            config: Some("/etc/doyen.conf".into()),
            overrides: vec!["spark.master=local[1]".into()],
            data_dir: "/d".into(),
            context: ContextId::new("c"),
            intent: IntentNumber(7),
            cluster: ClusterId::new("k"),
            incarnation: Incarnation(255),
            servers: vec![Address::new("a", 1), Address::new("b", 2)],
        };
        let line: Vec<String> = command
            .arguments()
            .into_iter()
            .map(|argument| argument.into_string().unwrap())
            .collect();
        assert_eq!(
            line.join(" "),
            "driver --config /etc/doyen.conf --set spark.master=local[1] --data-dir /d --context c --intent 7 --cluster k \
             --incarnation 00000000000000ff --server a:1 --server b:2"
        );
    }

    #[test]
    fn a_long_log_is_set_aside_when_the_next_driver_starts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("driver.log");
        let log = open_log(&path).unwrap();
        log.set_len(LOG_BYTES_MAX + 1).unwrap();
        open_log(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), 0);
        assert!(folder.path().join("driver.log.old").exists());
    }
}
