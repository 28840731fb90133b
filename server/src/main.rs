//! The `doyen` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    doyen::cli::main()
}
