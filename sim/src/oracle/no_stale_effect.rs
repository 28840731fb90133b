//! `no_stale_effect`: every effect belongs to an intent that is recorded; an engine is started only
//! by a driver that had taken its context, a job only by the driver that owns it; no kill hits
//! another attempt, and no verdict calls dead what lives.
//!
//! Envelope: always. Source: design.md 5; protocol.md W5, E2, E3, E5.

use super::facts::{Facts, Life};
use super::records::Change;
use super::report::claim;
use super::{Oracle, Violation, kinds};
use crate::trace::seen::{Deed, Seen};
use doyen_core::identity::{ContextId, Incarnation};
use doyen_core::input::Verdict;
use doyen_core::output::{Effect, Output};
use doyen_core::records::context::{IntentKind, IntentNumber};
use doyen_core::time::Time;
use std::collections::{BTreeMap, BTreeSet};

const NAME: &str = "no_stale_effect";

/// See the module.
#[derive(Debug, Default)]
pub(super) struct NoStaleEffect {
    intents: BTreeMap<(ContextId, IntentNumber), IntentKind>,
    owners: BTreeSet<(ContextId, Incarnation)>,
}

impl Oracle for NoStaleEffect {
    fn name(&self) -> &'static str {
        NAME
    }

    fn listens(&self) -> u32 {
        kinds::STORE | kinds::DEED | kinds::EFFECT
    }

    fn seen(&mut self, at: Time, seen: &Seen<'_>, facts: &Facts) -> Result<(), Violation> {
        match seen {
            Seen::Store(_) => {
                self.store(facts);
                Ok(())
            }
            Seen::Output {
                node,
                output: Output::Effect(effect),
            } => match facts.last_at_node(*node) {
                Some(life) => self.wanted(at, life, effect, facts),
                None => Ok(()),
            },
            Seen::Deed { deed, .. } => self.done(at, deed),
            _ => Ok(()),
        }
    }
}

impl NoStaleEffect {
    fn owned(&self, context: &ContextId, life: &Life) -> bool {
        let driver = life.identity.incarnation;
        self.owners.contains(&(context.clone(), driver))
    }

    fn store(&mut self, facts: &Facts) {
        for change in &facts.changes {
            match change {
                Change::Context(id, step) => {
                    if let Some(intent) = step.now().and_then(|one| one.intent.as_ref()) {
                        let key = (id.clone(), intent.number);
                        self.intents.insert(key, intent.kind.clone());
                    }
                }
                Change::Owner(id, step) => {
                    if let Some(owner) = step.now().and_then(|one| one.owner.as_ref()) {
                        self.owners.insert((id.clone(), owner.driver));
                    }
                }
                _ => {}
            }
        }
    }

    fn wanted(
        &self,
        at: Time,
        life: &Life,
        effect: &Effect,
        facts: &Facts,
    ) -> Result<(), Violation> {
        match effect {
            Effect::Launch { context, intent } => {
                let recorded = self.intents.get(&(context.id.clone(), *intent));
                let mine = IntentKind::Launch {
                    launcher: life.identity.clone(),
                };
                claim!(
                    NAME,
                    at,
                    recorded == Some(&mine),
                    "launch",
                    "{} launches a driver of context {} by intent {}, which is {recorded:?}",
                    life.name,
                    context.id,
                    intent.0
                );
            }
            Effect::Kill {
                context,
                intent,
                owner,
            } => {
                let recorded = self.intents.contains_key(&(context.clone(), *intent));
                let owned = self.owners.contains(&(context.clone(), owner.driver));
                claim!(
                    NAME,
                    at,
                    recorded && owned,
                    "kill",
                    "{} kills {} of context {context} by intent {}, recorded: {recorded}, \
                     owner once: {owned}",
                    life.name,
                    owner.driver,
                    intent.0
                );
            }
            Effect::StartJob { job } => {
                let known = facts.records.jobs.contains_key(&job.id)
                    || facts.records.done.contains_key(&job.id);
                let name = &life.name;
                claim!(
                    NAME,
                    at,
                    known && self.owned(&job.context, life),
                    "job",
                    "{name} starts job {} of context {}, recorded: {known}",
                    job.id,
                    job.context
                );
            }
            Effect::StartEngine { context } => {
                let name = &life.name;
                claim!(
                    NAME,
                    at,
                    self.owned(&context.id, life),
                    "engine",
                    "{name} starts the engine of context {}, which it never took",
                    context.id
                );
            }
            Effect::Verify { .. }
            | Effect::DeleteObjects { .. }
            | Effect::StopEngine
            | Effect::KillJob { .. } => {}
        }
        Ok(())
    }

