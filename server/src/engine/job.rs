//! What all engines share about jobs: their files, and their child under control.

use super::driver_setup::BinaryFetcher;
use super::keeper::protocol::{Exit, Rung};
use super::keeper_client::{ChildEvent, ChildHandle};
use super::paths::{DriverFolder, make_private, named, plain_name};
use super::spark_engine::Canceller;
use doyen_core::identity::JobId;
use doyen_core::records::job::{JobError, JobRecord, JobRefusal, Payload};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// How many jobs' logs one driver keeps; each is at most 8 MiB.
const LOGS_MAX: usize = 32;
/// How long a cancelled job may take to end.
const CANCEL_WITHIN: Duration = Duration::from_secs(3);
/// How long a terminated job may take to end.
const TERMINATE_WITHIN: Duration = Duration::from_secs(2);
/// How a job ended, its result still on this host.
#[derive(Debug)]
pub(super) enum JobEnd {
    /// It returned JSON, which lies in its result file.
    Returned,
    /// It was refused before it ran.
    Refused(JobRefusal),
    /// It failed.
    Failed(JobError),
    /// It was killed, by this rung.
    Killed(&'static str),
}

impl JobEnd {
    pub(super) fn loading_failed(message: impl Into<String>) -> Self {
        let error = JobError::new("doyen.LoadingFailed", message);
        Self::Refused(JobRefusal::LoadingFailed { error })
    }

    pub(super) fn failed(class: &str, message: String, last_output: String) -> Self {
        Self::Failed(JobError {
            message,
            error_class: class.into(),
            stack: last_output,
        })
    }

    pub(super) fn io(what: &str, e: &io::Error) -> Self {
        Self::failed("doyen.DriverError", format!("{what}: {e}"), String::new())
    }
}

/// Where a job's files lie.
#[derive(Clone, Debug)]
pub(super) struct JobFiles {
    /// Its configuration.
    pub(super) config: PathBuf,
    /// Its result.
    pub(super) result: PathBuf,
    /// Its output.
    pub(super) log: PathBuf,
}

impl JobFiles {
    /// Names the files of a job, writes its configuration, and drops the oldest jobs' logs.
    pub(super) async fn make(
        folder: &DriverFolder,
        job: &JobRecord,
        binaries: &dyn BinaryFetcher,
    ) -> io::Result<Self> {
        let jobs = folder.jobs();
        let name = plain_name(job.id.as_str())?;
        prune_logs(&jobs);
        let mut files = Self {
            config: jobs.join(format!("{name}.config")),
            result: jobs.join(format!("{name}.result")),
            log: jobs.join(format!("{name}.log")),
        };
        match &job.config {
            Payload::Inline(text) => write_private(&files.config, text.as_bytes())?,
            Payload::Object(name) => files.config = binaries.object(name).await?,
        }
        Ok(files)
    }

    /// Removes what is not needed after the job; its log stays.
    pub(super) fn remove(&self, job: &JobRecord) {
        if matches!(job.config, Payload::Inline(_)) {
            let _ = fs::remove_file(&self.config);
        }
        let _ = fs::remove_file(&self.result);
    }
}

/// Makes the folders of a driver.
pub(super) fn make_folders(folder: &DriverFolder) -> io::Result<()> {
    folder.make()?;
    // What an earlier attempt left of half-written things is of no use.
    let _ = fs::remove_dir_all(folder.temporary());
    for inner in [
        folder.jobs(),
        folder.packages(),
        folder.work(),
        folder.temporary(),
    ] {
        make_private(&inner)?;
    }
    Ok(())
}

/// A private copy of a fetched binary, under a name of our choice and with these permissions.
///
/// The fetched file is another's: its mode and its name are not ours to change.
pub(super) fn private_copy(from: &Path, to: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    if to.exists() {
        return Ok(());
    }
    let folder = to.parent().unwrap_or(Path::new("."));
    let mut copy = tempfile::NamedTempFile::new_in(folder)
        .map_err(|e| named(&e, "cannot write into", folder))?;
    let mut source = fs::File::open(from).map_err(|e| named(&e, "cannot read", from))?;
    io::copy(&mut source, copy.as_file_mut()).map_err(|e| named(&e, "cannot write", to))?;
    copy.as_file()
        .set_permissions(fs::Permissions::from_mode(mode))?;
    // The writing handle is closed before the name appears: else its execution may be refused.
    copy.into_temp_path()
        .persist(to)
        .map_err(|e| named(&e.error, "cannot make", to))
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    fs::File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(bytes))
        .map_err(|e| named(&e, "cannot write", path))
}

