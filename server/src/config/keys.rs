//! The table of keys. What reads the configuration works from it, and `doyen config keys` prints
//! it, so that the two cannot differ.

use super::key::Effect::{None as NoEffect, NotYet, Used};
use super::key::Kind::{
    Addresses, Any, Choice, Class, Duration, DurationOr, Name, Object, Path, Port, Size, Switch,
    Text, Whole,
};
use super::key::{Effect, KeyDoc, Kind};

const fn key(
    key: &'static str,
    kind: Kind,
    default: &'static str,
    meaning: &'static str,
    spec: &'static str,
) -> KeyDoc {
    let default = if default.is_empty() {
        None
    } else {
        Some(default)
    };
    KeyDoc {
        key,
        kind,
        default,
        effect: Used,
        meaning,
        spec,
    }
}

const fn other(key: &'static str, effect: Effect, spec: &'static str) -> KeyDoc {
    KeyDoc {
        key,
        kind: Any,
        default: None,
        effect,
        meaning: "",
        spec,
    }
}

const NO_AKKA: &str = "there is no Akka in Doyen";
const NO_SQL: &str = "the embedded store has no SQL settings";
const ALWAYS_FORKED: &str = "every context has a process of its own, always";
const NO_YARN: &str = "one time for all masters: use the key without yarn-";
const ZOOKEEPER: &str = "the ZooKeeper store comes in a later release";

