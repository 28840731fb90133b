//! A cluster of real `doyen server` processes on loopback, with one data directory in a temporary
//! folder. Dropping it kills what it started and removes the folder.

use crate::api::{Api, ClusterState};
use crate::http::Client;
use crate::leftovers::{self, Leftover};
use crate::running::{Fault, Running, tail};
use crate::{Outcome, events, ports, trouble, wait};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;
use tempfile::TempDir;

/// Founding takes at most the seeds' turns (protocol.md F3), joining one more contact.
const UP_WITHIN: Duration = Duration::from_secs(40);
/// Drain 2 s, leave at most 10 s (protocol.md, Times), and something for a busy machine.
pub const STOP_WITHIN: Duration = Duration::from_secs(20);

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub struct Options {
    /// The `doyen` program.
    pub program: PathBuf,
    /// How many servers.
    pub servers: usize,
    /// The Python with PySpark, for contexts of the `spark` engine.
    pub python: Option<PathBuf>,
    /// Further HOCON text at the end of every server's file.
    pub extra: String,
    /// Environment of the servers.
    pub environment: Vec<(String, String)>,
}

impl Options {
    /// `servers` servers of this program.
    #[must_use]
    pub fn new(program: &Path, servers: usize) -> Self {
        Self {
            program: program.to_path_buf(),
            servers,
            python: None,
            extra: String::new(),
            environment: Vec::new(),
        }
    }
}

/// One server: where it listens, and its process while it runs.
#[derive(Debug)]
pub struct Server {
    /// Its HTTP port.
    pub http: u16,
    /// Its cluster port.
    pub member: u16,
    /// Its configuration file.
    pub config: PathBuf,
    running: Option<Running>,
}

impl Server {
    /// Its address among members.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.member)
    }

    /// Its process.
    ///
    /// # Errors
    /// It does not run.
    pub fn process(&mut self) -> Outcome<&mut Running> {
        let address = self.address();
        self.running
            .as_mut()
            .ok_or_else(|| trouble(format!("server {address} does not run")))
    }

    /// Its pid, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(Running::pid)
    }
}

/// The servers and their folder.
#[derive(Debug)]
pub struct Cluster {
    options: Options,
    folder: Option<TempDir>,
    path: PathBuf,
    servers: Vec<Server>,
}

impl Cluster {
    /// Makes folder and configuration files; starts nothing.
    ///
    /// # Errors
    /// No folder or no ports.
    pub fn prepare(options: Options) -> Outcome<Self> {
        let folder = tempfile::Builder::new().prefix("doyen-").tempdir()?;
        let path = folder.path().to_path_buf();
        let free = ports::free(options.servers * 2)?;
        let servers = free.chunks(2).enumerate().map(|(index, pair)| Server {
            http: pair[0],
            member: pair[1],
            config: path.join(format!("server-{index}.conf")),
            running: None,
        });
        let mut cluster = Self {
            servers: servers.collect(),
            options,
            folder: Some(folder),
            path,
        };
        for index in 0..cluster.servers.len() {
            cluster.write_config(index)?;
        }
        Ok(cluster)
    }

    /// Prepares and starts all servers, and waits until all are Up.
    ///
    /// # Errors
    /// A server ends or is not Up in time; the failure shows the ends of the logs.
    pub async fn start(options: Options) -> Outcome<Self> {
        let mut cluster = Self::prepare(options)?;
        for index in 0..cluster.servers.len() {
            cluster.start_server(index)?;
        }
        let all: Vec<usize> = (0..cluster.servers.len()).collect();
        cluster.wait_up(&all).await?;
        Ok(cluster)
    }

    fn write_config(&mut self, index: usize) -> Outcome<()> {
        let masters: Vec<String> = self
            .servers
            .iter()
            .map(|s| format!("\"{}\"", s.address()))
            .collect();
        let (path, server) = (self.path.display(), &self.servers[index]);
        let python = self
            .options
            .python
            .as_ref()
            .map_or_else(String::new, |python| {
                format!(
                    "  context-settings {{ python.executable = \"{}\" }}\n",
                    python.display()
                )
            });
        let text = format!(
            "doyen {{ data-dir = \"{path}/data\" }}\n\
             spark {{\n  master = \"local[2]\"\n{python}  jobserver {{\n    port = {http}\n    \
             bind-address = \"127.0.0.1\"\n    ha.masters = [{masters}]\n    \
             daorootdir = \"{path}/cache-{index}\"\n  }}\n}}\n\
             akka {{\n  remote.netty.tcp {{ hostname = \"127.0.0.1\", port = {member} }}\n  \
             cluster {{\n    auto-down-unreachable-after = off\n    \
             downing-provider-class = \"akka.downing.KeepOldestDowningProvider\"\n  }}\n}}\n{extra}\n",
            http = server.http,
            masters = masters.join(", "),
            member = server.member,
            extra = self.options.extra,
        );
        fs::write(&server.config, text)
    }

