//! What people are told about a configuration: understood, unknown, without effect, wrong.

use super::fault::cut;
use super::values::Source;
use serde::Serialize;
use std::fmt;

/// Something that keeps the program from starting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// `FILE:LINE:COLUMN`, when it was written somewhere.
    pub place: Option<String>,
    /// The key.
    pub key: Option<String>,
    /// What is wrong, and what to do.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// A value that is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Understood {
    /// Its key.
    pub key: String,
    /// Its value, for people.
    pub value: String,
    /// Where it comes from.
    pub source: Source,
}

/// A key that nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unknown {
    /// The key.
    pub key: String,
    /// `FILE:LINE:COLUMN`.
    pub place: String,
    /// The known key that was most likely meant.
    pub hint: Option<String>,
}

/// A known key that is not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Aside {
    /// The key.
    pub key: String,
    /// `FILE:LINE:COLUMN`.
    pub place: String,
    /// Why.
    pub reason: String,
}

/// All that is to be said about a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What keeps the program from starting.
    pub errors: Vec<Problem>,
    /// Values in use, sorted by key.
    pub understood: Vec<Understood>,
    /// Keys that nobody knows; they do no harm.
    pub unknown: Vec<Unknown>,
    /// Keys that are read and ignored.
    pub without_effect: Vec<Aside>,
    /// Keys of features that are not built yet, where going on without them does no harm.
    pub not_built: Vec<Aside>,
    /// What an operator should know.
    pub notes: Vec<String>,
}

impl Report {
    /// Cuts long texts of the configuration out of what is said about it.
    pub(super) fn cut(&mut self) {
        let messages = self.errors.iter_mut().map(|one| &mut one.message);
        let keys = self.unknown.iter_mut().map(|one| &mut one.key);
        for text in messages.chain(keys).chain(&mut self.notes) {
            *text = cut(std::mem::take(text));
        }
    }

    /// Adds a default that the table of keys does not have, since it depends on the machine.
    pub(crate) fn describe_default(&mut self, key: &str, value: String) {
        let at = self
            .understood
            .partition_point(|row| row.key.as_str() < key);
        let row = Understood {
            key: key.to_owned(),
            value,
            source: Source::Default,
        };
        self.understood.insert(at, row);
    }

    /// Everything but errors and values, one line each: what a server logs as warnings at start.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let unknown = self.unknown.iter().map(|one| match &one.hint {
            Some(hint) => format!("{}: unknown key {}; {hint} was meant?", one.place, one.key),
            None => format!("{}: unknown key {}", one.place, one.key),
        });
        let ignored = self
            .without_effect
            .iter()
            .map(|one| format!("{}: {} has no effect: {}", one.place, one.key, one.reason));
        let later = self.not_built.iter().map(|one| {
            format!(
                "{}: {} is not built yet: {}",
                one.place, one.key, one.reason
            )
        });
        let notes = self.notes.iter().cloned();
        unknown.chain(ignored).chain(later).chain(notes).collect()
    }
}

/// Everything that keeps a configuration from being used, at once; exit code 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<Problem>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
