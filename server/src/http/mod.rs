//! The HTTP interface: rest-api.md, byte-compatible with the predecessor, and design.md 8.
//!
//! Writes of contexts and jobs go through the [`Gateway`], where core decides; reads go to the
//! store, which answers with a barrier (protocol.md B2). Nothing is decided here but what a request
//! asks and how an answer reads.
//!
//! [`router`] makes the service, [`serve`] the accept loop with its time limits.

mod binaries;
mod body;
mod cache;
mod cluster;
mod context_settings;
mod contexts;
mod dispatch;
mod format;
mod gateway;
mod guard;
mod idempotency;
mod job_config;
mod job_list;
mod job_request;
mod jobs;
mod reader;
mod reply;
mod request;
mod server;
mod settings;
mod stall;
mod submit;
mod upload;

#[cfg(test)]
mod tests;

pub use gateway::Gateway;
pub use server::{Peer, ServeLimits, serve, serve_with};
pub use settings::{HttpSettings, ParseBody};

use axum::Router;
use cache::AnswerCache;
use doyen_runtime::store::{BinaryDao, MetaDataDao};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// What the HTTP interface stands on.
pub struct Http {
    /// Where writes of contexts and jobs go, and what knows the cluster.
    pub gateway: Arc<dyn Gateway>,
    /// Where records are read.
    pub metadata: Arc<dyn MetaDataDao>,
    /// Where binaries and large payloads lie.
    pub binaries: Arc<dyn BinaryDao>,
    /// Bounds, times and defaults.
    pub settings: HttpSettings,
}

/// The state that all handlers share.
pub(crate) struct App {
    pub(crate) gateway: Arc<dyn Gateway>,
    pub(crate) metadata: Arc<dyn MetaDataDao>,
    pub(crate) binaries: Arc<dyn BinaryDao>,
    pub(crate) settings: HttpSettings,
    /// The last answers to reads, for while the store is away (protocol.md B3).
    pub(crate) answers: AnswerCache,
    /// Kibibytes of text bodies that may be in memory at once, over all requests.
    pub(crate) body_budget: Arc<Semaphore>,
}

/// The service: every route of rest-api.md that is built, and `/livez`, `/readyz`, `/cluster`.
///
/// Paths are matched by hand, since names are percent-decoded once and may hold slashes
/// (rest-api.md 1.7), and since 404, 405 and `_method` have answers of their own (1.4, 1.6).
pub fn router(http: Http) -> Router {
    let budget = body::budget_kib(&http.settings);
    let app = Arc::new(App {
        gateway: http.gateway,
        metadata: http.metadata,
        binaries: http.binaries,
        settings: http.settings,
        answers: AnswerCache::default(),
        body_budget: Arc::new(Semaphore::new(budget)),
    });
    Router::new().fallback(dispatch::answer).with_state(app)
}
