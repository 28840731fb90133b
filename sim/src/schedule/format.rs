//! The text of a schedule: read with errors that name file, line, key and what was expected;
//! written so that what is read and written again stays as it was.

use super::check::{Path, Step, check};
use super::model::{FORMAT, RULES, Schedule};
use super::text;
use serde::Deserialize;
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// The longest text of a schedule, in bytes.
pub const TEXT_MAX: usize = 4 << 20;

/// Why a text is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}{}: {}{what}", line_of(*line), key_of(key))]
pub struct FormatError {
    /// The file's name, as given.
    pub file: String,
    /// The line, from 1, as far as it is known.
    pub line: Option<usize>,
    /// The key, `faults[3].until`; empty for the whole.
    pub key: String,
    /// What is wrong and what was expected.
    pub what: String,
}

fn line_of(line: Option<usize>) -> String {
    line.map(|line| format!(":{line}")).unwrap_or_default()
}

fn key_of(key: &str) -> String {
    if key.is_empty() {
        String::new()
    } else {
        format!("`{key}`: ")
    }
}

/// Reads and checks a schedule; `file` is what errors call it.
///
/// # Errors
/// [`FormatError`] for the first thing that is wrong.
pub fn read(file: &str, text: &str) -> Result<Schedule, FormatError> {
    let at = |line, key: String, what: String| FormatError {
        file: file.to_owned(),
        line,
        key,
        what,
    };
    if text.len() > TEXT_MAX {
        let what = format!("{} bytes: the limit is {TEXT_MAX}", text.len());
        return Err(at(None, String::new(), what));
    }
    let root = DeTable::parse(text).map_err(|error| {
        let line = error.span().map(|span| line(text, span.start));
        at(line, String::new(), error.message().to_owned())
    })?;
    let root = root.get_ref();
    format_version(root).map_err(|what| at(Some(1), "format".to_owned(), what))?;
    let schedule = toml::de::Deserializer::parse(text)
        .and_then(Schedule::deserialize)
        .map_err(|error| {
            let span = error.span().unwrap_or(0..0);
            let path = path_at(root, &span).unwrap_or_default();
            at(
                Some(line(text, span.start)),
                path.to_string(),
                error.message().to_owned(),
            )
        })?;
    check(&schedule).map_err(|wrong| {
        let offset = offset_of(root, &wrong.path);
        at(
            offset.map(|o| line(text, o)),
            wrong.path.to_string(),
            wrong.what,
        )
    })?;
    Ok(schedule)
}

/// Writes a schedule.
///
/// # Errors
/// [`FormatError`] when it could not be read again: a bound is passed.
pub fn write(schedule: &Schedule) -> Result<String, FormatError> {
    let error = |key: String, what: String| FormatError {
        file: schedule.name.clone(),
        line: None,
        key,
        what,
    };
    check(schedule).map_err(|wrong| error(wrong.path.to_string(), wrong.what))?;
    text::write(schedule).map_err(|failed| error(String::new(), failed.to_string()))
}

/// What to tell who replays a schedule under other rules than it was recorded under.
#[must_use]
pub fn rules_mismatch(schedule: &Schedule) -> Option<String> {
    (schedule.rules != RULES).then(|| {
        format!(
            "recorded under rules {}, run under rules {RULES}",
            schedule.rules
        )
    })
}

fn format_version(root: &DeTable<'_>) -> Result<(), String> {
    let Some(value) = root.get("format") else {
        return Err(format!(
            "missing: expected `format = {FORMAT}` as the first line"
        ));
    };
    let number = match value.get_ref() {
        DeValue::Integer(number) => number.as_str().parse::<u32>().ok(),
        _ => None,
    };
    match number {
        Some(number) if (1..=FORMAT).contains(&number) => Ok(()),
        Some(number) if number > FORMAT => Err(format!(
            "`{number}` is of a newer release; this one reads up to {FORMAT}: replay it with the \
             `doyen-sim` that wrote it, or a later one"
        )),
        Some(_) | None => Err(format!("expected a number from 1 to {FORMAT}")),
    }
}

fn line(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    before
        .filter(|byte| **byte == b'\n')
        .count()
        .saturating_add(1)
}

/// The way to the innermost value that a span lies in.
fn path_at(table: &DeTable<'_>, span: &Range<usize>) -> Option<Path> {
    let mut steps = Vec::new();
    find_in_table(table, span, &mut steps).then_some(Path(steps))
}

fn contains(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end && outer.start < outer.end
}

fn find_in_table(table: &DeTable<'_>, span: &Range<usize>, steps: &mut Vec<Step>) -> bool {
    table.iter().any(|(key, value)| {
        steps.push(Step::Key(key.get_ref().to_string()));
        let found = find(value.get_ref(), span, steps)
            || contains(&value.span(), span)
            || contains(&key.span(), span);
        if !found {
            steps.pop();
        }
        found
    })
}

fn find(value: &DeValue<'_>, span: &Range<usize>, steps: &mut Vec<Step>) -> bool {
    match value {
        DeValue::Table(table) => find_in_table(table, span, steps),
        DeValue::Array(array) => array.iter().enumerate().any(|(index, value)| {
            steps.push(Step::Index(index));
            let found = find(value.get_ref(), span, steps) || contains(&value.span(), span);
            if !found {
                steps.pop();
            }
            found
        }),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => false,
    }
}

/// Where the value of a path, or what holds it, stands.
fn offset_of(root: &DeTable<'_>, path: &Path) -> Option<usize> {
    let mut steps = path.0.iter();
    let Some(Step::Key(first)) = steps.next() else {
        return None;
    };
    let mut value = root.get(first.as_str())?;
    let mut offset = value.span().start;
    for step in steps {
        let inner = match (step, value.get_ref()) {
            (Step::Key(key), DeValue::Table(table)) => table.get(key.as_str()),
            (Step::Index(index), DeValue::Array(array)) => array.get(*index),
            _ => None,
        };
        let Some(inner) = inner else {
            break;
        };
        value = inner;
        offset = value.span().start;
    }
    Some(offset)
}
