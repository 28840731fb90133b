//! What servers say of themselves: one JSON object a line on standard error.

use serde_json::Value;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A line of a log that names an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its kebab-case name: `proof-of-death`, `office-taken`, …
    pub name: String,
    /// Milliseconds of the wall clock since 1970.
    pub at_ms: f64,
    /// The whole line.
    pub line: Value,
}

impl Event {
    /// Reads a line; `None` when it names no event.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let line: Value = serde_json::from_str(line).ok()?;
        let name = field(&line, "event")?.as_str()?.to_owned();
        let stamp = field(&line, "timestamp")?.as_str()?;
        let at = OffsetDateTime::parse(stamp, &Rfc3339).ok()?;
        let at_ms = (at - OffsetDateTime::UNIX_EPOCH).as_seconds_f64() * 1000.0;
        Some(Self { name, at_ms, line })
    }

    /// A field, beside the event's name or under `fields`.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Value> {
        field(&self.line, name)
    }

    /// A field as a number.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        let value = self.field(name)?;
        value.as_u64().or_else(|| value.as_str()?.parse().ok())
    }

    /// A field as text.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        match self.field(name) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        }
    }
}

fn field<'a>(line: &'a Value, name: &str) -> Option<&'a Value> {
    line.get(name).or_else(|| line.get("fields")?.get(name))
}

/// The events of a log file from `since_ms` on.
#[must_use]
pub fn read(log: &Path, since_ms: f64) -> Vec<Event> {
    let text = fs::read_to_string(log).unwrap_or_default();
    text.lines()
        .filter_map(Event::parse)
        .filter(|event| event.at_ms >= since_ms)
        .collect()
}

/// The wall clock, in milliseconds since 1970, as events are stamped.
#[must_use]
pub fn now_ms() -> f64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    now.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_flat_and_nested_and_other_lines_are_passed_over() {
        let flat = r#"{"timestamp":"2023-11-14T22:13:20.123Z","event":"office-taken","epoch":7,"by":"proof"}"#;
        let event = Event::parse(flat).unwrap();
        assert_eq!(
            (event.name.as_str(), event.number("epoch")),
            ("office-taken", Some(7))
        );
        assert_eq!(event.text("by"), "proof");
        assert!((event.at_ms - 1_700_000_000_123.0).abs() < 0.01);
        let nested =
            r#"{"timestamp":"1970-01-01T00:00:01Z","fields":{"event":"listed","generation":"3"}}"#;
        let event = Event::parse(nested).unwrap();
        assert!((event.at_ms - 1000.0).abs() < 0.01);
        assert_eq!(event.number("generation"), Some(3));
        assert_eq!(Event::parse("starting"), None);
        assert_eq!(
            Event::parse(r#"{"timestamp":"1970-01-01T00:00:01Z","message":"hi"}"#),
            None
        );
    }
}