/// Every key that is known, sorted as the specification has them.
#[rustfmt::skip]
pub const KEYS: &[KeyDoc] = &[
    key("spark.master", Name, "\"local[4]\"", "Spark master of contexts that name none", "config.md 3"),
    key("spark.submit.deployMode", Choice(&["client", "cluster"]), "client", "where drivers run; cluster is refused", "config.md 3"),
    other("spark.master-provider", NotYet("masters are named by spark.master"), "config.md 3"),
    other("spark.driver.supervise", NoEffect("the cluster itself starts drivers again"), "config.md 3"),
    other("spark.home", NoEffect("the engine takes SPARK_HOME or the installed PySpark"), "config.md 3"),
    other("spark.webUrlPort", NoEffect("read by no code of the predecessor either"), "config.md 3"),
    other("spark.job-number-cpus", NoEffect("read by no code of the predecessor either"), "config.md 3"),
    other("spark.job-cache.*", NoEffect("drivers keep no cache of dependencies"), "config.md 3"),

    key("spark.jobserver.port", Port, "8090", "HTTP port", "config.md 4"),
    key("spark.jobserver.bind-address", Name, "\"127.0.0.1\"", "HTTP address; beyond loopback only when set", "config.md 4"),
    key("spark.jobserver.ha.masters", Addresses, "[]", "HOST:PORT of every server, the same order everywhere; empty: one server", "config.md 4"),
    key("spark.jobserver.daorootdir", Path, "", "local cache of binaries; default DATA-DIR/cache", "config.md 4"),
    key("spark.jobserver.metadatadao.class", Class, "", "store of contexts and jobs; see doyen.store", "storage.md 1"),
    key("spark.jobserver.binarydao.class", Class, "", "store of binaries; absent: files beside the embedded store", "storage.md 1"),
    key("spark.jobserver.binarydao.dir", Path, "", "folder or URL of the store of binaries", "storage.md 13"),
    key("spark.jobserver.zookeeperdao.connection-string", Text, "\"localhost:2181\"", "ZooKeeper servers, HOST:PORT with commas", "storage.md 13"),
    key("spark.jobserver.zookeeperdao.dir", Text, "\"jobserver/db\"", "ZooKeeper folder", "storage.md 13"),
    key("spark.jobserver.max-jobs-per-context", Whole(1, 10_000), "8", "jobs that run in one context at a time", "config.md 4"),
    key("spark.jobserver.short-timeout", Duration, "3 s", "bound of requests inside the server", "config.md 4"),
    key("spark.jobserver.context-creation-timeout", Duration, "60 s", "wait for a context to be ready", "config.md 4"),
    key("spark.jobserver.context-deletion-timeout", Duration, "15 s", "wait for a context to stop before 202 is answered", "config.md 4"),
    key("spark.jobserver.dao-cleanup-after", Duration, "72h", "final jobs and contexts are deleted after this", "config.md 4"),
    other("spark.jobserver.zookeeperdao.curator.*", NotYet(ZOOKEEPER), "storage.md 13"),
    other("spark.jobserver.zookeeperdao.autopurge", NoEffect("dead: use dao-cleanup-after"), "storage.md 11"),
    other("spark.jobserver.zookeeperdao.autopurge_after_hours", NoEffect("dead: use dao-cleanup-after"), "storage.md 11"),
    other("spark.jobserver.sqldao.*", NoEffect(NO_SQL), "storage.md 13"),
    other("spark.jobserver.startH2Server", NoEffect(NO_SQL), "storage.md 13"),
    other("spark.jobserver.datadao.rootdir", NotYet("/data comes in a later release"), "storage.md 13"),
    other("spark.jobserver.context-per-jvm", NoEffect(ALWAYS_FORKED), "config.md 4"),
    other("spark.jobserver.kill-context-on-supervisor-down", NoEffect("contexts live on without servers"), "config.md 4"),
    other("spark.jobserver.manager-initialization-timeout", NoEffect("belongs to kill-context-on-supervisor-down"), "config.md 4"),
    other("spark.jobserver.network-address-resolver", NoEffect("drivers listen nowhere, they dial the servers"), "config.md 4"),
    other("spark.jobserver.yarn-context-creation-timeout", NoEffect(NO_YARN), "config.md 4"),
    other("spark.jobserver.yarn-context-deletion-timeout", NoEffect(NO_YARN), "config.md 4"),
    other("spark.jobserver.context-lookup-timeout", NoEffect("contexts are looked up in the server's own view"), "config.md 4"),
    other("spark.jobserver.named-object-creation-timeout", NotYet("named objects come in a later release"), "config.md 4"),
    other("spark.jobserver.dao-timeout", NoEffect("the bound of a store call is doyen.times.store-call"), "config.md 4"),
    other("spark.jobserver.startup_dao_cleanup_class", NoEffect("the cluster repairs its records itself, always"), "config.md 4"),
    other("spark.jobserver.cache-on-upload", NoEffect("the cache is filled when a binary is first used"), "config.md 4"),
    other("spark.jobserver.job-bin-paths", NotYet("upload binaries by POST /binaries/NAME"), "config.md 4"),
    other("spark.jobserver.job-jar-paths", NotYet("upload binaries by POST /binaries/NAME"), "config.md 4"),
    other("spark.jobserver.result-chunk-size", NoEffect("results are sent as they are"), "config.md 4"),
    other("spark.jobserver.healthcheck", NoEffect("use /healthz, /livez, /readyz"), "config.md 4"),
    other("spark.jobserver.jobdao", NoEffect("dead: use metadatadao.class and binarydao.class"), "config.md 4"),
    other("spark.jobserver.ignore-akka-hostname", NoEffect("dead in the predecessor too"), "config.md 4"),
    other("spark.jobserver.default-sync-timeout", NoEffect("dead in the predecessor too"), "config.md 4"),

    key("spark.context-settings.num-cpu-cores", Whole(1, 100_000), "4", "cores of a context", "config.md 5"),
    key("spark.context-settings.memory-per-node", Name, "512m", "memory of a context on each node", "config.md 5"),
    key("spark.context-settings.forked-jvm-init-timeout", Duration, "30s", "from a driver's launch to its first record", "config.md 5"),
    key("spark.context-settings.context-init-timeout", Duration, "60s", "from a driver's record to a ready engine", "config.md 5"),
    key("spark.context-settings.python.executable", Name, "python3", "Python of Python contexts", "config.md 5"),
    key("spark.context-settings", Object, "{}", "settings of every context; its own win", "config.md 5"),
    key("spark.contexts", Object, "{}", "contexts that exist from the start, by name", "config.md 6"),

    key("akka.remote.netty.tcp.hostname", Name, "\"127.0.0.1\"", "where the other servers reach this one", "config.md 7"),
    key("akka.remote.netty.tcp.port", Port, "2552", "cluster port", "config.md 7"),
    key("akka.cluster.downing-provider-class", Class, "", "akka.downing.KeepOldestDowningProvider or absent", "config.md 7"),
    key("akka.cluster.auto-down-unreachable-after", DurationOr("off"), "off", "off: splits are decided by keep-oldest, always", "config.md 7"),
    key("akka.cluster.seed-node-timeout", Duration, "5s", "wait of the first server for a cluster that is there", "config.md 7"),
    key("akka.cluster.retry-unsuccessful-join-after", Duration, "10s", "wait of a joining server before it begins anew", "config.md 7"),
    other("akka.http.server.pipelining-limit", NoEffect("one request after the other on a connection"), "config.md 9"),
    key("akka.http.server.request-timeout", DurationOr("infinite"), "40 s", "time to answer a request", "config.md 9"),
    key("akka.http.server.idle-timeout", DurationOr("infinite"), "60 s", "a silent connection is closed; must exceed request-timeout", "config.md 9"),
    key("akka.http.server.parsing.max-content-length", Size, "30m", "largest upload", "config.md 9"),
    key("akka.http.server.ssl-encryption", Switch, "off", "TLS; on is refused until it is built", "config.md 9"),
    other("akka.http.server.keystore", NotYet("TLS comes in a later release"), "config.md 9"),
    other("akka.http.server.keystorePW", NotYet("TLS comes in a later release"), "config.md 9"),
    other("akka.http.server.truststore", NotYet("TLS comes in a later release"), "config.md 9"),
    other("akka.http.server.truststorePW", NotYet("TLS comes in a later release"), "config.md 9"),
    other("akka.http.server.enabledProtocols", NoEffect("dead in the predecessor too"), "config.md 9"),
    other("akka.*", NoEffect(NO_AKKA), "config.md 7"),
    other("akka-http-cors.*", NoEffect("foreign origins are refused"), "config.md 11"),

    key("custom-downing.stable-after", Duration, "20s", "a split is decided after this", "config.md 8"),
    key("custom-downing.oldest-auto-downing.preferred-oldest-member-role", Text, "supervisor", "the role of servers; drivers have no vote", "config.md 8"),
    other("custom-downing.down-removal-margin", NoEffect("a lost holder is fenced by its epoch, so nothing waits"), "config.md 8"),

    key("access-control.provider", Class, "spark.jobserver.auth.AllowAllAccessControl", "who may call; others are refused until built", "config.md 10"),
    other("access-control.*", NotYet("access control comes in a later release"), "config.md 10"),
    other("flyway.*", NoEffect(NO_SQL), "config.md 11"),
    other("jobserver.current-user", NoEffect("internal to the predecessor"), "config.md 11"),

    key("doyen.data-dir", Path, "", "embedded store, caches, logs; default: the platform's folder for data", "design.md 8"),
    key("doyen.store", Choice(&["embedded", "zookeeper", "postgres"]), "", "where records live; default: what metadatadao.class says, else embedded", "design.md 8"),
    key("doyen.arbitration", Choice(&["store", "gossip"]), "store", "what decides splits", "design.md 8"),
    key("doyen.cluster-name", Name, "doyen", "servers of another name are refused", "design.md 7"),
    key("doyen.engine", Choice(&["spark", "process"]), "spark", "engine of contexts that name none", "design.md 8"),
    key("doyen.token-file", Path, "", "file with the token that clients must show", "design.md 8"),

    key("doyen.times.beat", Duration, "100 ms", "beat of the holder", "protocol.md, Times"),
    key("doyen.times.slow-beat", Duration, "1 s", "beat of the others", "protocol.md, Times"),
    key("doyen.times.detection", Duration, "5 s", "a server that is silent for so long is unreachable", "protocol.md, Times"),
    key("doyen.times.claim-after", Duration, "700 ms", "silence of the holder before it is challenged", "protocol.md S5"),
    key("doyen.times.challenge-wait", Duration, "250 ms", "wait for the holder's answer", "protocol.md S5"),
    key("doyen.times.challenge-pause", Duration, "1 s", "least pause between two challenges", "protocol.md S5"),
    key("doyen.times.candidate-step", Duration, "150 ms", "wait of each further candidate", "protocol.md S8"),
    key("doyen.times.pulse", Duration, "2 s", "how often the holder shows the store that it lives", "protocol.md S6"),
    key("doyen.times.hung-after", Duration, "5 s", "a holder without pulse for so long hangs", "protocol.md S6"),
    key("doyen.times.idle-barrier", Duration, "500 ms", "how often an idle server asks the store", "protocol.md S7"),
    key("doyen.times.vacant-after", Duration, "700 ms", "a holder without store for so long steps down", "protocol.md S7"),
    key("doyen.times.witness-delay", Duration, "2 s", "wait between announcing a split and acting", "protocol.md R4"),
    key("doyen.times.seed-takeover", Duration, "20 s", "further wait of each later server before it founds", "protocol.md F3"),
    key("doyen.times.refound-after", Duration, "10 s", "a still pulse before a cluster is founded again", "protocol.md F4"),
    key("doyen.times.drain-delay", Duration, "2 s", "how long a leaving holder goes on serving", "protocol.md S3"),
    key("doyen.times.leave-bound", Duration, "10 s", "bound of leaving in order", "protocol.md S3"),
    key("doyen.times.store-call", Duration, "800 ms", "bound of one store call", "protocol.md, Times"),
    key("doyen.times.gateway-hold", Duration, "", "how long a call is held; default 30 s, at most 3/4 of request-timeout", "protocol.md C4"),
    key("doyen.times.driver-lost-after", Duration, "300 s", "a driver that nobody hears for so long is lost", "protocol.md E8"),
    key("doyen.times.driver-stamp", Duration, "60 s", "how often a driver shows the store that it lives", "protocol.md E8"),
    key("doyen.times.driver-beat", Duration, "1 s", "beat of drivers", "protocol.md, Times"),
    key("doyen.times.adhoc-idle", Duration, "60 s", "an ad-hoc context without job stops", "rest-api.md"),
];

