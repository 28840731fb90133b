//! Keys of the predecessor under `spark`.

use super::super::key::Effect::{None as NoEffect, NotYet};
use super::super::key::KeyDoc;
use super::super::key::Kind::{
    Addresses, Choice, Class, Duration, Name, Object, Path, Port, Text, Whole,
};
use super::{key, other};

const NO_SQL: &str = "the embedded store has no SQL settings";
const ALWAYS_FORKED: &str = "every context has a process of its own, always";
const NO_YARN: &str = "one time for all masters: use the key without yarn-";
const ZOOKEEPER: &str = "the ZooKeeper store comes in a later release";

/// Keys of the predecessor under `spark`.
pub(super) const KEYS: &[KeyDoc] = &[
    key(
        "spark.master",
        Name,
        "\"local[4]\"",
        "Spark master of contexts that name none",
        "config.md 3",
    ),
    key(
        "spark.submit.deployMode",
        Choice(&["client", "cluster"]),
        "client",
        "where drivers run; cluster is refused",
        "config.md 3",
    ),
    other(
        "spark.master-provider",
        NotYet("masters are named by spark.master"),
        "config.md 3",
    ),
    other(
        "spark.driver.supervise",
        NoEffect("the cluster itself starts drivers again"),
        "config.md 3",
    ),
    other(
        "spark.home",
        NoEffect("the engine takes SPARK_HOME or the installed PySpark"),
        "config.md 3",
    ),
    other(
        "spark.webUrlPort",
        NoEffect("read by no code of the predecessor either"),
        "config.md 3",
    ),
    other(
        "spark.job-number-cpus",
        NoEffect("read by no code of the predecessor either"),
        "config.md 3",
    ),
    other(
        "spark.job-cache.*",
        NoEffect("drivers keep no cache of dependencies"),
        "config.md 3",
    ),
    key(
        "spark.jobserver.port",
        Port,
        "8090",
        "HTTP port",
        "config.md 4",
    ),
    key(
        "spark.jobserver.bind-address",
        Name,
        "\"127.0.0.1\"",
        "HTTP address; beyond loopback only when set",
        "config.md 4",
    ),
    key(
        "spark.jobserver.ha.masters",
        Addresses,
        "[]",
        "HOST:PORT of every server, the same order everywhere; empty: one server",
        "config.md 4",
    ),
    key(
        "spark.jobserver.daorootdir",
        Path,
        "",
        "local cache of binaries; default DATA-DIR/cache",
        "config.md 4",
    ),
    key(
        "spark.jobserver.metadatadao.class",
        Class,
        "",
        "store of contexts and jobs; see doyen.store",
        "storage.md 1",
    ),
    key(
        "spark.jobserver.binarydao.class",
        Class,
        "",
        "store of binaries; absent: files beside the embedded store",
        "storage.md 1",
    ),
    key(
        "spark.jobserver.binarydao.dir",
        Path,
        "",
        "folder or URL of the store of binaries",
        "storage.md 13",
    ),
    key(
        "spark.jobserver.zookeeperdao.connection-string",
        Text,
        "\"localhost:2181\"",
        "ZooKeeper servers, HOST:PORT with commas",
        "storage.md 13",
    ),
    key(
        "spark.jobserver.zookeeperdao.dir",
        Text,
        "\"jobserver/db\"",
        "ZooKeeper folder",
        "storage.md 13",
    ),
    key(
        "spark.jobserver.max-jobs-per-context",
        Whole(1, 10_000),
        "8",
        "jobs that run in one context at a time",
        "config.md 4",
    ),
    key(
        "spark.jobserver.short-timeout",
        Duration,
        "3 s",
        "bound of requests inside the server",
        "config.md 4",
    ),
    key(
        "spark.jobserver.context-creation-timeout",
        Duration,
        "60 s",
        "wait for a context to be ready",
        "config.md 4",
    ),
    key(
        "spark.jobserver.context-deletion-timeout",
        Duration,
        "15 s",
        "wait for a context to stop before 202 is answered",
        "config.md 4",
    ),
    key(
        "spark.jobserver.dao-cleanup-after",
        Duration,
        "72h",
        "final jobs and contexts are deleted after this",
        "config.md 4",
    ),
    other(
        "spark.jobserver.zookeeperdao.curator.*",
        NotYet(ZOOKEEPER),
        "storage.md 13",
    ),
    other(
        "spark.jobserver.zookeeperdao.autopurge",
        NoEffect("dead: use dao-cleanup-after"),
        "storage.md 11",
    ),
    other(
        "spark.jobserver.zookeeperdao.autopurge_after_hours",
        NoEffect("dead: use dao-cleanup-after"),
        "storage.md 11",
    ),
    other(
        "spark.jobserver.sqldao.*",
        NoEffect(NO_SQL),
        "storage.md 13",
    ),
    other(
        "spark.jobserver.startH2Server",
        NoEffect(NO_SQL),
        "storage.md 13",
    ),
    other(
        "spark.jobserver.datadao.rootdir",
        NotYet("/data comes in a later release"),
        "storage.md 13",
    ),
    other(
        "spark.jobserver.context-per-jvm",
        NoEffect(ALWAYS_FORKED),
        "config.md 4",
    ),
    other(
        "spark.jobserver.kill-context-on-supervisor-down",
        NoEffect("contexts live on without servers"),
        "config.md 4",
    ),
    other(
        "spark.jobserver.manager-initialization-timeout",
        NoEffect("belongs to kill-context-on-supervisor-down"),
        "config.md 4",
    ),
    other(
        "spark.jobserver.network-address-resolver",
        NoEffect("drivers listen nowhere, they dial the servers"),
        "config.md 4",
    ),
    other(
        "spark.jobserver.yarn-context-creation-timeout",
        NoEffect(NO_YARN),
        "config.md 4",
    ),
    other(
        "spark.jobserver.yarn-context-deletion-timeout",
        NoEffect(NO_YARN),
        "config.md 4",
    ),
    other(
        "spark.jobserver.context-lookup-timeout",
        NoEffect("contexts are looked up in the server's own view"),
        "config.md 4",
    ),
    other(
        "spark.jobserver.named-object-creation-timeout",
        NotYet("named objects come in a later release"),
        "config.md 4",
    ),
    other(
        "spark.jobserver.dao-timeout",
        NoEffect("the bound of a store call is doyen.times.store-call"),
        "config.md 4",
    ),
    other(
        "spark.jobserver.startup_dao_cleanup_class",
        NoEffect("the cluster repairs its records itself, always"),
        "config.md 4",
    ),
    other(
        "spark.jobserver.cache-on-upload",
        NoEffect("the cache is filled when a binary is first used"),
        "config.md 4",
    ),
    other(
        "spark.jobserver.job-bin-paths",
        NotYet("upload binaries by POST /binaries/NAME"),
        "config.md 4",
    ),
    other(
        "spark.jobserver.job-jar-paths",
        NotYet("upload binaries by POST /binaries/NAME"),
        "config.md 4",
    ),
    other(
        "spark.jobserver.result-chunk-size",
        NoEffect("results are sent as they are"),
        "config.md 4",
    ),
    other(
        "spark.jobserver.healthcheck",
        NoEffect("use /healthz, /livez, /readyz"),
        "config.md 4",
    ),
    other(
        "spark.jobserver.jobdao",
        NoEffect("dead: use metadatadao.class and binarydao.class"),
        "config.md 4",
    ),
    other(
        "spark.jobserver.ignore-akka-hostname",
        NoEffect("dead in the predecessor too"),
        "config.md 4",
    ),
    other(
        "spark.jobserver.default-sync-timeout",
        NoEffect("dead in the predecessor too"),
        "config.md 4",
    ),
    key(
        "spark.context-settings.num-cpu-cores",
        Whole(1, 100_000),
        "4",
        "cores of a context",
        "config.md 5",
    ),
    key(
        "spark.context-settings.memory-per-node",
        Name,
        "512m",
        "memory of a context on each node",
        "config.md 5",
    ),
    key(
        "spark.context-settings.forked-jvm-init-timeout",
        Duration,
        "30s",
        "from a driver's launch to its first record",
        "config.md 5",
    ),
    key(
        "spark.context-settings.context-init-timeout",
        Duration,
        "60s",
        "from a driver's record to a ready engine",
        "config.md 5",
    ),
    key(
        "spark.context-settings.python.executable",
        Name,
        "python3",
        "Python of Python contexts",
        "config.md 5",
    ),
    key(
        "spark.context-settings",
        Object,
        "{}",
        "settings of every context; its own win",
        "config.md 5",
    ),
    key(
        "spark.contexts",
        Object,
        "{}",
        "contexts that exist from the start, by name",
        "config.md 6",
    ),
];
