//! Core's own time: monotonic nanoseconds since the process started, and the store's stamps.
//!
//! The driver of a [`Process`](crate::process::Process) supplies `Time` from a clock that counts
//! suspend. Wall-clock time never enters: what records show to people comes from store stamps.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Monotonic nanoseconds since the host of a process started.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Time(u64);

impl Time {
    /// The start of the process.
    pub const ZERO: Self = Self(0);

    /// A time of so many nanoseconds since start.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// A time of so many milliseconds since start.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Nanoseconds since start.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since start.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// This time plus a duration; saturates at the end of time.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)),
        )
    }

    /// How long it is from `earlier` to this time; zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{:03}s",
            self.0 / 1_000_000_000,
            self.0 / 1_000_000 % 1_000
        )
    }
}

/// The time that the store gave a commit: milliseconds since the Unix epoch, by the store's clock.
///
/// Records show stamps to people; deadlines of calls and keys are counted by them
/// (protocol.md, Terms). No decision that ends a process or an attempt rests on a stamp (E8).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Stamp(pub u64);

impl Stamp {
    /// This stamp plus a duration.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
        )
    }

    /// Which hour since the Unix epoch this stamp lies in; history is kept in folders by hour (C1).
    #[must_use]
    pub const fn hour(self) -> u64 {
        self.0 / 3_600_000
    }
}

/// Follows the store's clock, answer by answer.
///
/// A stamp that steps back delays: what is counted from earlier stamps takes so much longer, what is
/// counted from later ones does not notice. One that leaps by more than the own clock can explain
/// is believed only after a second answer confirms it (protocol.md, Terms).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StampClock {
    latest: Stamp,
    at: Time,
    leap: Option<Stamp>,
}

/// Well above the bound of a store call, well below the deadline of a call.
const LEAP_MS: u64 = 5_000;

impl StampClock {
    /// Takes note of a stamp that an answer of the store carried.
    pub fn observe(&mut self, now: Time, stamp: Stamp) {
        let expected = self.now(now);
        let leaps = self.latest != Stamp(0) && stamp.0 > expected.0.saturating_add(LEAP_MS);
        if leaps && self.leap.is_none_or(|leap| stamp < leap) {
            self.leap = Some(stamp);
        } else {
            self.leap = None;
            self.latest = stamp;
            self.at = now;
        }
    }

    /// The last stamp that is believed: so far the store's clock has come for certain. Deadlines are
    /// judged by it (C4). `Stamp(0)` before the first answer.
    #[must_use]
    pub const fn reached(&self) -> Stamp {
        self.latest
    }

    /// The store's time as far as this process can tell, counted on by its own clock since the last
    /// answer; `Stamp(0)` before the first one.
    #[must_use]
    pub fn now(&self, now: Time) -> Stamp {
        if self.latest == Stamp(0) {
            self.latest
        } else {
            self.latest.after(now.since(self.at))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn a_leap_is_believed_only_when_confirmed() {
        let mut clock = StampClock::default();
        clock.observe(at(0), Stamp(1_000_000));
        clock.observe(at(10), Stamp(9_000_000));
        assert_eq!(clock.now(at(10)), Stamp(1_000_010));
        assert_eq!(clock.reached(), Stamp(1_000_000));
        clock.observe(at(20), Stamp(9_000_010));
        assert_eq!(clock.now(at(20)), Stamp(9_000_010));
        assert_eq!(clock.reached(), Stamp(9_000_010));
    }

    #[test]
    fn a_leap_that_the_next_answer_does_not_confirm_is_forgotten() {
        let mut clock = StampClock::default();
        clock.observe(at(0), Stamp(1_000_000));
        clock.observe(at(10), Stamp(9_000_000));
        clock.observe(at(20), Stamp(1_000_020));
        clock.observe(at(30), Stamp(9_000_020));
        assert_eq!(clock.reached(), Stamp(1_000_020));
    }

    #[test]
    fn a_stamp_after_a_long_time_without_answers_is_no_leap() {
        let mut clock = StampClock::default();
        clock.observe(at(0), Stamp(1_000_000));
        clock.observe(at(3_600_000), Stamp(4_600_900));
        assert_eq!(clock.reached(), Stamp(4_600_900));
    }

    #[test]
    fn a_stamp_that_steps_back_delays() {
        let mut clock = StampClock::default();
        clock.observe(at(0), Stamp(1_000_000));
        clock.observe(at(50), Stamp(900_000));
        assert_eq!(clock.reached(), Stamp(900_000));
        let before = Stamp(1_000_000).after(Duration::from_secs(1));
        assert!(clock.now(at(100_000)) < before, "a hundred seconds later");
        assert!(clock.now(at(101_050)) >= before);
        let since = Stamp(900_000).after(Duration::from_secs(1));
        assert!(
            clock.now(at(1_050)) >= since,
            "what began since does not notice"
        );
    }
}
