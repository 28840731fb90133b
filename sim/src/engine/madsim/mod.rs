//! The madsim engine: the runtime that production runs, one simulated machine for each process.
//!
//! It finds what the direct engine cannot: lost timers, races at a process's end, back-pressure,
//! handshakes. A run belongs on a thread of its own: the standard library's hash keys are drawn
//! once for each thread.

mod acts;
mod clients;
mod conditions;
mod engines;
mod faults;
mod journal;
mod launcher;
mod lives;
mod process;
mod reads;
mod recording;
mod run;
mod store;
mod streams;
mod targets;
mod world;

pub use recording::{Conformance, Mismatch, Recording};

use super::{Engine, HarnessFault, Ran};
use crate::schedule::model::Schedule;
use crate::trace::seen::Sink;

/// The engine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Madsim;

impl Engine for Madsim {
    fn name(&self) -> &'static str {
        "madsim"
    }

    fn run(&self, schedule: &Schedule, sink: &mut dyn Sink) -> Result<Ran, HarnessFault> {
        run::run(schedule, sink, false).map(|(ran, _)| ran)
    }
}

impl Madsim {
    /// Carries a schedule out and keeps what every process was told and wanted, for
    /// [`Recording::check`].
    ///
    /// # Errors
    /// [`HarnessFault`] when the schedule cannot be carried out.
    pub fn record(
        &self,
        schedule: &Schedule,
        sink: &mut dyn Sink,
    ) -> Result<(Ran, Recording), HarnessFault> {
        run::run(schedule, sink, true)
    }
}
