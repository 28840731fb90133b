//! What members say to each other, and the bounds of it. The encoding is in [`codec`].

pub mod codec;

use crate::gossip::Gossip;
use crate::identity::{CallId, ContextId, Identity, Incarnation, JobId};
use crate::records::cluster::Generation;
use crate::records::context::IntentNumber;
use crate::records::singleton::Epoch;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The version of the wire protocol; peers of another one are refused.
pub const PROTOCOL_VERSION: u32 = 1;
/// The most bytes of one frame.
pub const FRAME_BYTES_MAX: usize = 1024 * 1024;

/// A message between members.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// A starting server asks whether the receiver is a member (seed-join.md 3).
    Contact {
        /// A digest of the sender's seed list, to notice lists that differ (F6).
        seeds: String,
    },
    /// Yes: join through me.
    ContactAck {
        /// A digest of the sender's seed list.
        seeds: String,
        /// The roster that the sender is listed in.
        generation: Generation,
    },
    /// No.
    ContactNack {
        /// A digest of the sender's seed list.
        seeds: String,
        /// Why (seed-join.md REQ-8).
        reason: NackReason,
    },
    /// List me as the successor of the generation that I read (F2).
    Join {
        /// That generation.
        generation: Generation,
        /// The program's version, for people.
        version: String,
    },
    /// The generation has moved: come again as a fresh incarnation (F2).
    JoinRefused {
        /// The current one.
        generation: Generation,
    },
    /// The sender's whole state of membership.
    Gossip {
        /// For which incarnation it is meant.
        to: Identity,
        /// The state, as its sender and others have it.
        gossip: Arc<Gossip>,
    },
    /// A call was written: the holder need not wait for the watch (C1).
    CallHint {
        /// Which.
        call: CallId,
    },
    /// A job was written: the driver need not wait for the watch (J1).
    JobHint {
        /// In which context.
        context: ContextId,
        /// Which.
        job: JobId,
    },
    /// A driver's sign of life to a server (E8).
    DriverBeat {
        /// Which beat, counted by the driver.
        sequence: u64,
        /// Of which context.
        context: ContextId,
        /// Its name.
        context_name: String,
        /// By which intent.
        intent: IntentNumber,
        /// Whether it owns its record.
        owns: bool,
    },
    /// A server hears the driver, and has the store or is connected with the holder (E8).
    DriverHeard {
        /// Which beat is confirmed.
        sequence: u64,
        /// The roster's addresses, so that a driver finds servers that came after it started.
        servers: Vec<Identity>,
    },
    /// A server that is not the holder hears a driver: the holder counts from the last beat that
    /// any server reports (E8).
    DriverSeen {
        /// Which life of a driver.
        driver: Incarnation,
    },
}

/// Why a server is no member to join through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NackReason {
    /// It is in no cluster: counts towards "all others are uninitialised" (F3).
    Uninitialised,
    /// It is about to join.
    Joining,
    /// It is about to leave.
    Leaving,
}

/// A heartbeat: one-way, small, on a lane of its own (protocol.md S, Beats).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    /// Who beats.
    pub from: Identity,
    /// Counts up within one incarnation; added by the beat thread.
    pub sequence: u64,
    /// The roster that the sender knows.
    pub generation: Generation,
    /// The epoch that the sender knows.
    pub epoch: Epoch,
    /// Who holds that epoch, as far as the sender knows.
    pub holder: Option<Incarnation>,
    /// Whom the sender hears (R3). It rarely changes from one beat to the next, and every copy of a
    /// beat has it.
    pub hears: Arc<BTreeSet<Identity>>,
    /// Milliseconds since the sender's last success with the store (S7).
    pub store_age_ms: u64,
    /// The sender holds the office but has no store: whoever has it may take the office (S7).
    pub vacant: bool,
}
