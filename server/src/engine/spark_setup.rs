//! How Python and Spark are called for one context.

use super::driver_launcher::EngineBase;
use super::keeper::protocol::{AnswerChannel, ChildInput, ChildOutput, ChildSpec};
use super::python_package;
use super::settings::Settings;
use doyen_core::records::job::JobError;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// How Python is called for this context.
pub(super) struct Python {
    pub(super) executable: String,
    environment: BTreeMap<String, String>,
}

impl Python {
    /// The interpreter that the context names, else the server's.
    pub(super) fn of(base: &EngineBase) -> Result<Self, JobError> {
        let refuse = |what: String| JobError::new("doyen.EngineFailed", what);
        let package = python_package::unpack(&base.setup.data_dir)
            .map_err(|e| refuse(format!("the Python package sparkjobserver: {e}")))?;
        let executable = base
            .settings
            .text("python.executable")
            .unwrap_or_else(|| base.setup.defaults.python.clone());
        let mut paths = vec![package];
        for path in base.settings.texts("python.paths") {
            let path = std::path::absolute(&path)
                .map_err(|e| refuse(format!("`{path}` of python.paths: {e}")))?;
            paths.push(path);
        }
        let joined = std::env::join_paths(&paths)
            .map_err(|e| refuse(format!("python.paths cannot be joined: {e}")))?;
        let mut environment = base.environment.clone();
        environment.insert("PYTHONPATH".into(), joined.to_string_lossy().into_owned());
        environment.insert("PYTHONUNBUFFERED".into(), "1".into());
        environment.insert("PYSPARK_PYTHON".into(), executable.clone());
        environment.insert("PYSPARK_DRIVER_PYTHON".into(), executable.clone());
        Ok(Self {
            executable,
            environment,
        })
    }

    /// A child that runs this module of `sparkjobserver`.
    pub(super) fn spec(
        &self,
        base: &EngineBase,
        child: String,
        module: &str,
        input: String,
    ) -> ChildSpec {
        ChildSpec {
            child,
            program: PathBuf::from(&self.executable),
            arguments: vec!["-m".into(), module.into()],
            environment: self.environment.clone(),
            directory: base.folder.work(),
            input: ChildInput::Open(input),
            output: ChildOutput::Both,
            log: base.folder.engine_log(),
            answer: AnswerChannel::Lines,
            shares_lock: true,
        }
    }
}

/// Spark's configuration, later settings winning (config.md 5).
pub(super) fn spark_conf(
    settings: &Settings,
    name: &str,
    master: &str,
    temporary: &Path,
) -> BTreeMap<String, String> {
    let mut conf: BTreeMap<String, String> = BTreeMap::new();
    let mut set = |key: &str, value: String| conf.insert(key.into(), value);
    set("spark.app.name", name.into());
    set("spark.master", master.into());
    set("spark.ui.enabled", "false".into());
    set("spark.ui.port", "0".into());
    set("spark.local.dir", temporary.to_string_lossy().into_owned());
    set("spark.yarn.isPython", "true".into());
    for (from, to) in [
        ("num-cpu-cores", "spark.cores.max"),
        ("memory-per-node", "spark.executor.memory"),
    ] {
        if let Some(value) = settings.text(from) {
            set(to, value);
        }
    }
    for (key, value) in settings.below("launcher.spark") {
        set(&format!("spark.{key}"), value);
    }
    // Of the server's own configuration, should it have come along.
    let is_ours = |key: &str| {
        [
            "jobserver.",
            "contexts.",
            "context-settings.",
            "session.hive.",
        ]
        .iter()
        .any(|prefix| key.starts_with(prefix))
    };
    for (key, value) in settings.below("spark") {
        if !is_ours(&key) {
            set(&format!("spark.{key}"), value);
        }
    }
    for (key, value) in settings.below("hadoop") {
        set(&format!("spark.hadoop.{key}"), value);
    }
    for (key, value) in settings.below("passthrough") {
        set(&key, value);
    }
    if conf
        .get("spark.master")
        .is_some_and(|m| m.starts_with("local"))
    {
        // Nothing listens beyond loopback unless configured.
        for key in ["spark.driver.host", "spark.driver.bindAddress"] {
            conf.entry(key.into()).or_insert_with(|| "127.0.0.1".into());
        }
    }
    conf
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conf_of(settings: &str) -> BTreeMap<String, String> {
        let settings = Settings::parse(settings).unwrap();
        spark_conf(&settings, "c", "local[4]", Path::new("/t"))
    }

    #[test]
    fn later_settings_win_and_the_servers_own_do_not_reach_spark() {
        let conf = conf_of(
            r#"{"num-cpu-cores": 3, "memory-per-node": "512m",
                "spark": {"executor.memory": "1g", "jobserver": {"port": 8090},
                          "session.hive.enabled": true, "ui": {"enabled": true}},
                "hadoop": {"fs.defaultFS": "hdfs://n"},
                "passthrough": {"spark.executor.memory": "2g"}}"#,
        );
        for (key, value) in [
            ("spark.app.name", "c"),
            ("spark.master", "local[4]"),
            ("spark.cores.max", "3"),
            ("spark.executor.memory", "2g"),
            ("spark.ui.enabled", "true"),
            ("spark.hadoop.fs.defaultFS", "hdfs://n"),
            ("spark.driver.bindAddress", "127.0.0.1"),
        ] {
            assert_eq!(conf.get(key).map(String::as_str), Some(value), "{key}");
        }
        assert!(
            !conf
                .keys()
                .any(|key| key.contains("jobserver") || key.contains("hive"))
        );
    }

    #[test]
    fn a_driver_of_a_real_cluster_is_not_bound_to_loopback() {
        let conf = conf_of(r#"{"spark.master": "spark://m:7077"}"#);
        assert_eq!(conf["spark.master"], "spark://m:7077");
        assert!(!conf.contains_key("spark.driver.bindAddress"));
    }
}
