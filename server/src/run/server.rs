//! `doyen server`: one job server, put together.

use super::Failure;
use super::sweep::{Sweeper, sweep};
use crate::binaries::files::FileBinaries;
use crate::cli::exit;
use crate::config::{Settings, StoreKind, parse_untrusted};
use crate::engine::launcher::{ServerLauncher, Surroundings};
use crate::http::{self, Gateway, Http, HttpSettings, ServeLimits};
use crate::store::embedded::{EmbeddedStore, refuse_network_file_system};
use async_trait::async_trait;
use doyen_core::identity::{ClusterId, Identity, JobId, Role};
use doyen_core::input::{EffectReport, NewCall, NewJob};
use doyen_core::output::{Answer, Effect, StopReason};
use doyen_core::process::{ClusterView, Process};
use doyen_core::records::cluster::Secret;
use doyen_core::server::{Founding, ServerProcess};
use doyen_core::time::Time;
use doyen_runtime::host::{self, HostHandle, HostParts};
use doyen_runtime::launcher::Launcher;
use doyen_runtime::store::{BinaryDao, MetaDataDao};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};

/// How long open requests may take to end once the process has stopped.
const DRAIN: Duration = Duration::from_secs(3);

pub(super) async fn run(settings: Settings) -> Result<u8, Failure> {
    let listener = listen(&settings).await?;
    let data_dir = data_dir(&settings)?;
    let program = std::env::current_exe().map_err(Failure::failed)?;
    let store = EmbeddedStore::open(&data_dir, program.clone()).map_err(Failure::failed)?;
    let metadata: Arc<dyn MetaDataDao> = Arc::new(store);
    let files = FileBinaries::open(&data_dir).map_err(Failure::failed)?;
    let binaries: Arc<dyn BinaryDao> = Arc::new(files);

    let (surroundings, seen) = watch::channel(Surroundings::default());
    let launcher = ServerLauncher::new(&program, settings.config_file.as_deref(), &data_dir, seen);
    let launcher = launcher
        .map_err(Failure::failed)?
        .with_overrides(settings.overrides.clone());
    let effects = Effects {
        launcher,
        binaries: Arc::clone(&binaries),
    };
    let parts = parts(&settings, Arc::clone(&metadata), Arc::new(effects));
    let (handle, mut stopped) = host::start(parts).await.map_err(Failure::failed)?;
    tracing::info!(
        http = %format_args!("{}:{}", settings.http.bind, settings.http.port),
        cluster = %settings.cluster.address,
        data_dir = %data_dir.display(),
        "server started"
    );
    tokio::spawn(follow(handle.clone(), surroundings));
    let sweeper = Sweeper::new(Arc::clone(&metadata), Arc::clone(&binaries));
    tokio::spawn(sweep(sweeper, handle.clone()));

    let (stop_http, http_stops) = oneshot::channel::<()>();
    let router = http::router(Http {
        gateway: Arc::new(HostGateway(handle.clone())),
        metadata,
        binaries,
        settings: http_settings(&settings, &data_dir)?,
    });
    let limits = ServeLimits {
        idle_timeout: settings.http.idle_timeout,
        drain: DRAIN,
        ..ServeLimits::default()
    };
    let http_stops = async move {
        let _ = http_stops.await;
    };
    let serving = tokio::spawn(http::serve_with(listener, router, limits, http_stops));

    let mut signals = Signals::new()?;
    let reason = loop {
        tokio::select! {
            biased;
            reason = &mut stopped => break reason,
            again = signals.next() => {
                if again {
                    return Err(Failure::failed("stopped by a second signal before it had left"));
                }
                tracing::info!("leaving the cluster; a second signal stops at once");
                handle.leave();
            }
        }
    };
    let _ = stop_http.send(());
    let _ = tokio::time::timeout(DRAIN.saturating_mul(2), serving).await;
    let reason =
        reason.map_err(|error| Failure::failed(format!("the process host died: {error}")))?;
    Ok(exit_code(&reason))
}

fn exit_code(reason: &StopReason) -> u8 {
    match reason {
        StopReason::LeftOut { generation } => {
            tracing::warn!(%generation, "left out of the roster: start this server again");
            exit::START_AGAIN
        }
        StopReason::ClusterChanged { what } => {
            tracing::error!("{what}: this server's store changed under it; start it again");
            exit::START_AGAIN
        }
        StopReason::Left | StopReason::DriverDone | StopReason::DriverFenced { .. } => {
            exit::STOPPED
        }
        StopReason::Reincarnate => exit::START_AGAIN,
    }
}

/// The HTTP port opens before anything else, so that readiness can be asked (design.md 8).
async fn listen(settings: &Settings) -> Result<TcpListener, Failure> {
    let (bind, port) = (&settings.http.bind, settings.http.port);
    TcpListener::bind((bind.as_str(), port))
        .await
        .map_err(|error| {
            Failure::failed(format!(
                "cannot listen on {bind}:{port} for HTTP: {error}; set `spark.jobserver.port` to a \
             free port and `spark.jobserver.bind-address` to an address of this machine"
            ))
        })
}

fn data_dir(settings: &Settings) -> Result<PathBuf, Failure> {
    if settings.store != StoreKind::Embedded {
        return Err(Failure::usage(
            "only `doyen.store = embedded` is built so far: set it, or wait for a later release",
        ));
    }
    let folder = &settings.data_dir;
    let made = std::fs::create_dir_all(folder).and_then(|()| std::fs::canonicalize(folder));
    let folder = made.map_err(|error| {
        Failure::failed(format!(
            "cannot use the data folder {}: {error}; set `doyen.data-dir` to a folder that this \
             user may write",
            folder.display()
        ))
    })?;
    refuse_network_file_system(&folder).map_err(Failure::usage)?;
    Ok(folder)
}

