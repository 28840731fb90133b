//! `doyen config check` and `doyen config keys`.

use super::args::{CheckArgs, JsonArgs};
use super::exit;
use super::text::{cut, keyed_table, line, rendered, width, wrapped};
use crate::config::report::Report;
use crate::config::settings::inspect;
use crate::config::{Effect, KeyDoc, Source, key_table};
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

/// Longer keys and values are cut in tables; `--json` has them whole.
const CELL_MAX: usize = 300;

/// Says what a configuration means; exit 2 when a server would not start with it.
pub(super) fn check(args: &CheckArgs) -> ExitCode {
    let (_, report) = inspect(args.config.config.as_deref(), &args.config.set);
    let ok = report.errors.is_empty();
    if args.json {
        let mut value = json!(report);
        if let Some(map) = value.as_object_mut() {
            map.insert("ok".to_owned(), json!(ok));
        }
        line(&value.to_string());
    } else {
        let file = args.config.config.as_deref();
        line(&for_people(&report, file, args.all, width()));
    }
    ExitCode::from(if ok { exit::STOPPED } else { exit::USAGE })
}

/// The report as text of this width; places in `file` are shown without its name.
pub(super) fn for_people(report: &Report, file: Option<&Path>, all: bool, width: u16) -> String {
    let place = |place: &str| short(place, file);
    let mut parts = Vec::new();
    if let Some(file) = file {
        parts.push(format!("Places are LINE:COLUMN of {}", file.display()));
    }
    let (defaults, set): (Vec<_>, Vec<_>) = report
        .understood
        .iter()
        .partition(|row| row.source == Source::Default);
    if !set.is_empty() {
        let rows = set.iter().map(|row| {
            let at = row.source.to_string();
            [row.key.clone(), row.value.clone(), place(&at)]
        });
        parts.push(section(
            "Understood",
            &["key", "value", "place"],
            rows,
            width,
        ));
    }
    if all {
        let rows = defaults
            .iter()
            .map(|row| [row.key.clone(), row.value.clone()]);
        parts.push(section("Defaults", &["key", "value"], rows, width));
    } else if !defaults.is_empty() {
        let count = defaults.len();
        parts.push(format!(
            "{count} keys have their defaults; --all shows them."
        ));
    }
    for (title, list) in [
        ("Without effect", &report.without_effect),
        ("Not built yet, harmless", &report.not_built),
    ] {
        let rows = list
            .iter()
            .map(|one| [one.key.clone(), one.reason.clone(), place(&one.place)]);
        parts.push(section(title, &["key", "why", "place"], rows, width));
    }
    let rows = report.unknown.iter().map(|one| {
        let hint = one
            .hint
            .as_ref()
            .map_or_else(String::new, |hint| format!("{hint}?"));
        [one.key.clone(), hint, place(&one.place)]
    });
    parts.push(section(
        "Unknown",
        &["key", "meant was", "place"],
        rows,
        width,
    ));
    parts.push(remarks(report, width));
    parts.push(match report.errors.len() {
        0 => "A server starts with this configuration.".to_owned(),
        1 => "A server does not start with this configuration: 1 error.".to_owned(),
        count => format!("A server does not start with this configuration: {count} errors."),
    });
    parts.retain(|part| !part.is_empty());
    parts.join("\n\n")
}

fn short(place: &str, file: Option<&Path>) -> String {
    file.and_then(|file| place.strip_prefix(&format!("{}:", file.display())))
        .unwrap_or(place)
        .to_owned()
}

fn section<const N: usize>(
    title: &str,
    headings: &[&str; N],
    rows: impl Iterator<Item = [String; N]>,
    width: u16,
) -> String {
    let mut table = keyed_table(headings, width);
    let empty = rows.fold(true, |_, row| {
        table.add_row(row.map(|cell| cut(&cell, CELL_MAX)));
        false
    });
    if empty {
        return String::new();
    }
    format!("{title}\n{}", rendered(&table))
}

/// Notes and errors: the place and the key on one line, so that editors find it, then the text.
fn remarks(report: &Report, width: u16) -> String {
    let notes = report.notes.iter().map(|note| wrapped(note, width, "  "));
    let errors = report.errors.iter().map(|problem| {
        let head: Vec<&str> = [problem.place.as_deref(), problem.key.as_deref()]
            .into_iter()
            .flatten()
            .collect();
        let text = wrapped(&problem.message, width, "    ");
        if head.is_empty() {
            text
        } else {
            format!("  {}\n{text}", head.join("  "))
        }
    });
    let block = |title: &str, lines: Vec<String>| {
        (!lines.is_empty()).then(|| format!("{title}\n{}", lines.join("\n")))
    };
    [
        block("Notes", notes.collect()),
        block("Errors", errors.collect()),
    ]
    .into_iter()
    .flatten()
    .collect::<Vec<_>>()
    .join("\n\n")
}

/// Prints the table of keys.
pub(super) fn keys(args: &JsonArgs) -> ExitCode {
    let keys = key_table();
    if args.json {
        let rows: Vec<_> = keys.iter().map(KeyDoc::to_json).collect();
        line(&json!(rows).to_string());
        return ExitCode::from(exit::STOPPED);
    }
    let width = width();
    let mut other = keyed_table(&["known, but without effect", "why"], width);
    for key in &keys {
        match key.effect {
            Effect::Used => line(&one_key(key, width)),
            Effect::None(reason) => {
                other.add_row([key.key.to_owned(), reason.to_owned()]);
            }
            Effect::NotYet(reason) => {
                other.add_row([key.key.to_owned(), format!("not built yet: {reason}")]);
            }
        }
    }
    line(&rendered(&other));
    ExitCode::from(exit::STOPPED)
}

/// `key = default`, then what it means and takes.
fn one_key(key: &KeyDoc, width: u16) -> String {
    let head = match key.default {
        Some(default) => format!("{} = {default}", key.key),
        None => key.key.to_owned(),
    };
    let text = format!(
        "{}. Takes {}. ({})",
        key.meaning,
        key.kind.expected(),
        key.spec
    );
    format!("{head}\n{}\n", wrapped(&text, width, "    "))
}
