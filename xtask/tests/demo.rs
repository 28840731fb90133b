//! `cargo xtask demo` on a host without Java.
#![allow(clippy::unwrap_used, reason = "a test tells what broke by panicking")]

use std::process::Command;

#[test]
fn without_java_the_demo_says_what_to_install_before_it_starts_anything() {
    let empty = tempfile::tempdir().unwrap();
    // Nothing can be built or started either: Java is asked for first.
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("demo")
        .env("PATH", empty.path())
        .env_remove("JAVA_HOME")
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{words}");
    for part in [
        "cannot run java",
        "openjdk-17",
        "JAVA_HOME",
        "--engine process",
    ] {
        assert!(words.contains(part), "no `{part}` in: {words}");
    }
    assert!(output.stdout.is_empty(), "it went on: {output:?}");
}
