//! The settings of a process: plain values, each with its source.

use super::checks::{self, Context};
use super::fault::{Fault, Sources};
use super::hocon_guard::parse_file;
use super::report::{ConfigErrors, Problem, Report};
use super::times;
use super::values::{Source, Values};
use doyen_core::config::ValidConfig;
use doyen_core::identity::Address;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What stands for `infinite`: long enough for any request, short enough for sums of times.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// The HTTP side of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Where it listens: a host name or IP address.
    pub bind: String,
    /// The port; 0 for any free one.
    pub port: u16,
    /// Time to answer a request.
    pub request_timeout: Duration,
    /// A silent connection is closed after this.
    pub idle_timeout: Duration,
    /// The largest upload, in bytes.
    pub max_content_length: u64,
}

/// The cluster side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// This server's own address.
    pub address: Address,
    /// Every server, in the order that founds; own address alone when none are configured.
    pub seeds: Vec<Address>,
    /// Servers of another name are refused.
    pub name: String,
}

/// Where records live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// The `doyen store` process of this host.
    Embedded,
    /// ZooKeeper; not built yet.
    ZooKeeper,
    /// PostgreSQL; not built yet.
    Postgres,
}

/// Times and bounds of contexts and jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jobs {
    /// Jobs that run in one context at a time.
    pub max_jobs_per_context: u32,
    /// Bound of requests inside the server.
    pub short_timeout: Duration,
    /// Wait for a context to be ready.
    pub context_creation_timeout: Duration,
    /// Wait for a context to stop before 202 is answered.
    pub context_deletion_timeout: Duration,
    /// From a driver's launch to its first record.
    pub forked_jvm_init_timeout: Duration,
    /// From a driver's record to a ready engine.
    pub context_init_timeout: Duration,
    /// Final records are deleted after this.
    pub dao_cleanup_after: Duration,
}

/// The settings of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The file they were read from.
    pub config_file: Option<PathBuf>,
    /// `--set KEY=VALUE` that were laid over it; a child process is to be given the same.
    pub overrides: Vec<String>,
    /// The HTTP side.
    pub http: Http,
    /// The cluster side.
    pub cluster: Cluster,
    /// Embedded store, caches, logs; absolute.
    pub data_dir: PathBuf,
    /// Local cache of binaries (`daorootdir`), and of nothing else; absolute.
    pub cache_dir: PathBuf,
    /// Where records live.
    pub store: StoreKind,
    /// The store of binaries by class name; `None`: files beside the embedded store.
    pub binary_dao: Option<String>,
    /// Its folder or URL.
    pub binary_dir: Option<String>,
    /// ZooKeeper servers.
    pub zookeeper: String,
    /// ZooKeeper folder.
    pub zookeeper_dir: String,
    /// Spark master of contexts that name none.
    pub spark_master: String,
    /// `spark.context-settings`, whole, with the defaults of the keys that are known.
    pub context_defaults: Value,
    /// `spark.contexts`: settings by name.
    pub contexts: BTreeMap<String, Value>,
    /// Contexts and jobs.
    pub jobs: Jobs,
    /// A split is decided after this.
    pub stable_after: Duration,
    /// Engine of contexts that name none: `spark` or `process`.
    pub engine: String,
    /// Python of Python contexts.
    pub python: String,
    /// File with the token that clients must show.
    pub token_file: Option<PathBuf>,
    /// What core needs, checked.
    pub core: ValidConfig,
    /// Where the value of each key comes from.
    pub sources: BTreeMap<&'static str, Source>,
}

impl Settings {
    /// Reads a file, or the defaults when there is none.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn load(file: Option<&Path>) -> Result<(Self, Report), ConfigErrors> {
        Self::load_with(file, &[])
    }

    /// The same with `KEY=VALUE` of the command line laid over the file.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn load_with(
        file: Option<&Path>,
        overrides: &[String],
    ) -> Result<(Self, Report), ConfigErrors> {
        let (settings, report) = inspect(file, overrides);
        match settings {
            Some(settings) if report.errors.is_empty() => Ok((settings, report)),
            _ => Err(ConfigErrors(report.errors)),
        }
    }
}

/// Reads a configuration as far as it goes: the report has everything, also what is wrong.
#[must_use]
pub fn inspect(file: Option<&Path>, overrides: &[String]) -> (Option<Settings>, Report) {
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let mut report = Report::default();
    let document = match parse_file(file, overrides, &environment) {
        Ok(document) => document,
        Err((sources, fault)) => {
            report.errors.push(problem(&sources, file, &fault));
            return (None, report);
        }
    };
    for (origin, path) in &document.missing_includes {
        let place = document.sources.place(*origin);
        let shown = path.display();
        report
            .notes
            .push(format!("{place}: the included file {shown} does not exist"));
    }
    let values = Values::read(Some(&document), &mut report);
    let settings = build(&values, file, overrides, &mut report);
    report.cut();
    (settings, report)
}

