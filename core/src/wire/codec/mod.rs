//! The encoding of messages and beats: numbered fields, so that versions can differ.
//!
//! Fields that are not known are ignored, kinds that are not known have an error of their own, so
//! that what a newer release says can be skipped. Everything else that is not as it should be is an
//! error that names the field; nothing panics, and nothing is allocated beyond a small multiple of
//! the bytes that came, which are bounded.

mod fields;
mod frames;
mod gossip;

use super::{Beat, FRAME_BYTES_MAX, Message, NackReason};
use crate::gossip::MEMBERS_MAX;
use crate::identity::{CallId, ContextId, Identity, Incarnation, JobId};
use crate::records::cluster::Generation;
use crate::records::context::IntentNumber;
use crate::records::singleton::Epoch;
use fields::{bounded, encode_identity, id, parse, required, set, text};
use prost::Message as _;
use std::sync::Arc;

/// The most bytes of one text: a host, an id, a name, a version.
pub const TEXT_BYTES_MAX: usize = 256;
/// The most bytes of the fields of one message. A state of membership at all of its bounds, with
/// hosts as long as they may be, is below it.
pub const MESSAGE_BYTES_MAX: usize = 128 * 1024;
/// The most bytes of one beat.
pub const BEAT_BYTES_MAX: usize = 32 * 1024;

/// Why bytes are no message. Nothing of such bytes has been taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A newer release sent a kind that this one does not know: to be skipped.
    #[error("unknown kind of message {0}")]
    UnknownKind(u32),
    /// The bytes do not follow the encoding.
    #[error("{field} is malformed: {reason}")]
    Malformed {
        /// Where.
        field: &'static str,
        /// What the decoder says.
        reason: String,
    },
    /// A field that must be there is not.
    #[error("{field} is missing")]
    Missing {
        /// Which.
        field: &'static str,
    },
    /// A field is not what it may be.
    #[error("{field} is invalid: {value}")]
    Invalid {
        /// Which.
        field: &'static str,
        /// What it is.
        value: String,
    },
    /// A field has too many bytes.
    #[error("{field} has {bytes} bytes, at most {max} are taken")]
    TooLong {
        /// Which.
        field: &'static str,
        /// How many it has.
        bytes: usize,
        /// How many it may have.
        max: usize,
    },
    /// A list has too many entries.
    #[error("{field} has {count} entries, at most {max} are taken")]
    TooMany {
        /// Which.
        field: &'static str,
        /// How many it has.
        count: usize,
        /// How many it may have.
        max: usize,
    },
    /// A set names something twice.
    #[error("{field} names one identity twice")]
    Twice {
        /// Which.
        field: &'static str,
    },
}

const CONTACT: u32 = 1;
const CONTACT_ACK: u32 = 2;
const CONTACT_NACK: u32 = 3;
const JOIN: u32 = 4;
const JOIN_REFUSED: u32 = 5;
const GOSSIP: u32 = 6;
const CALL_HINT: u32 = 7;
const JOB_HINT: u32 = 8;
const DRIVER_BEAT: u32 = 9;
const DRIVER_HEARD: u32 = 10;
const DRIVER_SEEN: u32 = 11;

