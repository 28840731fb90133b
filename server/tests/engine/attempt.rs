//! The launcher of a server: launch, proof of death, kill.

use crate::harness::{PATIENCE, started, until};
use doyen::engine::environment::{ATTEMPT, mark};
use doyen::engine::launcher::{ServerLauncher, Surroundings};
use doyen::engine::lock::DriverLock;
use doyen::engine::paths::DriverFolder;
use doyen::engine::process_table::{boot_id, host_id, marked, start_time_of};
use doyen_core::identity::{Address, ClusterId, ContextId, Incarnation};
use doyen_core::input::{EffectReport, Verdict};
use doyen_core::output::Effect;
use doyen_core::records::context::{IntentNumber, Owner, ProcessId};
use doyen_runtime::launcher::Launcher;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;
use tokio::sync::{mpsc, watch};

/// Marks are seen by all tests: each has a context of its own.
static HOSTS: AtomicU32 = AtomicU32::new(0);

struct Host {
    data: tempfile::TempDir,
    launcher: ServerLauncher,
    context: ContextId,
    folder: DriverFolder,
}

impl Host {
    /// A server's launcher whose program is this script.
    fn with(program: &str) -> Self {
        let data = tempfile::tempdir().unwrap();
        let path = data.path().join("program");
        std::fs::write(&path, program).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
        let surroundings = Surroundings {
            cluster: Some(ClusterId::new("cluster")),
            servers: vec![Address::new("127.0.0.1", 2552)],
        };
        let (_, surroundings) = watch::channel(surroundings);
        let context = ContextId::new(format!(
            "c{}-{}",
            std::process::id(),
            HOSTS.fetch_add(1, Ordering::Relaxed)
        ));
        Self {
            launcher: ServerLauncher::new(&path, None, data.path(), surroundings).unwrap(),
            folder: DriverFolder::new(data.path(), &context).unwrap(),
            data,
            context,
        }
    }

    async fn report_of(&self, effect: Effect) -> EffectReport {
        let (sender, mut reports) = mpsc::channel(1);
        self.launcher.begin(effect, sender).await;
        let report = tokio::time::timeout(PATIENCE, reports.recv()).await;
        report.unwrap().unwrap()
    }

    async fn verify(&self, owner: Option<Owner>) -> (Verdict, String) {
        let context = self.context.clone();
        match self.report_of(Effect::Verify { context, owner }).await {
            EffectReport::Verified {
                verdict,
                last_output,
                ..
            } => (verdict, last_output),
            other => panic!("{other:?}"),
        }
    }

    /// Another test's fork may hold this program's open files for an instant.
    async fn expect_dead(&self, owner: &Owner) {
        let deadline = Instant::now() + PATIENCE;
        while self.verify(Some(owner.clone())).await.0 != Verdict::Dead {
            assert!(Instant::now() < deadline, "it is never known to be dead");
        }
    }

    fn owner(&self, pid: u32) -> Owner {
        Owner {
            driver: Incarnation(u64::from(pid)),
            process: ProcessId {
                host: host_id(),
                boot: boot_id(),
                pid,
                start_time: start_time_of(pid).unwrap_or(1),
            },
        }
    }
}

