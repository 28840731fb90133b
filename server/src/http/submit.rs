//! `POST /jobs` (rest-api.md 5), ad-hoc contexts included.

use super::contexts::{GOES_ON_RETRY, USER, common, context_not_found};
use super::jobs::{JobReport, error_of, with_result};
use super::reply::{self, Failure, Outcome};
use super::request::Asked;
use super::upload::NAME_BYTES_MAX;
use super::{App, body, context_settings, idempotency, job_request};
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::Response;
use doyen_core::identity::{CallId, JobId};
use doyen_core::input::{NewAdhoc, NewJob};
use doyen_core::output::Answer;
use doyen_core::records::call::CallOutcome;
use doyen_core::records::job::{
    INLINE_BYTES_MAX, JobError, JobRecord, JobRefusal, JobState, Payload,
};
use doyen_runtime::store::Content;
use futures_util::{StreamExt, stream};
use serde::Serialize;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;

/// Submits a job and answers as its request wants.
pub(crate) async fn post(app: &Arc<App>, asked: &Asked, body: Body) -> Outcome {
    let posted = body::text(app, &asked.headers, body).await?;
    let key = idempotency::key_of(asked, USER, "POST /jobs", &posted.bytes)?;
    let configuration = body::configuration(app, &posted).await?;
    drop(posted);
    job_request::check_callback(&asked.query)?;
    let wanted = job_request::wanted(&asked.query, &configuration)?;
    let sync = asked.query.boolean("sync")?.unwrap_or(false);
    let wait = asked.query.seconds("timeout")?;
    // Whoever waits longer is answered by the request timeout, and must not occupy the gateway.
    let wait = wait
        .unwrap_or(app.settings.sync_timeout)
        .min(app.settings.request_timeout);
    app.check_ready()?;
    let class_path = job_request::class_path(app, &wanted.entries).await?;
    let named = asked.query.get("context").filter(|name| !name.is_empty());
    let (context_name, adhoc) = match named {
        Some(name) => (name.to_owned(), None),
        None => {
            let (name, adhoc) = own_context(app, asked, &wanted.main_class, &configuration)?;
            (name, Some(adhoc))
        }
    };
    let own_context = adhoc.as_ref().map(|adhoc| adhoc.call.clone());
    let id = JobId::new(uuid::Uuid::now_v7().to_string());
    let config = payload(app, &id, &configuration).await?;
    let job = NewJob {
        id: id.clone(),
        context_name: context_name.clone(),
        adhoc,
        main_class: wanted.main_class.clone(),
        class_path,
        config: config.clone(),
        sync,
        user: USER.to_owned(),
        key,
        wait,
    };
    let answer = app.gateway.submit(job).await;
    tidy(app, &id, config, &answer);
    let asked_for = AskedFor {
        main_class: &wanted.main_class,
        context_name: &context_name,
        own_context,
        wait,
    };
    Ok(answered(app, &asked_for, answer).await)
}

/// The context that is made for the job, and its name (rest-api.md 5.5).
fn own_context(
    app: &App,
    asked: &Asked,
    main_class: &str,
    configuration: &Map<String, Value>,
) -> Result<(String, NewAdhoc), Failure> {
    let (settings, proxy_user) = adhoc_settings(app, asked, configuration)?;
    let prefix = proxy_user
        .map(|user| format!("{user}~"))
        .unwrap_or_default();
    let mut name = format!("{prefix}{}-{main_class}", uuid::Uuid::new_v4());
    name.truncate(name.floor_char_boundary(NAME_BYTES_MAX));
    let adhoc = NewAdhoc {
        call: CallId::new(uuid::Uuid::now_v7().to_string()),
        settings,
        wait: app.settings.context_creation_timeout,
    };
    Ok((name, adhoc))
}

/// Settings of an ad-hoc context: the body's block, the proxy user of the URL, the defaults.
fn adhoc_settings(
    app: &App,
    asked: &Asked,
    body: &Map<String, Value>,
) -> Result<(String, Option<String>), Failure> {
    let block = context_settings::block(body);
    let mut from_query = Value::Object(Map::new());
    if let Some(user) = asked.query.get("spark.proxy.user") {
        from_query = serde_json::json!({"spark": {"proxy": {"user": user}}});
    }
    let defaults = app.settings.context_defaults.clone();
    let bad = |text: String| Failure::from(reply::error(StatusCode::BAD_REQUEST, &text));
    let text = context_settings::merged([block, from_query, defaults]).map_err(bad)?;
    let merged: Value = serde_json::from_str(&text).unwrap_or_default();
    let user = merged.pointer("/spark/proxy/user").and_then(Value::as_str);
    let user = user.map(ToOwned::to_owned);
    Ok((text, user))
}

/// The posted configuration: in the record, or as an object of the binary store when large.
async fn payload(
    app: &App,
    id: &JobId,
    configuration: &Map<String, Value>,
) -> Result<Payload, Failure> {
    let text = serde_json::to_string(configuration).unwrap_or_default();
    if text.len() <= INLINE_BYTES_MAX {
        return Ok(Payload::Inline(text));
    }
    let name = format!("config-{id}");
    let content: Content = stream::iter([Ok(Bytes::from(text))]).boxed();
    match app.binaries.put(&name, content).await {
        Ok(_) => Ok(Payload::Object(name)),
        Err(error) => {
            tracing::error!(%error, name, "a job's configuration cannot be stored");
            let text = "Failed to save job config";
            Err(reply::error(StatusCode::INTERNAL_SERVER_ERROR, text).into())
        }
    }
}

