//! The store's time, as far as this process can tell: ZooKeeper stamps writes and nothing else.

use doyen_core::time::Stamp;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The stamp of the last own write, counted on by the own clock since its answer came: never ahead
/// of the store but for the drift of two clocks since that write.
#[derive(Debug, Default)]
pub(super) struct StoreClock(Mutex<Option<(Stamp, Instant)>>);

impl StoreClock {
    /// Takes note of the stamp of an own write. It may be lower than before: another server leads,
    /// whose clock is behind.
    pub(super) fn stamped(&self, stamp: Stamp) {
        self.set(stamp, Instant::now());
    }

    /// The store's time now; `Stamp(0)` before the first own write.
    pub(super) fn now(&self) -> Stamp {
        self.at(Instant::now())
    }

    fn set(&self, stamp: Stamp, now: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((stamp, now));
    }

    fn at(&self, now: Instant) -> Stamp {
        let known = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.map_or(Stamp(0), |(stamp, at)| {
            Stamp(
                stamp
                    .0
                    .saturating_add(millis(now.saturating_duration_since(at))),
            )
        })
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A time of ZooKeeper: milliseconds since the Unix epoch.
pub(super) fn stamp(millis: i64) -> Stamp {
    Stamp(u64::try_from(millis).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_time_counts_on_from_the_last_stamp_and_follows_it_back() {
        let (clock, start) = (StoreClock::default(), Instant::now());
        assert_eq!(clock.at(start), Stamp(0));
        clock.set(Stamp(1_000), start);
        assert_eq!(clock.at(start + Duration::from_millis(30)), Stamp(1_030));
        clock.set(Stamp(500), start + Duration::from_millis(40));
        assert_eq!(clock.at(start + Duration::from_millis(41)), Stamp(501));
        assert_eq!(clock.at(start), Stamp(500));
    }
}
