//! Exit codes (design.md 8).

use std::process::ExitCode;

/// Stopped as asked.
pub const STOPPED: u8 = 0;
/// Failed.
pub const FAILED: u8 = 1;
/// Wrong usage or configuration.
pub const USAGE: u8 = 2;
/// Downed or left out of the roster: start me again.
pub const START_AGAIN: u8 = 75;

/// An error for people on standard error, and the code for the caller.
#[must_use]
pub fn fail(code: u8, message: &dyn std::fmt::Display) -> ExitCode {
    super::text::error(&format!("doyen: {message}"));
    ExitCode::from(code)
}
