//! The effects of a driver: engine and jobs (design.md 8, protocol.md E4, J).
//!
//! ```text
//! StartEngine ─> keeper ─> engine child ─> EngineReady ... EngineEnded
//! StartJob    ─> JobRunning ─> JobFinished | JobFailed | JobKilled
//!             └> JobRefused | JobFailed | JobKilled
//! ```

pub use super::driver_setup::{BinaryFetcher, DriverSetup, EngineDefaults, ResultStore};
use super::environment;
use super::job::{self, JobControl, JobEnd, JobFiles, raised};
use super::keeper_client::Keeper;
pub use super::keeper_client::KeeperCommand;
use super::paths::DriverFolder;
use super::process_engine;
use super::result::{keep_result, read_result};
use super::settings::Settings;
use super::spark_engine::{self, SparkEngine};
use async_trait::async_trait;
use doyen_core::identity::JobId;
use doyen_core::input::EffectReport;
use doyen_core::output::Effect;
use doyen_core::records::context::ContextRecord;
use doyen_core::records::job::{JobError, JobRecord};
use doyen_runtime::launcher::Launcher;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

/// How long jobs may take to end once their engine is gone.
const JOBS_END_WITHIN: Duration = Duration::from_secs(8);

/// Carries out the effects of one driver.
pub struct DriverLauncher {
    shared: Arc<Shared>,
}

struct Shared {
    setup: Arc<DriverSetup>,
    folder: DriverFolder,
    /// Set to stop the engine; closed with this launcher.
    stop: watch::Sender<bool>,
    engine: watch::Sender<Option<Arc<Engine>>>,
    jobs: Mutex<BTreeMap<JobId, watch::Sender<bool>>>,
    /// Results that wait for the store (J4).
    spooled: watch::Sender<usize>,
}

/// What an engine and its jobs work with.
pub(super) struct EngineBase {
    pub(super) setup: Arc<DriverSetup>,
    pub(super) folder: DriverFolder,
    pub(super) context: ContextRecord,
    pub(super) settings: Settings,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) keeper: Arc<Keeper>,
}

struct Engine {
    base: EngineBase,
    /// The Spark side; `None` for engine `process`.
    spark: Option<SparkEngine>,
    gone: watch::Sender<Option<String>>,
}

impl DriverLauncher {
    /// A launcher of this driver. Nothing is started.
    ///
    /// # Errors
    /// The context's id is no file name.
    pub fn new(setup: DriverSetup) -> io::Result<Self> {
        let folder = DriverFolder::new(&setup.data_dir, &setup.context)?;
        Ok(Self {
            shared: Arc::new(Shared {
                setup: Arc::new(setup),
                folder,
                stop: watch::Sender::new(false),
                engine: watch::Sender::new(None),
                jobs: Mutex::default(),
                spooled: watch::Sender::new(0),
            }),
        })
    }
}

#[async_trait]
impl Launcher for DriverLauncher {
    async fn begin(&self, effect: Effect, reports: mpsc::Sender<EffectReport>) {
        let shared = Arc::clone(&self.shared);
        match effect {
            Effect::StartEngine { context } => {
                tokio::spawn(async move { shared.run_engine(*context, reports).await });
            }
            Effect::StopEngine => {
                shared.stop.send_replace(true);
            }
            Effect::StartJob { job } => {
                let kill = watch::Sender::new(false);
                let killed = kill.subscribe();
                held(&shared.jobs).insert(job.id.clone(), kill);
                tokio::spawn(async move { shared.run_job(*job, killed, reports).await });
            }
            Effect::KillJob { job } => {
                let kill = held(&shared.jobs).get(&job).cloned();
                if let Some(kill) = kill {
                    kill.send_replace(true);
                } else {
                    // Nothing runs of it: it is over, or was never started.
                    let rung = "cancelled".to_owned();
                    let report = EffectReport::JobKilled { job, rung };
                    tokio::spawn(async move { reports.send(report).await });
                }
            }
            Effect::Launch { .. }
            | Effect::Verify { .. }
            | Effect::Kill { .. }
            | Effect::DeleteObjects { .. } => {
                tracing::error!("an effect of a server came to a driver: {effect:?}");
            }
        }
    }
}

