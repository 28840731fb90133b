//! The check of a text before any parser sees it: size, nesting, number of tokens.
//!
//! The parser's own bounds are too generous for a server that must live: it caps nesting at 128 and
//! nothing else, and a stack overflow is not catchable (notes/crates.md §5).

use super::fault::{Fault, Origin};

/// Nesting of lists, objects and dotted keys, of text and of results.
pub const DEPTH_MAX: usize = 64;

/// The longest text of a request body, in bytes.
///
/// A stored record holds at most 256 KiB (protocol.md, transactions); the rest is room for
/// comments and white space.
pub const BODY_MAX: usize = 1024 * 1024;

/// The longest configuration file, in bytes.
pub(crate) const FILE_MAX: usize = 4 * 1024 * 1024;

/// The most tokens of a HOCON text; each costs the parser some 150 bytes.
pub(crate) const TOKENS_MAX: usize = 100_000;

/// Work of resolving substitutions: values visited, and one more for every 16 bytes copied.
pub(crate) const STEPS_MAX: usize = 1_000_000;

/// How many tokens a text has, roughly, after its size and nesting were checked.
///
/// # Errors
/// The text is too long or too deeply nested.
pub(crate) fn scan(text: &str, source: usize, bytes_max: usize) -> Result<usize, Fault> {
    if text.len() > bytes_max {
        return Err(Fault::whole(format!(
            "the text has {} bytes, at most {bytes_max} are allowed",
            text.len()
        )));
    }
    let mut scanner = Scanner {
        rest: text,
        origin: Origin {
            source,
            line: 1,
            column: 1,
        },
        depth: 0,
        tokens: 0,
    };
    scanner.run()?;
    Ok(scanner.tokens)
}

struct Scanner<'a> {
    rest: &'a str,
    origin: Origin,
    depth: usize,
    tokens: usize,
}

impl Scanner<'_> {
    fn run(&mut self) -> Result<(), Fault> {
        let mut in_word = false;
        while let Some(next) = self.rest.chars().next() {
            if self.rest.starts_with("//") || next == '#' {
                let end = self.rest.find('\n').unwrap_or(self.rest.len());
                self.skip(end);
                continue;
            }
            match next {
                '"' => self.quoted(),
                '{' | '[' => self.open()?,
                '}' | ']' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.tokens += 1;
                }
                ',' | ':' | '=' | '\n' | '$' => self.tokens += 1,
                _ if next.is_whitespace() => {}
                _ if !in_word => self.tokens += 1,
                _ => {}
            }
            in_word = !next.is_whitespace() && !"\"{}[],:=$".contains(next);
            if next != '"' {
                self.skip(next.len_utf8());
            }
        }
        Ok(())
    }

    fn open(&mut self) -> Result<(), Fault> {
        self.depth += 1;
        self.tokens += 1;
        if self.depth > DEPTH_MAX {
            return Err(Fault::at(
                self.origin,
                format!("brackets are nested deeper than {DEPTH_MAX} levels"),
            ));
        }
        Ok(())
    }

    fn quoted(&mut self) {
        self.tokens += 1;
        if let Some(body) = self.rest.strip_prefix("\"\"\"") {
            let end = body.find("\"\"\"").map_or(self.rest.len(), |at| at + 6);
            self.skip(end);
            // Further quotes belong to the end of a triple-quoted text.
            while self.rest.starts_with('"') {
                self.skip(1);
            }
            return;
        }
        let mut escaped = false;
        for (at, c) in self.rest.char_indices().skip(1) {
            if c == '\n' || (c == '"' && !escaped) {
                self.skip(at + c.len_utf8());
                return;
            }
            escaped = c == '\\' && !escaped;
        }
        self.skip(self.rest.len());
    }

    fn skip(&mut self, bytes: usize) {
        let (passed, rest) = self.rest.split_at(bytes);
        for c in passed.chars() {
            if c == '\n' {
                self.origin.line += 1;
                self.origin.column = 1;
            } else {
                self.origin.column += 1;
            }
        }
        self.rest = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_counted_outside_of_texts_and_comments_only() {
        let deep = "[".repeat(DEPTH_MAX + 1);
        for text in [
            format!("a = \"{deep}\""),
            format!("a = \"\"\"{deep}\"\"\"\""),
            format!("# {deep}\na = 1"),
            format!("// {deep}\na = 1"),
            format!("a = \"\\\"{deep}\""),
        ] {
            assert!(scan(&text, 0, BODY_MAX).is_ok(), "{text}");
        }
        let fault = scan(&format!("a = 1\nb = {deep}"), 0, BODY_MAX).unwrap_err();
        assert_eq!(fault.message, "brackets are nested deeper than 64 levels");
        let at = fault.origin.unwrap();
        assert_eq!((at.line, at.column), (2, 5 + DEPTH_MAX));
    }

    #[test]
    fn tokens_are_counted() {
        assert_eq!(scan("a = [1, 2]", 0, BODY_MAX), Ok(7));
        assert_eq!(scan("a b\n\"c d\" : ${x}", 0, BODY_MAX).unwrap(), 9);
    }

    #[test]
    fn a_text_at_the_bound_passes_and_one_byte_more_does_not() {
        assert!(scan(&"a".repeat(10), 0, 10).is_ok());
        assert_eq!(
            scan(&"a".repeat(11), 0, 10).unwrap_err().message,
            "the text has 11 bytes, at most 10 are allowed"
        );
    }
}
