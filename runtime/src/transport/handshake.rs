//! The first frames of a connection: who is there, of which cluster and store, with what proof.
//!
//! ```text
//! dialler                                   acceptor
//! DOYEN version, hello                  ->  checks names
//!                                       <-  DOYEN version, hello | refusal
//! checks names; proof | refusal         ->  verifies
//!                                       <-  proof | refusal
//! verifies
//! ```
//!
//! The magic, the version and the refusal (field 3 of a length-prefixed frame) stay as they are in
//! every version, so that a refusal can always be read.

use super::hello::{Failure, Frame, Hello, Lane, check, check_dialled_as};
use super::me::Me;
use super::proof::{Prover, prove, verify};
use crate::platform::timeout;
use bytes::{Bytes, BytesMut};
use doyen_core::identity::{Address, Identity};
use doyen_core::wire::{FRAME_BYTES_MAX, PROTOCOL_VERSION};
use prost::Message as _;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_stream::StreamExt;
use tokio_util::codec::{Encoder, FramedRead, LengthDelimitedCodec};

/// A handshake is over within this time, or the connection ends.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);
/// The most bytes of one frame of a handshake: a stranger makes nobody reserve more.
const HANDSHAKE_FRAME_BYTES_MAX: usize = 4 * 1024;
const MAGIC: &[u8; 5] = b"DOYEN";
/// A connection whose handshake is over.
pub(crate) struct Established<R, W> {
    /// Frames from the peer.
    pub(crate) reader: FramedRead<R, LengthDelimitedCodec>,
    /// Bytes to the peer.
    pub(crate) writer: W,
    /// Who is there.
    pub(crate) peer: Identity,
    /// What the connection carries.
    pub(crate) lane: Lane,
    /// Whether membership was proved both ways; if not, neither side knows a cluster yet.
    pub(crate) proved: bool,
    /// The edition of [`Me`] that was said.
    pub(crate) edition: u64,
}

/// The codec of all frames, for a bound.
pub(crate) fn codec(bytes_max: usize) -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder()
        .max_frame_length(bytes_max)
        .new_codec()
}

fn store_of(me: &Me) -> Result<&str, Failure> {
    me.store_id
        .as_deref()
        .ok_or_else(|| Failure::Rejected(format!("{} has not reached its store yet", me.identity)))
}

async fn send<W: AsyncWrite + Unpin>(
    writer: &mut W,
    preface: bool,
    frame: Vec<u8>,
) -> Result<(), Failure> {
    let mut bytes = BytesMut::new();
    if preface {
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&PROTOCOL_VERSION.to_be_bytes());
    }
    codec(HANDSHAKE_FRAME_BYTES_MAX).encode(Bytes::from(frame), &mut bytes)?;
    writer.write_all(&bytes).await?;
    Ok(())
}

