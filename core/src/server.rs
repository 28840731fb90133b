//! One job server: membership, roster, singleton, gateway and supervisor, composed.

use crate::config::ValidConfig;
use crate::identity::{ClusterId, Identity};
use crate::input::Input;
use crate::outbox::Outbox;
use crate::output::Output;
use crate::process::ClusterView;
use crate::records::cluster::Secret;
use crate::time::Time;

/// What a founder gives its cluster; drawn by the host for each life, used by the founder only.
#[derive(Clone, Debug)]
pub struct Founding {
    /// A random cluster id.
    pub cluster: ClusterId,
    /// A random secret.
    pub secret: Secret,
}

/// A job server.
#[derive(Clone, Debug)]
pub struct ServerProcess {
    outbox: Outbox,
}

impl ServerProcess {
    /// A starting server.
    #[must_use]
    pub fn new(_config: ValidConfig, identity: Identity, _founding: Founding, _now: Time) -> Self {
        Self {
            outbox: Outbox::new(identity),
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
