//! `cargo xtask sim`: `doyen-sim` in the flavour that its arguments need.

use crate::say;
use clap::Args;
use doyen_tests::program;
use std::path::PathBuf;
use std::process::{Command, ExitCode, ExitStatus};

/// A fault of the simulator or its use: `doyen-sim`'s own code for it (design.md 6).
const FAULT: u8 = 3;
/// The profile of the workspace that it is built with, and the folder of what it builds.
const PROFILE: &str = "sim";

#[derive(Args, Clone, Debug)]
#[command(disable_help_flag = true)]
pub(crate) struct Options {
    /// Passed on to `doyen-sim`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// How the simulator is compiled. Each flavour has a folder of its own, so that none rebuilds
/// another's dependencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// Core in a discrete-event world.
    Direct,
    /// The same with bugs to plant.
    Planted,
    /// The real runtime on madsim.
    Madsim,
}

impl Flavour {
    /// The flavour that these arguments of `doyen-sim` need.
    fn of(arguments: &[String]) -> Self {
        let has = |flag: &str| arguments.iter().any(|one| one == flag);
        let engine = arguments
            .windows(2)
            .any(|two| two == ["--engine", "madsim"]);
        if has("--conformance") || has("--engine=madsim") || engine {
            Self::Madsim
        } else if has("--planted") || has("--bug") {
            Self::Planted
        } else {
            Self::Direct
        }
    }

    fn target(self) -> PathBuf {
        match self {
            Self::Direct => program::target(),
            Self::Planted => program::target().join("planted"),
            Self::Madsim => program::target().join("madsim"),
        }
    }

    /// Features that cargo is asked for.
    pub(crate) const fn features(self) -> &'static [&'static str] {
        match self {
            Self::Direct | Self::Madsim => &[],
            Self::Planted => &["--features", "planted"],
        }
    }

    /// Variables that cargo is given.
    pub(crate) fn environment(self) -> Vec<(&'static str, String)> {
        let mut variables = vec![("CARGO_TARGET_DIR", self.target().display().to_string())];
        if self == Self::Madsim {
            // These win over everybody's own `RUSTFLAGS`.
            for name in ["CARGO_ENCODED_RUSTFLAGS", "CARGO_ENCODED_RUSTDOCFLAGS"] {
                variables.push((name, "--cfg\x1fmadsim".to_owned()));
            }
        }
        variables
    }

    /// Builds `doyen-sim` in this flavour and says where it is.
    fn build(self) -> Result<PathBuf, String> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .current_dir(program::root())
            .args(["build", "--quiet", "--profile", PROFILE])
            .args(["--package", "doyen-sim"])
            .args(self.features())
            .envs(self.environment())
            .status()
            .map_err(|error| format!("cargo: {error}"))?;
        if !status.success() {
            return Err(format!(
                "cargo could not build doyen-sim ({self:?}): {status}"
            ));
        }
        Ok(self.target().join(PROFILE).join("doyen-sim"))
    }
}

/// Runs it and passes its exit code on.
pub(crate) fn main(options: &Options) -> ExitCode {
    match status(&options.arguments) {
        // Ended by a signal, it has no code.
        Ok(status) => ExitCode::from(
            status
                .code()
                .and_then(|c| c.try_into().ok())
                .unwrap_or(FAULT),
        ),
        Err(error) => {
            say::note(format!("error: {error}"));
            ExitCode::from(FAULT)
        }
    }
}

/// Runs it.
///
/// # Errors
/// It cannot be built or run, or it does not end with 0.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let status = status(arguments)?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("doyen-sim {}: {status}", arguments.join(" ")))
    }
}

fn status(arguments: &[String]) -> Result<ExitStatus, String> {
    let program = Flavour::of(arguments).build()?;
    let status = Command::new(&program)
        .current_dir(program::root())
        .args(arguments)
        .status();
    status.map_err(|error| format!("{}: {error}", program.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_choose_the_flavour() {
        for (line, flavour) in [
            ("run --seeds 0..10", Flavour::Direct),
            ("run --engine direct", Flavour::Direct),
            ("run --engine madsim", Flavour::Madsim),
            ("replay 7 --engine=madsim", Flavour::Madsim),
            ("selfcheck --conformance", Flavour::Madsim),
            ("selfcheck --planted --bug canary", Flavour::Planted),
            ("explain 11 --bug answers-once", Flavour::Planted),
        ] {
            let arguments: Vec<_> = line.split(' ').map(ToOwned::to_owned).collect();
            assert_eq!(Flavour::of(&arguments), flavour, "{line}");
        }
    }
}
