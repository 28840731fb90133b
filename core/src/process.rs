//! One process of the cluster, whichever its role: the face that production and simulation drive.

use crate::driver::DriverProcess;
use crate::identity::{ClusterId, Identity, Role};
use crate::input::Input;
use crate::membership::Status;
use crate::output::Output;
#[cfg(feature = "planted")]
use crate::planted::planted;
use crate::records::cluster::Generation;
use crate::records::singleton::Epoch;
use crate::server::ServerProcess;
use crate::time::Time;
use serde::{Deserialize, Serialize};

/// A server or a driver.
#[derive(Clone, Debug)]
pub enum Process {
    /// A job server.
    Server(Box<ServerProcess>),
    /// The driver of one context.
    Driver(Box<DriverProcess>),
}

/// A member as the view shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberView {
    /// Who.
    #[serde(flatten)]
    pub identity: Identity,
    /// What it does.
    pub role: Role,
    /// How it is.
    pub status: Status,
    /// Its place in the order of age, 0 for the oldest; drivers have none.
    pub age: Option<usize>,
    /// Whether this process hears it (a driver: whether it is connected).
    pub reachable: bool,
    /// The program's version.
    pub version: String,
    /// The context of a driver.
    pub context: Option<String>,
}

/// What a process knows of the cluster: `GET /cluster` (design.md 8).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterView {
    /// Who looks.
    #[serde(rename = "self")]
    pub identity: Identity,
    /// The cluster's id, once known.
    pub cluster: Option<ClusterId>,
    /// The last known epoch.
    pub epoch: Epoch,
    /// Who holds it.
    pub holder: Option<Identity>,
    /// The last known generation of the roster.
    pub generation: Generation,
    /// The leader in this view.
    pub leader: Option<Identity>,
    /// Whether all reachable members have seen this view.
    pub converged: bool,
    /// Whether it should be sent requests: listed, not leaving, not the only one without the store.
    pub ready: bool,
    /// Whether it takes calls that come all the same: also while it drains, and while it waits for
    /// the store (F8, S3).
    #[serde(default)]
    pub takes_calls: bool,
    /// Why it is not ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_ready: Option<String>,
    /// Milliseconds since the last success with the store; `None` before the first.
    pub store_age_ms: Option<u64>,
    /// Whether another listed server had the store while this one had none of it for `vacant-after`
    /// (S7), as its beats tell.
    #[serde(default)]
    pub others_have_store: bool,
    /// The members, servers by age, then drivers.
    pub members: Vec<MemberView>,
}

impl Process {
    /// Tells the process one thing. `now` never decreases. Drain `poll_output` before the next one.
    pub fn handle(&mut self, now: Time, input: Input) {
        #[cfg(feature = "planted")]
        assert!(!planted!(Canary), "the canary");
        match self {
            Self::Server(server) => server.handle(now, input),
            Self::Driver(driver) => driver.handle(now, input),
        }
    }

    /// What it wants done next; `None` when there is nothing more.
    pub fn poll_output(&mut self) -> Option<Output> {
        match self {
            Self::Server(server) => server.poll_output(),
            Self::Driver(driver) => driver.poll_output(),
        }
    }

    /// When it wants `Input::Timeout`, whatever happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        match self {
            Self::Server(server) => server.poll_timeout(),
            Self::Driver(driver) => driver.poll_timeout(),
        }
    }

    /// What it knows of the cluster.
    #[must_use]
    pub fn view(&self, now: Time) -> ClusterView {
        match self {
            Self::Server(server) => server.view(now),
            Self::Driver(driver) => driver.view(now),
        }
    }
}
