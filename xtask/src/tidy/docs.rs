//! What is written is so: commands that docs show exist, and every key is documented.

use super::Complaint;
use crate::Arguments;
use clap::Parser;
use clap::error::ErrorKind;

/// Where the keys of the configuration are listed.
pub(super) const KEYS_FILE: &str = "server/src/config/keys.rs";
/// The verbs of the program.
const DOYEN_VERBS: [&str; 8] = [
    "server", "driver", "store", "members", "leave", "config", "version", "help",
];

/// Checks the commands in the fenced blocks of a page.
pub(super) fn check_commands(page: &str, text: &str) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let mut is_code = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
            continue;
        }
        if is_code && let Err(why) = check_command(line) {
            complaints.push(Complaint::new(page, index + 1, why));
        }
    }
    complaints
}

fn check_command(line: &str) -> Result<(), String> {
    let command = line.split(" #").next().unwrap_or("").trim();
    let command = command.strip_prefix("$ ").unwrap_or(command);
    let words: Vec<&str> = command.split_whitespace().collect();
    match words.as_slice() {
        ["cargo", "xtask", arguments @ ..] => {
            match Arguments::try_parse_from(std::iter::once(&"xtask").chain(arguments)) {
                Ok(_) => Ok(()),
                Err(error) if error.kind() == ErrorKind::DisplayHelp => Ok(()),
                Err(error) => {
                    let why = error.to_string();
                    let why = why.lines().next().unwrap_or("").to_owned();
                    Err(format!("`{command}` does not work: {why}"))
                }
            }
        }
        [program, verb, ..] if *program == "doyen" || program.ends_with("/doyen") => {
            if DOYEN_VERBS.contains(verb) || verb.starts_with('-') {
                Ok(())
            } else {
                Err(format!("`{command}`: doyen has no verb `{verb}`"))
            }
        }
        _ => Ok(()),
    }
}

/// Checks that each key that is read (`key("name", …)`) is named on a page.
pub(super) fn check_keys(keys: &str, pages: &[&str]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (index, line) in keys.lines().enumerate() {
        let Some((_, rest)) = line.split_once("key(\"") else {
            continue;
        };
        let name = rest.split('"').next().unwrap_or("");
        if !pages.iter().any(|page| page.contains(name)) {
            let text = format!("key `{name}` is on no page of docs/: document it");
            complaints.push(Complaint::new(KEYS_FILE, index + 1, text));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_that_exist_pass() {
        let page = "cargo xtask nonsense outside of code\n```sh\ncargo xtask demo --keep # play\n\
                    $ cargo xtask bench failover --fault kill --rounds 300 --json\ncargo xtask help\n\
                    target/debug/doyen server --config a.conf\ndoyen members --json\nls\n```\n";
        assert_eq!(check_commands("README.md", page), Vec::new());
    }

    #[test]
    fn commands_that_do_not_exist_are_told() {
        for (line, part) in [
            ("cargo xtask dance", "dance"),
            ("cargo xtask demo --colour", "--colour"),
            ("cargo xtask bench failover --fault flood", "flood"),
            ("doyen dance", "no verb `dance`"),
        ] {
            let page = format!("# Page\n\n```\n{line}\n```\n");
            let found = check_commands("README.md", &page);
            assert_eq!(found.len(), 1, "{line}: {found:?}");
            assert_eq!(found[0].line, 4);
            assert!(found[0].text.contains(part), "{found:?}");
        }
    }

    #[test]
    fn a_key_on_no_page_is_told() {
        let keys = "    key(\"doyen.data-dir\", Path),\n    key(\"spark.master\", Name),\n";
        assert_eq!(
            check_keys(keys, &["`doyen.data-dir`", "| spark.master |"]),
            Vec::new()
        );
        let found = check_keys(keys, &["`spark.master`"]);
        assert_eq!(found.len(), 1);
        assert!(
            found[0]
                .to_string()
                .contains("keys.rs:1: key `doyen.data-dir`")
        );
    }
}
