//! How a schedule is written: `format` first, what has many elements one a line, so that people can
//! edit and diff it.

use super::model::Schedule;
use toml::Value;

/// The order of the keys that have one; others follow by name.
const ORDER: &[&str] = &[
    "format",
    "rules",
    "name",
    "story",
    "expect",
    "catches",
    "seed",
    "seeds",
    "start",
    "seed-list",
    "store",
    "settings",
    "phases",
    "heal",
    "end",
    "servers",
    "workload",
    "faults",
    "at",
    "until",
    "of",
    "ask",
    "kind",
    "target",
    "topology",
    "context",
    "job",
    "lasts",
    "sync",
    "fails",
    "key",
    "act",
    "nth",
    "what",
    "how",
    "from",
    "to",
    "targets",
    "refuses",
    "period",
    "cut",
    "step",
    "latency",
    "jitter",
    "loss",
    "burst",
    "duplicate",
    "reorder",
    "every",
    "drivers",
    "ppm",
    "by",
    "suspended",
    "millis",
    "permille",
];

/// Elements of these stand one a line.
const LISTS: &[&str] = &["servers", "workload", "faults"];
/// Fields of these are written as `phases.heal = …`.
const DOTTED: &[&str] = &["phases", "settings", "seeds"];

/// The text of a schedule.
pub(super) fn write(schedule: &Schedule) -> Result<String, toml::ser::Error> {
    let Value::Table(table) = Value::try_from(schedule)? else {
        return Ok(String::new());
    };
    let mut text = String::new();
    for (key, value) in ordered(&table) {
        match value {
            Value::String(story) if key == "story" => push(&mut text, key, &multi_line(story)),
            Value::Array(elements) if LISTS.contains(&key) && !elements.is_empty() => {
                text.push_str(key);
                text.push_str(" = [\n");
                for element in elements {
                    text.push_str("  ");
                    inline(&mut text, element);
                    text.push_str(",\n");
                }
                text.push_str("]\n");
            }
            Value::Table(fields) if DOTTED.contains(&key) => {
                for (name, value) in ordered(fields) {
                    let mut path = format!("{key}.");
                    push_key(&mut path, name);
                    push(&mut text, &path, &inlined(value));
                }
            }
            _ => {
                let mut name = String::new();
                push_key(&mut name, key);
                push(&mut text, &name, &inlined(value));
            }
        }
    }
    Ok(text)
}

fn push(text: &mut String, key: &str, value: &str) {
    text.push_str(key);
    text.push_str(" = ");
    text.push_str(value);
    text.push('\n');
}

fn ordered(table: &toml::Table) -> Vec<(&str, &Value)> {
    let place = |key: &str| ORDER.iter().position(|k| *k == key).unwrap_or(ORDER.len());
    let mut fields: Vec<_> = table
        .iter()
        .map(|(key, value)| (key.as_str(), value))
        .collect();
    fields.sort_by_key(|(key, _)| (place(key), *key));
    fields
}

fn inlined(value: &Value) -> String {
    let mut text = String::new();
    inline(&mut text, value);
    text
}

fn inline(text: &mut String, value: &Value) {
    match value {
        Value::String(string) => quote(text, string),
        Value::Array(elements) => {
            text.push('[');
            for (index, element) in elements.iter().enumerate() {
                if index > 0 {
                    text.push_str(", ");
                }
                inline(text, element);
            }
            text.push(']');
        }
        Value::Table(table) if table.is_empty() => text.push_str("{}"),
        Value::Table(table) if date(table).is_some() => {
            text.push_str(date(table).unwrap_or_default());
        }
        Value::Table(table) => {
            let mut before = "{ ";
            // The name of a server leads its line.
            let (name, others): (Vec<_>, Vec<_>) = ordered(table)
                .into_iter()
                .partition(|(key, _)| *key == "name");
            for (key, value) in name.into_iter().chain(others) {
                text.push_str(before);
                push_key(text, key);
                text.push_str(" = ");
                inline(text, value);
                before = ", ";
            }
            text.push_str(" }");
        }
        Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {
            text.push_str(&value.to_string());
        }
    }
}

/// A date that serde's `flatten` took for a table.
fn date(table: &toml::Table) -> Option<&str> {
    let text = table.get("$__toml_private_datetime")?.as_str()?;
    let is_date = table.len() == 1 && text.parse::<toml::value::Datetime>().is_ok();
    is_date.then_some(text)
}

fn push_key(text: &mut String, key: &str) {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !key.is_empty() && key.chars().all(is_bare) {
        text.push_str(key);
    } else {
        quote(text, key);
    }
}

fn quote(text: &mut String, string: &str) {
    text.push('"');
    for c in string.chars() {
        match c {
            '\n' => text.push_str("\\n"),
            '"' => text.push_str("\\\""),
            c => escape(text, c),
        }
    }
    text.push('"');
}

fn multi_line(string: &str) -> String {
    let mut text = "\"\"\"\n".to_owned();
    let mut quotes = 0;
    for c in string.chars() {
        quotes = if c == '"' { quotes + 1 } else { 0 };
        match c {
            '\n' => text.push('\n'),
            // Three in a row would end it.
            '"' if quotes == 3 => {
                text.push_str("\\\"");
                quotes = 0;
            }
            '"' => text.push('"'),
            c => escape(&mut text, c),
        }
    }
    if quotes > 0 {
        text.pop();
        text.push_str("\\\"");
    }
    text.push_str("\"\"\"");
    text
}

fn escape(text: &mut String, c: char) {
    match c {
        '\\' => text.push_str("\\\\"),
        '\t' => text.push_str("\\t"),
        '\r' => text.push_str("\\r"),
        c if c.is_control() => {
            let code = u32::from(c);
            text.push_str(&format!("\\u{code:04x}"));
        }
        c => text.push(c),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "only tests use it")]
mod tests {
    use super::*;

    #[test]
    fn strings_are_read_as_they_were() {
        for string in [
            "",
            "plain",
            "a \"quoted\" word",
            "back\\slash \u{7f} \u{1} tab\t",
            "many\nlines\n",
            "\n\nends with quotes \"\"\"",
            "\"\"\"\"\"\"",
            "é ∞ 🚆\r\n",
            "trailing \"",
        ] {
            for text in [multi_line(string), inlined(&string.into())] {
                let read: toml::Table = format!("x = {text}").parse().unwrap();
                assert_eq!(read["x"].as_str(), Some(string), "{text}");
            }
        }
    }
}
