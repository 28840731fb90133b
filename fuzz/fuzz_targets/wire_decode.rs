//! No bytes from the network make the decoder panic, and what it accepts survives a round trip.
#![no_main]

use doyen_core::wire::codec::{decode_beat, decode_message, encode_beat, encode_message};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(message) = decode_message(bytes) {
        let again = decode_message(&encode_message(&message));
        assert_eq!(again.ok(), Some(message));
    }
    if let Ok(beat) = decode_beat(bytes) {
        let again = decode_beat(&encode_beat(&beat));
        assert_eq!(again.ok(), Some(beat));
    }
});
