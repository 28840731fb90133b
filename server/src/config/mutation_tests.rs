//! Mutations of the HA document's snippets (config.md 17): whatever is broken in them, and however
//! much, both ways into HOCON answer soon with a value or an error, and the program that reads a
//! broken file says what is wrong. The same cases in every run; `PROPTEST_CASES` asks for more.

use super::settings::inspect;
use super::{BODY_MAX, Report, parse_untrusted};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

const SNIPPETS: [&str; 3] = [
    include_str!("testdata/ha-complete.conf"),
    include_str!("testdata/ha-snippets.conf"),
    include_str!("testdata/ha-snippets-placeholders.conf"),
];
/// What threads of the server have: an overflow ends the process, and no test could catch it.
const STACK_BYTES: usize = 2 * 1024 * 1024;
/// Far more than any case takes in a debug build on a busy machine, far less than one that hangs.
const SOON: Duration = Duration::from_secs(20);
/// What fits a line of a log, with values of people in it.
const MESSAGE_BYTES_MAX: usize = 1_000;

/// Text that does something in HOCON, or leads back to where it is.
const PIECES: [&str; 30] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\"\"\"",
    "#",
    "//",
    "=",
    "+=",
    ":",
    ",",
    "\n",
    "\\u12",
    "\\",
    "\u{0}",
    "\u{feff}",
    "ü",
    "null",
    "-1e999",
    "${spark}",
    "${?spark.jobserver}",
    "${akka.cluster",
    "spark = ${akka}\nakka = ${spark}\n",
    "spark.jobserver = ${spark} ${spark}\n",
    "spark.jobserver.ha.masters += ${spark.jobserver.ha.masters}\n",
    "akka.cluster.a = ${?akka.cluster.b}\nakka.cluster.b = ${?akka.cluster.a}\n",
    "include \"site.conf\"\n",
    "include required(file(\"/etc/passwd\"))\n",
    "spark.jobserver.port = ${spark.jobserver.port}0\n",
];

#[derive(Clone, Debug)]
enum Mutation {
    /// A character becomes another.
    Set(Index, char),
    /// A part is left out.
    Remove(Index, Index),
    /// A part comes so many times more.
    Repeat(Index, Index, usize),
    /// This comes in between, so many times.
    Insert(Index, &'static str, usize),
    /// The rest is of another snippet.
    Splice(Index, Index),
    /// Two lines change places.
    Swap(Index, Index),
}

fn any_mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<Index>;
    let times = || prop_oneof![8 => 1..4_usize, 1 => 60..70_usize, 1 => Just(5_000)];
    let pieces = select(PIECES.to_vec());
    // A hundred thousand brackets, now and then.
    let many = prop_oneof![20 => times(), 1 => Just(100_000)];
    prop_oneof![
        2 => (at(), any::<char>()).prop_map(|(at, to)| Mutation::Set(at, to)),
        2 => (at(), at()).prop_map(|(from, to)| Mutation::Remove(from, to)),
        2 => (at(), at(), times()).prop_map(|(from, to, n)| Mutation::Repeat(from, to, n)),
        6 => (at(), pieces, many).prop_map(|(at, piece, n)| Mutation::Insert(at, piece, n)),
        2 => (at(), at()).prop_map(|(at, from)| Mutation::Splice(at, from)),
        2 => (at(), at()).prop_map(|(one, two)| Mutation::Swap(one, two)),
    ]
}

/// The start of a character, or the end.
fn place(at: Index, text: &str) -> usize {
    text.floor_char_boundary(at.index(text.len() + 1))
}

fn mutate(text: &mut String, mutation: &Mutation, other: &str) {
    let span = |a: Index, b: Index, text: &str| {
        let (a, b) = (place(a, text), place(b, text));
        a.min(b)..a.max(b)
    };
    // So that repeats of repeats do not fill the memory: a little beyond what bodies may have.
    let room = |piece: &str, times: usize, text: &str| {
        let free = (BODY_MAX + 10).saturating_sub(text.len());
        times.min(free / piece.len().max(1))
    };
    match *mutation {
        Mutation::Set(at, to) => {
            let at = place(at, text);
            if let Some(old) = text[at..].chars().next() {
                text.replace_range(at..at + old.len_utf8(), to.encode_utf8(&mut [0; 4]));
            }
        }
        Mutation::Remove(from, to) => drop(text.drain(span(from, to, text))),
        Mutation::Repeat(from, to, times) => {
            let span = span(from, to, text);
            let part = text[span.clone()].to_owned();
            text.insert_str(span.end, &part.repeat(room(&part, times, text)));
        }
        Mutation::Insert(at, piece, times) => {
            let times = room(piece, times, text);
            text.insert_str(place(at, text), &piece.repeat(times));
        }
        Mutation::Splice(at, from) => {
            text.truncate(place(at, text));
            text.push_str(&other[place(from, other)..]);
        }
        Mutation::Swap(one, two) => {
            let mut lines: Vec<&str> = text.split('\n').collect();
            let count = lines.len();
            lines.swap(one.index(count), two.index(count));
            *text = lines.join("\n");
        }
    }
}

