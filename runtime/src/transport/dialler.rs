//! Keeps one address dialled: at once after a break, then with growing pauses.

use super::connection::{Connection, run};
use super::handshake::{HANDSHAKE_TIMEOUT, dial};
use super::hello::{Failure, Lane};
use super::hub::Hub;
use super::me::Me;
use super::socket::connect;
use super::table::Direction;
use crate::platform::{sleep, timeout};
use doyen_core::identity::Address;
use doyen_core::input::{Input, LinkEvent};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// A connection that lived so long was a good one: its break begins the pauses anew.
const GOOD_AFTER: Duration = Duration::from_millis(100);
/// A dying process may still have a listener for a moment, or die in the handshake. It is asked
/// again after 1, 2, 4 and 8 ms before that counts as an attempt: otherwise proof would wait for
/// the pause.
const DYING_PAUSE: Duration = Duration::from_millis(1);
const DYING_ATTEMPTS_MAX: u32 = 4;

/// The growing pause between attempts.
#[derive(Debug)]
pub(crate) struct Pause {
    next: Duration,
    at_once: Option<Instant>,
}

impl Pause {
    /// The first pause.
    pub(crate) const fn new() -> Self {
        Self {
            next: PAUSE_MIN,
            at_once: None,
        }
    }

    /// The pause to make now; the next one is twice as long, up to a second.
    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = pause.saturating_mul(2).min(PAUSE_MAX);
        pause
    }

    /// After a connection that was made then broke now: whether to dial at once. A peer that takes
    /// and drops connections in a loop is dialled at once ten times a second at most.
    pub(crate) fn after_break(&mut self, made: Instant, now: Instant) -> bool {
        if now.saturating_duration_since(made) >= GOOD_AFTER {
            self.next = PAUSE_MIN;
        }
        let again = |last| now.saturating_duration_since(last) >= GOOD_AFTER;
        let at_once = self.at_once.is_none_or(again);
        if at_once {
            self.at_once = Some(now);
        }
        at_once
    }
}

/// Why an attempt failed.
pub(crate) enum DialError {
    /// The peer's machine refused the connection.
    Refused,
    /// No answer, or none that means anything.
    Silent(String),
    /// The peer is none of ours, or not yet.
    Rejected(String),
}

/// Where an address was last reached, so that a redial needs no name service.
#[derive(Debug, Default)]
pub(crate) struct Hint(Option<SocketAddr>);

/// One attempt to get a connection with its handshake over.
pub(crate) async fn attempt(
    me: &Me,
    address: &Address,
    lane: Lane,
    hint: &mut Hint,
) -> Result<Connection, DialError> {
    let mut dying = 0;
    loop {
        let failure = match attempt_once(me, address, lane, hint).await {
            Err(Attempt::Refused) => return Err(DialError::Refused),
            Err(Attempt::Failed(failure)) => failure,
            Ok(connection) => return Ok(connection),
        };
        if dying < DYING_ATTEMPTS_MAX && failure.is_a_break() {
            sleep(DYING_PAUSE.saturating_mul(1 << dying)).await;
            dying += 1;
            continue;
        }
        return Err(match failure {
            // Who knows no cluster yet is refused until it has read the record: nothing is wrong.
            Failure::Rejected(reason) if me.credentials.is_none() => DialError::Silent(reason),
            Failure::Rejected(_) | Failure::Stranger(_) => {
                DialError::Rejected(format!("{address}: {failure}"))
            }
            Failure::TooEarly(reason) => DialError::Silent(reason),
            Failure::Unanswered | Failure::Broken(_) | Failure::TooLate => {
                DialError::Silent(failure.to_string())
            }
        });
    }
}

enum Attempt {
    Refused,
    Failed(Failure),
}

