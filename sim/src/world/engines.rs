//! Engine children of drivers: jobs that last as they were told, a keeper that ends everything of a
//! dead driver (server/src/engine/driver_launcher.rs, keeper/; protocol.md E4).

use super::World;
use super::events::{EngineStep, Event};
use super::hosts::{AttemptId, EngineChild, RunningJob};
use crate::trace::seen::{Deed, NodeId, Sink};
use doyen_core::identity::JobId;
use doyen_core::input::EffectReport;
use doyen_core::records::job::{JobError, JobRecord, Payload};
use std::collections::BTreeMap;
use std::time::Duration;

/// The rungs of a kill: SIGKILL comes so long after SIGTERM.
const TERM_TO_KILL: Duration = Duration::from_secs(2);
/// The keeper's grace for children of a dead driver.
const KEEPER_GRACE: Duration = Duration::from_millis(1_500);

/// What a job is told in its main class: `sleep-20ms`, `fail-1500us`.
#[must_use]
pub fn main_class(lasts: Duration, fails: bool) -> String {
    let what = if fails { "fail" } else { "sleep" };
    format!("{what}-{}us", lasts.as_micros())
}

/// How long a job of this main class runs, in microseconds, and whether it fails.
pub(crate) fn told(main_class: &str) -> (u64, bool) {
    let (text, fails) = match main_class.strip_prefix("fail-") {
        Some(rest) => (rest, true),
        None => (main_class.strip_prefix("sleep-").unwrap_or("1ms"), false),
    };
    let micros = match (text.strip_suffix("us"), text.strip_suffix("ms")) {
        (Some(micros), _) => micros.parse().ok(),
        (None, Some(millis)) => millis
            .parse()
            .ok()
            .map(|one: u64| one.saturating_mul(1_000)),
        (None, None) => None,
    };
    (micros.unwrap_or(1_000), fails)
}

impl<S: Sink> World<S> {
    /// Tells the driver of an attempt, if it lives.
    fn tell_driver(&mut self, id: AttemptId, after: Duration, report: EffectReport) {
        if let Some(node) = self.hosts[id].node
            && self.hosts[id].driver_lives
        {
            let life = self.nodes[node].life;
            self.report(life, after, report);
        }
    }

    fn engine_takes(&mut self, id: AttemptId, low: u64, high: u64) -> Duration {
        match self.hosts[id].node {
            Some(node) => self.nodes[node].random.engine.micros(low, high),
            None => Duration::from_micros(low),
        }
    }

    fn plan_engine(&mut self, id: AttemptId, after: Duration, step: EngineStep) {
        let event = Event::Engine(id, step);
        self.queue.push(self.now.after(after), event);
    }

    pub(super) fn start_engine(&mut self, node: NodeId) {
        let Some(id) = self.nodes[node].attempt else {
            return;
        };
        let attempt = &mut self.hosts[id];
        attempt.engine = Some(EngineChild {
            is_ready: false,
            is_ending: false,
            ignores_term: attempt.ignores_term,
            jobs: BTreeMap::new(),
        });
        let deed = Deed::EngineStarted {
            context: attempt.context.clone(),
            driver: attempt.driver,
        };
        self.deed(node, &deed);
        let takes = self.engine_takes(id, 50_000, 600_000);
        self.plan_engine(id, takes, EngineStep::Ready);
    }

    pub(super) fn stop_engine(&mut self, node: NodeId) {
        let Some(id) = self.nodes[node].attempt else {
            return;
        };
        let takes = self.engine_takes(id, 10_000, 120_000);
        let Some(engine) = &mut self.hosts[id].engine else {
            let report = EffectReport::EngineEnded {
                orderly: true,
                error: None,
            };
            return self.tell_driver(id, takes, report);
        };
        engine.is_ending = true;
        let grace = if engine.ignores_term {
            TERM_TO_KILL
        } else {
            Duration::ZERO
        };
        self.plan_engine(id, takes.saturating_add(grace), EngineStep::Stopped);
    }

