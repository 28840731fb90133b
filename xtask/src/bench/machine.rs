//! How far the machine let itself be measured on: `commit profile load steal_percent
//! calibration_ms noisy` of every bench's line.

use super::stats::rounded;
use crate::BenchCommon;
use doyen_tests::load::millis;
use doyen_tests::procfs::{self, MachineTicks};
use doyen_tests::program::{self, Profile};
use serde_json::{Map, Value};
use std::hint::black_box;
use std::process::Command;
use std::time::Instant;

/// Two calibrations that differ by more than this make a run noisy.
const NOISY_RATIO: f64 = 1.2;

/// The machine before a run.
pub(super) struct Machine {
    before_ms: f64,
    ticks: MachineTicks,
}

impl Machine {
    /// Looks at it.
    pub(super) fn before() -> Self {
        Self {
            before_ms: calibrate_ms(),
            ticks: MachineTicks::now(),
        }
    }

    /// Looks again, after the run, and adds the members to its line.
    pub(super) fn after(self, common: &BenchCommon, result: &mut Map<String, Value>) {
        let ticks = MachineTicks::now();
        let load = procfs::load_average();
        let after_ms = calibrate_ms();
        let steal = ticks.percent_since(self.ticks, |t| t.stolen);
        let mut add = |name: &str, value: Value| result.insert(name.to_owned(), value);
        add("commit", commit().into());
        add("profile", Profile::from(common.profile).folder().into());
        add("load", rounded(load).into());
        add("steal_percent", rounded(steal).into());
        add(
            "calibration_ms",
            rounded(self.before_ms.min(after_ms)).into(),
        );
        add("noisy", is_noisy(self.before_ms, after_ms).into());
    }
}

fn is_noisy(before_ms: f64, after_ms: f64) -> bool {
    before_ms.max(after_ms) > NOISY_RATIO * before_ms.min(after_ms)
}

/// The time of a fixed loop of integer work, the best of three.
fn calibrate_ms() -> f64 {
    let once = || {
        let start = Instant::now();
        let mut x = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..20_000_000_u32 {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
        }
        black_box(x);
        millis(start.elapsed())
    };
    (0..3).map(|_| once()).fold(f64::INFINITY, f64::min)
}

/// The commit that is measured, marked when files differ from it.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .current_dir(program::root())
            .args(arguments)
            .output();
        output
            .ok()
            .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let hash = git(&["rev-parse", "--short=12", "HEAD"]).filter(|hash| !hash.is_empty());
    let dirty = git(&["status", "--porcelain"]).is_some_and(|files| !files.is_empty());
    let mark = if dirty { "-dirty" } else { "" };
    hash.map_or_else(|| "unknown".to_owned(), |hash| format!("{hash}{mark}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifth_of_difference_is_noise() {
        assert!(!is_noisy(10.0, 11.9));
        assert!(is_noisy(10.0, 12.1));
        assert!(is_noisy(12.1, 10.0));
        assert!(calibrate_ms() > 0.0);
    }
}
