//! Between crates, arrows point as design.md §2 has them, and core stays small.

use super::Complaint;
use doyen_tests::{Outcome, trouble};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Each crate of ours, and which others of ours it may depend on.
const ARROWS: [(&str, &[&str]); 6] = [
    ("doyen-core", &[]),
    ("doyen-runtime", &["doyen-core"]),
    ("doyen-sim", &["doyen-core", "doyen-runtime"]),
    ("doyen", &["doyen-core", "doyen-runtime"]),
    (
        "doyen-tests",
        &["doyen", "doyen-core", "doyen-runtime", "doyen-sim"],
    ),
    ("xtask", &["doyen-core", "doyen-tests"]),
];

/// The crates of others that core may use: pure, small, each with its line in an ADR.
const CORE_USES: [&str; 6] = [
    "prost",
    "proptest",
    "serde",
    "serde_json",
    "sha2",
    "thiserror",
];

/// What cargo knows of the workspace.
///
/// # Errors
/// Cargo fails.
pub(super) fn metadata(root: &Path) -> Outcome<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(root)
        .args(["metadata", "--format-version", "1", "--no-deps"]);
    let output = command.output()?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(trouble(format!("cargo metadata failed: {words}")));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Checks what cargo knows.
pub(super) fn check(metadata: &Value) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let empty = Vec::new();
    for package in metadata["packages"].as_array().unwrap_or(&empty) {
        let name = package["name"].as_str().unwrap_or("");
        let mut complain = |text: String| {
            complaints.push(Complaint::new(&format!("package {name}"), 0, text));
        };
        let Some((_, may)) = ARROWS.iter().find(|(package, _)| *package == name) else {
            complain("has no arrows: add it to xtask/src/tidy/crates.rs".to_owned());
            continue;
        };
        for dependency in package["dependencies"].as_array().unwrap_or(&empty) {
            let other = dependency["name"].as_str().unwrap_or("");
            let is_ours = ARROWS.iter().any(|(package, _)| *package == other);
            if is_ours && !may.contains(&other) && other != name {
                complain(format!("depends on {other}, against design.md §2"));
            } else if !is_ours && name == "doyen-core" && !CORE_USES.contains(&other) {
                complain(format!("depends on {other}: core uses only {CORE_USES:?}"));
            }
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn complaints(package: &str, dependencies: &[&str]) -> Vec<String> {
        let dependencies: Vec<Value> = dependencies
            .iter()
            .map(|name| json!({"name": name}))
            .collect();
        let metadata = json!({"packages": [{"name": package, "dependencies": dependencies}]});
        check(&metadata).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn arrows_of_the_design_pass() {
        for (package, dependencies) in [
            ("doyen-core", vec!["serde", "thiserror"]),
            ("doyen-runtime", vec!["doyen-core", "tokio"]),
            ("doyen", vec!["doyen-core", "doyen-runtime", "axum"]),
            ("xtask", vec!["doyen-tests", "clap"]),
        ] {
            assert_eq!(complaints(package, &dependencies), Vec::<String>::new());
        }
    }

    #[test]
    fn arrows_against_the_design_are_told() {
        for (package, dependency, part) in [
            ("doyen-core", "doyen-runtime", "against design.md §2"),
            ("doyen-core", "tokio", "core uses only"),
            ("doyen-runtime", "doyen", "against design.md §2"),
            ("doyen", "doyen-sim", "against design.md §2"),
            ("surprise", "serde", "has no arrows"),
        ] {
            let found = complaints(package, &[dependency]);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains(part), "{found:?}");
        }
    }

    #[test]
    fn this_workspace_is_as_the_design_has_it() {
        let metadata = metadata(&doyen_tests::program::root()).unwrap();
        assert_eq!(check(&metadata), Vec::new());
    }
}
