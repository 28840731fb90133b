//! What came of many trials: counted, written to a folder, summed up in one line.

use crate::judge::Verdict;
use crate::schedule::model::{Expect, Schedule};
use crate::sometimes::Counters;
use crate::suite::write_schedule;
use crate::trial::Trial;
use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Passed trials share a test case of a report, so that 100,000 seeds stay readable.
const TRIALS_PER_CASE: u64 = 1_000;

/// One trial's schedule and what came of it; the error is a fault of schedule or simulator.
pub type Tried = (Schedule, Result<Trial, String>);

/// How a trial stands to what its schedule expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// As expected.
    AsExpected,
    /// A violation that was not expected, or an expected one that did not come.
    Failed(String),
    /// It could not be decided.
    Undecided(String),
    /// A fault of schedule or simulator.
    Fault(String),
}

/// How this came out, measured by what was expected.
#[must_use]
pub fn standing(schedule: &Schedule, result: &Result<Trial, String>) -> Standing {
    let trial = match result {
        Ok(trial) => trial,
        Err(fault) => return Standing::Fault(fault.clone()),
    };
    match (&trial.verdict, &schedule.expect) {
        (Verdict::Violation(violation), Expect::Violation(oracle))
            if violation.oracle == oracle.as_str() =>
        {
            Standing::AsExpected
        }
        (Verdict::Violation(violation), _) => Standing::Failed(format!(
            "{} at {}: {}",
            violation.oracle, violation.at, violation.what
        )),
        (Verdict::Pass | Verdict::Undecided(_), Expect::Violation(oracle)) => {
            Standing::Failed(format!("no violation of {oracle}, which was expected"))
        }
        (Verdict::Pass, Expect::Pass | Expect::Waiting(_)) => Standing::AsExpected,
        (Verdict::Undecided(why), Expect::Pass | Expect::Waiting(_)) => {
            Standing::Undecided(why.clone())
        }
    }
}

/// Trials counted so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All.
    pub trials: u64,
    /// Violations that were not expected, and expected ones that did not come.
    pub violations: u64,
    /// Those that could not be decided.
    pub undecided: u64,
    /// Faults of schedule or simulator.
    pub faults: u64,
    /// Events of all.
    pub events: u64,
    /// Simulated time of all.
    pub simulated: Duration,
}

/// The report of a run.
#[derive(Debug)]
pub struct Report {
    engine: &'static str,
    folder: Option<PathBuf>,
    counts: Counts,
    sometimes: Counters,
    cases: Vec<TestCase>,
    passed_in_case: u64,
}

impl Report {
    /// An empty report; its folder is made.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new(engine: &'static str, folder: Option<PathBuf>) -> Result<Self, String> {
        if let Some(folder) = &folder {
            let failures = folder.join("failures");
            std::fs::create_dir_all(&failures)
                .map_err(|error| format!("--report {}: {error}", failures.display()))?;
        }
        Ok(Self {
            engine,
            folder,
            counts: Counts::default(),
            sometimes: Counters::default(),
            cases: Vec::new(),
            passed_in_case: 0,
        })
    }

    /// What was counted.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// How often interesting things happened.
    #[must_use]
    pub const fn sometimes(&self) -> &Counters {
        &self.sometimes
    }

    /// Adds a trial; what there is to tell when it is not as expected.
    ///
    /// # Errors
    /// The schedule of a failure cannot be kept.
    pub fn add(&mut self, (schedule, result): &Tried) -> Result<Option<String>, String> {
        self.counts.trials = self.counts.trials.saturating_add(1);
        if let Ok(trial) = result {
            self.counts.events = self.counts.events.saturating_add(trial.events);
            self.counts.simulated = self.counts.simulated.saturating_add(trial.simulated);
            self.sometimes.merge(&trial.sometimes);
        }
        let (word, kind, why) = match standing(schedule, result) {
            Standing::AsExpected => {
                self.passed();
                return Ok(None);
            }
            Standing::Failed(why) => {
                self.counts.violations = self.counts.violations.saturating_add(1);
                ("VIOLATION", NonSuccessKind::Failure, why)
            }
            Standing::Undecided(why) => {
                self.counts.undecided = self.counts.undecided.saturating_add(1);
                ("undecided", NonSuccessKind::Error, why)
            }
            Standing::Fault(why) => {
                self.counts.faults = self.counts.faults.saturating_add(1);
                ("FAULT", NonSuccessKind::Error, why)
            }
        };
        let replay = self.keep(schedule)?;
        let mut status = TestCaseStatus::non_success(kind);
        status
            .set_message(why.clone())
            .set_description(replay.clone());
        self.cases
            .push(TestCase::new(schedule.name.clone(), status));
        let engine = self.engine;
        Ok(Some(format!(
            "{word} {}: {why}\n  again: doyen-sim replay --engine {engine} {replay}",
            schedule.name
        )))
    }

    fn passed(&mut self) {
        self.passed_in_case = self.passed_in_case.saturating_add(1);
        if self.passed_in_case == TRIALS_PER_CASE {
            self.close_case();
        }
    }

    fn close_case(&mut self) {
        if self.passed_in_case > 0 {
            let name = format!("{} schedules that passed", self.passed_in_case);
            let case = TestCase::new(name, TestCaseStatus::success());
            self.cases.push(case);
            self.passed_in_case = 0;
        }
    }

    /// Keeps a schedule that failed; what to call it in a replay.
    fn keep(&self, schedule: &Schedule) -> Result<String, String> {
        let Some(folder) = &self.folder else {
            return Ok(schedule.name.clone());
        };
        let file = folder
            .join("failures")
            .join(format!("{}.toml", schedule.name));
        write_schedule(&file, schedule)?;
        Ok(file.display().to_string())
    }

    /// Writes `junit.xml` and `summary.json`.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn finish(mut self, suite: &str, took: Duration, summary: &Value) -> Result<(), String> {
        self.close_case();
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        let mut cases = TestSuite::new(format!("{suite} ({})", self.engine));
        cases.set_time(took);
        cases.add_test_cases(self.cases);
        let mut junit = quick_junit::Report::new("doyen-sim");
        junit.set_time(took).add_test_suite(cases);
        let text = junit
            .to_string()
            .map_err(|error| format!("junit.xml: {error}"))?;
        write(&folder.join("junit.xml"), &text)?;
        write(&folder.join("summary.json"), &format!("{summary:#}\n"))
    }
}

/// The last line of `run`, for programs; its names are those of design.md 9.
#[must_use]
pub fn summary(report: &Report, took: Duration, jobs: usize) -> Value {
    let counts = report.counts();
    let seconds = took.as_secs_f64().max(1e-9);
    let jobs_as_float = u32::try_from(jobs).map_or(1.0, f64::from);
    let trials = counts.trials.to_string().parse::<f64>().unwrap_or_default();
    let per_second = trials / seconds;
    json!({
        "engine": report.engine,
        "seeds": counts.trials,
        "violations": counts.violations,
        "undecided": counts.undecided,
        "faults": counts.faults,
        "seconds": rounded(seconds),
        "seeds_per_second": rounded(per_second),
        "seeds_per_second_per_core": rounded(per_second / jobs_as_float),
        "events": counts.events,
        "simulated_seconds": counts.simulated.as_secs(),
        "sometimes": counted(report.sometimes()),
    })
}

/// How often each thing happened, by its word.
#[must_use]
pub fn counted(sometimes: &Counters) -> Value {
    sometimes
        .iter()
        .map(|(word, count)| (word.to_owned(), Value::from(count)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn write(file: &Path, text: &str) -> Result<(), String> {
    std::fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
}
