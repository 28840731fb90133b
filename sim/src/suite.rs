//! A suite: what a CI engineer wants run, in a file of their own.

use crate::schedule::format;
use crate::schedule::generate::generate;
use crate::schedule::model::{Expect, Schedule};
use crate::schedule::profile::{Profile, ValidProfile};
use crate::sometimes::Thing;
use serde::Deserialize;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Named schedules and generated ones, with the settings that they run under.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Suite {
    /// What it is called in reports.
    #[serde(default = "default_name")]
    pub name: String,
    /// The seeds of generated schedules, `0..1000`, when the command names none.
    #[serde(default)]
    pub seeds: Option<String>,
    /// `direct` or `madsim`, when the command names none.
    #[serde(default)]
    pub engine: Option<String>,
    /// Folders and files of named schedules, beside the suite's own file.
    #[serde(default)]
    pub corpus: Vec<PathBuf>,
    /// What schedules are generated from: settings, members, weights of faults.
    #[serde(default)]
    pub profile: Profile,
    /// What must have happened at least once in the whole suite; by default everything that the
    /// generator can bring about, when 10,000 schedules or more are run.
    #[serde(default)]
    pub sometimes: Option<Vec<Thing>>,
}

fn default_name() -> String {
    "default".to_owned()
}

impl Default for Suite {
    fn default() -> Self {
        Self {
            name: default_name(),
            seeds: None,
            engine: None,
            corpus: Vec::new(),
            profile: Profile::default(),
            sometimes: None,
        }
    }
}

impl Suite {
    /// Reads a suite's file; paths in it are beside it.
    ///
    /// # Errors
    /// The file cannot be read, or is none, with file, line and key.
    pub fn read(file: &Path) -> Result<Self, String> {
        let at = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let text = std::fs::read_to_string(file).map_err(|error| at(&error))?;
        let mut suite: Self = toml::from_str(&text).map_err(|error| at(&error))?;
        let folder = file.parent().unwrap_or(Path::new("."));
        for path in &mut suite.corpus {
            *path = folder.join(&*path);
        }
        Ok(suite)
    }

    /// The named schedules, in order of their files.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub fn named(&self) -> Result<Vec<Schedule>, String> {
        let mut files = Vec::new();
        for path in &self.corpus {
            files.extend(schedule_files(path)?);
        }
        files.iter().map(|file| read_schedule(file)).collect()
    }

    /// The profile, checked.
    ///
    /// # Errors
    /// It names a setting or a weight that does not exist, or a range that cannot be.
    pub fn profile(&self) -> Result<ValidProfile, String> {
        let profile = self.profile.clone().validate();
        profile.map_err(|error| format!("suite {}: profile: {error}", self.name))
    }
}

/// Reads the schedule in a file.
///
/// # Errors
/// The file cannot be read, or is none, with file, line, key and what was expected.
pub fn read_schedule(file: &Path) -> Result<Schedule, String> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file).map_err(|error| format!("{name}: {error}"))?;
    format::read(&name, &text).map_err(|error| error.to_string())
}

/// Writes a schedule to a file.
///
/// # Errors
/// The file cannot be written.
pub fn write_schedule(file: &Path, schedule: &Schedule) -> Result<(), String> {
    let text = format::write(schedule).map_err(|error| error.to_string())?;
    std::fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()))
}

/// The schedules at a path: itself, or every `.toml` in the folder, by name.
///
/// # Errors
/// It cannot be listed.
pub fn schedule_files(path: &Path) -> Result<Vec<PathBuf>, String> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let at = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(at)? {
        let file = entry.map_err(at)?.path();
        if file
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// What a run has before it: the named schedules first, then generated ones, by number.
#[derive(Debug)]
pub struct Work {
    named: Vec<Schedule>,
    seeds: Range<u64>,
    profile: ValidProfile,
}

impl Work {
    /// The work of a suite with these seeds. Schedules that wait for something are left out.
    ///
    /// # Errors
    /// A named schedule cannot be read.
    pub fn new(suite: &Suite, seeds: Range<u64>) -> Result<Self, String> {
        let mut named = suite.named()?;
        named.retain(|schedule| !matches!(schedule.expect, Expect::Waiting(_)));
        Ok(Self {
            named,
            seeds,
            profile: suite.profile()?,
        })
    }

    /// How many trials.
    #[must_use]
    pub fn len(&self) -> u64 {
        let named = u64::try_from(self.named.len()).unwrap_or(u64::MAX);
        let seeds = self.seeds.end.saturating_sub(self.seeds.start);
        named.saturating_add(seeds)
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The schedule of this number; `None` beyond the end.
    #[must_use]
    pub fn schedule(&self, number: u64) -> Option<Schedule> {
        let index = usize::try_from(number).ok()?;
        if let Some(named) = self.named.get(index) {
            return Some(named.clone());
        }
        let named = u64::try_from(self.named.len()).ok()?;
        let seed = self.seeds.start.checked_add(number.checked_sub(named)?)?;
        self.seeds
            .contains(&seed)
            .then(|| generate(seed, &self.profile))
    }
}
