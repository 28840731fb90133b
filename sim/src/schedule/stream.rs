//! Value-stable streams of random numbers for the generator: SplitMix64 (Steele, Lea, Flood 2014),
//! one stream per purpose, so that a draw more in one shifts nothing in another.

use super::model::At;

/// A stream.
#[derive(Clone, Debug)]
pub(super) struct Stream(u64);

impl Stream {
    /// The stream of a purpose, for a seed.
    pub(super) fn of(seed: u64, purpose: &str) -> Self {
        let mut stream = Self(seed ^ fnv(purpose));
        // Close seeds lie far apart after one step.
        stream.0 = stream.next();
        stream
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`; 0 when the bound is 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.next()).wrapping_mul(u128::from(bound)) >> 64;
        u64::try_from(wide).unwrap_or_default()
    }

    /// An index below `len`; 0 when it is 0.
    pub(super) fn index(&mut self, len: usize) -> usize {
        let bound = u64::try_from(len).unwrap_or(u64::MAX);
        usize::try_from(self.below(bound)).unwrap_or_default()
    }

    /// A number from `least` to `most`.
    pub(super) fn between(&mut self, least: u64, most: u64) -> u64 {
        let span = most.saturating_sub(least).saturating_add(1);
        least.saturating_add(self.below(span))
    }

    /// As [`Self::between`].
    pub(super) fn between_u32(&mut self, least: u32, most: u32) -> u32 {
        let number = self.between(u64::from(least), u64::from(most));
        u32::try_from(number).unwrap_or(most)
    }

    /// True in so many of a hundred cases.
    pub(super) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of these; `None` when there are none.
    pub(super) fn pick<'a, T>(&mut self, all: &'a [T]) -> Option<&'a T> {
        let index = self.index(all.len());
        all.get(index)
    }

    /// One of these, by weight; `None` when all weights are 0.
    pub(super) fn weighted<T: Copy>(&mut self, all: &[(T, u32)]) -> Option<T> {
        let total: u64 = all.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let mut left = self.below(total);
        for (one, weight) in all {
            let weight = u64::from(*weight);
            if left < weight {
                return Some(*one);
            }
            left = left.saturating_sub(weight);
        }
        None
    }

    /// A time from `least` to `most`, in whole milliseconds.
    pub(super) fn time(&mut self, least: At, most: At) -> At {
        let millis = self.between(least.0 / 1_000, most.0 / 1_000);
        At::from_millis(millis)
    }

    /// A span from `least` to about `most`, every power of two as likely as the next: as many of
    /// 100 to 200 ms as of 10 to 20 s.
    pub(super) fn span(&mut self, least: At, most: At) -> At {
        let low = (least.0 / 1_000).max(1);
        let high = (most.0 / 1_000).max(low);
        let octaves = high.checked_div(low).unwrap_or(1).max(1).ilog2();
        let octave = self.between_u32(0, octaves);
        let base = low.saturating_mul(1_u64 << octave.min(40));
        At::from_millis(base.saturating_add(self.below(base)).min(high))
    }

    /// Puts these into a random order (Fisher and Yates).
    pub(super) fn shuffle<T>(&mut self, all: &mut [T]) {
        for last in (1..all.len()).rev() {
            let other = self.index(last.saturating_add(1));
            all.swap(last, other);
        }
    }
}

/// FNV-1a, 64 bits.
pub(super) fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_the_published_one() {
        let mut stream = Stream(1_234_567);
        assert_eq!(stream.next(), 6_457_827_717_110_365_317);
        assert_eq!(stream.next(), 3_203_168_211_198_807_973);
        assert_eq!(fnv("a"), 0xaf63_dc4c_8601_ec8c);
    }

    #[test]
    fn draws_stay_in_their_bounds_and_reach_them() {
        let mut stream = Stream::of(7, "test");
        let mut seen = [0_u32; 3];
        for _ in 0..1_000 {
            seen[stream.index(3)] += 1;
            let span = stream.span(At::from_millis(100), At::from_secs(30));
            assert!(span >= At::from_millis(100) && span <= At::from_secs(30));
            assert_eq!(
                stream.weighted(&[("never", 0), ("always", 2)]),
                Some("always")
            );
        }
        assert!(seen.iter().all(|count| *count > 250), "{seen:?}");
        assert_eq!(stream.weighted(&[("never", 0)]), None);
        assert_eq!((stream.below(0), stream.pick::<u8>(&[])), (0, None));
    }
}
