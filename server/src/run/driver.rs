//! `doyen driver`: the driver of one context, put together.

use super::Failure;
use super::fetch::{Fetcher, Results};
use super::server::Signals;
use crate::binaries::cache::{BinaryCache, CACHE_BYTES_MAX};
use crate::binaries::files::FileBinaries;
use crate::cli::{DriverArgs, exit};
use crate::config::Settings;
use crate::engine::driver_launcher::KeeperCommand;
use crate::engine::driver_launcher::{DriverLauncher, DriverSetup, EngineDefaults};
use crate::engine::lock::DriverLock;
use crate::engine::paths::DriverFolder;
use crate::engine::process_table::process_id_of_self;
use crate::store::embedded::EmbeddedStore;
use doyen_core::driver::{DriverLaunch, DriverProcess};
use doyen_core::identity::{Address, ClusterId, ContextId, Role};
use doyen_core::output::StopReason;
use doyen_core::process::Process;
use doyen_core::records::context::IntentNumber;
use doyen_runtime::host::{self, HostParts};
use doyen_runtime::store::BinaryDao;
use std::sync::Arc;

pub(super) async fn run(settings: Settings, args: DriverArgs) -> Result<u8, Failure> {
    let context = ContextId::new(args.context.clone());
    let folder = DriverFolder::new(&args.data_dir, &context).map_err(Failure::failed)?;
    folder.make().map_err(Failure::failed)?;
    // E2: the lock first, then the record, then the engine.
    let lock = DriverLock::take(&folder.lock()).map_err(Failure::failed)?;
    let program = std::env::current_exe().map_err(Failure::failed)?;
    let store = EmbeddedStore::open(&args.data_dir, program).map_err(Failure::failed)?;
    let files = FileBinaries::open(&args.data_dir).map_err(Failure::failed)?;
    let binaries: Arc<dyn BinaryDao> = Arc::new(files);
    let launcher = launcher(&settings, &args, &folder, lock, binaries)?;

    let process = process_id_of_self().map_err(Failure::failed)?;
    let core = settings.core.clone();
    let make = {
        let (cluster, servers) = (ClusterId::new(args.cluster), args.servers);
        move |identity, now| {
            let launch = DriverLaunch {
                identity,
                cluster: cluster.clone(),
                context: context.clone(),
                intent: IntentNumber(args.intent),
                process: process.clone(),
                servers: servers.clone(),
            };
            Process::Driver(Box::new(DriverProcess::new(core.clone(), launch, now)))
        }
    };
    let parts = HostParts {
        make: Box::new(make),
        // A driver listens nowhere; the name keeps drivers of one host apart.
        address: Address::new(format!("driver-{}", args.incarnation), 0),
        incarnation: Some(args.incarnation),
        role: Role::Driver,
        cluster_name: settings.cluster.name.clone(),
        metadata: Arc::new(store),
        launcher: Arc::new(launcher),
        store_call: settings.core.times().store_call,
    };
    let (handle, mut stopped) = host::start(parts).await.map_err(Failure::failed)?;
    let mut signals = Signals::new()?;
    let reason = loop {
        tokio::select! {
            biased;
            reason = &mut stopped => break reason,
            again = signals.next() => {
                if again {
                    return Err(Failure::failed("stopped by a second signal"));
                }
                handle.leave();
            }
        }
    };
    let reason =
        reason.map_err(|error| Failure::failed(format!("the process host died: {error}")))?;
    if let StopReason::DriverFenced { what } = &reason {
        tracing::warn!("{what}");
    }
    Ok(exit::STOPPED)
}

/// What carries out this driver's effects: its engine under a keeper.
fn launcher(
    settings: &Settings,
    args: &DriverArgs,
    folder: &DriverFolder,
    lock: DriverLock,
    binaries: Arc<dyn BinaryDao>,
) -> Result<DriverLauncher, Failure> {
    let cache = BinaryCache::open(&settings.cache_dir, CACHE_BYTES_MAX).map_err(Failure::failed)?;
    let keeper = KeeperCommand {
        program: std::env::current_exe().map_err(Failure::failed)?,
        arguments: vec!["keeper".to_owned()],
        environment: Default::default(),
    };
    DriverLauncher::new(DriverSetup {
        data_dir: args.data_dir.clone(),
        context: ContextId::new(args.context.clone()),
        incarnation: args.incarnation,
        lock,
        keeper,
        binaries: Arc::new(Fetcher::new(
            Arc::clone(&binaries),
            cache,
            folder.temporary(),
        )),
        results: Arc::new(Results(binaries)),
        defaults: EngineDefaults {
            python: settings.python.clone(),
            spark_master: settings.spark_master.clone(),
        },
    })
    .map_err(Failure::failed)
}
