//! The table of routes (rest-api.md 2 and design.md 8), and what every request passes through.

use super::reply::{self, Failure, Outcome};
use super::request::{Asked, Params, segments};
use super::server::Peer;
use super::{App, binaries, cluster, contexts, guard, job_config, job_list, jobs, submit, upload};
use super::{body, reader};
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{ACCEPT, ORIGIN};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use axum::response::Response;
use http_body_util::BodyExt;
use hyper::body::Body as _;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Route {
    Binaries,
    Binary(String),
    Contexts,
    Context(String),
    Jobs,
    Job(String),
    JobConfig(String),
    Data,
    Health,
    Live,
    Ready,
    Cluster,
    Leave,
}

impl Route {
    fn of(parts: &[String]) -> Option<Self> {
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        Some(match parts.as_slice() {
            ["binaries"] => Self::Binaries,
            ["binaries", name] => Self::Binary((*name).to_owned()),
            ["contexts"] => Self::Contexts,
            ["contexts", name] => Self::Context((*name).to_owned()),
            ["jobs"] => Self::Jobs,
            ["jobs", id] => Self::Job((*id).to_owned()),
            ["jobs", id, "config"] => Self::JobConfig((*id).to_owned()),
            ["data", ..] => Self::Data,
            ["healthz", ..] => Self::Health,
            ["livez"] => Self::Live,
            ["readyz"] => Self::Ready,
            ["cluster"] => Self::Cluster,
            ["cluster", "leave"] => Self::Leave,
            _ => return None,
        })
    }

    /// In the order in which 405 names them.
    fn methods(&self) -> &'static [Method] {
        match self {
            Self::Binary(_) | Self::Context(_) => &[Method::GET, Method::POST, Method::DELETE],
            Self::Contexts => &[Method::GET, Method::PUT],
            Self::Jobs => &[Method::GET, Method::POST],
            Self::Job(_) => &[Method::GET, Method::DELETE],
            Self::Data => &[Method::GET, Method::POST, Method::PUT, Method::DELETE],
            Self::Leave => &[Method::POST],
            Self::Binaries
            | Self::JobConfig(_)
            | Self::Health
            | Self::Live
            | Self::Ready
            | Self::Cluster => &[Method::GET],
        }
    }
}

/// Answers a request: who may ask, then the work, which goes on when its time is over (1.6).
pub(crate) async fn answer(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    if let Some(refused) = guard::refusal(&app, &request) {
        body::discard(request.into_body());
        return refused;
    }
    let origin = request.headers().get(ORIGIN).cloned();
    let mut response = within_time(app, request).await;
    guard::allow_origin(origin, &mut response);
    response
}

/// Runs the handler as a task of its own. Its time counts from the end of the request, so that a
/// long upload is not cut; a body that stands still has the idle timeout.
async fn within_time(app: Arc<App>, request: Request<Body>) -> Response {
    let limit = app.settings.request_timeout;
    let (ended_sender, ended) = oneshot::channel::<()>();
    let request = request.map(|body| {
        let mut sender = Some(ended_sender);
        Body::new(body.map_frame(move |frame| {
            let _hold = &mut sender;
            frame
        }))
    });
    let mut work = tokio::spawn(async move { handle(&app, request).await });
    let deadline = async {
        // The sender is dropped with the body: read to its end, refused or given up.
        let _ = ended.await;
        tokio::time::sleep(limit).await;
    };
    tokio::select! {
        biased;
        done = &mut work => done.unwrap_or_else(|error| {
            tracing::error!(%error, "a handler failed");
            let text = "There was an internal server error.";
            reply::text(StatusCode::INTERNAL_SERVER_ERROR, text)
        }),
        () = deadline => reply::error(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Request timed out. Try using the /jobs/<jobID>, /jobs APIs to get status/results",
        ),
    }
}

async fn handle(app: &Arc<App>, request: Request<Body>) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    let (parts, body) = request.into_parts();
    let query = Params::parse(parts.uri.query().unwrap_or(""));
    let method = match effective_method(&parts.method, &query) {
        Ok(method) => method,
        Err(refused) => return *refused,
    };
    let head = method == Method::HEAD;
    // Only a POST has a body that matters; the time of the others begins now (see `within_time`).
    let body = if method == Method::POST && !body.is_end_stream() {
        body
    } else {
        body::discard(body);
        Body::empty()
    };
    let asked = Asked {
        method: if head { Method::GET } else { method },
        segments: segments(parts.uri.path()),
        uri: parts.uri,
        query,
        headers: parts.headers,
    };
    let response = match Box::pin(route(app, &asked, body, peer)).await {
        Ok(response) => response,
        Err(Failure::Answer(response)) => *response,
        Err(Failure::StoreAway(reason)) => reply::store_away(&reason),
    };
    if head {
        return response.map(|_| Body::empty());
    }
    response
}

