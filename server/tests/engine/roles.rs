//! This test program in other roles: it starts itself as keeper, and as a driver to be killed.

use crate::harness::{Trial, script};
use doyen::engine::keeper;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Which role the program was started in.
pub(crate) const ROLE: &str = "DOYEN_TEST_ROLE";
/// Where the driver to be killed works.
pub(crate) const DATA: &str = "DOYEN_TEST_DATA";

/// The arguments that make this program run one role.
pub(crate) fn arguments(role: &str) -> Vec<String> {
    ["--exact", &format!("roles::{role}"), "--nocapture"]
        .map(str::to_owned)
        .to_vec()
}

pub(crate) fn environment(role: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(ROLE.to_owned(), role.to_owned())])
}

fn plays(role: &str) -> bool {
    std::env::var(ROLE).is_ok_and(|found| found == role)
}

/// A keeper, when started as one; else nothing to test.
#[test]
fn keeper_process() {
    if plays("keeper_process") {
        let _ = keeper::run();
        std::process::exit(0);
    }
}

/// A driver that runs a job which hides what it starts, until it is killed.
#[test]
fn driver_process() {
    if !plays("driver_process") {
        return;
    }
    let data = PathBuf::from(std::env::var_os(DATA).unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async move {
        let trial = Trial::at(data, r#"{"doyen.engine":"process"}"#).await;
        trial.expect_ready().await;
        let hiding = script(
            "trap '' TERM\n\
             setsid sh -c 'sleep 600 & exec sleep 600' &\n\
             (setsid sleep 600 &) &\n\
             sleep 600",
        );
        trial.submit("hiding", hiding, "main", "{}").await;
        std::future::pending::<()>().await;
    });
}
