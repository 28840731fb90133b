//! What a configuration says for each key of the table, with sources and everything wrong at once.

use super::hocon_guard::Document;
use super::key::{Effect, KeyDoc, Kind, Typed};
use super::keys::{all, nearest, row};
use super::report::{Aside, Problem, Report, Understood, Unknown};
use super::value::{Located, Tree};
use doyen_core::identity::Address;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Unknown keys that get a hint; a file with more of them is not a misspelt one.
const HINTS_MAX: usize = 100;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "from", content = "place")]
pub enum Source {
    /// It is the default.
    Default,
    /// A file, as `FILE:LINE:COLUMN`.
    File(String),
    /// `--set` of the command line.
    #[serde(rename = "command line")]
    CommandLine(String),
}

impl Source {
    fn of(place: String) -> Self {
        if place.starts_with("--") {
            Self::CommandLine(place)
        } else {
            Self::File(place)
        }
    }

    /// The place, unless the value is the default.
    #[must_use]
    pub fn place(&self) -> Option<&str> {
        match self {
            Self::Default => None,
            Self::File(place) | Self::CommandLine(place) => Some(place),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(place) => f.write_str(place),
            Self::CommandLine(_) => f.write_str("command line"),
        }
    }
}

/// One value with its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) typed: Option<Typed>,
    pub(crate) source: Source,
}

/// A value for every key that is used. The getters know the table: asking for a key that it has
/// not, or by another kind, is a mistake in the program that any test of the defaults finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Values(BTreeMap<&'static str, Setting>);

impl Values {
    /// Reads all keys; what is wrong goes to the report, and the default stands in for it.
    pub(crate) fn read(document: Option<&Document>, report: &mut Report) -> Self {
        let mut map = BTreeMap::new();
        for row in all().filter(|row| row.effect == Effect::Used) {
            let path: Vec<&str> = row.key.split('.').collect();
            let given = document.and_then(|document| {
                let value = document.root.get(&path).filter(|value| !value.is_null())?;
                Some((value, document.sources.place(value.origin)))
            });
            let mut setting = Setting {
                typed: row.default.map(|text| default(row, text)),
                source: Source::Default,
            };
            if let Some((value, place)) = given {
                match row.read(value) {
                    Ok(typed) => {
                        setting.typed = Some(typed);
                        setting.source = Source::of(place);
                    }
                    Err(expected) => report.errors.push(Problem {
                        place: Some(place),
                        key: Some(row.key.to_owned()),
                        message: format!("found `{}`, expected {expected}", value.shown()),
                    }),
                }
            }
            map.insert(row.key, setting);
        }
        let values = Self(map);
        values.describe(report);
        if let Some(document) = document {
            asides(document, &document.root, &mut Vec::new(), report);
        }
        values
    }

    fn describe(&self, report: &mut Report) {
        for (key, setting) in &self.0 {
            if let Some(typed) = &setting.typed {
                report.understood.push(Understood {
                    key: (*key).to_owned(),
                    value: typed.shown(),
                    source: setting.source.clone(),
                });
            }
        }
    }

    fn setting(&self, key: &str) -> &Setting {
        self.0
            .get(key)
            .unwrap_or_else(|| panic!("{key} is not in the table of keys"))
    }

    /// Where the value of a key comes from.
    pub(crate) fn source(&self, key: &str) -> &Source {
        &self.setting(key).source
    }

    /// All sources, by key.
    pub(crate) fn sources(&self) -> BTreeMap<&'static str, Source> {
        let one = |(key, setting): (&&'static str, &Setting)| (*key, setting.source.clone());
        self.0.iter().map(one).collect()
    }

    pub(crate) fn maybe_text(&self, key: &str) -> Option<String> {
        match &self.setting(key).typed {
            Some(Typed::Text(text)) => Some(text.clone()),
            None => None,
            other => mistake(key, other.as_ref()),
        }
    }

    pub(crate) fn text(&self, key: &str) -> String {
        self.maybe_text(key).unwrap_or_else(|| mistake(key, None))
    }

    pub(crate) fn switch(&self, key: &str) -> bool {
        match &self.setting(key).typed {
            Some(Typed::Switch(on)) => *on,
            other => mistake(key, other.as_ref()),
        }
    }

    pub(crate) fn whole(&self, key: &str) -> u64 {
        match &self.setting(key).typed {
            Some(Typed::Whole(number)) => *number,
            other => mistake(key, other.as_ref()),
        }
    }

    pub(crate) fn port(&self, key: &str) -> u16 {
        u16::try_from(self.whole(key)).unwrap_or_else(|_| mistake(key, None))
    }

    pub(crate) fn size(&self, key: &str) -> u64 {
        match &self.setting(key).typed {
            Some(Typed::Size(bytes)) => *bytes,
            other => mistake(key, other.as_ref()),
        }
    }

    /// A time; `None` for absent and for the word that stands for none.
    pub(crate) fn maybe_time(&self, key: &str) -> Option<Duration> {
        match &self.setting(key).typed {
            Some(Typed::Duration(time)) => *time,
            None => None,
            other => mistake(key, other.as_ref()),
        }
    }

    pub(crate) fn time(&self, key: &str) -> Duration {
        self.maybe_time(key).unwrap_or_else(|| mistake(key, None))
    }

    pub(crate) fn addresses(&self, key: &str) -> Vec<Address> {
        match &self.setting(key).typed {
            Some(Typed::Addresses(list)) => list.clone(),
            other => mistake(key, other.as_ref()),
        }
    }

    pub(crate) fn json(&self, key: &str) -> Value {
        match &self.setting(key).typed {
            Some(Typed::Json(value)) => value.clone(),
            other => mistake(key, other.as_ref()),
        }
    }
}

fn mistake<T>(key: &str, found: Option<&Typed>) -> T {
    panic!("{key} was asked for by another kind than the table of keys has: {found:?}")
}

fn default(row: &KeyDoc, text: &str) -> Typed {
    let located = super::hocon_guard::parse_value(text);
    row.read(&located)
        .unwrap_or_else(|expected| panic!("the default of {} is not {expected}", row.key))
}

/// Goes through everything written and names what is unknown or without effect.
fn asides(document: &Document, at: &Located, path: &mut Vec<String>, report: &mut Report) {
    let joined = path.join(".");
    let exact = all().find(|row| row.key == joined);
    if let (Tree::Map(map), None) = (&at.tree, exact) {
        for (key, value) in map {
            path.push(key.clone());
            asides(document, value, path, report);
            path.pop();
        }
        return;
    }
    let place = document.sources.place(at.origin);
    let aside = |reason: &str| Aside {
        key: joined.clone(),
        place: place.clone(),
        reason: reason.to_owned(),
    };
    match row(&joined) {
        Some(found) if found.kind == Kind::Object && found.effect == Effect::Used => {}
        Some(found) => match found.effect {
            Effect::Used => {}
            Effect::None(reason) => report.without_effect.push(aside(reason)),
            Effect::NotYet(reason) => report.not_built.push(aside(reason)),
        },
        None => report.unknown.push(Unknown {
            hint: (report.unknown.len() < HINTS_MAX)
                .then(|| nearest(&joined))
                .flatten()
                .map(str::to_owned),
            key: joined,
            place,
        }),
    }
}
