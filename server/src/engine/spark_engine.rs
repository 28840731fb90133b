//! The engine `spark`: one JVM a context through Spark's own Python gateway, one Python process a
//! job.
//!
//! ```text
//! keeper ─┬─ helper (sparkjobserver.context): owns the SparkContext ── JVM
//!         └─ job (sparkjobserver.job): attaches to the JVM; one a job
//! ```
//!
//! The gateway's secret goes from the helper to each job through pipes only.

use super::driver_launcher::EngineBase;
use super::job::{JobChild, JobControl, JobEnd, JobFiles, Step, private_copy};
use super::keeper::protocol::{ChildSpec, Exit, LOCK_FD, Rung};
use super::keeper_client::{ChildEvent, ChildHandle};
use super::result::RESULT_BYTES_MAX;
use super::spark_setup::{Python, spark_conf};
use doyen_core::identity::JobId;
use doyen_core::records::job::{BinaryType, JobError, JobRecord, JobRefusal};
use serde::Deserialize;
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

/// How long the SparkContext and its JVM may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// How long the helper may take to answer a cancel; it does nothing else.
const CANCEL_WITHIN: Duration = Duration::from_secs(5);
/// Cancels and stops that wait for the helper's task, which only passes them on.
const COMMANDS_MAX: usize = 16;
const OTHER_ENGINE: &str = "A context with the setting doyen.engine = process needs no Spark.";

/// A JVM with its SparkContext, ready for jobs.
pub(super) struct SparkEngine {
    /// Spark's application id.
    pub(super) application_id: Option<String>,
    /// Address of the Spark UI, if it is on.
    pub(super) url: Option<String>,
    gateway: Gateway,
    python: Python,
    canceller: Canceller,
    ended: watch::Receiver<Option<JobError>>,
}

/// How jobs attach to the JVM. No `Debug`: it holds the secret.
struct Gateway {
    port: u16,
    secret: String,
}

/// Cancels job groups through the context's helper.
#[derive(Clone)]
pub(super) struct Canceller(mpsc::Sender<HelperCommand>);

enum HelperCommand {
    Cancel(JobId, oneshot::Sender<u64>),
    Stop,
}

/// What the helper says, one JSON line each.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum HelperEvent {
    Ready {
        port: u16,
        secret: String,
        application_id: Option<String>,
        url: Option<String>,
    },
    Failed {
        message: String,
        #[serde(default)]
        stack: String,
    },
    Cancelled {
        job: JobId,
        active: u64,
    },
}

/// What a job's process says, one JSON line each.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum JobEvent {
    Running,
    Refused { refusal: JobRefusal },
    Failed { error: JobError },
    Finished,
}

impl Canceller {
    /// Cancels what a job runs in Spark; whether there was anything.
    pub(super) async fn cancel(&self, job: &JobId) -> bool {
        let (answer, answered) = oneshot::channel();
        let command = HelperCommand::Cancel(job.clone(), answer);
        if self.0.send(command).await.is_err() {
            return false;
        }
        match timeout(CANCEL_WITHIN, answered).await {
            Ok(Ok(active)) => active > 0,
            Ok(Err(_)) | Err(_) => false,
        }
    }
}

impl SparkEngine {
    /// Starts helper and JVM; returns when the SparkContext is there.
    pub(super) async fn start(base: &EngineBase) -> Result<Self, JobError> {
        let python = Python::of(base)?;
        let mut helper = base.keeper.child(helper_spec(base, &python)).await;
        let ready = loop {
            match helper.next().await {
                Some(ChildEvent::Started) => {}
                Some(ChildEvent::Line(line)) => match serde_json::from_str(&line) {
                    Ok(HelperEvent::Failed { message, stack }) => {
                        return Err(failed_start(&mut helper, message, stack).await);
                    }
                    Ok(ready @ HelperEvent::Ready { .. }) => break ready,
                    Ok(HelperEvent::Cancelled { .. }) | Err(_) => {}
                },
                Some(ChildEvent::Failed(reason)) => return Err(no_python(&python, &reason)),
                Some(ChildEvent::Exited(exit)) => return Err(ended_early(exit)),
                None => {
                    let what = "the keeper died while the engine started";
                    return Err(JobError::new("doyen.EngineFailed", what));
                }
            }
        };
        let HelperEvent::Ready {
            port,
            secret,
            application_id,
            url,
        } = ready
        else {
            return Err(JobError::new("doyen.EngineFailed", "no gateway was named"));
        };
        let (commands, queue) = mpsc::channel(COMMANDS_MAX);
        let (tell_ended, ended) = watch::channel(None);
        tokio::spawn(async move {
            let error = follow(helper, queue).await;
            let _ = tell_ended.send(Some(error));
        });
        Ok(Self {
            application_id,
            url,
            gateway: Gateway { port, secret },
            python,
            canceller: Canceller(commands),
            ended,
        })
    }

