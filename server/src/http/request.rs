//! A request as the handlers see it: path and query decoded once, parameters typed.

use super::reply::{self, Failure};
use axum::http::{HeaderMap, Method, Uri};
use percent_encoding::percent_decode_str;
use std::time::Duration;

/// A request but for its body, taken apart.
pub(crate) struct Asked {
    /// The method, after `_method` (rest-api.md 1.4).
    pub(crate) method: Method,
    /// As it came, for digests and the `Location` header.
    pub(crate) uri: Uri,
    /// The parts of the path, each percent-decoded once; without a last empty one.
    pub(crate) segments: Vec<String>,
    /// The query's parameters, in order.
    pub(crate) query: Params,
    /// The headers.
    pub(crate) headers: HeaderMap,
}

/// Query parameters in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Reads a query string; `+` is a space.
    pub(crate) fn parse(query: &str) -> Self {
        let decode = |part: &str| {
            percent_decode_str(&part.replace('+', " "))
                .decode_utf8_lossy()
                .into_owned()
        };
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(name, value)| (decode(name), decode(value)))
                .collect(),
        )
    }

    /// The first value of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find_map(|(key, value)| (key == name).then_some(value))
    }

    /// All parameters, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// A boolean parameter (rest-api.md 1.6).
    pub(crate) fn boolean(&self, name: &str) -> Result<Option<bool>, Failure> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Ok(Some(true)),
            "false" | "no" | "off" | "0" => Ok(Some(false)),
            _ => {
                let reason = format!("'{text}' is not a valid Boolean value");
                Err(reply::bad_parameter(name, &reason).into())
            }
        }
    }

    /// A parameter that is a 32-bit number.
    pub(crate) fn integer(&self, name: &str) -> Result<Option<i32>, Failure> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|_| {
            let reason = format!("'{text}' is not a valid 32-bit signed integer value");
            reply::bad_parameter(name, &reason).into()
        })
    }

    /// A parameter in seconds; a negative one counts as none at all.
    pub(crate) fn seconds(&self, name: &str) -> Result<Option<Duration>, Failure> {
        let seconds = self.integer(name)?;
        Ok(seconds.map(|s| Duration::from_secs(u64::try_from(s).unwrap_or(0))))
    }
}

/// The parts of a path, each percent-decoded once, so that `%2F` is a slash inside a name (1.7).
pub(crate) fn segments(path: &str) -> Vec<String> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let mut parts: Vec<String> = path
        .split('/')
        .map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned())
        .collect();
    if parts.last().is_some_and(String::is_empty) {
        parts.pop();
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_decoded_once_and_its_dots_are_names() {
        for (path, parts) in [
            ("/contexts", vec!["contexts"]),
            ("/contexts/", vec!["contexts"]),
            ("/binaries/a%2Fb", vec!["binaries", "a/b"]),
            ("/binaries/..", vec!["binaries", ".."]),
            ("/binaries/%252F", vec!["binaries", "%2F"]),
            ("/contexts/%C3%BC1", vec!["contexts", "ü1"]),
            ("/", vec![]),
        ] {
            assert_eq!(segments(path), parts, "{path}");
        }
    }

    #[test]
    fn parameters_are_typed_and_a_bad_one_is_named() {
        let params = Params::parse("sync=Yes&limit=5&a=b+c%2Cd&timeout=-1&bad=x&flag");
        assert_eq!(params.boolean("sync").unwrap(), Some(true));
        assert_eq!(params.integer("limit").unwrap(), Some(5));
        assert_eq!(params.get("a"), Some("b c,d"));
        assert_eq!(params.seconds("timeout").unwrap(), Some(Duration::ZERO));
        assert_eq!(params.get("flag"), Some(""));
        assert!(params.integer("bad").is_err());
        assert!(params.boolean("bad").is_err());
        assert_eq!(params.boolean("none").unwrap(), None);
    }
}
