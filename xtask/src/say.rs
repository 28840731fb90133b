//! How work in progress is told: on standard error, with a moving line where that is a terminal and
//! plain lines where it is not; results on standard output.

use doyen_tests::Outcome;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// A line of results.
pub(crate) fn line(text: impl AsRef<str>) {
    // Nobody reads on (a closed pipe): there is nobody to tell either.
    let _ = writeln!(std::io::stdout().lock(), "{}", text.as_ref());
}

/// A line of progress.
pub(crate) fn note(text: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr().lock(), "{}", text.as_ref());
}

/// The last line for programs: one JSON object.
pub(crate) fn json(value: &Value) {
    line(value.to_string());
}

/// Something that takes a while.
pub(crate) struct Step {
    name: String,
    start: Instant,
    bar: Option<ProgressBar>,
}

impl Step {
    /// Says that it begins.
    pub(crate) fn begin(name: impl Into<String>) -> Self {
        let name = name.into();
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner().with_message(name.clone());
            let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
            if let Ok(style) = style {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        if bar.is_none() {
            note(format!("… {name}"));
        }
        Self {
            name,
            start: Instant::now(),
            bar,
        }
    }

    /// Says how far it is; only shown on a terminal.
    pub(crate) fn progress(&self, text: &str) {
        if let Some(bar) = &self.bar {
            let text: String = text.chars().take(70).collect();
            bar.set_message(format!("{}: {text}", self.name));
        }
    }

    /// Says that it is done, what came of it and how long it took.
    pub(crate) fn done(self, result: impl AsRef<str>) -> Duration {
        let took = self.start.elapsed();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let (name, result) = (&self.name, result.as_ref());
        let colon = if result.is_empty() { "" } else { ": " };
        note(format!(
            "✓ {name}{colon}{result} ({:.1} s)",
            took.as_secs_f64()
        ));
        took
    }

    /// Says that it failed.
    pub(crate) fn failed(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        note(format!(
            "✗ {} ({:.1} s)",
            self.name,
            self.start.elapsed().as_secs_f64()
        ));
    }
}

/// One step from beginning to end.
///
/// # Errors
/// Those of the work.
pub(crate) async fn step<T>(
    name: impl Into<String>,
    work: impl Future<Output = Outcome<T>>,
) -> Outcome<T> {
    let step = Step::begin(name);
    match work.await {
        Ok(value) => {
            step.done("");
            Ok(value)
        }
        Err(error) => {
            step.failed();
            Err(error)
        }
    }
}
