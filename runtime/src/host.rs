//! The process host: the one task that owns a [`Process`](doyen_core::process::Process), tells it things and carries out what it
//! wants (design.md 7).
//!
//! ```text
//! leave, store answers, links and messages, store changes, effect reports, timer, requests
//!        │ one at a time, in that order of urgency
//!        ▼
//!    handle ─► poll_output … None ─► sockets, beats, store calls, launches, answers
//! ```
//!
//! Connections, store calls, launches and the beat are other tasks, which send inputs. No lock lies
//! around core.

mod calls;
mod decider;
mod events;
mod feeders;
mod handle;
mod task;

pub use decider::Decider;
pub use handle::HostHandle;

use crate::beat::BeatThread;
use crate::clock::Clock;
use crate::launcher::Launcher;
use crate::platform::{JoinHandle, spawn};
use crate::store::MetaDataDao;
use crate::transport::{BindError, Transport, TransportConfig};
use doyen_core::identity::{Address, Identity, Incarnation, Role};
use doyen_core::output::StopReason;
use doyen_core::time::Time;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Messages, beats and links that wait for core. Readers wait when it is full, so that peers wait
/// too; beats are dropped. At 10,000 inputs a second it holds less than the time of a store call.
const INBOX_EVENTS_MAX: usize = 4_096;

/// Makes the process of a life; the host draws the incarnation.
pub type MakeProcess<D> = Box<dyn FnMut(Identity, Time) -> D + Send>;

/// What a host needs.
pub struct HostParts<D> {
    /// Makes the process: once at the start, and once more for each fresh incarnation (F2).
    pub make: MakeProcess<D>,
    /// Where a server listens, this host only; a driver's host name and port 0.
    pub address: Address,
    /// The incarnation of the first life when it is given, as a driver's is by its launcher; drawn
    /// at random otherwise, and for every later life.
    pub incarnation: Option<Incarnation>,
    /// Servers listen, drivers only dial.
    pub role: Role,
    /// The cluster's name in the configuration.
    pub cluster_name: String,
    /// The store.
    pub metadata: Arc<dyn MetaDataDao>,
    /// Carries out effects.
    pub launcher: Arc<dyn Launcher>,
    /// The bound of one store call: `times.store_call` of the configuration.
    pub store_call: Duration,
}

/// Why a host cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The cluster port cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The beat thread cannot be started.
    #[error("cannot start the beat thread: {0}")]
    Beat(std::io::Error),
    /// The system gives no random numbers, so that no incarnation can be drawn.
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
}

/// Starts a process. The handle asks it things; the task ends when the process stops, with the
/// reason, after waiting requests were answered and queued messages were sent.
///
/// # Errors
/// The cluster port is in use, or the system gives no thread or no random numbers. Nothing runs
/// then.
pub async fn start<D: Decider>(
    mut parts: HostParts<D>,
) -> Result<(HostHandle, JoinHandle<StopReason>), StartError> {
    let clock = Clock::start();
    let identity = match parts.incarnation {
        Some(incarnation) => Identity::new(parts.address.clone(), incarnation),
        None => fresh_identity(&parts.address).map_err(StartError::Random)?,
    };
    let (events, transport_events) = mpsc::channel(INBOX_EVENTS_MAX);
    let config = TransportConfig {
        listen: (parts.role == Role::Server).then(|| parts.address.clone()),
        cluster_name: parts.cluster_name.clone(),
        store_id: None,
        identity: identity.clone(),
        role: parts.role,
    };
    let transport = Transport::bind(config, events).await?;
    let beat = BeatThread::start(&transport).map_err(StartError::Beat)?;
    let process = (parts.make)(identity.clone(), clock.now());
    let (task, inbox, handle) = task::Task::new(
        parts,
        process,
        task::Mechanism {
            clock,
            identity,
            transport,
            beat,
        },
        transport_events,
    );
    Ok((handle, spawn(task.run(inbox))))
}

/// A new life of this address (membership.md A).
fn fresh_identity(address: &Address) -> Result<Identity, getrandom::Error> {
    let incarnation = Incarnation(getrandom::u64()?);
    Ok(Identity::new(address.clone(), incarnation))
}
