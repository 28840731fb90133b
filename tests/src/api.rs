//! The REST interface as callers use it: `spec/rest-api.md`, and `/cluster` of design.md §8.

use crate::http::{Call, Client, Reply};
use crate::{Outcome, trouble, wait};
use bytes::Bytes;
use serde_json::Value;
use std::time::Duration;

/// Names and values of a query, to be percent-encoded.
pub type Query<'a> = &'a [(&'a str, &'a str)];

/// The interface of one server.
#[derive(Clone, Debug)]
pub struct Api {
    client: Client,
}

/// What a server sees of the cluster (`GET /cluster`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterState {
    /// The epoch.
    pub epoch: u64,
    /// The roster's generation.
    pub generation: u64,
    /// The holder's address.
    pub holder: Option<String>,
    /// The members.
    pub members: Vec<MemberState>,
}

/// One member of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberState {
    /// Its address.
    pub address: String,
    /// Its incarnation.
    pub incarnation: String,
    /// In lower case: `up`, `leaving`, …
    pub status: String,
    /// In lower case: `server` or `driver`.
    pub role: String,
    /// Whether the server hears it.
    pub reachable: bool,
}

impl ClusterState {
    /// Reads the body of `GET /cluster`.
    ///
    /// # Errors
    /// A member of design.md §8 is missing.
    pub fn parse(body: &Value) -> Outcome<Self> {
        let bad = |what: &str| trouble(format!("/cluster without `{what}`: {body}"));
        let number = |name: &str| {
            let value = &body[name];
            let text = value.as_str().and_then(|text| text.parse().ok());
            value.as_u64().or(text).ok_or_else(|| bad(name))
        };
        let members = body["members"].as_array().ok_or_else(|| bad("members"))?;
        let members = members
            .iter()
            .map(MemberState::parse)
            .collect::<Option<Vec<_>>>();
        Ok(Self {
            epoch: number("epoch")?,
            generation: number("generation")?,
            holder: address(&body["holder"]),
            members: members.ok_or_else(|| bad("address, status or reachable"))?,
        })
    }

    /// Whether exactly these servers are members, all Up and reachable, one of them the holder.
    ///
    /// # Errors
    /// What is not so.
    pub fn all_up(&self, addresses: &[String]) -> Result<(), String> {
        let servers: Vec<&MemberState> =
            self.members.iter().filter(|m| m.role != "driver").collect();
        let up = |m: &&&MemberState| m.status == "up" && m.reachable;
        let known = addresses
            .iter()
            .all(|a| servers.iter().filter(up).any(|m| m.address == *a));
        if !known || servers.len() != addresses.len() {
            return Err(format!("members {servers:?}"));
        }
        match &self.holder {
            Some(holder) if addresses.contains(holder) => Ok(()),
            other => Err(format!("holder {other:?}")),
        }
    }
}

impl MemberState {
    fn parse(value: &Value) -> Option<Self> {
        let lower = |name: &str| value[name].as_str().map(str::to_lowercase);
        Some(Self {
            address: value["address"].as_str()?.to_owned(),
            incarnation: value["incarnation"].as_str()?.to_owned(),
            status: lower("status")?,
            role: lower("role")?,
            reachable: value["reachable"].as_bool()?,
        })
    }
}

/// An address alone, or of an identity (`{address, incarnation}` or `address#incarnation`).
fn address(value: &Value) -> Option<String> {
    let text = value.as_str().or_else(|| value["address"].as_str())?;
    Some(text.split('#').next().unwrap_or(text).to_owned())
}

/// Percent-encodes everything but letters, digits and `-._~`.
#[must_use]
pub fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// A path with a query.
#[must_use]
pub fn path(base: &str, query: Query<'_>) -> String {
    let pairs: Vec<String> = query
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect();
    if pairs.is_empty() {
        base.to_owned()
    } else {
        format!("{base}?{}", pairs.join("&"))
    }
}

impl Api {
    /// The interface behind this client.
    #[must_use]
    pub const fn new(client: Client) -> Self {
        Self { client }
    }

    /// The client itself.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Makes any call.
    ///
    /// # Errors
    /// The transport fails.
    pub async fn call(&self, call: Call) -> Outcome<Reply> {
        self.client.call(call).await
    }

