//! What `POST /jobs` asks for: class path, class, context (rest-api.md 5.1 and 5.3).

use super::App;
use super::binaries;
use super::body::cannot_parse;
use super::reply::{self, Failure};
use super::request::Params;
use axum::http::StatusCode;
use doyen_core::records::job::{BinaryType, ClassPathEntry, JobError};
use serde_json::{Map, Value};

/// The most entries of a class path: each is a read, and part of a record.
const ENTRIES_MAX: usize = 256;
/// The most bytes of a class's name or of an entry.
const TEXT_BYTES_MAX: usize = 1024;

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The class, or the first argument of an executable.
    pub(crate) main_class: String,
    /// Names of binaries and URIs, in order.
    pub(crate) entries: Vec<String>,
}

/// Checks the scheme of a callback; callbacks themselves come later (rest-api.md 10).
pub(crate) fn check_callback(query: &Params) -> Result<(), Failure> {
    let Some(url) = query.get("callbackUrl") else {
        return Ok(());
    };
    // The value is decoded once more (rest-api.md 10).
    let url = percent_encoding::percent_decode_str(url).decode_utf8_lossy();
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    if !matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https") {
        let error = JobError::new(
            "java.lang.IllegalArgumentException",
            "Callback Url has to be 'http'/'https'",
        );
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        return Err(reply::exception(status, "ERROR", &error).into());
    }
    Err(reply::not_built("callbacks (callbackUrl) are").into())
}

/// The class and the class path, by either style of parameters; the URL wins over the body.
pub(crate) fn wanted(query: &Params, body: &Map<String, Value>) -> Result<Wanted, Failure> {
    let parameter = |name: &str| query.get(name).filter(|value| !value.is_empty());
    let wanted = if let Some(app_name) = parameter("appName") {
        let main_class = parameter("classPath")
            .ok_or_else(|| cannot_parse("classPath parameter is missing!"))?;
        let mut entries = texts(body.get("dependent-jar-uris"));
        entries.push(app_name.to_owned());
        Wanted {
            main_class: main_class.to_owned(),
            entries,
        }
    } else {
        let entries = match parameter("cp") {
            Some(cp) => split(cp),
            None => texts(body.get("cp")),
        };
        if entries.is_empty() {
            let text = "To start the job appName or cp parameters should be configured!";
            return Err(cannot_parse(text));
        }
        let main_class = parameter("mainClass")
            .or_else(|| body.get("mainClass").and_then(Value::as_str))
            .ok_or_else(|| cannot_parse("mainClass parameter is missing!"))?;
        Wanted {
            main_class: main_class.to_owned(),
            entries,
        }
    };
    let longest = wanted.entries.iter().chain([&wanted.main_class]);
    if wanted.entries.len() > ENTRIES_MAX || longest.map(String::len).any(|l| l > TEXT_BYTES_MAX) {
        return Err(cannot_parse(&format!(
            "a class path has at most {ENTRIES_MAX} entries, an entry or class at most \
             {TEXT_BYTES_MAX} bytes"
        )));
    }
    Ok(wanted)
}

/// A list, or a comma-separated string.
fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(text)) => split(text),
        Some(Value::Array(items)) => items
            .iter()
            .filter_map(Value::as_str)
            .map(|item| item.trim().to_owned())
            .filter(|item| !item.is_empty())
            .collect(),
        _ => Vec::new(),
    }
}

fn split(text: &str) -> Vec<String> {
    text.split(',')
        .map(|item| item.trim().to_owned())
        .filter(|item| !item.is_empty())
        .collect()
}

/// Fixes the class path: names become the hashes of their newest versions, URIs stay.
pub(crate) async fn class_path(
    app: &App,
    entries: &[String],
) -> Result<Vec<ClassPathEntry>, Failure> {
    let mut resolved = Vec::with_capacity(entries.len());
    for entry in entries {
        resolved.push(match scheme(entry) {
            Some(scheme) => uri(entry, &scheme)?,
            None => {
                let newest = binaries::newest(app, entry).await?.ok_or_else(|| {
                    let text = format!("appName {entry} not found");
                    Failure::from(reply::error(StatusCode::NOT_FOUND, &text))
                })?;
                ClassPathEntry {
                    name: entry.clone(),
                    binary_type: newest.binary_type,
                    hash: Some(newest.hash),
                }
            }
        });
    }
    Ok(resolved)
}

/// The scheme of a URI; `None` for the name of a binary.
fn scheme(entry: &str) -> Option<String> {
    let (scheme, _) = entry.split_once(':')?;
    let mut letters = scheme.chars();
    let begins = letters.next().is_some_and(|c| c.is_ascii_alphabetic());
    let goes_on = letters.all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    (begins && goes_on).then(|| scheme.to_ascii_lowercase())
}

fn uri(entry: &str, scheme: &str) -> Result<ClassPathEntry, Failure> {
    let name = match scheme {
        "local" => format!("file{}", entry.trim_start_matches(|c| c != ':')),
        "file" | "http" | "https" | "ftp" => entry.to_owned(),
        _ => {
            let class = "java.net.MalformedURLException";
            let error = JobError::new(class, format!("unknown protocol: {scheme}"));
            let label = "JOB LOADING FAILED: Malformed URL";
            return Err(reply::exception(StatusCode::BAD_REQUEST, label, &error).into());
        }
    };
    Ok(ClassPathEntry {
        name,
        binary_type: BinaryType::Uri,
        hash: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn class_and_class_path_come_from_either_style_and_the_url_wins() {
        for (query, body, class, entries) in [
            ("cp=a,%20b&mainClass=M", json!({}), "M", vec!["a", "b"]),
            (
                "",
                json!({"cp": "a,b", "mainClass": "M"}),
                "M",
                vec!["a", "b"],
            ),
            ("", json!({"cp": ["a"], "mainClass": "M"}), "M", vec!["a"]),
            (
                "cp=u&mainClass=N",
                json!({"cp": "a", "mainClass": "M"}),
                "N",
                vec!["u"],
            ),
            (
                "appName=x&classPath=C&cp=z&mainClass=Y",
                json!({"dependent-jar-uris": ["d1", "d2"]}),
                "C",
                vec!["d1", "d2", "x"],
            ),
        ] {
            let wanted = wanted(&Params::parse(query), body.as_object().unwrap()).unwrap();
            assert_eq!(wanted.main_class, class, "{query}");
            assert_eq!(wanted.entries, entries, "{query}");
        }
    }

    #[test]
    fn only_texts_with_a_scheme_are_uris() {
        assert_eq!(scheme("wordcount"), None);
        assert_eq!(scheme("a b:c"), None);
        assert_eq!(scheme("HDFS://x/y").as_deref(), Some("hdfs"));
        let local = uri("local:///opt/x.jar", "local").unwrap();
        assert_eq!(local.name, "file:///opt/x.jar");
        assert!(uri("hdfs://x/y", "hdfs").is_err());
    }
}
