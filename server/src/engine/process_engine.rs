//! The engine `process`: a job is an executable of its own; no engine child.
//!
//! The executable gets the main class as its argument and its configuration as JSON on standard
//! input; it writes its result as JSON to descriptor 3 and ends with exit code 0. When the context
//! sets `doyen.validate`, it is called with `--validate <main class>` first.

use super::driver_launcher::EngineBase;
use super::job::{JobChild, JobControl, JobEnd, JobFiles, Step, private_copy};
use super::keeper::protocol::{AnswerChannel, ChildInput, ChildOutput, ChildSpec, Exit};
use super::result::{RESULT_BYTES_MAX, too_large};
use doyen_core::records::job::{JobError, JobRecord, JobRefusal};
use std::io::Read;
use std::path::{Path, PathBuf};

pub(super) async fn run(
    base: &EngineBase,
    job: &JobRecord,
    files: &JobFiles,
    control: JobControl,
    running: impl AsyncFnOnce(),
) -> JobEnd {
    let program = match fetch(base, job).await {
        Ok(program) => program,
        Err(end) => return end,
    };
    if base.settings.flag("doyen.validate") {
        match validate(base, job, files, control.clone(), &program).await {
            None => {}
            Some(end) => return end,
        }
    }
    let answer = AnswerChannel::File {
        path: files.result.clone(),
        bytes_max: RESULT_BYTES_MAX,
    };
    let spec = ChildSpec {
        child: format!("job-{}", job.id),
        arguments: vec![job.main_class.clone()],
        output: ChildOutput::Both,
        log: files.log.clone(),
        answer,
        ..base_spec(base, job, files, program)
    };
    let mut child = JobChild {
        job: &job.id,
        handle: base.keeper.child(spec).await,
        control,
        canceller: None,
    };
    let mut running = Some(running);
    loop {
        match child.step().await {
            Step::Started => {
                if let Some(running) = running.take() {
                    running().await;
                }
            }
            Step::Line(_) => {}
            Step::NotStarted(reason) => return JobEnd::loading_failed(reason),
            Step::Exited(exit) => return returned(exit),
            Step::Ended(end) => return end,
        }
    }
}

fn returned(exit: Exit) -> JobEnd {
    if !exit.is_success() {
        let message = format!("the job's program {}", exit.in_words());
        return JobEnd::failed("doyen.ProgramFailed", message, exit.last_output);
    }
    if exit.answer_bytes > RESULT_BYTES_MAX {
        let message = format!("the job returned, but {}", too_large(exit.answer_bytes));
        return JobEnd::failed("doyen.ResultRefused", message, exit.last_output);
    }
    JobEnd::Returned
}

async fn validate(
    base: &EngineBase,
    job: &JobRecord,
    files: &JobFiles,
    control: JobControl,
    program: &Path,
) -> Option<JobEnd> {
    let spec = ChildSpec {
        child: format!("validate-{}", job.id),
        arguments: vec!["--validate".into(), job.main_class.clone()],
        output: ChildOutput::ErrorOnly,
        log: files.log.with_extension("validate.log"),
        answer: AnswerChannel::None,
        ..base_spec(base, job, files, program.to_owned())
    };
    let mut child = JobChild {
        job: &job.id,
        handle: base.keeper.child(spec).await,
        control,
        canceller: None,
    };
    loop {
        match child.step().await {
            Step::Started | Step::Line(_) => {}
            Step::NotStarted(reason) => return Some(JobEnd::loading_failed(reason)),
            Step::Exited(exit) if exit.is_success() => return None,
            Step::Exited(exit) => {
                let said = exit.last_output.trim().to_owned();
                let message = if said.is_empty() {
                    format!("`--validate` {} and said nothing", exit.in_words())
                } else {
                    said
                };
                let error = JobError::new("java.lang.Throwable", message);
                return Some(JobEnd::Refused(JobRefusal::ValidationFailed { error }));
            }
            Step::Ended(end) => return Some(end),
        }
    }
}

/// What validation and run have in common; the caller sets the rest.
fn base_spec(base: &EngineBase, job: &JobRecord, files: &JobFiles, program: PathBuf) -> ChildSpec {
    let mut environment = base.environment.clone();
    environment.insert("DOYEN_JOB".into(), job.id.to_string());
    environment.insert("DOYEN_CONTEXT".into(), job.context_name.clone());
    ChildSpec {
        child: String::new(),
        program,
        arguments: Vec::new(),
        environment,
        directory: base.folder.work(),
        input: ChildInput::File(files.config.clone()),
        output: ChildOutput::Both,
        log: files.log.clone(),
        answer: AnswerChannel::None,
        shares_lock: true,
    }
}

async fn fetch(base: &EngineBase, job: &JobRecord) -> Result<PathBuf, JobEnd> {
    let Some(entry) = job.class_path.first() else {
        return Err(JobEnd::loading_failed(
            "the job names no binary: a job of engine `process` needs an executable",
        ));
    };
    let fetched = base.setup.binaries.fetch(entry).await;
    let fetched = fetched.map_err(JobEnd::Refused)?;
    if !is_program(&fetched) {
        return Err(JobEnd::loading_failed(
            "the binary is no program: it must be an ELF executable of this machine, or a script \
             that begins with `#!` and its interpreter",
        ));
    }
    let name = entry.hash.as_deref().unwrap_or(job.id.as_str());
    let name = super::paths::plain_name(name).map_err(|e| JobEnd::io("the binary", &e))?;
    let copy = base.folder.packages().join(name);
    let made = tokio::task::spawn_blocking({
        let copy = copy.clone();
        move || private_copy(&fetched, &copy, 0o700)
    });
    match made.await {
        Ok(Ok(())) => Ok(copy),
        Ok(Err(e)) => Err(JobEnd::io("the executable cannot be made ready", &e)),
        Err(e) => Err(JobEnd::io("the executable", &std::io::Error::other(e))),
    }
}

/// Whether the system could run it. Without this the C library would try it as a shell script.
fn is_program(file: &Path) -> bool {
    let mut head = [0; 4];
    let read = std::fs::File::open(file)
        .and_then(|mut file| file.read(&mut head))
        .unwrap_or(0);
    head == *b"\x7fELF" || (read >= 2 && head.starts_with(b"#!"))
}