/// The bytes of a message. Peers take them if its texts and lists are within the bounds of this
/// module, which who makes the message has to see to.
#[must_use]
pub fn encode_message(message: &Message) -> Vec<u8> {
    let body = match message {
        Message::Contact { seeds } => {
            let seeds = seeds.clone();
            frames::Contact { seeds }.encode_to_vec()
        }
        Message::ContactAck { seeds, generation } => {
            let (seeds, generation) = (seeds.clone(), generation.0);
            frames::ContactAck { seeds, generation }.encode_to_vec()
        }
        Message::ContactNack { seeds, reason } => {
            let (seeds, reason) = (seeds.clone(), nack_number(*reason));
            frames::ContactNack { seeds, reason }.encode_to_vec()
        }
        Message::Join {
            generation,
            version,
        } => {
            let (generation, version) = (generation.0, version.clone());
            frames::Join {
                generation,
                version,
            }
            .encode_to_vec()
        }
        Message::JoinRefused { generation } => {
            let generation = generation.0;
            frames::JoinRefused { generation }.encode_to_vec()
        }
        Message::Gossip { to, gossip } => gossip::encode(to, gossip).encode_to_vec(),
        Message::CallHint { call } => {
            let call = call.as_str().to_owned();
            frames::CallHint { call }.encode_to_vec()
        }
        Message::JobHint { context, job } => {
            let (context, job) = (context.as_str().to_owned(), job.as_str().to_owned());
            frames::JobHint { context, job }.encode_to_vec()
        }
        Message::DriverBeat {
            sequence,
            context,
            context_name,
            intent,
            owns,
        } => frames::DriverBeat {
            sequence: *sequence,
            context: context.as_str().to_owned(),
            context_name: context_name.clone(),
            intent: intent.0,
            owns: *owns,
        }
        .encode_to_vec(),
        Message::DriverHeard { sequence, servers } => encode_driver_heard(*sequence, servers),
        Message::DriverSeen { driver } => frames::DriverSeen { driver: driver.0 }.encode_to_vec(),
    };
    let kind = kind_of(message);
    frames::Envelope { kind, body }.encode_to_vec()
}

const fn kind_of(message: &Message) -> u32 {
    match message {
        Message::Contact { .. } => CONTACT,
        Message::ContactAck { .. } => CONTACT_ACK,
        Message::ContactNack { .. } => CONTACT_NACK,
        Message::Join { .. } => JOIN,
        Message::JoinRefused { .. } => JOIN_REFUSED,
        Message::Gossip { .. } => GOSSIP,
        Message::CallHint { .. } => CALL_HINT,
        Message::JobHint { .. } => JOB_HINT,
        Message::DriverBeat { .. } => DRIVER_BEAT,
        Message::DriverHeard { .. } => DRIVER_HEARD,
        Message::DriverSeen { .. } => DRIVER_SEEN,
    }
}

/// The message of these bytes.
///
/// # Errors
/// See [`WireError`]; [`WireError::UnknownKind`] is a newer release's message, to be skipped.
pub fn decode_message(bytes: &[u8]) -> Result<Message, WireError> {
    let envelope: frames::Envelope = parse("message", bytes, FRAME_BYTES_MAX)?;
    let body = envelope.body.as_slice();
    match envelope.kind {
        0 => Err(WireError::Missing {
            field: "message.kind",
        }),
        CONTACT => {
            let frame: frames::Contact = parse("contact", body, MESSAGE_BYTES_MAX)?;
            let seeds = text("contact.seeds", frame.seeds)?;
            Ok(Message::Contact { seeds })
        }
        CONTACT_ACK => {
            let frame: frames::ContactAck = parse("contact-ack", body, MESSAGE_BYTES_MAX)?;
            Ok(Message::ContactAck {
                seeds: text("contact-ack.seeds", frame.seeds)?,
                generation: Generation(frame.generation),
            })
        }
        CONTACT_NACK => {
            let frame: frames::ContactNack = parse("contact-nack", body, MESSAGE_BYTES_MAX)?;
            Ok(Message::ContactNack {
                seeds: text("contact-nack.seeds", frame.seeds)?,
                reason: nack_reason(frame.reason)?,
            })
        }
        JOIN => {
            let frame: frames::Join = parse("join", body, MESSAGE_BYTES_MAX)?;
            Ok(Message::Join {
                generation: Generation(frame.generation),
                version: text("join.version", frame.version)?,
            })
        }
        JOIN_REFUSED => {
            let frame: frames::JoinRefused = parse("join-refused", body, MESSAGE_BYTES_MAX)?;
            let generation = Generation(frame.generation);
            Ok(Message::JoinRefused { generation })
        }
        GOSSIP => {
            let mut frame: frames::Gossip = parse("gossip", body, MESSAGE_BYTES_MAX)?;
            let to = required("gossip.to", frame.to.take())?;
            let gossip = Arc::new(gossip::decode(frame)?);
            Ok(Message::Gossip { to, gossip })
        }
        kind => decode_work(kind, body),
    }
}

