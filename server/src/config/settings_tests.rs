//! Good and bad configurations, as tables.

use super::*;
use std::fs;

/// Loads a text as the file `site.conf`; places in messages are shown from there.
fn inspected(text: &str) -> (Option<Settings>, Report) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("site.conf");
    fs::write(&file, text).unwrap();
    let (settings, mut report) = inspect(Some(&file), &[]);
    let prefix = format!("{}/", folder.path().display());
    for error in &mut report.errors {
        error.place = error.place.take().map(|place| place.replace(&prefix, ""));
        error.message = error.message.replace(&prefix, "");
    }
    for note in &mut report.notes {
        *note = note.replace(&prefix, "");
    }
    (settings, report)
}

fn good(text: &str) -> (Settings, Report) {
    let (settings, report) = inspected(text);
    assert_eq!(report.errors, [], "{text}");
    (settings.expect("settings"), report)
}

#[track_caller]
fn bad(text: &str, expected: &[&str]) {
    let errors: Vec<String> = inspected(text)
        .1
        .errors
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(errors, expected, "{text}");
}

#[test]
fn without_a_file_there_is_one_server_on_loopback() {
    let (settings, report) = Settings::load(None).unwrap();
    let own = Address::new("127.0.0.1", 2552);
    assert_eq!(settings.http.bind, "127.0.0.1");
    assert_eq!(settings.http.port, 8090);
    assert_eq!(settings.http.request_timeout, Duration::from_secs(40));
    assert_eq!(settings.http.idle_timeout, Duration::from_secs(60));
    assert_eq!(settings.http.max_content_length, 30 * 1024 * 1024);
    assert_eq!(settings.cluster.seeds, std::slice::from_ref(&own));
    assert_eq!(settings.cluster.address, own);
    assert_eq!(settings.store, StoreKind::Embedded);
    assert!(settings.data_dir.is_absolute() && !settings.data_dir.starts_with("/tmp"));
    assert_eq!(settings.cache_dir, settings.data_dir.join("cache"));
    assert_eq!(settings.context_defaults["python"]["executable"], "python3");
    assert!(report.warnings().is_empty(), "{:?}", report.warnings());
}

#[test]
fn the_defaults_of_the_table_are_those_of_core() {
    let (settings, _) = Settings::load(None).unwrap();
    assert_eq!(*settings.core.times(), doyen_core::config::Times::default());
    assert_eq!(
        *settings.core.limits(),
        doyen_core::config::Limits::default()
    );
}

#[test]
fn values_are_read_with_their_places() {
    let (settings, _) = good(
        "spark.master = yarn\nspark.jobserver { port = 9000, bind-address = localhost }\n\
         akka.http.server { request-timeout = 20 s, parsing.max-content-length = 10 MB }\n\
         custom-downing.stable-after = 15000\nspark.context-settings.python.executable = py\n\
         spark.context-settings { spark.x = 1, passthrough.a.b = c }\n\
         doyen { data-dir = /srv/doyen, engine = process }\n",
    );
    assert_eq!(settings.spark_master, "yarn");
    assert_eq!(settings.http.port, 9000);
    assert_eq!(settings.http.request_timeout, Duration::from_secs(20));
    assert_eq!(settings.core.times().gateway_hold, Duration::from_secs(15));
    assert_eq!(settings.http.max_content_length, 10_000_000);
    assert_eq!(settings.core.times().stable_after, Duration::from_secs(15));
    assert_eq!(settings.context_defaults["passthrough"]["a"]["b"], "c");
    assert_eq!(settings.python, "py");
    assert_eq!(settings.engine, "process");
    assert_eq!(settings.data_dir, Path::new("/srv/doyen"));
    let place = settings.sources["spark.jobserver.port"].place().unwrap();
    assert!(place.ends_with("site.conf:2:26"), "{place}");
}

#[test]
fn the_command_line_wins_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("site.conf");
    fs::write(&file, "spark.jobserver.port = 9000").unwrap();
    let overrides = ["spark.jobserver.port=9001".to_owned()];
    let (settings, _) = Settings::load_with(Some(&file), &overrides).unwrap();
    assert_eq!(settings.http.port, 9001);
    assert_eq!(
        settings.sources["spark.jobserver.port"].to_string(),
        "command line"
    );
}

#[test]
fn every_bad_value_is_told_at_once_with_place_key_found_and_expected() {
    bad(
        "spark.jobserver {\n  port = eighty\n  max-jobs-per-context = 0\n}\n\
         custom-downing.stable-after = soon\nakka.http.server.parsing.max-content-length = 30 KB\n\
         doyen.engine = flink\nspark.context-settings = 5\nspark.jobserver.short-timeout = 0\n",
        &[
            "site.conf:2:10: spark.jobserver.port: found `eighty`, expected a port, 0 to 65535",
            "site.conf:3:26: spark.jobserver.max-jobs-per-context: found `0`, expected a whole \
             number from 1 to 10000",
            "site.conf:9:33: spark.jobserver.short-timeout: found `0`, expected a time above 0, \
             e.g. 20s, 500 ms, 1 minute; no unit: milliseconds",
            "site.conf:8:26: spark.context-settings: found `5`, expected an object",
            "site.conf:6:47: akka.http.server.parsing.max-content-length: found `30 KB`, expected \
             a size, e.g. 30m, 512k, 10 MB; no unit: bytes",
            "site.conf:5:31: custom-downing.stable-after: found `soon`, expected a time above 0, \
             e.g. 20s, 500 ms, 1 minute; no unit: milliseconds",
            "site.conf:7:16: doyen.engine: found `flink`, expected one of spark, process",
        ],
    );
}

