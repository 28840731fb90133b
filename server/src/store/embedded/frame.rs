//! What travels between the store process and its clients: a length of four bytes, then JSON.
//!
//! The store speaks first: [`Answer::Hello`]. A request is written only after it, so that whoever
//! dialled an ending store has sent nothing. Requests are pipelined; answers carry their number.

use super::process::ProcessMark;
use bytes::{Buf, BytesMut};
use doyen_core::records::key::Key;
use doyen_core::records::transaction::{CommitOutcome, Query, ReadOutcome, Transaction};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The version of this protocol; one that differs is refused with both numbers.
pub(super) const PROTOCOL: u32 = 1;
/// A transaction of 256 KiB whose every byte is escaped as six, and its operations' frames.
pub(super) const REQUEST_BYTES_MAX: usize = 2 * 1024 * 1024;
/// A full folder: 20,000 records of 1.6 KiB.
pub(super) const ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Memory of a buffer that is kept from one frame to the next.
const KEPT_BYTES_MAX: usize = 1024 * 1024;
/// Room that a buffer has for each receive: most frames fit.
pub(super) const RECEIVE_BYTES: usize = 8 * 1024;

/// What a client asks. Numbers are the client's own, each once per connection.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Request {
    /// Carry out a transaction.
    Commit {
        /// Its number.
        id: u64,
        /// What.
        transaction: Transaction,
    },
    /// Read.
    Read {
        /// Its number.
        id: u64,
        /// What.
        query: Query,
    },
    /// Are you there?
    Ping,
}

/// What the store says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Answer {
    /// The first frame of a connection; events follow from here on.
    Hello {
        /// See [`PROTOCOL`].
        protocol: u32,
        /// The store's id.
        store_id: String,
        /// Who serves.
        process: ProcessMark,
    },
    /// The first and last frame of a connection that is not served.
    Refused {
        /// Why.
        reason: String,
    },
    /// The outcome of a commit.
    Committed {
        /// Of this number.
        id: u64,
        /// The outcome.
        outcome: CommitOutcome,
    },
    /// The outcome of a read.
    Read {
        /// Of this number.
        id: u64,
        /// The outcome.
        outcome: ReadOutcome,
    },
    /// Here.
    Pong,
    /// These records changed. It comes before every answer that was made after the change.
    Changed {
        /// Which.
        keys: Vec<Key>,
    },
    /// Events were lost or are too many to tell.
    ChangedEverything,
}

/// Why a frame cannot be taken; the connection is of no use any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    /// Longer than allowed.
    #[error("a frame of {length} bytes is over the bound of {max}")]
    TooLong {
        /// Its length.
        length: usize,
        /// The bound.
        max: usize,
    },
    /// Not understood.
    #[error("a frame is not understood: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// The frame of a value.
pub(super) fn encode<T: Serialize>(value: &T, max: usize) -> Result<Vec<u8>, FrameError> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, value)?;
    let length = frame.len() - 4;
    match u32::try_from(length) {
        Ok(prefix) if length <= max => frame[..4].copy_from_slice(&prefix.to_be_bytes()),
        _ => return Err(FrameError::TooLong { length, max }),
    }
    Ok(frame)
}

/// Takes the next whole frame out of what was received.
pub(super) fn take<T: DeserializeOwned>(
    received: &mut BytesMut,
    max: usize,
) -> Result<Option<T>, FrameError> {
    let Some(prefix) = received.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = usize::try_from(u32::from_be_bytes(*prefix)).unwrap_or(usize::MAX);
    if length > max {
        return Err(FrameError::TooLong { length, max });
    }
    if received.len() < 4 + length {
        received.reserve(4 + length - received.len());
        return Ok(None);
    }
    received.advance(4);
    let frame = received.split_to(length);
    if length > KEPT_BYTES_MAX {
        // What follows moves, so that the large memory is given back with this frame.
        *received = BytesMut::from(&received[..]);
    }
    Ok(Some(serde_json::from_slice(&frame)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use doyen_core::records::transaction::{
        TRANSACTION_BYTES_MAX, TRANSACTION_OPERATIONS_MAX, TransactionId,
    };

    #[test]
    fn frames_are_taken_one_by_one_however_they_arrive() {
        let frame = encode(&Request::Ping, 100).unwrap();
        let mut received = BytesMut::new();
        for byte in frame.iter().chain(&frame) {
            let taken: Option<Request> = take(&mut received, 100).unwrap();
            assert!(taken.is_none() || received.is_empty());
            received.extend_from_slice(&[*byte]);
        }
        assert!(matches!(take(&mut received, 100), Ok(Some(Request::Ping))));
    }

    #[test]
    fn a_frame_over_the_bound_is_refused_before_it_is_received() {
        let mut received = BytesMut::from(&101_u32.to_be_bytes()[..]);
        let taken = take::<Request>(&mut received, 100);
        assert!(matches!(
            taken,
            Err(FrameError::TooLong { length: 101, .. })
        ));
    }

    #[test]
    fn the_largest_transaction_fits_into_a_request() {
        let mut transaction = Transaction::new(TransactionId("1".to_owned()));
        for number in 1..TRANSACTION_OPERATIONS_MAX {
            transaction = transaction.check_absent(Key::new(number.to_string()));
        }
        let rest = TRANSACTION_BYTES_MAX - transaction.encoded_bytes() - 100;
        let transaction = transaction.create(Key::new("k"), "\u{1}".repeat(rest));
        assert!(doyen_core::records::model::over_bounds(&transaction).is_none());
        let request = Request::Commit {
            id: u64::MAX,
            transaction,
        };
        assert!(encode(&request, REQUEST_BYTES_MAX).is_ok());
    }
}
