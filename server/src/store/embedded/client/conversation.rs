//! One connection's life: asks out, answers in, and what becomes of open asks when it breaks.

use super::super::frame::{
    ANSWER_BYTES_MAX, Answer, FrameError, RECEIVE_BYTES, REQUEST_BYTES_MAX, Request, encode, take,
};
use super::super::link::{HUNG_AFTER, Link};
use super::Ask;
use bytes::BytesMut;
use doyen_core::records::transaction::{Change, CommitOutcome};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{broadcast, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Asks that may be open on the connection.
const OPEN_MAX: usize = 1024;
/// Bytes that wait to be written before no more asks are taken.
const OUT_BYTES_MAX: usize = 1024 * 1024;
/// How often the store's silence is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// Silence after which the store is pinged while calls are open.
const PING_AFTER: Duration = Duration::from_millis(200);
/// The same while none is open: it costs a turn of both processes each time.
const PING_AFTER_IDLE: Duration = Duration::from_millis(500);

/// What lives from one connection to the next.
pub(super) struct Conversation {
    asks: mpsc::Receiver<Ask>,
    changes: broadcast::Sender<Change>,
    /// Asks to be written first: reads whose connection broke, and commits that were not written.
    again: VecDeque<Ask>,
    open: BTreeMap<u64, Open>,
    next_id: u64,
    /// Bytes written on this connection.
    written: u64,
    out: BytesMut,
}

struct Open {
    ask: Ask,
    /// Where its frame begins in the connection's stream.
    begins: u64,
}

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
pub(super) enum Closed {
    #[error("it closed the connection")]
    ByStore,
    #[error("the connection broke: {0}")]
    Broke(#[from] io::Error),
    #[error("{0}")]
    Frame(#[from] FrameError),
    #[error("it was silent for 2 s")]
    Hung,
    #[error("nobody uses this client")]
    Unused,
}

impl Conversation {
    pub(super) fn new(asks: mpsc::Receiver<Ask>, changes: broadcast::Sender<Change>) -> Self {
        Self {
            asks,
            changes,
            again: VecDeque::new(),
            open: BTreeMap::new(),
            next_id: 0,
            written: 0,
            out: BytesMut::new(),
        }
    }

    /// Whether the last clone of the client is gone.
    pub(super) fn is_unused(&self) -> bool {
        self.asks.is_closed() && self.asks.is_empty()
    }

    /// Tells watchers; there may be none.
    pub(super) fn changed(&self, change: Change) {
        let _ = self.changes.send(change);
    }

    /// Makes room while the store is away: calls whose time is over are taken out.
    pub(super) fn drop_forgotten(&mut self) {
        self.again.retain(|ask| !ask.is_forgotten());
        while self.again.len() < OPEN_MAX {
            match self.asks.try_recv() {
                Ok(ask) => self.again.push_back(ask),
                Err(_) => break,
            }
        }
    }

    /// Talks until the connection is over.
    pub(super) async fn run(&mut self, link: Link) -> Closed {
        self.written = 0;
        self.out.clear();
        match self.talk(link).await {
            Ok(closed) | Err(closed) => closed,
        }
    }

    /// After a connection: what may have been carried out is unknown, the rest is asked again.
    pub(super) fn settle(&mut self) {
        let mut again = VecDeque::new();
        for open in std::mem::take(&mut self.open).into_values() {
            let was_written = open.begins < self.written;
            match open.ask {
                Ask::Commit { answer, .. } if was_written => {
                    let _ = answer.send(CommitOutcome::Unknown);
                }
                Ask::Commit {
                    transaction,
                    permit,
                    answer,
                } => {
                    permit.give_back();
                    again.push_back(Ask::Commit {
                        transaction,
                        permit,
                        answer,
                    });
                }
                read @ Ask::Read { .. } => again.push_back(read),
            }
        }
        again.append(&mut self.again);
        self.again = again;
    }

    async fn talk(&mut self, link: Link) -> Result<Closed, Closed> {
        let mut stream = link.stream;
        let (mut source, mut sink) = stream.split();
        let mut received = link.received;
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut silence = Silence::new(Instant::now());
        loop {
            while let Some(answer) = take(&mut received, ANSWER_BYTES_MAX)? {
                silence.heard(Instant::now());
                self.answered(answer);
            }
            while self.has_room() {
                match self.again.pop_front() {
                    Some(ask) => self.write(ask),
                    None => break,
                }
            }
            received.reserve(RECEIVE_BYTES);
            let has_room = self.has_room();
            tokio::select! {
                biased;
                wrote = sink.write_buf(&mut self.out), if !self.out.is_empty() => {
                    self.written += u64::try_from(wrote?).unwrap_or(0);
                }
                read = source.read_buf(&mut received) => if read? == 0 {
                    return Ok(Closed::ByStore);
                },
                ask = self.asks.recv(), if has_room => match ask {
                    Some(ask) => self.write(ask),
                    None => return Ok(Closed::Unused),
                },
                _ = look.tick() => match silence.say(Instant::now(), self.ping_after()) {
                    Say::Nothing => {}
                    Say::Ping => self.push(&Request::Ping)?,
                    Say::Hung => return Ok(Closed::Hung),
                },
            }
        }
    }

    fn ping_after(&self) -> Duration {
        if self.open.is_empty() {
            PING_AFTER_IDLE
        } else {
            PING_AFTER
        }
    }

    fn has_room(&self) -> bool {
        self.open.len() < OPEN_MAX && self.out.len() < OUT_BYTES_MAX
    }

    fn write(&mut self, ask: Ask) {
        // The permit of a commit whose caller's time is over is taken: it was told "not sent".
        let void = matches!(&ask, Ask::Commit { permit, .. } if !permit.take());
        if void || ask.is_forgotten() {
            return;
        }
        let id = self.next_id;
        self.next_id += 1;
        let begins = self.written + u64::try_from(self.out.len()).unwrap_or(0);
        let request = match &ask {
            Ask::Commit { transaction, .. } => Request::Commit {
                id,
                transaction: transaction.clone(),
            },
            Ask::Read { query, .. } => Request::Read {
                id,
                query: query.clone(),
            },
        };
        match self.push(&request) {
            Ok(()) => {
                self.open.insert(id, Open { ask, begins });
            }
            Err(e) => ask.refuse(e.to_string()),
        }
    }

    fn push(&mut self, request: &Request) -> Result<(), FrameError> {
        let frame = encode(request, REQUEST_BYTES_MAX)?;
        self.out.extend_from_slice(&frame);
        Ok(())
    }

    fn answered(&mut self, answer: Answer) {
        match answer {
            Answer::Committed { id, outcome } => {
                if let Some(Ask::Commit { answer, .. }) = self.open.remove(&id).map(|o| o.ask) {
                    let _ = answer.send(outcome);
                }
            }
            Answer::Read { id, outcome } => {
                if let Some(Ask::Read { answer, .. }) = self.open.remove(&id).map(|o| o.ask) {
                    let _ = answer.send(outcome);
                }
            }
            Answer::Changed { keys } => {
                for key in keys {
                    self.changed(Change::Record(key));
                }
            }
            Answer::ChangedEverything => self.changed(Change::Everything),
            // A second greeting means nothing; every frame is a sign of life.
            Answer::Pong | Answer::Hello { .. } | Answer::Refused { .. } => {}
        }
    }
}

/// Tells a store that hangs from a client that was itself stopped or starved.
struct Silence {
    looked: Instant,
    heard: Instant,
    /// When the ping was sent that is not answered yet.
    pinged: Option<Instant>,
}

#[derive(Debug, PartialEq, Eq)]
enum Say {
    Nothing,
    Ping,
    Hung,
}

impl Silence {
    fn new(now: Instant) -> Self {
        Self {
            looked: now,
            heard: now,
            pinged: None,
        }
    }

    fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.pinged = None;
    }

    /// What a look, made every [`LOOK`], says.
    fn say(&mut self, now: Instant, ping_after: Duration) -> Say {
        let late = now - self.looked > LOOK * 4;
        self.looked = now;
        match &mut self.pinged {
            // This process was stopped or starved: the answer may wait unread, the count is void.
            Some(pinged) if late => {
                *pinged = now;
                Say::Nothing
            }
            Some(pinged) if now - *pinged >= HUNG_AFTER => Say::Hung,
            Some(_) => Say::Nothing,
            None if now - self.heard >= ping_after => {
                self.pinged = Some(now);
                Say::Ping
            }
            None => Say::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks for so long; what was said, with the time of it in milliseconds.
    fn looks(silence: &mut Silence, from: Instant, ms: u64, after: Duration) -> Vec<(u128, Say)> {
        let times = (0..=ms / 200).map(|n| from + LOOK * u32::try_from(n).unwrap());
        let said = times.map(|now| ((now - from).as_millis(), silence.say(now, after)));
        said.filter(|(_, say)| *say != Say::Nothing).collect()
    }

    #[test]
    fn a_silent_store_is_pinged_and_hung_2_s_later() {
        for (after, ping, hung) in [(PING_AFTER, 200, 2_200), (PING_AFTER_IDLE, 600, 2_600)] {
            let start = Instant::now();
            let mut silence = Silence::new(start);
            let said = looks(&mut silence, start, 2_600, after);
            assert_eq!(said[..2], [(ping, Say::Ping), (hung, Say::Hung)]);
        }
    }

    #[test]
    fn a_client_that_was_stopped_itself_counts_anew() {
        let start = Instant::now();
        let mut silence = Silence::new(start);
        assert_eq!(
            looks(&mut silence, start, 200, PING_AFTER),
            [(200, Say::Ping)]
        );
        let awake = start + Duration::from_secs(60);
        let said = looks(&mut silence, awake, 2_000, PING_AFTER);
        assert_eq!(said, [(2_000, Say::Hung)]);
    }

    #[test]
    fn a_store_that_answers_is_left_alone() {
        let start = Instant::now();
        let mut silence = Silence::new(start);
        for round in 0..10 {
            let heard = start + LOOK * 2 * round;
            silence.heard(heard);
            assert_eq!(silence.say(heard + LOOK, PING_AFTER), Say::Ping);
        }
    }
}
