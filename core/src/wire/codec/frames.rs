//! The numbered fields of every message. A number once used keeps its meaning for ever; a field
//! that is not needed any more leaves its number unused.

use prost::Message;

/// Around every message: which kind, and its fields.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Envelope {
    #[prost(uint32, tag = "1")]
    pub(super) kind: u32,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) body: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Identity {
    #[prost(string, tag = "1")]
    pub(super) host: String,
    #[prost(uint32, tag = "2")]
    pub(super) port: u32,
    #[prost(fixed64, tag = "3")]
    pub(super) incarnation: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Contact {
    #[prost(string, tag = "1")]
    pub(super) seeds: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ContactAck {
    #[prost(string, tag = "1")]
    pub(super) seeds: String,
    #[prost(uint64, tag = "2")]
    pub(super) generation: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ContactNack {
    #[prost(string, tag = "1")]
    pub(super) seeds: String,
    #[prost(uint32, tag = "2")]
    pub(super) reason: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Join {
    #[prost(uint64, tag = "1")]
    pub(super) generation: u64,
    #[prost(string, tag = "2")]
    pub(super) version: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct JoinRefused {
    #[prost(uint64, tag = "1")]
    pub(super) generation: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct CallHint {
    #[prost(string, tag = "1")]
    pub(super) call: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct JobHint {
    #[prost(string, tag = "1")]
    pub(super) context: String,
    #[prost(string, tag = "2")]
    pub(super) job: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct DriverBeat {
    #[prost(uint64, tag = "1")]
    pub(super) sequence: u64,
    #[prost(string, tag = "2")]
    pub(super) context: String,
    #[prost(string, tag = "3")]
    pub(super) context_name: String,
    #[prost(uint64, tag = "4")]
    pub(super) intent: u64,
    #[prost(bool, tag = "5")]
    pub(super) owns: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct DriverHeard {
    #[prost(uint64, tag = "1")]
    pub(super) sequence: u64,
    #[prost(message, repeated, tag = "2")]
    pub(super) servers: Vec<Identity>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct DriverSeen {
    #[prost(fixed64, tag = "1")]
    pub(super) driver: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Beat {
    #[prost(message, optional, tag = "1")]
    pub(super) from: Option<Identity>,
    #[prost(uint64, tag = "2")]
    pub(super) sequence: u64,
    #[prost(uint64, tag = "3")]
    pub(super) generation: u64,
    #[prost(uint64, tag = "4")]
    pub(super) epoch: u64,
    #[prost(message, optional, tag = "5")]
    pub(super) holder: Option<Holder>,
    #[prost(message, repeated, tag = "6")]
    pub(super) hears: Vec<Identity>,
    #[prost(uint64, tag = "7")]
    pub(super) store_age_ms: u64,
    #[prost(bool, tag = "8")]
    pub(super) vacant: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Holder {
    #[prost(fixed64, tag = "1")]
    pub(super) incarnation: u64,
}

/// Every identity is written once, in `identities`; all else names it by its place there.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Gossip {
    #[prost(message, optional, tag = "1")]
    pub(super) to: Option<Identity>,
    #[prost(uint64, tag = "2")]
    pub(super) generation: u64,
    #[prost(message, repeated, tag = "3")]
    pub(super) identities: Vec<Identity>,
    #[prost(uint32, repeated, tag = "4")]
    pub(super) listed: Vec<u32>,
    #[prost(message, repeated, tag = "5")]
    pub(super) members: Vec<Member>,
    #[prost(uint32, repeated, tag = "6")]
    pub(super) seen: Vec<u32>,
    #[prost(message, repeated, tag = "7")]
    pub(super) version: Vec<Count>,
    #[prost(message, repeated, tag = "8")]
    pub(super) rows: Vec<Row>,
    /// The count is the generation of the removal.
    #[prost(message, repeated, tag = "9")]
    pub(super) tombstones: Vec<Count>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Member {
    #[prost(uint32, tag = "1")]
    pub(super) identity: u32,
    #[prost(uint32, tag = "2")]
    pub(super) status: u32,
    #[prost(string, tag = "3")]
    pub(super) version: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Count {
    #[prost(uint32, tag = "1")]
    pub(super) identity: u32,
    #[prost(uint64, tag = "2")]
    pub(super) count: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Row {
    #[prost(uint32, tag = "1")]
    pub(super) observer: u32,
    #[prost(uint64, tag = "2")]
    pub(super) version: u64,
    #[prost(uint32, repeated, tag = "3")]
    pub(super) unreachable: Vec<u32>,
}
