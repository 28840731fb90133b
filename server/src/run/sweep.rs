//! The sweep of the binary store: the holder deletes objects that no record names.
//!
//! What may go is decided in [`doyen_core::records::orphans`]; this lists objects, reads records
//! and waits. A round takes a bounded number of objects and reads records page by page. Two
//! holders that sweep at once do no harm: what may go does not depend on who asks.

use doyen_core::identity::ContextId;
use doyen_core::records::context::ContextRecord;
use doyen_core::records::decode;
use doyen_core::records::key::{Key, Layout};
use doyen_core::records::orphans::{LOOK_AGAIN_AFTER, Suspects, UNNAMED_AFTER};
use doyen_core::records::transaction::{Query, ReadOutcome, Snapshot};
use doyen_runtime::host::HostHandle;
use doyen_runtime::store::{BinaryDao, MetaDataDao};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// The first sweep of a tenure, which is not urgent.
const FIRST_AFTER: Duration = Duration::from_secs(600);
/// The pause between two rounds of a sweep.
const PACE: Duration = Duration::from_secs(60);
/// The pause before a round that was given up is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(3_600);
/// The pause between two sweeps.
const EVERY: Duration = Duration::from_secs(24 * 3_600);
/// Old objects that one round looks for names of, so many pages of objects at most.
const ROUND_OBJECTS_MAX: usize = 2_000;
const ROUND_PAGES_MAX: usize = 20;
/// Records that are read at once.
const PAGE_RECORDS: usize = 500;

/// Why a round was given up; nothing was deleted that may not be.
type Given<T> = Result<T, String>;

/// Where the objects and the records lie.
pub(super) struct Sweeper {
    metadata: Arc<dyn MetaDataDao>,
    binaries: Arc<dyn BinaryDao>,
    /// The time between the two looks.
    look_again_after: Duration,
}

/// Sweeps while this server holds the office, for ever.
pub(super) async fn sweep(sweeper: Sweeper, handle: HostHandle) {
    loop {
        sleep(FIRST_AFTER).await;
        let mut after = None;
        while let Some(layout) = office(&handle) {
            match sweeper
                .round(&layout, after.clone(), || office(&handle))
                .await
            {
                Ok(Some(next)) => after = Some(next),
                Ok(None) => {
                    sleep(EVERY).await;
                    break;
                }
                Err(reason) => {
                    tracing::warn!("objects that no record names are left for now: {reason}");
                    sleep(AGAIN_AFTER).await;
                }
            }
            sleep(PACE).await;
        }
    }
}

/// The cluster's layout while this server is the holder.
fn office(handle: &HostHandle) -> Option<Layout> {
    let view = handle.view();
    let is_holder = view.holder.as_ref() == Some(&view.identity);
    view.cluster.as_ref().filter(|_| is_holder).map(Layout::new)
}

impl Sweeper {
    pub(super) fn new(metadata: Arc<dyn MetaDataDao>, binaries: Arc<dyn BinaryDao>) -> Self {
        Self {
            metadata,
            binaries,
            look_again_after: LOOK_AGAIN_AFTER,
        }
    }

    /// One round: where the next one begins, `None` after the last object.
    async fn round(
        &self,
        layout: &Layout,
        after: Option<String>,
        office: impl Fn() -> Option<Layout>,
    ) -> Given<Option<String>> {
        let (old, next) = self.old_objects(after).await?;
        let suspects = self.unnamed(layout, old).await?;
        if !suspects.is_empty() {
            sleep(self.look_again_after).await;
            if office().is_none() {
                return Ok(None);
            }
            self.delete(layout, suspects).await?;
        }
        Ok(next)
    }

    /// Objects that are old enough, and where the next ones begin.
    async fn old_objects(&self, mut after: Option<String>) -> Given<(Vec<String>, Option<String>)> {
        let mut old = Vec::new();
        for _ in 0..ROUND_PAGES_MAX {
            let page = self.binaries.page(after.as_deref()).await;
            let page = page.map_err(|error| error.to_string())?;
            let is_old = |(name, age): (String, Duration)| (age >= UNNAMED_AFTER).then_some(name);
            old.extend(page.objects.into_iter().filter_map(is_old));
            after = page.next;
            if after.is_none() || old.len() >= ROUND_OBJECTS_MAX {
                break;
            }
        }
        Ok((old, after))
    }

    /// Those of the objects that no record names now.
    async fn unnamed(&self, layout: &Layout, objects: Vec<String>) -> Given<Vec<String>> {
        let mut left = Suspects::of(objects);
        for query in left.jobs(layout) {
            let found = self.read(query).await?;
            left.see_jobs(layout, &found).map_err(|e| e.to_string())?;
        }
        if left.is_empty() {
            return Ok(Vec::new());
        }
        let mut contexts: Vec<ContextId> = Vec::new();
        self.read_all(layout.contexts(), |folder, found| {
            for (key, stored) in found.in_folder(folder) {
                let context = decode::<ContextRecord>(key, "a context", stored);
                contexts.push(context.map_err(|e| e.to_string())?.value.id);
            }
            Ok(())
        })
        .await?;
        for context in contexts {
            self.read_all(layout.jobs(&context), |folder, found| {
                left.see_live(folder, found).map_err(|e| e.to_string())
            })
            .await?;
        }
        // Last: a job that was submitted meanwhile has what a binary's record names now.
        self.read_all(layout.binaries(), |folder, found| {
            left.see_binaries(folder, found).map_err(|e| e.to_string())
        })
        .await?;
        Ok(left.into_names().collect())
    }

    /// Deletes those that are still without a name, unless they are young again.
    async fn delete(&self, layout: &Layout, suspects: Vec<String>) -> Given<()> {
        let mut deleted = 0;
        for name in self.unnamed(layout, suspects).await? {
            match self.binaries.delete_older(&name, UNNAMED_AFTER).await {
                Ok(gone) => deleted += u32::from(gone),
                Err(error) => return Err(error.to_string()),
            }
        }
        if deleted > 0 {
            tracing::info!(deleted, "objects that no record names were deleted");
        }
        Ok(())
    }

    /// Reads a folder page by page.
    async fn read_all(
        &self,
        folder: Key,
        mut look: impl FnMut(&Key, &Snapshot) -> Given<()>,
    ) -> Given<()> {
        let mut next = Some(Query::default().with_page(folder.clone(), PAGE_RECORDS));
        while let Some(query) = next {
            let found = self.read(query.clone()).await?;
            look(&folder, &found)?;
            next = query.next_pages(&found);
            if next.is_none() && !found.more.is_empty() {
                return Err(format!("folder `{folder}` cannot be read to its end"));
            }
        }
        Ok(())
    }

    async fn read(&self, query: Query) -> Given<Snapshot> {
        match self.metadata.read(query).await {
            ReadOutcome::Snapshot(found) => Ok(found),
            ReadOutcome::Failed { reason } => Err(reason),
        }
    }
}

#[cfg(test)]
mod tests;
