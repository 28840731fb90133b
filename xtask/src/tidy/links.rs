//! Links of the pages lead somewhere, and the book's summary names every page once: what a build
//! of the book with its links checked would say, without a tool that takes minutes to install.

use super::{Complaint, Source};
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// The pages of the book, and the file that orders them.
const BOOK: &str = "docs/src/";
const SUMMARY: &str = "docs/src/SUMMARY.md";

/// Checks the links of these pages: relative ones name a file of the repository below `root`, and
/// a heading of it behind `#`. Links to other hosts are not followed.
pub(super) fn check(root: &Path, pages: &[&Source]) -> Vec<Complaint> {
    let by_path: BTreeMap<&str, &str> = pages
        .iter()
        .map(|page| (page.path.as_str(), page.text.as_str()))
        .collect();
    let mut complaints = Vec::new();
    for page in pages {
        for (line, link) in links(&page.text) {
            if let Err(why) = check_link(root, &page.path, &link, &by_path) {
                let text = format!("the link `{link}` {why}");
                complaints.push(Complaint::new(&page.path, line, text));
            }
        }
    }
    complaints.extend(check_summary(&by_path));
    complaints
}

fn check_link(
    root: &Path,
    page: &str,
    link: &str,
    pages: &BTreeMap<&str, &str>,
) -> Result<(), String> {
    if ["http://", "https://", "mailto:"]
        .iter()
        .any(|scheme| link.starts_with(scheme))
    {
        return Ok(());
    }
    let (path, fragment) = link.split_once('#').unwrap_or((link, ""));
    let path = if path.is_empty() {
        page.to_owned()
    } else {
        resolve(page, path).ok_or("leaves the repository: name its whole URL")?
    };
    if !root.join(&path).exists() {
        return Err(format!("leads to {path}, which is not there"));
    }
    if page.starts_with(BOOK) && path.ends_with(".md") && !path.starts_with(BOOK) {
        return Err("leaves the book, where `.md` becomes `.html`: link to its folder".to_owned());
    }
    match pages.get(path.as_str()) {
        Some(text) if !fragment.is_empty() && !headings(text).any(|one| one == fragment) => {
            Err(format!("names no heading of {path}"))
        }
        Some(_) | None => Ok(()),
    }
}

/// Every page of the book is listed once; what is listed and missing is a link like any other.
fn check_summary(pages: &BTreeMap<&str, &str>) -> Vec<Complaint> {
    let Some(summary) = pages.get(SUMMARY) else {
        return Vec::new();
    };
    let mut listed: BTreeMap<String, usize> = BTreeMap::new();
    let mut complaints = Vec::new();
    for (line, link) in links(summary) {
        let path = resolve(SUMMARY, &link).unwrap_or_default();
        if listed.insert(path.clone(), line).is_some() {
            let text = format!("{path} is listed twice");
            complaints.push(Complaint::new(SUMMARY, line, text));
        }
    }
    for page in pages.keys().filter(|page| page.starts_with(BOOK)) {
        if *page != SUMMARY && !listed.contains_key(*page) {
            let text = format!("not in {SUMMARY}: the book leaves it out");
            complaints.push(Complaint::new(page, 0, text));
        }
    }
    complaints
}

/// The path from the root of the repository of a link on `page`.
fn resolve(page: &str, link: &str) -> Option<String> {
    let mut path = PathBuf::from(page);
    path.pop();
    for part in Path::new(link).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::ParentDir => path.pop().then_some(())?,
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(path.display().to_string())
}

/// Lines and targets of all links outside of code: `[text](target)` and `[name]: target`.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (line, prose) in prose(text) {
        if let Some((name, target)) = prose.split_once("]: ")
            && name.starts_with('[')
        {
            found.push((line, target.trim().to_owned()));
        }
        let mut rest = prose.as_str();
        while let Some((_, after)) = rest.split_once("](") {
            let (target, after) = after.split_once(')').unwrap_or((after, ""));
            // A title may follow: `(page.md "Title")`.
            let target = target.split_whitespace().next().unwrap_or("");
            found.push((line, target.to_owned()));
            rest = after;
        }
    }
    found
}