    /// Returns when helper or JVM are gone, with why.
    pub(super) async fn ended(&self) -> JobError {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await {
            Ok(error) => error.clone().unwrap_or_default(),
            Err(_) => JobError::new("doyen.EngineEnded", "the engine's helper is gone"),
        }
    }

    /// Stops the SparkContext and the JVM, within a bound; the keeper kills what is left.
    pub(super) async fn stop(&self) {
        let _ = self.canceller.0.send(HelperCommand::Stop).await;
        if timeout(STOP_WITHIN, self.ended()).await.is_err() {
            tracing::warn!("Spark did not stop within {STOP_WITHIN:?}; it is killed");
        }
    }
}

fn helper_spec(base: &EngineBase, python: &Python) -> ChildSpec {
    let master = &base.setup.defaults.spark_master;
    let temporary = base.folder.temporary();
    let input = json!({
        "name": base.context.name,
        "conf": spark_conf(&base.settings, &base.context.name, master, &temporary),
        "hive": base.settings.flag("spark.session.hive.enabled"),
        "lock_fd": LOCK_FD,
        "temporary": temporary,
    });
    let child = "engine".to_owned();
    python.spec(base, child, "sparkjobserver.context", format!("{input}\n"))
}

/// Passes commands to the helper and its answers back, until it is gone.
async fn follow(mut helper: ChildHandle, mut queue: mpsc::Receiver<HelperCommand>) -> JobError {
    let mut waiting: Vec<(JobId, oneshot::Sender<u64>)> = Vec::new();
    let mut last_words = None;
    loop {
        tokio::select! {
            biased;
            event = helper.next() => match event {
                Some(ChildEvent::Line(line)) => match serde_json::from_str(&line) {
                    Ok(HelperEvent::Cancelled { job, active }) => {
                        if let Some(at) = waiting.iter().position(|(id, _)| *id == job) {
                            let _ = waiting.swap_remove(at).1.send(active);
                        }
                    }
                    Ok(HelperEvent::Failed { message, .. }) => last_words = Some(message),
                    Ok(HelperEvent::Ready { .. }) | Err(_) => {}
                },
                Some(ChildEvent::Started) => {}
                Some(ChildEvent::Failed(reason)) => {
                    return JobError::new("doyen.EngineEnded", reason);
                }
                Some(ChildEvent::Exited(exit)) => return helper_exited(last_words, exit),
                None => {
                    return JobError::new("doyen.EngineEnded", "the keeper of the driver died");
                }
            },
            Some(command) = queue.recv() => match command {
                HelperCommand::Cancel(job, answer) => {
                    let line = json!({"command": "cancel", "job": job.as_str()});
                    waiting.push((job, answer));
                    helper.write(format!("{line}\n")).await;
                }
                HelperCommand::Stop => {
                    helper.write("{\"command\":\"stop\"}\n".into()).await;
                    helper.close_input().await;
                }
            },
        }
    }
}

fn helper_exited(last_words: Option<String>, exit: Exit) -> JobError {
    let what = format!(
        "the Python helper that holds Spark's JVM {}",
        exit.in_words()
    );
    JobError {
        message: last_words.unwrap_or(what),
        error_class: "doyen.EngineEnded".into(),
        stack: exit.last_output,
    }
}

/// The helper said why; its output says more.
async fn failed_start(helper: &mut ChildHandle, message: String, stack: String) -> JobError {
    let exited = async {
        loop {
            match helper.next().await {
                Some(ChildEvent::Exited(exit)) => return exit.last_output,
                None => return String::new(),
                Some(_) => {}
            }
        }
    };
    let last_output = timeout(CANCEL_WITHIN, exited).await.unwrap_or_default();
    helper.signal(Rung::Kill).await;
    JobError {
        message: format!("{message} {OTHER_ENGINE}"),
        error_class: "doyen.EngineFailed".into(),
        stack: format!("{stack}\n{last_output}").trim().to_owned(),
    }
}

