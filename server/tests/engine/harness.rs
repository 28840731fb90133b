//! A driver's launcher on trial: its folder, its binaries, its reports.

use crate::roles;
use async_trait::async_trait;
use bytes::Bytes;
use doyen::engine::driver_launcher::{
    BinaryFetcher, DriverLauncher, DriverSetup, EngineDefaults, KeeperCommand, ResultStore,
};
use doyen::engine::environment;
use doyen::engine::lock::DriverLock;
use doyen::engine::paths::DriverFolder;
use doyen::engine::process_table::marked;
use doyen_core::identity::{ContextId, Incarnation, JobId};
use doyen_core::input::EffectReport;
use doyen_core::output::Effect;
use doyen_core::records::Rest;
use doyen_core::records::context::{ContextRecord, ContextState};
use doyen_core::records::job::{
    BinaryType, ClassPathEntry, JobError, JobRecord, JobRefusal, JobState, Payload,
};
use doyen_core::time::Stamp;
use doyen_runtime::launcher::Launcher;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex as AsyncMutex, mpsc};

/// A minute is far more than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// A driver's launcher with an engine that was told to start.
pub(crate) struct Trial {
    pub(crate) context: ContextId,
    pub(crate) incarnation: Incarnation,
    pub(crate) folder: DriverFolder,
    pub(crate) store: Arc<Store>,
    launcher: DriverLauncher,
    sender: mpsc::Sender<EffectReport>,
    reports: AsyncMutex<mpsc::Receiver<EffectReport>>,
    /// Removed when the trial is over; `None` when its folder belongs to another.
    _data: Option<tempfile::TempDir>,
}

/// Binaries by their path, results by their name.
#[derive(Default)]
pub(crate) struct Store {
    pub(crate) results: Mutex<BTreeMap<String, Bytes>>,
    /// How often a result is refused before it is taken.
    pub(crate) refusals: AtomicUsize,
}

#[async_trait]
impl BinaryFetcher for Store {
    async fn fetch(&self, entry: &ClassPathEntry) -> Result<PathBuf, JobRefusal> {
        let path = PathBuf::from(&entry.name);
        if path.exists() {
            return Ok(path);
        }
        let error = JobError::new("doyen.Test", format!("no binary {}", entry.name));
        Err(JobRefusal::LoadingFailed { error })
    }

    async fn object(&self, name: &str) -> io::Result<PathBuf> {
        Ok(PathBuf::from(name))
    }
}

#[async_trait]
impl ResultStore for Store {
    async fn put(&self, name: &str, bytes: Bytes) -> io::Result<()> {
        let refused = self
            .refusals
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if refused.is_ok() {
            return Err(io::Error::other("the store is away"));
        }
        self.results.lock().unwrap().insert(name.into(), bytes);
        Ok(())
    }
}

/// A number that no other trial has: trials know their processes by it.
fn drawn() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}

/// A shell script as an executable's content.
pub(crate) fn script(body: &str) -> String {
    format!("#!/bin/sh\n{body}\n")
}