/// A process under the mark of a driver incarnation of its choice.
fn sleeper(context: &ContextId, driver: u64, body: &str) -> Child {
    Command::new("sh")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .args(["-c", body])
        .env(ATTEMPT, mark(context, Incarnation(driver)))
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn a_driver_is_launched_with_its_arguments_its_mark_and_no_secret() {
    let host = Host::with("#!/bin/sh\necho \"$@\"; env; pwd; cat; touch done\n");
    let intent = IntentNumber(3);
    let context = Box::new(started(&host.context, "{}"));
    let report = host.report_of(Effect::Launch { context, intent }).await;
    let EffectReport::Launched { error: None, .. } = report else {
        panic!("{report:?}");
    };
    until("the driver has run", || {
        host.folder.path().join("done").exists()
    })
    .await;
    let log = std::fs::read_to_string(host.folder.driver_log()).unwrap();
    assert!(log.contains("driver --data-dir /"), "{log}");
    assert!(
        log.contains("--intent 3 --cluster cluster --incarnation "),
        "{log}"
    );
    assert!(log.contains("--server 127.0.0.1:2552"), "{log}");
    assert!(
        log.contains(&format!("{ATTEMPT}={}/", host.context)),
        "{log}"
    );
    assert!(
        !log.contains("CARGO"),
        "the server's environment leaked: {log}"
    );
}

#[tokio::test]
async fn a_program_that_is_not_there_is_reported() {
    let host = Host::with("");
    std::fs::remove_file(host.data.path().join("program")).unwrap();
    let (_, surroundings) = watch::channel(Surroundings::default());
    let unknowing =
        ServerLauncher::new(Path::new("/bin/true"), None, host.data.path(), surroundings).unwrap();
    for (launcher, part) in [
        (&host.launcher, "cannot start"),
        (&unknowing, "knows no cluster"),
    ] {
        let (sender, mut reports) = mpsc::channel(1);
        let effect = Effect::Launch {
            context: Box::new(started(&host.context, "{}")),
            intent: IntentNumber(1),
        };
        launcher.begin(effect, sender).await;
        let Some(EffectReport::Launched {
            error: Some(error), ..
        }) = reports.recv().await
        else {
            panic!("it was launched");
        };
        assert!(error.message.contains(part), "{}", error.message);
    }
}

#[tokio::test]
async fn death_is_only_reported_with_proof() {
    let host = Host::with("");
    host.folder.make().unwrap();
    let owner = host.owner(std::process::id());
    // No lock file, nothing marked: of a driver that took its record it proves nothing.
    assert_eq!(host.verify(Some(owner.clone())).await.0, Verdict::Unknown);
    assert_eq!(host.verify(None).await.0, Verdict::Dead);
    let lock = DriverLock::take(&host.folder.lock()).unwrap();
    assert_eq!(host.verify(Some(owner.clone())).await.0, Verdict::Alive);
    assert_eq!(host.verify(None).await.0, Verdict::Alive);
    drop(lock);
    std::fs::write(host.folder.engine_log(), "the JVM said no\n").unwrap();
    host.expect_dead(&owner).await;
    let (_, last_output) = host.verify(Some(owner.clone())).await;
    assert_eq!(last_output, "the JVM said no");
    let mut child = sleeper(&host.context, owner.driver.0, "exec sleep 600");
    assert_eq!(host.verify(Some(owner.clone())).await.0, Verdict::Alive);
    assert_eq!(host.verify(None).await.0, Verdict::Alive);
    child.kill().unwrap();
    child.wait().unwrap();
    host.expect_dead(&owner).await;
    let mut elsewhere = owner;
    elsewhere.process.host = "another machine".into();
    assert_eq!(host.verify(Some(elsewhere)).await.0, Verdict::Unknown);
}

#[tokio::test]
async fn a_kill_hits_exactly_the_attempt_that_it_names() {
    let host = Host::with("");
    host.folder.make().unwrap();
    drop(DriverLock::take(&host.folder.lock()).unwrap());
    let mut other = sleeper(&host.context, 999, "exec sleep 600");
    let mut driver = sleeper(
        &host.context,
        7,
        "trap '' TERM; sleep 600 & wait; sleep 600",
    );
    let mut owner = host.owner(driver.id());
    owner.driver = Incarnation(7);
    // The number was given out again: the process of that number is another one.
    let mut reused = owner.clone();
    reused.driver = Incarnation(8);
    reused.process.start_time += 1;
    let kill = |owner: Owner| Effect::Kill {
        context: host.context.clone(),
        intent: IntentNumber(1),
        owner,
    };
    let verdict = |report| match report {
        EffectReport::Verified { verdict, .. } => verdict,
        other => panic!("{other:?}"),
    };
    assert_eq!(verdict(host.report_of(kill(reused)).await), Verdict::Dead);
    assert!(
        driver.try_wait().unwrap().is_none(),
        "another process was hit"
    );
    let reaper = std::thread::spawn(move || driver.wait());
    assert_eq!(verdict(host.report_of(kill(owner)).await), Verdict::Dead);
    reaper.join().unwrap().unwrap();
    let its = mark(&host.context, Incarnation(7));
    assert!(marked(|found| found == its).is_empty());
    assert!(
        other.try_wait().unwrap().is_none(),
        "another attempt was hit"
    );
    other.kill().unwrap();
    other.wait().unwrap();
}
