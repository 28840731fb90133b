//! Connections as the kernels of two machines keep them.
//!
//! What is modelled is what an HA product can notice: a dial into a cut hangs and is asked again
//! after 1, 3, 7 s; bytes arrive in order, once, in bounded buffers, and are sent again with growing
//! pauses while nothing is acknowledged; an end in order is a byte in that order too; a reset is one
//! packet, sent once, over a living path only; whoever writes to a peer that is gone is reset by
//! its machine; an idle peer is asked for signs of life.
//!
//! What is not: windows that slide by packets, congestion, reordering (a gap is sent again whole),
//! acknowledgements as packets of their own: they are back at once if the way back is open.

mod dial;
mod ends;
mod quiet;
mod segments;

use super::paths::HostId;
use super::queue::Key;
use crate::platform::Tuning;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::task::Waker;

/// Names a connection for the life of its world.
pub(super) type ConnectionId = u64;

/// Bytes that a sender's kernel takes, and those that a receiver's keeps unread.
const BUFFER_BYTES: u64 = 256 * 1024;
/// Bytes of one segment: offloading makes them that long.
const SEGMENT_BYTES: u64 = 64 * 1024;
/// Linux's first pause before bytes are sent again, on a near network; it doubles.
const RETRY_MIN: u64 = 200_000_000;
const RETRY_MAX: u64 = 120_000_000_000;
/// Linux's first pause before a dial is asked again; it doubles.
const SYN_RETRY: u64 = 1_000_000_000;
const SYN_RETRIES_MAX: u32 = 6;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// Who made the connection.
    Dialler,
    /// Who took it.
    Acceptor,
}

impl Side {
    pub(super) const fn other(self) -> Self {
        match self {
            Self::Dialler => Self::Acceptor,
            Self::Acceptor => Self::Dialler,
        }
    }
}

/// How far a side has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It does not exist yet, or asks.
    Opening,
    /// Bytes go.
    Open,
    /// Its process is through with it; its kernel sends what is left.
    Orphan,
    /// Its kernel knows it no more.
    Gone,
}

/// One side of a connection.
#[derive(Debug)]
pub(super) struct End {
    pub(super) host: HostId,
    pub(super) address: SocketAddr,
    pub(super) stage: Stage,
    /// Whether a process holds it, or may take it.
    pub(super) held: bool,
    /// Why it broke.
    pub(super) error: Option<io::ErrorKind>,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
    tuning: Option<Tuning>,
    /// When the peer's machine was last heard.
    heard: u64,
    /// Written and not acknowledged: the bytes from `acknowledged` on.
    out: VecDeque<u8>,
    acknowledged: u64,
    /// The next byte to send.
    next: u64,
    fin_wanted: bool,
    fin_sent: bool,
    fin_acknowledged: bool,
    retry: Option<Key>,
    retry_pause: u64,
    sent: u64,
    /// Since when something has been waiting for an acknowledgement.
    waiting_since: Option<u64>,
    /// Questions for a sign of life without an answer.
    probes: u32,
    /// No packet overtakes another one.
    last_arrival: u64,
    /// Received and not read.
    pub(super) input: VecDeque<u8>,
    received: u64,
    pub(super) fin_received: bool,
}

impl End {
    fn new(host: HostId, address: SocketAddr, now: u64) -> Self {
        Self {
            host,
            address,
            stage: Stage::Opening,
            held: false,
            error: None,
            reader: None,
            writer: None,
            tuning: None,
            heard: now,
            out: VecDeque::new(),
            acknowledged: 0,
            next: 0,
            fin_wanted: false,
            fin_sent: false,
            fin_acknowledged: false,
            retry: None,
            retry_pause: RETRY_MIN,
            sent: 0,
            waiting_since: None,
            probes: 0,
            last_arrival: 0,
            input: VecDeque::new(),
            received: 0,
            fin_received: false,
        }
    }

    fn written(&self) -> u64 {
        self.acknowledged + length(&self.out)
    }

    /// Whether its process has said that no more bytes come.
    pub(super) const fn has_finished(&self) -> bool {
        self.fin_wanted
    }

    fn waits(&self) -> bool {
        !self.out.is_empty() || (self.fin_wanted && !self.fin_acknowledged)
    }

    /// Its kernel forgets it, for this reason.
    fn forget(&mut self, error: Option<io::ErrorKind>, woken: &mut Vec<Waker>) -> Option<Key> {
        self.stage = Stage::Gone;
        self.error = self.error.or(error);
        self.out.clear();
        woken.extend(self.reader.take());
        woken.extend(self.writer.take());
        self.retry.take()
    }
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) dialler: End,
    pub(super) acceptor: End,
    /// Whether the acceptor's process can take it, or has.
    pub(super) queued: bool,
}

impl Connection {
    pub(super) const fn end(&self, side: Side) -> &End {
        match side {
            Side::Dialler => &self.dialler,
            Side::Acceptor => &self.acceptor,
        }
    }

    /// A side and the other one.
    const fn both(&mut self, side: Side) -> (&mut End, &mut End) {
        match side {
            Side::Dialler => (&mut self.dialler, &mut self.acceptor),
            Side::Acceptor => (&mut self.acceptor, &mut self.dialler),
        }
    }

    pub(super) const fn end_mut(&mut self, side: Side) -> &mut End {
        match side {
            Side::Dialler => &mut self.dialler,
            Side::Acceptor => &mut self.acceptor,
        }
    }
}

fn length(bytes: &VecDeque<u8>) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
