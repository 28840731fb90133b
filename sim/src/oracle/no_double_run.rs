//! `no_double_run`: of a context with policy `never` at most one attempt ever runs, and a job's
//! code runs at most once. (Restart policies come later; then attempts are numbered.)
//!
//! Envelope: always. Source: design.md 5; protocol.md E2, E8, J5.

use super::facts::Facts;
use super::report::claim;
use super::{Oracle, Violation, kinds};
use crate::trace::seen::{Deed, Seen};
use doyen_core::identity::{ContextId, Incarnation, JobId};
use doyen_core::time::Time;
use std::collections::BTreeMap;

const NAME: &str = "no_double_run";

/// See the module.
#[derive(Debug, Default)]
pub(super) struct NoDoubleRun {
    engines: BTreeMap<ContextId, Incarnation>,
    jobs: BTreeMap<JobId, Incarnation>,
}

impl Oracle for NoDoubleRun {
    fn name(&self) -> &'static str {
        NAME
    }

    fn listens(&self) -> u32 {
        kinds::DEED
    }

    fn seen(&mut self, at: Time, seen: &Seen<'_>, _: &Facts) -> Result<(), Violation> {
        let Seen::Deed { deed, .. } = seen else {
            return Ok(());
        };
        match deed {
            Deed::EngineStarted { context, driver } => {
                let earlier = self.engines.insert(context.clone(), *driver);
                claim!(
                    NAME,
                    at,
                    earlier.is_none(),
                    "engine",
                    "driver {driver} started an engine of context {context}, which {earlier:?} \
                     had started before"
                );
            }
            Deed::JobStarted { job, driver } => {
                let earlier = self.jobs.insert(job.clone(), *driver);
                claim!(
                    NAME,
                    at,
                    earlier.is_none(),
                    "job",
                    "driver {driver} started job {job}, which {earlier:?} had started before"
                );
            }
            Deed::DriverStarted { .. }
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
    use crate::oracle::history::{History, driver};

    #[test]
    fn a_second_start_is_a_violation() {
        let context = ContextId::new("a");
        let job = JobId::new("j");
        let [one, two] = [1, 2].map(|number| driver(number).incarnation);
        let engine = |context: &ContextId, driver| Deed::EngineStarted {
            context: context.clone(),
            driver,
        };
        let job = |driver| Deed::JobStarted {
            job: job.clone(),
            driver,
        };
        for (deeds, rule) in [
            (
                vec![
                    engine(&context, one),
                    engine(&ContextId::new("b"), two),
                    job(one),
                ],
                None,
            ),
            (
                vec![engine(&context, one), engine(&context, two)],
                Some("engine"),
            ),
            (vec![job(one), job(one)], Some("job")),
        ] {
            let mut history = History::cluster(NoDoubleRun::default(), vec![]);
            for deed in &deeds {
                history.deed(1, deed);
            }
            let found = history.verdict().err().map(|one| one.fingerprint);
            assert_eq!(found, rule.map(|rule| format!("no_double_run/{rule}")));
        }
    }
}
