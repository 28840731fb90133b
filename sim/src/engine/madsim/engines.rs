//! Engine children: they run a driver's jobs, and end with it, since a keeper ends them.

use super::journal::Noted;
use super::launcher::Reports;
use super::world::{Kind, World};
use crate::schedule::model::LaunchFault;
use crate::trace::seen::{Deed, NodeId};
use crate::world::engines::told;
use doyen_core::identity::{ContextId, Incarnation, JobId};
use doyen_core::input::EffectReport;
use doyen_core::records::job::{JobError, JobRecord, Payload};
use std::collections::BTreeSet;
use std::sync::Arc;

pub(super) const ENGINE_START_NANOS: u64 = 50_000_000;
pub(super) const ENGINE_STOP_NANOS: u64 = 10_000_000;
/// From a driver's death to its engine's: the keeper reads the end of a pipe.
const KEEPER_NANOS: u64 = 2_000_000;
/// From SIGTERM to SIGKILL for a child that does not heed the first.
const TERM_NANOS: u64 = 3_000_000_000;
/// How long a keeper itself may be kept from its work.
const ORPHAN_NANOS: u64 = 5_000_000_000;
const JOB_START_NANOS: u64 = 5_000_000;

/// One engine child.
#[derive(Debug)]
pub(super) struct Child {
    node: NodeId,
    context: ContextId,
    reports: Reports,
    jobs: BTreeSet<JobId>,
    /// It does not heed SIGTERM.
    pub(super) stubborn: bool,
}

impl World {
    pub(super) fn start_engine(
        &self,
        node: NodeId,
        driver: Incarnation,
        context: ContextId,
        reports: Reports,
    ) {
        let deed = Deed::EngineStarted {
            context: context.clone(),
            driver,
        };
        self.note(Noted::Deed(node, deed));
        let child = Child {
            node,
            context,
            reports,
            jobs: BTreeSet::new(),
            stubborn: false,
        };
        self.with(|state| state.engines.insert(driver, child));
    }

    pub(super) fn engine_is_ready(&self, driver: Incarnation) {
        let reports = self.with(|s| s.engines.get(&driver).map(|child| child.reports.clone()));
        if let Some(reports) = reports {
            let ready = EffectReport::EngineReady {
                application_id: None,
                url: None,
            };
            self.report(0, reports, ready);
        }
    }

    /// An engine is gone, with everything that it had started. `told` by its driver, or not.
    pub(super) fn end_engine(&self, driver: Incarnation, told: bool) {
        let Some(child) = self.with(|state| state.engines.remove(&driver)) else {
            return;
        };
        for job in child.jobs {
            self.note(Noted::Deed(child.node, Deed::JobEnded { job, driver }));
        }
        let deed = Deed::EngineEnded {
            context: child.context,
            driver,
        };
        self.note(Noted::Deed(child.node, deed));
        let error = JobError::new("java.io.IOException", "the engine died");
        let ended = EffectReport::EngineEnded {
            orderly: told,
            error: (!told).then_some(error),
        };
        self.report(0, child.reports, ended);
    }

    /// A driver's process is gone: its keeper ends the engine.
    pub(super) fn driver_ended(self: &Arc<Self>, node: NodeId) {
        let ending = self.with(|state| {
            let place = state.place(node)?;
            let Kind::Driver { incarnation, .. } = place.kind else {
                return None;
            };
            let child = state.engines.get(&incarnation)?;
            let orphaned = state
                .nodes()
                .any(|(server, _)| state.launches(server) == Some(LaunchFault::Orphaned));
            let mut after = if orphaned { ORPHAN_NANOS } else { KEEPER_NANOS };
            if child.stubborn {
                after = after.saturating_add(TERM_NANOS);
            }
            Some((incarnation, after))
        });
        if let Some((driver, after)) = ending {
            self.later(after, move |world| world.end_engine(driver, false));
        }
    }

    pub(super) fn start_job(self: &Arc<Self>, driver: Incarnation, job: &JobRecord) {
        let id = job.id.clone();
        let started = self.with(|state| {
            let child = state.engines.get_mut(&driver)?;
            child.jobs.insert(id.clone());
            Some((child.node, child.reports.clone()))
        });
        let Some((node, reports)) = started else {
            return;
        };
        let deed = Deed::JobStarted {
            job: id.clone(),
            driver,
        };
        self.note(Noted::Deed(node, deed));
        let running = EffectReport::JobRunning { job: id.clone() };
        self.report(JOB_START_NANOS, reports.clone(), running);
        let (lasts, fails) = told(&job.main_class);
        let lasts = lasts.saturating_mul(1_000).saturating_add(JOB_START_NANOS);
        self.later(lasts, move |world| {
            let report = if fails {
                let error = JobError::new("java.lang.RuntimeException", "it failed");
                EffectReport::JobFailed {
                    job: id.clone(),
                    error,
                }
            } else {
                let result = Payload::Inline("\"slept\"".to_owned());
                EffectReport::JobFinished {
                    job: id.clone(),
                    result,
                }
            };
            world.end_job(driver, &id, report);
        });
    }

    pub(super) fn kill_job(self: &Arc<Self>, driver: Incarnation, job: JobId) {
        self.later(JOB_START_NANOS, move |world| {
            let report = EffectReport::JobKilled {
                job: job.clone(),
                rung: "killed".to_owned(),
            };
            world.end_job(driver, &job, report);
        });
    }

    fn end_job(&self, driver: Incarnation, job: &JobId, report: EffectReport) {
        let ended = self.with(|state| {
            let child = state.engines.get_mut(&driver)?;
            child
                .jobs
                .remove(job)
                .then(|| (child.node, child.reports.clone()))
        });
        if let Some((node, reports)) = ended {
            let deed = Deed::JobEnded {
                job: job.clone(),
                driver,
            };
            self.note(Noted::Deed(node, deed));
            self.report(0, reports, report);
        }
    }
}