fn parts(
    settings: &Settings,
    metadata: Arc<dyn MetaDataDao>,
    launcher: Arc<dyn Launcher>,
) -> HostParts<Process> {
    let core = settings.core.clone();
    let make = move |identity: Identity, now: Time| {
        let founding = Founding {
            cluster: ClusterId::new(uuid::Uuid::new_v4().to_string()),
            secret: Secret(format!(
                "{}{}",
                uuid::Uuid::new_v4().simple(),
                uuid::Uuid::new_v4().simple()
            )),
        };
        Process::Server(Box::new(ServerProcess::new(
            core.clone(),
            identity,
            founding,
            now,
        )))
    };
    HostParts {
        make: Box::new(make),
        address: settings.cluster.address.clone(),
        incarnation: None,
        role: Role::Server,
        cluster_name: settings.cluster.name.clone(),
        metadata,
        launcher,
        store_call: settings.core.times().store_call,
    }
}

fn http_settings(settings: &Settings, data_dir: &Path) -> Result<HttpSettings, Failure> {
    let spool_dir = data_dir.join("spool");
    std::fs::create_dir_all(&spool_dir).map_err(|error| {
        Failure::failed(format!("cannot make {}: {error}", spool_dir.display()))
    })?;
    let mut http = HttpSettings::new(spool_dir, |text| {
        parse_untrusted(text).map_err(|error| error.to_string())
    });
    http.max_content_length = settings.http.max_content_length;
    http.request_timeout = settings.http.request_timeout;
    http.idle_timeout = settings.http.idle_timeout;
    http.short_timeout = settings.jobs.short_timeout;
    http.context_creation_timeout = settings.jobs.context_creation_timeout;
    http.context_deletion_timeout = settings.jobs.context_deletion_timeout;
    http.gateway_hold = settings.core.times().gateway_hold;
    http.retention = settings.jobs.dao_cleanup_after;
    http.context_defaults = context_defaults(settings);
    http.spark_master.clone_from(&settings.spark_master);
    if !is_loopback(&settings.http.bind) {
        let text = format!(
            "HTTP listens on {} without authentication: whoever reaches it may run code",
            settings.http.bind
        );
        tracing::warn!("{text}");
        http.warnings.push(text);
    }
    Ok(http)
}

/// A context that says nothing else gets the server's engine.
fn context_defaults(settings: &Settings) -> Value {
    let mut defaults = settings.context_defaults.clone();
    if let Some(tree) = defaults.as_object_mut() {
        let own = tree.entry("doyen").or_insert_with(|| json!({}));
        if let Some(own) = own.as_object_mut() {
            own.entry("engine")
                .or_insert_with(|| json!(settings.engine));
        }
    }
    defaults
}

fn is_loopback(bind: &str) -> bool {
    bind == "localhost"
        || bind
            .parse::<std::net::IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

/// Keeps up to date what drivers are started with.
async fn follow(handle: HostHandle, surroundings: watch::Sender<Surroundings>) {
    let mut views = handle.watch_view();
    loop {
        let view = views.borrow_and_update().clone();
        let servers = view
            .members
            .iter()
            .filter(|member| member.role == Role::Server);
        let now = Surroundings {
            cluster: view.cluster.clone(),
            servers: servers
                .map(|member| member.identity.address.clone())
                .collect(),
        };
        surroundings.send_if_modified(|known| {
            let changed = *known != now;
            *known = now;
            changed
        });
        if views.changed().await.is_err() {
            return;
        }
    }
}

/// A server's effects: processes by the launcher, objects by the binary store.
struct Effects {
    launcher: ServerLauncher,
    binaries: Arc<dyn BinaryDao>,
}

#[async_trait]
impl Launcher for Effects {
    async fn begin(&self, effect: Effect, reports: mpsc::Sender<EffectReport>) {
        let Effect::DeleteObjects { names } = effect else {
            self.launcher.begin(effect, reports).await;
            return;
        };
        let binaries = Arc::clone(&self.binaries);
        tokio::spawn(async move {
            for name in names {
                if let Err(error) = binaries.delete(&name).await {
                    tracing::warn!(name, "an object whose job is gone was not deleted: {error}");
                }
            }
        });
    }
}

/// The gateway of the REST layer: the process's host.
struct HostGateway(HostHandle);

#[async_trait]
impl Gateway for HostGateway {
    async fn call(&self, call: NewCall) -> Answer {
        self.0.call(call).await
    }

    async fn submit(&self, job: NewJob) -> Answer {
        self.0.submit(job).await
    }

    async fn kill(&self, job: JobId) -> Answer {
        self.0.kill(job).await
    }

    fn view(&self) -> Arc<ClusterView> {
        self.0.view()
    }

    fn leave(&self) {
        self.0.leave();
    }
}

/// The signals that ask a process to stop.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    asked: bool,
}

impl Signals {
    pub(super) fn new() -> Result<Self, Failure> {
        let on = |kind| signal(kind).map_err(|e| Failure::failed(format!("no signals: {e}")));
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            asked: false,
        })
    }

    /// Waits for one; says whether it is a further one.
    pub(super) async fn next(&mut self) -> bool {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        std::mem::replace(&mut self.asked, true)
    }
}