/// Reads a text as a body and as a file; whether each was taken.
fn check(text: &str, file: &Path) -> Result<[bool; 2], TestCaseError> {
    let start = Instant::now();
    let body = parse_untrusted(text);
    if let Ok(value) = &body {
        // What substitutions made of it is plain JSON, and is that again. Its own bounds on size do
        // not hold for the result.
        let again: serde_json::Value = serde_json::from_str(&value.to_string()).unwrap();
        prop_assert_eq!(&again, value);
    }
    if let Err(error) = &body {
        short(&error.to_string())?;
    }
    fs::write(file, text).unwrap();
    let (settings, report) = inspect(Some(file), &[]);
    prop_assert!(
        settings.is_some() || !report.errors.is_empty(),
        "no word of why"
    );
    check_report(&report)?;
    let took = start.elapsed();
    prop_assert!(took < SOON, "{:?} for {} bytes", took, text.len());
    Ok([body.is_ok(), report.errors.is_empty()])
}

fn check_report(report: &Report) -> Result<(), TestCaseError> {
    for error in &report.errors {
        short(&error.message)?;
        prop_assert!(error.place.is_some() || error.key.is_some(), "{}", error);
    }
    let unknown = report.unknown.iter().map(|one| &one.key);
    unknown
        .chain(&report.notes)
        .try_for_each(|text| short(text))
}

fn short(message: &str) -> Result<(), TestCaseError> {
    let head: String = message.chars().take(200).collect();
    prop_assert!(
        message.len() <= MESSAGE_BYTES_MAX,
        "{} bytes: {}",
        message.len(),
        head
    );
    Ok(())
}

fn run_all() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("site.conf");
    let config = Config {
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let snippet = || select(SNIPPETS.to_vec());
    let mutations = prop::collection::vec(any_mutation(), 1..5);
    let taken = std::cell::Cell::new([0, 0]);
    let outcome = runner.run(&(snippet(), snippet(), mutations), |(one, other, all)| {
        let mut text = one.to_owned();
        for mutation in &all {
            mutate(&mut text, mutation, other);
        }
        let [body, whole] = check(&text, &file)?;
        let [bodies, wholes] = taken.get();
        taken.set([bodies + u32::from(body), wholes + u32::from(whole)]);
        Ok(())
    });
    if let Err(error) = outcome {
        let text = error.to_string();
        let head: String = text.chars().take(4_000).collect();
        panic!("{head}");
    }
    let [bodies, wholes] = taken.get();
    assert!(
        bodies > 20 && wholes > 5,
        "only {bodies} bodies and {wholes} files were taken: the rest proves nothing"
    );
}

#[test]
fn mutated_snippets_are_read_or_refused_with_words_and_soon() {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
    thread.spawn(run_all).unwrap().join().unwrap();
}

/// What is known to overflow parsers, at the end of each snippet.
#[test]
fn cycles_and_a_hundred_thousand_brackets_in_a_file_are_told_with_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("site.conf");
    let brackets = |bracket: &str| format!("a = {}", bracket.repeat(100_000));
    for (tail, why) in [
        (
            "a = ${b}\na = ${b}\nb = ${a}\nb = ${a}".to_owned(),
            "leads back to itself",
        ),
        (
            "akka.cluster = ${spark}\nspark.x = ${akka}".to_owned(),
            "leads back to itself",
        ),
        ("include \"site.conf\"".to_owned(), "includes itself"),
        (brackets("["), "nested deeper than 64 levels"),
        (brackets("{a="), "nested deeper than 64 levels"),
        (
            format!("{}a = 1", "a.".repeat(100_000)),
            "nested deeper than 64 levels",
        ),
    ] {
        for snippet in SNIPPETS {
            fs::write(&file, format!("{snippet}\n{tail}\n")).unwrap();
            let (settings, report) = inspect(Some(&file), &[]);
            assert!(settings.is_none(), "{tail:.60}");
            let [error] = report.errors.as_slice() else {
                panic!("{:?}", report.errors)
            };
            assert!(error.message.contains(why), "{error}");
            let place = error.place.as_deref().unwrap_or_default();
            assert!(place.contains("site.conf:"), "{error}");
        }
    }
}
