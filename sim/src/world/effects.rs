//! The simulated launcher and engine: drivers start after a while, jobs named `sleep-<ms>` last that
//! long, a dead driver's engine is gone with it.

use super::event::Event;
use super::{Happened, World};
use doyen_core::driver::{DriverLaunch, DriverProcess};
use doyen_core::identity::{Address, ContextId, Identity, Incarnation};
use doyen_core::input::{EffectReport, Input, Verdict};
use doyen_core::output::Effect;
use doyen_core::process::Process;
use doyen_core::records::context::{ContextRecord, IntentNumber, Owner, ProcessId};
use doyen_core::records::job::Payload;
use std::time::Duration;

const SPAWN: Duration = Duration::from_millis(5);
const ENGINE_START: Duration = Duration::from_millis(50);
const ENGINE_STOP: Duration = Duration::from_millis(10);

impl World {
    pub(super) fn begin_effect(&mut self, address: &Address, effect: Effect) {
        self.note(address, Happened::Effect(effect.clone()));
        match effect {
            Effect::Launch { context, intent } => self.launch(address, &context, intent),
            Effect::Verify { context, owner } => self.verify(address, context, owner.as_ref()),
            Effect::Kill { context, owner, .. } => {
                if let Some(driver) = self.driver(owner.driver) {
                    self.kill(&driver);
                }
                self.verify(address, context, Some(&owner));
            }
            Effect::StartEngine { .. } => {
                let ready = EffectReport::EngineReady {
                    application_id: None,
                    url: None,
                };
                self.report(address, ENGINE_START, ready);
            }
            Effect::StopEngine => {
                let ended = EffectReport::EngineEnded {
                    orderly: true,
                    error: None,
                };
                self.report(address, ENGINE_STOP, ended);
            }
            Effect::StartJob { job } => {
                let lasts = job
                    .main_class
                    .strip_prefix("sleep-")
                    .and_then(|ms| ms.parse().ok());
                let id = job.id.clone();
                let began = Duration::from_millis(5);
                self.report(address, began, EffectReport::JobRunning { job: id.clone() });
                let result = Payload::Inline("\"slept\"".to_owned());
                let finished = EffectReport::JobFinished { job: id, result };
                let after = began.saturating_add(Duration::from_millis(lasts.unwrap_or(1)));
                self.report(address, after, finished);
            }
            Effect::DeleteObjects { .. } => {}
            Effect::KillJob { job } => {
                let killed = EffectReport::JobKilled {
                    job,
                    rung: "killed".to_owned(),
                };
                self.report(address, Duration::from_millis(5), killed);
            }
        }
    }

    /// The address of the live driver of this incarnation.
    #[must_use]
    pub fn driver(&self, incarnation: Incarnation) -> Option<Address> {
        let node = self
            .nodes
            .values()
            .find(|node| node.process.is_some() && node.identity.incarnation == incarnation)?;
        Some(node.identity.address.clone())
    }

    /// The addresses of all live drivers.
    #[must_use]
    pub fn drivers(&self) -> Vec<Address> {
        let alive = self.nodes.values().filter(|node| node.process.is_some());
        alive
            .map(|node| node.identity.address.clone())
            .filter(|a| a.port() == 0)
            .collect()
    }

    fn launch(&mut self, address: &Address, context: &ContextRecord, intent: IntentNumber) {
        let incarnation = Incarnation(self.random.next());
        let identity = Identity::new(
            Address::new(format!("driver-{incarnation}"), 0),
            incarnation,
        );
        let Some(cluster) = self.view(address).and_then(|view| view.cluster) else {
            return;
        };
        let process = ProcessId {
            host: "host".to_owned(),
            boot: "boot".to_owned(),
            pid: u32::try_from(incarnation.0 & 0xffff).unwrap_or_default(),
            start_time: self.now.as_nanos(),
        };
        let launch = DriverLaunch {
            identity: identity.clone(),
            cluster,
            context: context.id.clone(),
            intent,
            process,
            servers: vec![address.clone()],
        };
        self.queue.push(
            self.now.after(SPAWN),
            Event::Spawn {
                launch: Box::new(launch),
            },
        );
        let launched = EffectReport::Launched {
            context: context.id.clone(),
            intent,
            error: None,
        };
        self.report(address, SPAWN, launched);
    }

    pub(super) fn spawn(&mut self, launch: DriverLaunch) {
        let identity = launch.identity.clone();
        let config = self.valid_config();
        let driver = DriverProcess::new(config, launch, self.now);
        self.add(identity, Process::Driver(Box::new(driver)));
    }

    fn verify(&mut self, address: &Address, context: ContextId, owner: Option<&Owner>) {
        let driver = owner.map(|owner| owner.driver);
        let alive = driver.is_none_or(|driver| self.driver(driver).is_some());
        let verdict = if alive { Verdict::Alive } else { Verdict::Dead };
        let last_output = String::new();
        let report = EffectReport::Verified {
            context,
            driver,
            verdict,
            last_output,
        };
        self.report(address, Duration::from_millis(2), report);
    }

    fn report(&mut self, address: &Address, after: Duration, report: EffectReport) {
        if let Some(to) = self.identity(address) {
            let input = Box::new(Input::EffectReport(report));
            self.queue
                .push(self.now.after(after), Event::Deliver { to, input });
        }
    }
}
