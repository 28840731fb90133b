//! The command line: `doyen <verb>`.

mod args;
mod cluster_verbs;
mod config_verbs;
pub mod exit;
pub mod logging;
pub mod text;

pub use args::{ConfigArgs, DriverArgs, KeeperArgs, StoreArgs};

use crate::config::Settings;
use crate::run;
use args::{Cli, ConfigVerb, JsonArgs, Verb};
use clap::Parser;
use std::process::ExitCode;

/// Reads the command line and does what it says. Wrong usage exits with 2.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = logging::start(cli.log_format) {
        return exit::fail(exit::USAGE, &error);
    }
    match cli.verb {
        Verb::Server(config) => with_settings(&config, run::server),
        Verb::Driver(args) => {
            let config = args.config.clone();
            with_settings(&config, |settings| run::driver(settings, args))
        }
        Verb::Keeper(args) => run::keeper(args),
        Verb::Store(args) => run::store(args),
        Verb::Members(args) => cluster_verbs::members(&args),
        Verb::Leave(args) => cluster_verbs::leave(&args),
        Verb::Config(ConfigVerb::Check(args)) => config_verbs::check(&args),
        Verb::Config(ConfigVerb::Keys(args)) => config_verbs::keys(&args),
        Verb::Version(args) => version(&args),
    }
}

/// Reads the configuration, says what an operator should know, and goes on; else exit 2.
fn with_settings(config: &ConfigArgs, go: impl FnOnce(Settings) -> ExitCode) -> ExitCode {
    match Settings::load_with(config.config.as_deref(), &config.set) {
        Ok((settings, report)) => {
            for warning in report.warnings() {
                tracing::warn!("{warning}");
            }
            go(settings)
        }
        Err(errors) => {
            for problem in &errors.0 {
                text::error(&format!("doyen: {problem}"));
            }
            text::error("doyen: `doyen config check` shows the whole configuration");
            ExitCode::from(exit::USAGE)
        }
    }
}

fn version(args: &JsonArgs) -> ExitCode {
    let version = env!("CARGO_PKG_VERSION");
    text::line(&if args.json {
        serde_json::json!({ "name": "doyen", "version": version }).to_string()
    } else {
        format!("doyen {version}")
    });
    ExitCode::from(exit::STOPPED)
}