fn no_python(python: &Python, reason: &str) -> JobError {
    let message = format!(
        "Python cannot be started: {reason}. Install Python 3.8 or later with `pip install \
         pyspark==3.5.6`, or name one that is there by the setting python.executable (now `{}`). \
         {OTHER_ENGINE}",
        python.executable
    );
    JobError::new("doyen.EngineFailed", message)
}

fn ended_early(exit: Exit) -> JobError {
    JobError {
        message: format!(
            "the Python helper {} before Spark was ready. {OTHER_ENGINE}",
            exit.in_words()
        ),
        error_class: "doyen.EngineFailed".into(),
        stack: exit.last_output,
    }
}

/// One Python job, from its package to its end.
pub(super) async fn run(
    base: &EngineBase,
    spark: &SparkEngine,
    job: &JobRecord,
    files: &JobFiles,
    control: JobControl,
    running: impl AsyncFnOnce(),
) -> JobEnd {
    let package = match package_of(base, job).await {
        Ok(package) => package,
        Err(end) => return end,
    };
    let input = json!({
        "port": spark.gateway.port,
        "secret": spark.gateway.secret,
        "job": job.id.as_str(),
        "main_class": job.main_class,
        "package": package,
        "package_name": job.class_path.first().map(|entry| entry.name.as_str()),
        "config": files.config,
        "context_config": base.context.settings,
        "result": files.result,
        "result_bytes_max": RESULT_BYTES_MAX,
        "lock_fd": LOCK_FD,
    });
    let child = format!("job-{}", job.id);
    let mut spec = spark
        .python
        .spec(base, child, "sparkjobserver.job", format!("{input}\n"));
    spec.log = files.log.clone();
    let mut child = JobChild {
        job: &job.id,
        handle: base.keeper.child(spec).await,
        control,
        canceller: Some(&spark.canceller),
    };
    let mut running = Some(running);
    let mut said = None;
    loop {
        match child.step().await {
            Step::Started => {}
            Step::Line(line) => match serde_json::from_str(&line) {
                Ok(JobEvent::Running) => {
                    if let Some(running) = running.take() {
                        running().await;
                    }
                }
                Ok(JobEvent::Refused { refusal }) => said = Some(JobEnd::Refused(refusal)),
                Ok(JobEvent::Failed { error }) => said = Some(JobEnd::Failed(error)),
                Ok(JobEvent::Finished) => said = Some(JobEnd::Returned),
                Err(e) => tracing::warn!("a line of job {} cannot be read: {e}", job.id),
            },
            Step::NotStarted(reason) => {
                return JobEnd::Failed(no_python(&spark.python, &reason));
            }
            Step::Exited(exit) => return said.unwrap_or_else(|| ended_silently(exit)),
            Step::Ended(end) => return end,
        }
    }
}

fn ended_silently(exit: Exit) -> JobEnd {
    let message = format!(
        "the job's Python process {} without a result",
        exit.in_words()
    );
    JobEnd::failed("doyen.JobProcessEnded", message, exit.last_output)
}

async fn package_of(base: &EngineBase, job: &JobRecord) -> Result<PathBuf, JobEnd> {
    let is_package =
        |kind: BinaryType| matches!(kind, BinaryType::Egg | BinaryType::Wheel | BinaryType::Uri);
    let packages: Vec<_> = job
        .class_path
        .iter()
        .filter(|entry| is_package(entry.binary_type))
        .collect();
    let [entry] = packages.as_slice() else {
        return Err(JobEnd::loading_failed(format!(
            "Python should have exactly one package file! Found: {}",
            packages.len()
        )));
    };
    let fetched = base.setup.binaries.fetch(entry).await;
    let fetched = fetched.map_err(JobEnd::Refused)?;
    let name = entry.hash.as_deref().unwrap_or(job.id.as_str());
    let name = super::paths::plain_name(name).map_err(|e| JobEnd::io("the package", &e))?;
    // Spark puts what ends in `.zip` on the path of its executors, and what ends in `.whl` not.
    let copy = base.folder.packages().join(format!("{name}.zip"));
    let made = tokio::task::spawn_blocking({
        let copy = copy.clone();
        move || private_copy(&fetched, &copy, 0o600)
    });
    match made.await {
        Ok(Ok(())) => Ok(copy),
        Ok(Err(e)) => Err(JobEnd::io("the package cannot be made ready", &e)),
        Err(e) => Err(JobEnd::io("the package", &std::io::Error::other(e))),
    }
}
