//! Warnings that strangers can cause are limited, so that they cannot fill a disk.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_secs(1);

/// Lets one warning through per second and counts the others.
#[derive(Debug, Default)]
pub(crate) struct Quiet {
    state: Mutex<(Option<Instant>, u64)>,
}

impl Quiet {
    /// Whether a warning may be written now: with the number of those left out since the last.
    pub(crate) fn admit(&self) -> Option<u64> {
        self.admit_at(Instant::now())
    }

    fn admit_at(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, left_out) = *state;
        if last.is_some_and(|last| now.saturating_duration_since(last) < PAUSE) {
            state.1 = left_out.saturating_add(1);
            return None;
        }
        *state = (Some(now), 0);
        Some(left_out)
    }

    /// Writes a warning, if one may be written.
    pub(crate) fn warn(&self, text: &str) {
        if let Some(left_out) = self.admit() {
            tracing::warn!(left_out, "{text}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_warning_a_second_and_the_next_one_tells_how_many_were_left_out() {
        let quiet = Quiet::default();
        let start = Instant::now();
        assert_eq!(quiet.admit_at(start), Some(0));
        assert_eq!(quiet.admit_at(start + Duration::from_millis(10)), None);
        assert_eq!(quiet.admit_at(start + Duration::from_millis(20)), None);
        assert_eq!(
            quiet.admit_at(start + Duration::from_millis(1_001)),
            Some(2)
        );
    }
}
