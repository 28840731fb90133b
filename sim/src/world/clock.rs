//! The clock of one process: it may drift, jump ahead and stand still, but never steps back, as
//! `CLOCK_BOOTTIME` does not.

use doyen_core::time::Time;
use std::time::Duration;

const MILLION: i128 = 1_000_000;

/// Maps the world's time to what a process reads.
#[derive(Clone, Debug)]
pub struct Clock {
    /// Since this time of the world…
    since: Time,
    /// …it counts on from this reading…
    reading: Time,
    /// …so many parts in a million faster.
    ppm: i32,
    frozen: bool,
}

impl Clock {
    /// A true clock that reads `reading` when the world's time is `now`.
    #[must_use]
    pub const fn new(now: Time, reading: Time) -> Self {
        Self {
            since: now,
            reading,
            ppm: 0,
            frozen: false,
        }
    }

    /// What it reads at this time of the world.
    #[must_use]
    pub fn read(&self, now: Time) -> Time {
        let passed = now.as_nanos().saturating_sub(self.since.as_nanos());
        if self.frozen {
            return self.reading;
        }
        if self.ppm == 0 {
            return Time::from_nanos(self.reading.as_nanos().saturating_add(passed));
        }
        let more = i128::from(passed) * i128::from(self.ppm) / MILLION;
        let total = i128::from(self.reading.as_nanos()) + i128::from(passed) + more;
        Time::from_nanos(u64::try_from(total).unwrap_or(u64::MAX))
    }

    /// The first time of the world at which it reads `wanted` or later; `None` while it is frozen
    /// before that.
    #[must_use]
    pub fn when(&self, wanted: Time) -> Option<Time> {
        let ahead = wanted.as_nanos().saturating_sub(self.reading.as_nanos());
        if ahead == 0 {
            return Some(self.since);
        }
        if self.frozen {
            return None;
        }
        let rate = MILLION + i128::from(self.ppm);
        let passed = if self.ppm == 0 {
            ahead
        } else {
            let exact = (i128::from(ahead) * MILLION).checked_div(rate.max(1))?;
            u64::try_from(exact).unwrap_or(u64::MAX).saturating_add(1)
        };
        Some(Time::from_nanos(
            self.since.as_nanos().saturating_add(passed),
        ))
    }

    fn settle(&mut self, now: Time) {
        self.reading = self.read(now);
        self.since = now;
    }

    /// From now on it runs so many parts in a million faster; slower when negative.
    pub fn drift(&mut self, now: Time, ppm: i32) {
        self.settle(now);
        self.ppm = ppm.clamp(-999_999, 10_000_000);
    }

    /// It jumps ahead.
    pub fn step(&mut self, now: Time, by: Duration) {
        self.settle(now);
        self.reading = self.reading.after(by);
    }

    /// It stands still, or goes on from where it stood.
    pub fn freeze(&mut self, now: Time, frozen: bool) {
        self.settle(now);
        self.frozen = frozen;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn a_clock_drifts_jumps_and_stands_still_but_never_goes_back() {
        let mut clock = Clock::new(ms(1_000), ms(3));
        assert_eq!(clock.read(ms(2_000)), ms(1_003));
        clock.drift(ms(2_000), 100_000);
        assert_eq!(clock.read(ms(3_000)), ms(2_103));
        clock.drift(ms(3_000), -500_000);
        assert_eq!(clock.read(ms(4_000)), ms(2_603));
        clock.drift(ms(4_000), 0);
        clock.step(ms(4_000), Duration::from_secs(5));
        assert_eq!(clock.read(ms(4_000)), ms(7_603));
        clock.freeze(ms(4_000), true);
        assert_eq!(clock.read(ms(9_000)), ms(7_603));
        clock.freeze(ms(9_000), false);
        assert_eq!(clock.read(ms(9_001)), ms(7_604));
    }

    #[test]
    fn when_is_the_first_time_at_which_it_reads_so() {
        for ppm in [0, 1, -1, 333, -333, 500_000, -500_000] {
            let mut clock = Clock::new(ms(1_000), ms(0));
            clock.drift(ms(1_500), ppm);
            for wanted in [501, 777, 5_000, 123_456] {
                let at = clock.when(ms(wanted)).unwrap();
                assert!(clock.read(at) >= ms(wanted), "{ppm} {wanted}");
                let before = Time::from_nanos(at.as_nanos().saturating_sub(10));
                assert!(clock.read(before) < ms(wanted), "{ppm} {wanted}");
            }
        }
        let mut clock = Clock::new(ms(0), ms(0));
        clock.freeze(ms(10), true);
        assert_eq!(clock.when(ms(11)), None);
        assert_eq!(clock.when(ms(5)), Some(ms(10)));
    }
}