/// Every key that is understood.
#[must_use]
pub fn key_table() -> Vec<KeyDoc> {
    KEYS.to_vec()
}

/// The row that a path of the configuration falls under: itself, or the nearest `…*` above it.
#[must_use]
pub fn row(path: &str) -> Option<&'static KeyDoc> {
    KEYS.iter().find(|row| row.key == path).or_else(|| {
        KEYS.iter()
            .filter(|row| {
                let prefix = match row.kind {
                    Kind::Object => Some(row.key),
                    _ => row.key.strip_suffix(".*"),
                };
                prefix
                    .and_then(|prefix| path.strip_prefix(prefix))
                    .is_some_and(|rest| rest.starts_with('.'))
            })
            .max_by_key(|row| row.key.len())
    })
}

/// The known key that an unknown one was most likely meant to be.
#[must_use]
pub fn nearest(path: &str) -> Option<&'static str> {
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    KEYS.iter()
        .filter(|row| row.effect == Used)
        .map(|row| {
            let whole = distance(path, row.key);
            // A right name in a wrong place is a likely mistake too.
            let name = distance(&last(path), &last(row.key)) + 2;
            (whole.min(name), row.key)
        })
        .min_by_key(|(distance, key)| (*distance, *key))
        .filter(|(distance, _)| *distance <= 3)
        .map(|(_, key)| key)
}