async fn attempt_once(
    me: &Me,
    address: &Address,
    lane: Lane,
    hint: &mut Hint,
) -> Result<Connection, Attempt> {
    let stream = match connect(address, hint.0.take()).await {
        Ok(stream) => stream,
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            return Err(Attempt::Refused);
        }
        Err(error) => return Err(Attempt::Failed(error.into())),
    };
    hint.0 = stream.peer_addr().ok();
    let shake = dial(stream.into_split(), me, address, lane);
    let shaken = timeout(HANDSHAKE_TIMEOUT, shake).await;
    shaken
        .unwrap_or(Err(Failure::TooLate))
        .map_err(Attempt::Failed)
}

/// Keeps `address` dialled until `token` says otherwise.
pub(crate) async fn keep_dialled(
    hub: Arc<Hub>,
    address: Address,
    token: CancellationToken,
    wake: Arc<Notify>,
) {
    let mut pause = Pause::new();
    let mut hint = Hint::default();
    while !token.is_cancelled() && !hub.closing.is_cancelled() {
        if dial_once(&hub, &address, &token, &mut pause, &mut hint).await {
            continue;
        }
        tokio::select! {
            biased;
            () = token.cancelled() => {}
            () = hub.closing.cancelled() => {}
            () = wake.notified() => {}
            () = sleep(pause.next()) => {}
        }
    }
}

/// One attempt and the life of what comes of it; whether to dial again at once.
async fn dial_once(
    hub: &Hub,
    address: &Address,
    token: &CancellationToken,
    pause: &mut Pause,
    hint: &mut Hint,
) -> bool {
    let mut changes = hub.me.subscribe();
    let me = changes.borrow_and_update().clone();
    if me.store_id.is_none() {
        // Nothing can be said yet that a peer could check.
        tokio::select! {
            biased;
            () = token.cancelled() => {}
            () = hub.closing.cancelled() => {}
            _ = changes.changed() => {}
        }
        return true;
    }
    let connection = tokio::select! {
        biased;
        () = token.cancelled() => return true,
        // What is being said has changed: say the new at once.
        _ = changes.changed() => return true,
        attempted = attempt(&me, address, Lane::Main, hint) => attempted,
    };
    let life = me.identity.incarnation;
    let event = match connection {
        Ok(connection) => {
            let (peer, proved) = (connection.peer.clone(), connection.proved);
            let held = hub
                .enter(&peer, Direction::Dialled, proved, me.edition, token)
                .await;
            let Some(held) = held else { return true };
            let made = Instant::now();
            run(hub, connection, held).await;
            let changed = changes.has_changed().unwrap_or(true);
            return pause.after_break(made, Instant::now()) || changed;
        }
        Err(DialError::Refused) => {
            hub.wait_until_gone(address).await;
            LinkEvent::Refused {
                address: address.clone(),
            }
        }
        Err(DialError::Silent(reason)) => {
            tracing::debug!(%address, reason, "dial not answered");
            LinkEvent::Silent {
                address: address.clone(),
            }
        }
        Err(DialError::Rejected(reason)) => LinkEvent::Rejected {
            address: address.clone(),
            reason,
        },
    };
    hub.tell(life, Input::Link(event)).await;
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_from_20_ms_to_a_second_and_begin_anew_after_a_good_connection() {
        let mut pause = Pause::new();
        let made: Vec<u128> = (0..8).map(|_| pause.next().as_millis()).collect();
        assert_eq!(made, [20, 40, 80, 160, 320, 640, 1_000, 1_000]);
        let start = Instant::now();
        pause.after_break(start, start + Duration::from_millis(99));
        assert_eq!(pause.next(), PAUSE_MAX);
        pause.after_break(start, start + Duration::from_millis(100));
        assert_eq!(pause.next(), PAUSE_MIN);
    }

    #[test]
    fn the_dial_after_a_break_is_at_once_but_not_in_a_loop() {
        let mut pause = Pause::new();
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        assert!(pause.after_break(at(0), at(5)));
        assert!(!pause.after_break(at(6), at(10)));
        assert!(pause.after_break(at(30), at(200)));
    }
}
