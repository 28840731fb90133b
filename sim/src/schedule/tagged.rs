//! Tables whose kind and fields lie flat beside fields of their owner and what a later release
//! added: `{ at = "20s", kind = "pause", target = "s1", later = 1 }`.
//!
//! Serde's own `flatten` gives the fields of a kind to the catch-all map too, so that they would be
//! written twice. Here a kind is an enum of struct variants, tagged from outside; its derived code
//! tells which fields it knows, and what is left is the rest.

use super::model::Rest;
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer,
    MapAccess, VariantAccess, Visitor,
};
use serde::ser::Error as _;
use std::fmt;

/// Why a table cannot be read: names the key and what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Wrong(String);

impl serde::de::Error for Wrong {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self(text.to_string())
    }

    fn missing_field(field: &'static str) -> Self {
        Self(format!("`{field}` is missing"))
    }
}

/// Takes a field of this name out of a table.
pub(super) fn take<T: DeserializeOwned>(key: &str, table: &mut Rest) -> Result<Option<T>, Wrong> {
    let value = table.remove(key);
    value
        .map(|value| T::deserialize(value).map_err(|error| at_key(key, &error)))
        .transpose()
}

/// Takes a field that must be there.
pub(super) fn need<T: DeserializeOwned>(key: &'static str, table: &mut Rest) -> Result<T, Wrong> {
    take(key, table)?.ok_or_else(|| Wrong::missing_field(key))
}

/// Reads the kind that `tag` names, and its fields; gives what it does not know.
pub(super) fn read<T: DeserializeOwned>(
    tag: &'static str,
    table: Rest,
) -> Result<(T, Rest), Wrong> {
    let mut rest = Rest::new();
    let kind = T::deserialize(Tagged {
        tag,
        table,
        rest: &mut rest,
    })?;
    Ok((kind, rest))
}

/// Writes a kind and its fields into a table.
pub(super) fn write<T: serde::Serialize>(
    tag: &str,
    kind: &T,
    table: &mut Rest,
) -> Result<(), toml::ser::Error> {
    let value = toml::Value::try_from(kind)?;
    let toml::Value::Table(outer) = value else {
        return Err(toml::ser::Error::custom(
            "a kind is an enum of struct variants",
        ));
    };
    for (name, fields) in outer {
        table.insert(tag.to_owned(), toml::Value::String(name));
        if let toml::Value::Table(fields) = fields {
            table.extend(fields);
        }
    }
    Ok(())
}

/// Whether a field has its default value and need not be written.
pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Reads a whole table with a function, within the table's own deserializer, which so knows the
/// table's place when something is wrong.
pub(super) fn with<'de, T, D: Deserializer<'de>>(
    from: D,
    read: fn(Rest) -> Result<T, Wrong>,
) -> Result<T, D::Error> {
    struct Whole<T>(fn(Rest) -> Result<T, Wrong>);

    impl<'de, T> Visitor<'de> for Whole<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            let table = Rest::deserialize(MapAccessDeserializer::new(map))?;
            (self.0)(table).map_err(A::Error::custom)
        }
    }

    from.deserialize_map(Whole(read))
}

fn at_key(key: &str, error: &toml::de::Error) -> Wrong {
    Wrong(format!("`{key}`: {}", error.message()))
}

struct Tagged<'a> {
    tag: &'static str,
    table: Rest,
    rest: &'a mut Rest,
}

impl<'de> Deserializer<'de> for Tagged<'_> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Wrong> {
        Err(Wrong::custom("a kind is an enum"))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        mut self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let one_of = variants.join("`, `");
        let name: String = take(self.tag, &mut self.table)?.ok_or_else(|| {
            Wrong(format!(
                "`{}` is missing: expected one of `{one_of}`",
                self.tag
            ))
        })?;
        if !variants.contains(&name.as_str()) {
            return Err(Wrong(format!(
                "`{}`: `{name}` is not known: expected one of `{one_of}`",
                self.tag
            )));
        }
        visitor.visit_enum(Variant {
            name,
            table: self.table,
            rest: self.rest,
        })
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        option unit unit_struct newtype_struct seq tuple tuple_struct map struct identifier
        ignored_any
    }
}

struct Variant<'a> {
    name: String,
    table: Rest,
    rest: &'a mut Rest,
}

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = Wrong;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Wrong> {
        let name: StrDeserializer<'_, Wrong> = self.name.as_str().into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = Wrong;

    fn unit_variant(self) -> Result<(), Wrong> {
        *self.rest = self.table;
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _seed: T) -> Result<T::Value, Wrong> {
        Err(Wrong::custom("a kind has named fields"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, _visitor: V) -> Result<V::Value, Wrong> {
        Err(Wrong::custom("a kind has named fields"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let mut known = Vec::new();
        for (key, value) in self.table {
            if fields.contains(&key.as_str()) {
                known.push((key, value));
            } else {
                self.rest.insert(key, value);
            }
        }
        visitor.visit_map(Fields {
            left: known.into_iter(),
            next: None,
        })
    }
}

struct Fields {
    left: std::vec::IntoIter<(String, toml::Value)>,
    next: Option<(String, toml::Value)>,
}

impl<'de> MapAccess<'de> for Fields {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Wrong> {
        self.next = self.left.next();
        let Some((key, _)) = &self.next else {
            return Ok(None);
        };
        let key: StrDeserializer<'_, Wrong> = key.as_str().into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Wrong> {
        let Some((key, value)) = self.next.take() else {
            return Err(Wrong::custom("a value without a key"));
        };
        seed.deserialize(value)
            .map_err(|error| at_key(&key, &error))
    }
}
