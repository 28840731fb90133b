//! Golden files of every version of the format stay readable, and are written back as they are.
#![allow(clippy::unwrap_used, reason = "only tests use it")]

use doyen_sim::schedule::format::{read, write};
use std::fs;

#[test]
fn golden_files_are_written_back_as_they_are() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let schedule = read(&path.display().to_string(), &text).unwrap();
        assert_eq!(write(&schedule).unwrap(), text, "{}", path.display());
        seen += 1;
    }
    assert!(seen >= 3, "golden files are missing in {folder}");
}
