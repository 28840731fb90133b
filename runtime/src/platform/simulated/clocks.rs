//! Clocks of machines: each may drift, jump ahead and stand still, but never steps back, as
//! `CLOCK_BOOTTIME` does not. Timers go by the world's time, as tokio's go by another clock.

use super::kernel::State;
use super::net::Net;
use super::paths::nanos;
use madsim::task::NodeId;
use std::time::Duration;

const MILLION: i128 = 1_000_000;

/// Maps the world's time to what a machine reads.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    since: u64,
    reading: u64,
    ppm: i32,
    frozen: bool,
}

impl Clock {
    fn read(self, now: u64) -> u64 {
        if self.frozen {
            return self.reading;
        }
        let passed = now.saturating_sub(self.since);
        if self.ppm == 0 {
            return self.reading.saturating_add(passed);
        }
        let more = i128::from(passed) * i128::from(self.ppm) / MILLION;
        let total = i128::from(self.reading) + i128::from(passed) + more;
        u64::try_from(total).unwrap_or(u64::MAX)
    }

    fn settle(&mut self, now: u64) {
        self.reading = self.read(now);
        self.since = now;
    }
}

impl Net {
    /// What the clock of a node's machine reads, in nanoseconds; the world's time for a node
    /// without one.
    #[must_use]
    pub fn clock(&self, node: NodeId) -> u64 {
        self.with(|state| {
            let now = state.now;
            clock(state, node).map_or(now, |clock| clock.read(now))
        })
    }

    /// From now on the clock of a node's machine runs so many parts in a million faster; slower
    /// when negative.
    pub fn drift(&self, node: NodeId, ppm: i32) {
        self.set_clock(node, |clock| clock.ppm = ppm.clamp(-999_999, 10_000_000));
    }

    /// The clock of a node's machine jumps ahead.
    pub fn step(&self, node: NodeId, by: Duration) {
        self.set_clock(node, |clock| {
            clock.reading = clock.reading.saturating_add(nanos(by));
        });
    }

    /// The clock of a node's machine stands still, or goes on from where it stood.
    pub fn freeze(&self, node: NodeId, frozen: bool) {
        self.set_clock(node, |clock| clock.frozen = frozen);
    }

    fn set_clock(&self, node: NodeId, change: impl FnOnce(&mut Clock)) {
        self.with(|state| {
            let now = state.now;
            if let Some(clock) = clock(state, node) {
                clock.settle(now);
                change(clock);
            }
        });
    }
}

fn clock(state: &mut State, node: NodeId) -> Option<&mut Clock> {
    let host = usize::try_from(state.host_of(node)?).ok()?;
    state.hosts.get_mut(host).map(|host| &mut host.clock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_drifts_jumps_and_stands_still_and_never_steps_back() {
        let mut clock = Clock::default();
        assert_eq!(clock.read(5_000_000), 5_000_000);
        clock.settle(5_000_000);
        clock.ppm = 100_000;
        assert_eq!(clock.read(6_000_000), 6_100_000);
        clock.settle(6_000_000);
        clock.frozen = true;
        assert_eq!(clock.read(9_000_000), 6_100_000);
        clock.settle(9_000_000);
        (clock.frozen, clock.ppm) = (false, 0);
        assert_eq!(clock.read(9_000_001), 6_100_001);
    }
}