#[test]
fn a_broken_text_is_told_with_its_place() {
    bad(
        "spark {\n  master = \"x\n}",
        &["site.conf:2:12: unterminated string"],
    );
    bad(
        "a = ${b}\na = ${b}\nb = ${a}\nb = ${a}",
        &["site.conf:2:5: the substitution ${b} leads back to itself"],
    );
    bad(
        "doyen.data-dir = ${NO_SUCH_VARIABLE_OF_DOYEN}",
        &[
            "site.conf:1:18: the substitution ${NO_SUCH_VARIABLE_OF_DOYEN} stands for nothing: \
           no such key and no such environment variable",
        ],
    );
    let error = Settings::load(Some(Path::new("/nonexistent/site.conf"))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/nonexistent/site.conf: cannot read /nonexistent/site.conf: No such file or directory \
         (os error 2)"
    );
}

#[test]
fn masters_are_checked() {
    let own = "akka.remote.netty.tcp { hostname = h1, port = 2552 }\n";
    bad(
        &format!("{own}spark.jobserver.ha.masters = [\"h1:2552\", \"h1:2552\"]"),
        &[
            "site.conf:2:1: spark.jobserver.ha.masters: h1:2552 is there twice: every server has \
           its own address",
        ],
    );
    bad(
        &format!("{own}spark.jobserver.ha.masters = [\"h1:2553\"]"),
        &[
            "site.conf:2:1: spark.jobserver.ha.masters: this server's own address h1:2552 is not \
           among h1:2553: set akka.remote.netty.tcp.hostname and akka.remote.netty.tcp.port to \
           one of them, letter by letter, or add it",
        ],
    );
    bad(
        &format!("{own}spark.jobserver.ha.masters = [\"h1:2552\", \"h2:2552\"]"),
        &[
            "site.conf:2:1: spark.jobserver.ha.masters: the servers are on several hosts (h1, h2), \
           but the embedded store is for one host: set `doyen.store = zookeeper` (not built yet), \
           or run all servers on one host",
        ],
    );
    bad(
        "spark.jobserver.ha.masters = [\"h1:99999\"]",
        &[
            "site.conf:1:1: spark.jobserver.ha.masters: found `[\"h1:99999\"]`, expected a list of \
           HOST:PORT, e.g. [\"10.0.0.11:2552\"]; `h1:99999` is none",
        ],
    );
    bad(
        "akka.remote.netty.tcp.port = 0\nspark.jobserver.ha.masters = [\"127.0.0.1:2552\"]",
        &[
            "site.conf:1:30: akka.remote.netty.tcp.port: found `0`, expected the port of this \
           server in spark.jobserver.ha.masters",
        ],
    );
    let (settings, _) = good("spark.jobserver.ha.masters = \"127.0.0.1:2552, localhost:2553\"");
    assert_eq!(settings.cluster.seeds.len(), 2);
}

#[test]
fn times_that_do_not_fit_name_both_keys() {
    bad(
        "custom-downing.stable-after = 10s",
        &[
            "site.conf:1:31: 2 × doyen.times.detection (10000 ms) must be less than \
           custom-downing.stable-after (10000 ms)",
        ],
    );
    bad(
        "doyen.times { gateway-hold = 50 s }",
        &[
            "site.conf:1:30: doyen.times.gateway-hold (50000 ms) must be less than \
           akka.http.server.request-timeout (40000 ms)",
        ],
    );
    bad(
        "akka.http.server.idle-timeout = 30s",
        &[
            "site.conf:1:33: akka.http.server.idle-timeout: 30 s must exceed \
           akka.http.server.request-timeout, which is 40 s",
        ],
    );
    good("akka.http.server { idle-timeout = infinite, request-timeout = infinite }");
}

#[test]
fn what_would_be_wrong_to_go_on_without_is_refused() {
    bad(
        "akka.http.server.ssl-encryption = on\naccess-control.provider = \
         spark.jobserver.auth.ShiroAccessControl\ndoyen.arbitration = gossip\n\
         akka.cluster.downing-provider-class = akka.cluster.sbr.SplitBrainResolverProvider\n\
         doyen.store = postgres",
        &[
            "site.conf:5:15: doyen.store: the postgres store is not built yet: wait for a later \
             release, or set `doyen.store = embedded` and run all servers on one host",
            "site.conf:1:35: akka.http.server.ssl-encryption: TLS is not built yet: set off, and \
             put a proxy with TLS before the server",
            "site.conf:2:27: access-control.provider: spark.jobserver.auth.ShiroAccessControl is \
             not built yet: without it anybody may call",
            "site.conf:3:21: doyen.arbitration: arbitration by gossip is not built yet: set store",
            "site.conf:4:39: akka.cluster.downing-provider-class: \
             `akka.cluster.sbr.SplitBrainResolverProvider` is not known: \
             akka.downing.KeepOldestDowningProvider, or nothing, which means the same",
        ],
    );
    bad(
        "doyen.data-dir = \"~/x\"",
        &["site.conf:1:18: doyen.data-dir: found `~/x`: write ${HOME} instead of ~"],
    );
}

