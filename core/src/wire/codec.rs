//! The encoding of messages and beats: numbered fields, so that versions can differ.
//!
//! STAND-IN of branch `runtime`, for its tests only; the lead drops it for the real one at the
//! merge. It knows three kinds of message.

use super::{Beat, Message, NackReason};
use crate::identity::{Address, CallId, Identity, Incarnation};
use crate::records::cluster::Generation;
use crate::records::singleton::Epoch;
use prost::Message as _;

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A newer release sent a kind that this one does not know: skipped.
    #[error("unknown kind of message {0}")]
    UnknownKind(u32),
    /// The bytes do not follow the encoding.
    #[error("malformed: {0}")]
    Malformed(String),
}

#[derive(Clone, PartialEq, prost::Message)]
struct Wire {
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(string, tag = "2")]
    text: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct WireBeat {
    #[prost(string, tag = "1")]
    address: String,
    #[prost(fixed64, tag = "2")]
    incarnation: u64,
    #[prost(uint64, tag = "3")]
    sequence: u64,
    #[prost(uint64, tag = "4")]
    generation: u64,
    #[prost(uint64, tag = "5")]
    epoch: u64,
}

/// The bytes of a message.
#[must_use]
pub fn encode_message(message: &Message) -> Vec<u8> {
    let (kind, text) = match message {
        Message::Contact { seeds } => (1, seeds.clone()),
        Message::ContactNack { seeds, .. } => (2, seeds.clone()),
        Message::CallHint { call } => (3, call.as_str().to_owned()),
        _ => (99, String::new()),
    };
    Wire { kind, text }.encode_to_vec()
}

/// The message of these bytes.
///
/// # Errors
/// See [`WireError`].
pub fn decode_message(bytes: &[u8]) -> Result<Message, WireError> {
    let wire = Wire::decode(bytes).map_err(|e| WireError::Malformed(e.to_string()))?;
    match wire.kind {
        1 => Ok(Message::Contact { seeds: wire.text }),
        2 => Ok(Message::ContactNack {
            seeds: wire.text,
            reason: NackReason::Uninitialised,
        }),
        3 => Ok(Message::CallHint {
            call: CallId::new(wire.text),
        }),
        kind => Err(WireError::UnknownKind(kind)),
    }
}

/// The bytes of a beat.
#[must_use]
pub fn encode_beat(beat: &Beat) -> Vec<u8> {
    WireBeat {
        address: beat.from.address.to_string(),
        incarnation: beat.from.incarnation.0,
        sequence: beat.sequence,
        generation: beat.generation.0,
        epoch: beat.epoch.0,
    }
    .encode_to_vec()
}

/// The beat of these bytes.
///
/// # Errors
/// See [`WireError`].
pub fn decode_beat(bytes: &[u8]) -> Result<Beat, WireError> {
    let wire = WireBeat::decode(bytes).map_err(|e| WireError::Malformed(e.to_string()))?;
    let address: Address = wire
        .address
        .parse()
        .map_err(|e: crate::identity::AddressError| WireError::Malformed(e.to_string()))?;
    Ok(Beat {
        from: Identity::new(address, Incarnation(wire.incarnation)),
        sequence: wire.sequence,
        generation: Generation(wire.generation),
        epoch: Epoch(wire.epoch),
        holder: None,
        hears: std::collections::BTreeSet::new(),
        store_age_ms: 0,
        vacant: false,
    })
}
