//! `GET /jobs` (rest-api.md 6.1): live jobs of all live contexts, then final ones hour by hour.

use super::App;
use super::jobs::JobReport;
use super::reader::records;
use super::reply::{self, Failure, Outcome};
use super::request::Params;
use axum::http::StatusCode;
use doyen_core::identity::ContextId;
use doyen_core::records::context::ContextRecord;
use doyen_core::records::job::{JobRecord, JobState};
use doyen_core::records::transaction::Query;
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

/// How many jobs are listed without `limit`.
const LIMIT_DEFAULT: usize = 50;
/// The most jobs of one answer, whatever `limit` says.
const LIMIT_MAX: usize = 10_000;
/// How many contexts' jobs one read asks for.
const CONTEXTS_PER_READ: usize = 100;
/// How many hours of history one read asks for at most; a list that is filled early reads less.
const HOURS_PER_READ_MAX: u64 = 24;

/// Lists jobs, newest start first.
pub(crate) async fn list(app: &App, query: &Params) -> Outcome {
    let limit = query.integer("limit")?.map_or(LIMIT_DEFAULT, |limit| {
        usize::try_from(limit).unwrap_or(0).min(LIMIT_MAX)
    });
    let status = query.get("status").map(str::to_uppercase);
    let wanted = |job: &JobRecord| {
        let listed = !matches!(job.state, JobState::Submitted | JobState::Refused { .. });
        listed && status.as_ref().is_none_or(|s| s == job.state.name())
    };
    // Live ones first: a job that becomes final between the two reads is seen twice, never missed.
    let mut chosen = BTreeMap::new();
    for job in live(app).await? {
        chosen.insert(job.id.clone(), job);
    }
    if !history_has_none(status.as_deref()) {
        add_final(app, limit, &wanted, &mut chosen).await?;
    }
    let mut jobs: Vec<JobRecord> = chosen.into_values().filter(|job| wanted(job)).collect();
    jobs.sort_by(|a, b| (b.started, &b.id).cmp(&(a.started, &a.id)));
    let reports: Vec<JobReport> = jobs.iter().take(limit).map(JobReport::of).collect();
    Ok(reply::json(StatusCode::OK, &reports))
}

/// Whether no final job can have this status, so that history need not be read: who was live with
/// it a moment ago is shown as it was then.
fn history_has_none(status: Option<&str>) -> bool {
    status.is_some_and(|status| !matches!(status, "FINISHED" | "ERROR" | "KILLED"))
}

/// The jobs that are not final, of all contexts that are not final.
pub(crate) async fn live(app: &App) -> Result<Vec<JobRecord>, Failure> {
    let layout = app.layout()?;
    let folder = layout.contexts();
    let query = Query::default().with_folder(folder.clone());
    let snapshot = app.read(query).await?;
    let contexts: Vec<ContextId> = records::<ContextRecord>(&snapshot, &folder, "a context")
        .into_iter()
        .map(|context| context.id)
        .collect();
    let mut jobs = Vec::new();
    for some in contexts.chunks(CONTEXTS_PER_READ) {
        let folders: Vec<_> = some.iter().map(|id| layout.jobs(id)).collect();
        let query = folders
            .iter()
            .cloned()
            .fold(Query::default(), Query::with_folder);
        let snapshot = app.read(query).await?;
        for folder in &folders {
            jobs.extend(records::<JobRecord>(&snapshot, folder, "a job"));
        }
    }
    Ok(jobs)
}

/// Adds final jobs, newest hours first, until `limit` wanted ones are there or the retention is
/// over. Each read asks for twice as many hours as the one before.
async fn add_final(
    app: &App,
    limit: usize,
    wanted: &impl Fn(&JobRecord) -> bool,
    chosen: &mut BTreeMap<doyen_core::identity::JobId, JobRecord>,
) -> Result<(), Failure> {
    let layout = app.layout()?;
    let kept = app.settings.retention.as_secs().div_ceil(3600) + 1;
    // Ids are made by servers' clocks: an hour ahead of ours is asked for, too.
    let newest = this_hour().saturating_add(1);
    let oldest = newest.saturating_sub(kept + 1);
    let mut next = newest;
    let mut hours = 2;
    let mut found = 0;
    while found < limit && next > oldest {
        let last = next.saturating_sub(hours).max(oldest);
        let folders: Vec<_> = (last + 1..=next)
            .rev()
            .map(|hour| layout.hour("done", hour))
            .collect();
        let query = folders
            .iter()
            .cloned()
            .fold(Query::default(), Query::with_folder);
        let snapshot = app.read(query).await?;
        let mut batch: Vec<JobRecord> = Vec::new();
        for folder in &folders {
            batch.extend(records::<JobRecord>(&snapshot, folder, "a job"));
        }
        for job in batch {
            let fits = wanted(&job);
            let live_before = chosen.contains_key(&job.id);
            if fits || live_before {
                found += usize::from(fits);
                chosen.insert(job.id.clone(), job);
            }
        }
        next = last;
        hours = (hours * 2).min(HOURS_PER_READ_MAX);
    }
    Ok(())
}

fn this_hour() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() / 3600)
}
