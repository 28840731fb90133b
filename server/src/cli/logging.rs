//! Logs of the program: to standard error, as text or as JSON, filtered by `DOYEN_LOG`.

use clap::ValueEnum;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for programs.
    Json,
}

/// The environment variable with the filter, e.g. `info,doyen_core=debug`.
pub const FILTER: &str = "DOYEN_LOG";

/// Starts logging; a second call does nothing.
///
/// # Errors
/// `DOYEN_LOG` is no filter.
pub fn start(format: LogFormat) -> Result<(), String> {
    let text = std::env::var(FILTER).unwrap_or_else(|_| "info".to_owned());
    let filter = EnvFilter::try_new(&text)
        .map_err(|error| format!("{FILTER}: found `{text}`, expected e.g. info: {error}"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    // A second start in one process (tests) keeps the first one's format.
    let _ = match format {
        LogFormat::Text => builder
            .with_ansi(std::io::stderr().is_terminal())
            .try_init(),
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            .with_target(true)
            .try_init(),
    };
    Ok(())
}
