//! `POST /jobs` (rest-api.md 5), ad-hoc contexts included.

use super::contexts::{GOES_ON_RETRY, USER, common, context_not_found};
use super::jobs::{JobReport, error_of, with_result};
use super::reply::{self, Failure, Outcome};
use super::request::Asked;
use super::upload::NAME_BYTES_MAX;
use super::{App, body, context_settings, idempotency, job_request, jobs};
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::Response;
use doyen_core::identity::{CallId, JobId};
use doyen_core::input::{NewCall, NewJob, RequestKey};
use doyen_core::output::Answer;
use doyen_core::records::call::{CallOperation, CallOutcome, KeyObject};
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
    let known = match &key {
        Some(key) => known_job(app, key).await?,
        None => None,
    };
    let class_path = job_request::class_path(app, &wanted.entries).await?;
    let named = asked.query.get("context").filter(|name| !name.is_empty());
    let adhoc = named.is_none();
    let context_name = match (named, &known) {
        (Some(name), _) => name.to_owned(),
        // A repeated request gets its first answer; it needs no context of its own.
        (None, Some(job)) => job.context_name.clone(),
        (None, None) => {
            let settings = adhoc_settings(app, asked, &configuration)?;
            create_adhoc(app, &wanted.main_class, settings).await?
        }
    };
    let id = JobId::new(uuid::Uuid::now_v7().to_string());
    let config = payload(app, &id, &configuration).await?;
    let job = NewJob {
        id: id.clone(),
        context_name: context_name.clone(),
        main_class: wanted.main_class.clone(),
        class_path,
        config: config.clone(),
        sync,
        user: USER.to_owned(),
        key,
        wait,
    };
    let answer = app.gateway.submit(job).await;
    let own_context = adhoc && known.is_none();
    tidy(
        app,
        &id,
        &config,
        own_context.then_some(&context_name),
        &answer,
    );
    let asked_for = AskedFor {
        main_class: &wanted.main_class,
        context_name: &context_name,
        adhoc,
        wait,
    };
    Ok(answered(app, &asked_for, answer).await)
}

/// The job that a request of this key made before.
async fn known_job(app: &App, key: &RequestKey) -> Result<Option<JobRecord>, Failure> {
    let Some(used) = idempotency::used(app, key).await? else {
        return Ok(None);
    };
    match used.object {
        _ if used.request != key.request => Err(idempotency::mismatch().into()),
        KeyObject::Job(id) => {
            let hold = app.settings.gateway_hold;
            app.patiently(hold, || jobs::find(app, id.as_str())).await
        }
        KeyObject::Call(_) => Ok(None),
    }
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

/// Creates an ad-hoc context and gives its name (rest-api.md 5.5).
async fn create_adhoc(
    app: &App,
    main_class: &str,
    (settings, proxy_user): (String, Option<String>),
) -> Result<String, Failure> {
    let prefix = proxy_user
        .map(|user| format!("{user}~"))
        .unwrap_or_default();
    let mut name = format!("{prefix}{}-{main_class}", uuid::Uuid::new_v4());
    name.truncate(name.floor_char_boundary(NAME_BYTES_MAX));
    let call = NewCall {
        id: CallId::new(uuid::Uuid::now_v7().to_string()),
        user: USER.to_owned(),
        route: String::from("POST /jobs"),
        key: None,
        operation: CallOperation::CreateContext {
            name: name.clone(),
            settings,
            adhoc: true,
        },
        wait: app.settings.context_creation_timeout,
    };
    match app.gateway.call(call).await {
        Answer::Call(CallOutcome::ContextCreated { .. }) => Ok(name),
        Answer::Call(CallOutcome::ContextFailed { error, .. }) => {
            // The predecessor wraps the cause (rest-api.md 5.4, last row).
            let message = format!("{}: {}", error.error_class, error.message);
            let wrapped = JobError {
                stack: error.stack,
                ..JobError::new("java.lang.RuntimeException", message)
            };
            let status = StatusCode::INTERNAL_SERVER_ERROR;
            Err(reply::exception(status, "ERROR", &wrapped).into())
        }
        Answer::CallInProgress { .. } => {
            let text = format!("in progress: ad-hoc context {name} is still starting");
            Err(reply::unavailable("ERROR", &text, GOES_ON_RETRY).into())
        }
        other => Err(super::contexts::unsettled(&name, other).into()),
    }
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

/// Removes what a job that was not taken, or not under this id, leaves behind: its configuration,
/// and an ad-hoc context that was made for it. Whatever fails here is only a little waste: the
/// context stops by itself, the object is swept with other objects without an owner.
fn tidy(app: &Arc<App>, id: &JobId, config: &Payload, own: Option<&String>, answer: &Answer) {
    let (job_taken, context_used) = match answer {
        Answer::JobAccepted(job) | Answer::JobDone(job) => (
            job.id == *id,
            own.is_none_or(|name| job.context_name == *name),
        ),
        Answer::JobWaiting { job } => (job == id, job == id),
        // Whether it was taken is not known.
        Answer::Unknown => (true, true),
        // A refused job ends its ad-hoc context itself (rest-api.md 5.5).
        Answer::JobRefused(_) => (false, true),
        _ => (false, false),
    };
    if let Payload::Object(name) = config
        && !job_taken
    {
        let (app, name) = (app.clone(), name.clone());
        tokio::spawn(async move {
            if let Err(error) = app.binaries.delete(&name).await {
                tracing::warn!(%error, name, "an unused configuration was not removed");
            }
        });
    }
    if let Some(name) = own.filter(|_| !context_used) {
        let call = NewCall {
            id: CallId::new(uuid::Uuid::now_v7().to_string()),
            user: USER.to_owned(),
            route: String::from("DELETE /contexts"),
            key: None,
            operation: CallOperation::DeleteContext { name: name.clone() },
            wait: Duration::ZERO,
        };
        let app = app.clone();
        tokio::spawn(async move { app.gateway.call(call).await });
    }
}

/// What the answers name.
struct AskedFor<'a> {
    main_class: &'a str,
    context_name: &'a str,
    adhoc: bool,
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
        other => common(other),
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
            let name = if asked.adhoc {
                "ad-hoc"
            } else {
                asked.context_name
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
