//! What a driver's launcher is made of: the seams to the stores, and the server's defaults.

use super::keeper_client::KeeperCommand;
use super::lock::DriverLock;
use async_trait::async_trait;
use bytes::Bytes;
use doyen_core::identity::{ContextId, Incarnation};
use doyen_core::records::job::{ClassPathEntry, JobRefusal};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Brings binaries and spilled payloads to this host.
#[async_trait]
pub trait BinaryFetcher: Send + Sync + 'static {
    /// A local file with the content of a class-path entry. It is read, never changed or moved, and
    /// must stay until the driver ends or its content was fetched again.
    ///
    /// # Errors
    /// Why the job cannot be loaded, as its submitter is told.
    async fn fetch(&self, entry: &ClassPathEntry) -> Result<PathBuf, JobRefusal>;

    /// A local file with the content of an object of the binary store: a spilled configuration.
    ///
    /// # Errors
    /// What the store said.
    async fn object(&self, name: &str) -> io::Result<PathBuf>;
}

/// Where results that do not fit into a record go.
#[async_trait]
pub trait ResultStore: Send + Sync + 'static {
    /// Stores an object under this name; one that is there already is left as it is.
    ///
    /// # Errors
    /// What the store said; it is tried again until it succeeds or the job is killed (J4).
    async fn put(&self, name: &str, bytes: Bytes) -> io::Result<()>;
}

/// What the server's configuration says where a context says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineDefaults {
    /// `python.executable`.
    pub python: String,
    /// `spark.master`.
    pub spark_master: String,
}

impl Default for EngineDefaults {
    fn default() -> Self {
        Self {
            python: "python3".into(),
            spark_master: "local[*]".into(),
        }
    }
}

/// What a driver's launcher is made of.
pub struct DriverSetup {
    /// The data directory, absolute.
    pub data_dir: PathBuf,
    /// The context.
    pub context: ContextId,
    /// Which life of a driver this is.
    pub incarnation: Incarnation,
    /// The driver's lock, held (E2).
    pub lock: DriverLock,
    /// How a keeper is started: this program with `keeper`.
    pub keeper: KeeperCommand,
    /// Where binaries come from.
    pub binaries: Arc<dyn BinaryFetcher>,
    /// Where large results go.
    pub results: Arc<dyn ResultStore>,
    /// The server's defaults.
    pub defaults: EngineDefaults,
}
