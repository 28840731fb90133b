//! What driver and keeper say to each other: JSON lines over one socket pair.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The most bytes of one line, either way.
pub const LINE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The most bytes of one line that a child answers on descriptor 3.
pub const ANSWER_LINE_BYTES_MAX: usize = 256 * 1024;
/// The descriptor on which children answer.
pub const ANSWER_FD: i32 = 3;
/// The descriptor under which children inherit the driver's lock.
pub const LOCK_FD: i32 = 4;

/// What the driver wants. No `Debug`: a child's input carries secrets.
#[derive(Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Command {
    /// Start a child, in a process group of its own.
    Start(Box<ChildSpec>),
    /// Write to the standard input of a child that was started with [`ChildInput::Open`].
    Write {
        /// Which child.
        child: String,
        /// What.
        text: String,
    },
    /// Close the standard input of a child.
    CloseInput {
        /// Which child.
        child: String,
    },
    /// Signal the process group of a child.
    Signal {
        /// Which child.
        child: String,
        /// How.
        rung: Rung,
    },
}

/// How a child is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rung {
    /// SIGTERM.
    Terminate,
    /// SIGKILL, also to what it started under its mark.
    Kill,
}

/// A child as the driver wants it.
#[derive(Serialize, Deserialize)]
pub struct ChildSpec {
    /// Its name, unique in the life of the keeper.
    pub child: String,
    /// The program, found through `PATH` when it is a bare name.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Its whole environment; the keeper adds the child's mark.
    pub environment: BTreeMap<String, String>,
    /// Its working directory.
    pub directory: PathBuf,
    /// Its standard input.
    pub input: ChildInput,
    /// Its output.
    pub output: ChildOutput,
    /// Where standard output and error go, bounded.
    pub log: PathBuf,
    /// What descriptor 3 is.
    pub answer: AnswerChannel,
    /// Whether it inherits the driver's lock on descriptor 4 (E3).
    pub shares_lock: bool,
}

/// The standard input of a child.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChildInput {
    /// A file.
    File(PathBuf),
    /// This text, then held open for more until it is closed or the keeper ends.
    Open(String),
}

/// Which output of a child is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChildOutput {
    /// Standard output and error, in the order of their writing.
    Both,
    /// Standard error only.
    ErrorOnly,
}

/// What a child's descriptor 3 is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerChannel {
    /// Not there.
    None,
    /// What is written goes to this file, up to a bound; the rest is counted and dropped.
    File {
        /// Which file.
        path: PathBuf,
        /// The bound.
        bytes_max: u64,
    },
    /// Each line is reported.
    Lines,
}

/// What the keeper has to say. No `Debug`: lines of the Spark helper carry its gateway's secret.
#[derive(Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "kebab-case")]
pub enum Report {
    /// A child was started.
    Started {
        /// Which child.
        child: String,
        /// Its process id.
        pid: u32,
    },
    /// A child could not be started; nothing more is reported of it.
    Failed {
        /// Which child.
        child: String,
        /// Why.
        reason: String,
    },
    /// A child answered a line.
    Line {
        /// Which child.
        child: String,
        /// The line.
        text: String,
    },
    /// A child ended, and what it left in its group and under its mark was killed.
    Exited {
        /// Which child.
        child: String,
        /// How it ended.
        exit: Exit,
    },
}

/// How a child ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Its exit code, when it ended by itself.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// The end of its output, lossy UTF-8.
    pub last_output: String,
    /// How many bytes it wrote on an answer channel that is a file.
    pub answer_bytes: u64,
}

impl Exit {
    /// Whether it ended by itself with code 0.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.code == Some(0)
    }

    /// In words, for errors.
    #[must_use]
    pub fn in_words(&self) -> String {
        match (self.code, self.signal) {
            (Some(code), _) => format!("ended with exit code {code}"),
            (None, Some(signal)) => format!("was ended by signal {signal}"),
            (None, None) => "ended, nobody saw how".into(),
        }
    }
}
