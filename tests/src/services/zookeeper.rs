//! ZooKeeper: one server or an ensemble, as real as in production, on loopback.

use super::jars::{self, Jar};
use crate::running::{Fault, Running, send, tail};
use crate::{Outcome, ports, procfs, trouble, wait};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The release that tests run against.
pub const VERSION: &str = "3.9.5";
/// A server or ensemble is up in one to three seconds, on a busy machine in more.
const UP_WITHIN: Duration = Duration::from_secs(60);
/// A probe's bound: a stopped server takes connections and says nothing, and one that starts may
/// leave a question open for ever.
const PROBE: Duration = Duration::from_secs(1);
const SLF4J: [Jar; 2] = [
    Jar {
        path: "org/slf4j/slf4j-api/2.0.13/slf4j-api-2.0.13.jar",
        sha256: "e7c2a48e8515ba1f49fa637d57b4e2f590b3f5bd97407ac699c3aa5efb1204a9",
    },
    Jar {
        path: "org/slf4j/slf4j-simple/2.0.13/slf4j-simple-2.0.13.jar",
        sha256: "3153fe1d689cffb94f1530b58470c306685ba68844de8857116e3b6ebb81d9f7",
    },
];

/// What a release is made of: only what its server loads.
const CURRENT: [Jar; 4] = [
    Jar {
        path: "org/apache/zookeeper/zookeeper/3.9.5/zookeeper-3.9.5.jar",
        sha256: "936d025db1a85f085edea25048c3f5b3de5fc29329c371a10925e3b78b0b38a0",
    },
    Jar {
        path: "org/apache/zookeeper/zookeeper-jute/3.9.5/zookeeper-jute-3.9.5.jar",
        sha256: "abcbc7f9d6c493daa118da6fa3061a201e2c521217526e8535adfb56b629e52a",
    },
    Jar {
        path: "io/dropwizard/metrics/metrics-core/4.1.12.1/metrics-core-4.1.12.1.jar",
        sha256: "cec34936faa625039f4e46123eccaa10a9eb9d9a40c6075830cd81330e259cf9",
    },
    Jar {
        path: "org/xerial/snappy/snappy-java/1.1.10.5/snappy-java-1.1.10.5.jar",
        sha256: "0f3f1857ed33116583f480b4df5c0218836c47bfbc9c6221c0d73f356decf37b",
    },
];

/// The last release without recursive watches.
const OLD: [Jar; 2] = [
    Jar {
        path: "org/apache/zookeeper/zookeeper/3.5.10/zookeeper-3.5.10.jar",
        sha256: "6e464f38311feafa64c1759ba70c99a8df7c5fa73015566106472dbeae9f91a2",
    },
    Jar {
        path: "org/apache/zookeeper/zookeeper-jute/3.5.10/zookeeper-jute-3.5.10.jar",
        sha256: "edc31093829ab70f082456d0baecf1eade3f3d6f4dc81c1d3a1e04ed2920086d",
    },
];

/// What to start.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How many servers: 1, or an ensemble of 3.
    pub servers: usize,
    /// The last release before 3.6, which Doyen refuses.
    pub is_old: bool,
    /// Where its data lie; a temporary folder that goes with it when `None`.
    pub folder: Option<PathBuf>,
}

/// One server.
#[derive(Debug)]
pub struct Server {
    /// The port of clients.
    pub port: u16,
    folder: PathBuf,
    running: Option<Running>,
}

/// The servers, which end when this is dropped.
#[derive(Debug)]
pub struct ZooKeeper {
    servers: Vec<Server>,
    java: PathBuf,
    class_path: String,
    _folder: Option<TempDir>,
}

impl ZooKeeper {
    /// Fetches what is needed, starts the servers and waits until they serve.
    ///
    /// # Errors
    /// No Java, no network for the first fetch, or a server that does not come up.
    pub async fn start(options: Options, say: &mut dyn FnMut(&str)) -> Outcome<Self> {
        let java = super::java().ok_or_else(|| {
            trouble(
                "ZooKeeper needs Java 8 or later: install one (Debian: `apt install \
                 openjdk-17-jre-headless`) or set JAVA_HOME",
            )
        })?;
        let release: &[Jar] = if options.is_old { &OLD } else { &CURRENT };
        let wanted: Vec<Jar> = release.iter().chain(&SLF4J).copied().collect();
        let files = jars::fetch(&wanted, say)?;
        let class_path: Vec<String> = files.iter().map(|f| f.display().to_string()).collect();
        let (folder, path) = match &options.folder {
            Some(path) => (None, path.clone()),
            None => {
                let folder = tempfile::Builder::new().prefix("doyen-zk-").tempdir()?;
                let path = folder.path().to_path_buf();
                (Some(folder), path)
            }
        };
        let mut all = Self {
            servers: configure(&path, options.servers.max(1))?,
            java,
            class_path: class_path.join(":"),
            _folder: folder,
        };
        for index in 0..all.servers.len() {
            say(&format!("starting ZooKeeper server {}", index + 1));
            all.restart(index)?;
        }
        all.wait_ready().await?;
        Ok(all)
    }

    /// `HOST:PORT` of all servers, with commas.
    #[must_use]
    pub fn connection_string(&self) -> String {
        let each = self.servers.iter().map(|s| format!("127.0.0.1:{}", s.port));
        each.collect::<Vec<_>>().join(",")
    }

