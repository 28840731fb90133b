//! `no_lost_job`: an acknowledged job reaches a final state that the store shows, as its engine
//! reported it; a finished result can be read at every server.
//!
//! Envelope: what was acknowledged never vanishes: always. That an end which the engine reported is
//! stored within [`STORED`]: in calm. What was refused and withdrawn does not come again: always.
//! That it ends at all: once faults end (waited for, see `legitimacy`). Source: design.md 5; protocol.md J2 to J5.

use super::facts::Facts;
use super::records::{Change, Kind, Step, kind};
use super::report::claim;
use super::{Oracle, Violation, kinds};
use crate::trace::seen::{NodeId, Phase, Seen};
use doyen_core::identity::{ContextId, Identity, JobId, Role};
use doyen_core::input::{Command, EffectReport, Input};
use doyen_core::output::Answer;
use doyen_core::records::job::{JobRecord, JobState, Payload};
use doyen_core::time::Time;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const NAME: &str = "no_lost_job";
/// From the engine's report to the record: the answer of two store calls, and room.
const STORED: Duration = Duration::from_secs(15);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct NoLostJob {
    acknowledged: BTreeSet<JobId>,
    open: BTreeSet<JobId>,
    reports: BTreeMap<JobId, Report>,
    /// Jobs that were refused and removed.
    withdrawn: BTreeSet<(ContextId, JobId)>,
    /// Drivers whose engine has ended, or that were told to end.
    ending: BTreeSet<NodeId>,
}

/// The first end that an engine reported of a job.
#[derive(Debug)]
struct Report {
    node: NodeId,
    at: Time,
    result: Option<Payload>,
    /// The engine was still there.
    running: bool,
}

impl Oracle for NoLostJob {
    fn name(&self) -> &'static str {
        NAME
    }

    fn listens(&self) -> u32 {
        kinds::CLIENT | kinds::STORE | kinds::REPORT | kinds::COMMAND | kinds::VIEWS
    }

    fn seen(&mut self, at: Time, seen: &Seen<'_>, facts: &Facts) -> Result<(), Violation> {
        match seen {
            Seen::Answered {
                answer: Some(answer),
                ..
            } => self.answered(at, answer, facts),
            Seen::Input {
                node,
                input: Input::EffectReport(report),
                ..
            } => {
                self.reported(at, *node, report);
                Ok(())
            }
            Seen::Input {
                node,
                input: Input::Command(Command::Leave),
                ..
            } => {
                self.ending.insert(*node);
                Ok(())
            }
            Seen::Store(written) => {
                let role = facts.life(written.by.incarnation).map(|life| life.role);
                for change in &facts.changes {
                    match change {
                        Change::Job(id, step) => self.lives(at, id, step, written.by, facts)?,
                        Change::Done(id, step) => {
                            if let Some(record) = step.now() {
                                self.open.remove(id);
                                self.ended(at, id, record, role == Some(Role::Driver))?;
                            }
                        }
                        _ => {}
                    }
                }
                Ok(())
            }
            Seen::Read {
                node, key, found, ..
            } => {
                let read = kind(key) == Kind::Done && facts.phase.0 == Phase::Final;
                let known = self.acknowledged.contains(&JobId::new(key.name()));
                let there = !matches!(found, None | Some(None));
                let life = facts.last_at_node(*node);
                claim!(
                    NAME,
                    at,
                    !read || !known || there,
                    "not readable",
                    "job {} cannot be read at {}: {found:?}",
                    key.name(),
                    life.map_or("", |life| life.name.as_str())
                );
                Ok(())
            }
            Seen::Views { .. } => self.stored(at, facts),
            _ => Ok(()),
        }
    }

    fn is_settled(&self) -> bool {
        self.open.is_empty()
    }

    fn waits_for(&self) -> Option<String> {
        let first = self.open.first()?;
        Some(format!("job {first} was acknowledged and is not final"))
    }
}

