//! `ci`: what CI runs, step by step; the first failure ends it.

use crate::say;
use crate::sim::{self, Flavour};
use crate::{Verdict, chromium, madsim, python, tidy};
use clap::Args;
use doyen_tests::{Outcome, program, trouble};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// What is installed when it is not there.
const CARGO_DENY: &str = "cargo-deny";
const CARGO_DENY_VERSION: &str = "0.20.2";

/// What CI simulates: a name and the arguments of `doyen-sim`.
const SIMULATIONS: [(&str, &str); 5] = [
    ("named schedules", "corpus check tests/corpus"),
    ("simulate: direct", "run --seeds 0..100000"),
    ("simulate: madsim", "run --engine madsim --seeds 0..1000"),
    ("determinism", "selfcheck --determinism --seeds 0..500"),
    ("canary", "selfcheck --planted --bug canary"),
];

#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Leave out what needs Spark: Java, the environment with PySpark and the tests that use it.
    #[arg(long)]
    without_spark: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct TestOptions {
    /// Leave out the tests that need Spark, Java and PySpark.
    #[arg(long)]
    without_spark: bool,
    /// Passed on to `cargo test`, e.g. `-- -p doyen-core roster`.
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Names and times of the steps that are done.
#[derive(Default)]
struct Steps(Vec<(String, Duration)>);

impl Steps {
    fn step(&mut self, name: &str, work: impl FnOnce() -> Outcome<()>) -> Outcome<()> {
        say::note(format!("\n== {name}"));
        let start = Instant::now();
        let outcome = work();
        let took = start.elapsed();
        self.0.push((name.to_owned(), took));
        outcome.map_err(|error| {
            self.summary();
            trouble(format!(
                "ci stopped at `{name}` after {:.1} s: {error}",
                took.as_secs_f64()
            ))
        })?;
        say::note(format!("== {name}: {:.1} s", took.as_secs_f64()));
        Ok(())
    }

    fn summary(&self) {
        say::note("\nseconds  step");
        for (name, took) in &self.0 {
            say::note(format!("{:7.1}  {name}", took.as_secs_f64()));
        }
        let total: Duration = self.0.iter().map(|(_, took)| *took).sum();
        say::note(format!("{:7.1}  all", total.as_secs_f64()));
    }
}

/// # Errors
/// The step that failed, and why.
pub(crate) fn run(options: &Options) -> Outcome<Verdict> {
    let mut steps = Steps::default();
    steps.step("format", || cargo(&["fmt", "--all", "--", "--check"]).run())?;
    steps.step("lints", || {
        let arguments = [
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ];
        cargo(&arguments).run()
    })?;
    steps.step("tidy", || match tidy::run()? {
        Verdict::Good => Ok(()),
        Verdict::Bad | Verdict::NotBuilt => Err(trouble("see the complaints above")),
    })?;
    steps.step("docs", || {
        let docs = cargo(&["doc", "--workspace", "--no-deps", "--locked"]);
        docs.env("RUSTDOCFLAGS", "-D warnings").run()
    })?;
    steps.step("licences, bans, sources", deny)?;
    steps.step("fuzz targets", || {
        // Without libFuzzer itself, which needs a nightly compiler to be of use.
        let arguments = [
            "check",
            "--manifest-path",
            "fuzz/Cargo.toml",
            "--no-default-features",
        ];
        let target = program::target().join("fuzz");
        cargo(&arguments)
            .env("CARGO_TARGET_DIR", &target.display().to_string())
            .run()
    })?;
    test_steps(&mut steps, options.without_spark, &[])?;
    steps.step("tests with madsim", || {
        for arguments in [
            "test --locked --package doyen-runtime --lib",
            "test --locked --package doyen-sim --test madsim",
        ] {
            let arguments: Vec<_> = arguments.split(' ').map(ToOwned::to_owned).collect();
            if madsim::run(&arguments)? != Verdict::Good {
                return Err(trouble("see cargo's words above"));
            }
        }
        Ok(())
    })?;
    simulate(&mut steps)?;
    steps.summary();
    Ok(Verdict::Good)
}

/// The simulator's own flavours, the default suite on both engines, and the checks of the check.
fn simulate(steps: &mut Steps) -> Outcome<()> {
    for (flavour, what) in [
        (Flavour::Madsim, "madsim"),
        (Flavour::Planted, "planted bugs"),
    ] {
        steps.step(&format!("lints with {what}"), || {
            let lints = ["--locked", "--all-targets", "--", "-D", "warnings"];
            let mut clippy = cargo(&["clippy", "--package", "doyen-sim"]);
            clippy
                .arguments
                .extend(flavour.features().iter().map(|one| (*one).to_owned()));
            clippy.arguments.extend(lints.map(str::to_owned));
            clippy.environment.extend(flavour.environment());
            clippy.run()
        })?;
    }
    for (name, arguments) in SIMULATIONS {
        let arguments: Vec<_> = arguments.split(' ').map(ToOwned::to_owned).collect();
        steps.step(name, || sim::run(&arguments).map_err(trouble))?;
    }
    Ok(())
}

/// # Errors
/// Tests fail, or what they need is missing.
pub(crate) fn test(options: &TestOptions) -> Outcome<Verdict> {
    let mut steps = Steps::default();
    test_steps(&mut steps, options.without_spark, &options.arguments)?;
    steps.summary();
    Ok(Verdict::Good)
}

fn test_steps(steps: &mut Steps, without_spark: bool, arguments: &[String]) -> Outcome<()> {
    let mut found = None;
    if !without_spark {
        steps.step("PySpark", || {
            found = Some(python::spark_python()?);
            Ok(())
        })?;
    }
    steps.step("Chromium", || {
        chromium::install();
        Ok(())
    })?;
    steps.step("build the program", || {
        program::build_doyen(program::Profile::Debug).map(drop)
    })?;
    steps.step("tests", || {
        let mut tests = cargo(&["test", "--locked"]);
        if arguments.is_empty() {
            tests.arguments.push("--workspace".to_owned());
        }
        tests.arguments.extend_from_slice(arguments);
        if let Some(python) = &found {
            tests = tests.env("DOYEN_TEST_PYTHON", &python.display().to_string());
        }
        tests.run()
    })
}

/// A call of cargo, or of a tool, in the root of the repository. Its output passes through.
struct Call {
    program: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(&'static str, String)>,
}

fn cargo(arguments: &[&str]) -> Call {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    Call {
        program: cargo.into(),
        arguments: arguments.iter().map(|a| (*a).to_owned()).collect(),
        environment: Vec::new(),
    }
}

impl Call {
    fn env(mut self, name: &'static str, value: &str) -> Self {
        self.environment.push((name, value.to_owned()));
        self
    }

    fn run(&self) -> Outcome<()> {
        let mut command = Command::new(&self.program);
        command.current_dir(program::root()).args(&self.arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let what = format!("{} {}", self.program.display(), self.arguments.join(" "));
        let status = command
            .status()
            .map_err(|e| trouble(format!("cannot run `{what}`: {e}")))?;
        if status.success() {
            Ok(())
        } else {
            Err(trouble(format!("`{what}`: {status}")))
        }
    }
}

/// Checks licences, bans and sources of all dependencies; not advisories, which change by the day.
fn deny() -> Outcome<()> {
    let tools = program::target().join("tools");
    let tool = tools.join("bin/cargo-deny");
    if !tool.is_file() {
        say::note(format!(
            "installing {CARGO_DENY} {CARGO_DENY_VERSION} into target/tools, once"
        ));
        let root = tools.display().to_string();
        let arguments = [
            "install",
            CARGO_DENY,
            "--version",
            CARGO_DENY_VERSION,
            "--locked",
            "--root",
            &root,
        ];
        cargo(&arguments).run()?;
    }
    let arguments = ["--locked", "check", "bans", "licenses", "sources"];
    let arguments = arguments.iter().map(|a| (*a).to_owned()).collect();
    Call {
        program: tool,
        arguments,
        environment: Vec::new(),
    }
    .run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_names_its_step_and_later_ones_do_not_run() {
        let mut steps = Steps::default();
        steps.step("one", || Ok(())).unwrap();
        let error = steps
            .step("two", || Err(trouble("broken")))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("`two`") && error.contains("broken"),
            "{error}"
        );
        assert_eq!(steps.0.len(), 2);
    }

    #[test]
    fn a_call_that_fails_names_itself() {
        let call = |program: &str| Call {
            program: program.into(),
            arguments: vec!["x".to_owned()],
            environment: Vec::new(),
        };
        assert!(call("true").run().is_ok());
        assert!(
            call("false")
                .run()
                .unwrap_err()
                .to_string()
                .contains("`false x`")
        );
        assert!(
            call("/no/such")
                .run()
                .unwrap_err()
                .to_string()
                .contains("cannot run")
        );
    }
}