/// The bytes of a beat.
#[must_use]
pub fn encode_beat(beat: &Beat) -> Vec<u8> {
    let holder = beat.holder.map(|holder| frames::Holder {
        incarnation: holder.0,
    });
    let frame = frames::Beat {
        from: Some(encode_identity(&beat.from)),
        sequence: beat.sequence,
        generation: beat.generation.0,
        epoch: beat.epoch.0,
        holder,
        hears: beat.hears.iter().map(encode_identity).collect(),
        store_age_ms: beat.store_age_ms,
        vacant: beat.vacant,
    };
    frame.encode_to_vec()
}

/// The beat of these bytes.
///
/// # Errors
/// See [`WireError`].
pub fn decode_beat(bytes: &[u8]) -> Result<Beat, WireError> {
    let frame: frames::Beat = parse("beat", bytes, BEAT_BYTES_MAX)?;
    let hears = bounded("beat.hears", frame.hears, MEMBERS_MAX)?.into_iter();
    let hears = hears.map(|one| fields::identity("beat.hears", one));
    Ok(Beat {
        from: required("beat.from", frame.from)?,
        sequence: frame.sequence,
        generation: Generation(frame.generation),
        epoch: Epoch(frame.epoch),
        holder: frame.holder.map(|holder| Incarnation(holder.incarnation)),
        hears: Arc::new(set("beat.hears", hears)?),
        store_age_ms: frame.store_age_ms,
        vacant: frame.vacant,
    })
}

/// The messages about calls, jobs and drivers; any other kind is unknown.
fn decode_work(kind: u32, body: &[u8]) -> Result<Message, WireError> {
    match kind {
        CALL_HINT => {
            let frame: frames::CallHint = parse("call-hint", body, MESSAGE_BYTES_MAX)?;
            let call = CallId::new(id("call-hint.call", frame.call)?);
            Ok(Message::CallHint { call })
        }
        JOB_HINT => {
            let frame: frames::JobHint = parse("job-hint", body, MESSAGE_BYTES_MAX)?;
            Ok(Message::JobHint {
                context: ContextId::new(id("job-hint.context", frame.context)?),
                job: JobId::new(id("job-hint.job", frame.job)?),
            })
        }
        DRIVER_BEAT => {
            let frame: frames::DriverBeat = parse("driver-beat", body, MESSAGE_BYTES_MAX)?;
            Ok(Message::DriverBeat {
                sequence: frame.sequence,
                context: ContextId::new(id("driver-beat.context", frame.context)?),
                context_name: text("driver-beat.context-name", frame.context_name)?,
                intent: IntentNumber(frame.intent),
                owns: frame.owns,
            })
        }
        DRIVER_HEARD => {
            let frame: frames::DriverHeard = parse("driver-heard", body, MESSAGE_BYTES_MAX)?;
            let servers = bounded("driver-heard.servers", frame.servers, MEMBERS_MAX)?;
            let servers = servers.into_iter();
            let servers = servers.map(|one| fields::identity("driver-heard.servers", one));
            Ok(Message::DriverHeard {
                sequence: frame.sequence,
                servers: servers.collect::<Result<_, _>>()?,
            })
        }
        DRIVER_SEEN => {
            let frame: frames::DriverSeen = parse("driver-seen", body, MESSAGE_BYTES_MAX)?;
            let driver = Incarnation(frame.driver);
            Ok(Message::DriverSeen { driver })
        }
        kind => Err(WireError::UnknownKind(kind)),
    }
}

fn encode_driver_heard(sequence: u64, servers: &[Identity]) -> Vec<u8> {
    let servers = servers.iter().map(encode_identity).collect();
    frames::DriverHeard { sequence, servers }.encode_to_vec()
}

const fn nack_number(reason: NackReason) -> u32 {
    match reason {
        NackReason::Uninitialised => 1,
        NackReason::Joining => 2,
        NackReason::Leaving => 3,
    }
}

fn nack_reason(number: u32) -> Result<NackReason, WireError> {
    match number {
        1 => Ok(NackReason::Uninitialised),
        2 => Ok(NackReason::Joining),
        3 => Ok(NackReason::Leaving),
        other => Err(WireError::Invalid {
            field: "contact-nack.reason",
            value: other.to_string(),
        }),
    }
}

#[cfg(test)]
mod tests;