    pub(super) fn start_job(&mut self, node: NodeId, job: &JobRecord) {
        let Some(id) = self.nodes[node].attempt else {
            return;
        };
        let takes = self.engine_takes(id, 5_000, 20_000);
        let Some(engine) = &mut self.hosts[id].engine else {
            let text = "the engine of the context is not there";
            let report = EffectReport::JobFailed {
                job: job.id.clone(),
                error: JobError::new("doyen.EngineEnded", text),
            };
            return self.tell_driver(id, takes, report);
        };
        let (lasts, fails) = told(&job.main_class);
        let running = RunningJob {
            runs: false,
            dies: false,
            fails,
            lasts,
        };
        engine.jobs.insert(job.id.clone(), running);
        self.plan_engine(id, takes, EngineStep::Runs(job.id.clone()));
    }

    pub(super) fn kill_job(&mut self, node: NodeId, job: JobId) {
        let Some(id) = self.nodes[node].attempt else {
            return;
        };
        let takes = self.engine_takes(id, 2_000, 30_000);
        let engine = self.hosts[id].engine.as_mut();
        let found = engine.and_then(|engine| {
            let ignores = engine.ignores_term;
            engine.jobs.get_mut(&job).map(|one| (one, ignores))
        });
        let Some((running, ignores)) = found else {
            let rung = "cancelled".to_owned();
            return self.tell_driver(id, takes, EffectReport::JobKilled { job, rung });
        };
        running.dies = true;
        let ignores = ignores && running.runs;
        let grace = if ignores {
            TERM_TO_KILL
        } else {
            Duration::ZERO
        };
        let step = EngineStep::Gone(job, ignores);
        self.plan_engine(id, takes.saturating_add(grace), step);
    }

    /// Something happens in an engine, whatever its driver does meanwhile.
    pub(super) fn engine_goes_on(&mut self, id: AttemptId, step: EngineStep) {
        let Some(engine) = &mut self.hosts[id].engine else {
            return;
        };
        match step {
            EngineStep::Ready if engine.is_ending => {}
            EngineStep::Ready => {
                engine.is_ready = true;
                let report = EffectReport::EngineReady {
                    application_id: None,
                    url: None,
                };
                self.tell_driver(id, Duration::from_micros(200), report);
            }
            EngineStep::Stopped => {
                self.end_jobs(id, |job| EffectReport::JobKilled {
                    job,
                    rung: "terminated".to_owned(),
                });
                self.engine_gone(id);
                let report = EffectReport::EngineEnded {
                    orderly: true,
                    error: None,
                };
                self.tell_driver(id, Duration::from_micros(400), report);
            }
            EngineStep::Runs(job) => self.job_runs(id, job),
            EngineStep::Returns(job) => self.job_returns(id, job),
            EngineStep::Gone(job, by_kill) => {
                if self.job_gone(id, &job).is_some() {
                    let rung = if by_kill { "killed" } else { "terminated" };
                    let rung = rung.to_owned();
                    let report = EffectReport::JobKilled { job, rung };
                    self.tell_driver(id, Duration::from_micros(200), report);
                }
            }
            EngineStep::Swept => self.sweep(id),
        }
    }

    fn job_runs(&mut self, id: AttemptId, job: JobId) {
        let attempt = &mut self.hosts[id];
        let (driver, node) = (attempt.driver, attempt.node);
        let running = attempt
            .engine
            .as_mut()
            .and_then(|engine| engine.jobs.get_mut(&job));
        let (Some(running), Some(node)) = (running, node) else {
            return;
        };
        if running.dies {
            return;
        }
        running.runs = true;
        let lasts = Duration::from_micros(running.lasts);
        let deed = Deed::JobStarted {
            job: job.clone(),
            driver,
        };
        self.deed(node, &deed);
        let report = EffectReport::JobRunning { job: job.clone() };
        self.tell_driver(id, Duration::from_micros(200), report);
        self.plan_engine(id, lasts, EngineStep::Returns(job));
    }

