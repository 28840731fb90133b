//! The program as its users meet it: verbs, exit codes, what is printed where.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn doyen(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_doyen"))
        .args(words)
        .env("COLUMNS", "80")
        .env_remove("DOYEN_LOG")
        .output()
        .expect("the program starts")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn testdata(name: &str) -> String {
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "src/config/testdata"]
        .iter()
        .collect();
    folder.join(name).display().to_string()
}

fn written(folder: &Path, text: &str) -> String {
    let file = folder.join("site.conf");
    std::fs::write(&file, text).expect("a temporary file");
    file.display().to_string()
}

#[test]
fn wrong_usage_exits_with_2_and_help_with_0() {
    for words in [&["serve"][..], &["server", "--port", "1"], &["config"], &[]] {
        let output = doyen(words);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {}", err(&output));
    }
    for words in [
        &["--help"][..],
        &["server", "--help"],
        &["config", "check", "--help"],
    ] {
        let output = doyen(words);
        assert_eq!(output.status.code(), Some(0), "{words:?}");
        assert!(out(&output).contains("Examples:"), "{words:?}");
        let wide = out(&output).lines().map(|line| line.chars().count()).max();
        assert!(wide <= Some(100), "{words:?} is {wide:?} columns wide");
    }
    assert!(!out(&doyen(&["--help"])).contains("keeper"));
}

#[test]
fn the_version_is_text_or_json() {
    let text = out(&doyen(&["version"]));
    assert_eq!(text.trim(), format!("doyen {}", env!("CARGO_PKG_VERSION")));
    let json: Value = serde_json::from_str(&out(&doyen(&["version", "--json"]))).expect("JSON");
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn the_ha_snippets_are_printed_in_full_and_refused_with_2() {
    let file = testdata("ha-snippets.conf");
    let output = doyen(&["config", "check", "--config", &file]);
    assert_eq!(output.status.code(), Some(2));
    let text = out(&output);
    let words: Vec<Vec<&str>> = text
        .lines()
        .map(|l| l.split_whitespace().collect())
        .collect();
    for (key, place) in [
        ("akka.cluster.auto-down-unreachable-after", "16:35"),
        ("akka.remote.netty.tcp.hostname", "26:36"),
        ("spark.jobserver.daorootdir", "4:18"),
        ("spark.jobserver.ha.masters", "22:5"),
    ] {
        let row = words.iter().find(|row| row.first() == Some(&key));
        assert_eq!(
            row.and_then(|row| row.last()),
            Some(&place),
            "{key} in\n{text}"
        );
    }
    assert!(text.contains("2 errors."), "{text}");

    let output = doyen(&["server", "--config", &file]);
    assert_eq!(output.status.code(), Some(2));
    let said = err(&output);
    for part in [
        "metadatadao.class",
        "HdfsBinaryDAO",
        "doyen.store = embedded",
        ":10:17:",
    ] {
        assert!(said.contains(part), "{part} in\n{said}");
    }
}

#[test]
fn a_check_in_json_has_everything_on_one_line() {
    let file = testdata("ha-complete.conf");
    let output = doyen(&["config", "check", "--config", &file, "--json"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(out(&output).lines().count(), 1);
    let json: Value = serde_json::from_str(&out(&output)).expect("JSON");
    assert_eq!(json["ok"], false);
    assert_eq!(json["errors"].as_array().map(Vec::len), Some(3));
    let port = json["understood"]
        .as_array()
        .and_then(|rows| rows.iter().find(|row| row["key"] == "spark.jobserver.port"));
    assert_eq!(
        port.map(|row| &row["source"]["from"]),
        Some(&"default".into())
    );
}

#[test]
fn a_good_configuration_exits_with_0() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = written(
        folder.path(),
        "spark.jobserver.port = 9000\nspark.jobserver.prot = 1",
    );
    let output = doyen(&["config", "check", "--config", &file]);
    assert_eq!(output.status.code(), Some(0), "{}", out(&output));
    assert!(
        out(&output).contains("spark.jobserver.port?"),
        "{}",
        out(&output)
    );
    assert!(out(&output).contains("A server starts with this configuration."));
}

#[test]
fn what_kills_the_parser_does_not_kill_the_program() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for text in [
        "[".repeat(100_000),
        "a = ${b}\na = ${b}\nb = ${a}\nb = ${a}".to_owned(),
    ] {
        let file = written(folder.path(), &text);
        for words in [
            &["config", "check", "--config", &file][..],
            &["server", "--config", &file],
        ] {
            assert_eq!(doyen(words).status.code(), Some(2));
        }
    }
}

#[test]
fn every_key_can_be_listed() {
    let json: Value =
        serde_json::from_str(&out(&doyen(&["config", "keys", "--json"]))).expect("JSON");
    let rows = json.as_array().expect("a list");
    assert!(
        rows.iter()
            .any(|row| row["key"] == "spark.jobserver.port" && row["default"] == "8090")
    );
    let text = out(&doyen(&["config", "keys"]));
    for row in rows {
        assert!(text.contains(row["key"].as_str().expect("a key")), "{row}");
    }
}

#[test]
fn a_filter_that_is_none_exits_with_2() {
    let output = Command::new(env!("CARGO_BIN_EXE_doyen"))
        .args(["version"])
        .env("DOYEN_LOG", "doyen=loudly")
        .output()
        .expect("the program starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(
        err(&output).contains("DOYEN_LOG: found `doyen=loudly`"),
        "{}",
        err(&output)
    );
}
