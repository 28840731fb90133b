//! One key of the configuration: what it is called, what it takes, what becomes of it.

use super::units::{duration, show_duration, show_size, size, switch};
use super::value::{Located, Tree};
use doyen_core::identity::Address;
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;

/// What a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text, number or boolean.
    Text,
    /// A text that is not empty.
    Name,
    /// A path of a file or folder.
    Path,
    /// The name of a Java class.
    Class,
    /// `true` or `false`.
    Switch,
    /// A whole number from the first to the second.
    Whole(u64, u64),
    /// A TCP port, 0 included.
    Port,
    /// A time, more than nothing.
    Duration,
    /// A time, or this word for none.
    DurationOr(&'static str),
    /// A number of bytes.
    Size,
    /// A list of `HOST:PORT`.
    Addresses,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// An object, kept as it is.
    Object,
    /// Anything: the key is not read.
    Any,
}

impl Kind {
    /// What is expected, for people.
    #[must_use]
    pub fn expected(self) -> String {
        match self {
            Self::Text => "a text".to_owned(),
            Self::Name => "a text that is not empty".to_owned(),
            Self::Path => "a path".to_owned(),
            Self::Class => "a class name".to_owned(),
            Self::Switch => "true or false".to_owned(),
            Self::Whole(low, u64::MAX) => format!("a whole number from {low}"),
            Self::Whole(low, high) => format!("a whole number from {low} to {high}"),
            Self::Port => "a port, 0 to 65535".to_owned(),
            Self::Duration => {
                "a time above 0, e.g. 20s, 500 ms, 1 minute; no unit: milliseconds".to_owned()
            }
            Self::DurationOr(word) => format!("a time, e.g. 20s, 500 ms, or {word}"),
            Self::Size => "a size, e.g. 30m, 512k, 10 MB; no unit: bytes".to_owned(),
            Self::Addresses => "a list of HOST:PORT, e.g. [\"10.0.0.11:2552\"]".to_owned(),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::Object => "an object".to_owned(),
            Self::Any => "anything".to_owned(),
        }
    }
}

/// What becomes of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It is carried out.
    Used,
    /// It is read and ignored, for this reason.
    None(&'static str),
    /// It will have an effect in a later release; reported.
    NotYet(&'static str),
}

/// One row of the table of keys.
#[derive(Clone, Copy, Debug)]
pub struct KeyDoc {
    /// Its path; `*` at the end stands for anything below.
    pub key: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// Its default, as HOCON; `None` when absent has a meaning of its own.
    pub default: Option<&'static str>,
    /// What becomes of it.
    pub effect: Effect,
    /// What it means.
    pub meaning: &'static str,
    /// Where it is specified.
    pub spec: &'static str,
}

/// A value that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Typed {
    /// A text, class name or path.
    Text(String),
    /// A switch.
    Switch(bool),
    /// A whole number or port.
    Whole(u64),
    /// A time; `None` for the word that stands for none.
    Duration(Option<Duration>),
    /// Bytes.
    Size(u64),
    /// Addresses.
    Addresses(Vec<Address>),
    /// An object or anything.
    Json(Value),
}

impl Typed {
    /// The value for people, as the configuration would write it.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Switch(on) => on.to_string(),
            Self::Whole(number) => number.to_string(),
            Self::Duration(Some(time)) => show_duration(*time),
            Self::Duration(None) => "off".to_owned(),
            Self::Size(bytes) => show_size(*bytes),
            Self::Addresses(list) if list.is_empty() => "(none)".to_owned(),
            Self::Addresses(list) => list
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", "),
            Self::Json(value) => value.to_string(),
        }
    }
}

impl KeyDoc {
    /// Reads a value of this kind.
    ///
    /// # Errors
    /// What was expected, for people.
    pub fn read(&self, value: &Located) -> Result<Typed, String> {
        let text = value.text();
        let typed = match self.kind {
            Kind::Text | Kind::Path | Kind::Class => text.map(|text| Typed::Text(text.to_owned())),
            Kind::Name => text
                .filter(|text| !text.trim().is_empty())
                .map(|text| Typed::Text(text.to_owned())),
            Kind::Switch => text.and_then(switch).map(Typed::Switch),
            Kind::Whole(low, high) => whole(text, low, high),
            Kind::Port => whole(text, 0, u64::from(u16::MAX)),
            Kind::Duration => text
                .and_then(duration)
                .filter(|time| !time.is_zero())
                .map(|time| Typed::Duration(Some(time))),
            Kind::DurationOr(word) if text == Some(word) => Some(Typed::Duration(None)),
            Kind::DurationOr(_) => text
                .and_then(duration)
                .map(|time| Typed::Duration(Some(time))),
            Kind::Size => text.and_then(size).map(Typed::Size),
            Kind::Addresses => return addresses(value),
            Kind::Choice(words) => text
                .filter(|text| words.contains(text))
                .map(|text| Typed::Text(text.to_owned())),
            Kind::Object => {
                matches!(value.tree, Tree::Map(_)).then(|| Typed::Json(value.to_json()))
            }
            Kind::Any => Some(Typed::Json(value.to_json())),
        };
        typed.ok_or_else(|| self.kind.expected())
    }
}

fn whole(text: Option<&str>, low: u64, high: u64) -> Option<Typed> {
    let number: u64 = text?.parse().ok()?;
    (low..=high)
        .contains(&number)
        .then_some(Typed::Whole(number))
}

fn texts(value: &Located) -> Option<Vec<String>> {
    match &value.tree {
        Tree::List(items) => items
            .iter()
            .map(|item| item.text().map(str::to_owned))
            .collect(),
        Tree::Scalar(_) => Some(
            value
                .text()?
                .split(',')
                .map(|part| part.trim().to_owned())
                .filter(|part| !part.is_empty())
                .collect(),
        ),
        Tree::Map(_) => None,
    }
}

fn addresses(value: &Located) -> Result<Typed, String> {
    let expected = || Kind::Addresses.expected();
    let mut list = Vec::new();
    for text in texts(value).ok_or_else(expected)? {
        if text.contains('<') && text.contains('>') {
            return Err(format!(
                "HOST:PORT; `{text}` is a placeholder of the documentation: write the real one"
            ));
        }
        let address: Address = text
            .parse()
            .map_err(|_| format!("{}; `{text}` is none", expected()))?;
        if address.port() == 0 {
            return Err(format!("ports from 1 to 65535; `{text}` has none"));
        }
        list.push(address);
    }
    Ok(Typed::Addresses(list))
}

#[derive(Serialize)]
struct Row<'a> {
    key: &'a str,
    takes: String,
    default: Option<&'a str>,
    effect: &'a str,
    reason: Option<&'a str>,
    meaning: &'a str,
    spec: &'a str,
}

impl KeyDoc {
    /// The row as JSON, for programs and for the book.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let (effect, reason) = match self.effect {
            Effect::Used => ("used", None),
            Effect::None(reason) => ("none", Some(reason)),
            Effect::NotYet(reason) => ("not-yet", Some(reason)),
        };
        serde_json::json!(Row {
            key: self.key,
            takes: self.kind.expected(),
            default: self.default,
            effect,
            reason,
            meaning: self.meaning,
            spec: self.spec,
        })
    }
}
