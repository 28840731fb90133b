//! What runs outside the cluster: driver processes, their keepers, the engines of contexts.
//!
//! ```text
//! doyen server ── launches (detached) ──> doyen driver ── pipe ──> doyen keeper
//!                                          owns the lock            a subreaper; holds the lock
//!                                                                   ├── Spark's helper ── JVM
//!                                                                   └── one process a job
//! ```
//!
//! [`launcher::ServerLauncher`] carries out the effects of a server (`Launch`, `Verify`, `Kill`),
//! [`driver_launcher::DriverLauncher`] those of a driver. No decision about contexts or jobs is
//! made here.

pub mod attempt;
pub mod driver_launcher;
mod driver_setup;
pub mod environment;
mod job;
pub mod keeper;
mod keeper_client;
pub mod launcher;
pub mod lock;
pub mod paths;
mod process_engine;
pub mod process_table;
mod python_package;
mod result;
pub mod settings;
mod spark_engine;
mod spark_setup;