/// The lines outside of fenced blocks, numbered from 1, without their code spans.
fn prose(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut is_code = false;
    let lines = text.lines().enumerate().filter_map(move |(index, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        (!is_fence && !is_code).then_some((index + 1, line))
    });
    lines.map(|(number, line)| {
        let outside: Vec<&str> = line.split('`').step_by(2).collect();
        (number, outside.join("`"))
    })
}

/// The anchors of a page's headings, as mdBook makes them.
fn headings(text: &str) -> impl Iterator<Item = String> {
    let mut is_code = false;
    let lines = text.lines().filter(move |line| {
        is_code ^= line.trim_start().starts_with("```");
        !is_code && line.starts_with('#')
    });
    lines.map(|line| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let anchor = title.chars().filter_map(|c| match c {
            c if c.is_alphanumeric() || c == '_' || c == '-' => Some(c),
            c if c.is_whitespace() => Some('-'),
            _ => None,
        });
        anchor.collect()
    })
}

#[cfg(test)]
mod tests {
    use super::super::source;
    use super::*;
    use std::fs;

    /// What is complained about in a book of these pages, beside two other files.
    fn complaints(pages: &[(&str, &str)]) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        let sources: Vec<Source> = pages
            .iter()
            .map(|(path, text)| source(path, text))
            .collect();
        let others = [("core/src/lib.rs", ""), ("docs/deploy/README.md", "")];
        for (path, text) in pages.iter().chain(&others) {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let found = check(root.path(), &sources.iter().collect::<Vec<_>>());
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn links_that_lead_somewhere_pass() {
        let page = "# Top of `a`, b\n\
            [code](../../core/src/lib.rs), [next](sub/b.md \"B\"), [there](sub/b.md#one-two) and\n\
            [here](#top-of-a-b), [far](https://example.org/x), `[no](link.md)`.\n\
            ```\n[no](link.md)\n```\n[named]: sub/b.md\n";
        let summary = "[A](a.md)\n- [B](sub/b.md)\n";
        let pages = [
            ("docs/src/SUMMARY.md", summary),
            ("docs/src/a.md", page),
            ("docs/src/sub/b.md", "## One two\n[up](../a.md)\n"),
            ("README.md", "[book](docs/src/SUMMARY.md)"),
        ];
        assert_eq!(complaints(&pages), Vec::<String>::new());
    }

    #[test]
    fn links_that_lead_nowhere_are_told() {
        for (line, why) in [
            (
                "[a](b.md)",
                "`b.md` leads to docs/src/b.md, which is not there",
            ),
            ("[a](../../core/lib.rs)", "core/lib.rs, which is not there"),
            ("[a](a.md#none)", "names no heading of docs/src/a.md"),
            ("[a](#none)", "names no heading of docs/src/a.md"),
            ("[a](/etc/passwd)", "leaves the repository"),
            ("[a](../../../x.md)", "leaves the repository"),
            ("[a]: b.md", "which is not there"),
            ("[a](../deploy/README.md)", "link to its folder"),
            ("[one](a.md) and [a](b.md)", "which is not there"),
        ] {
            let page = format!("# Title\n\n{line}\n");
            let found = complaints(&[("docs/src/a.md", &page)]);
            assert_eq!(found.len(), 1, "{line}: {found:?}");
            assert!(found[0].starts_with("docs/src/a.md:3: "), "{found:?}");
            assert!(found[0].contains(why), "{found:?}");
        }
    }

    #[test]
    fn the_summary_names_every_page_once() {
        let summary = "- [A](a.md)\n- [B](b.md)\n- [A again](a.md)\n";
        let pages = [
            ("docs/src/SUMMARY.md", summary),
            ("docs/src/a.md", "# A\n"),
            ("docs/src/c.md", "# C\n"),
            ("docs/deploy/README.md", "# None of the book\n"),
        ];
        assert_eq!(
            complaints(&pages),
            [
                "docs/src/SUMMARY.md:2: the link `b.md` leads to docs/src/b.md, which is not there",
                "docs/src/SUMMARY.md:3: docs/src/a.md is listed twice",
                "docs/src/c.md: not in docs/src/SUMMARY.md: the book leaves it out",
            ]
        );
    }
}