    /// The servers.
    #[must_use]
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// Starts a server that does not run, on its data.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn restart(&mut self, index: usize) -> Outcome<()> {
        let server = &mut self.servers[index];
        let mut command = Command::new(&self.java);
        command
            .args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .args(["-Djava.net.preferIPv4Stack=true", "-cp", &self.class_path])
            .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
            .arg(server.folder.join("zoo.cfg"))
            // Ctrl-C in a terminal is for the program in front, not for what it left running.
            .process_group(0);
        server.running = Some(Running::start(command, &server.folder, "server")?);
        Ok(())
    }

    /// Signals a server.
    ///
    /// # Errors
    /// It does not run.
    pub fn fault(&mut self, index: usize, fault: Fault) -> Outcome<()> {
        let running = self.servers[index].running.as_mut();
        running
            .ok_or_else(|| trouble("this ZooKeeper server does not run"))?
            .send(fault)
    }

    /// Kills a server with SIGKILL.
    pub fn kill(&mut self, index: usize) {
        self.servers[index].running = None;
    }

    /// Which server leads; the only one of one leads.
    pub async fn leader(&self) -> Option<usize> {
        for (index, server) in self.servers.iter().enumerate() {
            if matches!(
                mode(server.port).await.as_deref(),
                Some("leader" | "standalone")
            ) {
                return Some(index);
            }
        }
        None
    }

    /// Waits until every server that runs serves.
    ///
    /// # Errors
    /// Not in time, or a server has ended; the failure shows its last words.
    pub async fn wait_ready(&mut self) -> Outcome<()> {
        for server in &mut self.servers {
            let Some(running) = &mut server.running else {
                continue;
            };
            let port = server.port;
            let served = wait::until("ZooKeeper to serve", UP_WITHIN, async || {
                if let Ok(Some(status)) = running.ended() {
                    return Ok(Some(status));
                }
                let mode = mode(port).await;
                mode.map(|_| None)
                    .ok_or_else(|| format!("no mode at port {port}"))
            })
            .await;
            let words = tail(&running.stderr(), 12);
            match served {
                Ok(None) => {}
                Ok(Some(status)) => {
                    let text = format!("a ZooKeeper server ended with {status}\n{words}");
                    return Err(trouble(text));
                }
                Err(error) => return Err(trouble(format!("{error}\n{words}"))),
            }
        }
        Ok(())
    }

    /// Lets the servers run on when this is dropped; tells their addresses and pids.
    #[must_use]
    pub fn keep(mut self) -> Vec<(String, u32)> {
        let mut kept = Vec::new();
        for server in &mut self.servers {
            if let Some(running) = server.running.take() {
                kept.push((format!("127.0.0.1:{}", server.port), running.pid()));
                std::mem::forget(running);
            }
        }
        kept
    }
}

/// What a server that was kept says of itself: `leader`, `follower` or `standalone`; `None` when it
/// does not serve.
pub async fn mode(port: u16) -> Option<String> {
    let ask = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(b"srvr").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Outcome::Ok(answer)
    };
    let answer = timeout(PROBE, ask).await.ok()?.ok()?;
    let mode = answer.lines().find_map(|line| line.strip_prefix("Mode: "));
    mode.map(str::to_owned)
}

/// Ends a server that was kept, if the process of this pid is one of this folder.
///
/// # Errors
/// It does not end.
pub async fn end_kept(pid: u32, folder: &Path) -> Outcome<()> {
    let is_ours = || {
        procfs::is_alive(pid) && procfs::command_line(pid).contains(&folder.display().to_string())
    };
    if !is_ours() {
        return Ok(());
    }
    send(pid, Fault::Kill)?;
    wait::until(
        "the end of ZooKeeper",
        Duration::from_secs(10),
        async || {
            if is_ours() {
                Err(format!("pid {pid} runs on"))
            } else {
                Ok(())
            }
        },
    )
    .await
}

fn configure(folder: &Path, count: usize) -> Outcome<Vec<Server>> {
    // Of clients, of followers, of elections.
    let free = ports::free(count * 3)?;
    let peers: String = free
        .chunks(3)
        .enumerate()
        .map(|(index, port)| format!("server.{}=127.0.0.1:{}:{}\n", index + 1, port[1], port[2]))
        .collect();
    let ensemble = if count > 1 {
        format!("initLimit=20\nsyncLimit=6\n{peers}")
    } else {
        String::new()
    };
    let mut servers = Vec::new();
    for (index, port) in free.chunks(3).enumerate() {
        let own = folder.join(format!("zookeeper-{}", index + 1));
        let data = own.join("data");
        fs::create_dir_all(&data)?;
        fs::write(data.join("myid"), format!("{}\n", index + 1))?;
        let text = format!(
            "tickTime=500\ndataDir={}\nclientPort={}\nclientPortAddress=127.0.0.1\n\
             admin.enableServer=false\n4lw.commands.whitelist=srvr\nmaxClientCnxns=0\n\
             minSessionTimeout=1000\nmaxSessionTimeout=60000\n{ensemble}",
            data.display(),
            port[0],
        );
        fs::write(own.join("zoo.cfg"), text)?;
        servers.push(Server {
            port: port[0],
            folder: own,
            running: None,
        });
    }
    Ok(servers)
}