/// Removes the configuration of a job that was not taken, or not under this id. What fails here is
/// only a little waste: it is swept with other objects without an owner. An ad-hoc context that got
/// no job stops by itself.
fn tidy(app: &Arc<App>, id: &JobId, config: Payload, answer: &Answer) {
    let taken = match answer {
        Answer::JobAccepted(job) | Answer::JobDone(job) => job.id == *id,
        Answer::JobWaiting { job } => job == id,
        // Whether it was taken is not known.
        Answer::Unknown => true,
        _ => false,
    };
    if let Payload::Object(name) = config
        && !taken
    {
        let app = app.clone();
        tokio::spawn(async move {
            if let Err(error) = app.binaries.delete(&name).await {
                tracing::warn!(%error, name, "an unused configuration was not removed");
            }
        });
    }
}

/// What the answers name.
struct AskedFor<'a> {
    main_class: &'a str,
    context_name: &'a str,
    /// The call of the context that was to be made for it.
    own_context: Option<CallId>,
    wait: Duration,
}

/// The answer to a submission (rest-api.md 5.4).
async fn answered(app: &App, asked: &AskedFor<'_>, answer: Answer) -> Response {
    match answer {
        Answer::JobAccepted(job) => reply::json(StatusCode::ACCEPTED, &JobReport::accepted(&job)),
        Answer::JobDone(job) => done(app, &job).await,
        Answer::JobRefused(refusal) => refused(asked, refusal),
        Answer::ContextNotFound => context_not_found(asked.context_name),
        Answer::JobWaiting { job } => reply::ask_timeout(&format!(
            "Ask timed out after [{} ms]: job {job} goes on; ask GET /jobs/{job}",
            asked.wait.as_millis()
        )),
        Answer::JobNotFound => {
            let text = "the job was refused; another request of its Idempotency-Key was told why";
            reply::unavailable("ERROR", text, 1)
        }
        other => match &asked.own_context {
            Some(own) => context_failed(asked.context_name, own, other),
            None => common(other),
        },
    }
}

/// The context that was to be made for the job is not there.
fn context_failed(name: &str, own: &CallId, answer: Answer) -> Response {
    match answer {
        Answer::Call(CallOutcome::ContextFailed { error, .. }) => {
            // The predecessor wraps the cause (rest-api.md 5.4, last row).
            let message = format!("{}: {}", error.error_class, error.message);
            let wrapped = JobError {
                stack: error.stack,
                ..JobError::new("java.lang.RuntimeException", message)
            };
            reply::exception(StatusCode::INTERNAL_SERVER_ERROR, "ERROR", &wrapped)
        }
        Answer::CallInProgress { context } => {
            // That of an earlier request of this key has another name.
            let ours = own.as_str() == context.as_str();
            let which = if ours { name } else { context.as_str() };
            let text = format!("in progress: ad-hoc context {which} is still starting");
            reply::unavailable("ERROR", &text, GOES_ON_RETRY)
        }
        other => super::contexts::unsettled(name, other),
    }
}

/// A job that was waited for and is over.
async fn done(app: &App, job: &JobRecord) -> Response {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Failed<'a> {
        job_id: &'a str,
        status: &'static str,
        result: JobError,
    }
    if job.state == JobState::Finished {
        let object = serde_json::json!({"jobId": job.id.as_str()}).to_string();
        // An absent result is `[]` (rest-api.md 15, row 15).
        return with_result(app, &object, job.result.as_ref(), Some("[]")).await;
    }
    let failed = Failed {
        job_id: job.id.as_str(),
        status: job.state.name(),
        result: error_of(job).unwrap_or_default(),
    };
    reply::json(StatusCode::OK, &failed)
}

fn refused(asked: &AskedFor<'_>, refusal: JobRefusal) -> Response {
    let bad = StatusCode::BAD_REQUEST;
    match refusal {
        JobRefusal::NoSlots { max } => {
            let name = match &asked.own_context {
                Some(_) => "ad-hoc",
                None => asked.context_name,
            };
            let text = format!("Too many running jobs ({max}) for job context '{name}'");
            reply::unavailable("NO SLOTS AVAILABLE", &text, 1)
        }
        JobRefusal::ValidationFailed { error } => {
            reply::exception(bad, "VALIDATION FAILED", &error)
        }
        JobRefusal::ClassNotFound => {
            let text = format!("classPath {} not found", asked.main_class);
            reply::error(StatusCode::NOT_FOUND, &text)
        }
        JobRefusal::LoadingFailed { error } => {
            let label = match error.error_class.as_str() {
                "java.net.MalformedURLException" => "JOB LOADING FAILED: Malformed URL",
                _ => "JOB LOADING FAILED",
            };
            reply::exception(bad, label, &error)
        }
        JobRefusal::WrongType => reply::error(bad, "Invalid job type for this context"),
        JobRefusal::ContextStopping => {
            reply::error(StatusCode::CONFLICT, "Context stop in progress")
        }
        JobRefusal::ContextGone => context_not_found(asked.context_name),
    }
}