impl NoLostJob {
    fn answered(&mut self, at: Time, answer: &Answer, facts: &Facts) -> Result<(), Violation> {
        let (Answer::JobAccepted(job) | Answer::JobDone(job)) = answer else {
            return Ok(());
        };
        self.acknowledged.insert(job.id.clone());
        let done = facts.records.done.get(&job.id);
        let live = facts.records.jobs.get(&job.id);
        claim!(
            NAME,
            at,
            done.is_some() || live.is_some(),
            "not stored",
            "job {} is acknowledged as {:?}, and no record has it",
            job.id,
            job.state
        );
        if done.is_none() {
            self.open.insert(job.id.clone());
        }
        let is_final = matches!(answer, Answer::JobDone(_));
        claim!(
            NAME,
            at,
            !is_final || done.is_some_and(|done| done.value == **job),
            "answer",
            "job {} is answered as {:?}, its record says {:?}",
            job.id,
            job.state,
            done.map(|done| &done.value.state)
        );
        let validated = !matches!(job.state, JobState::Submitted | JobState::Refused { .. });
        claim!(
            NAME,
            at,
            validated,
            "not validated",
            "job {} is acknowledged as {:?}",
            job.id,
            job.state
        );
        Ok(())
    }

    /// A job that is not final was written or removed.
    fn lives(
        &mut self,
        at: Time,
        id: &JobId,
        step: &Step<JobRecord>,
        by: &Identity,
        facts: &Facts,
    ) -> Result<(), Violation> {
        let there = facts.records.done.contains_key(id);
        if let Some(record) = step.now() {
            let place = (record.context.clone(), id.clone());
            claim!(
                NAME,
                at,
                !self.withdrawn.contains(&place),
                "comes again",
                "job {id} was refused and withdrawn, and {} makes it again",
                facts.name(by)
            );
            return Ok(());
        }
        if let Some(record) = step.was().filter(|_| !there) {
            let place = (record.context.clone(), id.clone());
            self.withdrawn.insert(place);
        }
        claim!(
            NAME,
            at,
            !self.open.contains(id) || there,
            "vanished",
            "job {id} was acknowledged, and {} removed it",
            facts.name(by)
        );
        Ok(())
    }

    fn reported(&mut self, at: Time, node: NodeId, report: &EffectReport) {
        let (job, result) = match report {
            EffectReport::JobFinished { job, result } => (job, Some(result.clone())),
            EffectReport::JobFailed { job, .. } | EffectReport::JobKilled { job, .. } => {
                (job, None)
            }
            EffectReport::EngineEnded { .. } => {
                self.ending.insert(node);
                return;
            }
            _ => return,
        };
        let running = !self.ending.contains(&node);
        self.reports.entry(job.clone()).or_insert(Report {
            node,
            at,
            result,
            running,
        });
    }

    fn ended(
        &mut self,
        at: Time,
        id: &JobId,
        record: &JobRecord,
        by_driver: bool,
    ) -> Result<(), Violation> {
        let report = self.reports.remove(id);
        let result = report.as_ref().and_then(|one| one.result.as_ref());
        match record.state {
            JobState::Finished => claim!(
                NAME,
                at,
                record.result.as_ref() == result && result.is_some(),
                "wrong end",
                "job {id} is stored as finished with {:?}, its engine reported {report:?}",
                record.result
            ),
            JobState::Killed => claim!(
                NAME,
                at,
                record.kill,
                "wrong end",
                "job {id} is stored as killed, and nobody had asked for it"
            ),
            JobState::Error
            | JobState::Refused { .. }
            | JobState::Submitted
            | JobState::Running => {
                let finished = result.is_some() && report.as_ref().is_some_and(|one| one.running);
                let large = record
                    .error
                    .as_ref()
                    .is_some_and(|error| error.error_class == "doyen.RecordTooLarge");
                claim!(
                    NAME,
                    at,
                    !(by_driver && finished) || large,
                    "wrong end",
                    "job {id} is stored as {:?} ({:?}), its engine reported {report:?}",
                    record.state,
                    record.error
                );
            }
        }
        Ok(())
    }

