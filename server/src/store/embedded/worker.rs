//! The thread that owns the database: what waits together is done together and synced once.

use super::StoreError;
use super::database::Database;
use super::frame::{ANSWER_BYTES_MAX, Answer, encode};
use doyen_core::records::key::Key;
use doyen_core::records::transaction::{
    CommitOutcome, Query, ReadOutcome, TRANSACTION_BYTES_MAX, Transaction,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::{broadcast, mpsc};

/// An encoded frame, shared by all connections that it goes to.
pub(super) type Frame = Arc<[u8]>;

/// Requests that wait for the thread; more wait in their connections.
pub(super) const JOBS_MAX: usize = 1024;
/// Jobs of one group: bounds what the first of them waits for.
const GROUP_JOBS_MAX: usize = 256;
/// Bytes of one group, likewise.
const GROUP_BYTES_MAX: usize = 4 * TRANSACTION_BYTES_MAX;
/// Changes that are told one by one; more become "everything".
const CHANGES_MAX: usize = 512;
/// Groups after which the WAL is moved into the database as soon as nobody waits.
const CHECKPOINT_AFTER: usize = 256;

/// One request and where its answer goes.
pub(super) struct Job {
    pub(super) id: u64,
    pub(super) work: Work,
    /// Has room for every request that its connection has open.
    pub(super) reply: mpsc::Sender<Vec<u8>>,
}

/// What is asked.
pub(super) enum Work {
    Commit(Transaction),
    Read(Query),
}

/// Serves jobs until nobody can send one any more, or the database cannot be relied on.
pub(super) fn run(
    mut database: Database,
    mut jobs: mpsc::Receiver<Job>,
    events: &broadcast::Sender<Frame>,
) -> Result<(), StoreError> {
    let mut groups = 0;
    loop {
        if groups >= CHECKPOINT_AFTER && jobs.is_empty() {
            database.checkpoint();
            groups = 0;
        }
        let Some(first) = jobs.blocking_recv() else {
            return Ok(());
        };
        let (reads, commits) = gather(first, &mut jobs);
        // Reads go first: whatever was answered before them is in the database already.
        for (id, query, reply) in reads {
            answer_read(id, database.read(&query), &reply);
        }
        if !commits.is_empty() {
            groups += 1;
            commit(&mut database, &commits, events)?;
        }
    }
}

type Reads = Vec<(u64, Query, mpsc::Sender<Vec<u8>>)>;
type Commits = Vec<(u64, Transaction, mpsc::Sender<Vec<u8>>)>;

/// What waits now, up to the bounds of a group.
fn gather(first: Job, jobs: &mut mpsc::Receiver<Job>) -> (Reads, Commits) {
    let (mut reads, mut commits, mut bytes) = (Vec::new(), Vec::new(), 0);
    let mut next = Some(first);
    while let Some(job) = next {
        match job.work {
            Work::Read(query) => reads.push((job.id, query, job.reply)),
            Work::Commit(transaction) => {
                bytes += transaction.encoded_bytes();
                commits.push((job.id, transaction, job.reply));
            }
        }
        let room = reads.len() + commits.len() < GROUP_JOBS_MAX && bytes < GROUP_BYTES_MAX;
        next = if room { jobs.try_recv().ok() } else { None };
    }
    (reads, commits)
}

fn commit(
    database: &mut Database,
    commits: &Commits,
    events: &broadcast::Sender<Frame>,
) -> Result<(), StoreError> {
    let transactions: Vec<_> = commits
        .iter()
        .map(|(_, transaction, _)| transaction)
        .collect();
    let group = database.commit(&transactions);
    // Before the answers: see `Answer::Changed`. Nobody may be listening.
    if let Some(event) = event(group.changed) {
        let _ = events.send(event);
    }
    for ((id, _, reply), outcome) in commits.iter().zip(group.outcomes) {
        answer_commit(*id, outcome, reply);
    }
    group.broken.map_or(Ok(()), Err)
}

fn event(changed: BTreeSet<Key>) -> Option<Frame> {
    let answer = match changed.len() {
        0 => return None,
        1..=CHANGES_MAX => Answer::Changed {
            keys: changed.into_iter().collect(),
        },
        _ => Answer::ChangedEverything,
    };
    let frame = encode(&answer, ANSWER_BYTES_MAX).or_else(|_| {
        // Keys may be long; "everything" always fits.
        encode(&Answer::ChangedEverything, ANSWER_BYTES_MAX)
    });
    frame.ok().map(Frame::from)
}

fn answer_commit(id: u64, outcome: CommitOutcome, reply: &mpsc::Sender<Vec<u8>>) {
    if let Ok(frame) = encode(&Answer::Committed { id, outcome }, ANSWER_BYTES_MAX) {
        // A connection that is gone has no use for it.
        let _ = reply.try_send(frame);
    }
}

fn answer_read(id: u64, outcome: ReadOutcome, reply: &mpsc::Sender<Vec<u8>>) {
    let frame = encode(&Answer::Read { id, outcome }, ANSWER_BYTES_MAX);
    let frame = frame.or_else(|e| {
        let reason = format!("the answer is too large: {e}");
        let outcome = ReadOutcome::Failed { reason };
        encode(&Answer::Read { id, outcome }, ANSWER_BYTES_MAX)
    });
    if let Ok(frame) = frame {
        let _ = reply.try_send(frame);
    }
}
