//! Where a piece of configuration was written, and what is wrong there.

use std::fmt;

/// A place in one of the texts that make up a configuration; lines and columns count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// Which text, as an index into [`Sources`].
    pub source: usize,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
}

/// The names of the texts that make up a configuration: the file, what it includes, `--set`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources(Vec<String>);

impl Sources {
    /// Adds a text and gives its index.
    pub fn add(&mut self, name: impl Into<String>) -> usize {
        self.0.push(name.into());
        self.0.len() - 1
    }

    /// `FILE:LINE:COLUMN`; the command line has no lines.
    #[must_use]
    pub fn place(&self, origin: Origin) -> String {
        let name = self.0.get(origin.source).map_or("?", String::as_str);
        if name.starts_with("--") {
            name.to_owned()
        } else {
            format!("{name}:{}:{}", origin.line, origin.column)
        }
    }
}

/// What is wrong with a text before any key of it is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where; `None` when it concerns the whole text.
    pub origin: Option<Origin>,
    /// What, as a sentence without a full stop.
    pub message: String,
}

impl Fault {
    /// A fault at a place.
    pub fn at(origin: Origin, message: impl Into<String>) -> Self {
        Self {
            origin: Some(origin),
            message: cut(message.into()),
        }
    }

    /// A fault of the whole text.
    pub fn whole(message: impl Into<String>) -> Self {
        Self {
            origin: None,
            message: cut(message.into()),
        }
    }
}

/// The beginning and the end of a message that has a long text of somebody in its middle: what is
/// wrong and what to do stay, and logs and answers stay readable.
pub(super) fn cut(message: String) -> String {
    const HEAD: usize = 700;
    const TAIL: usize = 290;
    if message.len() <= HEAD + TAIL {
        return message;
    }
    let head = &message[..message.floor_char_boundary(HEAD)];
    let tail = &message[message.ceil_char_boundary(message.len() - TAIL)..];
    format!("{head} … {tail}")
}

/// Why the body of a request is no configuration; reads well after `Cannot parse config: `.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct BodyError(pub(crate) Fault);

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.origin {
            Some(at) => write!(f, "{}:{}: {}", at.line, at.column, self.0.message),
            None => f.write_str(&self.0.message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_keeps_its_beginning_and_its_end() {
        let short = "x".repeat(990);
        assert_eq!(cut(short.clone()), short);
        let long = cut(format!("found `{}`, expected less", "ü".repeat(50_000)));
        assert!(long.starts_with("found `üü") && long.ends_with("üü`, expected less"));
        assert!(long.contains(" … ") && long.len() < 1_000, "{long}");
    }
}
