//! Jars of Maven Central, fetched once into `target/services/jars` and checked by their hashes.
//!
//! Maven itself is not needed: the jars of a server are a fixed list, and `curl`, `wget` or
//! `python3`, whichever is there, fetches a file.

use crate::program::target;
use crate::{Outcome, trouble};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where they are fetched from; `DOYEN_MAVEN_CENTRAL` names a mirror.
const CENTRAL: &str = "https://repo1.maven.org/maven2";

/// A jar: its path at Maven Central, and the SHA-256 of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jar {
    /// The path.
    pub path: &'static str,
    /// The hash, lower-case hexadecimal.
    pub sha256: &'static str,
}

/// Fetches those that are not there; says each on the way. Returns their files, in order.
///
/// # Errors
/// Nothing that can fetch, no network, or bytes of another hash.
pub fn fetch(jars: &[Jar], say: &mut dyn FnMut(&str)) -> Outcome<Vec<PathBuf>> {
    let folder = target().join("services/jars");
    fs::create_dir_all(&folder)?;
    jars.iter().map(|jar| one(jar, &folder, say)).collect()
}

fn one(jar: &Jar, folder: &Path, say: &mut dyn FnMut(&str)) -> Outcome<PathBuf> {
    let name = jar.path.rsplit('/').next().unwrap_or(jar.path);
    let file = folder.join(name);
    if file.is_file() {
        return Ok(file);
    }
    say(&format!("fetching {name}"));
    // Several may fetch at once: each into a file of its own, and the last rename wins.
    let partial = tempfile::Builder::new()
        .prefix(".fetch-")
        .tempfile_in(folder)?
        .into_temp_path();
    let central = std::env::var("DOYEN_MAVEN_CENTRAL").unwrap_or_else(|_| CENTRAL.to_owned());
    let address = format!("{central}/{}", jar.path);
    download(&address, &partial)?;
    check(jar, &address, &fs::read(&partial)?)?;
    partial.persist(&file).map_err(|error| error.error)?;
    Ok(file)
}

fn check(jar: &Jar, address: &str, bytes: &[u8]) -> Outcome<()> {
    let mut found = String::new();
    for byte in Sha256::digest(bytes) {
        let _ = write!(found, "{byte:02x}");
    }
    if found == jar.sha256 {
        return Ok(());
    }
    Err(trouble(format!(
        "{address} has SHA-256 {found}, and not {}: a proxy or mirror gives something else; \
         DOYEN_MAVEN_CENTRAL names another mirror",
        jar.sha256
    )))
}

fn download(address: &str, file: &Path) -> Outcome<()> {
    const PYTHON: &str = "import sys, urllib.request as r; r.urlretrieve(sys.argv[1], sys.argv[2])";
    let path = file.display().to_string();
    let tools: [(&str, Vec<&str>); 3] = [
        ("curl", vec!["-sSfL", "--retry", "3", "-o", &path, address]),
        ("wget", vec!["-q", "-O", &path, address]),
        ("python3", vec!["-c", PYTHON, address, &path]),
    ];
    let mut said = Vec::new();
    for (tool, arguments) in tools {
        let mut command = Command::new(tool);
        command.args(arguments).stdin(Stdio::null());
        match command.output() {
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => {
                let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                said.push(format!("{tool}: {} {words}", output.status));
            }
            Err(error) => said.push(format!("{tool}: {error}")),
        }
    }
    Err(trouble(format!(
        "cannot fetch {address}: install `curl` and see that Maven Central is reached; {}",
        said.join("; ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_bytes_are_refused_with_both_hashes() {
        let jar = Jar {
            path: "a/b.jar",
            sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        };
        check(&jar, "x", b"abc").unwrap();
        let error = check(&jar, "x", b"abd").unwrap_err().to_string();
        assert!(error.contains(jar.sha256), "{error}");
    }
}