/// Two halves of a connection in its handshake.
struct Talk<R, W> {
    reader: FramedRead<R, LengthDelimitedCodec>,
    writer: W,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Talk<R, W> {
    async fn send(&mut self, preface: bool, frame: &Frame) -> Result<(), Failure> {
        send(&mut self.writer, preface, frame.encode_to_vec()).await
    }

    /// The next frame, with its bytes; a refusal is an error.
    async fn receive(&mut self) -> Result<(Frame, Bytes), Failure> {
        let bytes = match self.reader.next().await {
            Some(bytes) => bytes?.freeze(),
            None => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        };
        let frame = Frame::decode(bytes.clone()).map_err(io::Error::other)?;
        match frame.refusal {
            Some(reason) => Err(Failure::Rejected(reason)),
            None => Ok((frame, bytes)),
        }
    }

    async fn receive_hello(&mut self) -> Result<(Hello, Bytes), Failure> {
        let (frame, bytes) = self.receive().await?;
        let hello = frame.hello.ok_or_else(|| unexpected("hello"))?;
        Ok((hello, bytes))
    }

    async fn receive_proof(&mut self) -> Result<Vec<u8>, Failure> {
        let (frame, _) = self.receive().await?;
        frame.proof.ok_or_else(|| unexpected("proof"))
    }

    /// Tells the peer a refusal of ours, then waits a little for it to be read: closing with
    /// unread bytes would reset the connection and lose what was said.
    async fn refuse(mut self, preface: bool, failure: Failure) -> Failure {
        if let Failure::Rejected(reason) | Failure::TooEarly(reason) = &failure {
            let frame = Frame {
                refusal: Some(reason.clone()),
                ..Frame::default()
            };
            if self.send(preface, &frame).await.is_ok() && self.writer.shutdown().await.is_ok() {
                let rest = async {
                    let mut scrap = [0; 1024];
                    for _ in 0..64 {
                        if matches!(self.reader.get_mut().read(&mut scrap).await, Ok(0) | Err(_)) {
                            return;
                        }
                    }
                };
                // The bound of the whole handshake holds too.
                let _ = timeout(Duration::from_millis(200), rest).await;
            }
        }
        failure
    }
}

fn unexpected(wanted: &str) -> Failure {
    Failure::Broken(io::Error::other(format!("expected a {wanted}")))
}

/// Reads the magic and gives the peer's version.
async fn read_preface<R: AsyncRead + Unpin>(reader: &mut R) -> Result<u32, Failure> {
    let mut magic = [0; MAGIC.len()];
    for at in 0..magic.len() {
        // Byte by byte, so that a stranger is known by its first one, whatever it sends after.
        match reader.read(&mut magic[at..=at]).await {
            Ok(1) => {}
            Ok(_) if at == 0 => return Err(Failure::Unanswered),
            Err(error) if at == 0 && error.kind() == io::ErrorKind::ConnectionReset => {
                return Err(Failure::Unanswered);
            }
            Ok(_) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Err(error) => return Err(error.into()),
        }
        if magic[at] != MAGIC[at] {
            let seen = String::from_utf8_lossy(&magic[..=at]).into_owned();
            return Err(Failure::Stranger(seen));
        }
    }
    let mut version = [0; 4];
    reader.read_exact(&mut version).await?;
    Ok(u32::from_be_bytes(version))
}

fn check_version(me: &Me, version: u32) -> Result<(), Failure> {
    if version == PROTOCOL_VERSION {
        return Ok(());
    }
    Err(Failure::Rejected(format!(
        "the peer speaks version {version} of the protocol, but {} speaks {PROTOCOL_VERSION}",
        me.identity
    )))
}

/// The dialler's side.
pub(crate) async fn dial<R, W>(
    (mut read, mut writer): (R, W),
    me: &Me,
    address: &Address,
    lane: Lane,
) -> Result<Established<R, W>, Failure>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let ours = Hello::of(me, store_of(me)?, lane, Some(address))?;
    let frame = Frame {
        hello: Some(ours.clone()),
        ..Frame::default()
    };
    let our_bytes = frame.encode_to_vec();
    // A peer that refuses without reading may reset here; what it said is still to be read.
    let sent = send(&mut writer, true, our_bytes.clone()).await;
    let version = read_preface(&mut read).await?;
    let mut talk = Talk {
        reader: FramedRead::new(read, codec(HANDSHAKE_FRAME_BYTES_MAX)),
        writer,
    };
    if let Err(failure) = check_version(me, version) {
        // Another version says why in the one frame that all versions share.
        return match talk.receive().await {
            Err(said @ Failure::Rejected(_)) => Err(said),
            _ => Err(failure),
        };
    }
    let (theirs, their_bytes) = talk.receive_hello().await?;
    sent?;
    let checked = check(&ours, &theirs)
        .and_then(|()| theirs.identity())
        .and_then(|peer| check_dialled_as(&address.to_string(), &peer).map(|()| peer));
    let peer = match checked {
        Ok(peer) => peer,
        Err(failure) => return Err(talk.refuse(false, failure).await),
    };
    let secret = me.credentials.as_ref().map(|c| &c.secret);
    let proof = secret.map(|s| prove(s, Prover::Dialler, &our_bytes, &their_bytes));
    let frame = Frame {
        proof: Some(proof.unwrap_or_default()),
        ..Frame::default()
    };
    talk.send(false, &frame).await?;
    let proof = talk.receive_proof().await?;
    if secret.is_some_and(|s| !verify(s, Prover::Acceptor, &our_bytes, &their_bytes, &proof)) {
        let failure = unproved(me, &peer);
        return Err(talk.refuse(false, failure).await);
    }
    Ok(established(talk, me, peer, lane))
}