    fn done(&self, at: Time, deed: &Deed) -> Result<(), Violation> {
        match deed {
            Deed::DriverStarted {
                context, intent, ..
            } => {
                let recorded = self.intents.contains_key(&(context.clone(), *intent));
                claim!(
                    NAME,
                    at,
                    recorded,
                    "launch",
                    "a driver of context {context} was started by intent {}, never recorded",
                    intent.0
                );
            }
            Deed::EngineStarted { context, driver } => {
                let owned = self.owners.contains(&(context.clone(), *driver));
                claim!(
                    NAME,
                    at,
                    owned,
                    "engine",
                    "driver {driver} started the engine of context {context}, which it never took"
                );
            }
            Deed::Killed {
                context,
                owner,
                hit: Some(hit),
                ..
            } => {
                claim!(
                    NAME,
                    at,
                    *hit == owner.driver,
                    "kill",
                    "a kill for {} of context {context} hit {hit}",
                    owner.driver
                );
            }
            Deed::Verified {
                context,
                driver,
                verdict: Verdict::Dead,
                lives: true,
            } => {
                // Where no driver had taken it, a dead launch and a late one look the same (E2).
                claim!(
                    NAME,
                    at,
                    driver.is_none(),
                    "verdict",
                    "the attempt of {driver:?} of context {context} was called dead and lives"
                );
            }
            Deed::JobStarted { .. }
            | Deed::EngineEnded { .. }
            | Deed::JobEnded { .. }
            | Deed::Killed { .. }
            | Deed::Verified { .. } => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::history::{
        History, context_record, driver, job_record, launch, owner_of, server,
    };
    use doyen_core::records::context::ContextState;
    use doyen_core::records::job::JobState;

    fn cluster() -> History {
        let mut history = History::cluster(NoStaleEffect::default(), vec![]);
        history.creates_context(&server(1, 1), "a");
        history
    }

    fn launches(intent: u64) -> Output {
        let context = context_record("a", ContextState::Started, Some(launch(1)));
        Output::Effect(Effect::Launch {
            context: Box::new(context),
            intent: IntentNumber(intent),
        })
    }

    #[test]
    fn effects_of_recorded_intents_are_fine() {
        let mut history = cluster();
        history.output(1, &launches(1)).launches(1, "a", 1, 1);
        history.takes_context(1, "a");
        let engine = Deed::EngineStarted {
            context: ContextId::new("a"),
            driver: driver(1).incarnation,
        };
        history.deed(101, &engine);
        assert_eq!(history.verdict(), Ok(()));
    }

    #[test]
    fn a_launch_of_another_server_or_intent_is_a_violation() {
        for (node, intent) in [(1, 2), (2, 1)] {
            let mut history = cluster();
            history.output(node, &launches(intent));
            assert_eq!(history.fails(), "no_stale_effect/launch");
        }
    }

    #[test]
    fn who_never_took_a_context_starts_no_engine_and_no_job_of_it() {
        let mut history = cluster();
        history.launches(1, "a", 1, 1);
        let engine = Deed::EngineStarted {
            context: ContextId::new("a"),
            driver: driver(1).incarnation,
        };
        history.deed(101, &engine);
        assert_eq!(history.fails(), "no_stale_effect/engine");
        let mut history = cluster();
        history.launches(1, "a", 1, 1);
        let job = Box::new(job_record("a", "j", JobState::Submitted));
        history.output(101, &Output::Effect(Effect::StartJob { job }));
        assert_eq!(history.fails(), "no_stale_effect/job");
    }

    #[test]
    fn a_kill_that_hits_another_and_a_wrong_verdict_are_violations() {
        let killed = Deed::Killed {
            context: ContextId::new("a"),
            intent: IntentNumber(1),
            owner: owner_of(1),
            hit: Some(driver(2).incarnation),
        };
        let verified = Deed::Verified {
            context: ContextId::new("a"),
            driver: Some(driver(1).incarnation),
            verdict: Verdict::Dead,
            lives: true,
        };
        for (deed, rule) in [(killed, "kill"), (verified, "verdict")] {
            let mut history = cluster();
            history.deed(1, &deed);
            assert_eq!(history.fails(), format!("no_stale_effect/{rule}"));
        }
    }
}
