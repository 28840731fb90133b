//! One running connection: frames in, frames out, until it ends.

use super::handshake::{Established, codec};
use super::hub::{Held, Hub, passes_unproved};
use crate::platform::{OwnedReadHalf, OwnedWriteHalf, timeout};
use bytes::{Buf, Bytes, BytesMut};
use doyen_core::identity::{Identity, Incarnation};
use doyen_core::input::Input;
use doyen_core::wire::FRAME_BYTES_MAX;
use doyen_core::wire::codec::{WireError, decode_beat, decode_message};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_util::codec::{Encoder, FramedRead, LengthDelimitedCodec};
use tokio_util::sync::CancellationToken;

/// A peer that takes nothing for so long is disconnected.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// Frames are written together up to so many bytes.
const BATCH_BYTES: usize = 64 * 1024;

type Reader = FramedRead<OwnedReadHalf, LengthDelimitedCodec>;

/// A connection over TCP.
pub(crate) type Connection = Established<OwnedReadHalf, OwnedWriteHalf>;

/// Runs a connection of the main lane until it ends, then takes it out of the table.
pub(crate) async fn run(hub: &Hub, connection: Connection, mut held: Held) {
    let Established {
        mut reader,
        mut writer,
        peer,
        ..
    } = connection;
    let token = held.token.clone();
    let end = tokio::select! {
        biased;
        () = token.cancelled() => Ok(()),
        end = read(hub, &mut reader, &peer, held.life, held.proved) => end,
        end = write(&mut held.queue, &mut writer) => end,
    };
    if let Err(error) = end {
        tracing::debug!(%peer, %error, "connection ended");
    }
    // Closed before it is reported: the peer must not think that it is still heard.
    drop((reader, writer));
    hub.leave(held).await;
}

async fn read(
    hub: &Hub,
    reader: &mut Reader,
    peer: &Identity,
    life: Incarnation,
    proved: bool,
) -> io::Result<()> {
    while let Some(frame) = reader.next().await {
        let frame = frame.inspect_err(|error| {
            if error.kind() == io::ErrorKind::InvalidData {
                let text = format!(
                    "{peer} sent a frame of more than {FRAME_BYTES_MAX} bytes: disconnected"
                );
                hub.quiet.warn(&text);
            }
        })?;
        match decode_message(&frame) {
            Ok(message) if proved || passes_unproved(&message) => {
                let from = peer.clone();
                hub.tell(life, Input::Message { from, message }).await;
            }
            Ok(_) => hub.quiet.warn(&format!(
                "{peer} sent a member's message without proof: dropped"
            )),
            // A newer release may say what this one does not know.
            Err(WireError::UnknownKind { .. }) => {
                tracing::debug!(%peer, "skipped a message of an unknown kind");
            }
            Err(error) => hub
                .quiet
                .warn(&format!("{peer} sent what is no message: {error}: dropped")),
        }
    }
    Ok(())
}

async fn write(queue: &mut mpsc::Receiver<Bytes>, writer: &mut OwnedWriteHalf) -> io::Result<()> {
    let mut codec = codec(FRAME_BYTES_MAX);
    let mut batch = BytesMut::new();
    while let Some(frame) = queue.recv().await {
        codec.encode(frame, &mut batch)?;
        while batch.len() < BATCH_BYTES
            && let Ok(frame) = queue.try_recv()
        {
            codec.encode(frame, &mut batch)?;
        }
        write_all(writer, &mut batch).await?;
    }
    // Told to end in order: everything that was queued is out.
    writer.shutdown().await
}

/// Writes everything, as long as the peer goes on taking something.
async fn write_all<W: AsyncWrite + Unpin>(writer: &mut W, batch: &mut BytesMut) -> io::Result<()> {
    while batch.has_remaining() {
        let step = timeout(WRITE_TIMEOUT, writer.write_buf(batch)).await;
        let taken = step.unwrap_or_else(|_| {
            let text = format!("the peer read nothing for {} s", WRITE_TIMEOUT.as_secs());
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        })?;
        if taken == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
    }
    Ok(())
}

/// Reads a connection of the beat lane until it ends or what it was made with has changed.
pub(crate) async fn run_beats(hub: &Hub, mut connection: Connection, end: &CancellationToken) {
    let mut me = hub.me.subscribe();
    let life = me.borrow_and_update().identity.incarnation;
    if hub.me().edition != connection.edition {
        return;
    }
    loop {
        let frame = tokio::select! {
            biased;
            () = end.cancelled() => return,
            _ = me.changed() => return,
            frame = connection.reader.next() => frame,
        };
        let Some(Ok(frame)) = frame else { return };
        match decode_beat(&frame) {
            Ok(beat) if beat.from == connection.peer => hub.tell_beat(life, Input::Beat(beat)),
            Ok(beat) => hub.quiet.warn(&format!(
                "{} sent a beat in the name of {}: dropped",
                connection.peer, beat.from
            )),
            Err(error) => hub.quiet.warn(&format!(
                "{} sent what is no beat: {error}: dropped",
                connection.peer
            )),
        }
    }
}

#[cfg(test)]
#[cfg(not(madsim))]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_reads_nothing_for_five_seconds_is_given_up_but_a_slow_one_is_not() {
        let (mut here, mut there) = tokio::io::duplex(16);
        let slow = tokio::spawn(async move {
            for _ in 0..4 {
                tokio::time::sleep(Duration::from_secs(4)).await;
                there.read_exact(&mut [0; 16]).await.unwrap();
            }
            there
        });
        let began = Instant::now();
        let mut batch = BytesMut::from(&[7; 64][..]);
        write_all(&mut here, &mut batch).await.unwrap();
        let there = slow.await.unwrap();
        assert!(began.elapsed() >= Duration::from_secs(12));

        let began = Instant::now();
        let mut batch = BytesMut::from(&[7; 64][..]);
        let error = write_all(&mut here, &mut batch).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed().as_secs(), 5);
        drop(there);
    }
}
