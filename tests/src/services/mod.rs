//! Real servers for tests and for `cargo xtask services`: fetched once, started on free loopback
//! ports, ended by their own pids.

pub mod jars;
pub mod proxy;
pub mod zookeeper;

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The Java that servers and Spark are started with: that of `JAVA_HOME`, else the one in `PATH`.
#[must_use]
pub fn java_program() -> PathBuf {
    let home = std::env::var_os("JAVA_HOME").filter(|home| !home.is_empty());
    home.map_or_else(
        || PathBuf::from("java"),
        |home| PathBuf::from(home).join("bin/java"),
    )
}

/// [`java_program`]; `None` when it cannot be run.
#[must_use]
pub fn java() -> Option<PathBuf> {
    let java = java_program();
    let mut version = Command::new(&java);
    version.arg("-version").stdin(Stdio::null());
    let answer = version.stdout(Stdio::null()).stderr(Stdio::null()).status();
    answer.is_ok_and(|status| status.success()).then_some(java)
}
