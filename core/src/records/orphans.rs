//! Which objects of the binary store no record names: what a sweep may delete. Pure.
//!
//! An object is stored before the record that names it, and a job that was submitted while its
//! binary was deleted names an object that the binary's record named a moment ago. So an object
//! goes only when it is older than [`UNNAMED_AFTER`], which every upload of the same content
//! begins anew, and when two looks at all records, [`LOOK_AGAIN_AFTER`] apart, find no name of it:
//! no submission lasts so long.
//!
//! | object | named by |
//! |---|---|
//! | the hash of a binary | versions of binaries, class paths of jobs that are not final |
//! | `config-<job>`, `result-<job>` | the job: while it is not final in any case, then by its record |
//! | anything else | is none of ours and never a suspect |

use super::job::{BinaryRecord, JobRecord, Payload};
use super::key::{Key, Layout};
use super::transaction::{Query, Snapshot};
use super::{RecordError, decode};
use crate::identity::JobId;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The age from which an object that nothing names goes.
pub const UNNAMED_AFTER: Duration = Duration::from_secs(24 * 3_600);
/// The time between the two looks.
pub const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(3_600);
/// Jobs that one query asks for: two records of 256 KiB each at most (W6).
const JOBS_AT_ONCE: usize = 40;

/// Objects that nothing has named yet, of those that a look began with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suspects {
    binaries: BTreeSet<String>,
    payloads: BTreeMap<JobId, BTreeSet<String>>,
}

impl Suspects {
    /// Begins with these objects; those that are none of ours are left out.
    #[must_use]
    pub fn of(names: impl IntoIterator<Item = String>) -> Self {
        let mut suspects = Self::default();
        for name in names {
            let job = ["config-", "result-"]
                .iter()
                .find_map(|prefix| name.strip_prefix(prefix));
            if let Some(job) = job.map(JobId::new) {
                suspects.payloads.entry(job).or_default().insert(name);
            } else if is_hash(&name) {
                suspects.binaries.insert(name);
            }
        }
        suspects
    }

    /// Whether all are named.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.binaries.is_empty() && self.payloads.is_empty()
    }

    /// The names of those that are left.
    pub fn into_names(self) -> impl Iterator<Item = String> {
        let payloads = self.payloads.into_values().flatten();
        self.binaries.into_iter().chain(payloads)
    }

    /// Queries for the jobs of the payloads, each to be shown to [`Self::see_jobs`].
    #[must_use]
    pub fn jobs(&self, layout: &Layout) -> Vec<Query> {
        let jobs: Vec<&JobId> = self.payloads.keys().collect();
        let keys = |job: &&JobId| [layout.done(job), layout.job_context(job)];
        jobs.chunks(JOBS_AT_ONCE)
            .map(|some| Query::keys(some.iter().flat_map(keys)))
            .collect()
    }

    /// Takes off the payloads of jobs that are not final, and those that final ones name.
    ///
    /// # Errors
    /// A record cannot be read: it may name anything, so nothing may be deleted.
    pub fn see_jobs(&mut self, layout: &Layout, found: &Snapshot) -> Result<(), RecordError> {
        let mut error = None;
        self.payloads.retain(|job, names| {
            if found.records.contains_key(&layout.job_context(job)) {
                return false;
            }
            let key = layout.done(job);
            if let Some(stored) = found.records.get(&key) {
                match decode::<JobRecord>(&key, "a final job", stored) {
                    Ok(job) => {
                        for name in payloads(&job.value) {
                            names.remove(name);
                        }
                    }
                    Err(damaged) => error = Some(damaged),
                }
            }
            !names.is_empty()
        });
        error.map_or(Ok(()), Err)
    }

    /// Takes off what the binaries in this folder name.
    ///
    /// # Errors
    /// As for [`Self::see_jobs`].
    pub fn see_binaries(&mut self, folder: &Key, found: &Snapshot) -> Result<(), RecordError> {
        for (key, stored) in found.in_folder(folder) {
            let binary = decode::<BinaryRecord>(key, "a binary", stored)?.value;
            for version in binary.versions {
                self.binaries.remove(&version.hash);
            }
        }
        Ok(())
    }

    /// Takes off what the jobs in this folder, which are not final, have in their class paths.
    ///
    /// # Errors
    /// As for [`Self::see_jobs`].
    pub fn see_live(&mut self, folder: &Key, found: &Snapshot) -> Result<(), RecordError> {
        for (key, stored) in found.in_folder(folder) {
            let job = decode::<JobRecord>(key, "a job", stored)?.value;
            self.payloads.remove(&job.id);
            for hash in job
                .class_path
                .iter()
                .filter_map(|entry| entry.hash.as_ref())
            {
                self.binaries.remove(hash);
            }
        }
        Ok(())
    }
}

/// A hash as binaries are named by: the predecessor leaves leading zeros out.
fn is_hash(name: &str) -> bool {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (32..=64).contains(&name.len()) && name.bytes().all(is_hex)
}

/// The objects that a job's record names.
pub(crate) fn payloads(job: &JobRecord) -> impl Iterator<Item = &String> {
    let both = [Some(&job.config), job.result.as_ref()];
    both.into_iter().flatten().filter_map(|one| match one {
        Payload::Inline(_) => None,
        Payload::Object(name) => Some(name),
    })
}

#[cfg(test)]
mod tests;