impl Shared {
    /// One engine, from its start to its end.
    async fn run_engine(&self, context: ContextRecord, reports: mpsc::Sender<EffectReport>) {
        let (orderly, error) = match self.prepare(context) {
            Ok(base) => self.run_prepared(base, &reports).await,
            Err(error) => (false, Some(error)),
        };
        // Sockets, shuffle files and the like; logs stay.
        let _ = std::fs::remove_dir_all(self.folder.temporary());
        let _ = reports
            .send(EffectReport::EngineEnded { orderly, error })
            .await;
    }

    fn prepare(&self, context: ContextRecord) -> Result<EngineBase, JobError> {
        let refuse = |message: String| JobError::new("doyen.EngineFailed", message);
        let settings = Settings::parse(&context.settings).map_err(refuse)?;
        let setup = Arc::clone(&self.setup);
        let mut environment = environment::of_attempt(&setup.context, setup.incarnation);
        let temporary = self.folder.temporary().to_string_lossy().into_owned();
        environment.insert("TMPDIR".into(), temporary);
        let started = job::make_folders(&self.folder)
            .and_then(|()| Keeper::start(&setup.keeper, &setup.lock, &environment));
        let keeper = started.map_err(|e| refuse(format!("the engine cannot be started: {e}")))?;
        Ok(EngineBase {
            folder: self.folder.clone(),
            setup,
            context,
            settings,
            environment,
            keeper,
        })
    }

    async fn run_prepared(
        &self,
        base: EngineBase,
        reports: &mpsc::Sender<EffectReport>,
    ) -> (bool, Option<JobError>) {
        let keeper = Arc::clone(&base.keeper);
        let mut stop = self.stop.subscribe();
        let spark = tokio::select! {
            biased;
            () = raised(&mut stop) => {
                keeper.end().await;
                return (true, None);
            }
            spark = start_spark(&base) => spark,
        };
        let spark = match spark {
            Ok(spark) => spark,
            Err(error) => {
                keeper.end().await;
                return (false, Some(error));
            }
        };
        let ready = EffectReport::EngineReady {
            application_id: spark
                .as_ref()
                .and_then(|spark| spark.application_id.clone()),
            url: spark.as_ref().and_then(|spark| spark.url.clone()),
        };
        let engine = Arc::new(Engine {
            base,
            spark,
            gone: watch::Sender::new(None),
        });
        self.engine.send_replace(Some(Arc::clone(&engine)));
        let _ = reports.send(ready).await;
        let error = tokio::select! {
            biased;
            () = raised(&mut stop) => None,
            error = engine.ended() => Some(error),
        };
        self.end_jobs(&engine, error.as_ref()).await;
        if let (None, Some(spark)) = (&error, &engine.spark) {
            spark.stop().await;
        }
        self.engine.send_replace(None);
        if !keeper.end().await {
            tracing::error!("the keeper did not end in time; what it started may still live");
        }
        (error.is_none(), error)
    }

