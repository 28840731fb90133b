//! Java, and the private Python environment with PySpark under `target/`.

use crate::say::Step;
use doyen_tests::services::java_program;
use doyen_tests::{Outcome, program, trouble};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What is installed, and what the marker of a complete environment says.
const PYSPARK: &str = "pyspark==3.5.6";
/// The oldest Java that Spark 3.5 is run with here.
const JAVA_MIN: u32 = 11;

/// Checks Java, and makes the environment if it is not complete; the path of its Python.
///
/// # Errors
/// Java or Python is missing or too old, or pip fails: each with what to do.
pub(crate) fn spark_python() -> Outcome<PathBuf> {
    check_java(&java_program())?;
    let folder = program::target().join("pyspark-venv");
    let python = folder.join("bin/python");
    let marker = folder.join(".doyen-complete");
    let step = Step::begin("PySpark in target/pyspark-venv");
    if fs::read_to_string(&marker).is_ok_and(|text| text == PYSPARK) && python.exists() {
        step.done("there already");
        return Ok(python);
    }
    match install(&step, &folder, &python) {
        Ok(()) => {
            fs::write(&marker, PYSPARK)?;
            step.done("installed");
            Ok(python)
        }
        Err(error) => {
            step.failed();
            Err(error)
        }
    }
}

fn install(step: &Step, folder: &Path, python: &Path) -> Outcome<()> {
    // An incomplete one, of an interrupted run: a fresh one is quicker than to find out what lacks.
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv"]).arg(folder);
    follow(
        step,
        venv,
        "install Python 3.8 or later with its `venv` module (python3-venv)",
    )?;
    let mut pip = Command::new(python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--no-input",
        "--disable-pip-version-check",
    ]);
    pip.args(["--progress-bar", "off", PYSPARK]);
    follow(
        step,
        pip,
        "pip needs its package index; without network use `--engine process`",
    )?;
    let mut import = Command::new(python);
    import.args(["-c", "import pyspark; print(pyspark.__version__)"]);
    follow(step, import, "remove target/pyspark-venv and try again")
}

/// Runs a command, shows its last line, and on failure tells its last words and the remedy.
fn follow(step: &Step, mut command: Command, remedy: &str) -> Outcome<()> {
    let name = command.get_program().display().to_string();
    // What goes wrong is told on standard error: both go into one pipe.
    let (reader, writer) = std::io::pipe()?;
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    let spawned = command.spawn();
    // The command holds the pipe's other end, which must close for the reading below to end.
    drop(command);
    let mut child = spawned.map_err(|e| trouble(format!("cannot run {name}: {e}; {remedy}")))?;
    let mut last = Vec::new();
    for line in BufReader::new(reader).lines().map_while(Result::ok) {
        step.progress(&line);
        last.push(line);
    }
    let status = child.wait()?;
    if status.success() {
        return Ok(());
    }
    let words = last[last.len().saturating_sub(8)..].join("\n");
    Err(trouble(format!(
        "{name} ended with {status}; {remedy}\n{words}"
    )))
}

fn check_java(java: &Path) -> Outcome<()> {
    let remedy = format!(
        "Spark needs Java {JAVA_MIN} or later: install one (Debian: `apt install \
         openjdk-17-jre-headless`) or set JAVA_HOME; without Java use `--engine process`"
    );
    let output = Command::new(java)
        .arg("-version")
        .stdin(Stdio::null())
        .output();
    let output =
        output.map_err(|e| trouble(format!("cannot run {}: {e}. {remedy}", java.display())))?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    match java_version(&text) {
        Some(version) if version >= JAVA_MIN => Ok(()),
        Some(version) => Err(trouble(format!(
            "{} is Java {version}. {remedy}",
            java.display()
        ))),
        None => Err(trouble(format!(
            "{} -version says: {text}. {remedy}",
            java.display()
        ))),
    }
}

/// The major version in what `java -version` says: 8 for `"1.8.0_392"`, 17 for `"17.0.15"`.
fn java_version(text: &str) -> Option<u32> {
    let quoted = text.split('"').nth(1)?;
    let mut numbers = quoted
        .split(['.', '-', '_', '+'])
        .map_while(|part| part.parse().ok());
    match numbers.next()? {
        1 => numbers.next(),
        major => Some(major),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn java_versions_are_read_old_and_new() {
        for (text, version) in [
            (
                "openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime",
                Some(17),
            ),
            ("java version \"1.8.0_392\"", Some(8)),
            ("openjdk version \"21\" 2023-09-19", Some(21)),
            ("openjdk version \"22-ea\" 2024", Some(22)),
            ("no java here", None),
        ] {
            assert_eq!(java_version(text), version, "{text}");
        }
    }

    #[test]
    fn a_java_that_is_missing_too_old_or_none_is_told_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let fake = |name: &str, says: &str| {
            let path = folder.path().join(name);
            fs::write(&path, format!("#!/bin/sh\necho '{says}' >&2\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            path
        };
        check_java(&fake("good", "openjdk version \"17.0.15\"")).unwrap();
        for (java, part) in [
            (folder.path().join("missing"), "cannot run"),
            (fake("old", "java version \"1.8.0_392\""), "is Java 8"),
            (fake("none", "no java here"), "says: no java here"),
        ] {
            let error = check_java(&java).unwrap_err().to_string();
            for part in [part, "openjdk-17", "JAVA_HOME", "--engine process"] {
                assert!(error.contains(part), "no `{part}` in: {error}");
            }
        }
    }

    #[test]
    fn a_failing_command_tells_its_last_words_and_the_remedy() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two >&2; exit 4"]);
        let error = follow(&Step::begin("test"), command, "do this")
            .unwrap_err()
            .to_string();
        assert!(error.contains("do this\none\ntwo"), "{error}");
        let missing = Command::new("/no/such/program");
        let error = follow(&Step::begin("test"), missing, "do that")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("/no/such/program") && error.contains("do that"),
            "{error}"
        );
    }
}