fn prune_logs(jobs: &Path) {
    let Ok(entries) = fs::read_dir(jobs) else {
        return;
    };
    let mut logs: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "log"))
        .collect();
    // Ids of jobs sort by time.
    logs.sort();
    let over = logs.len().saturating_sub(LOGS_MAX.saturating_sub(1));
    for log in logs.into_iter().take(over) {
        for end in ["", ".tail-a", ".tail-b"] {
            let mut path = log.clone().into_os_string();
            path.push(end);
            let _ = fs::remove_file(path);
        }
    }
}

/// What may end a job from outside.
#[derive(Clone)]
pub(super) struct JobControl {
    /// A kill was asked for.
    pub(super) kill: watch::Receiver<bool>,
    /// The engine ended, and why.
    pub(super) gone: watch::Receiver<Option<String>>,
}

/// Returns once the flag is up; never when it cannot be raised any more.
pub(super) async fn raised(flag: &mut watch::Receiver<bool>) {
    if flag.wait_for(|flag| *flag).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn why_gone(gone: &mut watch::Receiver<Option<String>>) -> String {
    match gone.wait_for(Option::is_some).await {
        Ok(why) => why.clone().unwrap_or_default(),
        Err(_) => "it was dropped".into(),
    }
}

/// A job's process, followed until it ends, however.
pub(super) struct JobChild<'a> {
    pub(super) job: &'a JobId,
    pub(super) handle: ChildHandle,
    pub(super) control: JobControl,
    /// How its Spark jobs are cancelled; `None` for engines without.
    pub(super) canceller: Option<&'a Canceller>,
}

/// What a job's process did.
pub(super) enum Step {
    Started,
    Line(String),
    NotStarted(String),
    Exited(Exit),
    Ended(JobEnd),
}

impl JobChild<'_> {
    pub(super) async fn step(&mut self) -> Step {
        tokio::select! {
            biased;
            () = raised(&mut self.control.kill) => Step::Ended(JobEnd::Killed(self.kill().await)),
            why = why_gone(&mut self.control.gone) => Step::Ended(self.end_with_engine(why).await),
            event = self.handle.next() => match event {
                Some(ChildEvent::Started) => Step::Started,
                Some(ChildEvent::Line(line)) => Step::Line(line),
                Some(ChildEvent::Failed(reason)) => Step::NotStarted(reason),
                Some(ChildEvent::Exited(exit)) => Step::Exited(exit),
                None => Step::Ended(JobEnd::failed(
                    "doyen.EngineEnded",
                    "the keeper of the driver died while the job ran".into(),
                    String::new(),
                )),
            },
        }
    }

    /// The rungs of a kill, from the mildest that may work; says which one did.
    async fn kill(&mut self) -> &'static str {
        if let Some(canceller) = self.canceller {
            let had_jobs = canceller.cancel(self.job).await;
            if had_jobs && timeout(CANCEL_WITHIN, self.exited()).await.is_ok() {
                return "cancelled";
            }
        }
        self.handle.signal(Rung::Terminate).await;
        let rung = if timeout(TERMINATE_WITHIN, self.exited()).await.is_ok() {
            "terminated"
        } else {
            self.handle.signal(Rung::Kill).await;
            self.exited().await;
            "killed"
        };
        if let Some(canceller) = self.canceller {
            // What it submitted since runs on in the JVM without it.
            canceller.cancel(self.job).await;
        }
        rung
    }

    async fn end_with_engine(&mut self, why: String) -> JobEnd {
        self.handle.signal(Rung::Kill).await;
        let exit = timeout(TERMINATE_WITHIN, self.exited()).await;
        let last_output = exit.unwrap_or_default().last_output;
        let message = format!("the engine of the context ended while the job ran: {why}");
        JobEnd::failed("doyen.EngineEnded", message, last_output)
    }

    async fn exited(&mut self) -> Exit {
        loop {
            match self.handle.next().await {
                Some(ChildEvent::Exited(exit)) => return exit,
                Some(ChildEvent::Failed(_)) | None => return Exit::default(),
                Some(ChildEvent::Started | ChildEvent::Line(_)) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_logs_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        for job in 100..140 {
            fs::write(folder.path().join(format!("{job}.log")), "").unwrap();
            fs::write(folder.path().join(format!("{job}.log.tail-a")), "").unwrap();
        }
        prune_logs(folder.path());
        assert!(!folder.path().join("108.log.tail-a").exists());
        assert!(folder.path().join("139.log").exists());
        let left = fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(left, 2 * (LOGS_MAX - 1));
    }
}
