//! Where two runs that should be equal are not: the first observation that differs.
//!
//! Checkpoints tell in which thousand it lies; both runs are then repeated, and only that thousand
//! is written down.

use super::seen::{Seen, Sink};
use super::trail::Trail;
use doyen_core::time::Time;

/// The observations from one checkpoint to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first, counted from 0.
    pub from: u64,
    /// The first that is not in it any more.
    pub to: u64,
}

/// The first observation that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its number, from 0.
    pub number: u64,
    /// What the one run showed; `None` when it had ended.
    pub one: Option<String>,
    /// What the other run showed; `None` when it had ended.
    pub other: Option<String>,
}

/// In which window two trails begin to differ; `None` when they are equal.
#[must_use]
pub fn window(one: &Trail, other: &Trail) -> Option<Window> {
    let pairs = one.checkpoints.iter().zip(&other.checkpoints);
    let equal = pairs.take_while(|(one, other)| one == other).count();
    if equal == one.checkpoints.len() && equal == other.checkpoints.len() {
        return None;
    }
    let before = equal
        .checked_sub(1)
        .and_then(|last| one.checkpoints.get(last));
    let ends = [one, other].map(|trail| trail.checkpoints.get(equal).map(|one| one.length));
    let from = before.map_or(0, |last| last.length);
    let to = ends.into_iter().flatten().max().unwrap_or(from);
    Some(Window { from, to })
}

/// Writes down one window of a run.
#[derive(Clone, Debug)]
pub struct Scribe {
    window: Window,
    length: u64,
    /// The observations of the window, a line each.
    pub lines: Vec<String>,
}

impl Scribe {
    /// Writes down this window.
    #[must_use]
    pub const fn new(window: Window) -> Self {
        Self {
            window,
            length: 0,
            lines: Vec::new(),
        }
    }
}

impl Sink for Scribe {
    fn seen(&mut self, at: Time, seen: &Seen<'_>) {
        if (self.window.from..self.window.to).contains(&self.length) {
            self.lines.push(line(at, seen));
        }
        self.length += 1;
    }

    fn is_settled(&self) -> bool {
        false
    }
}

/// An observation in one line.
#[must_use]
pub fn line(at: Time, seen: &Seen<'_>) -> String {
    match seen {
        // The store itself is not shown: what a commit changed tells it.
        Seen::Store(written) => format!(
            "{at} Store {{ by: {}, outcome: {:?}, told: {}, stamp: {:?}, {:?} }}",
            written.by, written.outcome, written.told, written.stamp, written.transaction
        ),
        other => format!("{at} {other:?}"),
    }
}

/// The first line of a window that differs.
#[must_use]
pub fn difference(window: Window, one: &[String], other: &[String]) -> Option<Difference> {
    let equal = one.iter().zip(other).take_while(|(a, b)| a == b).count();
    let (left, right) = (one.get(equal).cloned(), other.get(equal).cloned());
    (left.is_some() || right.is_some()).then(|| Difference {
        number: window.from.saturating_add(equal as u64),
        one: left,
        other: right,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::seen::NodeId;
    use crate::trace::trail::Tracker;
    use doyen_core::input::Input;

    /// A run of so many observations, one of which is odd.
    fn run(length: u64, odd: u64, sink: &mut dyn FnMut(Time, &Seen<'_>)) {
        for number in 0..length {
            let seen = Seen::Input {
                node: NodeId(1),
                clock: Time::from_millis(number + u64::from(number == odd)),
                input: &Input::Timeout,
            };
            sink(Time::from_millis(number), &seen);
        }
    }

    fn compare(one: (u64, u64), other: (u64, u64)) -> Option<Difference> {
        let trail = |(length, odd)| {
            let mut tracker = Tracker::default();
            run(length, odd, &mut |at, seen| tracker.seen(at, seen));
            tracker.trail()
        };
        let window = window(&trail(one), &trail(other))?;
        let lines = |(length, odd)| {
            let mut scribe = Scribe::new(window);
            run(length, odd, &mut |at, seen| scribe.seen(at, seen));
            scribe.lines
        };
        difference(window, &lines(one), &lines(other))
    }

    #[test]
    fn the_first_observation_that_differs_is_named() {
        assert_eq!(compare((3_000, 9_999), (3_000, 9_999)), None);
        for odd in [0, 999, 1_000, 2_500] {
            let found = compare((3_000, 9_999), (3_000, odd)).unwrap();
            assert_eq!(found.number, odd);
            assert_ne!(found.one, found.other);
        }
    }

    #[test]
    fn a_run_that_ends_early_differs_where_it_ends() {
        for (short, long) in [(2_500, 2_600), (2_000, 3_000), (0, 1)] {
            let found = compare((short, 9_999), (long, 9_999)).unwrap();
            assert_eq!((found.number, found.one), (short, None));
        }
    }
}
