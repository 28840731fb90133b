//! What keeps one address dialled, and the pauses that it makes (runtime/src/transport/dialler.rs).

use super::connection::{ConnId, Lane};
use crate::trace::seen::NodeId;
use doyen_core::identity::Address;
use doyen_core::time::Time;
use std::time::Duration;

const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);
const GOOD_AFTER: Duration = Duration::from_millis(100);

/// What a dialler does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It waits until it has something to say that a peer could check.
    Parked,
    /// An attempt is under way.
    Trying,
    /// A pause before the next attempt.
    Waiting,
    /// It is connected.
    Up(ConnId, Time),
}

/// Keeps one address dialled.
#[derive(Debug)]
pub(crate) struct Dialler {
    /// For what.
    pub(super) lane: Lane,
    pub(super) address: Address,
    /// Where that is, if anybody ever listens there.
    pub(super) target: Option<NodeId>,
    /// The how many-th attempt this is.
    pub(super) number: u32,
    pause: Duration,
    at_once: Option<Time>,
    /// How often the peer seemed to be dying.
    pub(super) dying: u32,
    pub(super) state: State,
}

impl Dialler {
    pub(super) fn new(lane: Lane, address: Address, target: Option<NodeId>) -> Self {
        Self {
            lane,
            address,
            target,
            number: 0,
            pause: PAUSE_MIN,
            at_once: None,
            dying: 0,
            state: State::Parked,
        }
    }

    /// The pause to make now; the next one is twice as long, up to a second.
    pub(super) fn next_pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = pause.saturating_mul(2).min(PAUSE_MAX);
        pause
    }

    /// After a connection that was made then broke now: whether to dial at once.
    pub(super) fn after_break(&mut self, made: Time, now: Time) -> bool {
        if now.since(made) >= GOOD_AFTER {
            self.pause = PAUSE_MIN;
        }
        let at_once = self
            .at_once
            .is_none_or(|last| now.since(last) >= GOOD_AFTER);
        if at_once {
            self.at_once = Some(now);
        }
        at_once
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_a_second_and_begin_anew_after_a_good_connection() {
        let mut dialler = Dialler::new(Lane::Main, Address::new("s1", 1), None);
        let made: Vec<u128> = (0..8).map(|_| dialler.next_pause().as_millis()).collect();
        assert_eq!(made, [20, 40, 80, 160, 320, 640, 1_000, 1_000]);
        let at = Time::from_millis;
        assert!(dialler.after_break(at(0), at(99)));
        assert_eq!(dialler.next_pause(), PAUSE_MAX);
        assert!(
            !dialler.after_break(at(50), at(150)),
            "at once twice in 100 ms"
        );
        assert_eq!(dialler.next_pause(), PAUSE_MIN);
    }
}
