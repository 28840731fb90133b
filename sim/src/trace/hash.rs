//! A fast hash that gives the same value in every release and on every machine.
//!
//! Words are folded by a 64 × 64 → 128 bit multiplication, as wyhash does. It is no defence against
//! anybody who chooses inputs, and need not be: it tells runs apart.

use std::fmt;

const MULTIPLIER: u128 = 0x9e37_79b9_7f4a_7c15;
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
    #[allow(
        clippy::cast_possible_truncation,
        reason = "each half of a product is a word"
    )]
    pub const fn word(&mut self, word: u64) {
        let product = ((self.0 ^ word) as u128).wrapping_mul(MULTIPLIER);
        // Both halves, so that no bit of the input is lost; the addition keeps zero from sticking.
        let (high, low) = ((product >> 64) as u64, (product & u64::MAX as u128) as u64);
        self.0 = (high ^ low).wrapping_add(SEED).rotate_left(23);
    }

    /// Takes bytes, and how many they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            self.word(chunk.try_into().map_or(0, u64::from_le_bytes));
        }
        self.word(short(chunks.remainder()));
        self.word(bytes.len() as u64);
    }

    /// Takes a value as its `Debug` text: for what comes seldom.
    pub fn debug(&mut self, value: &impl fmt::Debug) {
        let mut text = Text {
            hash: self,
            word: 0,
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

/// Gathers text into words, however it is cut into pieces.
struct Text<'a> {
    hash: &'a mut Hash64,
    /// The bytes of the word that is not full yet, from the low end.
    word: u64,
    /// How many they are: fewer than 8.
    filled: u32,
    length: u64,
}

impl Text<'_> {
    fn end(self) {
        self.hash.word(self.word);
        self.hash.word(self.length);
    }

    /// Takes at most eight bytes.
    fn take(&mut self, bytes: &[u8]) {
        let piece = short(bytes);
        self.word |= piece << (8 * self.filled);
        #[allow(clippy::cast_possible_truncation, reason = "at most eight")]
        let filled = self.filled + bytes.len() as u32;
        if filled < 8 {
            self.filled = filled;
            return;
        }
        self.hash.word(self.word);
        // What did not fit; a shift by all 64 bits is no shift for the machine.
        self.word = piece.checked_shr(64 - 8 * self.filled).unwrap_or(0);
        self.filled = filled - 8;
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
            (&b""[..], 0x5b85_414b_61a6_0a13),
            (b"a", 0x4335_22a0_cc38_bc4e),
            (b"doyen", 0x1bfb_4e7d_e110_06f5),
            (b"the senior member of a group", 0x0ded_683f_9170_10d4),
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
    fn text_hashes_as_its_bytes_do_when_its_last_word_is_not_full() {
        let text = "one word after another, all of them in one piece or in several";
        for length in (0..text.len()).filter(|length| !length.is_multiple_of(8)) {
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
