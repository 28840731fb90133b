//! What each verb starts: where configuration, stores, runtime, engines and REST meet.

mod driver;
mod fetch;
mod server;
mod sweep;

use crate::cli::{DriverArgs, KeeperArgs, StoreArgs, exit};
use crate::config::Settings;
use crate::engine::keeper;
use crate::engine::launcher::own_session;
use crate::store::embedded::run_store;
use std::fmt::Display;
use std::process::ExitCode;

/// Why a verb ends early: the exit code of design.md 8 and what people are told.
#[derive(Debug)]
struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// Something that the environment must mend: exit 1.
    fn failed(message: impl Display) -> Self {
        Self {
            code: exit::FAILED,
            message: message.to_string(),
        }
    }

    /// Something that the configuration must mend: exit 2.
    fn usage(message: impl Display) -> Self {
        Self {
            code: exit::USAGE,
            message: message.to_string(),
        }
    }
}

/// Runs one job server until it is told to stop.
#[must_use]
pub fn server(settings: Settings) -> ExitCode {
    in_runtime(server::run(settings))
}

/// Runs the driver of one context until the context ends.
#[must_use]
pub fn driver(settings: Settings, args: DriverArgs) -> ExitCode {
    // Its own session: what stops the server's terminal or unit does not stop it (E1). It fails
    // only for the leader of a group, which a shell makes of it; then it is detached as well.
    let _ = own_session();
    in_runtime(driver::run(settings, args))
}

/// Watches over an engine process.
#[must_use]
#[expect(
    clippy::needless_pass_by_value,
    reason = "every verb takes its arguments"
)]
pub fn keeper(args: KeeperArgs) -> ExitCode {
    if !args.rest.is_empty() {
        return exit::fail(exit::USAGE, &"keeper takes no arguments: drivers start it");
    }
    keeper::run()
}

/// Runs the embedded store of a data folder.
#[must_use]
#[expect(
    clippy::needless_pass_by_value,
    reason = "every verb takes its arguments"
)]
pub fn store(args: StoreArgs) -> ExitCode {
    run_store(&args.data_dir, args.idle_exit)
}

/// One thread runs everything but file I/O: measured faster and smaller than two at this load
/// (notes/feasibility.md 4, 5).
fn in_runtime(run: impl Future<Output = Result<u8, Failure>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return exit::fail(exit::FAILED, &format!("cannot start: {error}")),
    };
    let ended = runtime.block_on(run);
    runtime.shutdown_background();
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(failure) => exit::fail(failure.code, &failure.message),
    }
}
