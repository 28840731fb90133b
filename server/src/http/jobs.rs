//! One job: report, result, kill (rest-api.md 6.2, 6.3, 6.5).

use super::App;
use super::contexts::common;
use super::format::{duration, instant};
use super::reader::record;
use super::reply::{self, Failure, Outcome};
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::Response;
use doyen_core::identity::JobId;
use doyen_core::output::Answer;
use doyen_core::records::job::{JobContextRecord, JobError, JobRecord, JobState, Payload};
use doyen_core::records::transaction::Query;
use doyen_runtime::store::BinaryError;
use futures_util::{StreamExt, stream};
use serde::Serialize;
use serde::de::IgnoredAny;

/// A job as answers show it (rest-api.md 6.2).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobReport {
    job_id: String,
    start_time: String,
    class_path: String,
    context: String,
    context_id: String,
    duration: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<JobError>,
}

impl JobReport {
    /// The report of a job as it stands.
    pub(crate) fn of(job: &JobRecord) -> Self {
        Self {
            job_id: job.id.to_string(),
            start_time: instant(job.started),
            class_path: job.main_class.clone(),
            context: match job.context_name.as_str() {
                "" => String::from("<<ad-hoc>>"),
                name => name.to_owned(),
            },
            context_id: job.context.to_string(),
            duration: duration(job.started, job.ended),
            status: job.state.name(),
            result: error_of(job),
        }
    }

    /// The report that acknowledges a job, whatever it has become since (rest-api.md 5.4, quirk 5).
    pub(crate) fn accepted(job: &JobRecord) -> Self {
        Self {
            duration: duration(job.started, None),
            status: JobState::Submitted.name(),
            result: None,
            ..Self::of(job)
        }
    }
}

/// The error that a job shows; a killed one always has one.
pub(crate) fn error_of(job: &JobRecord) -> Option<JobError> {
    match job.state {
        JobState::Submitted | JobState::Running | JobState::Finished => None,
        JobState::Error | JobState::Refused { .. } => job.error.clone(),
        JobState::Killed => job.error.clone().or_else(|| {
            Some(JobError::new(
                "spark.jobserver.JobManagerActor$JobKilledException",
                format!("Job {} killed", job.id),
            ))
        }),
    }
}

/// A job by its id: the final record wins over the live one. A refused job is not shown (J3).
pub(crate) async fn find(app: &App, id: &str) -> Result<Option<JobRecord>, Failure> {
    let layout = app.layout()?;
    let id = JobId::new(id);
    let (context_key, done_key) = (layout.job_context(&id), layout.done(&id));
    let query = Query::keys([context_key.clone(), done_key.clone()]);
    let first = app.read(query).await?;
    let mut job = record::<JobRecord>(&first, &done_key, "a job");
    if job.is_none() {
        let place = record::<JobContextRecord>(&first, &context_key, "a job's context");
        if let Some(place) = place {
            // It may become final between the two reads: it is asked for in both places.
            let live_key = layout.job(&place.value.context, &id);
            let query = Query::keys([live_key.clone(), done_key.clone()]);
            let second = app.read(query).await?;
            job =
                record(&second, &done_key, "a job").or_else(|| record(&second, &live_key, "a job"));
        }
    }
    if job.is_none() {
        // A read of several records is no snapshot on every backend: one that became final
        // meanwhile may have been missed in both places.
        let last = app.read(Query::keys([done_key.clone()])).await?;
        job = record(&last, &done_key, "a job");
    }
    let shown = |job: &JobRecord| !matches!(job.state, JobState::Refused { .. });
    Ok(job.map(|found| found.value).filter(shown))
}

/// The 404 of an unknown job.
pub(crate) fn no_such_job(id: &str) -> Response {
    reply::error(StatusCode::NOT_FOUND, &format!("No such job ID {id}"))
}

/// `GET /jobs/<id>`: the report, with the result of a finished job.
pub(crate) async fn get(app: &App, id: &str) -> Outcome {
    let Some(job) = find(app, id).await? else {
        return Ok(no_such_job(id));
    };
    let report = JobReport::of(&job);
    if job.state != JobState::Finished {
        return Ok(reply::json(StatusCode::OK, &report));
    }
    let members = serde_json::to_string(&report).unwrap_or_default();
    Ok(with_result(app, &members, job.result.as_ref(), None).await)
}

/// An object with these members and a result behind them; the result is streamed if it is an
/// object of the binary store. Without a result it is `instead`, or left out.
pub(crate) async fn with_result(
    app: &App,
    object: &str,
    result: Option<&Payload>,
    instead: Option<&str>,
) -> Response {
    let head = object.strip_suffix('}').unwrap_or(object);
    let whole = |value: Option<&str>| {
        let text = match value {
            Some(value) => format!("{head},\"result\":{value}}}"),
            None => object.to_owned(),
        };
        reply::json_bytes(StatusCode::OK, Bytes::from(text))
    };
    match result {
        None => whole(instead),
        Some(Payload::Inline(text)) if serde_json::from_str::<IgnoredAny>(text).is_ok() => {
            whole(Some(text))
        }
        Some(Payload::Inline(_)) => {
            tracing::error!("a stored result is not JSON; it is left out");
            whole(instead)
        }
        Some(Payload::Object(name)) => match app.binaries.get(name).await {
            Err(error) => {
                if !matches!(error, BinaryError::NotFound(_)) {
                    tracing::error!(name, %error, "a result cannot be read; it is left out");
                }
                whole(instead)
            }
            Ok(content) => {
                let before = Bytes::from(format!("{head},\"result\":"));
                let after = Bytes::from_static(b"}");
                let bytes = stream::iter([Ok(before)])
                    .chain(content)
                    .chain(stream::iter([Ok(after)]));
                streamed(Body::from_stream(bytes))
            }
        },
    }
}

fn streamed(body: Body) -> Response {
    let mut response = Response::new(body);
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// `DELETE /jobs/<id>`: kill it (rest-api.md 6.5).
pub(crate) async fn delete(app: &App, id: &str) -> Outcome {
    let hold = app.settings.gateway_hold;
    let Some(job) = app.patiently(hold, || find(app, id)).await? else {
        return Ok(no_such_job(id));
    };
    if job.state.is_final() {
        return Ok(over(id, &job));
    }
    Ok(match app.gateway.kill(job.id.clone()).await {
        Answer::JobDone(job) if job.state == JobState::Killed => reply::status_only("KILLED"),
        Answer::JobDone(job) => over(id, &job),
        Answer::JobNotFound | Answer::JobRefused(_) => no_such_job(id),
        Answer::JobWaiting { job } => reply::ask_timeout(&format!(
            "Ask timed out: the kill of job {job} goes on; ask GET /jobs/{job}"
        )),
        other => common(other),
    })
}

/// The answer to the kill of a job that is over already, or ended by itself meanwhile.
fn over(id: &str, job: &JobRecord) -> Response {
    #[derive(Serialize)]
    struct Errored<'a> {
        status: &'static str,
        #[serde(rename = "ERROR")]
        error: &'a JobError,
    }
    match (&job.state, &job.error) {
        (JobState::Error, Some(error)) => {
            let body = Errored {
                status: "ERROR",
                error,
            };
            reply::json(StatusCode::OK, &body)
        }
        (JobState::Finished | JobState::Killed, _) => {
            let text = format!("No running job with ID {id}");
            reply::error(StatusCode::NOT_FOUND, &text)
        }
        (JobState::Refused { .. }, _) => no_such_job(id),
        (JobState::Error | JobState::Submitted | JobState::Running, _) => reply::error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Received an unexpected message",
        ),
    }
}
