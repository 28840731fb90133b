//! Who may ask at all: hosts and web origins (design.md 8, trust).

use super::App;
use super::reply;
use super::server::Peer;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HOST, HeaderValue, ORIGIN, VARY,
};
use axum::http::{HeaderMap, Method, Request, StatusCode, Uri};
use axum::response::Response;
use std::net::IpAddr;

/// Refuses a request that a foreign page may have made a browser send.
pub(crate) fn refusal<B>(app: &App, request: &Request<B>) -> Option<Response> {
    let headers = request.headers();
    let bound_to_loopback = request
        .extensions()
        .get::<Peer>()
        .is_some_and(|peer| peer.bound.ip().is_loopback());
    if bound_to_loopback && !host_of(headers, request.uri()).is_some_and(is_loopback_host) {
        let text = "This server listens on loopback: the Host header must name localhost.";
        return Some(reply::text(StatusCode::FORBIDDEN, text));
    }
    let origin = headers.get(ORIGIN)?;
    if is_own(origin, host_of(headers, request.uri())) || is_listed(app, origin) {
        return None;
    }
    let text = "Requests of web pages of this origin are not allowed: send no Origin header.";
    Some(reply::text(StatusCode::FORBIDDEN, text))
}

/// Whether the request comes from this host and names it so, and through no proxy.
pub(crate) fn is_from_loopback(peer: Option<Peer>, headers: &HeaderMap, uri: &Uri) -> bool {
    let proxied = ["forwarded", "x-forwarded-for", "via"]
        .iter()
        .any(|name| headers.contains_key(*name));
    !proxied
        && peer.is_some_and(|peer| peer.remote.ip().to_canonical().is_loopback())
        && host_of(headers, uri).is_some_and(is_loopback_host)
}

/// The answer to a browser's question beforehand (rest-api.md 1.5, widened by PUT and DELETE).
pub(crate) fn preflight(headers: &HeaderMap) -> Option<Response> {
    headers.get(ORIGIN)?;
    headers.get(ACCESS_CONTROL_REQUEST_METHOD)?;
    let mut response = Response::default();
    let out = response.headers_mut();
    out.insert(
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET, POST, PUT, DELETE, HEAD, OPTIONS"),
    );
    out.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("1800"));
    if let Some(wanted) = headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        out.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    Some(response)
}

/// Tells the browser that this origin may read the answer.
pub(crate) fn allow_origin(origin: Option<HeaderValue>, response: &mut Response) {
    let Some(origin) = origin else {
        return;
    };
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(
        ACCESS_CONTROL_ALLOW_CREDENTIALS,
        HeaderValue::from_static("true"),
    );
    headers.append(VARY, HeaderValue::from_static("Origin"));
}

fn host_of<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    match uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => headers.get(HOST).and_then(|host| host.to_str().ok()),
    }
}

/// Whether `host` or `host:port` names this machine's loopback.
fn is_loopback_host(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => host.split(':').next().unwrap_or(host),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn is_own(origin: &HeaderValue, host: Option<&str>) -> bool {
    let origin = origin.to_str().ok();
    let named = origin.and_then(|text| text.split_once("://").map(|(_, rest)| rest));
    named.is_some_and(|named| host.is_some_and(|host| named.eq_ignore_ascii_case(host)))
}

fn is_listed(app: &App, origin: &HeaderValue) -> bool {
    let listed = &app.settings.allowed_origins;
    origin
        .to_str()
        .is_ok_and(|text| listed.iter().any(|one| one.eq_ignore_ascii_case(text)))
}

/// The methods of HTTP, for `_method` (rest-api.md 1.4).
pub(crate) fn known_method(name: &str) -> Option<Method> {
    let name = name.to_ascii_uppercase();
    match name.as_str() {
        "GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "PATCH" | "OPTIONS" | "TRACE" | "CONNECT" => {
            Method::from_bytes(name.as_bytes()).ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_loopback_pass() {
        for host in [
            "localhost",
            "LOCALHOST:8090",
            "127.0.0.1:8090",
            "127.8.8.8",
            "[::1]:8090",
        ] {
            assert!(is_loopback_host(host), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example:80",
            "10.0.0.1",
            "[::2]:80",
            "",
        ] {
            assert!(!is_loopback_host(host), "{host}");
        }
    }
}