    /// Starts a server, at the address that it always has.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn start_server(&mut self, index: usize) -> Outcome<()> {
        let server = &mut self.servers[index];
        let mut command = Command::new(&self.options.program);
        command
            .args(["server", "--log-format", "json", "--config"])
            .arg(&server.config);
        command.envs(
            self.options
                .environment
                .iter()
                .map(|(name, value)| (name, value)),
        );
        server.running = Some(Running::start(
            command,
            &self.path,
            &format!("server-{index}"),
        )?);
        Ok(())
    }

    /// The folder of everything.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The data directory that all servers share.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.path.join("data")
    }

    /// How many servers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.servers.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }

    /// A server.
    #[must_use]
    pub fn server(&self, index: usize) -> &Server {
        &self.servers[index]
    }

    /// A server, to signal it.
    pub fn server_mut(&mut self, index: usize) -> &mut Server {
        &mut self.servers[index]
    }

    /// A fresh client of a server.
    #[must_use]
    pub fn api(&self, index: usize) -> Api {
        Api::new(Client::new(self.servers[index].http))
    }

    /// All servers but one.
    #[must_use]
    pub fn others(&self, index: usize) -> Vec<usize> {
        (0..self.servers.len())
            .filter(|other| *other != index)
            .collect()
    }

    /// Which server holds the office, as another or itself says.
    ///
    /// # Errors
    /// No running server names a holder in 10 s.
    pub async fn holder(&self) -> Outcome<usize> {
        let running: Vec<usize> = (0..self.len())
            .filter(|i| self.servers[*i].running.is_some())
            .collect();
        wait::until("a holder", Duration::from_secs(10), async || {
            for index in &running {
                let state = self
                    .api(*index)
                    .cluster()
                    .await
                    .map_err(|e| e.to_string())?;
                let holder = state.holder.unwrap_or_default();
                if let Some(at) = self.servers.iter().position(|s| s.address() == holder) {
                    return Ok(at);
                }
            }
            Err("no server names one".to_owned())
        })
        .await
    }

    /// Waits until each of these servers is ready and sees all of them Up and reachable under one
    /// holder among them. Fails early when one of them ends.
    ///
    /// # Errors
    /// Not in time; the failure shows the ends of the logs.
    pub async fn wait_up(&mut self, indices: &[usize]) -> Outcome<()> {
        let addresses: Vec<String> = indices.iter().map(|i| self.servers[*i].address()).collect();
        let apis: Vec<Api> = indices.iter().map(|i| self.api(*i)).collect();
        let mut ended = None;
        let outcome = wait::until("all servers Up", UP_WITHIN, async || {
            for index in indices {
                let status = self.servers[*index].running.as_mut().map(Running::ended);
                if !matches!(status, Some(Ok(None))) {
                    ended = Some(*index);
                    return Ok(());
                }
            }
            let mut holders = Vec::new();
            for api in &apis {
                api.ready().await?;
                let state = api.cluster().await.map_err(|e| e.to_string())?;
                state.all_up(&addresses)?;
                holders.push((state.epoch, state.holder));
            }
            holders.dedup();
            if holders.len() == 1 {
                Ok(())
            } else {
                Err(format!("holders {holders:?}"))
            }
        })
        .await;
        match (outcome, ended) {
            (Ok(()), None) => Ok(()),
            (Ok(()), Some(index)) => {
                let logs = self.logs(20);
                Err(trouble(format!(
                    "server {index} has ended while starting\n{logs}"
                )))
            }
            (Err(error), _) => Err(trouble(format!("{error}\n{}", self.logs(20)))),
        }
    }

    /// Kills a server with SIGKILL and sees it end.
    ///
    /// # Errors
    /// It does not run.
    pub async fn kill(&mut self, index: usize) -> Outcome<ExitStatus> {
        self.fault(index, Fault::Kill)?;
        self.reap(index, Duration::from_secs(10)).await
    }

    /// Signals a server.
    ///
    /// # Errors
    /// It does not run.
    pub fn fault(&mut self, index: usize, fault: Fault) -> Outcome<()> {
        self.servers[index].process()?.send(fault)
    }

    /// Waits for the end of a server that was told to end.
    ///
    /// # Errors
    /// It runs on.
    pub async fn reap(&mut self, index: usize, limit: Duration) -> Outcome<ExitStatus> {
        let status = self.servers[index].process()?.wait(limit).await?;
        self.servers[index].running = None;
        Ok(status)
    }

    /// Stops a server in order, with SIGTERM.
    ///
    /// # Errors
    /// It does not end in time.
    pub async fn stop(&mut self, index: usize) -> Outcome<ExitStatus> {
        self.fault(index, Fault::Terminate)?;
        self.reap(index, STOP_WITHIN).await
    }

    /// Stops all servers in order, the store after them; what then still works with the folder is
    /// left over: returned, and killed.
    ///
    /// # Errors
    /// A server does not end in time or not with 0.
    pub async fn stop_all(&mut self) -> Outcome<Vec<Leftover>> {
        for index in 0..self.len() {
            if self.servers[index].running.is_some() {
                let status = self.stop(index).await?;
                if status.code() != Some(0) {
                    return Err(trouble(format!("server {index} stopped with {status}")));
                }
            }
        }
        // The store ends by itself after 30 s without users; it is told to, to save the time.
        for store in leftovers::with_verb(&self.path, "store") {
            let _ = crate::running::send(store.pid, Fault::Terminate);
        }
        let gone = wait::until("nothing left", Duration::from_secs(10), async || {
            let left = leftovers::of_folder(&self.path);
            if left.is_empty() {
                Ok(())
            } else {
                Err(format!("{} left", left.len()))
            }
        })
        .await;
        Ok(match gone {
            Ok(()) => Vec::new(),
            Err(_) => leftovers::sweep(&self.path, Duration::from_secs(10)),
        })
    }

    /// Servers of these that have ended by themselves, with their exit codes.
    #[must_use]
    pub fn ended(&mut self, indices: &[usize]) -> Vec<(usize, Option<i32>)> {
        let mut ended = Vec::new();
        for index in indices {
            if let Some(running) = &mut self.servers[*index].running
                && let Ok(Some(status)) = running.ended()
            {
                ended.push((*index, status.code()));
            }
        }
        ended
    }

    /// The events of a server's log since a time of the wall clock.
    #[must_use]
    pub fn events(&self, index: usize, since_ms: f64) -> Vec<events::Event> {
        events::read(&self.path.join(format!("server-{index}.err")), since_ms)
    }

    /// The ends of all logs.
    #[must_use]
    pub fn logs(&self, lines: usize) -> String {
        let mut text = String::new();
        for index in 0..self.len() {
            let path = self.path.join(format!("server-{index}.err"));
            let log = fs::read_to_string(path).unwrap_or_default();
            text.push_str(&format!("--- server {index}\n{}\n", tail(&log, lines)));
        }
        text
    }

    /// Leaves everything as it is: processes and folder stay. Returns the folder.
    #[must_use]
    pub fn keep(mut self) -> PathBuf {
        if let Some(folder) = self.folder.take() {
            let _ = folder.keep();
        }
        for server in &mut self.servers {
            std::mem::forget(server.running.take());
        }
        self.path.clone()
    }

    /// Removes the folder, as dropping does, and says whether that worked.
    ///
    /// # Errors
    /// Something in it cannot be removed.
    pub fn remove(mut self) -> Outcome<()> {
        self.servers.clear();
        self.folder.take().map_or(Ok(()), TempDir::close)
    }

    /// What a server sees of the cluster.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn state(&self, index: usize) -> Outcome<ClusterState> {
        self.api(index).cluster().await
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.folder.is_none() {
            return;
        }
        if std::thread::panicking() {
            eprintln!("{}", self.logs(40));
        }
        for server in &mut self.servers {
            server.running = None;
        }
        leftovers::sweep(&self.path, Duration::from_secs(10));
    }
}

#[cfg(test)]
mod tests;