    /// Jobs of an engine that is stopped are killed; those of one that died fail with it.
    async fn end_jobs(&self, engine: &Engine, error: Option<&JobError>) {
        match error {
            Some(error) => {
                engine.gone.send_replace(Some(error.message.clone()));
            }
            None => {
                for kill in held(&self.jobs).values() {
                    kill.send_replace(true);
                }
            }
        }
        let all_over = async {
            while !held(&self.jobs).is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if timeout(JOBS_END_WITHIN, all_over).await.is_err() {
            tracing::error!("jobs did not end with their engine in time");
        }
    }

    async fn run_job(
        &self,
        job: JobRecord,
        kill: watch::Receiver<bool>,
        reports: mpsc::Sender<EffectReport>,
    ) {
        let id = job.id.clone();
        let report = match self.engine_for_job(kill.clone()).await {
            Ok(engine) => {
                let gone = engine.gone.subscribe();
                let control = JobControl { kill, gone };
                self.run_on(&engine, &job, control, &reports).await
            }
            Err(end) => report_of(&job, end),
        };
        held(&self.jobs).remove(&id);
        let _ = reports.send(report).await;
    }

    /// Waits until the engine is there and no result waits for the store (J4).
    async fn engine_for_job(&self, mut kill: watch::Receiver<bool>) -> Result<Arc<Engine>, JobEnd> {
        let mut spooled = self.spooled.subscribe();
        tokio::select! {
            biased;
            () = raised(&mut kill) => return Err(JobEnd::Killed("cancelled")),
            _ = spooled.wait_for(|count| *count == 0) => {}
        }
        self.engine.borrow().clone().ok_or_else(|| {
            JobEnd::failed(
                "doyen.EngineEnded",
                "the engine of the context is not there".into(),
                String::new(),
            )
        })
    }

    async fn run_on(
        &self,
        engine: &Engine,
        job: &JobRecord,
        mut control: JobControl,
        reports: &mpsc::Sender<EffectReport>,
    ) -> EffectReport {
        let base = &engine.base;
        let mut stopping = control.clone();
        let made = tokio::select! {
            biased;
            () = raised(&mut stopping.kill) => return report_of(job, JobEnd::Killed("cancelled")),
            made = JobFiles::make(&base.folder, job, &*base.setup.binaries) => made,
        };
        let files = match made {
            Ok(files) => files,
            Err(e) => return report_of(job, JobEnd::io("the job cannot be made ready", &e)),
        };
        let running = async || {
            let job = job.id.clone();
            let _ = reports.send(EffectReport::JobRunning { job }).await;
        };
        let end = match &engine.spark {
            None => process_engine::run(base, job, &files, control.clone(), running).await,
            Some(spark) => {
                spark_engine::run(base, spark, job, &files, control.clone(), running).await
            }
        };
        let report = match end {
            JobEnd::Returned => self.finish(job, &files, &mut control).await,
            other => report_of(job, other),
        };
        files.remove(job);
        report
    }

    async fn finish(
        &self,
        job: &JobRecord,
        files: &JobFiles,
        control: &mut JobControl,
    ) -> EffectReport {
        let path = files.result.clone();
        let read = tokio::task::spawn_blocking(move || read_result(&path)).await;
        let text = match read.unwrap_or_else(|e| Err(e.to_string())) {
            Ok(text) => text,
            Err(why) => {
                let message = format!("the job returned, but {why}");
                let end = JobEnd::failed("doyen.ResultRefused", message, String::new());
                return report_of(job, end);
            }
        };
        let results = &*self.setup.results;
        match keep_result(&job.id, text, results, &self.spooled, control).await {
            Some(result) => EffectReport::JobFinished {
                job: job.id.clone(),
                result,
            },
            None => report_of(job, JobEnd::Killed("cancelled")),
        }
    }
}

impl Engine {
    /// Returns when the engine died, with why.
    async fn ended(&self) -> JobError {
        let keeper_gone = async {
            self.base.keeper.wait_gone().await;
            JobError::new("doyen.EngineEnded", "the keeper of the driver died")
        };
        match &self.spark {
            None => keeper_gone.await,
            Some(spark) => tokio::select! {
                biased;
                error = spark.ended() => error,
                error = keeper_gone => error,
            },
        }
    }
}

async fn start_spark(base: &EngineBase) -> Result<Option<SparkEngine>, JobError> {
    match base.settings.text("doyen.engine").as_deref() {
        Some("process") => Ok(None),
        None | Some("spark") => SparkEngine::start(base).await.map(Some),
        Some(other) => {
            let message = format!(
                "the context's setting doyen.engine is `{other}`; it may be spark or process"
            );
            Err(JobError::new("doyen.EngineFailed", message))
        }
    }
}

fn report_of(job: &JobRecord, end: JobEnd) -> EffectReport {
    let job = job.id.clone();
    match end {
        JobEnd::Refused(refusal) => EffectReport::JobRefused { job, refusal },
        JobEnd::Failed(error) => EffectReport::JobFailed { job, error },
        JobEnd::Killed(rung) => EffectReport::JobKilled {
            job,
            rung: rung.into(),
        },
        // Returned is answered by `finish`, which knows the result.
        JobEnd::Returned => EffectReport::JobFailed {
            job,
            error: JobError::new("doyen.DriverError", "a result was not kept"),
        },
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
