//! The simulated flavour: runtime and sim built with `--cfg madsim` (design.md 6).
//!
//! It has a target folder of its own, so that neither flavour builds the other one anew.

use crate::Verdict;
use crate::sim::Flavour;
use doyen_tests::{Outcome, program, trouble};
use std::process::Command;

/// Runs cargo on the simulated flavour: a command, then its arguments.
///
/// # Errors
/// Cargo cannot be run.
pub(crate) fn run(arguments: &[String]) -> Outcome<Verdict> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(program::root())
        .envs(Flavour::Madsim.environment())
        .args(arguments);
    let status = command
        .status()
        .map_err(|error| trouble(format!("cannot run cargo {}: {error}", arguments.join(" "))))?;
    Ok(Verdict::of(status.success()))
}
