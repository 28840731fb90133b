//! The corpus: named schedules in `tests/corpus`, each with its story. All are in the form that
//! they are written in; those that wait for nothing end as they say.
#![allow(clippy::unwrap_used, reason = "only tests use it")]

use doyen_sim::engine::Engine;
use doyen_sim::engine::direct::Direct;
use doyen_sim::judge::{Judge, Verdict};
use doyen_sim::schedule::fairness;
use doyen_sim::schedule::format::{read, rules_mismatch, write};
use doyen_sim::schedule::model::{Expect, Schedule};
use doyen_sim::schedule::settings::config_of;
use std::collections::BTreeSet;
use std::fs;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/corpus");

/// Rules of protocol.md that are marked as found necessary, as their schedules are called.
const RULES: [&str; 15] = [
    "rule-w3-",
    "rule-f2-joiner-",
    "rule-f2-an-",
    "rule-f4-",
    "rule-r3-",
    "rule-r4-",
    "rule-r5-",
    "rule-s2-",
    "rule-s5-",
    "rule-c4-",
    "rule-e2-",
    "rule-e3-",
    "rule-e4-",
    "rule-e7-",
    "rule-e8-",
];

fn corpus() -> Vec<(String, String, Schedule)> {
    let mut all: Vec<_> = fs::read_dir(FOLDER)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let schedule = read(&path.display().to_string(), &text).unwrap();
            let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
            (stem, text, schedule)
        })
        .collect();
    all.sort_by(|(one, ..), (other, ..)| one.cmp(other));
    all
}

#[test]
fn every_schedule_has_its_name_its_story_and_the_form_it_is_written_in() {
    for (stem, text, schedule) in corpus() {
        assert_eq!(schedule.name, stem);
        assert_eq!(
            write(&schedule).unwrap(),
            text,
            "{stem} is not in canonical form"
        );
        assert_eq!(rules_mismatch(&schedule), None, "{stem}");
        assert!(!schedule.story.is_empty(), "{stem} has no story");
        if let Expect::Waiting(reason) = &schedule.expect {
            assert!(!reason.is_empty(), "{stem}");
        }
        if is_of_a_family(&stem) {
            let compared = if stem.starts_with("rule-") {
                "Without the rule: "
            } else {
                "Reference: "
            };
            for word in [compared, "\nOurs: "] {
                assert!(schedule.story.contains(word), "{stem}: no `{word}`");
            }
            assert_eq!(
                schedule.phases.end,
                fairness::end(&schedule),
                "{stem}: its end is unfair"
            );
        }
    }
}

fn is_of_a_family(stem: &str) -> bool {
    ["lifecycle-", "seed-join-", "sbr-", "singleton-", "rule-"]
        .iter()
        .any(|family| stem.starts_with(family))
}

#[test]
fn every_weakness_race_case_hazard_and_rule_has_a_schedule() {
    let names: BTreeSet<String> = corpus().into_iter().map(|(stem, ..)| stem).collect();
    let numbered = |family: &'static str, count: u32| {
        (1..=count).map(move |number| format!("{family}{number:02}-"))
    };
    let wanted = numbered("lifecycle-", 32)
        .chain(numbered("seed-join-", 39))
        .chain(numbered("sbr-s", 12))
        .chain(numbered("singleton-h", 17))
        .chain(RULES.iter().map(|rule| (*rule).to_owned()));
    for prefix in wanted {
        let has = names.iter().any(|name| name.starts_with(&prefix));
        assert!(has, "no schedule is called {prefix}…");
    }
}

/// Schedules that show a fault which is known and not mended yet: they may end otherwise. Whoever
/// mends one takes its lines out.
const OPEN: &[(&str, &str)] = &[];

#[test]
fn what_waits_for_nothing_ends_as_it_says() {
    let failed: Vec<String> = corpus()
        .into_iter()
        .filter(|(_, _, schedule)| !matches!(schedule.expect, Expect::Waiting(_)))
        .filter_map(|(stem, _, schedule)| ended_otherwise(&stem, &schedule))
        .collect();
    assert!(
        failed.is_empty(),
        "{} failed:\n{}",
        failed.len(),
        failed.join("\n")
    );
}

fn ended_otherwise(stem: &str, schedule: &Schedule) -> Option<String> {
    let config = config_of(schedule, None).unwrap();
    let mut judge = Judge::new(schedule, config.get());
    let ran = Direct.run(schedule, &mut judge).unwrap();
    let verdict = judge.judge(&ran).verdict;
    let is_open = OPEN.iter().find(|(name, _)| *name == stem);
    let is_as_said = match (&schedule.expect, &verdict) {
        (Expect::Pass, Verdict::Pass) => true,
        (Expect::Violation(oracle), Verdict::Violation(violation)) => oracle == violation.oracle,
        _ => is_open.is_some(),
    };
    (!is_as_said).then(|| format!("{stem}: {verdict:?}"))
}
