//! `tidy`: the rules of the repository that no compiler knows (style.md §4, §6).

mod crates;
mod directions;
mod docs;
mod links;
mod source;

use crate::Verdict;
use crate::say::{self, Step};
use doyen_tests::{Outcome, program};
use std::fmt;
use std::fs;
use std::path::Path;

/// Something that breaks a rule: where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Complaint {
    /// The file, from the root of the repository.
    file: String,
    /// The line, from 1; 0 for the whole file.
    line: usize,
    /// What is wrong, and the remedy.
    text: String,
}

impl Complaint {
    fn new(file: &str, line: usize, text: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line,
            text: text.into(),
        }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.text),
            line => write!(f, "{}:{line}: {}", self.file, self.text),
        }
    }
}

/// A file of the repository.
pub(crate) struct Source {
    /// Its path from the root, with `/`.
    path: String,
    /// What is in it.
    text: String,
}

/// Folders of sources.
const FOLDERS: [&str; 8] = [
    "core", "runtime", "sim", "server", "tests", "fuzz", "xtask", "docs",
];

/// Pages beside them.
const TOP_PAGES: [&str; 2] = ["README.md", "CHANGELOG.md"];

/// # Errors
/// Files cannot be read, or cargo does not tell the dependencies.
pub(crate) fn run() -> Outcome<Verdict> {
    let step = Step::begin("tidy");
    let complaints = check(&program::root())?;
    for complaint in &complaints {
        say::note(complaint.to_string());
    }
    if complaints.is_empty() {
        step.done("");
        Ok(Verdict::Good)
    } else {
        step.failed();
        Ok(Verdict::Bad)
    }
}

fn check(root: &Path) -> Outcome<Vec<Complaint>> {
    let mut sources = Vec::new();
    for folder in FOLDERS {
        if root.join(folder).is_dir() {
            collect(root, &root.join(folder), &mut sources)?;
        }
    }
    let rust: Vec<&Source> = sources.iter().filter(|s| s.path.ends_with(".rs")).collect();
    let mut complaints: Vec<Complaint> = rust.iter().flat_map(|s| source::check(s)).collect();
    complaints.extend(rust.iter().flat_map(|s| directions::check(s)));
    complaints.extend(crates::check(&crates::metadata(root)?));
    let mut top = Vec::new();
    for name in TOP_PAGES {
        top.push(Source {
            path: name.to_owned(),
            text: fs::read_to_string(root.join(name))?,
        });
    }
    let pages = sources.iter().chain(&top);
    let pages: Vec<&Source> = pages.filter(|s| s.path.ends_with(".md")).collect();
    complaints.extend(links::check(root, &pages));
    for page in &pages {
        complaints.extend(docs::check_commands(&page.path, &page.text));
    }
    let keys = rust.iter().find(|s| s.path == docs::KEYS_FILE);
    if let Some(keys) = keys {
        let texts: Vec<&str> = pages.iter().map(|page| page.text.as_str()).collect();
        complaints.extend(docs::check_keys(&keys.text, &texts));
    }
    Ok(complaints)
}

fn collect(root: &Path, folder: &Path, sources: &mut Vec<Source>) -> Outcome<()> {
    let mut entries = fs::read_dir(folder)?.collect::<Outcome<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            let name = entry.file_name();
            if name != "target" && name != "corpus" && name != "artifacts" {
                collect(root, &path, sources)?;
            }
        } else if path
            .extension()
            .is_some_and(|end| end == "rs" || end == "md")
        {
            let short = path
                .strip_prefix(root)
                .unwrap_or(&path)
                .display()
                .to_string();
            sources.push(Source {
                path: short,
                text: fs::read_to_string(&path)?,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) fn source(path: &str, text: &str) -> Source {
    Source {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_say_where() {
        assert_eq!(Complaint::new("a.rs", 3, "bad").to_string(), "a.rs:3: bad");
        assert_eq!(Complaint::new("a.rs", 0, "bad").to_string(), "a.rs: bad");
    }

    #[test]
    fn sources_are_found_below_folders_and_build_output_is_not() {
        let root = tempfile::tempdir().unwrap();
        for path in ["core/src", "core/target"] {
            fs::create_dir_all(root.path().join(path)).unwrap();
        }
        for path in [
            "core/src/lib.rs",
            "core/src/notes.txt",
            "core/target/made.rs",
        ] {
            fs::write(root.path().join(path), "x").unwrap();
        }
        let mut sources = Vec::new();
        collect(root.path(), root.path(), &mut sources).unwrap();
        let paths: Vec<&str> = sources.iter().map(|s| s.path.as_str()).collect();
        assert_eq!(paths, ["core/src/lib.rs"]);
    }
}