    fn stored(&self, at: Time, facts: &Facts) -> Result<(), Violation> {
        if self.reports.is_empty() || !facts.calm_for(STORED) {
            return Ok(());
        }
        for (id, report) in &self.reports {
            let lives = facts.at_node(report.node).is_some();
            let known = facts.records.jobs.contains_key(id);
            claim!(
                NAME,
                at,
                !(lives && known) || at.since(report.at) < STORED,
                "not stored in time",
                "the end of job {id} was reported {:?} ago and is not stored",
                at.since(report.at)
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::history::{History, job_record, layout, server};
    use doyen_core::input::RequestId;

    fn cluster() -> History {
        let mut history = History::cluster(NoLostJob::default(), vec![]);
        history.creates_context(&server(1, 1), "a");
        history.launches(1, "a", 1, 1);
        history.takes_context(1, "a");
        history.creates_job(&server(2, 1), "a", "j");
        history.moves_job(1, "a", "j", JobState::Running);
        history
    }

    fn answers(history: &mut History, answer: &Answer) {
        history.sees(&Seen::Answered {
            node: NodeId(2),
            request: RequestId(1),
            answer: Some(answer),
        });
    }

    fn accepted(state: JobState) -> Answer {
        Answer::JobAccepted(Box::new(job_record("a", "j", state)))
    }

    #[test]
    fn an_acknowledged_job_is_waited_for_until_it_is_final() {
        let mut history = cluster();
        answers(&mut history, &accepted(JobState::Running));
        assert!(!history.is_settled());
        history.moves_job(1, "a", "j", JobState::Error);
        assert!(history.is_settled());
        assert_eq!(history.verdict(), Ok(()));
    }

    #[test]
    fn an_acknowledged_job_does_not_vanish_and_is_not_acknowledged_too_early() {
        let mut history = cluster();
        answers(&mut history, &accepted(JobState::Running));
        let job = JobId::new("j");
        let key = layout().job(&doyen_core::identity::ContextId::new("a"), &job);
        let gone = history.transaction().delete_any(key);
        history.writes(&server(2, 1), &gone);
        assert_eq!(history.fails(), "no_lost_job/vanished");
        let mut history = cluster();
        answers(&mut history, &accepted(JobState::Submitted));
        assert_eq!(history.fails(), "no_lost_job/not validated");
    }

    #[test]
    fn a_job_that_was_refused_and_withdrawn_does_not_come_again() {
        let mut history = cluster();
        let (id, job) = (ContextId::new("a"), JobId::new("j"));
        history.creates_job(&server(2, 1), "a", "k");
        let gone = history
            .transaction()
            .delete_any(layout().job(&id, &job))
            .delete_any(layout().job_context(&job));
        history.writes(&server(2, 1), &gone);
        assert_eq!(history.verdict(), Ok(()));
        history.creates_job(&server(2, 1), "a", "j");
        assert_eq!(history.fails(), "no_lost_job/comes again");
    }

    #[test]
    fn an_end_that_nobody_reported_is_a_violation() {
        for state in [JobState::Finished, JobState::Killed] {
            let mut history = cluster();
            history.moves_job(1, "a", "j", state);
            assert_eq!(history.fails(), "no_lost_job/wrong end");
        }
    }

    #[test]
    fn a_reported_end_is_stored_in_time() {
        let mut history = cluster();
        let report = EffectReport::JobFinished {
            job: JobId::new("j"),
            result: Payload::Inline("1".into()),
        };
        history
            .input(101, &Input::EffectReport(report))
            .wait(20_000)
            .looks();
        assert_eq!(history.fails(), "no_lost_job/not stored in time");
    }
}
