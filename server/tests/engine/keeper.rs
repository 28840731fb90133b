//! The keeper: nothing outlives its driver (protocol.md E4).

use crate::harness::{Trial, failure, running, script, until};
use crate::roles;
use doyen::engine::environment::ATTEMPT;
use doyen::engine::lock::{LockState, probe};
use doyen::engine::paths::DriverFolder;
use doyen::engine::process_table::{descendants_of, marked, variable_of};
use doyen_core::identity::ContextId;
use doyen_core::input::EffectReport;
use rustix::process::{Pid, Signal, kill_process};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A process that a failing test does not leave behind.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn kill(pid: u32) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
}

#[tokio::test]
async fn nothing_outlives_a_killed_driver_by_five_seconds() {
    let data = tempfile::tempdir().unwrap();
    let driver = Command::new(std::env::current_exe().unwrap())
        .args(roles::arguments("driver_process"))
        .envs(roles::environment("driver_process"))
        .env(roles::DATA, data.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let driver = Killed(driver);
    let count = |name: &str| {
        let name_of = |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/comm"));
        let found = descendants_of(driver.0.id());
        found
            .iter()
            .filter(|pid| name_of(pid).is_ok_and(|comm| comm.trim() == name))
            .count()
    };
    until("all four sleepers sleep", || count("sleep") == 4).await;
    let one = *descendants_of(driver.0.id()).last().unwrap();
    let mark = variable_of(one, ATTEMPT).unwrap();
    assert!(
        marked(|found| found == mark).len() >= 6,
        "the keeper too is marked"
    );
    let context = ContextId::new(mark.split_once('/').unwrap().0);
    let lock = DriverFolder::new(data.path(), &context).unwrap().lock();

    drop(driver);
    let died = Instant::now();
    assert_eq!(
        probe(&lock),
        LockState::Held,
        "the keeper holds the lock on"
    );
    until("every process is gone", || {
        marked(|found| found == mark).is_empty()
    })
    .await;
    assert!(
        died.elapsed() < Duration::from_secs(5),
        "{:?}",
        died.elapsed()
    );
    assert_eq!(probe(&lock), LockState::Free);
}

#[tokio::test]
async fn a_killed_keeper_is_the_end_of_the_engine_and_leaves_nothing() {
    let trial = Trial::new(r#"{"doyen.engine":"process"}"#).await;
    trial.expect_ready().await;
    let hiding = script("setsid sleep 600 & touch up; exec sleep 600");
    trial.submit("a", hiding, "main", "{}").await;
    assert_eq!(trial.next().await, running("a"));
    let up = trial.folder.work().join("up");
    until("the job is up", || up.exists()).await;
    let keeper = trial
        .processes()
        .into_iter()
        .find(|pid| variable_of(*pid, roles::ROLE).is_some())
        .unwrap();
    kill(keeper);
    let error = failure(trial.next().await);
    assert!(error.message.contains("keeper"), "{}", error.message);
    let EffectReport::EngineEnded { orderly, error } = trial.next().await else {
        panic!("the engine did not end");
    };
    assert!(!orderly && error.unwrap().message.contains("keeper"));
    trial.expect_nothing_left().await;
}
