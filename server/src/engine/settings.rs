//! A context's settings: JSON, nested or with dotted keys.

use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The settings of a context.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings(Map<String, Value>);

impl Settings {
    /// Reads the settings of a context record.
    ///
    /// # Errors
    /// What the text is instead of a JSON object.
    pub fn parse(text: &str) -> Result<Self, String> {
        match serde_json::from_str(text) {
            Ok(Value::Object(map)) => Ok(Self(map)),
            Ok(_) => Err("the settings of the context are no JSON object".into()),
            Err(e) => Err(format!("the settings of the context are no JSON: {e}")),
        }
    }

    /// The value at a dotted path, whichever way its keys were written.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Value> {
        find(&self.0, path)
    }

    /// The text at a dotted path; numbers and booleans as they print.
    #[must_use]
    pub fn text(&self, path: &str) -> Option<String> {
        self.get(path).and_then(text_of)
    }

    /// Whether the value at a path is `true`, or a word that HOCON takes for it.
    #[must_use]
    pub fn flag(&self, path: &str) -> bool {
        self.text(path)
            .is_some_and(|text| matches!(text.as_str(), "true" | "yes" | "on"))
    }

    /// The list of texts at a path; one text is a list of one.
    #[must_use]
    pub fn texts(&self, path: &str) -> Vec<String> {
        match self.get(path) {
            Some(Value::Array(items)) => items.iter().filter_map(text_of).collect(),
            Some(other) => text_of(other).into_iter().collect(),
            None => Vec::new(),
        }
    }

    /// Every text under a path, by its dotted path below it.
    #[must_use]
    pub fn below(&self, path: &str) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        flatten(&self.0, "", &mut all);
        let prefix = format!("{path}.");
        all.into_iter()
            .filter_map(|(key, value)| Some((key.strip_prefix(&prefix)?.to_owned(), value)))
            .collect()
    }
}

fn find<'a>(map: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    if let Some(value) = map.get(path) {
        return Some(value);
    }
    path.match_indices('.').find_map(|(at, _)| {
        let inner = map.get(path.get(..at)?)?.as_object()?;
        find(inner, path.get(at + 1..)?)
    })
}

fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn flatten(map: &Map<String, Value>, prefix: &str, into: &mut BTreeMap<String, String>) {
    for (key, value) in map {
        let path = if prefix.is_empty() {
            key.clone()
        } else {
            format!("{prefix}.{key}")
        };
        match value {
            Value::Object(inner) => flatten(inner, &path, into),
            Value::Array(items) => {
                let texts: Vec<String> = items.iter().filter_map(text_of).collect();
                into.insert(path, texts.join(","));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                into.extend(text_of(value).map(|text| (path, text)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_and_dotted_keys_are_found_alike() {
        for text in [
            r#"{"spark":{"executor":{"memory":"1g"}}}"#,
            r#"{"spark.executor.memory":"1g"}"#,
            r#"{"spark":{"executor.memory":"1g"}}"#,
            r#"{"spark.executor":{"memory":"1g"}}"#,
        ] {
            let settings = Settings::parse(text).unwrap();
            assert_eq!(
                settings.text("spark.executor.memory").as_deref(),
                Some("1g")
            );
            assert_eq!(settings.below("spark")["executor.memory"], "1g");
        }
    }

    #[test]
    fn numbers_and_flags_are_texts_to_spark() {
        let settings =
            Settings::parse(r#"{"num-cpu-cores":2,"doyen":{"validate":true},"p":["a","b"]}"#)
                .unwrap();
        assert_eq!(settings.text("num-cpu-cores").as_deref(), Some("2"));
        assert!(settings.flag("doyen.validate") && !settings.flag("absent"));
        assert_eq!(settings.texts("p"), ["a", "b"]);
    }

    #[test]
    fn what_are_no_settings_is_said() {
        assert!(
            Settings::parse("[]")
                .unwrap_err()
                .contains("no JSON object")
        );
        assert!(Settings::parse("{").unwrap_err().contains("no JSON:"));
    }
}
