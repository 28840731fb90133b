//! Rules about one source file: module docs, size, and what core may not know.

use super::{Complaint, Source};

/// style.md §6: the soft limit, with tests.
const LINES_MAX: usize = 500;

/// What core may not name, and what to use instead (style.md §4).
const NOT_IN_CORE: [(&str, &str); 16] = [
    ("tokio", "core has no runtime"),
    ("Instant", "time is `crate::time::Time`, given by the host"),
    ("SystemTime", "the store's stamps are the only wall clock"),
    ("HashMap", "use BTreeMap: order is part of behaviour"),
    ("HashSet", "use BTreeSet: order is part of behaviour"),
    ("f32", "decide with integers"),
    ("f64", "decide with integers"),
    ("TcpStream", "core has no sockets"),
    ("TcpListener", "core has no sockets"),
    ("UdpSocket", "core has no sockets"),
    ("tracing", "core says things by `Output::Event`"),
    ("println", "core says things by `Output::Event`"),
    ("eprintln", "core says things by `Output::Event`"),
    ("std::net", "core has no sockets"),
    ("std::thread", "core has no threads"),
    ("std::fs", "core has no files"),
];

/// Checks a file.
pub(super) fn check(source: &Source) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let (path, text) = (source.path.as_str(), source.text.as_str());
    if !text.starts_with("//!") && !text.starts_with("#![") {
        let remedy = "begin with `//!` and one sentence that says what the file is for";
        complaints.push(Complaint::new(path, 1, remedy));
    }
    let lines = text.lines().count();
    if lines > LINES_MAX {
        let remedy = format!("{lines} lines; over {LINES_MAX} it holds more than one idea: split");
        complaints.push(Complaint::new(path, 0, remedy));
    }
    if path.starts_with("core/src/") {
        for (index, line) in text.lines().enumerate() {
            let code = code(line);
            for (word, remedy) in NOT_IN_CORE {
                if has_word(code, word) {
                    let text = format!("`{word}` in core: {remedy}");
                    complaints.push(Complaint::new(path, index + 1, text));
                }
            }
        }
    }
    complaints
}

/// A line without its comment.
pub(super) fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or("")
}

/// Whether a word stands in the text, not as a part of another one.
fn has_word(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        !before.is_some_and(part) && !after.is_some_and(part)
    })
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
    fn good_files_give_no_complaint() {
        for (path, text) in [
            (
                "core/src/a.rs",
                "//! About a.\nuse std::collections::BTreeMap; // no HashMap\n",
            ),
            (
                "core/src/b.rs",
                "//! About b.\nlet x = value.as_f64_like(); let t: TimeInstant;\n",
            ),
            (
                "runtime/src/c.rs",
                "//! About c.\nuse std::time::Instant;\n",
            ),
            ("server/src/main.rs", "#![forbid(unsafe_code)]\n//! Main.\n"),
        ] {
            assert_eq!(complaints(path, text), Vec::<String>::new(), "{path}");
        }
    }

    #[test]
    fn each_rule_has_a_bad_sample() {
        for (path, text, part) in [
            (
                "core/src/a.rs",
                "use x;\n",
                "core/src/a.rs:1: begin with `//!`",
            ),
            (
                "core/src/a.rs",
                "//! A.\nuse std::time::{Duration, Instant};\n",
                "a.rs:2: `Instant`",
            ),
            (
                "core/src/a.rs",
                "//! A.\nuse std::collections::HashMap;\n",
                "BTreeMap",
            ),
            (
                "core/src/a.rs",
                "//! A.\nfn f(x: f64) {}\n",
                "`f64` in core: decide with integers",
            ),
            (
                "core/src/a.rs",
                "//! A.\nuse std::net::SocketAddr;\n",
                "`std::net`",
            ),
            (
                "core/src/a.rs",
                "//! A.\nstd::thread::sleep(x);\n",
                "`std::thread`",
            ),
            ("core/src/a.rs", "//! A.\nuse tokio::time;\n", "`tokio`"),
        ] {
            let found = complaints(path, text);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains(part), "{found:?}");
        }
    }

    #[test]
    fn a_long_file_is_told_with_its_length() {
        let long = format!("//! Long.\n{}", "x\n".repeat(500));
        assert_eq!(
            complaints("runtime/src/a.rs", &long),
            ["runtime/src/a.rs: 501 lines; over 500 it holds more than one idea: split"]
        );
        assert!(complaints("runtime/src/a.rs", &long[..long.len() - 2]).is_empty());
    }
}