#[test]
fn unknown_keys_and_keys_without_effect_are_reported_not_fatal() {
    let (_, report) = good(
        "spark.jobserver.prot = 1\nmy.own.thing = 2\ncustom-downing.down-removal-margin = 1s\n\
         akka.actor.provider = x\nakka.cluster.auto-down-unreachable-after = 20s\n\
         spark.jobserver.bind-address = 0.0.0.0\nspark.jobserver.datadao.rootdir = /x\n",
    );
    let unknown: Vec<_> = report
        .unknown
        .iter()
        .map(|one| (one.key.as_str(), one.hint.as_deref()))
        .collect();
    assert_eq!(
        unknown,
        [
            ("my.own.thing", None),
            ("spark.jobserver.prot", Some("spark.jobserver.port"))
        ]
    );
    let ignored: Vec<_> = report
        .without_effect
        .iter()
        .map(|one| one.key.as_str())
        .collect();
    assert_eq!(
        ignored,
        ["akka.actor.provider", "custom-downing.down-removal-margin"]
    );
    assert_eq!(report.not_built[0].key, "spark.jobserver.datadao.rootdir");
    assert_eq!(report.notes.len(), 2);
    assert!(report.notes[0].starts_with("site.conf:6:32: spark.jobserver.bind-address: 0.0.0.0"));
    assert!(report.notes[1].contains("auto-down-unreachable-after: ignored"));
}

const ZOOKEEPER: &str = "MetaDataZookeeperDAO (ZooKeeper at localhost:2181) is understood but not \
    built yet: wait for a later release, or set `doyen.store = embedded` and run all servers on \
    one host";
const HDFS: &str = "HdfsBinaryDAO is understood but not built yet: wait for a later release, or \
    set `doyen.store = embedded` and run all servers on one host";

#[test]
fn the_ha_document_is_understood_whole_and_refused_by_name() {
    let text = include_str!("testdata/ha-snippets.conf");
    let (settings, report) = inspected(text);
    let settings = settings.unwrap();
    assert_eq!(settings.store, StoreKind::ZooKeeper);
    assert_eq!(settings.cache_dir, Path::new("/tmp/spark-jobserver"));
    let dao = "spark.jobserver.io.HdfsBinaryDAO";
    assert_eq!(settings.binary_dao.as_deref(), Some(dao));
    assert_eq!(settings.cluster.seeds.len(), 2);
    assert_eq!(report.errors.len(), 2);
    assert_eq!(report.errors[0].message, ZOOKEEPER);
    assert_eq!(report.errors[1].message, HDFS);
    assert!(report.unknown.is_empty() && report.without_effect.is_empty());
}

#[test]
fn the_ha_document_as_it_stands_has_its_placeholders_named() {
    let (_, report) = inspected(include_str!("testdata/ha-snippets-placeholders.conf"));
    let messages: Vec<_> = report
        .errors
        .iter()
        .map(|one| one.message.as_str())
        .collect();
    assert_eq!(
        messages,
        [
            "found `[\"<jobserver1-ip>:<jobserver1-akka-port>\",\"<jobserver2-ip>:…`, expected \
             HOST:PORT; `<jobserver1-ip>:<jobserver1-akka-port>` is a placeholder of the \
             documentation: write the real one",
            ZOOKEEPER,
            HDFS,
        ]
    );
}

#[test]
fn the_complete_example_is_understood() {
    let (_, report) = inspected(include_str!("testdata/ha-complete.conf"));
    let keys: Vec<_> = report
        .errors
        .iter()
        .filter_map(|one| one.key.as_deref())
        .collect();
    assert_eq!(
        keys,
        [
            "spark.jobserver.metadatadao.class",
            "spark.jobserver.binarydao.class",
            "spark.submit.deployMode"
        ]
    );
    assert!(report.unknown.is_empty(), "{:?}", report.unknown);
}

#[test]
fn the_embedded_store_said_aloud_overrides_the_classes() {
    let text =
        include_str!("testdata/ha-snippets.conf").replace("10.0.0.12:2552", "10.0.0.11:2553");
    let (settings, report) = good(&format!("{text}\ndoyen.store = embedded"));
    assert_eq!(settings.store, StoreKind::Embedded);
    assert_eq!(settings.binary_dao, None);
    assert_eq!(report.notes.len(), 2);
    assert!(
        report.notes[0].contains("MetaDataZookeeperDAO is overridden by `doyen.store = embedded`")
    );
}
