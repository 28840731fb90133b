//! The environment that children get: an allow-list and the mark of their attempt.
//!
//! A server's environment holds secrets (tokens, cloud credentials) that jobs must not see.

use doyen_core::identity::{ContextId, Incarnation};
use std::collections::BTreeMap;

/// Names the attempt that a process belongs to: `<context>/<incarnation>` (protocol.md E3).
pub const ATTEMPT: &str = "DOYEN_ATTEMPT";
/// Names the child of the keeper that a process descends from.
pub const CHILD: &str = "DOYEN_CHILD";

const ALLOWED: [&str; 14] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "TZ",
    "JAVA_HOME",
    "SPARK_HOME",
    "SPARK_CONF_DIR",
    "SPARK_LOCAL_IP",
    "SPARK_LOCAL_HOSTNAME",
    "HADOOP_CONF_DIR",
    "YARN_CONF_DIR",
    "TMPDIR",
];

/// The mark of an attempt, as `/proc/<pid>/environ` shows it after [`ATTEMPT`].
#[must_use]
pub fn mark(context: &ContextId, driver: Incarnation) -> String {
    format!("{context}/{driver}")
}

/// What is allowed of the variables of this process.
#[must_use]
pub fn allowed() -> BTreeMap<String, String> {
    allowed_of(std::env::vars_os().filter_map(|(name, value)| {
        // What is not UTF-8 is left out: commands to the keeper are JSON.
        Some((name.into_string().ok()?, value.into_string().ok()?))
    }))
}

fn allowed_of(variables: impl IntoIterator<Item = (String, String)>) -> BTreeMap<String, String> {
    let is_allowed = |name: &str| ALLOWED.contains(&name) || name.starts_with("LC_");
    variables
        .into_iter()
        .filter(|(name, _)| is_allowed(name))
        .collect()
}

/// The environment of a process of this attempt.
#[must_use]
pub fn of_attempt(context: &ContextId, driver: Incarnation) -> BTreeMap<String, String> {
    let mut environment = allowed();
    environment.insert(ATTEMPT.into(), mark(context, driver));
    environment
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_the_server_do_not_reach_its_children() {
        let variables = [
            ("PATH", "/bin"),
            ("LC_ALL", "C"),
            ("AWS_SECRET_ACCESS_KEY", "hunter2"),
            ("PYSPARK_GATEWAY_SECRET", "hunter2"),
            ("LD_PRELOAD", "/evil.so"),
        ];
        let allowed = allowed_of(variables.map(|(n, v)| (n.to_owned(), v.to_owned())));
        assert_eq!(allowed.keys().collect::<Vec<_>>(), ["LC_ALL", "PATH"]);
    }
}
