//! Jobs and binaries (protocol.md J; rest-api.md 5 and 6).

use super::Rest;
use crate::identity::{ContextId, JobId};
use crate::time::Stamp;
use serde::{Deserialize, Serialize};

/// The most bytes of a configuration or result that a record carries itself; more is spilled to the
/// binary store.
pub const INLINE_BYTES_MAX: usize = 16 * 1024;

/// An error as answers show it (rest-api.md 1.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobError {
    /// What went wrong.
    pub message: String,
    /// The class of the exception.
    pub error_class: String,
    /// Its stack trace, or the last output of the process.
    #[serde(default)]
    pub stack: String,
}

impl JobError {
    /// An error with a class and no stack.
    #[must_use]
    pub fn new(error_class: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            error_class: error_class.into(),
            stack: String::new(),
        }
    }
}

/// Text that lies in the record when small, in the binary store when large.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Payload {
    /// The text itself, at most [`INLINE_BYTES_MAX`] bytes.
    Inline(String),
    /// The name of an object of the binary store that holds the text.
    Object(String),
}

/// The type of a binary (rest-api.md 3.3), and `Executable` for the engine `process`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum BinaryType {
    /// A jar.
    Jar,
    /// A Python egg.
    Egg,
    /// A Python wheel.
    Wheel,
    /// A class-path entry that was given as a URI.
    Uri,
    /// A program of its own.
    Executable,
}

/// One version of a binary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BinaryVersion {
    /// The SHA-256 of its bytes, 64 hexadecimal digits: its name in the binary store.
    pub hash: String,
    /// Its type.
    pub binary_type: BinaryType,
    /// When it was uploaded.
    pub uploaded: Stamp,
    /// Its size in bytes.
    pub bytes: u64,
}

/// The versions of a binary, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BinaryRecord {
    /// Its name.
    pub name: String,
    /// Newest first, at most [`BINARY_VERSIONS_MAX`].
    pub versions: Vec<BinaryVersion>,
    /// What a newer release added.
    #[serde(flatten)]
    pub rest: Rest,
}

/// How many versions of one binary are remembered.
pub const BINARY_VERSIONS_MAX: usize = 50;

/// A class-path entry of a job, fixed when the job was submitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassPathEntry {
    /// The binary's name, or the URI.
    pub name: String,
    /// Its type.
    pub binary_type: BinaryType,
    /// The object in the binary store; `None` for a URI.
    pub hash: Option<String>,
}

/// The state of a job (lifecycle.md 2.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "UPPERCASE")]
pub enum JobState {
    /// Written by a server; the driver has not admitted it. Visible by its id only (J3).
    Submitted,
    /// Refused before it ran; nothing of it is listed (J3).
    Refused {
        /// Why.
        refusal: JobRefusal,
    },
    /// Admitted to a slot; validation has passed.
    Running,
    /// It returned.
    Finished,
    /// It failed, or its attempt ended.
    Error,
    /// It was killed.
    Killed,
}

impl JobState {
    /// Whether nothing changes any more.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Submitted | Self::Running => false,
            Self::Refused { .. } | Self::Finished | Self::Error | Self::Killed => true,
        }
    }

    /// The word in answers and lists.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Submitted => "STARTED",
            Self::Refused { .. } | Self::Error => "ERROR",
            Self::Running => "RUNNING",
            Self::Finished => "FINISHED",
            Self::Killed => "KILLED",
        }
    }
}

/// Why a job was refused before it ran (rest-api.md 5.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum JobRefusal {
    /// All slots of the context are taken: 503.
    NoSlots {
        /// How many the context has.
        max: u32,
    },
    /// The job's own validation said no: 400.
    ValidationFailed {
        /// Its problems.
        error: JobError,
    },
    /// The class is not there: 404.
    ClassNotFound,
    /// The job could not be loaded: 400.
    LoadingFailed {
        /// Why.
        error: JobError,
    },
    /// The class is of the wrong kind for the context: 400.
    WrongType,
    /// The context is stopping: 409.
    ContextStopping,
    /// The context ended before the job was admitted: 404.
    ContextGone,
}

/// A job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecord {
    /// Its id.
    pub id: JobId,
    /// The context that it runs in.
    pub context: ContextId,
    /// That context's name.
    pub context_name: String,
    /// The class to run, or the first argument of an executable.
    pub main_class: String,
    /// The class path, in order.
    pub class_path: Vec<ClassPathEntry>,
    /// The configuration that the client posted: JSON text.
    pub config: Payload,
    /// Whether the client waits for the result (its configuration is not shown then; rest-api.md 6.4).
    pub sync: bool,
    /// Who submitted it.
    pub user: String,
    /// How it is.
    pub state: JobState,
    /// A kill was asked for.
    pub kill: bool,
    /// When it was submitted.
    pub started: Stamp,
    /// When it became final.
    pub ended: Option<Stamp>,
    /// It became final before it was reported to run: its validation threw, say (J2). A record that
    /// does not say so is of a job that ran, as every record of an older release.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub never_ran: bool,
    /// Why it failed.
    pub error: Option<JobError>,
    /// What it returned: JSON text.
    pub result: Option<Payload>,
    /// The digest under which its key of idempotency lies, if it has one.
    pub key: Option<String>,
    /// What a newer release added.
    #[serde(flatten)]
    pub rest: Rest,
}

/// In which context a job lies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobContextRecord {
    /// The context.
    pub context: ContextId,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// W7: what an older release wrote is read as it was meant, and read by it in turn.
    #[test]
    fn a_job_that_does_not_say_whether_it_ran_did() {
        let old = r#"{"id":"j","context":"c","context_name":"etl","main_class":"M","class_path":[],
            "config":{"inline":"{}"},"sync":false,"user":"u","state":{"state":"ERROR"},
            "kill":false,"started":1,"ended":2,"error":null,"result":null,"key":null,"new":7}"#;
        let mut job: JobRecord = serde_json::from_str(old).unwrap();
        assert!(!job.never_ran);
        let again = serde_json::to_value(&job).unwrap();
        let before: serde_json::Value = serde_json::from_str(old).unwrap();
        assert_eq!(
            again, before,
            "the field is left out, what is unknown is kept"
        );
        job.never_ran = true;
        let text = serde_json::to_string(&job).unwrap();
        assert_eq!(serde_json::from_str::<JobRecord>(&text).unwrap(), job);
    }
}
