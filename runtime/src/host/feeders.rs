//! The tasks beside the host's: they follow the store and begin effects.

use crate::launcher::Launcher;
use crate::platform::sleep;
use crate::store::MetaDataDao;
use doyen_core::input::EffectReport;
use doyen_core::output::Effect;
use doyen_core::records::transaction::Change;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;

/// The pause before the store's watch is set again.
const WATCH_PAUSE: Duration = Duration::from_millis(500);
/// The pause before the store's id is asked again; nobody can be dialled until it is known.
const ID_PAUSE: Duration = Duration::from_millis(100);

/// Follows the store's changes; sets the watch again when it ends.
pub(super) async fn watch_store(metadata: Arc<dyn MetaDataDao>, changes: mpsc::Sender<Change>) {
    loop {
        let mut stream = metadata.watch().await;
        while let Some(change) = stream.next().await {
            if changes.send(change).await.is_err() {
                return;
            }
        }
        tracing::warn!("the store's watch ended: it is set again");
        sleep(WATCH_PAUSE).await;
    }
}

/// Asks the store who it is until it says (F7).
pub(super) async fn ask_store_id(metadata: Arc<dyn MetaDataDao>, found: mpsc::Sender<String>) {
    loop {
        if let Some(id) = metadata.store_id().await {
            let _ = found.send(id).await;
            // The host listens to this channel for ever; keep it open.
            return std::future::pending().await;
        }
        sleep(ID_PAUSE).await;
    }
}

/// Begins effects in the order in which they were decided.
pub(super) async fn launch(
    launcher: Arc<dyn Launcher>,
    mut effects: mpsc::UnboundedReceiver<Effect>,
    reports: mpsc::Sender<EffectReport>,
) {
    while let Some(effect) = effects.recv().await {
        launcher.begin(effect, reports.clone()).await;
    }
}
