//! The two ways into HOCON: request bodies, which anybody may send, and configuration files.

use super::fault::{BodyError, Fault, Origin, Sources};
use super::hocon_resolve::resolve;
use super::hocon_tree::{Builder, Slots, checked, read};
use super::limits::{BODY_MAX, DEPTH_MAX, TOKENS_MAX, scan};
use super::value::Located;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Reads the body of a request: JSON, else HOCON.
///
/// Bounded in size, nesting and work; without includes; substitutions see the text itself and never
/// the environment (design.md 8). An empty text is an empty object.
///
/// # Errors
/// What is wrong and where, fit to follow `Cannot parse config: `.
pub fn parse_untrusted(text: &str) -> Result<Value, BodyError> {
    let tokens = scan(text, 0, BODY_MAX).map_err(BodyError)?;
    if let Ok(value @ Value::Object(_)) = serde_json::from_str(text) {
        return Ok(value);
    }
    if tokens > TOKENS_MAX {
        let message = format!("the text has more than {TOKENS_MAX} tokens and is not JSON");
        return Err(BodyError(Fault::whole(message)));
    }
    let mut sources = Sources::default();
    let source = sources.add("body");
    let mut slots = Slots::new();
    Builder::new(&mut sources, source, None)
        .add(text, &mut slots)
        .map_err(BodyError)?;
    let root = resolve(&slots, None, start(source)).map_err(BodyError)?;
    if root.depth() > DEPTH_MAX {
        let message = format!("values are nested deeper than {DEPTH_MAX} levels");
        return Err(BodyError(Fault::whole(message)));
    }
    Ok(root.to_json())
}

/// A configuration with everything resolved.
#[derive(Clone, Debug)]
pub struct Document {
    /// The texts it was made from.
    pub sources: Sources,
    /// Its root, an object.
    pub root: Located,
    /// Included files that do not exist, with the place that includes them.
    pub missing_includes: Vec<(Origin, PathBuf)>,
}

/// Reads a configuration file and lays `overrides` (`KEY=VALUE`, of the command line) over it.
///
/// References may name environment variables; includes are relative to the file.
///
/// # Errors
/// What is wrong, and the texts that its place refers to.
pub fn parse_file(
    path: Option<&Path>,
    overrides: &[String],
    environment: &BTreeMap<String, String>,
) -> Result<Document, (Sources, Fault)> {
    let mut sources = Sources::default();
    match read_all(&mut sources, path, overrides, environment) {
        Ok((root, missing_includes)) => Ok(Document {
            sources,
            root,
            missing_includes,
        }),
        Err(fault) => Err((sources, fault)),
    }
}

type Resolved = (Located, Vec<(Origin, PathBuf)>);

fn read_all(
    sources: &mut Sources,
    path: Option<&Path>,
    overrides: &[String],
    environment: &BTreeMap<String, String>,
) -> Result<Resolved, Fault> {
    let mut slots = Slots::new();
    let mut missing = Vec::new();
    if let Some(path) = path {
        let text = read(path)?;
        let source = sources.add(path.display().to_string());
        checked(&text, source)?;
        let mut builder = Builder::new(sources, source, Some(path));
        builder.add(&text, &mut slots)?;
        missing = builder.missing_includes;
    }
    for text in overrides {
        let source = sources.add(format!("--set {text}"));
        checked(text, source)?;
        Builder::new(sources, source, None).add(text, &mut slots)?;
    }
    let root = resolve(&slots, Some(environment), start(0))?;
    if root.depth() > DEPTH_MAX {
        let message = format!("values are nested deeper than {DEPTH_MAX} levels");
        return Err(Fault::whole(message));
    }
    Ok((root, missing))
}

/// A value of the table of keys, which tests have read.
pub(super) fn parse_value(text: &str) -> Located {
    let read = || {
        let mut slots = Slots::new();
        let mut sources = Sources::default();
        Builder::new(&mut sources, 0, None).add(&format!("v = {text}"), &mut slots)?;
        resolve(&slots, None, start(0))
    };
    match read().map(|root| root.get(&["v"]).cloned()) {
        Ok(Some(value)) => value,
        _ => panic!("the default {text} of the table of keys is no HOCON"),
    }
}

const fn start(source: usize) -> Origin {
    Origin {
        source,
        line: 1,
        column: 1,
    }
}

#[cfg(test)]
#[path = "hocon_guard_tests.rs"]
mod tests;
