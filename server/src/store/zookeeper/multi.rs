//! A transaction as one `multi` of ZooKeeper, and its answer as an outcome.

use super::clock;
use super::node::{CLOCK, encode};
use super::session::Link;
use doyen_core::records::transaction::{CommitOutcome, Operation, Transaction, Version};
use doyen_core::time::Stamp;
use futures_util::future::join_all;
use std::collections::BTreeSet;
use zookeeper_client::{CreateMode, Error, MultiWriteError, MultiWriteResult, MultiWriter};

/// How often a transaction is sent when folders that were there are gone meanwhile.
const ROUNDS_MAX: usize = 4;

/// Carries out a transaction. `is_wanted`: somebody still waits for it.
pub(super) async fn commit(
    link: &Link,
    transaction: &Transaction,
    is_wanted: impl Fn() -> bool,
) -> CommitOutcome {
    for _ in 0..ROUNDS_MAX {
        if !is_wanted() {
            // Nothing of it was carried out, but the caller was told "unknown" by now.
            return CommitOutcome::Unknown;
        }
        match round(link, transaction).await {
            Round::Done(outcome) => return outcome,
            Round::FolderMissing => link.folders.forget(&parents(link, transaction)),
        }
    }
    not_sent(
        "folders of ZooKeeper vanish as fast as they are made: does another program clean up there?",
    )
}

enum Round {
    Done(CommitOutcome),
    /// Nothing was done: a folder is not there, though it was made or seen before.
    FolderMissing,
}

async fn round(link: &Link, transaction: &Transaction) -> Round {
    let (writer, plan) = match plan(link, transaction) {
        Ok(planned) => planned,
        Err(reason) => return Round::Done(CommitOutcome::NotSent { reason }),
    };
    // Requests go out in this order, at the calls and not at the awaits, and ZooKeeper keeps it: the
    // folders are there when the transaction comes, without a round of their own.
    let parents: Vec<String> = parents(link, transaction)
        .into_iter()
        .filter(|path| !link.folders.knows(path))
        .collect();
    let options = CreateMode::Container.with_acls(link.acls());
    let made: Vec<_> = parents
        .iter()
        .map(|path| link.client.create(path, b"", &options))
        .collect();
    let mut writer = writer;
    let committed = writer.commit();
    let made = join_all(made).await;
    let outcome = committed.await;
    for (path, made) in parents.iter().zip(made) {
        match made {
            Ok(_) | Err(Error::NodeExists) => link.folders.learn(path),
            Err(Error::NoAuth) => return Round::Done(no_rights(path)),
            Err(_) => {}
        }
    }
    plan.judge(link, outcome)
}

fn parents(link: &Link, transaction: &Transaction) -> BTreeSet<String> {
    let makes = transaction.operations.iter().filter(|operation| {
        matches!(
            operation,
            Operation::Create { .. } | Operation::CheckAbsent { .. }
        )
    });
    makes
        .flat_map(|operation| link.root.parents(operation.key()))
        .collect()
}

/// What each operation of the `multi` is of.
struct Plan {
    /// The index of our operation; `None` for the write of the clock.
    of: Vec<Option<usize>>,
    /// Operations that fail with "no node" only if a folder is missing.
    makes: Vec<bool>,
}

fn plan<'a>(link: &'a Link, transaction: &Transaction) -> Result<(MultiWriter<'a>, Plan), String> {
    let mut writer = link.client.new_multi_writer();
    let mut plan = Plan {
        of: Vec::new(),
        makes: Vec::new(),
    };
    let mut is_stamped = false;
    for (index, operation) in transaction.operations.iter().enumerate() {
        add(link, &mut writer, transaction, operation)
            .map_err(|reason| format!("record `{}`: {reason}", operation.key()))?;
        let makes = matches!(
            operation,
            Operation::Create { .. } | Operation::CheckAbsent { .. }
        );
        let steps = if matches!(operation, Operation::CheckAbsent { .. }) {
            2
        } else {
            1
        };
        for _ in 0..steps {
            plan.of.push(Some(index));
            plan.makes.push(makes);
        }
        is_stamped |= matches!(operation, Operation::Create { .. } | Operation::Put { .. });
    }
    if !is_stamped {
        // Guards and deletions bring no stamp: the clock's node does.
        let path = link.root.own(CLOCK);
        writer
            .add_set_data(&path, b"", None)
            .map_err(|e| e.to_string())?;
        plan.of.push(None);
        plan.makes.push(false);
    }
    Ok((writer, plan))
}

