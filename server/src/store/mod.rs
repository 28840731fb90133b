//! The real stores of metadata.

pub mod embedded;
pub mod zookeeper;

use doyen_core::records::transaction::Change;
use doyen_runtime::store::Changes;
use futures_util::stream::{self, StreamExt};
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

/// What a store tells from now on; whoever is too slow is told [`Change::Everything`]. A store says
/// that when it is reached too; if it `is_here` already, it is said here. Subscribed first: one too
/// many is harmless, one too few is not.
fn watch(changes: &broadcast::Sender<Change>, is_here: impl FnOnce() -> bool) -> Changes {
    let events = BroadcastStream::new(changes.subscribe());
    let events = events.map(|event| event.unwrap_or(Change::Everything));
    let first = is_here().then_some(Change::Everything);
    stream::iter(first).chain(events).boxed()
}