/// How many characters must be changed, added or removed (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (to, cell) in b.iter().zip(row.iter_mut().skip(1)) {
            let change = diagonal + usize::from(from != *to);
            diagonal = *cell;
            *cell = change.min(diagonal + 1).min(left + 1);
            left = *cell;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_key_is_there_once_and_says_what_it_is_for() {
        let keys: BTreeSet<_> = KEYS.iter().map(|row| row.key).collect();
        assert_eq!(keys.len(), KEYS.len());
        for row in KEYS {
            assert!(row.effect != Used || !row.meaning.is_empty(), "{}", row.key);
            assert!(!row.spec.is_empty(), "{}", row.key);
        }
    }

    #[test]
    fn misspelt_keys_find_their_neighbour() {
        for (wrong, right) in [
            ("spark.jobserver.prot", Some("spark.jobserver.port")),
            (
                "custom-downing.stable-afer",
                Some("custom-downing.stable-after"),
            ),
            (
                "spark.jobserver.masters",
                Some("spark.jobserver.ha.masters"),
            ),
            ("doyen.data_dir", Some("doyen.data-dir")),
            ("nothing.like.this.at.all", None),
        ] {
            assert_eq!(nearest(wrong), right, "{wrong}");
        }
    }

    #[test]
    fn the_longest_prefix_wins() {
        assert_eq!(row("akka.http.server.x").unwrap().key, "akka.*");
        assert_eq!(
            row("spark.jobserver.sqldao.jdbc.url").unwrap().key,
            "spark.jobserver.sqldao.*"
        );
        assert!(row("spark.jobserver.prot").is_none());
    }
}
