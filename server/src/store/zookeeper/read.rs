//! A query as a barrier round: `sync`, then reads behind it on the same connection (protocol.md B2).

use super::clock;
use super::node::{decode, record_name};
use super::session::Link;
use doyen_core::records::key::Key;
use doyen_core::records::transaction::{
    FOLDER_RECORDS_MAX, Page, PageRoom, Query, Snapshot, Stored, Version,
};
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream;
use std::collections::BTreeMap;
use zookeeper_client::{Error, MultiReadResult};

/// Records asked for in one request.
const BATCH: usize = 64;
/// The same of a page, which may end early.
const PAGE_BATCH: usize = 16;
/// Requests of one folder under way at once.
const BATCHES_AT_ONCE: usize = 4;

/// Why a read gave nothing.
#[derive(Debug)]
pub(super) enum ReadError {
    /// The connection or session broke: ask again.
    Broken(String),
    /// Asking again gives the same.
    Refused(String),
}

impl From<Error> for ReadError {
    fn from(error: Error) -> Self {
        match error {
            Error::NoAuth => Self::Refused(
                "ZooKeeper says that we may not read: another user made this store; \
                 give the digest of that user"
                    .to_owned(),
            ),
            Error::BadArguments(_) | Error::Unimplemented => Self::Refused(error.to_string()),
            other => Self::Broken(other.to_string()),
        }
    }
}

/// Reads what the query names, behind everything that was answered before.
pub(super) async fn read(link: &Link, query: &Query) -> Result<Snapshot, ReadError> {
    let mut snapshot = Snapshot {
        stamp: link.clock.now(),
        ..Snapshot::default()
    };
    // All of these go out at once, in this order; ZooKeeper answers a session in order.
    let barrier = link.client.sync(link.root.path());
    let keys: Vec<Key> = query.keys.iter().cloned().collect();
    let single = join_all(keys.chunks(BATCH).map(|keys| batch(link, keys)));
    let folders: Vec<&Key> = query.folders.iter().chain(query.pages.keys()).collect();
    let paths: Vec<String> = folders.iter().map(|key| link.root.folder(key)).collect();
    let lists: Vec<_> = paths
        .iter()
        .map(|path| link.client.list_children(path))
        .collect();
    barrier.await?;
    for found in single.await {
        snapshot.records.extend(found?);
    }
    let mut children: BTreeMap<&Key, Vec<String>> = BTreeMap::new();
    for (folder, list) in folders.into_iter().zip(join_all(lists).await) {
        children.insert(folder, names(list)?);
    }
    for folder in &query.folders {
        let names = children.get(folder).map_or(&[][..], Vec::as_slice);
        whole(link, folder, names, &mut snapshot).await?;
    }
    let mut room = PageRoom::default();
    for (folder, page) in &query.pages {
        let names = children.get(folder).map_or(&[][..], Vec::as_slice);
        part(link, folder, page, names, &mut room, &mut snapshot).await?;
    }
    Ok(snapshot)
}

/// The names of the records of a folder, in order; a folder that is not there has none.
fn names(list: Result<Vec<String>, Error>) -> Result<Vec<String>, ReadError> {
    let list = match list {
        Ok(list) => list,
        Err(Error::NoNode) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let records = list.iter().filter_map(|name| record_name(name));
    let mut names: Vec<String> = records.map(str::to_owned).collect();
    names.sort_unstable();
    Ok(names)
}

async fn whole(
    link: &Link,
    folder: &Key,
    names: &[String],
    snapshot: &mut Snapshot,
) -> Result<(), ReadError> {
    if names.len() > FOLDER_RECORDS_MAX {
        return Err(ReadError::Refused(format!(
            "folder `{folder}` has {} records, over the bound of {FOLDER_RECORDS_MAX}",
            names.len()
        )));
    }
    let keys: Vec<Key> = names.iter().map(|name| folder.child(name)).collect();
    let mut batches = stream::iter(keys.chunks(BATCH).map(<[Key]>::to_vec))
        .map(|keys| async move { batch(link, &keys).await })
        .buffered(BATCHES_AT_ONCE);
    while let Some(found) = batches.next().await {
        snapshot.records.extend(found?);
    }
    Ok(())
}

async fn part(
    link: &Link,
    folder: &Key,
    page: &Page,
    names: &[String],
    room: &mut PageRoom,
    snapshot: &mut Snapshot,
) -> Result<(), ReadError> {
    let most = page.records.max(1);
    let behind = names.partition_point(|name| *name <= page.after);
    let keys: Vec<Key> = names[behind..]
        .iter()
        .map(|name| folder.child(name))
        .collect();
    let mut taken = 0;
    for keys in keys.chunks(PAGE_BATCH) {
        if taken == most {
            snapshot.more.insert(folder.clone());
            return Ok(());
        }
        for (key, stored) in batch(link, keys).await? {
            if taken == most || !room.takes(key.name(), &stored.value) {
                snapshot.more.insert(folder.clone());
                return Ok(());
            }
            snapshot.records.insert(key, stored);
            taken += 1;
        }
    }
    Ok(())
}

/// Those of these records that are there, in the given order. The request goes out at the call.
fn batch<'a>(
    link: &'a Link,
    keys: &[Key],
) -> impl Future<Output = Result<Vec<(Key, Stored)>, ReadError>> + Send + use<'a> {
    let keys = keys.to_vec();
    let mut reader = link.client.new_multi_reader();
    let mut bad = None;
    for key in &keys {
        if let Err(error) = reader.add_get_data(&link.root.record(key)) {
            bad = Some(ReadError::Refused(format!("record `{key}`: {error}")));
        }
    }
    let answer = bad.is_none().then(|| reader.commit());
    async move {
        let results = match (answer, bad) {
            (Some(answer), _) => answer.await?,
            (None, Some(bad)) => return Err(bad),
            (None, None) => Vec::new(),
        };
        let mut found = Vec::with_capacity(keys.len());
        for (key, result) in keys.into_iter().zip(results) {
            match result {
                MultiReadResult::Data { data, stat } => {
                    let (written_by, value) = decode(data);
                    let stored = Stored {
                        value,
                        version: Version(stat.version.cast_unsigned()),
                        created: clock::stamp(stat.ctime),
                        modified: clock::stamp(stat.mtime),
                        written_by,
                    };
                    found.push((key, stored));
                }
                MultiReadResult::Error { err: Error::NoNode } => {}
                MultiReadResult::Error { err } => return Err(err.into()),
                _ => {
                    return Err(ReadError::Broken("ZooKeeper mixed up its answers".into()));
                }
            }
        }
        Ok(found)
    }
}
