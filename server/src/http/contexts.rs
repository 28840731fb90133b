//! `/contexts` (rest-api.md 4).

use super::format::instant;
use super::reader::{not_ready, record, records};
use super::reply::{self, Failure, Outcome};
use super::request::Asked;
use super::upload::NAME_BYTES_MAX;
use super::{App, body, context_settings, idempotency};
use axum::body::Body;
use axum::http::header::{HOST, HeaderValue, LOCATION};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use doyen_core::identity::{CallId, ContextId};
use doyen_core::input::NewCall;
use doyen_core::output::Answer;
use doyen_core::records::call::{CallOperation, CallOutcome};
use doyen_core::records::context::{
    ContextRecord, ContextState, DriverPhase, LifeRecord, NameRecord,
};
use doyen_core::records::job::JobError;
use doyen_core::records::transaction::Query;
use serde::Serialize;

/// Who asks, while there is no authentication (rest-api.md 12).
pub(crate) const USER: &str = "anonymous";
/// Seconds after which a client asks again for something that goes on.
pub(crate) const GOES_ON_RETRY: u32 = 2;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ContextReport<'a> {
    id: &'a str,
    name: &'a str,
    start_time: String,
    end_time: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    application_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

/// `GET /contexts`: names of those that run, stop or restart, newest start first.
pub(crate) async fn list(app: &App) -> Outcome {
    let folder = app.layout()?.contexts();
    let query = Query::default().with_folder(folder.clone());
    let snapshot = app.read(query).await?;
    let mut contexts: Vec<ContextRecord> = records(&snapshot, &folder, "a context");
    contexts.retain(|context| match context.state {
        ContextState::Running | ContextState::Restarting | ContextState::Stopping => true,
        ContextState::Started
        | ContextState::Finished
        | ContextState::Killed
        | ContextState::Error => false,
    });
    contexts.sort_by(|a, b| (b.started, &b.id).cmp(&(a.started, &a.id)));
    let names: Vec<String> = contexts.into_iter().map(|context| context.name).collect();
    Ok(reply::json(StatusCode::OK, &names))
}

/// `GET /contexts/<name>`: the one started last under that name, in whatever state.
pub(crate) async fn get(app: &App, name: &str) -> Outcome {
    let Some((context, life)) = find(app, name).await? else {
        let text = format!("can't find context with name {name}");
        return Ok(reply::error(StatusCode::NOT_FOUND, &text));
    };
    let live = !context.state.is_final();
    let said = life.and_then(|life| match life.phase {
        DriverPhase::Ready {
            application_id,
            url,
        } => Some((application_id, url)),
        DriverPhase::Silent | DriverPhase::Starting | DriverPhase::Ended { .. } => None,
    });
    let (said_id, said_url) = said.unwrap_or_default();
    let application_id = context.application_id.or(said_id).filter(|_| live);
    let url = context.url.or(said_url);
    let url = url.filter(|_| application_id.is_some());
    let report = ContextReport {
        id: context.id.as_str(),
        name: &context.name,
        start_time: instant(context.started),
        end_time: context.ended.map_or_else(|| "Empty".to_owned(), instant),
        state: context.state.name(),
        application_id,
        url,
    };
    Ok(reply::json(StatusCode::OK, &report))
}

/// The context of this name: the one that is not final, else the last final one.
async fn find(
    app: &App,
    name: &str,
) -> Result<Option<(ContextRecord, Option<LifeRecord>)>, Failure> {
    let layout = app.layout()?;
    let (live, last) = (layout.context_name(name), layout.last_context(name));
    let names = app.read(Query::keys([live.clone(), last.clone()])).await?;
    let named = |key| record::<NameRecord>(&names, key, "a context's name");
    let ids: Vec<ContextId> = [named(&live), named(&last)]
        .into_iter()
        .flatten()
        .map(|found| found.value.context)
        .collect();
    // A context may have become final between the two reads: it is asked for in both places.
    let keys = ids
        .iter()
        .flat_map(|id| [layout.context(id), layout.ended(id), layout.life(id)]);
    if ids.is_empty() {
        return Ok(None);
    }
    let found = app.read(Query::keys(keys)).await?;
    Ok(ids.iter().find_map(|id| {
        let ended = record::<ContextRecord>(&found, &layout.ended(id), "a context");
        let context = match ended {
            Some(ended) => ended,
            None => record(&found, &layout.context(id), "a context")?,
        };
        let life = record::<LifeRecord>(&found, &layout.life(id), "a driver's life");
        Some((context.value, life.map(|life| life.value)))
    }))
}

/// `POST /contexts/<name>`: create it, and wait until it runs.
pub(crate) async fn post(app: &App, name: &str, asked: &Asked, body: Body) -> Outcome {
    let bad = |text: &str| reply::error(StatusCode::BAD_REQUEST, text);
    if !name.chars().next().is_some_and(char::is_alphabetic) {
        body::discard(body);
        return Ok(bad("context name must start with letters"));
    }
    if name.len() > NAME_BYTES_MAX {
        body::discard(body);
        let length = name.len();
        let text = format!("context name of {length} bytes is too long: at most {NAME_BYTES_MAX}");
        return Ok(bad(&text));
    }
    let posted = body::text(app, &asked.headers, body).await?;
    let key = idempotency::key_of(asked, USER, "POST /contexts", &posted.bytes)?;
    let configuration = body::configuration(app, &posted).await?;
    let settings = context_settings::from_query(&asked.query).and_then(|from_query| {
        let block = context_settings::block(&configuration);
        context_settings::merged([block, from_query, app.settings.context_defaults.clone()])
    });
    let settings = match settings {
        Ok(settings) => settings,
        Err(text) => return Ok(bad(&text)),
    };
    drop(posted);
    let call = NewCall {
        id: CallId::new(uuid::Uuid::now_v7().to_string()),
        user: USER.to_owned(),
        route: String::from("POST /contexts"),
        key,
        operation: CallOperation::CreateContext {
            name: name.to_owned(),
            settings,
            adhoc: false,
        },
        wait: app.settings.context_creation_timeout,
    };
    Ok(created(name, app.gateway.call(call).await))
}