/// `_method` replaces the method of a POST, and of nothing else (design.md 8, trust).
fn effective_method(method: &Method, query: &Params) -> Result<Method, Box<Response>> {
    match query.get("_method") {
        Some(name) if method == Method::POST => guard::known_method(name).ok_or_else(|| {
            let text = "The server either does not recognize the request method, or it lacks the \
                        ability to fulfill the request.";
            Box::new(reply::text(StatusCode::NOT_IMPLEMENTED, text))
        }),
        _ => Ok(method.clone()),
    }
}

async fn route(app: &Arc<App>, asked: &Asked, body: Body, peer: Option<Peer>) -> Outcome {
    if asked.method == Method::OPTIONS
        && let Some(response) = guard::preflight(&asked.headers)
    {
        return Ok(response);
    }
    let Some(route) = Route::of(&asked.segments) else {
        body::discard(body);
        // rest-api.md 1.6: any method but GET on an unknown path is 405.
        return Ok(match asked.method {
            Method::GET => reply::no_route(),
            _ => reply::wrong_method(&[Method::GET]),
        });
    };
    if !route.methods().contains(&asked.method) {
        body::discard(body);
        return Ok(reply::wrong_method(route.methods()));
    }
    if !accepts_json(&asked.headers) {
        body::discard(body);
        let text = "Resource representation is only available with these types:\napplication/json";
        return Ok(reply::text(StatusCode::NOT_ACCEPTABLE, text));
    }
    match asked.method {
        Method::GET => Ok(get(app, route, asked).await),
        Method::POST => post(app, route, asked, body, peer).await,
        Method::DELETE => match route {
            Route::Binary(name) => binaries::delete(app, &name).await,
            Route::Context(name) => contexts::delete(app, &name, asked).await,
            Route::Job(id) => jobs::delete(app, &id).await,
            _ => Ok(reply::not_built("data files (/data) are")),
        },
        _ => Ok(put(&route, asked)),
    }
}

async fn get(app: &Arc<App>, route: Route, asked: &Asked) -> Response {
    let resource = asked
        .uri
        .path_and_query()
        .map_or("/", |path_and_query| path_and_query.as_str());
    match route {
        Route::Health => reply::success(StatusCode::OK, None),
        Route::Live => reply::success(StatusCode::OK, None),
        Route::Ready => cluster::ready(app),
        Route::Cluster | Route::Leave => cluster::show(app),
        Route::Data => reply::not_built("data files (/data) are"),
        Route::Binaries => reader::answer(app, resource, || binaries::list(app)).await,
        Route::Binary(name) => reader::answer(app, resource, || binaries::get(app, &name)).await,
        Route::Contexts => reader::answer(app, resource, || contexts::list(app)).await,
        Route::Context(name) => reader::answer(app, resource, || contexts::get(app, &name)).await,
        Route::Jobs => reader::answer(app, resource, || job_list::list(app, &asked.query)).await,
        Route::Job(id) => reader::answer(app, resource, || jobs::get(app, &id)).await,
        Route::JobConfig(id) => reader::answer(app, resource, || job_config::get(app, &id)).await,
    }
}

async fn post(
    app: &Arc<App>,
    route: Route,
    asked: &Asked,
    body: Body,
    peer: Option<Peer>,
) -> Outcome {
    match route {
        Route::Binary(name) => upload::post(app, &name, asked, body).await,
        Route::Context(name) => contexts::post(app, &name, asked, body).await,
        Route::Jobs => submit::post(app, asked, body).await,
        Route::Leave => Ok(cluster::leave(app, peer, asked)),
        _ => {
            body::discard(body);
            Ok(reply::not_built("data files (/data) are"))
        }
    }
}

fn put(route: &Route, asked: &Asked) -> Response {
    if asked.query.get("reset").is_none() {
        let text = "Request is missing required query parameter 'reset'";
        return reply::text(StatusCode::NOT_FOUND, text);
    }
    match route {
        Route::Contexts => reply::not_built("PUT /contexts?reset is"),
        _ => reply::not_built("data files (/data) are"),
    }
}

/// Whether the client takes JSON: no `Accept`, or one that names it or a wildcard of it.
fn accepts_json(headers: &HeaderMap) -> bool {
    let mut values = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|v| v.to_str().ok())
        .peekable();
    if values.peek().is_none() {
        return true;
    }
    values.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or("").to_ascii_lowercase();
        let refused = parts.any(|parameter| {
            let weight = parameter.strip_prefix("q=");
            weight.is_some_and(|q| q.parse::<f32>().is_ok_and(|q| q <= 0.0))
        });
        !refused && matches!(media.as_str(), "*/*" | "application/*" | "application/json")
    })
}
