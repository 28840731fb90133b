//! Oracles: the invariants of design.md 5, one file each, and who listens to a run for them.
//!
//! [`Facts`] follow the run once for all of them: who lives, which faults are about, what the store
//! holds, each written record decoded once. An oracle says which [`kinds`] of observations it
//! listens to, so that most observations reach two or three of them.
//!
//! Each says in its head comment what it claims, within which envelope (the faults that it assumes
//! absent), and where the claim comes from.

pub mod envelope;
pub mod facts;
#[cfg(test)]
pub(crate) mod history;
pub mod kinds;
pub mod legitimacy;
pub mod records;
pub mod report;

mod agreement;
mod bounded;
mod calm;
mod converges;
mod decisions;
mod failover;
mod fenced_drivers;
mod guards;
mod keys;
mod leaving;
mod listing;
mod no_double_run;
mod no_lost_call;
mod no_lost_job;
mod no_panic;
mod no_resurrection;
mod no_stale_effect;
mod one_cluster;
mod one_survivor;
mod prompt;
mod read_your_writes;
mod rightful_endings;
mod rightful_exits;
mod rightful_moves;
mod sane_records;
mod shape;
mod single_effective_singleton;
mod someone_survives;
mod splits;
mod splits_ears;
mod splits_in_time;

use crate::engine::Ran;
use crate::trace::seen::Seen;
use doyen_core::time::Time;
use facts::Facts;

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which invariant, by its name in design.md 5.
    pub oracle: &'static str,
    /// When it was seen.
    pub at: Time,
    /// What is wrong, in words that name members, records and calls.
    pub what: String,
    /// What stays equal when a schedule is shrunk: the invariant and the roles involved, without
    /// names, numbers and times.
    pub fingerprint: String,
}

/// One invariant.
pub trait Oracle {
    /// Its name in design.md 5.
    fn name(&self) -> &'static str;

    /// The [`kinds`] of observations that it listens to, or-ed.
    fn listens(&self) -> u32;

    /// One observation; `facts` know it already.
    ///
    /// # Errors
    /// The violation that it shows.
    fn seen(&mut self, at: Time, seen: &Seen<'_>, facts: &Facts) -> Result<(), Violation>;

    /// The run is over.
    ///
    /// # Errors
    /// The violation that only the end shows.
    fn end(&mut self, at: Time, ran: &Ran, facts: &Facts) -> Result<(), Violation> {
        let _ = (at, ran, facts);
        Ok(())
    }

    /// Whether what it waits for after the heal has come to pass; `true` for what waits for
    /// nothing.
    fn is_settled(&self) -> bool {
        true
    }

    /// What it still waits for, in words; for the verdict of a run that did not settle.
    fn waits_for(&self) -> Option<String> {
        None
    }
}

/// Every oracle, fresh. The order is that in which they are asked: of several violations that one
/// observation shows the first is the run's verdict, so what names a cause comes before what names
/// a consequence.
#[must_use]
pub fn all() -> Vec<Box<dyn Oracle>> {
    vec![
        Box::new(no_panic::NoPanic),
        Box::new(guards::Guards),
        Box::new(decisions::Decisions),
        Box::new(sane_records::SaneRecords::default()),
        Box::new(single_effective_singleton::SingleEffectiveSingleton::default()),
        Box::new(one_cluster::OneCluster),
        Box::new(one_survivor::OneSurvivor::default()),
        Box::new(no_resurrection::NoResurrection::default()),
        Box::new(splits::Splits::default()),
        Box::new(listing::Listing::default()),
        Box::new(rightful_moves::RightfulMoves::default()),
        Box::new(rightful_endings::RightfulEndings::default()),
        Box::new(rightful_exits::RightfulExits::default()),
        Box::new(someone_survives::SomeoneSurvives::default()),
        Box::new(agreement::Agreement::default()),
        Box::new(keys::Keys::default()),
        Box::new(no_stale_effect::NoStaleEffect::default()),
        Box::new(no_double_run::NoDoubleRun::default()),
        Box::new(no_lost_call::NoLostCall::default()),
        Box::new(no_lost_job::NoLostJob::default()),
        Box::new(read_your_writes::ReadYourWrites::default()),
        Box::new(fenced_drivers::FencedDrivers::default()),
        Box::new(leaving::Leaving::default()),
        Box::new(failover::Failover::default()),
        Box::new(prompt::Prompt),
        Box::new(calm::Calm::default()),
        Box::new(bounded::Bounded::default()),
        Box::new(converges::Converges::default()),
    ]
}
