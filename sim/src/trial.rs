//! One schedule, carried out by one engine and judged.

use crate::engine::{Engine, HarnessFault};
use crate::judge::{Judge, Verdict};
use crate::schedule::model::Schedule;
use crate::schedule::settings::config_of;
use crate::sometimes::Counters;
use crate::trace::seen::Sink;
use crate::trace::trail::Trail;
use doyen_core::config::Config;
use std::time::Duration;

/// What came of it.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The judgement.
    pub verdict: Verdict,
    /// Hash and length of everything that was seen: equal for equal runs.
    pub trail: Trail,
    /// How often interesting things happened.
    pub sometimes: Counters,
    /// Events carried out.
    pub events: u64,
    /// Simulated time.
    pub simulated: Duration,
}

/// Carries a schedule out and judges it by every oracle.
///
/// # Errors
/// The schedule cannot be carried out.
pub fn trial(engine: &dyn Engine, schedule: &Schedule) -> Result<Trial, HarnessFault> {
    judged(engine, schedule, None)
}

/// The same, with somebody else who listens to the run.
///
/// # Errors
/// The schedule cannot be carried out.
pub fn recorded(
    engine: &dyn Engine,
    schedule: &Schedule,
    recorder: &mut dyn Sink,
) -> Result<Trial, HarnessFault> {
    judged(engine, schedule, Some(recorder))
}

fn judged(
    engine: &dyn Engine,
    schedule: &Schedule,
    recorder: Option<&mut dyn Sink>,
) -> Result<Trial, HarnessFault> {
    let config = common_config(schedule)?;
    let mut judge = Judge::new(schedule, &config);
    if let Some(recorder) = recorder {
        judge = judge.recorded_by(recorder);
    }
    let ran = engine.run(schedule, &mut judge)?;
    let judged = judge.judge(&ran);
    Ok(Trial {
        verdict: judged.verdict,
        trail: judged.trail,
        sometimes: judged.counters,
        events: ran.events,
        simulated: ran.simulated,
    })
}

/// What all processes of a schedule have in common.
fn common_config(schedule: &Schedule) -> Result<Config, HarnessFault> {
    let config = config_of(schedule, None).map_err(|error| HarnessFault(error.to_string()))?;
    Ok(config.get().clone())
}

/// Does something on a thread of its own: what the standard library draws once for each thread
/// (the keys of its hash tables) is then the same for every run under madsim.
#[cfg(madsim)]
pub fn alone<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| match scope.spawn(work).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// Does something: without madsim nothing depends on the thread.
#[cfg(not(madsim))]
pub fn alone<T>(work: impl FnOnce() -> T) -> T {
    work()
}
