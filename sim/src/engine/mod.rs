//! Engines: what carries a schedule out and shows what happens.

pub mod direct;
#[cfg(madsim)]
pub mod madsim;

use crate::schedule::model::Schedule;
use crate::trace::seen::Sink;
use doyen_core::records::model::StoreModel;
use std::time::Duration;

/// Something is wrong with the schedule or the simulator, not with what is simulated: exit 3.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HarnessFault(pub String);

/// A run that came to its end.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Events carried out.
    pub events: u64,
    /// Simulated time.
    pub simulated: Duration,
    /// The store as it was at the end.
    pub store: StoreModel,
}

/// An engine.
pub trait Engine {
    /// Its name: `direct` or `madsim`.
    fn name(&self) -> &'static str;

    /// Carries a schedule out to its end.
    ///
    /// # Errors
    /// [`HarnessFault`] when the schedule cannot be carried out.
    fn run(&self, schedule: &Schedule, sink: &mut dyn Sink) -> Result<Ran, HarnessFault>;
}
