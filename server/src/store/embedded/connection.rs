//! One connection of the store process.

use super::frame::{Answer, FrameError, RECEIVE_BYTES, REQUEST_BYTES_MAX, Request, encode, take};
use super::worker::{Frame, Job, Work};
use bytes::BytesMut;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{broadcast, mpsc, watch};

/// Requests that a connection may have open; more wait in its socket.
const OPEN_MAX: usize = 128;
/// Bytes that wait to be written before nothing more is taken up.
const OUT_BYTES_MAX: usize = 256 * 1024;

/// What a connection needs of its process.
pub(super) struct Serving {
    pub(super) hello: Frame,
    pub(super) jobs: mpsc::Sender<Job>,
    pub(super) events: broadcast::Receiver<Frame>,
    /// True when the process ends: what was received is answered, nothing more is read.
    pub(super) stop: watch::Receiver<bool>,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error("{0}")]
    Socket(#[from] io::Error),
    #[error("{0}")]
    Frame(#[from] FrameError),
    #[error("the database is closed")]
    Database,
}

/// Serves one client until it goes, breaks the rules, or the process ends.
pub(super) async fn serve(mut stream: UnixStream, mut with: Serving) -> Result<(), Ended> {
    let (mut source, mut sink) = stream.split();
    // As large as the open requests, so that the worker never waits for a connection.
    let (reply, mut answers) = mpsc::channel::<Vec<u8>>(OPEN_MAX);
    let (mut received, mut out) = (BytesMut::new(), BytesMut::from(&*with.hello));
    let (mut open, mut stopping) = (0, *with.stop.borrow());
    loop {
        while open < OPEN_MAX && out.len() < OUT_BYTES_MAX {
            let Some(request) = take(&mut received, REQUEST_BYTES_MAX)? else {
                break;
            };
            let (id, work) = match request {
                Request::Ping => {
                    out.extend_from_slice(&encode(&Answer::Pong, REQUEST_BYTES_MAX)?);
                    continue;
                }
                Request::Commit { id, transaction } => (id, Work::Commit(transaction)),
                Request::Read { id, query } => (id, Work::Read(query)),
            };
            let reply = reply.clone();
            let job = Job { id, work, reply };
            with.jobs.send(job).await.map_err(|_| Ended::Database)?;
            open += 1;
        }
        if stopping && open == 0 && out.is_empty() {
            return Ok(());
        }
        if out.is_empty() {
            // A large answer's memory is not kept.
            out = BytesMut::new();
        }
        received.reserve(RECEIVE_BYTES);
        let room = out.len() < OUT_BYTES_MAX;
        tokio::select! {
            biased;
            wrote = sink.write_buf(&mut out), if !out.is_empty() => {
                wrote?;
            }
            event = with.events.recv(), if room => push_event(&mut out, event)?,
            Some(answer) = answers.recv(), if room => {
                // The event of a commit goes before every answer that was made after it.
                while let Some(event) = next_event(&mut with.events) {
                    push_event(&mut out, event)?;
                }
                out.extend_from_slice(&answer);
                open -= 1;
            }
            _ = with.stop.changed(), if !stopping => stopping = true,
            read = source.read_buf(&mut received), if room && open < OPEN_MAX && !stopping => {
                if read? == 0 {
                    return Ok(());
                }
            }
        }
    }
}

type Event = Result<Frame, broadcast::error::RecvError>;

fn next_event(events: &mut broadcast::Receiver<Frame>) -> Option<Event> {
    use broadcast::error::{RecvError, TryRecvError};
    match events.try_recv() {
        Ok(event) => Some(Ok(event)),
        Err(TryRecvError::Lagged(missed)) => Some(Err(RecvError::Lagged(missed))),
        Err(TryRecvError::Empty | TryRecvError::Closed) => None,
    }
}

fn push_event(out: &mut BytesMut, event: Event) -> Result<(), Ended> {
    match event {
        Ok(frame) => out.extend_from_slice(&frame),
        Err(broadcast::error::RecvError::Lagged(_)) => {
            out.extend_from_slice(&encode(&Answer::ChangedEverything, REQUEST_BYTES_MAX)?);
        }
        Err(broadcast::error::RecvError::Closed) => return Err(Ended::Database),
    }
    Ok(())
}
