//! What single values cannot show: how they fit together, and what is refused.

use super::report::{Problem, Report};
use super::settings::{Cluster, Http, StoreKind};
use super::units::show_duration;
use super::values::Values;
use doyen_core::identity::Address;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;

const MASTERS: &str = "spark.jobserver.ha.masters";
const HOSTNAME: &str = "akka.remote.netty.tcp.hostname";
const PORT: &str = "akka.remote.netty.tcp.port";
const METADATA: &str = "spark.jobserver.metadatadao.class";
const BINARY: &str = "spark.jobserver.binarydao.class";
const STORE: &str = "doyen.store";
const REMEDY: &str = "wait for a later release, or set `doyen.store = embedded` and run all \
                      servers on one host";

/// The values and where findings go.
pub(super) struct Context<'a> {
    pub(super) values: &'a Values,
    pub(super) report: &'a mut Report,
}

impl Context<'_> {
    fn refuse(&mut self, key: &str, message: impl Into<String>) {
        self.report.errors.push(Problem {
            place: self.values.source(key).place().map(str::to_owned),
            key: Some(key.to_owned()),
            message: message.into(),
        });
    }

    fn note(&mut self, key: &str, message: &str) {
        let place = self.values.source(key).place();
        let start = place.map_or_else(String::new, |place| format!("{place}: "));
        self.report.notes.push(format!("{start}{key}: {message}"));
    }
}

/// A path that was set, absolute.
pub(super) fn path(context: &mut Context<'_>, key: &str) -> Option<PathBuf> {
    let text = context.values.maybe_text(key)?;
    if text.starts_with('~') {
        context.refuse(key, format!("found `{text}`: write ${{HOME}} instead of ~"));
        return None;
    }
    match std::path::absolute(&text) {
        Ok(path) => Some(path),
        Err(error) => {
            context.refuse(key, format!("found `{text}`, expected a path: {error}"));
            None
        }
    }
}

/// The data directory; by default the platform's, and never the folder for temporary files.
pub(super) fn data_dir(context: &mut Context<'_>) -> Option<PathBuf> {
    let key = "doyen.data-dir";
    if context.values.maybe_text(key).is_some() {
        return path(context, key);
    }
    let found = directories::ProjectDirs::from("", "", "doyen");
    if found.is_none() {
        context.refuse(
            key,
            "this user has no home folder: set the key to a folder that lasts",
        );
    }
    let path = found?.data_dir().to_path_buf();
    context
        .report
        .describe_default(key, path.display().to_string());
    Some(path)
}

/// Own address and seeds.
pub(super) fn cluster(context: &mut Context<'_>) -> Cluster {
    let values = context.values;
    let host = values.text(HOSTNAME);
    let mut port = values.port(PORT);
    if host.contains('<') {
        let message = format!("`{host}` is a placeholder of the documentation: write the real one");
        context.refuse(HOSTNAME, message);
    } else if Address::new(&host, 1)
        .to_string()
        .parse::<Address>()
        .is_err()
    {
        let message = format!("found `{host}`, expected a host name or IP address");
        context.refuse(HOSTNAME, message);
    }
    let seeds = values.addresses(MASTERS);
    if port == 0 {
        port = 2552;
        if seeds.is_empty() {
            context.note(PORT, "0 (any port) is not possible: 2552 is taken");
        } else {
            let message =
                "found `0`, expected the port of this server in spark.jobserver.ha.masters";
            context.refuse(PORT, message);
        }
    }
    let address = Address::new(host, port);
    check_seeds(context, &address, &seeds);
    Cluster {
        seeds: if seeds.is_empty() {
            vec![address.clone()]
        } else {
            seeds
        },
        address,
        name: values.text("doyen.cluster-name"),
    }
}

