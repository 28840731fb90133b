//! Oracles: the invariants of design.md 5, one file each, and who listens to a run for them.

use crate::engine::Ran;
use crate::trace::seen::Seen;
use doyen_core::time::Time;

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which invariant, by its name in design.md 5.
    pub oracle: &'static str,
    /// When it was seen.
    pub at: Time,
    /// What is wrong, in words that name members, records and calls.
    pub what: String,
    /// What stays equal when a schedule is shrunk: the invariant and the roles involved, without
    /// names, numbers and times.
    pub fingerprint: String,
}

/// One invariant.
pub trait Oracle {
    /// Its name in design.md 5.
    fn name(&self) -> &'static str;

    /// One observation.
    ///
    /// # Errors
    /// The violation that it shows.
    fn seen(&mut self, at: Time, seen: &Seen<'_>) -> Result<(), Violation>;

    /// The run is over.
    ///
    /// # Errors
    /// The violation that only the end shows.
    fn end(&mut self, at: Time, ran: &Ran) -> Result<(), Violation>;

    /// Whether what it waits for after the heal has come to pass; `true` for what waits for
    /// nothing.
    fn is_settled(&self) -> bool {
        true
    }
}
