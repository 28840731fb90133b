//! An HTTP client of one server, with connections that are kept.

use crate::{Outcome, trouble};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::HeaderMap;
use hyper::{Method, Request};
use hyper_util::client::legacy::{Client as Pool, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use std::time::Duration;

/// Longer than a server holds a request (`request-timeout`, 40 s): it always answers first.
const DEADLINE: Duration = Duration::from_secs(45);

/// A client of the server on this port of loopback.
#[derive(Clone, Debug)]
pub struct Client {
    pool: Pool<HttpConnector, Full<Bytes>>,
    port: u16,
}

/// A call: what goes to the server.
#[derive(Clone, Debug)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// Path and query, percent-encoded.
    pub path: String,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Bytes,
}

impl Call {
    /// A call without a body.
    #[must_use]
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    /// GET.
    #[must_use]
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// DELETE.
    #[must_use]
    pub fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path)
    }

    /// POST with a body.
    #[must_use]
    pub fn post(path: impl Into<String>, body: impl Into<Bytes>) -> Self {
        let mut call = Self::new(Method::POST, path);
        call.body = body.into();
        call
    }

    /// With a further header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Reply {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; null when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The member `result` of the body, as text.
    #[must_use]
    pub fn result(&self) -> String {
        match &self.json()["result"] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }

    /// Status and the beginning of the body, for messages.
    #[must_use]
    pub fn brief(&self) -> String {
        let text: String = self.text().chars().take(300).collect();
        format!("{} {text}", self.status)
    }

    /// Itself, if its status is one of these.
    ///
    /// # Errors
    /// Another status; the failure shows the answer.
    pub fn expect(self, statuses: &[u16]) -> Outcome<Self> {
        if statuses.contains(&self.status) {
            Ok(self)
        } else {
            Err(trouble(format!(
                "expected status {statuses:?}, got {}",
                self.brief()
            )))
        }
    }
}

impl Client {
    /// A client of this port. A call is sent once and never repeated behind the caller's back, so
    /// that each failure is seen.
    #[must_use]
    pub fn new(port: u16) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let pool = Pool::builder(TokioExecutor::new())
            .retry_canceled_requests(false)
            // Below a server's idle time (60 s), so that none is used that the server closes now.
            .pool_idle_timeout(Duration::from_secs(20))
            .pool_timer(hyper_util::rt::TokioTimer::new())
            .build(connector);
        Self { pool, port }
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The address with this path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Makes a call.
    ///
    /// # Errors
    /// The connection fails, breaks, or gives no answer within 45 s.
    pub async fn call(&self, call: Call) -> Outcome<Reply> {
        let what = format!("{} {}", call.method, self.url(&call.path));
        let mut request = Request::builder()
            .method(call.method)
            .uri(self.url(&call.path));
        for (name, value) in call.headers {
            request = request.header(name, value);
        }
        let request = request
            .body(Full::new(call.body))
            .map_err(|e| trouble(format!("{what}: {e}")))?;
        let exchange = async {
            let response = self.pool.request(request).await.map_err(|error| {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                trouble(format!("{what}: {error}: {}", cause.unwrap_or_default()))
            })?;
            let (parts, body) = response.into_parts();
            let body = body
                .collect()
                .await
                .map_err(|e| trouble(format!("{what}: body: {e}")))?;
            Ok(Reply {
                status: parts.status.as_u16(),
                headers: parts.headers,
                body: body.to_bytes(),
            })
        };
        match tokio::time::timeout(DEADLINE, exchange).await {
            Ok(outcome) => outcome,
            Err(_) => Err(trouble(format!("{what}: no answer within {DEADLINE:?}"))),
        }
    }
}
