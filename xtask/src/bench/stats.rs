//! Percentiles.

use serde_json::Value;

/// Times of rounds, in milliseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Times(Vec<f64>);

impl Times {
    /// Adds one.
    pub(super) fn add(&mut self, ms: f64) {
        let at = self.0.partition_point(|other| *other < ms);
        self.0.insert(at, ms);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The smallest value that at least `percent` per cent of all do not exceed (nearest rank).
    pub(super) fn percentile(&self, percent: usize) -> Option<f64> {
        let rank = (self.0.len() * percent).div_ceil(100);
        self.0.get(rank.max(1) - 1).copied()
    }

    /// As `percentile`, to hundredths, null when there is none.
    pub(super) fn json(&self, percent: usize) -> Value {
        self.percentile(percent)
            .map_or(Value::Null, |ms| rounded(ms).into())
    }
}

/// To hundredths.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let mut times = Times::default();
        assert_eq!(times.percentile(50), None);
        assert_eq!(times.json(99), Value::Null);
        for ms in [5.0, 1.0, 4.0, 2.0, 3.0] {
            times.add(ms);
        }
        for (percent, ms) in [(50, 3.0), (99, 5.0), (100, 5.0), (20, 1.0), (21, 2.0)] {
            assert_eq!(times.percentile(percent), Some(ms), "{percent}");
        }
        for ms in 6..=300 {
            times.add(f64::from(ms));
        }
        assert_eq!(times.len(), 300);
        assert_eq!(times.percentile(99), Some(297.0));
    }
}
