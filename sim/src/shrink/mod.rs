//! Shrinks a schedule that fails: the fewest faults, asks, servers and settings, and the roundest
//! times, with which the same violation is still seen. "The same" is its fingerprint, so that the
//! search does not slide to another bug.

mod ddmin;
mod simpler;

use crate::schedule::check::check;
use crate::schedule::model::{At, Expect, Schedule};
use ddmin::fewest;

/// Passes over the whole schedule; each may make the next one fruitful, and few ever do.
const PASSES_MAX: u32 = 4;

/// What came of shrinking.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The smallest schedule found.
    pub schedule: Schedule,
    /// How many runs it took.
    pub runs: u32,
    /// Whether the bound of runs ended the search.
    pub ended_early: bool,
}

/// A search: asks whether a schedule still fails in the same way, at most so many times.
struct Search<'a> {
    fails: &'a mut dyn FnMut(&Schedule) -> bool,
    best: Schedule,
    runs: u32,
    runs_max: u32,
}

/// The smallest schedule for which `fails` still holds, within a bound of runs. `fails` must hold
/// for `schedule` itself, and gives the same answer for the same schedule.
pub fn shrink(
    schedule: &Schedule,
    runs_max: u32,
    fails: &mut dyn FnMut(&Schedule) -> bool,
) -> Shrunk {
    let mut search = Search {
        fails,
        best: schedule.clone(),
        runs: 0,
        runs_max,
    };
    search.best.expect = Expect::Pass;
    for _ in 0..PASSES_MAX {
        let before = search.best.clone();
        search.faults();
        search.asks();
        search.servers();
        search.one_by_one();
        search.end();
        if search.best == before || search.is_spent() {
            break;
        }
    }
    Shrunk {
        ended_early: search.is_spent(),
        schedule: search.best,
        runs: search.runs,
    }
}

impl Search<'_> {
    const fn is_spent(&self) -> bool {
        self.runs >= self.runs_max
    }

    fn holds(&mut self, schedule: &Schedule) -> bool {
        if self.is_spent() {
            return false;
        }
        // What cannot be written down is no schedule.
        if check(schedule).is_err() {
            return false;
        }
        self.runs = self.runs.saturating_add(1);
        (self.fails)(schedule)
    }

    fn try_it(&mut self, schedule: Schedule) -> bool {
        let better = schedule != self.best && self.holds(&schedule);
        if better {
            self.best = schedule;
        }
        better
    }

    fn faults(&mut self) {
        let base = self.best.clone();
        let with = |faults: &[_]| Schedule {
            faults: faults.to_vec(),
            ..base.clone()
        };
        let kept = fewest(&base.faults, |faults| self.holds(&with(faults)));
        self.best = with(&kept);
    }

    fn asks(&mut self) {
        let base = self.best.clone();
        let with = |workload: &[_]| Schedule {
            workload: workload.to_vec(),
            ..base.clone()
        };
        let kept = fewest(&base.workload, |asks| self.holds(&with(asks)));
        self.best = with(&kept);
    }

    /// Leaves out servers, the youngest first; who named them then names nobody.
    fn servers(&mut self) {
        for index in (0..self.best.servers.len()).rev() {
            if self.best.servers.len() > 1 {
                let mut without = self.best.clone();
                without.servers.remove(index);
                self.try_it(without);
            }
        }
    }

    /// Tries every simpler form of every part, each on top of those that held.
    fn one_by_one(&mut self) {
        for index in 0..self.best.faults.len() {
            self.simplify(|schedule| {
                let simpler = simpler::faults(&schedule.faults[index]).into_iter();
                let with = simpler.map(|fault| {
                    let mut changed = schedule.clone();
                    changed.faults[index] = fault;
                    changed
                });
                with.collect()
            });
        }
        for index in 0..self.best.workload.len() {
            self.simplify(|schedule| {
                let simpler = simpler::asks(&schedule.workload[index]).into_iter();
                let with = simpler.map(|ask| {
                    let mut changed = schedule.clone();
                    changed.workload[index] = ask;
                    changed
                });
                with.collect()
            });
        }
        self.simplify(simpler::wholes);
    }

    /// Takes the first simpler form that holds, again and again.
    fn simplify(&mut self, forms: impl Fn(&Schedule) -> Vec<Schedule>) {
        // Each form taken is simpler in a well-founded way; the bound guards against a mistake.
        for _ in 0..64 {
            let found = forms(&self.best).into_iter().any(|form| self.try_it(form));
            if !found {
                return;
            }
        }
    }

    /// Ends it as early as it still fails.
    fn end(&mut self) {
        for _ in 0..24 {
            let phases = &self.best.phases;
            let heal = At(phases.heal.0 / 2);
            let end = At(phases.end.0.saturating_sub(phases.heal.0).div_euclid(2))
                .0
                .saturating_add(phases.heal.0);
            let mut earlier = self.best.clone();
            earlier.phases.end = At(end).rounded_up();
            let mut healed = self.best.clone();
            healed.phases.heal = heal.rounded_up();
            if !self.try_it(earlier) && !self.try_it(healed) {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
