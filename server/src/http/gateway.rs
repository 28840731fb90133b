//! The seam to the process that decides.

use async_trait::async_trait;
use doyen_core::identity::JobId;
use doyen_core::input::{NewCall, NewJob};
use doyen_core::output::Answer;
use doyen_core::process::ClusterView;
use std::sync::Arc;

/// Hands requests to core and waits for its answers. Dropping a future means that the client is
/// gone; what was asked goes on.
#[async_trait]
pub trait Gateway: Send + Sync + 'static {
    /// A call that changes contexts (protocol.md C).
    async fn call(&self, call: NewCall) -> Answer;

    /// A job (protocol.md J1).
    async fn submit(&self, job: NewJob) -> Answer;

    /// The end of a job.
    async fn kill(&self, job: JobId) -> Answer;

    /// What the process knows of the cluster; cheap.
    fn view(&self) -> Arc<ClusterView>;

    /// Leave the cluster in order and stop (protocol.md S3).
    fn leave(&self);
}
