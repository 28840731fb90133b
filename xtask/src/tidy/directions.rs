//! Inside core, imports point downwards (style.md §4).

use super::source::code;
use super::{Complaint, Source};

/// The layers of core, the lowest first. A module of two parts is a part of another one that is
/// made of data only, which everybody may name.
const LAYERS: [&[&str]; 9] = [
    &["identity", "time"],
    &["records"],
    &["config", "planted"],
    &["gossip", "membership", "reachability", "wire"],
    &[
        "input",
        "outbox",
        "output",
        "process::ClusterView",
        "process::MemberView",
    ],
    &["server::shared", "server::work", "server::Founding"],
    &["downing", "join", "singleton"],
    &["driver", "gateway", "server", "supervisor"],
    &["process"],
];

/// Checks a file of core; others pass.
pub(super) fn check(source: &Source) -> Vec<Complaint> {
    let Some(module) = module(&source.path) else {
        return Vec::new();
    };
    let own = layer(&module);
    let (name, path) = (module.join("::"), source.path.as_str());
    let Some(own) = own else {
        let text = format!("module `{name}` has no layer: add it to xtask/src/tidy/directions.rs");
        return vec![Complaint::new(path, 0, text)];
    };
    let mut complaints = Vec::new();
    for (line, import) in imports(&source.text) {
        match layer(&import) {
            Some(other) if other <= own || import[0] == module[0] => {}
            Some(_) => {
                let import = import.join("::");
                let text = format!("`{name}` names `crate::{import}`, which lies above it");
                complaints.push(Complaint::new(path, line, text));
            }
            None => {
                let import = import.join("::");
                let text = format!("`crate::{import}` has no layer in tidy/directions.rs");
                complaints.push(Complaint::new(path, line, text));
            }
        }
    }
    complaints
}

/// The module of a path below `core/src/`: its first two parts. `None` for others, for the root and
/// for tests, which may name everything.
fn module(path: &str) -> Option<Vec<&str>> {
    let path = path.strip_prefix("core/src/")?.strip_suffix(".rs")?;
    let parts: Vec<&str> = path.split('/').filter(|part| *part != "mod").collect();
    let is_test = |part: &&str| *part == "tests" || part.ends_with("_tests");
    if parts == ["lib"] || parts.iter().any(is_test) {
        return None;
    }
    Some(parts.into_iter().take(2).collect())
}

fn layer(path: &[impl AsRef<str>]) -> Option<usize> {
    let first = path.first()?.as_ref();
    let two = path
        .get(1)
        .map(|second| format!("{first}::{}", second.as_ref()));
    let of = |name: &str| LAYERS.iter().position(|layer| layer.contains(&name));
    two.and_then(|two| of(&two)).or_else(|| of(first))
}

/// Every path that begins with `crate::`, by its first two parts, with its line; up to the tests at
/// the file's end.
fn imports(text: &str) -> Vec<(usize, Vec<String>)> {
    let mut code_text = String::new();
    for line in text.lines().take_while(|line| *line != "#[cfg(test)]") {
        code_text.push_str(code(line));
        code_text.push('\n');
    }
    let mut found = Vec::new();
    for (at, prefix) in code_text.match_indices("crate::") {
        let line = code_text[..at].matches('\n').count() + 1;
        let mut rest = &code_text[at + prefix.len()..];
        let mut paths = Vec::new();
        expand(&mut rest, &[], &mut paths);
        found.extend(paths.into_iter().map(|path| (line, path)));
    }
    found
}

/// Reads a path, or a group of them in braces, to a depth of two parts.
fn expand(rest: &mut &str, before: &[String], paths: &mut Vec<Vec<String>>) {
    *rest = rest.trim_start();
    if let Some(group) = rest.strip_prefix('{') {
        *rest = group;
        loop {
            *rest = rest.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
            if rest.is_empty() {
                return;
            }
            if let Some(after) = rest.strip_prefix('}') {
                *rest = after;
                return;
            }
            let left = rest.len();
            expand(rest, before, paths);
            if rest.len() == left {
                // Not a path: `*` or what is no import at all.
                *rest = rest.get(1..).unwrap_or("");
            }
        }
    }
    let end = rest
        .find(|c: char| !(c.is_alphanumeric() || c == '_'))
        .unwrap_or(rest.len());
    let (word, after) = rest.split_at(end);
    if word.is_empty() {
        return;
    }
    let mut path = before.to_vec();
    path.push(word.to_owned());
    *rest = after;
    match rest.strip_prefix("::") {
        Some(more) => {
            *rest = more;
            let known = paths.len();
            expand(rest, &path, paths);
            if paths.len() == known {
                paths.push(path.into_iter().take(2).collect());
            }
        }
        None => paths.push(path.into_iter().take(2).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::source;
    use super::*;

    fn complaints(path: &str, text: &str) -> Vec<String> {
        check(&source(path, text))
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn imports_are_read_plain_grouped_nested_and_in_code() {
        let text = "use crate::time::Time;\nuse crate::records::{self, key::Key};\n\
                    use crate::{input::Input, wire::{Beat, Message}};\n// crate::process\n\
                    fn f() { crate::gossip::merge(); }\n#[cfg(test)]\nuse crate::process::P;\n";
        let found: Vec<(usize, String)> = imports(text)
            .into_iter()
            .map(|(line, path)| (line, path.join("::")))
            .collect();
        let expected = [
            (1, "time::Time"),
            (2, "records::self"),
            (2, "records::key"),
            (3, "input::Input"),
            (3, "wire::Beat"),
            (3, "wire::Message"),
            (5, "gossip::merge"),
        ];
        assert_eq!(found, expected.map(|(line, path)| (line, path.to_owned())));
    }

    #[test]
    fn downwards_and_sideways_pass() {
        for (path, text) in [
            (
                "core/src/singleton/claim.rs",
                "use crate::records::key::Key;",
            ),
            (
                "core/src/singleton/claim.rs",
                "use crate::server::shared::Shared;",
            ),
            ("core/src/gossip/mod.rs", "use crate::wire::Message;"),
            (
                "core/src/server/mod.rs",
                "use crate::{gateway::Gateway, process::ClusterView};",
            ),
            ("core/src/process.rs", "use crate::server::ServerProcess;"),
            ("core/src/lib.rs", "pub use crate::process::Process;"),
            ("core/src/server/tests/x.rs", "use crate::process::Process;"),
            ("runtime/src/host.rs", "use crate::anything::At;"),
        ] {
            assert_eq!(
                complaints(path, text),
                Vec::<String>::new(),
                "{path}: {text}"
            );
        }
    }

    #[test]
    fn upwards_and_unknown_are_told() {
        assert_eq!(
            complaints("core/src/records/key.rs", "\nuse crate::wire::Message;"),
            [
                "core/src/records/key.rs:2: `records::key` names `crate::wire::Message`, which lies \
              above it"
            ]
        );
        assert_eq!(
            complaints("core/src/server/x.rs", "use crate::process::Process;").len(),
            1
        );
        assert_eq!(
            complaints("core/src/server/shared.rs", "use crate::gateway::G;").len(),
            1
        );
        assert!(complaints("core/src/new.rs", "")[0].contains("has no layer"));
        assert!(complaints("core/src/wire/a.rs", "use crate::new::A;")[0].contains("no layer"));
    }
}
