//! The `doyen` program.

use doyen::store::embedded::{IDLE_EXIT, run_store};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// `doyen store --data-dir D [--idle-exit SECONDS s]`: the one verb that there is so far.
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (data_dir, idle_exit) = match arguments[..] {
        ["store", "--data-dir", data_dir] => (data_dir, Some(IDLE_EXIT)),
        ["store", "--data-dir", data_dir, "--idle-exit", time] => (data_dir, seconds(time)),
        _ => ("", None),
    };
    let Some(idle_exit) = idle_exit else {
        eprintln!("usage: doyen store --data-dir DIRECTORY [--idle-exit 30s]");
        return ExitCode::from(2);
    };
    run_store(Path::new(data_dir), idle_exit)
}

fn seconds(text: &str) -> Option<Duration> {
    let number = text.strip_suffix('s')?.parse().ok()?;
    Some(Duration::from_secs(number))
}
