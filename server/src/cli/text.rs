//! Text and tables for people, as wide as their terminal.

use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use std::io::Write;

/// Width when nobody says: a pipe, a file.
const WIDTH_DEFAULT: u16 = 100;

/// Writes a line to standard output; a reader that went away is no error.
pub fn line(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Writes a line to standard error.
pub fn error(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// How wide the terminal is: `COLUMNS`, else what it says, else 100.
#[must_use]
pub fn width() -> u16 {
    std::env::var("COLUMNS")
        .ok()
        .and_then(|columns| columns.parse().ok())
        .or_else(|| terminal_size::terminal_size().map(|(width, _)| width.0))
        .unwrap_or(WIDTH_DEFAULT)
        .max(40)
}

/// A text cut to so many characters, with `…` where it was cut.
#[must_use]
pub fn cut(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// A table with these headings.
#[must_use]
pub fn table(headings: &[&str], width: u16) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width)
        .set_header(headings);
    table
}

/// A table as text, without white space at the ends of its lines.
#[must_use]
pub fn rendered(table: &Table) -> String {
    table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect::<Vec<_>>()
        .join("\n")
}

/// A table whose first column is never broken.
#[must_use]
pub fn keyed_table(headings: &[&str], width: u16) -> Table {
    let mut table = table(headings, width);
    if let Some(column) = table.column_mut(0) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    table
}

/// Breaks a text at spaces so that no line is wider than this, where words allow it.
#[must_use]
pub fn wrapped(text: &str, width: u16, indent: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= usize::from(width) => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("{indent}{word}")),
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöü", 2), "äö…");
    }

    #[test]
    fn lines_are_broken_at_spaces() {
        assert_eq!(
            wrapped("one two three four", 9, "  "),
            "  one two\n  three\n  four"
        );
        assert_eq!(
            wrapped("averylongwordindeed x", 5, "  "),
            "  averylongwordindeed\n  x"
        );
        assert_eq!(wrapped("", 5, "  "), "");
    }
}
