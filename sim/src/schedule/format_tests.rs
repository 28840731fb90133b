//! Stories of reading and writing schedules.
#![allow(clippy::unwrap_used, reason = "only tests use it")]

use super::format::{read, rules_mismatch, write};
use super::model::{RULES, Schedule, Server};

/// One of every kind of fault and ask, with every field set.
const EVERYTHING: &str = include_str!("../../tests/golden/format-1-everything.toml");

fn everything() -> Schedule {
    read("everything.toml", EVERYTHING).unwrap()
}

/// What a wrong word's error says can stand there.
fn known(text: &str) -> Vec<String> {
    let words = text.split("expected one of ").nth(1).unwrap();
    words
        .split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_kind_is_read_as_it_was_written() {
    let schedule = read("full.toml", EVERYTHING).unwrap();
    let text = write(&schedule).unwrap();
    assert_eq!(text, EVERYTHING);
    assert_eq!(read("full.toml", &text).unwrap(), schedule);
    let rests = schedule.faults.iter().map(|fault| &fault.rest);
    assert!(rests.chain([&schedule.rest]).all(toml::Table::is_empty));
}

#[test]
fn the_golden_file_has_one_of_every_kind() {
    for (old, tag) in [
        ("kind = \"crash-all\"", "kind = "),
        ("ask = \"kill\"", "ask = "),
        ("how = \"late\"", "how = "),
        ("act = \"send\"", "act = "),
        ("what = \"pause-after\"", "what = "),
        ("{ bridge =", "topology = { "),
    ] {
        assert!(EVERYTHING.contains(old), "{old}");
        let new = if tag.ends_with("{ ") {
            "{ x =".to_owned()
        } else {
            format!("{tag}\"x\"")
        };
        let error = read("full.toml", &EVERYTHING.replacen(old, &new, 1)).unwrap_err();
        let names = known(&error.what);
        assert!(names.len() >= 4, "{error}");
        for name in names.iter().filter(|name| *name != "majorities-ring") {
            let quoted = format!("{tag}\"{name}\"");
            let bare = format!("{tag}{name} = ");
            let is_there = EVERYTHING.contains(&quoted) || EVERYTHING.contains(&bare);
            assert!(is_there, "no {quoted} in the golden file");
        }
    }
}

#[test]
fn what_has_its_default_value_is_left_out() {
    let text = "format = 1\nrules = 1\nseed = 3\nservers = [\n  { name = \"s1\" },\n]\n";
    let schedule = read("small.toml", text).unwrap();
    assert_eq!(write(&schedule).unwrap(), text);
    let long = format!(
        "{text}store = \"local\"\nexpect = \"pass\"\nfaults = [\n  {{ at = \"1s\", kind = \"cut\", \
         topology = \"majorities-ring\", refuses = false }},\n]\n"
    );
    let written = write(&read("long.toml", &long).unwrap()).unwrap();
    let fault = "  { at = \"1s\", kind = \"cut\", topology = \"majorities-ring\" },\n";
    assert_eq!(written, format!("{text}faults = [\n{fault}]\n"));
}

#[test]
fn unknown_fields_survive_at_every_level() {
    let mut text = EVERYTHING.to_owned();
    let unknown = "later-a = { deep = [1, \"two\", { three = 3.5 }] }, later-b = 1979-05-27";
    text = text.replace(" },\n", &format!(", {unknown} }},\n"));
    text = text.replace("phases.heal", "phases.later = [true]\nphases.heal");
    text.push_str("later-on = \"here\"\nlater-too = { \"odd key\" = {} }\n");
    let schedule = read("later.toml", &text).unwrap();
    for rest in schedule
        .faults
        .iter()
        .map(|fault| &fault.rest)
        .chain(schedule.workload.iter().map(|ask| &ask.rest))
        .chain(schedule.servers.iter().map(|server| &server.rest))
        .chain([&schedule.rest])
    {
        assert_eq!(rest.len(), 2, "{rest:?}");
    }
    assert_eq!(schedule.phases.rest.len(), 1);
    let written = write(&schedule).unwrap();
    assert_eq!(read("later.toml", &written).unwrap(), schedule);
    let lines = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(lines(&written), lines(&text));
}

/// What to put in place of what, where the error is, and what it says.
const WRONG: &[(&str, &str, &str, &str)] = &[
    (
        "\"crash-loop\"",
        "\"crash-loops\"",
        "faults[7]",
        "`kind`: `crash-loops` is not known",
    ),
    ("\"crash-loop\"", "7", "faults[7]", "`kind`: invalid type"),
    (
        "every = \"1.5s\"",
        "every = \"1.5h\"",
        "faults[7]",
        "`every`: `1.5h` is no time",
    ),
    (
        "every = \"1.5s\"",
        "every = \"1ms\"",
        "faults[7].every",
        "expected 10ms to 3600s",
    ),
    (", every = \"1.5s\"", "", "faults[7]", "`every` is missing"),
    (
        "until = \"9s\"",
        "until = \"4s\"",
        "faults[0].until",
        "is not after its `at`, `5s`",
    ),
    (
        "until = \"9s\"",
        "until = \"41s\"",
        "faults[0].until",
        "after phases.heal, `40s`",
    ),
    (
        "\"first-seed\"",
        "\"s9\"",
        "faults[6].target",
        "they are `s1`, `s2`, `s3`",
    ),
    (
        "\"first-seed\"",
        "\"s 9\"",
        "faults[6]",
        "`target`: `s 9` names no target",
    ),
    (
        "\"first-seed\"",
        "\"store\"",
        "faults[6].target",
        "of a topology only",
    ),
    (
        "\"first-seed\"",
        "\"driver-of(c9)\"",
        "faults[6].target",
        "nothing in the workload",
    ),
    (
        "ppm = -7",
        "ppm = -700000",
        "faults[11].ppm",
        "expected -500000 to 500000",
    ),
    (
        "nth = 2",
        "nth = 0",
        "faults[31].nth",
        "expected 1 to 1000000",
    ),
    (
        "permille = 9",
        "permille = 1001",
        "faults[18].permille",
        "expected 0 to 1000",
    ),
    (
        "at = \"5.5s\"",
        "at = \"4.5s\"",
        "faults[1].at",
        "put them in order of time",
    ),
    (
        "at = \"5.5s\"",
        "at = \"5500s\"",
        "faults[1].at",
        "not before phases.heal",
    ),
    (
        "of = \"s1\"",
        "of = \"store\"",
        "workload[0].of",
        "is no server",
    ),
    (
        "of = \"s1\"",
        "of = \"\"",
        "workload[0]",
        "`of`: `` names no target",
    ),
    (
        "ask = \"kill\", job = \"j1\"",
        "ask = \"kill\", job = \"j2\"",
        "workload[3].job",
        "nothing",
    ),
    (
        "\"s2\", \"s1\"]",
        "\"s2\", \"s4\"]",
        "servers[1].seed-list",
        "`s4` is no server",
    ),
    (
        "name = \"s3\"",
        "name = \"s1\"",
        "servers[2].name",
        "is there twice",
    ),
    (
        "name = \"s3\"",
        "name = \"oldest\"",
        "servers[2].name",
        "no word that names a role",
    ),
    (
        "start = \"300ms\"",
        "start = 300",
        "servers[1].start",
        "invalid type",
    ),
    (
        "stable-after = \"30s\"",
        "stable-afer = \"30s\"",
        "settings.stable-afer",
        "no setting",
    ),
    (
        "stable-after = \"30s\"",
        "stable-after = \"7s\"",
        "settings",
        "2 × detection (10000 ms)",
    ),
    (
        "phases.end = \"99s\"",
        "phases.end = \"40s\"",
        "phases.end",
        "is not after phases.heal",
    ),
    (
        "phases.end = \"99s\"",
        "phases.end = \"99x\"",
        "phases.end",
        "`99x` is no time",
    ),
    ("format = 1", "format = 2", "format", "of a newer release"),
    (
        "format = 1\n",
        "",
        "format",
        "expected `format = 1` as the first line",
    ),
    (
        "format = 1",
        "format = \"1\"",
        "format",
        "a number from 1 to 1",
    ),
    ("seed = 7", "seed = -7", "seed", "invalid value"),
    ("seed = 7", "seed = ", "", "must be quoted"),
    (
        "expect = { waiting",
        "expect = { wating",
        "expect.wating",
        "unknown variant",
    ),
];

#[test]
fn what_is_wrong_is_named_with_its_place_and_what_was_expected() {
    let good = EVERYTHING;
    for (old, new, key, words) in WRONG.iter().copied() {
        assert!(good.contains(old), "{old}");
        let bad = good.replacen(old, new, 1);
        let error = read("bad.toml", &bad).expect_err(new);
        assert!(error.what.contains(words), "{new}: {error}");
        assert_eq!(error.key, key, "{error}");
        let changed = good
            .lines()
            .zip(bad.lines())
            .position(|(a, b)| a != b)
            .unwrap();
        if words != "2 × detection (10000 ms)" {
            assert_eq!(error.line, Some(changed + 1), "{error}");
        }
        assert!(error.to_string().starts_with("bad.toml:"), "{error}");
    }
}

#[test]
fn too_much_is_refused_with_its_limit() {
    let mut schedule = everything();
    schedule.servers = (0..17)
        .map(|i| Server {
            name: format!("s{i}"),
            ..schedule.servers[0].clone()
        })
        .collect();
    assert_eq!(
        write(&schedule).unwrap_err().what,
        "17 servers: expected 1 to 16"
    );
    let mut schedule = everything();
    schedule.seed = u64::MAX;
    assert!(
        write(&schedule)
            .unwrap_err()
            .what
            .contains("the limit is 9223372036854775807")
    );
    let text = " ".repeat(super::format::TEXT_MAX + 1);
    assert!(
        read("big.toml", &text)
            .unwrap_err()
            .what
            .contains("the limit is")
    );
}

#[test]
fn other_rules_are_told_with_both_versions() {
    let mut schedule = everything();
    assert_eq!(rules_mismatch(&schedule), None);
    schedule.rules = RULES + 1;
    let told = rules_mismatch(&schedule).unwrap();
    assert_eq!(
        told,
        format!(
            "recorded under rules {}, run under rules {RULES}",
            RULES + 1
        )
    );
}
