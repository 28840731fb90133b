//! Where the `doyen` program is, and how it is built.

use crate::{Outcome, trouble};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// How the program is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Quickly, with assertions: tests and the demo.
    Debug,
    /// For measuring.
    Release,
}

impl Profile {
    /// The name of its folder under `target/`.
    #[must_use]
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Release => "release",
        }
    }
}

/// The folder of the repository.
#[must_use]
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// The folder that cargo builds in.
#[must_use]
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Builds `doyen` and says where it is. `DOYEN_BIN` names one that is used as it is.
///
/// # Errors
/// Cargo fails (its own words go to stderr), or `DOYEN_BIN` names no file.
pub fn build_doyen(profile: Profile) -> Outcome<PathBuf> {
    if let Some(given) = std::env::var_os("DOYEN_BIN").map(PathBuf::from) {
        return if given.is_file() {
            Ok(given)
        } else {
            Err(trouble(format!(
                "DOYEN_BIN is {}, which is no file; unset it to build one",
                given.display()
            )))
        };
    }
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(root())
        .args(["build", "--quiet", "--package", "doyen", "--bin", "doyen"]);
    if profile == Profile::Release {
        cargo.arg("--release");
    }
    let status = cargo.status()?;
    let program = target().join(profile.folder()).join("doyen");
    if !status.success() {
        return Err(trouble(format!(
            "`cargo build --package doyen` ended with {status}"
        )));
    }
    if !program.is_file() {
        return Err(trouble(format!("cargo built no {}", program.display())));
    }
    Ok(program)
}

/// The debug program, built once in the life of the calling test program.
///
/// # Panics
/// It cannot be built.
#[must_use]
pub fn find_doyen() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| match build_doyen(Profile::Debug) {
        Ok(program) => program,
        Err(error) => panic!("no doyen program: {error}"),
    })
}

/// The Python with PySpark that Spark tests use: `DOYEN_TEST_PYTHON`, as `cargo xtask ci` sets it.
#[must_use]
pub fn spark_python() -> Option<PathBuf> {
    std::env::var_os("DOYEN_TEST_PYTHON").map(PathBuf::from)
}