/// The acceptor's side.
pub(crate) async fn accept<R, W>(
    (mut read, writer): (R, W),
    me: &Me,
) -> Result<Established<R, W>, Failure>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let version = read_preface(&mut read).await?;
    let mut talk = Talk {
        reader: FramedRead::new(read, codec(HANDSHAKE_FRAME_BYTES_MAX)),
        writer,
    };
    if let Err(failure) = check_version(me, version) {
        return Err(talk.refuse(true, failure).await);
    }
    let (theirs, their_bytes) = talk.receive_hello().await?;
    let (ours, lane, peer) = match welcome(me, &theirs) {
        Ok(welcome) => welcome,
        Err(failure) => return Err(talk.refuse(true, failure).await),
    };
    let frame = Frame {
        hello: Some(ours),
        ..Frame::default()
    };
    let our_bytes = frame.encode_to_vec();
    talk.send(true, &frame).await?;
    let proof = talk.receive_proof().await?;
    let secret = me.credentials.as_ref().map(|c| &c.secret);
    if secret.is_some_and(|s| !verify(s, Prover::Dialler, &their_bytes, &our_bytes, &proof)) {
        let failure = unproved(me, &peer);
        return Err(talk.refuse(false, failure).await);
    }
    let proof = secret.map(|s| prove(s, Prover::Acceptor, &their_bytes, &our_bytes));
    let frame = Frame {
        proof: Some(proof.unwrap_or_default()),
        ..Frame::default()
    };
    talk.send(false, &frame).await?;
    Ok(established(talk, me, peer, lane))
}

/// The acceptor's answer to a hello, or why there is none.
fn welcome(me: &Me, theirs: &Hello) -> Result<(Hello, Lane, Identity), Failure> {
    let lane = match theirs.lane {
        1 => Lane::Main,
        2 => Lane::Beat,
        other => return Err(Failure::Rejected(format!("{other} is no lane"))),
    };
    let ours = Hello::of(me, store_of(me)?, lane, None)?;
    check(&ours, theirs)?;
    check_dialled_as(theirs.dialled_as.as_deref().unwrap_or(""), &me.identity)?;
    if lane == Lane::Beat && me.credentials.is_none() {
        return Err(Failure::Rejected(format!(
            "{} knows no cluster yet and takes no beats",
            me.identity
        )));
    }
    Ok((ours, lane, theirs.identity()?))
}

fn unproved(me: &Me, peer: &Identity) -> Failure {
    Failure::Rejected(format!(
        "the proof between {peer} and {} failed: the cluster's secrets differ",
        me.identity
    ))
}

fn established<R, W>(talk: Talk<R, W>, me: &Me, peer: Identity, lane: Lane) -> Established<R, W> {
    let mut reader = talk.reader;
    reader.decoder_mut().set_max_frame_length(FRAME_BYTES_MAX);
    Established {
        reader,
        writer: talk.writer,
        peer,
        lane,
        proved: me.credentials.is_some(),
        edition: me.edition,
    }
}

#[cfg(test)]
#[cfg(not(madsim))]
#[path = "handshake_tests.rs"]
mod tests;
