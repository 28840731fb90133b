//! Keys of the predecessor outside of `spark`: cluster, HTTP, splits, access.

use super::super::key::Effect::{None as NoEffect, NotYet};
use super::super::key::KeyDoc;
use super::super::key::Kind::{Class, Duration, DurationOr, Name, Port, Size, Switch, Text};
use super::{key, other};

const NO_AKKA: &str = "there is no Akka in Doyen";
const NO_SQL: &str = "the embedded store has no SQL settings";

/// Keys of the predecessor outside of `spark`: cluster, HTTP, splits, access.
pub(super) const KEYS: &[KeyDoc] = &[
    key(
        "akka.remote.netty.tcp.hostname",
        Name,
        "\"127.0.0.1\"",
        "where the other servers reach this one",
        "config.md 7",
    ),
    key(
        "akka.remote.netty.tcp.port",
        Port,
        "2552",
        "cluster port",
        "config.md 7",
    ),
    key(
        "akka.cluster.downing-provider-class",
        Class,
        "",
        "akka.downing.KeepOldestDowningProvider or absent",
        "config.md 7",
    ),
    key(
        "akka.cluster.auto-down-unreachable-after",
        DurationOr("off"),
        "off",
        "off: splits are decided by keep-oldest, always",
        "config.md 7",
    ),
    key(
        "akka.cluster.seed-node-timeout",
        Duration,
        "5s",
        "wait of the first server for a cluster that is there",
        "config.md 7",
    ),
    key(
        "akka.cluster.retry-unsuccessful-join-after",
        Duration,
        "10s",
        "wait of a joining server before it begins anew",
        "config.md 7",
    ),
    other(
        "akka.http.server.pipelining-limit",
        NoEffect("one request after the other on a connection"),
        "config.md 9",
    ),
    key(
        "akka.http.server.request-timeout",
        DurationOr("infinite"),
        "40 s",
        "time to answer a request",
        "config.md 9",
    ),
    key(
        "akka.http.server.idle-timeout",
        DurationOr("infinite"),
        "60 s",
        "a silent connection is closed; must exceed request-timeout",
        "config.md 9",
    ),
    key(
        "akka.http.server.parsing.max-content-length",
        Size,
        "30m",
        "largest upload",
        "config.md 9",
    ),
    key(
        "akka.http.server.ssl-encryption",
        Switch,
        "off",
        "TLS; on is refused until it is built",
        "config.md 9",
    ),
    other(
        "akka.http.server.keystore",
        NotYet("TLS comes in a later release"),
        "config.md 9",
    ),
    other(
        "akka.http.server.keystorePW",
        NotYet("TLS comes in a later release"),
        "config.md 9",
    ),
    other(
        "akka.http.server.truststore",
        NotYet("TLS comes in a later release"),
        "config.md 9",
    ),
    other(
        "akka.http.server.truststorePW",
        NotYet("TLS comes in a later release"),
        "config.md 9",
    ),
    other(
        "akka.http.server.enabledProtocols",
        NoEffect("dead in the predecessor too"),
        "config.md 9",
    ),
    other("akka.*", NoEffect(NO_AKKA), "config.md 7"),
    other(
        "akka-http-cors.*",
        NoEffect("foreign origins are refused"),
        "config.md 11",
    ),
    key(
        "custom-downing.stable-after",
        Duration,
        "20s",
        "a split is decided after this",
        "config.md 8",
    ),
    key(
        "custom-downing.oldest-auto-downing.preferred-oldest-member-role",
        Text,
        "supervisor",
        "the role of servers; drivers have no vote",
        "config.md 8",
    ),
    other(
        "custom-downing.down-removal-margin",
        NoEffect("a lost holder is fenced by its epoch, so nothing waits"),
        "config.md 8",
    ),
    key(
        "access-control.provider",
        Class,
        "spark.jobserver.auth.AllowAllAccessControl",
        "who may call; others are refused until built",
        "config.md 10",
    ),
    other(
        "access-control.*",
        NotYet("access control comes in a later release"),
        "config.md 10",
    ),
    other("flyway.*", NoEffect(NO_SQL), "config.md 11"),
    other(
        "jobserver.current-user",
        NoEffect("internal to the predecessor"),
        "config.md 11",
    ),
];
