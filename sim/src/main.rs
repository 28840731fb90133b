//! The `doyen-sim` program: see `doyen-sim --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    doyen_sim::cli::main()
}