    /// GET of a path.
    ///
    /// # Errors
    /// The transport fails.
    pub async fn get(&self, path: impl Into<String>) -> Outcome<Reply> {
        self.call(Call::get(path)).await
    }

    /// Whether `/readyz` says 200.
    ///
    /// # Errors
    /// What it says instead.
    pub async fn ready(&self) -> Result<(), String> {
        let reply = self.get("/readyz").await.map_err(|e| e.to_string())?;
        if reply.status == 200 {
            Ok(())
        } else {
            Err(reply.brief())
        }
    }

    /// `GET /cluster`.
    ///
    /// # Errors
    /// No answer, or not of the expected form.
    pub async fn cluster(&self) -> Outcome<ClusterState> {
        ClusterState::parse(&self.get("/cluster").await?.expect(&[200])?.json())
    }

    /// Uploads a binary of this media type; its answer.
    ///
    /// # Errors
    /// The transport fails.
    pub async fn upload(
        &self,
        name: &str,
        media: &str,
        content: impl Into<Bytes>,
    ) -> Outcome<Reply> {
        let call = Call::post(format!("/binaries/{}", encode(name)), content);
        self.call(call.header("content-type", media)).await
    }

    /// Uploads a wheel.
    ///
    /// # Errors
    /// Anything but 201.
    pub async fn upload_wheel(&self, name: &str, content: impl Into<Bytes>) -> Outcome<()> {
        self.upload(name, "application/python-wheel", content)
            .await?
            .expect(&[201])
            .map(drop)
    }

    /// Uploads an executable of the `process` engine.
    ///
    /// # Errors
    /// Anything but 201.
    pub async fn upload_executable(&self, name: &str, content: impl Into<Bytes>) -> Outcome<()> {
        self.upload(name, "application/x-executable", content)
            .await?
            .expect(&[201])
            .map(drop)
    }

    /// Creates a context; its answer.
    ///
    /// # Errors
    /// The transport fails.
    pub async fn create_context(&self, name: &str, settings: Query<'_>) -> Outcome<Reply> {
        self.call(Call::post(
            path(&format!("/contexts/{}", encode(name)), settings),
            "",
        ))
        .await
    }

    /// Creates a context of the `process` engine.
    ///
    /// # Errors
    /// Anything but 200.
    pub async fn create_process_context(&self, name: &str) -> Outcome<()> {
        self.create_context(name, &[("doyen.engine", "process")])
            .await?
            .expect(&[200])
            .map(drop)
    }

    /// Deletes a context; its answer.
    ///
    /// # Errors
    /// The transport fails.
    pub async fn delete_context(&self, name: &str) -> Outcome<Reply> {
        self.call(Call::delete(format!("/contexts/{}", encode(name))))
            .await
    }

    /// Starts a job; its answer.
    ///
    /// # Errors
    /// The transport fails.
    pub async fn submit(&self, query: Query<'_>, config: &Value) -> Outcome<Reply> {
        let body = if config.is_null() {
            String::new()
        } else {
            config.to_string()
        };
        self.call(Call::post(path("/jobs", query), body)).await
    }

    /// Starts a job in a context and does not wait for its result; its id.
    ///
    /// # Errors
    /// Anything but 202.
    pub async fn start_job(
        &self,
        context: &str,
        binary: &str,
        class: &str,
        config: &Value,
    ) -> Outcome<String> {
        let query = [("cp", binary), ("mainClass", class), ("context", context)];
        let reply = self.submit(&query, config).await?.expect(&[202])?;
        let id = reply.json()["jobId"].as_str().map(str::to_owned);
        id.ok_or_else(|| trouble(format!("no jobId in {}", reply.brief())))
    }

    /// Runs a job in a context and waits for its result.
    ///
    /// # Errors
    /// Anything but 200 with a result.
    pub async fn run_job(
        &self,
        context: &str,
        binary: &str,
        class: &str,
        config: &Value,
    ) -> Outcome<Value> {
        let query = [
            ("cp", binary),
            ("mainClass", class),
            ("context", context),
            ("sync", "true"),
            ("timeout", "35"),
        ];
        let reply = self.submit(&query, config).await?.expect(&[200])?;
        let json = reply.json();
        if json["status"] == "ERROR" || json.get("result").is_none() {
            return Err(trouble(format!("the job failed: {}", reply.brief())));
        }
        Ok(json["result"].clone())
    }

