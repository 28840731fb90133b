//! Settings of a context: body block, then query parameters, then defaults; the first that has a
//! setting wins (rest-api.md 4.3).

use super::request::Params;
use serde_json::{Map, Value};

/// The most parts of a dotted name: deeper values could not be written or dropped safely.
const DEPTH_MAX: usize = 32;
/// The most bytes of a context's settings: they travel in transactions of 256 KiB (W6).
const SETTINGS_BYTES_MAX: usize = 128 * 1024;

/// The engines of a context (design.md 8).
const ENGINES: [&str; 2] = ["spark", "process"];

/// The block `spark.context-settings` of a posted configuration.
pub(crate) fn block(body: &Map<String, Value>) -> Value {
    let block = body
        .get("spark")
        .and_then(|spark| spark.get("context-settings"));
    match block {
        Some(Value::Object(map)) => Value::Object(map.clone()),
        _ => Value::Object(Map::new()),
    }
}

/// Query parameters as settings: dotted names become nested keys.
///
/// # Errors
/// A name with too many parts, in words.
pub(crate) fn from_query(query: &Params) -> Result<Value, String> {
    let mut root = Map::new();
    for (name, value) in query.iter().filter(|(name, _)| *name != "_method") {
        let parts: Vec<&str> = name.split('.').collect();
        if parts.len() > DEPTH_MAX {
            let count = parts.len();
            return Err(format!(
                "a query parameter has a name of {count} parts: at most {DEPTH_MAX}"
            ));
        }
        insert(&mut root, &parts, value);
    }
    Ok(Value::Object(root))
}

fn insert(map: &mut Map<String, Value>, parts: &[&str], value: &str) {
    let Some((first, rest)) = parts.split_first() else {
        return;
    };
    if rest.is_empty() {
        map.insert((*first).to_owned(), Value::from(value));
        return;
    }
    let slot = map.entry(*first).or_insert(Value::Null);
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    if let Value::Object(inner) = slot {
        insert(inner, rest, value);
    }
}

/// The settings as JSON text, the first layer winning.
///
/// # Errors
/// Over the bound, or an engine that there is none of, in words.
pub(crate) fn merged(layers: [Value; 3]) -> Result<String, String> {
    let merged = layers.into_iter().rev().reduce(under).unwrap_or_default();
    let engine = merged.pointer("/doyen/engine").unwrap_or(&Value::Null);
    if !(engine.is_null() || ENGINES.iter().any(|known| engine == known)) {
        return Err(format!(
            "context setting doyen.engine is {engine}: it may be {}",
            ENGINES.join(" or ")
        ));
    }
    let text = merged.to_string();
    if text.len() > SETTINGS_BYTES_MAX {
        let length = text.len();
        return Err(format!(
            "context settings of {length} bytes are too large: at most {SETTINGS_BYTES_MAX}"
        ));
    }
    Ok(text)
}

/// `base` with what `over` has laid over it.
fn under(base: Value, over: Value) -> Value {
    match (base, over) {
        (Value::Object(mut base), Value::Object(over)) => {
            for (key, value) in over {
                let value = match base.remove(&key) {
                    Some(old) => under(old, value),
                    None => value,
                };
                base.insert(key, value);
            }
            Value::Object(base)
        }
        (_, over) => over,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_engine_that_there_is_none_of_is_named() {
        let query = from_query(&Params::parse("doyen.engine=steam")).unwrap();
        let error = merged([json!({}), query, json!({})]).unwrap_err();
        assert_eq!(
            error,
            "context setting doyen.engine is \"steam\": it may be spark or process"
        );
    }

    #[test]
    fn the_body_beats_the_url_and_the_url_beats_the_defaults() {
        let body = json!({"spark": {"context-settings": {"override_me": 3, "spark": {"a": 1}}}});
        let query = Params::parse("override_me=2&num-cpu-cores=4&spark.executor.cores=2");
        let defaults = json!({"num-cpu-cores": 1, "memory-per-node": "512m", "override_me": 1});
        let text = merged([
            block(body.as_object().unwrap()),
            from_query(&query).unwrap(),
            defaults,
        ]);
        let merged: Value = serde_json::from_str(&text.unwrap()).unwrap();
        assert_eq!(
            merged,
            json!({"override_me": 3, "num-cpu-cores": "4", "memory-per-node": "512m",
                   "spark": {"a": 1, "executor": {"cores": "2"}}})
        );
    }

    #[test]
    fn names_of_endless_parts_and_endless_settings_are_refused() {
        let query = Params::parse(&format!("a{}=1", ".a".repeat(30_000)));
        assert!(from_query(&query).unwrap_err().contains("30001 parts"));
        let large = json!({"a": "x".repeat(SETTINGS_BYTES_MAX)});
        assert!(merged([large, Value::Null, Value::Null]).is_err());
    }
}