    fn job_returns(&mut self, id: AttemptId, job: JobId) {
        let engine = self.hosts[id].engine.as_ref();
        let running = engine.and_then(|engine| engine.jobs.get(&job).copied());
        if running.is_none_or(|one| one.dies) {
            return;
        }
        let Some(running) = self.job_gone(id, &job) else {
            return;
        };
        let report = if running.fails {
            let error = JobError::new("java.lang.RuntimeException", "told to fail");
            EffectReport::JobFailed { job, error }
        } else {
            let result = Payload::Inline("\"slept\"".to_owned());
            EffectReport::JobFinished { job, result }
        };
        let takes = self.engine_takes(id, 200, 3_000);
        self.tell_driver(id, takes, report);
    }

    /// A job is not in its engine any more.
    fn job_gone(&mut self, id: AttemptId, job: &JobId) -> Option<RunningJob> {
        let attempt = &mut self.hosts[id];
        let (driver, node) = (attempt.driver, attempt.node?);
        let running = attempt.engine.as_mut()?.jobs.remove(job)?;
        if running.runs {
            let job = job.clone();
            self.deed(node, &Deed::JobEnded { job, driver });
        }
        Some(running)
    }

    fn end_jobs(&mut self, id: AttemptId, report: impl Fn(JobId) -> EffectReport) {
        let engine = self.hosts[id].engine.as_ref();
        let jobs: Vec<JobId> = engine
            .map(|engine| engine.jobs.keys().cloned().collect())
            .unwrap_or_default();
        for job in jobs {
            self.job_gone(id, &job);
            self.tell_driver(id, Duration::from_micros(200), report(job));
        }
    }

    fn engine_gone(&mut self, id: AttemptId) {
        let attempt = &mut self.hosts[id];
        if attempt.engine.take().is_some()
            && let Some(node) = attempt.node
        {
            let deed = Deed::EngineEnded {
                context: attempt.context.clone(),
                driver: attempt.driver,
            };
            self.deed(node, &deed);
        }
    }

    /// The engine child dies without having been asked to; its jobs with it.
    pub(super) fn engine_dies(&mut self, id: AttemptId) {
        let engine = self.hosts[id].engine.as_ref();
        if engine.is_none_or(|engine| engine.is_ending) {
            return;
        }
        let error = || JobError::new("doyen.EngineEnded", "the engine was killed by signal 9");
        self.end_jobs(id, |job| EffectReport::JobFailed {
            job,
            error: error(),
        });
        self.engine_gone(id);
        let report = EffectReport::EngineEnded {
            orderly: false,
            error: Some(error()),
        };
        self.tell_driver(id, Duration::from_micros(500), report);
    }

    /// A process is gone; if it was a driver, its keeper ends everything that it started, within
    /// five seconds (E4).
    pub(super) fn driver_is_gone(&mut self, node: NodeId) {
        let Some(id) = self.nodes[node].attempt else {
            return;
        };
        self.hosts[id].driver_lives = false;
        self.hosts.forget_pid(id);
        let Some(engine) = &self.hosts[id].engine else {
            return;
        };
        let ignores = engine.ignores_term;
        let takes = if self.hosts[id].orphans {
            self.engine_takes(id, 3_500_000, 4_900_000)
        } else if ignores {
            let more = self.engine_takes(id, 1_000, 100_000);
            KEEPER_GRACE.saturating_add(more)
        } else {
            self.engine_takes(id, 10_000, 300_000)
        };
        self.plan_engine(id, takes, EngineStep::Swept);
    }

    /// Everything that a driver started is gone.
    pub(super) fn sweep(&mut self, id: AttemptId) {
        if self.hosts[id].engine.is_some() {
            self.end_jobs(id, |job| EffectReport::JobKilled {
                job,
                rung: "killed".to_owned(),
            });
            self.engine_gone(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_told_how_long_it_lasts_by_its_main_class() {
        for (lasts, fails) in [(0, false), (1_500, false), (20_000_000, true)] {
            let told = told(&main_class(Duration::from_micros(lasts), fails));
            assert_eq!(told, (lasts, fails));
        }
        assert_eq!(super::told("sleep-30ms"), (30_000, false));
        assert_eq!(super::told("org.example.Job"), (1_000, false));
    }
}
