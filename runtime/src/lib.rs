//! Carries out what `doyen-core` decides: transport, heartbeats, stores' traits, process host.
//!
//! No decision is made here. The seams are the traits [`store::MetaDataDao`],
//! [`store::BinaryDao`] and [`launcher::Launcher`].

pub mod beat;
pub mod clock;
pub mod host;
pub mod launcher;
mod platform;
pub mod store;
pub mod transport;

#[cfg(madsim)]
pub use platform::simulated;
