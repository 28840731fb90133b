//! What the engine reports of jobs (protocol.md J2). The first end that is reported stands.

use super::attempt::{Attempt, Engine};
use super::desk::Desk;
use super::ending::{Reason, stopped_by};
use super::slots::{Outcome, Stage, cut};
use crate::identity::JobId;
use crate::input::EffectReport;
use crate::records::job::{JobError, JobRefusal};

impl Attempt {
    /// Takes a report. One about a job that the engine does not have says nothing.
    pub(super) fn report(&mut self, report: EffectReport, desk: &mut Desk) {
        match report {
            EffectReport::EngineReady {
                application_id,
                url,
            } => self.engine_ready(application_id, url, desk),
            EffectReport::EngineEnded { error, .. } => self.engine_ended(error, desk),
            EffectReport::JobRunning { job } => {
                if let Some(job) = self.jobs.table.get_mut(&job)
                    && job.stage == Stage::Started
                {
                    job.stage = Stage::Running;
                    job.ran = true;
                }
            }
            EffectReport::JobRefused { job, refusal } => self.refused(&job, refusal, desk),
            EffectReport::JobFinished { job, result } => {
                self.over(&job, Outcome::finished(result, desk.stamp()));
            }
            EffectReport::JobFailed { job, error } => self.failed(&job, error, desk),
            EffectReport::JobKilled { job, rung } => {
                let asked = self.jobs.table.get(&job).is_some_and(|one| one.kill_sent);
                let outcome = match &self.reason {
                    // The end of the engine killed it, nobody asked for this job's death.
                    Some(reason) if !asked => Outcome::failed(reason.job_error(desk), desk.stamp()),
                    Some(_) | None => Outcome::killed(&job, &rung, desk.stamp()),
                };
                self.over(&job, outcome);
            }
            // Reports to a server.
            EffectReport::Launched { .. } | EffectReport::Verified { .. } => {}
        }
    }

    fn refused(&mut self, id: &JobId, refusal: JobRefusal, desk: &mut Desk) {
        let refusal = match refusal {
            JobRefusal::ValidationFailed { error } => {
                JobRefusal::ValidationFailed { error: cut(error) }
            }
            JobRefusal::LoadingFailed { error } => JobRefusal::LoadingFailed { error: cut(error) },
            other @ (JobRefusal::NoSlots { .. }
            | JobRefusal::ClassNotFound
            | JobRefusal::WrongType
            | JobRefusal::ContextStopping
            | JobRefusal::ContextGone) => other,
        };
        let stage = self.jobs.table.get(id).map(|job| &job.stage);
        match stage {
            Some(Stage::Started) => {}
            // It cannot be unlisted any more (J3).
            Some(Stage::Running) => {
                let text = format!("The engine refused job {id} after it had said that it runs");
                return self.failed(id, JobError::new("doyen.EngineError", text), desk);
            }
            Some(Stage::Vanished) => {
                self.jobs.settle(id);
                return;
            }
            Some(Stage::Waiting | Stage::Refusing(_) | Stage::Ending(_)) | None => return,
        }
        if let JobRefusal::ValidationFailed { error } = &refusal
            && self.stop_on_error
        {
            // lifecycle.md 7, step 6: validation failures end such a context too.
            self.stop(Reason::JobFailed(stopped_by(id, error)), desk);
        }
        if let Some(job) = self.jobs.table.get_mut(id) {
            job.stage = Stage::Refusing(refusal);
        }
    }

    fn failed(&mut self, id: &JobId, error: JobError, desk: &mut Desk) {
        let has = |job: &super::slots::Job| job.is_busy();
        if !self.jobs.table.get(id).is_some_and(has) {
            return;
        }
        let stopping = matches!(self.engine, Engine::Stopping { .. });
        let error = match &self.reason {
            // The engine's end takes its jobs with it: that is why it failed.
            Some(reason) if stopping => reason.job_error(desk),
            Some(_) | None => error,
        };
        if self.stop_on_error {
            self.stop(Reason::JobFailed(stopped_by(id, &error)), desk);
        }
        self.over(id, Outcome::failed(error, desk.stamp()));
    }

    /// A job that the engine had is over.
    fn over(&mut self, id: &JobId, outcome: Outcome) {
        let Some(job) = self.jobs.table.get_mut(id) else {
            return;
        };
        match job.stage {
            Stage::Started | Stage::Running => job.stage = Stage::Ending(outcome),
            // There is no record to write to.
            Stage::Vanished => self.jobs.settle(id),
            Stage::Waiting | Stage::Refusing(_) | Stage::Ending(_) => {}
        }
    }
}
