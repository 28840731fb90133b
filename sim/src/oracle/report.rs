//! How a violation is told.

use super::Violation;
use doyen_core::time::Time;

/// A violation. `rule` is a short word for what is broken within the oracle's invariant: it stays
/// equal while a schedule is shrunk, whatever names and times do.
#[must_use]
pub fn violation(oracle: &'static str, at: Time, rule: &str, what: String) -> Violation {
    Violation {
        oracle,
        at,
        what,
        fingerprint: format!("{oracle}/{rule}"),
    }
}

/// Ends an oracle's look with a violation when the condition does not hold.
macro_rules! claim {
    ($oracle:expr, $at:expr, $holds:expr, $rule:literal, $($what:tt)+) => {
        if !($holds) {
            return Err($crate::oracle::report::violation($oracle, $at, $rule, format!($($what)+)));
        }
    };
}
pub(crate) use claim;