fn problem(sources: &Sources, file: Option<&Path>, fault: &Fault) -> Problem {
    let place = fault.origin.map(|origin| sources.place(origin));
    let whole = || file.map(|file| file.display().to_string());
    Problem {
        place: place.or_else(whole),
        key: None,
        message: fault.message.clone(),
    }
}

fn build(
    values: &Values,
    file: Option<&Path>,
    overrides: &[String],
    report: &mut Report,
) -> Option<Settings> {
    let mut context = Context { values, report };
    let data_dir = checks::data_dir(&mut context);
    let cluster = checks::cluster(&mut context);
    let http = http(values);
    checks::http(&mut context, &http, &cluster);
    let store = checks::store(&mut context, &cluster);
    checks::features(&mut context);
    let core = times::core(&mut context, &cluster.seeds, http.request_timeout)?;
    let token_file = checks::path(&mut context, "doyen.token-file");
    let cache_dir = checks::path(&mut context, "spark.jobserver.daorootdir");
    let data_dir = data_dir?;
    let cache_dir = cache_dir.unwrap_or_else(|| {
        let path = data_dir.join("cache");
        let key = "spark.jobserver.daorootdir";
        report.describe_default(key, path.display().to_string());
        path
    });
    let binary = |key| {
        values
            .maybe_text(key)
            .filter(|_| store != StoreKind::Embedded)
    };
    Some(Settings {
        config_file: file.map(Path::to_path_buf),
        overrides: overrides.to_vec(),
        http,
        cluster,
        cache_dir,
        data_dir,
        store,
        binary_dao: binary("spark.jobserver.binarydao.class"),
        binary_dir: binary("spark.jobserver.binarydao.dir"),
        zookeeper: values.text("spark.jobserver.zookeeperdao.connection-string"),
        zookeeper_dir: values.text("spark.jobserver.zookeeperdao.dir"),
        spark_master: values.text("spark.master"),
        context_defaults: context_defaults(values),
        contexts: contexts(values),
        jobs: jobs(values),
        stable_after: values.time("custom-downing.stable-after"),
        engine: values.text("doyen.engine"),
        python: values.text("spark.context-settings.python.executable"),
        token_file,
        core,
        sources: values.sources(),
    })
}

fn http(values: &Values) -> Http {
    let time = |key| values.maybe_time(key).unwrap_or(FOREVER);
    Http {
        bind: values.text("spark.jobserver.bind-address"),
        port: values.port("spark.jobserver.port"),
        request_timeout: time("akka.http.server.request-timeout"),
        idle_timeout: time("akka.http.server.idle-timeout"),
        max_content_length: values.size("akka.http.server.parsing.max-content-length"),
    }
}

fn jobs(values: &Values) -> Jobs {
    let max = values.whole("spark.jobserver.max-jobs-per-context");
    Jobs {
        max_jobs_per_context: u32::try_from(max).unwrap_or(u32::MAX),
        short_timeout: values.time("spark.jobserver.short-timeout"),
        context_creation_timeout: values.time("spark.jobserver.context-creation-timeout"),
        context_deletion_timeout: values.time("spark.jobserver.context-deletion-timeout"),
        forked_jvm_init_timeout: values.time("spark.context-settings.forked-jvm-init-timeout"),
        context_init_timeout: values.time("spark.context-settings.context-init-timeout"),
        dao_cleanup_after: values.time("spark.jobserver.dao-cleanup-after"),
    }
}

/// The whole of `spark.context-settings`, with the defaults of the known keys that it lacks.
fn context_defaults(values: &Values) -> Value {
    let mut map = object(values.json("spark.context-settings"));
    let cores = values.whole("spark.context-settings.num-cpu-cores");
    map.entry("num-cpu-cores").or_insert_with(|| json!(cores));
    let memory = values.text("spark.context-settings.memory-per-node");
    map.entry("memory-per-node")
        .or_insert_with(|| json!(memory));
    let python = values.text("spark.context-settings.python.executable");
    if let Value::Object(inner) = map.entry("python").or_insert_with(|| json!({})) {
        inner.entry("executable").or_insert_with(|| json!(python));
    }
    Value::Object(map)
}

fn contexts(values: &Values) -> BTreeMap<String, Value> {
    object(values.json("spark.contexts")).into_iter().collect()
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
