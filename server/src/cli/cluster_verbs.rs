//! `doyen members` and `doyen leave`: questions to a running server.

use super::args::{MembersArgs, UrlArgs};
use super::exit::{self, fail};
use super::text::{line, rendered, table, width};
use doyen_core::process::{ClusterView, MemberView};
use doyen_core::records::singleton::Epoch;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

/// The longest answer that is read: a view of a full cluster is far below.
const ANSWER_MAX: usize = 4 * 1024 * 1024;
const MEMBERS_WAIT: Duration = Duration::from_secs(5);
/// Leaving is bounded by 10 s (protocol.md S3).
const LEAVE_WAIT: Duration = Duration::from_secs(15);

/// Shows who is in the cluster.
pub(super) fn members(args: &MembersArgs) -> ExitCode {
    let body = match ask(Method::GET, &args.server.url, "/cluster", MEMBERS_WAIT) {
        Ok((_, body)) => body,
        Err(error) => return fail(exit::FAILED, &error),
    };
    if args.json {
        line(body.trim_end());
        return ExitCode::from(exit::STOPPED);
    }
    match serde_json::from_str::<ClusterView>(&body) {
        Ok(view) => {
            line(&for_people(&view, width()));
            ExitCode::from(exit::STOPPED)
        }
        Err(error) => fail(
            exit::FAILED,
            &format!(
                "{} does not answer as a doyen server: {error}",
                args.server.url
            ),
        ),
    }
}

/// Asks a server to leave.
pub(super) fn leave(args: &UrlArgs) -> ExitCode {
    match ask(Method::POST, &args.url, "/cluster/leave", LEAVE_WAIT) {
        Ok((status, body)) => {
            let detail = body.trim();
            let said = if detail.is_empty() {
                status.to_string()
            } else {
                detail.to_owned()
            };
            line(&format!("{} leaves the cluster: {said}", args.url));
            ExitCode::from(exit::STOPPED)
        }
        Err(error) => fail(exit::FAILED, &error),
    }
}

fn ask(
    method: Method,
    url: &str,
    path: &str,
    wait: Duration,
) -> Result<(StatusCode, String), String> {
    let whole = format!("{}{path}", url.trim_end_matches('/'));
    let uri: Uri = whole
        .parse()
        .map_err(|error| format!("--url {url}: no URL: {error}; expected http://HOST:PORT"))?;
    if uri.scheme_str() != Some("http") || uri.host().is_none() {
        return Err(format!("--url {url}: expected http://HOST:PORT"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    runtime.block_on(async {
        match tokio::time::timeout(wait, exchange(method, uri, &whole)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!(
                "{whole} did not answer within {} s",
                wait.as_secs()
            )),
        }
    })
}

async fn exchange(method: Method, uri: Uri, whole: &str) -> Result<(StatusCode, String), String> {
    let client: Client<HttpConnector, Empty<Bytes>> =
        Client::builder(TokioExecutor::new()).build(HttpConnector::new());
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .body(Empty::new())
        .map_err(|error| format!("{whole}: {error}"))?;
    let answer = client.request(request).await.map_err(|error| {
        format!(
            "no server answers at {whole}: {}; is it running?",
            cause(&error)
        )
    })?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), ANSWER_MAX)
        .collect()
        .await
        .map_err(|error| format!("{whole}: the answer broke off: {error}"))?
        .to_bytes();
    let body = String::from_utf8_lossy(&body).into_owned();
    if status.is_success() {
        Ok((status, body))
    } else {
        Err(format!("{whole} answered {status}: {}", body.trim()))
    }
}

/// The innermost cause, which is what helps: `Connection refused (os error 111)`.
fn cause(error: &dyn Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

/// The view as text of this width.
fn for_people(view: &ClusterView, width: u16) -> String {
    let Epoch(epoch) = view.epoch;
    let holder = view
        .holder
        .as_ref()
        .map_or_else(|| "nobody".to_owned(), |holder| holder.address.to_string());
    let mut lines = vec![format!(
        "Held by {holder}, epoch {epoch}; roster generation {}; {}; seen from {}",
        view.generation.0,
        if view.converged {
            "converged"
        } else {
            "not converged"
        },
        view.identity.address
    )];
    if let Some(reason) = &view.not_ready {
        lines.push(format!("This server takes no calls: {reason}"));
    }
    let has_drivers = view.members.iter().any(|member| member.context.is_some());
    let mut headings = vec![
        "address",
        "status",
        "age",
        "role",
        "holder",
        "reachable",
        "version",
    ];
    if has_drivers {
        headings.push("context");
    }
    let mut table = table(&headings, width);
    for member in &view.members {
        let mut row = row(member, view);
        if has_drivers {
            row.push(member.context.clone().unwrap_or_default());
        }
        table.add_row(row);
    }
    lines.push(String::new());
    lines.push(rendered(&table));
    lines.join("\n")
}

fn row(member: &MemberView, view: &ClusterView) -> Vec<String> {
    let holds = view.holder.as_ref() == Some(&member.identity);
    let role = match member.role {
        doyen_core::identity::Role::Server => "server",
        doyen_core::identity::Role::Driver => "driver",
    };
    vec![
        member.identity.address.to_string(),
        format!("{:?}", member.status),
        member.age.map_or_else(String::new, |age| age.to_string()),
        role.to_owned(),
        if holds { "*" } else { "" }.to_owned(),
        if member.reachable { "yes" } else { "NO" }.to_owned(),
        member.version.clone(),
    ]
}

#[cfg(test)]
#[path = "cluster_verbs_tests.rs"]
mod tests;
