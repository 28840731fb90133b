//! `fenced_drivers` (of `no_double_run` and `no_stale_effect`): a driver whose context is not its
//! own any more ends, its engine ends with it, and no engine outlives its driver for long.
//!
//! | claim | envelope |
//! | --- | --- |
//! | a driver that lost its context exits within [`BOUND`] (W1, E4) | it runs and has the store |
//! | a driver that came too late never becomes owner, and exits within [`BOUND`] (E2) | it runs and has the store |
//! | an engine ends within [`KEEPER`] of its driver (E4) | launchers do not misbehave, nobody stands still |
//!
//! Source: protocol.md W1, E2, E4.

use super::envelope;
use super::facts::Facts;
use super::report::claim;
use super::{Oracle, Violation, kinds};
use crate::trace::seen::{Deed, Seen};
use doyen_core::identity::{ContextId, Incarnation, Role};
use doyen_core::time::Time;
use std::collections::BTreeMap;
use std::time::Duration;

const NAME: &str = "fenced_drivers";
/// A driver reads its records at each change, and every ten seconds; then it waits five seconds for
/// its engine at most.
const BOUND: Duration = Duration::from_secs(20);
/// The keeper's bound is five seconds.
const KEEPER: Duration = Duration::from_secs(7);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct FencedDrivers {
    /// Since when a driver that lives does not own its context.
    without: BTreeMap<Incarnation, Time>,
    /// Engines that run.
    engines: BTreeMap<Incarnation, ContextId>,
}

impl Oracle for FencedDrivers {
    fn name(&self) -> &'static str {
        NAME
    }

    fn listens(&self) -> u32 {
        kinds::DEED | kinds::VIEWS
    }

    fn seen(&mut self, at: Time, seen: &Seen<'_>, facts: &Facts) -> Result<(), Violation> {
        match seen {
            Seen::Deed { deed, .. } => match deed {
                Deed::EngineStarted { context, driver } => {
                    self.engines.insert(*driver, context.clone());
                }
                Deed::EngineEnded { driver, .. } => {
                    self.engines.remove(driver);
                }
                _ => {}
            },
            Seen::Views { .. } => {
                self.drivers(at, facts)?;
                self.orphans(at, facts)?;
            }
            _ => {}
        }
        Ok(())
    }
}

impl FencedDrivers {
    fn drivers(&mut self, at: Time, facts: &Facts) -> Result<(), Violation> {
        for life in facts.living().filter(|life| life.role == Role::Driver) {
            let me = life.identity.incarnation;
            let Some(launched) = facts.launched.get(&me) else {
                continue;
            };
            let owner = facts.records.owners.get(&launched.context);
            let may = owner.is_some_and(|one| match &one.value.owner {
                Some(owner) => owner.driver == me,
                None => one.value.intent == launched.intent,
            });
            if may {
                self.without.remove(&me);
                continue;
            }
            let since = *self.without.entry(me).or_insert(at);
            let sound = facts.sound(life.node, BOUND);
            claim!(
                NAME,
                at,
                !sound || at.since(since) <= BOUND,
                "goes on",
                "{} has not owned context {} for {:?}, and goes on",
                life.name,
                launched.context,
                at.since(since)
            );
        }
        Ok(())
    }

    fn orphans(&self, at: Time, facts: &Facts) -> Result<(), Violation> {
        let classes = envelope::STOPPED | envelope::CLOCK | envelope::LAUNCH;
        if self.engines.is_empty() || !facts.envelope.free_of(at, KEEPER, classes) {
            return Ok(());
        }
        for (driver, context) in &self.engines {
            let life = facts.life(*driver);
            let ended = life.and_then(|life| life.ended);
            claim!(
                NAME,
                at,
                ended.is_none_or(|ended| at.since(ended) <= KEEPER),
                "orphan",
                "the engine of context {context} has outlived driver {driver} by {:?}",
                at.since(ended.unwrap_or(at))
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::history::{History, context_record, driver, layout, owner, server};
    use doyen_core::records::context::ContextState;
    use doyen_core::records::encode;

    fn owned() -> History {
        let mut history = History::cluster(FencedDrivers::default(), vec![]);
        history.creates_context(&server(1, 1), "a");
        history.launches(1, "a", 1, 1);
        history.takes_context(1, "a");
        history
    }

    #[test]
    fn a_driver_that_lost_its_context_ends_in_time() {
        let id = ContextId::new("a");
        for (millis, good) in [(10_000, true), (30_000, false)] {
            let mut history = owned();
            history.wait(60_000).looks();
            let mut record = context_record("a", ContextState::Started, None);
            record.ending = Some(ContextState::Killed);
            let clear = history
                .fenced()
                .put_any(layout().owner(&id), owner(2, None))
                .put_any(layout().context(&id), encode(&record));
            history.writes(&server(1, 1), &clear).looks();
            history.wait(millis).looks();
            assert_eq!(history.verdict().is_ok(), good, "{millis} ms");
        }
    }

    #[test]
    fn an_engine_ends_with_its_driver() {
        let engine = || Deed::EngineStarted {
            context: ContextId::new("a"),
            driver: driver(1).incarnation,
        };
        let ended = Deed::EngineEnded {
            context: ContextId::new("a"),
            driver: driver(1).incarnation,
        };
        let mut history = owned();
        history
            .deed(101, &engine())
            .dies(&driver(1))
            .wait(5_000)
            .looks();
        history.deed(101, &ended).wait(10_000).looks();
        assert_eq!(history.verdict(), Ok(()));
        let mut history = owned();
        history
            .deed(101, &engine())
            .dies(&driver(1))
            .wait(10_000)
            .looks();
        assert_eq!(history.fails(), "fenced_drivers/orphan");
    }
}
