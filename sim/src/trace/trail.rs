//! The trail of a run: the hash of all that it showed, with checkpoints on the way.

use super::digest::Digest;
use super::hash::Hash64;
use super::seen::Seen;
use doyen_core::time::Time;
use serde::{Deserialize, Serialize};

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
}

impl Tracker {
    /// Takes an observation.
    pub fn seen(&mut self, at: Time, seen: &Seen<'_>) {
        self.hash.word(at.as_nanos());
        seen.digest(&mut self.hash);
        if let Seen::Views { views } = seen {
            let mut state = Hash64::default();
            for (node, view) in *views {
                state.word(u64::from(node.0));
                view.digest(&mut state);
            }
            self.state = state.value();
        }
        self.length += 1;
        if self.length.is_multiple_of(EVERY) {
            self.checkpoints.push(self.checkpoint());
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::seen::{NodeId, Phase};
    use doyen_core::input::Input;

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
}
