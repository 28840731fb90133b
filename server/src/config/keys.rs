//! The table of keys. What reads the configuration works from it, and `doyen config keys` prints
//! it, so that the two cannot differ.

mod akka;
mod doyen;
mod spark;

use super::key::Effect::Used;
use super::key::{Effect, KeyDoc, Kind};

const fn key(
    key: &'static str,
    kind: Kind,
    default: &'static str,
    meaning: &'static str,
    spec: &'static str,
) -> KeyDoc {
    let default = if default.is_empty() {
        None
    } else {
        Some(default)
    };
    KeyDoc {
        key,
        kind,
        default,
        effect: Used,
        meaning,
        spec,
    }
}

const fn other(key: &'static str, effect: Effect, spec: &'static str) -> KeyDoc {
    KeyDoc {
        key,
        kind: Kind::Any,
        default: None,
        effect,
        meaning: "",
        spec,
    }
}

/// Every key that is known.
pub(super) fn all() -> impl Iterator<Item = &'static KeyDoc> {
    spark::KEYS.iter().chain(akka::KEYS).chain(doyen::KEYS)
}

/// Every key that is understood.
#[must_use]
pub fn key_table() -> Vec<KeyDoc> {
    all().copied().collect()
}

/// The row that a path of the configuration falls under: itself, or the nearest `…*` above it.
#[must_use]
pub fn row(path: &str) -> Option<&'static KeyDoc> {
    all().find(|row| row.key == path).or_else(|| {
        all()
            .filter(|row| {
                let prefix = match row.kind {
                    Kind::Object => Some(row.key),
                    _ => row.key.strip_suffix(".*"),
                };
                prefix
                    .and_then(|prefix| path.strip_prefix(prefix))
                    .is_some_and(|rest| rest.starts_with('.'))
            })
            .max_by_key(|row| row.key.len())
    })
}

/// A known key that differs by more characters was not meant.
const DISTANCE_MAX: usize = 3;

/// The known key that an unknown one was most likely meant to be.
#[must_use]
pub fn nearest(path: &str) -> Option<&'static str> {
    let longest = all().map(|row| row.key.len()).max().unwrap_or_default();
    if path.len() > longest + DISTANCE_MAX {
        return None;
    }
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    all()
        .filter(|row| row.effect == Used)
        .map(|row| {
            let whole = distance(path, row.key);
            // A right name in a wrong place is a likely mistake too.
            let name = distance(&last(path), &last(row.key)) + 2;
            (whole.min(name), row.key)
        })
        .min_by_key(|(distance, key)| (*distance, *key))
        .filter(|(distance, _)| *distance <= DISTANCE_MAX)
        .map(|(_, key)| key)
}

/// How many characters must be changed, added or removed (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (to, cell) in b.iter().zip(row.iter_mut().skip(1)) {
            let change = diagonal + usize::from(from != *to);
            diagonal = *cell;
            *cell = change.min(diagonal + 1).min(left + 1);
            left = *cell;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_key_is_there_once_and_says_what_it_is_for() {
        let keys: BTreeSet<_> = all().map(|row| row.key).collect();
        assert_eq!(keys.len(), all().count());
        for row in all() {
            assert!(row.effect != Used || !row.meaning.is_empty(), "{}", row.key);
            assert!(!row.spec.is_empty(), "{}", row.key);
        }
    }

    #[test]
    fn misspelt_keys_find_their_neighbour() {
        for (wrong, right) in [
            ("spark.jobserver.prot", Some("spark.jobserver.port")),
            (
                "custom-downing.stable-afer",
                Some("custom-downing.stable-after"),
            ),
            (
                "spark.jobserver.masters",
                Some("spark.jobserver.ha.masters"),
            ),
            ("doyen.data_dir", Some("doyen.data-dir")),
            ("nothing.like.this.at.all", None),
        ] {
            assert_eq!(nearest(wrong), right, "{wrong}");
        }
    }

    #[test]
    fn the_longest_prefix_wins() {
        assert_eq!(row("akka.http.server.x").unwrap().key, "akka.*");
        assert_eq!(
            row("spark.jobserver.sqldao.jdbc.url").unwrap().key,
            "spark.jobserver.sqldao.*"
        );
        assert!(row("spark.jobserver.prot").is_none());
    }
}
