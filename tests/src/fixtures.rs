//! What many tests begin with.

use crate::api::Api;
use crate::cluster::{Cluster, Options};
use crate::program::{find_doyen, root, spark_python};
use crate::{Outcome, leftovers, wheel};
use std::fs;
use std::time::Duration;

/// The context that most tests use.
pub const CONTEXT: &str = "work";
/// Long enough for anything that is not broken, on a busy machine.
pub const SOON: Duration = Duration::from_secs(30);

/// A running cluster of so many servers.
///
/// # Panics
/// It does not come up.
pub async fn cluster(servers: usize) -> Cluster {
    cluster_with(servers, "").await
}

/// The same, with further HOCON text in every server's file.
///
/// # Panics
/// It does not come up.
pub async fn cluster_with(servers: usize, extra: &str) -> Cluster {
    let mut options = Options::new(find_doyen(), servers);
    extra.clone_into(&mut options.extra);
    options.python = spark_python();
    match Cluster::start(options).await {
        Ok(cluster) => cluster,
        Err(error) => panic!("no cluster: {error}"),
    }
}

/// One of the executables in `demo/jobs`.
///
/// # Errors
/// There is none of this name.
pub fn executable(name: &str) -> Outcome<Vec<u8>> {
    fs::read(root().join("demo/jobs").join(name))
}

/// Uploads `quick`, `long` and `brute`, and creates [`CONTEXT`] with the `process` engine.
///
/// # Errors
/// Something is refused.
pub async fn prepare_process_context(api: &Api) -> Outcome<()> {
    for (name, file) in [
        ("quick", "quick_job"),
        ("long", "long_job"),
        ("brute", "brute_job"),
    ] {
        api.upload_executable(name, executable(file)?).await?;
    }
    api.create_process_context(CONTEXT).await
}

/// The wheel of the example Spark jobs.
///
/// # Errors
/// Their sources cannot be read.
pub fn example_wheel() -> Outcome<Vec<u8>> {
    wheel::build(
        &root().join("server/drivers/examples/wordcount"),
        "example_jobs",
        "1.0",
    )
}

/// The pids of the drivers of a cluster.
#[must_use]
pub fn drivers(cluster: &Cluster) -> Vec<u32> {
    leftovers::with_verb(cluster.path(), "driver")
        .iter()
        .map(|driver| driver.pid)
        .collect()
}

/// Stops everything in order and sees that nothing is left: contexts first, by their names.
///
/// # Panics
/// Something is left, or does not stop.
pub async fn stop_clean(mut cluster: Cluster, contexts: &[&str]) {
    let stop = async {
        let api = cluster.api(0);
        for name in contexts {
            api.delete_context(name).await?.expect(&[200, 202])?;
            api.wait_context(name, &["FINISHED", "KILLED", "ERROR"], SOON)
                .await?;
        }
        cluster.stop_all().await
    };
    match stop.await {
        Ok(left) => assert!(left.is_empty(), "left over: {left:?}"),
        Err(error) => panic!("{error}"),
    }
}