    /// `GET /jobs/<id>`.
    ///
    /// # Errors
    /// Anything but 200.
    pub async fn job(&self, id: &str) -> Outcome<Value> {
        Ok(self
            .get(format!("/jobs/{}", encode(id)))
            .await?
            .expect(&[200])?
            .json())
    }

    /// Waits until a job is in this state; its report.
    ///
    /// # Errors
    /// It is not within `limit`, or ends in another state.
    pub async fn wait_job(&self, id: &str, state: &str, limit: Duration) -> Outcome<Value> {
        let mut last = None;
        wait::until(&format!("job {id} is {state}"), limit, async || {
            let report = self.job(id).await.map_err(|e| e.to_string())?;
            let now = report["status"].as_str().unwrap_or("").to_owned();
            if now == state || ["FINISHED", "ERROR", "KILLED"].contains(&now.as_str()) {
                last = Some((now, report));
                return Ok(());
            }
            Err(now)
        })
        .await?;
        match last {
            Some((now, report)) if now == state => Ok(report),
            other => Err(trouble(format!(
                "job {id} should be {state}, but: {other:?}"
            ))),
        }
    }

    /// The state of a context.
    ///
    /// # Errors
    /// Anything but 200.
    pub async fn context_state(&self, name: &str) -> Outcome<String> {
        let reply = self
            .get(format!("/contexts/{}", encode(name)))
            .await?
            .expect(&[200])?;
        Ok(reply.json()["state"].as_str().unwrap_or("").to_owned())
    }

    /// Waits until a context is in one of these states.
    ///
    /// # Errors
    /// It is not within `limit`.
    pub async fn wait_context(
        &self,
        name: &str,
        states: &[&str],
        limit: Duration,
    ) -> Outcome<String> {
        wait::until(
            &format!("context {name} is one of {states:?}"),
            limit,
            async || {
                let state = self.context_state(name).await.map_err(|e| e.to_string())?;
                if states.contains(&state.as_str()) {
                    Ok(state)
                } else {
                    Err(state)
                }
            },
        )
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn view(status: &str, reachable: bool, holder: &Value) -> Value {
        json!({"epoch": 3, "generation": 2, "holder": holder, "members": [
            {"address": "127.0.0.1:1", "incarnation": "0a", "status": status, "age": 0,
             "role": "server", "version": "", "reachable": reachable},
            {"address": "127.0.0.1:0", "incarnation": "0b", "status": "Up", "age": null,
             "role": "driver", "version": "", "reachable": true},
        ]})
    }

    #[test]
    fn the_holder_is_read_as_text_and_as_identity() {
        for holder in [
            json!("127.0.0.1:1"),
            json!("127.0.0.1:1#0a"),
            json!({"address": "127.0.0.1:1", "incarnation": "0a"}),
        ] {
            let state = ClusterState::parse(&view("Up", true, &holder)).unwrap();
            assert_eq!(state.holder.as_deref(), Some("127.0.0.1:1"));
            assert_eq!((state.epoch, state.generation), (3, 2));
            assert!(state.all_up(&["127.0.0.1:1".to_owned()]).is_ok());
        }
    }

    #[test]
    fn all_up_wants_every_server_up_reachable_and_a_holder_among_them() {
        let holder = json!("127.0.0.1:1");
        let one = ["127.0.0.1:1".to_owned()];
        let state = |status, reachable, holder| {
            ClusterState::parse(&view(status, reachable, holder)).unwrap()
        };
        assert!(state("Leaving", true, &holder).all_up(&one).is_err());
        assert!(state("Up", false, &holder).all_up(&one).is_err());
        assert!(state("Up", true, &Value::Null).all_up(&one).is_err());
        let two = ["127.0.0.1:1".to_owned(), "127.0.0.1:2".to_owned()];
        assert!(state("Up", true, &holder).all_up(&two).is_err());
        assert!(ClusterState::parse(&json!({"epoch": 1})).is_err());
    }

    #[test]
    fn queries_are_percent_encoded() {
        assert_eq!(
            path("/jobs", &[("cp", "a b"), ("x", "é&=")]),
            "/jobs?cp=a%20b&x=%C3%A9%26%3D"
        );
        assert_eq!(path("/jobs", &[]), "/jobs");
    }
}
