//! What each verb starts: one function a verb, filled where the parts meet.

use crate::cli::{DriverArgs, KeeperArgs, StoreArgs, exit};
use crate::config::Settings;
use std::process::ExitCode;

/// Runs one job server until it is told to stop.
#[must_use]
#[expect(
    clippy::needless_pass_by_value,
    reason = "the server keeps its settings"
)]
pub fn server(settings: Settings) -> ExitCode {
    let address = &settings.cluster.address;
    exit::fail(exit::FAILED, &format!("server {address}: not linked yet"))
}

/// Runs the driver of one context until the context ends.
#[must_use]
#[expect(clippy::needless_pass_by_value, reason = "the driver keeps both")]
pub fn driver(settings: Settings, args: DriverArgs) -> ExitCode {
    let address = &settings.cluster.address;
    exit::fail(
        exit::FAILED,
        &format!("driver of {} at {address}: not linked yet", args.context),
    )
}

/// Watches over an engine process.
#[must_use]
#[expect(
    clippy::needless_pass_by_value,
    reason = "the keeper keeps its arguments"
)]
pub fn keeper(args: KeeperArgs) -> ExitCode {
    exit::fail(
        exit::FAILED,
        &format!("keeper of {:?}: not linked yet", args.rest),
    )
}

/// Runs the embedded store of a data folder.
#[must_use]
#[expect(
    clippy::needless_pass_by_value,
    reason = "the store keeps its arguments"
)]
pub fn store(args: StoreArgs) -> ExitCode {
    let folder = args.data_dir.display();
    exit::fail(exit::FAILED, &format!("store of {folder}: not linked yet"))
}
