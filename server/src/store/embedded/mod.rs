//! The embedded store: one small `doyen store` process per data directory, and its clients.
//!
//! A stopped process that holds a database's write lock stops every other writer
//! (notes/feasibility.md 2), so one process owns the SQLite file and serves transactions, reads and
//! events over a Unix socket (design.md 7). Whoever finds the socket dead starts it; a file lock
//! admits one; one that does not answer is killed and started again.
//!
//! ```text
//! data-dir/store/          0700
//!   lock                   held (flock) by the store process, names it
//!   socket                 0600
//!   meta.sqlite -wal -shm  the records
//!   store.log  store.log.1 what the store process says, bounded
//! ```

mod client;
mod connection;
mod database;
mod frame;
mod link;
mod log;
mod place;
mod process;
mod serve;
mod worker;

pub use client::EmbeddedStore;
pub use database::FORMAT;
pub use place::refuse_network_file_system;
pub use serve::{Ended, IDLE_EXIT, run_store, serve};

use std::path::{Path, PathBuf};

/// Why the embedded store cannot be opened or go on. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The data directory is shared by hosts, which one process per directory cannot be.
    #[error(
        "the embedded store is for one host, and `{path}` lies on a network file system ({kind}): \
         set `doyen.data-dir` to a folder of a local disk, or `doyen.store` to a store that \
         several hosts can share"
    )]
    NetworkFileSystem {
        /// The data directory.
        path: PathBuf,
        /// The kind of file system.
        kind: &'static str,
    },
    /// A file or folder of the store cannot be used.
    #[error("`{path}` of the embedded store: {doing} failed: {source}; see `doyen.data-dir`")]
    File {
        /// Which file or folder.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A newer release wrote the data.
    #[error(
        "`{path}` has data format {found}, and this release knows formats up to {known}: run the \
         release that wrote it, or a newer one, or set another `doyen.data-dir`"
    )]
    NewerFormat {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format that this release knows.
        known: i64,
    },
    /// The database cannot be used, or could not be relied on any more.
    #[error("the database `{path}` of the embedded store: {reason}")]
    Database {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        reason: String,
    },
}

impl StoreError {
    /// An error of a file operation.
    fn file(path: &Path, doing: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File {
            path,
            doing,
            source,
        }
    }
}