fn check_seeds(context: &mut Context<'_>, own: &Address, seeds: &[Address]) {
    let mut seen = BTreeSet::new();
    for seed in seeds {
        if !seen.insert(seed) {
            let message = format!("{seed} is there twice: every server has its own address");
            context.refuse(MASTERS, message);
        }
    }
    if !seeds.is_empty() && !seeds.contains(own) {
        let list: Vec<String> = seeds.iter().map(ToString::to_string).collect();
        let message = format!(
            "this server's own address {own} is not among {}: set {HOSTNAME} and {PORT} to one of \
             them, letter by letter, or add it",
            list.join(", ")
        );
        context.refuse(MASTERS, message);
    }
}

/// The HTTP side against itself and the cluster side.
pub(super) fn http(context: &mut Context<'_>, http: &Http, cluster: &Cluster) {
    if http.idle_timeout <= http.request_timeout
        && context
            .values
            .maybe_time("akka.http.server.idle-timeout")
            .is_some()
    {
        let message = format!(
            "{} must exceed akka.http.server.request-timeout, which is {}",
            show_duration(http.idle_timeout),
            show_duration(http.request_timeout)
        );
        context.refuse("akka.http.server.idle-timeout", message);
    }
    if http.port != 0 && http.port == cluster.address.port() {
        let message = format!("{} is the cluster's port ({PORT}) too", http.port);
        context.refuse("spark.jobserver.port", message);
    }
    let key = "spark.jobserver.bind-address";
    if http.bind.contains('<') {
        let message = format!("`{}` is a placeholder: write the real address", http.bind);
        context.refuse(key, message);
    } else if !is_loopback(&http.bind) {
        let message = format!(
            "{} is beyond loopback and callers are not authenticated: whoever reaches this \
             port runs code as this user",
            http.bind
        );
        context.note(key, &message);
    }
}

/// Whether a host name or address is this machine's alone.
pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// Which store holds the records, and whether it can.
pub(super) fn store(context: &mut Context<'_>, cluster: &Cluster) -> StoreKind {
    let values = context.values;
    let (explicit, class) = (values.maybe_text(STORE), values.maybe_text(METADATA));
    let kind = match explicit.as_deref() {
        Some("embedded") => StoreKind::Embedded,
        Some("zookeeper") => StoreKind::ZooKeeper,
        Some(_) => StoreKind::Postgres,
        None => by_class(context, class.as_deref()),
    };
    if explicit.is_none() {
        let name = match kind {
            StoreKind::Embedded => "embedded",
            StoreKind::ZooKeeper => "zookeeper",
            StoreKind::Postgres => "postgres",
        };
        context.report.describe_default(STORE, name.to_owned());
    }
    if kind == StoreKind::Embedded && explicit.is_some() {
        for key in [METADATA, BINARY] {
            if let Some(class) = values.maybe_text(key) {
                let message = format!("{class} is overridden by `doyen.store = embedded`");
                context.note(key, &message);
            }
        }
    } else {
        binaries(context);
    }
    match (kind, explicit) {
        (StoreKind::Embedded, _) => one_host(context, cluster),
        (_, None) => {}
        (_, Some(name)) => {
            let message = format!("the {name} store is not built yet: {REMEDY}");
            context.refuse(STORE, message);
        }
    }
    kind
}

fn by_class(context: &mut Context<'_>, class: Option<&str>) -> StoreKind {
    match class {
        None => StoreKind::Embedded,
        Some("spark.jobserver.io.zookeeper.MetaDataZookeeperDAO") => {
            let servers = context
                .values
                .text("spark.jobserver.zookeeperdao.connection-string");
            let message = format!(
                "MetaDataZookeeperDAO (ZooKeeper at {servers}) is understood but not built yet: \
                 {REMEDY}"
            );
            context.refuse(METADATA, message);
            StoreKind::ZooKeeper
        }
        Some("spark.jobserver.io.MetaDataSqlDAO") => {
            let message = format!("MetaDataSqlDAO is understood but not built yet: {REMEDY}");
            context.refuse(METADATA, message);
            StoreKind::Postgres
        }
        Some(other) => {
            let message = format!(
                "found `{other}`, expected spark.jobserver.io.zookeeper.MetaDataZookeeperDAO or \
                 spark.jobserver.io.MetaDataSqlDAO, or nothing for the embedded store"
            );
            context.refuse(METADATA, message);
            StoreKind::Embedded
        }
    }
}

