//! Random streams by purpose: SplitMix64 (Steele, Lea, Flood 2014), value-stable.

use crate::schedule::model::Schedule;
use std::collections::BTreeMap;
use std::time::Duration;

/// One stream.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// At least `low` and less than `high`, or `low`.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        let span = high.saturating_sub(low).max(1);
        low.saturating_add(self.next().checked_rem(span).unwrap_or(0))
    }

    /// A duration of at least `low` and less than `high` microseconds.
    pub(super) fn micros(&mut self, (low, high): (u64, u64)) -> Duration {
        Duration::from_micros(self.between(low, high))
    }

    /// Whether one of so many of a thousand.
    pub(super) fn permille(&mut self, of: u32) -> bool {
        of > 0 && self.between(0, 1_000) < u64::from(of)
    }
}

/// All streams of a run, each by purpose and place.
#[derive(Debug)]
pub(super) struct Streams {
    seed: u64,
    seeds: BTreeMap<String, u64>,
    streams: BTreeMap<(&'static str, u16), Random>,
}

impl Streams {
    pub(super) fn new(schedule: &Schedule) -> Self {
        Self {
            seed: schedule.seed,
            seeds: schedule.seeds.clone(),
            streams: BTreeMap::new(),
        }
    }

    /// The seed of a purpose.
    pub(super) fn seed(&self, purpose: &str) -> u64 {
        self.seeds.get(purpose).copied().unwrap_or_else(|| {
            // FNV-1a of the name.
            let name = purpose
                .bytes()
                .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
                    (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
                });
            Random(self.seed ^ name).next()
        })
    }

    /// The stream of a purpose at a place.
    pub(super) fn of(&mut self, purpose: &'static str, place: u16) -> &mut Random {
        let seed = self.seed(purpose);
        self.streams.entry((purpose, place)).or_insert_with(|| {
            let mut first = Random(seed ^ (u64::from(place) << 48));
            Random(first.next())
        })
    }
}
