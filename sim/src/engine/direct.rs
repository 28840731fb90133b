//! The direct engine: a discrete-event loop over core's state machines (design.md 6).

use super::{Engine, HarnessFault, Ran};
use crate::schedule::model::Schedule;
use crate::trace::seen::Sink;
use crate::world::World;
use doyen_core::time::Time;

/// The volume engine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Direct;

impl Engine for Direct {
    fn name(&self) -> &'static str {
        "direct"
    }

    fn run(&self, schedule: &Schedule, sink: &mut dyn Sink) -> Result<Ran, HarnessFault> {
        let mut world = World::new(schedule, sink)?;
        world.run();
        let (events, simulated) = (world.events(), world.now().since(Time::ZERO));
        let (store, _) = world.into_parts();
        Ok(Ran {
            events,
            simulated,
            store,
        })
    }
}
