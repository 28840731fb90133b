//! One driver: owns a context, runs its jobs in slots (protocol.md E, J).

use crate::config::ValidConfig;
use crate::identity::{Address, ClusterId, ContextId, Identity};
use crate::input::Input;
use crate::outbox::Outbox;
use crate::output::Output;
use crate::process::ClusterView;
use crate::records::context::{IntentNumber, ProcessId};
use crate::time::Time;

/// What a driver is launched with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriverLaunch {
    /// Its identity: host name and port 0, since it listens nowhere.
    pub identity: Identity,
    /// The cluster.
    pub cluster: ClusterId,
    /// Its context.
    pub context: ContextId,
    /// The intent that launched it.
    pub intent: IntentNumber,
    /// Itself, as a process of its host.
    pub process: ProcessId,
    /// Servers to dial until it has read the roster.
    pub servers: Vec<Address>,
}

/// The driver of one context.
#[derive(Clone, Debug)]
pub struct DriverProcess {
    outbox: Outbox,
}

impl DriverProcess {
    /// A starting driver; it holds its lock file already (E2).
    #[must_use]
    pub fn new(_config: ValidConfig, launch: DriverLaunch, _now: Time) -> Self {
        Self {
            outbox: Outbox::new(launch.identity),
        }
    }

    /// See [`crate::process::Process::handle`].
    pub fn handle(&mut self, _now: Time, _input: Input) {}

    /// See [`crate::process::Process::poll_output`].
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outbox.pop()
    }

    /// See [`crate::process::Process::poll_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        None
    }

    /// See [`crate::process::Process::view`].
    #[must_use]
    pub fn view(&self, _now: Time) -> ClusterView {
        unimplemented!()
    }
}
