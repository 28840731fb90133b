//! The seam for effects outside the cluster: driver processes, engines.

use async_trait::async_trait;
use doyen_core::input::EffectReport;
use doyen_core::output::Effect;
use tokio::sync::mpsc;

/// Carries out effects. Reports come through the channel, in their own time, zero or more for each
/// effect.
#[async_trait]
pub trait Launcher: Send + Sync + 'static {
    /// Begins an effect; returns at once. What becomes of it is sent to `reports`.
    async fn begin(&self, effect: Effect, reports: mpsc::Sender<EffectReport>);
}
