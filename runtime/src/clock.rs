//! The clock of a process: nanoseconds since its start, suspend included.

use crate::platform::boot_nanos;
use doyen_core::time::Time;

/// Reads `CLOCK_BOOTTIME`, so that a machine that slept makes leases and silences look as old as
/// they are.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: u64,
}

impl Clock {
    /// A clock that begins now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            start: boot_nanos(),
        }
    }

    /// The time since the start of this clock; never decreases.
    #[must_use]
    pub fn now(&self) -> Time {
        Time::from_nanos(boot_nanos().saturating_sub(self.start))
    }
}

#[cfg(test)]
#[cfg(not(madsim))]
mod tests {
    use super::*;

    #[test]
    fn a_clock_begins_at_zero_and_does_not_step_back() {
        let clock = Clock::start();
        let mut last = clock.now();
        assert!(last.as_millis() < 10_000, "{last} since start");
        for _ in 0..1_000 {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
        assert!(last > Time::ZERO);
    }
}