impl Trial {
    pub(crate) async fn new(settings: &str) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut trial = Self::at(data.path().to_owned(), settings).await;
        trial._data = Some(data);
        trial
    }

    /// In a folder of another's.
    pub(crate) async fn at(data_dir: PathBuf, settings: &str) -> Self {
        let context = ContextId::new("018e2b1c-5f00-7000-8000-000000000001");
        let incarnation = Incarnation(drawn());
        let folder = DriverFolder::new(&data_dir, &context).unwrap();
        folder.make().unwrap();
        let store = Arc::new(Store::default());
        let setup = DriverSetup {
            data_dir,
            context: context.clone(),
            incarnation,
            lock: DriverLock::take(&folder.lock()).unwrap(),
            keeper: KeeperCommand {
                program: std::env::current_exe().unwrap(),
                arguments: roles::arguments("keeper_process"),
                environment: roles::environment("keeper_process"),
            },
            binaries: Arc::<Store>::clone(&store),
            results: Arc::<Store>::clone(&store),
            defaults: EngineDefaults {
                spark_master: "local[2]".into(),
                ..EngineDefaults::default()
            },
        };
        let (sender, reports) = mpsc::channel(64);
        let trial = Self {
            launcher: DriverLauncher::new(setup).unwrap(),
            reports: AsyncMutex::new(reports),
            context,
            incarnation,
            folder,
            store,
            sender,
            _data: None,
        };
        let context = Box::new(started(&trial.context, settings));
        trial.begin(Effect::StartEngine { context }).await;
        trial
    }

    pub(crate) async fn begin(&self, effect: Effect) {
        self.launcher.begin(effect, self.sender.clone()).await;
    }

    pub(crate) async fn next(&self) -> EffectReport {
        let mut reports = self.reports.lock().await;
        let next = tokio::time::timeout(PATIENCE, reports.recv()).await;
        next.expect("no report within its time").unwrap()
    }

    pub(crate) async fn expect_ready(&self) -> Option<String> {
        match self.next().await {
            EffectReport::EngineReady { application_id, .. } => application_id,
            other => panic!("the engine is not ready: {other:#?}"),
        }
    }

    /// Submits an executable of this content.
    pub(crate) async fn submit(&self, id: &str, program: String, main: &str, config: &str) {
        let path = self.folder.path().join(format!("{id}.upload"));
        std::fs::write(&path, program).unwrap();
        let entry = ClassPathEntry {
            name: path.to_string_lossy().into_owned(),
            binary_type: BinaryType::Executable,
            hash: Some(format!("hash-{id}")),
        };
        self.submit_with(id, vec![entry], main, config).await;
    }

    pub(crate) async fn submit_with(
        &self,
        id: &str,
        class_path: Vec<ClassPathEntry>,
        main: &str,
        config: &str,
    ) {
        let job = JobRecord {
            id: JobId::new(id),
            context: self.context.clone(),
            context_name: "trial".into(),
            main_class: main.into(),
            class_path,
            config: Payload::Inline(config.into()),
            sync: false,
            user: "anonymous".into(),
            state: JobState::Submitted,
            kill: false,
            started: Stamp(1),
            ended: None,
            never_ran: false,
            error: None,
            result: None,
            key: None,
            rest: Rest::new(),
        };
        let job = Box::new(job);
        self.begin(Effect::StartJob { job }).await;
    }

    pub(crate) async fn kill(&self, id: &str) {
        let job = JobId::new(id);
        self.begin(Effect::KillJob { job }).await;
    }

    /// Stops the engine and sees that nothing is left of it.
    pub(crate) async fn stop(&self) {
        self.begin(Effect::StopEngine).await;
        loop {
            match self.next().await {
                EffectReport::EngineEnded { orderly, error } => {
                    assert!(orderly, "not in order: {error:?}");
                    break;
                }
                EffectReport::JobKilled { .. } => {}
                other => panic!("{other:#?}"),
            }
        }
        self.expect_nothing_left().await;
    }

    /// The live processes of this driver's attempt.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let mark = environment::mark(&self.context, self.incarnation);
        marked(|found| found == mark).into_iter().collect()
    }

    pub(crate) async fn expect_nothing_left(&self) {
        until("every process of the driver is gone", || {
            self.processes().is_empty()
        })
        .await;
    }
}

/// A context that was just accepted.
pub(crate) fn started(id: &ContextId, settings: &str) -> ContextRecord {
    ContextRecord {
        id: id.clone(),
        name: "trial".into(),
        settings: settings.into(),
        adhoc: false,
        user: "anonymous".into(),
        state: ContextState::Started,
        intent: None,
        ending: None,
        started: Stamp(1),
        ended: None,
        error: None,
        application_id: None,
        url: None,
        key: None,
        rest: Rest::new(),
    }
}

/// Waits for a condition; fails with its name.
pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "it never came that {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The bytes of all files below a folder.
pub(crate) fn bytes_below(folder: &Path) -> u64 {
    std::fs::read_dir(folder).map_or(0, |entries| {
        entries
            .filter_map(Result::ok)
            .map(|entry| match entry.metadata() {
                Ok(data) if data.is_dir() => bytes_below(&entry.path()),
                Ok(data) => data.len(),
                Err(_) => 0,
            })
            .sum()
    })
}

pub(crate) fn running(job: &str) -> EffectReport {
    EffectReport::JobRunning {
        job: JobId::new(job),
    }
}

pub(crate) fn killed(job: &str, rung: &str) -> EffectReport {
    EffectReport::JobKilled {
        job: JobId::new(job),
        rung: rung.into(),
    }
}

pub(crate) fn finished(job: &str, result: &str) -> EffectReport {
    EffectReport::JobFinished {
        job: JobId::new(job),
        result: Payload::Inline(result.into()),
    }
}

/// The error of a job that failed.
#[track_caller]
pub(crate) fn failure(report: EffectReport) -> JobError {
    match report {
        EffectReport::JobFailed { error, .. } => error,
        other => panic!("the job did not fail: {other:#?}"),
    }
}
