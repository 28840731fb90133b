//! Bounds, times and defaults of the HTTP interface, as plain values.

use serde_json::Value;
use std::path::PathBuf;
use std::time::Duration;

/// Reads a posted body (JSON first, else HOCON, guarded against cycles and depth); the error is the
/// parser's message.
pub type ParseBody = fn(&str) -> Result<Value, String>;

/// Bounds, times and defaults. The names in brackets are the predecessor's keys.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// The most bytes of a request body (`akka.http.server.parsing.max-content-length`).
    pub max_content_length: u64,
    /// From the end of a request to its answer (`akka.http.server.request-timeout`).
    pub request_timeout: Duration,
    /// How long a body may stand still (`akka.http.server.idle-timeout`).
    pub idle_timeout: Duration,
    /// Bound of reads while the store is away and no older answer is known
    /// (`spark.jobserver.short-timeout`).
    pub short_timeout: Duration,
    /// How long `POST /jobs` waits without `timeout` (rest-api.md 5.1).
    pub sync_timeout: Duration,
    /// How long a context may take to start (`context-creation-timeout`).
    pub context_creation_timeout: Duration,
    /// How long a context may take to stop (`context-deletion-timeout`).
    pub context_deletion_timeout: Duration,
    /// How long a write is tried again while the store is away (protocol.md Times).
    pub gateway_hold: Duration,
    /// After so long without the store a read is answered from an older answer (protocol.md B3).
    pub read_deadline: Duration,
    /// A store that did not answer for so long counts as lost in `/readyz`.
    pub store_lost_after: Duration,
    /// How long final jobs are kept (`dao-cleanup-after`): how far lists look back.
    pub retention: Duration,
    /// The defaults of every context (`spark.context-settings`).
    pub context_defaults: Value,
    /// The Spark master (`spark.master`): forced stops exist for `spark://` only.
    pub spark_master: String,
    /// Reads posted configurations.
    pub parse_body: ParseBody,
    /// Where uploads are spooled; must exist, on the host's own disk.
    pub spool_dir: PathBuf,
    /// Web origins that may call this server from a browser, as `https://host:port`.
    pub allowed_origins: Vec<String>,
    /// What `/readyz` shows to operators, e.g. a bind beyond loopback without authentication.
    pub warnings: Vec<String>,
}

impl HttpSettings {
    /// The predecessor's defaults.
    #[must_use]
    pub fn new(spool_dir: PathBuf, parse_body: ParseBody) -> Self {
        Self {
            max_content_length: 30 * 1024 * 1024,
            request_timeout: Duration::from_secs(40),
            idle_timeout: Duration::from_secs(60),
            short_timeout: Duration::from_secs(3),
            sync_timeout: Duration::from_secs(10),
            context_creation_timeout: Duration::from_secs(60),
            context_deletion_timeout: Duration::from_secs(15),
            gateway_hold: Duration::from_secs(30),
            read_deadline: Duration::from_secs(1),
            store_lost_after: Duration::from_secs(2),
            retention: Duration::from_secs(72 * 3600),
            context_defaults: Value::Object(serde_json::Map::new()),
            spark_master: String::from("local[4]"),
            parse_body,
            spool_dir,
            allowed_origins: Vec::new(),
            warnings: Vec::new(),
        }
    }
}