/// The answer to a creation (rest-api.md 4.3).
fn created(name: &str, answer: Answer) -> Response {
    match answer {
        Answer::Call(CallOutcome::ContextCreated { .. }) => {
            reply::success(StatusCode::OK, Some("Context initialized"))
        }
        Answer::Call(CallOutcome::ContextFailed { error, .. }) => init_error(&error),
        other => unsettled(name, other),
    }
}

fn init_error(error: &JobError) -> Response {
    if error.error_class == "java.net.MalformedURLException" {
        let label = "CONTEXT INIT ERROR: Malformed URL";
        return reply::exception(StatusCode::BAD_REQUEST, label, error);
    }
    reply::exception(
        StatusCode::INTERNAL_SERVER_ERROR,
        "CONTEXT INIT ERROR",
        error,
    )
}

/// `DELETE /contexts/<name>`: stop it (rest-api.md 4.4).
pub(crate) async fn delete(app: &App, name: &str, asked: &Asked) -> Outcome {
    if asked.query.boolean("force")? == Some(true) {
        return forced(app, name).await;
    }
    let call = NewCall {
        id: CallId::new(uuid::Uuid::now_v7().to_string()),
        user: USER.to_owned(),
        route: String::from("DELETE /contexts"),
        key: None,
        operation: CallOperation::DeleteContext {
            name: name.to_owned(),
        },
        wait: app.settings.context_deletion_timeout,
    };
    Ok(match app.gateway.call(call).await {
        Answer::Call(CallOutcome::ContextStopped { .. }) => {
            reply::success(StatusCode::OK, Some("Context stopped"))
        }
        Answer::Call(CallOutcome::StopInProgress { .. }) | Answer::CallInProgress { .. } => {
            stopping(asked)
        }
        Answer::Call(CallOutcome::ContextFailed { error, .. }) => reply::exception(
            StatusCode::INTERNAL_SERVER_ERROR,
            "CONTEXT DELETE ERROR",
            &error,
        ),
        other => unsettled(name, other),
    })
}

/// A forced stop goes through a standalone master (rest-api.md 4.4), which is not built yet.
async fn forced(app: &App, name: &str) -> Outcome {
    let hold = app.settings.gateway_hold;
    let found = app.patiently(hold, || find(app, name)).await?;
    if found.is_none_or(|(context, _)| context.state.is_final()) {
        return Ok(context_not_found(name));
    }
    if app.settings.spark_master.starts_with("spark://") {
        return Ok(reply::not_built(
            "DELETE /contexts/<name>?force=true (an ordinary DELETE ends the driver too) is",
        ));
    }
    let error = JobError::new(
        "java.lang.UnsupportedOperationException",
        "Tried to do a standalone mode only action for other mode",
    );
    Ok(reply::exception(
        StatusCode::INTERNAL_SERVER_ERROR,
        "CONTEXT DELETE ERROR",
        &error,
    ))
}

/// 202 with an empty body and the absolute URI to ask again (rest-api.md 4.4).
fn stopping(asked: &Asked) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::ACCEPTED;
    let host = asked.headers.get(HOST).and_then(|host| host.to_str().ok());
    let location = absolute(&asked.uri, host.unwrap_or("localhost"));
    if let Ok(value) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(LOCATION, value);
    }
    response
}

fn absolute(uri: &Uri, host: &str) -> String {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    match uri.authority() {
        Some(authority) => format!("http://{authority}{path}"),
        None => format!("http://{host}{path}"),
    }
}

pub(crate) fn context_not_found(name: &str) -> Response {
    let text = format!("context {name} not found");
    reply::error(StatusCode::NOT_FOUND, &text)
}

/// Answers that every call of contexts may have.
pub(crate) fn unsettled(name: &str, answer: Answer) -> Response {
    match answer {
        Answer::Call(CallOutcome::ContextExists) => {
            let text = format!("context {name} exists");
            reply::error(StatusCode::BAD_REQUEST, &text)
        }
        Answer::Call(CallOutcome::ContextNotFound) | Answer::ContextNotFound => {
            context_not_found(name)
        }
        Answer::Call(CallOutcome::Expired) => {
            reply::unavailable("ERROR", "nobody decided the call in time; try again", 1)
        }
        Answer::CallInProgress { context } => {
            let text = format!("in progress: context {name} ({context}); ask GET /contexts/<name>");
            reply::unavailable("ERROR", &text, GOES_ON_RETRY)
        }
        other => common(other),
    }
}

/// Answers that calls and jobs share; any other one is a mistake of ours.
pub(crate) fn common(answer: Answer) -> Response {
    match answer {
        Answer::Unknown => {
            let text = "unknown: whether the request was taken is not known; a retry with the same \
                        Idempotency-Key tells";
            reply::unavailable("ERROR", text, GOES_ON_RETRY)
        }
        Answer::TooMany { limit } | Answer::Call(CallOutcome::TooMany { limit }) => {
            reply::unavailable("ERROR", &format!("too many requests: {limit}"), 1)
        }
        Answer::NotReady { reason } => not_ready(&reason),
        Answer::KeyMismatch => idempotency::mismatch(),
        other => {
            tracing::error!(?other, "an answer does not fit its request");
            reply::error(StatusCode::INTERNAL_SERVER_ERROR, "Unhandled error")
        }
    }
}
