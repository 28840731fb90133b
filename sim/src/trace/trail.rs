//! The trail of a run: the hash of all that it showed, with checkpoints on the way.

use super::digest::Digest;
use super::hash::Hash64;
use super::seen::Seen;
use doyen_core::gossip::Gossip;
use doyen_core::input::Input;
use doyen_core::output::Output;
use doyen_core::time::Time;
use doyen_core::wire::Message;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Weak};

/// There is a checkpoint every so many observations.
pub const EVERY: u64 = 1_000;

/// The run up to some observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// How many observations it covers.
    pub length: u64,
    /// The hash of them.
    pub hash: u64,
    /// The digest of the states of all processes as last looked at.
    pub state: u64,
}

/// The hash of a whole run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trail {
    /// Checkpoints, [`EVERY`] so many observations, and the last one at the run's end.
    pub checkpoints: Vec<Checkpoint>,
}

impl Trail {
    /// The hash of the whole run.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.checkpoints.last().map_or(0, |last| last.hash)
    }

    /// How many observations the run showed.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.checkpoints.last().map_or(0, |last| last.length)
    }
}

/// Follows a run.
#[derive(Clone, Debug, Default)]
pub struct Tracker {
    hash: Hash64,
    length: u64,
    state: u64,
    checkpoints: Vec<Checkpoint>,
    gossips: Gossips,
    gossip: Option<u64>,
}

impl Tracker {
    /// Takes an observation.
    pub fn seen(&mut self, at: Time, seen: &Seen<'_>) {
        self.gossip = gossip_of(seen).map(|gossip| self.gossips.digest(gossip));
        match (seen, self.gossip) {
            (Seen::Views { views }, _) => {
                let mut state = Hash64::default();
                for (node, view) in *views {
                    state.word(u64::from(node.0));
                    view.digest(&mut state);
                }
                self.state = state.value();
                self.hash.pair(at.as_nanos(), self.state);
            }
            (_, Some(gossip)) => self.hash.pair(at.as_nanos(), gossip),
            (_, None) => self.hash.word(at.as_nanos()),
        }
        seen.digest(&mut self.hash);
        self.length += 1;
        if self.length.is_multiple_of(EVERY) {
            self.checkpoints.push(self.checkpoint());
        }
    }

    /// The digest of the state of membership that the last observation tells, if it tells one.
    #[must_use]
    pub const fn gossip(&self) -> Option<u64> {
        self.gossip
    }

    /// The trail so far.
    #[must_use]
    pub fn trail(&self) -> Trail {
        let mut checkpoints = self.checkpoints.clone();
        if !self.length.is_multiple_of(EVERY) || checkpoints.is_empty() {
            checkpoints.push(self.checkpoint());
        }
        Trail { checkpoints }
    }

    const fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            length: self.length,
            hash: self.hash.value(),
            state: self.state,
        }
    }
}

/// The state of membership that a message of this observation tells.
const fn gossip_of<'a>(seen: &Seen<'a>) -> Option<&'a Arc<Gossip>> {
    match seen {
        Seen::Input {
            input:
                Input::Message {
                    message: Message::Gossip { gossip, .. },
                    ..
                },
            ..
        }
        | Seen::Output {
            output:
                Output::Send {
                    message: Message::Gossip { gossip, .. },
                    ..
                },
            ..
        }
        | Seen::Lost {
            output:
                Output::Send {
                    message: Message::Gossip { gossip, .. },
                    ..
                },
            ..
        } => Some(gossip),
        _ => None,
    }
}

/// So many states of membership are remembered with their digests.
const GOSSIPS: usize = 8;

/// The digests of the last states of membership: each is told to several members, and heard by
/// them. Nobody writes into a state that is remembered, nor does another one get its place, since
/// even a weak pointer keeps that.
#[derive(Clone, Debug, Default)]
struct Gossips {
    last: [(Weak<Gossip>, u64); GOSSIPS],
    next: usize,
}

