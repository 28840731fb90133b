//! Value-stable streams of random numbers, one for each purpose and node: SplitMix64 (Steele, Lea,
//! Flood 2014), so that a seed means the same in every release and on every machine.

use std::collections::BTreeMap;
use std::time::Duration;

/// What random numbers are for. One more draw for one purpose moves no other purpose's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// Ids: incarnations, calls, jobs, clusters.
    Identity,
    /// How long packets take, by link.
    Latency,
    /// Which packets are lost, doubled or overtaken, by link.
    Loss,
    /// How late a process does what it decided, and how late its timers are.
    Host,
    /// Clocks: where they begin.
    Clock,
    /// How long the store takes, and what becomes of its answers.
    Store,
    /// How long launches take, and what goes wrong with them.
    Launch,
    /// How long engines and their jobs take.
    Engine,
    /// How long clients' requests are on their way.
    Client,
    /// What faults leave to chance.
    Fault,
}

impl Purpose {
    /// Its name in a schedule's `seeds`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Latency => "latency",
            Self::Loss => "loss",
            Self::Host => "host",
            Self::Clock => "clock",
            Self::Store => "store",
            Self::Launch => "launch",
            Self::Engine => "engine",
            Self::Client => "client",
            Self::Fault => "fault",
        }
    }
}

/// Every purpose, in the order of its declaration.
pub const PURPOSES: [Purpose; 10] = [
    Purpose::Identity,
    Purpose::Latency,
    Purpose::Loss,
    Purpose::Host,
    Purpose::Clock,
    Purpose::Store,
    Purpose::Launch,
    Purpose::Engine,
    Purpose::Client,
    Purpose::Fault,
];

/// Where the streams of a run come from.
#[derive(Clone, Debug)]
pub struct Streams {
    roots: [u64; PURPOSES.len()],
}

impl Streams {
    /// The streams of this seed; `seeds` replaces it for single purposes, by name.
    #[must_use]
    pub fn new(seed: u64, seeds: &BTreeMap<String, u64>) -> Self {
        let of = |purpose: Purpose| {
            let root = seeds.get(purpose.name()).copied().unwrap_or(seed);
            mix(root ^ fnv(purpose.name()))
        };
        Self {
            roots: PURPOSES.map(of),
        }
    }

    /// The stream of a purpose for one node, or one link: `of` and `to` are its ends.
    #[must_use]
    pub fn stream(&self, purpose: Purpose, of: u64, to: u64) -> Random {
        let index = PURPOSES.iter().position(|one| *one == purpose);
        let root = index.map_or(0, |index| self.roots[index]);
        Random(mix(mix(root.wrapping_add(of)).wrapping_add(to)))
    }
}

const fn mix(value: u64) -> u64 {
    let z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The 64-bit FNV-1a hash of a text.
#[must_use]
pub fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// One stream.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The stream that begins with this seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        let number = mix(self.0);
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        number
    }

    /// A number below `bound`; 0 when that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The high half of a 128-bit product: nearly even, without a division.
        let product = u128::from(self.next()) * u128::from(bound);
        u64::try_from(product >> 64).unwrap_or(0)
    }

    /// A duration of at least `low` and less than `high` microseconds, in whole nanoseconds.
    pub fn micros(&mut self, low: u64, high: u64) -> Duration {
        let span = high.saturating_sub(low).saturating_mul(1_000);
        Duration::from_nanos(low.saturating_mul(1_000).saturating_add(self.below(span)))
    }

    /// A duration below this one.
    pub fn up_to(&mut self, bound: Duration) -> Duration {
        let nanos = u64::try_from(bound.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.below(nanos))
    }

    /// True so many times of a thousand.
    pub fn permille(&mut self, of_thousand: u32) -> bool {
        self.below(1_000) < u64::from(of_thousand)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_the_published_one() {
        let mut random = Random::new(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn streams_of_purposes_and_nodes_have_their_own_values_for_ever() {
        let streams = Streams::new(42, &BTreeMap::new());
        let mut seen = Vec::new();
        for purpose in PURPOSES {
            for node in 0..3 {
                seen.push(streams.stream(purpose, node, 0).next());
            }
        }
        let first = seen.clone();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), first.len(), "no two streams begin alike");
        assert_eq!(streams.stream(Purpose::Store, 1, 2).next(), VECTOR);
    }

    const VECTOR: u64 = 10_797_502_879_645_084_629;

    #[test]
    fn a_seed_of_a_purpose_moves_that_purpose_only() {
        let plain = Streams::new(42, &BTreeMap::new());
        let other = Streams::new(42, &BTreeMap::from([("store".to_owned(), 7)]));
        for purpose in PURPOSES {
            let same = plain.stream(purpose, 1, 0).next() == other.stream(purpose, 1, 0).next();
            assert_eq!(same, purpose != Purpose::Store, "{}", purpose.name());
        }
    }

    #[test]
    fn numbers_stay_below_their_bound() {
        let mut random = Random::new(1);
        for bound in [0, 1, 2, 7, 1_000, u64::MAX] {
            for _ in 0..1_000 {
                let number = random.below(bound);
                assert!(number < bound.max(1), "{number} of {bound}");
            }
        }
    }
}
