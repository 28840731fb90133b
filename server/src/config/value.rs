//! Resolved configuration: values that know where they were written.

use super::fault::Origin;
use hocon::{ScalarType, ScalarValue};
use serde_json::{Map, Number, Value};
use std::collections::BTreeMap;

/// A value and the place where it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Located {
    /// The value.
    pub tree: Tree,
    /// Where.
    pub origin: Origin,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    /// A text, number, boolean or null, as it was written.
    Scalar(ScalarValue),
    /// A list.
    List(Vec<Located>),
    /// An object.
    Map(BTreeMap<String, Located>),
}

impl Located {
    /// The value at a path of this object.
    #[must_use]
    pub fn get(&self, path: &[&str]) -> Option<&Self> {
        let Some((head, rest)) = path.split_first() else {
            return Some(self);
        };
        match &self.tree {
            Tree::Map(map) => map.get(*head)?.get(rest),
            Tree::Scalar(_) | Tree::List(_) => None,
        }
    }

    /// The text of a scalar; `None` for null, lists and objects.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.tree {
            Tree::Scalar(scalar) if scalar.value_type != ScalarType::Null => Some(&scalar.raw),
            Tree::Scalar(_) | Tree::List(_) | Tree::Map(_) => None,
        }
    }

    /// Whether this is `null`, which counts as absent.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(&self.tree, Tree::Scalar(scalar) if scalar.value_type == ScalarType::Null)
    }

    /// How deep lists and objects lie in each other.
    #[must_use]
    pub fn depth(&self) -> usize {
        match &self.tree {
            Tree::Scalar(_) => 0,
            Tree::List(items) => 1 + items.iter().map(Self::depth).max().unwrap_or(0),
            Tree::Map(map) => 1 + map.values().map(Self::depth).max().unwrap_or(0),
        }
    }

    /// The same value as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match &self.tree {
            Tree::Scalar(scalar) => scalar_to_json(scalar),
            Tree::List(items) => Value::Array(items.iter().map(Self::to_json).collect()),
            Tree::Map(map) => Value::Object(
                map.iter()
                    .map(|(key, value)| (key.clone(), value.to_json()))
                    .collect::<Map<_, _>>(),
            ),
        }
    }

    /// How a message shows this value: as it was written, cut at 60 characters.
    #[must_use]
    pub fn shown(&self) -> String {
        let full = match &self.tree {
            Tree::Scalar(scalar) => scalar.raw.clone(),
            Tree::List(_) | Tree::Map(_) => self.to_json().to_string(),
        };
        if full.chars().count() <= 60 {
            full
        } else {
            full.chars().take(59).chain(['…']).collect()
        }
    }
}

fn scalar_to_json(scalar: &ScalarValue) -> Value {
    let text = || Value::String(scalar.raw.clone());
    match scalar.value_type {
        ScalarType::Null => Value::Null,
        ScalarType::Boolean => Value::Bool(scalar.raw == "true"),
        ScalarType::Number => number(&scalar.raw).map_or_else(text, Value::Number),
        _ => text(),
    }
}

fn number(raw: &str) -> Option<Number> {
    if let Ok(whole) = raw.parse::<i64>() {
        return Some(whole.into());
    }
    if let Ok(whole) = raw.parse::<u64>() {
        return Some(whole.into());
    }
    Number::from_f64(raw.parse().ok()?)
}

/// Lays `top` over `below`: objects are merged, anything else hides what lies below.
#[must_use]
pub(crate) fn merge(below: Located, top: Located) -> Located {
    match (below.tree, top.tree) {
        (Tree::Map(mut under), Tree::Map(over)) => {
            for (key, value) in over {
                let merged = match under.remove(&key) {
                    Some(old) => merge(old, value),
                    None => value,
                };
                under.insert(key, merged);
            }
            Located {
                tree: Tree::Map(under),
                origin: top.origin,
            }
        }
        (_, tree) => Located {
            tree,
            origin: top.origin,
        },
    }
}