impl Gossips {
    fn digest(&mut self, gossip: &Arc<Gossip>) -> u64 {
        let is_known = |(one, _): &&(Weak<Gossip>, u64)| one.as_ptr() == Arc::as_ptr(gossip);
        if let Some((_, digest)) = self.last.iter().find(is_known) {
            return *digest;
        }
        let mut hash = Hash64::default();
        gossip.digest(&mut hash);
        let digest = hash.value();
        if let Some(place) = self.last.get_mut(self.next) {
            *place = (Arc::downgrade(gossip), digest);
        }
        self.next = (self.next + 1) % GOSSIPS;
        digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::history::server;
    use crate::trace::seen::{NodeId, Phase};

    fn trail(observations: u64, odd: Option<u64>) -> Trail {
        let mut tracker = Tracker::default();
        for number in 0..observations {
            let clock = Time::from_millis(number + u64::from(odd == Some(number)));
            let seen = Seen::Input {
                node: NodeId(1),
                clock,
                input: &Input::Timeout,
            };
            tracker.seen(Time::from_millis(number), &seen);
        }
        tracker.trail()
    }

    #[test]
    fn equal_runs_have_equal_trails_and_a_checkpoint_every_thousand() {
        let one = trail(2_500, None);
        assert_eq!(one, trail(2_500, None));
        let lengths: Vec<_> = one.checkpoints.iter().map(|one| one.length).collect();
        assert_eq!(lengths, [1_000, 2_000, 2_500]);
        assert_eq!(trail(2_000, None).checkpoints.len(), 2);
    }

    #[test]
    fn one_changed_payload_changes_every_later_checkpoint_and_no_earlier_one() {
        let (one, other) = (trail(2_500, None), trail(2_500, Some(1_500)));
        assert_eq!(one.checkpoints[0], other.checkpoints[0]);
        assert_ne!(one.checkpoints[1], other.checkpoints[1]);
        assert_ne!(one.hash(), other.hash());
        assert_ne!(one.hash(), trail(2_499, None).hash());
    }

    #[test]
    fn every_observation_counts() {
        let mut tracker = Tracker::default();
        let empty = tracker.trail().hash();
        tracker.seen(Time::ZERO, &Seen::Phase(Phase::Faults));
        let one = tracker.trail().hash();
        tracker.seen(Time::ZERO, &Seen::Spins { node: NodeId(1) });
        let two = tracker.trail().hash();
        assert!(empty != one && one != two);
    }

    fn told(tracker: &mut Tracker, gossip: &Arc<Gossip>) -> u64 {
        let to = server(2, 1);
        let gossip = gossip.clone();
        let message = Message::Gossip {
            to: to.clone(),
            gossip,
        };
        let seen = Seen::Output {
            node: NodeId(1),
            output: &Output::Send { to, message },
        };
        tracker.seen(Time::ZERO, &seen);
        tracker.gossip().unwrap()
    }

    #[test]
    fn a_state_has_one_digest_whether_it_is_remembered_or_not() {
        let mut tracker = Tracker::default();
        let of = |generation| {
            let mut gossip = Gossip::default();
            gossip.roster.generation.0 = generation;
            Arc::new(gossip)
        };
        let states: Vec<_> = (0..2 * GOSSIPS as u64).map(of).collect();
        let mut digests = |states: &[Arc<Gossip>]| -> Vec<u64> {
            states.iter().map(|one| told(&mut tracker, one)).collect()
        };
        let first = digests(&states);
        let distinct: std::collections::BTreeSet<_> = first.iter().collect();
        assert_eq!(distinct.len(), states.len());
        assert_eq!(digests(&states), first);
        let last = &states[states.len() - 1..];
        assert_eq!(digests(last), first[states.len() - 1..]);
    }

    #[test]
    fn a_state_that_is_changed_in_place_is_told_anew() {
        let mut tracker = Tracker::default();
        let mut gossip = Arc::new(Gossip::default());
        let before = told(&mut tracker, &gossip);
        Arc::make_mut(&mut gossip).roster.generation.0 = 1;
        assert_ne!(told(&mut tracker, &gossip), before);
    }

    #[test]
    fn runs_differ_by_what_their_gossip_tells() {
        let run = |generation| {
            let mut gossip = Gossip::default();
            gossip.roster.generation.0 = generation;
            let mut tracker = Tracker::default();
            told(&mut tracker, &Arc::new(gossip));
            tracker.trail().hash()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }
}
