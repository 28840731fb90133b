//! Why a context ends, and the words for it (lifecycle.md 2.2 and 9; rest-api.md 6.2).

use super::admit::unexpected;
use super::desk::Desk;
use super::slots::{Jobs, Outcome, Stage, cut};
use crate::identity::JobId;
use crate::records::context::DriverPhase;
use crate::records::job::{JobError, JobRefusal};

/// Why a context ends.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reason {
    /// The holder's intent is to stop it.
    Asked,
    /// Ad-hoc: its job is over, or none came.
    AdhocDone,
    /// A job failed, and `stop-context-on-job-error` is set.
    JobFailed(JobError),
    /// The driver's host told it to leave.
    Terminated(JobError),
    /// The engine ended without being asked.
    EngineDied(JobError),
}

impl Reason {
    /// What `life` says at the end.
    pub(super) fn phase(&self) -> DriverPhase {
        let error = match self {
            Self::Asked | Self::AdhocDone => None,
            Self::JobFailed(error) | Self::Terminated(error) | Self::EngineDied(error) => {
                Some(cut(error.clone()))
            }
        };
        DriverPhase::Ended {
            orderly: error.is_none(),
            error,
        }
    }

    /// How a job that was not admitted is refused.
    pub(super) const fn refusal(&self) -> JobRefusal {
        if self.is_meant() {
            JobRefusal::ContextStopping
        } else {
            JobRefusal::ContextGone
        }
    }

    /// The error of a job that ran.
    pub(super) fn job_error(&self, desk: &Desk) -> JobError {
        match self {
            Self::Asked | Self::AdhocDone | Self::JobFailed(_) => {
                let name = desk.context_name();
                JobError::new("", format!("Context ({name}) for this job was terminated"))
            }
            Self::Terminated(error) | Self::EngineDied(error) => unexpected(desk, Some(error)),
        }
    }

    /// Whether a rule of the context ended it, and not an accident.
    pub(super) const fn is_meant(&self) -> bool {
        match self {
            Self::Asked | Self::AdhocDone | Self::JobFailed(_) => true,
            Self::Terminated(_) | Self::EngineDied(_) => false,
        }
    }
}

/// The error of a context that is ended by a job's error.
pub(super) fn stopped_by(id: &JobId, error: &JobError) -> JobError {
    JobError {
        message: format!(
            "Job {id} failed, and `stop-context-on-job-error` is set: {}",
            error.message
        ),
        ..error.clone()
    }
}

/// Whether a context's settings say that a job's error ends it.
///
/// # Errors
/// The settings are no JSON object.
pub(super) fn stops_on_job_error(settings: &str) -> Result<bool, serde_json::Error> {
    let settings: serde_json::Map<String, serde_json::Value> = serde_json::from_str(settings)?;
    Ok(match settings.get("stop-context-on-job-error") {
        Some(serde_json::Value::Bool(on)) => *on,
        Some(serde_json::Value::String(text)) => matches!(text.as_str(), "true" | "yes" | "on"),
        Some(_) | None => false,
    })
}

impl Jobs {
    /// The engine is gone: every job that it had is over.
    pub(super) fn end_all(&mut self, reason: &Reason, desk: &Desk) {
        for job in self.table.values_mut() {
            match job.stage {
                Stage::Started if reason.is_meant() => {
                    job.stage = Stage::Refusing(reason.refusal());
                }
                Stage::Started | Stage::Running => {
                    job.stage =
                        Stage::Ending(Outcome::failed(reason.job_error(desk), desk.stamp()));
                }
                Stage::Waiting | Stage::Refusing(_) | Stage::Ending(_) | Stage::Vanished => {}
            }
        }
        self.table.retain(|_, job| job.stage != Stage::Vanished);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_may_be_a_word_as_a_query_parameter_gives_it() {
        for (settings, on) in [
            ("{}", false),
            (r#"{"stop-context-on-job-error":true}"#, true),
            (r#"{"stop-context-on-job-error":"true"}"#, true),
            (r#"{"stop-context-on-job-error":"false"}"#, false),
            (r#"{"stop-context-on-job-error":1}"#, false),
        ] {
            assert_eq!(stops_on_job_error(settings).unwrap(), on, "{settings}");
        }
        assert!(stops_on_job_error("[]").is_err());
    }
}
