//! The book tells of the simulator as it is: its pages name every fault, setting, oracle, counter
//! and planted bug, and the files that it shows can be read.
#![allow(clippy::unwrap_used, reason = "only tests use it")]

use doyen_sim::oracle;
use doyen_sim::schedule::format;
use doyen_sim::schedule::generate::generate;
use doyen_sim::schedule::settings;
use doyen_sim::schedule::swarm;
use doyen_sim::sometimes::Thing;
use doyen_sim::suite::{Suite, Work};
use doyen_sim::world::random::PURPOSES;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page(name: &str) -> String {
    let file = root().join("docs/src/simulation").join(name);
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The fenced blocks of this language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let parts = page.split(&fence).skip(1);
    parts
        .filter_map(|part| part.split("```").next())
        .map(ToOwned::to_owned)
        .collect()
}

#[track_caller]
fn has_row(page: &str, file: &str, row: &str) {
    assert!(
        page.lines().any(|line| line == row),
        "docs/src/simulation/{file} lacks this row:\n{row}"
    );
}

#[test]
fn every_fault_and_combination_and_topology_is_on_the_page_of_the_schedule() {
    let page = page("schedule.md");
    for name in swarm::names() {
        let (row, word) = (format!("\n| `{name}` |"), format!("`{name}`"));
        let is_topology = doyen_sim::schedule::topology::TOPOLOGIES.contains(&name);
        let told = page.contains(&row) || (is_topology && page.contains(&word));
        assert!(
            told,
            "docs/src/simulation/schedule.md does not tell `{name}`"
        );
    }
}

#[test]
fn every_setting_and_purpose_is_on_the_page_of_the_schedule() {
    let page = page("schedule.md");
    let purposes = PURPOSES.iter().map(|one| one.name());
    for name in settings::names().into_iter().chain(purposes) {
        assert!(
            page.contains(&format!("`{name}`")),
            "docs/src/simulation/schedule.md does not name `{name}`"
        );
    }
}

#[test]
fn every_key_that_a_golden_file_shows_is_on_the_page_of_the_schedule() {
    let page = page("schedule.md");
    let file = root().join("sim/tests/golden/format-1-everything.toml");
    let all: toml::Table = fs::read_to_string(file).unwrap().parse().unwrap();
    let elements = ["servers", "workload", "faults"].map(|list| all[list].as_array().unwrap());
    let inner = elements.into_iter().flatten().flat_map(|element| {
        let table = element.as_table().unwrap();
        table.keys().chain(enum_words(table))
    });
    for key in all.keys().chain(inner) {
        let told = page.contains(&format!("`{key}`")) || page.contains(&format!("`{key}."));
        assert!(
            told,
            "docs/src/simulation/schedule.md does not tell `{key}`"
        );
    }
}

/// Values of an element that are words of the format.
fn enum_words(table: &toml::Table) -> impl Iterator<Item = &String> {
    let words = ["kind", "ask", "act", "what", "how"];
    words.into_iter().filter_map(|key| match table.get(key) {
        Some(toml::Value::String(word)) => Some(word),
        _ => None,
    })
}

#[test]
fn every_oracle_has_its_row() {
    let page = page("oracles.md");
    let rows = page.matches("\n| `").count();
    let all = oracle::all();
    for oracle in &all {
        let row = format!("\n| `{}` |", oracle.name());
        assert!(page.contains(&row), "oracles.md lacks {}", oracle.name());
    }
    assert_eq!(
        rows,
        all.len(),
        "oracles.md has a row for each oracle and no other"
    );
}

#[test]
fn every_counter_has_its_row() {
    let page = page("trust.md");
    for thing in Thing::ALL {
        let row = format!("| `{}` | {} |", thing.word(), thing.sentence());
        has_row(&page, "trust.md", &row);
    }
}

#[test]
fn every_planted_bug_has_its_row() {
    // The list itself is compiled only with the feature `planted`.
    let source = fs::read_to_string(root().join("core/src/planted.rs")).unwrap();
    let (_, list) = source.split_once("bugs! {").unwrap();
    let page = page("trust.md");
    let (mut about, mut seen) = (Vec::new(), 0);
    for line in list.lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("/// ") {
            about.push(text);
        } else if let [_, name, _, oracle, _] = line.split('"').collect::<Vec<_>>()[..] {
            let row = format!("| `{name}` | {} | `{oracle}` |", about.join(" "));
            has_row(&page, "trust.md", &row);
            about.clear();
            seen += 1;
        } else if line == "}" {
            break;
        }
    }
    assert!(
        seen >= 24,
        "{seen} bugs were read out of core/src/planted.rs"
    );
}

#[test]
fn the_book_says_what_ci_simulates() {
    let source = fs::read_to_string(root().join("xtask/src/ci.rs")).unwrap();
    let (_, list) = source.split_once("const SIMULATIONS").unwrap();
    let (list, _) = list.split_once("];").unwrap();
    let page = page("trust.md");
    let mut seen = 0;
    for line in list.lines() {
        if let [_, name, _, arguments, _] = line.split('"').collect::<Vec<_>>()[..] {
            has_row(&page, "trust.md", &format!("| {name} | `{arguments}` |"));
            seen += 1;
        }
    }
    assert!(
        seen >= 5,
        "{seen} simulations were read out of xtask/src/ci.rs"
    );
}

#[test]
fn every_schedule_that_the_book_shows_can_be_read() {
    let mut seen = 0;
    for entry in fs::read_dir(root().join("docs/src/simulation")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        for block in blocks(&text, "toml") {
            if block.starts_with("format = ") {
                format::read(&path.display().to_string(), &block).unwrap();
                seen += 1;
            }
        }
    }
    assert!(seen >= 2, "{seen} schedules are shown");
}

#[test]
fn every_suite_that_ships_can_be_run_and_the_book_shows_the_example_as_it_is() {
    let folder = root().join("sim/suites");
    let mut seen = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let file = entry.unwrap().path();
        let suite = Suite::read(&file).unwrap();
        let profile = suite.profile().unwrap();
        assert_eq!(generate(7, &profile).seed, 7, "{}", file.display());
        assert!(!Work::new(&suite, 0..1).unwrap().is_empty());
        seen += 1;
    }
    assert_eq!(seen, 3, "suites in {}", folder.display());
    let own = fs::read_to_string(folder.join("own.toml")).unwrap();
    let shown = blocks(&page("suite.md"), "toml");
    assert!(
        shown.iter().any(|block| own.ends_with(block.as_str())),
        "docs/src/simulation/suite.md shows another suite than sim/suites/own.toml"
    );
}
