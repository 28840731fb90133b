//! Chromium and its driver, for the tests that look at pages: from Debian's packages.

use crate::say::{self, Step};
use doyen_tests::browser::{self, CHROMEDRIVER, CHROMIUM};
use doyen_tests::{Outcome, running, trouble};
use std::process::{Command, Stdio};

/// Installs the browser when it is not there and we may; otherwise says loudly that its tests are
/// skipped, and why.
pub(crate) fn install() {
    let step = Step::begin("Chromium for the tests of pages");
    if browser::is_installed() {
        step.done("there already");
        return;
    }
    let outcome = if rustix::process::geteuid().is_root() {
        let update = apt(&step, &["update"]);
        update.and_then(|()| apt(&step, &["install", "-y", "chromium", "chromium-driver"]))
    } else {
        Err(trouble("only root may install it"))
    };
    match outcome {
        Ok(()) if browser::is_installed() => {
            step.done("installed");
        }
        outcome => {
            step.failed();
            let why = outcome.err().map_or_else(
                || "apt-get did not bring it".to_owned(),
                |error| error.to_string(),
            );
            say::note(format!(
                "!! SKIPPED: the tests that open pages in a browser, for want of {CHROMIUM} and \
                 {CHROMEDRIVER}: {why}\n!! Remedy: apt-get install chromium chromium-driver"
            ));
        }
    }
}

fn apt(step: &Step, arguments: &[&str]) -> Outcome<()> {
    step.progress(&format!("apt-get {}", arguments.join(" ")));
    let mut command = Command::new("apt-get");
    command.arg("-qq").args(arguments).stdin(Stdio::null());
    command.env("DEBIAN_FRONTEND", "noninteractive");
    let output = command
        .output()
        .map_err(|error| trouble(format!("cannot run apt-get: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(trouble(format!(
        "apt-get {}: {}: {}",
        arguments.join(" "),
        output.status,
        running::tail(&said, 4)
    )))
}