fn binaries(context: &mut Context<'_>) {
    let Some(class) = context.values.maybe_text(BINARY) else {
        return;
    };
    let short = class.strip_prefix("spark.jobserver.io.").unwrap_or(&class);
    let message = match short {
        "HdfsBinaryDAO" | "HdfsBinaryObjectsDAO" | "BinarySqlDAO" | "SqlBinaryObjectsDAO" => {
            format!("{short} is understood but not built yet: {REMEDY}")
        }
        _ => format!(
            "found `{class}`, expected spark.jobserver.io.HdfsBinaryObjectsDAO or \
             spark.jobserver.io.SqlBinaryObjectsDAO, or nothing for files beside the embedded store"
        ),
    };
    context.refuse(BINARY, message);
}

fn one_host(context: &mut Context<'_>, cluster: &Cluster) {
    let hosts: BTreeSet<&str> = cluster
        .seeds
        .iter()
        .map(|seed| match seed.host() {
            host if is_loopback(host) => "loopback",
            host => host,
        })
        .collect();
    if hosts.len() > 1 {
        let names: Vec<&str> = hosts.into_iter().collect();
        let message = format!(
            "the servers are on several hosts ({}), but the embedded store is for one host: set \
             `doyen.store = zookeeper` (not built yet), or run all servers on one host",
            names.join(", ")
        );
        context.refuse(MASTERS, message);
    }
}

/// Features that a configuration may ask for and that are refused, since going on would be wrong.
pub(super) fn features(context: &mut Context<'_>) {
    let values = context.values;
    if values.text("spark.submit.deployMode") == "cluster" {
        let message = "cluster is not built yet: drivers run beside the servers; set client";
        context.refuse("spark.submit.deployMode", message);
    }
    if values.switch("akka.http.server.ssl-encryption") {
        let message = "TLS is not built yet: set off, and put a proxy with TLS before the server";
        context.refuse("akka.http.server.ssl-encryption", message);
    }
    let provider = values.text("access-control.provider");
    if provider != "spark.jobserver.auth.AllowAllAccessControl" {
        let message = format!("{provider} is not built yet: without it anybody may call");
        context.refuse("access-control.provider", message);
    }
    if values.maybe_text("doyen.token-file").is_some() {
        let message = "tokens are not built yet: without them anybody may call; remove the key";
        context.refuse("doyen.token-file", message);
    }
    if values.text("doyen.arbitration") == "gossip" {
        let message = "arbitration by gossip is not built yet: set store";
        context.refuse("doyen.arbitration", message);
    }
    let key = "akka.cluster.downing-provider-class";
    let class = values.maybe_text(key);
    if let Some(class) = class.filter(|class| class != "akka.downing.KeepOldestDowningProvider") {
        let message = format!(
            "`{class}` is not known: akka.downing.KeepOldestDowningProvider, or nothing, which \
             means the same"
        );
        context.refuse(key, message);
    }
    let key = "akka.cluster.auto-down-unreachable-after";
    if values.maybe_time(key).is_some() {
        context.note(key, "ignored: splits are decided by keep-oldest, always");
    }
    let key = "custom-downing.oldest-auto-downing.preferred-oldest-member-role";
    if !["supervisor", ""].contains(&values.text(key).as_str()) {
        context.note(key, "ignored: only servers have age and vote");
    }
    if !values
        .json("spark.contexts")
        .as_object()
        .is_none_or(serde_json::Map::is_empty)
    {
        context.note(
            "spark.contexts",
            "contexts from the configuration are not started yet",
        );
    }
}