fn add(
    link: &Link,
    writer: &mut MultiWriter<'_>,
    transaction: &Transaction,
    operation: &Operation,
) -> Result<(), String> {
    let path = link.root.record(operation.key());
    let options = CreateMode::Persistent.with_acls(link.acls());
    let data = |value: &str| {
        encode(&transaction.id, value)
            .ok_or_else(|| "the transaction's id has more than one line".to_owned())
    };
    let added = match operation {
        Operation::Check { version, .. } => writer.add_check_version(&path, number(*version)?),
        Operation::CheckAbsent { .. } => writer
            .add_create(&path, b"", &options)
            .and_then(|()| writer.add_delete(&path, None)),
        Operation::Create { value, .. } => writer.add_create(&path, &data(value)?, &options),
        Operation::Put { value, version, .. } => {
            writer.add_set_data(&path, &data(value)?, version.map(number).transpose()?)
        }
        Operation::Delete { version, .. } => {
            writer.add_delete(&path, version.map(number).transpose()?)
        }
    };
    added.map_err(|error| error.to_string())
}

/// A version as ZooKeeper counts it; negative ones would mean "any".
fn number(version: Version) -> Result<i32, String> {
    i32::try_from(version.0).map_err(|_| format!("version {} is over the bound", version.0))
}

impl Plan {
    fn judge(&self, link: &Link, outcome: Result<Vec<MultiWriteResult>, MultiWriteError>) -> Round {
        let (index, source) = match outcome {
            Ok(results) => {
                let stamp = stamp_of(&results).unwrap_or_else(|| link.clock.now());
                link.clock.stamped(stamp);
                return Round::Done(CommitOutcome::Committed { stamp });
            }
            Err(MultiWriteError::RequestFailed { source }) => {
                return Round::Done(failed(&source));
            }
            Err(MultiWriteError::OperationFailed { index, source }) => (index, source),
        };
        let makes = self.makes.get(index).copied().unwrap_or(false);
        match (source, self.of.get(index)) {
            (Error::NoNode, Some(_)) if makes => Round::FolderMissing,
            (
                Error::NoNode | Error::NodeExists | Error::BadVersion | Error::NotEmpty,
                Some(Some(operation)),
            ) => Round::Done(CommitOutcome::Refused {
                operation: *operation,
            }),
            (source, _) => Round::Done(failed(&source)),
        }
    }
}

fn stamp_of(results: &[MultiWriteResult]) -> Option<Stamp> {
    results.iter().find_map(|result| match result {
        MultiWriteResult::Create { stat, .. } | MultiWriteResult::SetData { stat }
            if !stat.is_invalid() =>
        {
            Some(clock::stamp(stat.mtime))
        }
        _ => None,
    })
}

/// The outcome of a transaction that failed as a whole: certain only where ZooKeeper said that it
/// did not take it.
fn failed(error: &Error) -> CommitOutcome {
    match error {
        Error::NoAuth => no_rights("a node of this transaction"),
        Error::InvalidAcl
        | Error::QuotaExceeded
        | Error::Throttled
        | Error::Unimplemented
        | Error::NotReadOnly
        | Error::NoChildrenForEphemerals
        | Error::BadArguments(_) => not_sent(&format!("ZooKeeper took nothing: {error}")),
        _ => CommitOutcome::Unknown,
    }
}

fn no_rights(path: &str) -> CommitOutcome {
    not_sent(&format!(
        "ZooKeeper says that we may not write {path}: another user made it; give the \
         digest of that user"
    ))
}

fn not_sent(reason: &str) -> CommitOutcome {
    CommitOutcome::NotSent {
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_zookeeper_certainly_did_not_take_is_not_sent() {
        for (error, sent) in [
            (Error::NoAuth, false),
            (Error::QuotaExceeded, false),
            (Error::Throttled, false),
            (Error::ConnectionLoss, true),
            (Error::SessionExpired, true),
            (Error::SessionMoved, true),
            (Error::ClientClosed, true),
            (Error::Timeout, true),
            (Error::UnexpectedErrorCode(-7), true),
        ] {
            let is_unknown = failed(&error) == CommitOutcome::Unknown;
            assert_eq!(is_unknown, sent, "{error:?}");
        }
    }

    #[test]
    fn a_version_that_would_mean_any_is_refused() {
        assert_eq!(number(Version(7)), Ok(7));
        assert!(number(Version(u32::MAX)).is_err());
    }
}
