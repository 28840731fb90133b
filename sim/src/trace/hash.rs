//! A fast hash that gives the same value in every release and on every machine.
//!
//! Words are folded, two at once where they come so, by a 64 × 64 → 128 bit multiplication, as
//! wyhash does: each waits for the one before, so their number is what a digest costs. It is no
//! defence against anybody who chooses inputs, and need not be: it tells runs apart.

use std::fmt;

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
const SEED: u64 = 0x243f_6a88_85a3_08d3;

/// The hash of what was told to it so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hash64(u64);

impl Default for Hash64 {
    fn default() -> Self {
        Self(SEED)
    }
}

impl Hash64 {
    /// Takes a word.
    pub const fn word(&mut self, word: u64) {
        self.pair(word, 0);
    }

    /// Takes two words.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "each half of a product is a word"
    )]
    pub const fn pair(&mut self, one: u64, other: u64) {
        let product = ((self.0 ^ one) as u128).wrapping_mul((other ^ MULTIPLIER) as u128);
        // Both halves, so that no bit of the input is lost; the addition keeps zero from sticking.
        let (high, low) = ((product >> 64) as u64, (product & u64::MAX as u128) as u64);
        self.0 = (high ^ low).wrapping_add(SEED).rotate_left(23);
    }

    /// Takes bytes, and how many they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(16);
        for chunk in &mut chunks {
            self.both(chunk.try_into().map_or(0, u128::from_le_bytes));
        }
        let rest = chunks.remainder();
        if !rest.is_empty() {
            let (one, other) = rest.split_at(rest.len().min(8));
            self.pair(short(one), short(other));
        }
        self.word(bytes.len() as u64);
    }

    /// Takes both words of a number, the low one first.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "each half of the number is a word"
    )]
    const fn both(&mut self, words: u128) {
        self.pair(words as u64, (words >> 64) as u64);
    }

    /// Takes a value as its `Debug` text: for what comes seldom.
    pub fn debug(&mut self, value: &impl fmt::Debug) {
        let mut text = Text {
            hash: self,
            words: 0,
            filled: 0,
            length: 0,
        };
        // Writing to a hash cannot fail.
        let _ = fmt::Write::write_fmt(&mut text, format_args!("{value:?}"));
        text.end();
    }

    /// The hash so far, well mixed.
    #[must_use]
    pub const fn value(self) -> u64 {
        let mut last = self;
        last.word(0);
        last.word(1);
        last.0
    }
}

/// At most eight bytes as the low bytes of a word.
fn short(bytes: &[u8]) -> u64 {
    let shifted = |word: u64, by: usize| word << (8 * by);
    let byte = |at: usize| {
        bytes
            .get(at)
            .map_or(0, |byte| shifted(u64::from(*byte), at))
    };
    match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        // Two halves that may overlap: where they do, they are equal.
        (Some(low), Some(high)) => {
            let high = u64::from(u32::from_le_bytes(*high));
            u64::from(u32::from_le_bytes(*low)) | shifted(high, bytes.len() - 4)
        }
        _ => byte(0) | byte(1) | byte(2),
    }
}

/// Gathers text into pairs of words, however it is cut into pieces.
struct Text<'a> {
    hash: &'a mut Hash64,
    /// The bytes of the pair that is not full yet, from the low end.
    words: u128,
    /// How many they are: fewer than 16.
    filled: u32,
    length: u64,
}

impl Text<'_> {
    fn end(self) {
        if self.filled > 0 {
            self.hash.both(self.words);
        }
        self.hash.word(self.length);
    }

    /// Takes at most eight bytes.
    fn take(&mut self, bytes: &[u8]) {
        let piece = u128::from(short(bytes));
        self.words |= piece << (8 * self.filled);
        #[allow(clippy::cast_possible_truncation, reason = "at most eight")]
        let filled = self.filled + bytes.len() as u32;
        if filled < 16 {
            self.filled = filled;
            return;
        }
        self.hash.both(self.words);
        // What did not fit: some of eight bytes, so that at least eight of the pair were filled.
        self.words = piece >> (128 - 8 * self.filled);
        self.filled = filled - 16;
    }
}

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.length += text.len() as u64;
        for piece in text.as_bytes().chunks(8) {
            self.take(piece);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> u64 {
        let mut hash = Hash64::default();
        hash.bytes(bytes);
        hash.value()
    }

    #[test]
    fn values_never_change() {
        for (bytes, expected) in [
            (&b""[..], 0x0765_37ff_1a66_7285),
            (b"a", 0x4335_22a0_cc38_bc4e),
            (b"doyen", 0x1bfb_4e7d_e110_06f5),
            (b"the senior member of a group", 0xf5c2_898e_a201_c723),
        ] {
            assert_eq!(of(bytes), expected, "{bytes:?} gives {:#018x}", of(bytes));
        }
    }

    #[test]
    fn what_differs_a_little_hashes_differently() {
        let mut seen = std::collections::BTreeSet::new();
        for length in 0..64 {
            assert!(seen.insert(of(&vec![0; length])), "{length} zeros");
        }
        for bit in 0..512 {
            let mut bytes = [0_u8; 64];
            bytes[bit / 8] |= 1 << (bit % 8);
            assert!(seen.insert(of(&bytes)), "bit {bit}");
        }
    }

    #[test]
    fn both_words_of_a_pair_count_and_so_does_their_order() {
        let of = |one, other| {
            let mut hash = Hash64::default();
            hash.pair(one, other);
            hash.value()
        };
        let mut seen = std::collections::BTreeSet::new();
        assert!(seen.insert(of(0, 0)));
        for bit in 0..64 {
            assert!(seen.insert(of(1 << bit, 0)), "bit {bit} of the first");
            assert!(seen.insert(of(0, 1 << bit)), "bit {bit} of the second");
            assert!(seen.insert(of(1 << bit, 1 << bit)), "bit {bit} of both");
        }
    }

    #[test]
    fn text_hashes_as_its_bytes_do() {
        let text = "one word after another, all of them in one piece or in several";
        for length in 0..=text.len() {
            for cut in 0..=length {
                let mut hash = Hash64::default();
                hash.debug(&format_args!("{}{}", &text[..cut], &text[cut..length]));
                let whole = of(&text.as_bytes()[..length]);
                assert_eq!(hash.value(), whole, "{length} bytes cut at {cut}");
            }
        }
    }

    #[test]
    fn text_is_the_same_however_it_is_cut() {
        let hash = |value: &dyn fmt::Debug| {
            let mut hash = Hash64::default();
            hash.debug(&value);
            hash.value()
        };
        struct Cut(&'static [&'static str]);
        impl fmt::Debug for Cut {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|part| f.write_str(part))
            }
        }
        let whole = hash(&Cut(&["one two three"]));
        assert_eq!(hash(&Cut(&["one", " two th", "ree"])), whole);
        assert_ne!(hash(&Cut(&["one two thre"])), whole);
        assert_ne!(hash(&Cut(&["one two three\0"])), whole);
    }
}
