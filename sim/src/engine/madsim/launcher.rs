//! The simulated launcher: what a server's and a driver's effects do to the world.

use super::acts::Then;
use super::engines::{ENGINE_START_NANOS, ENGINE_STOP_NANOS};
use super::journal::Noted;
use super::world::{Kind, World};
use crate::schedule::model::{Act, LaunchFault};
use crate::trace::seen::{Deed, Ended, NodeId};
use async_trait::async_trait;
use doyen_core::driver::DriverLaunch;
use doyen_core::identity::{Address, ContextId, Identity, Incarnation};
use doyen_core::input::{EffectReport, Verdict};
use doyen_core::output::{Effect, Output};
use doyen_core::records::context::{ContextRecord, IntentNumber, Owner, ProcessId};
use doyen_core::records::job::JobError;
use doyen_runtime::launcher::Launcher;
use doyen_runtime::simulated::sleep_until;
use std::sync::Arc;
use tokio::sync::mpsc;

/// From a launch to the driver's first act.
const SPAWN_NANOS: u64 = 5_000_000;
/// How long it takes to look for an attempt's processes.
const VERIFY_NANOS: u64 = 2_000_000;

/// Where reports go.
pub(super) type Reports = mpsc::Sender<EffectReport>;

/// Carries out a server's effects.
pub(super) struct ServerLauncher {
    pub(super) world: Arc<World>,
    pub(super) node: NodeId,
}

#[async_trait]
impl Launcher for ServerLauncher {
    async fn begin(&self, effect: Effect, reports: Reports) {
        if self.world.before(self.node, Act::Effect).await == Then::Never {
            return;
        }
        self.world.begun(self.node, &effect);
        let (world, node) = (self.world.clone(), self.node);
        match effect {
            Effect::Launch { context, intent } => world.launch(node, &context, intent, reports),
            Effect::Verify { context, owner } => world.verify(node, context, owner, reports),
            Effect::Kill {
                context,
                intent,
                owner,
            } => {
                world.kill_attempt(node, &context, intent, &owner);
                world.verify(node, context, Some(owner), reports);
            }
            Effect::DeleteObjects { .. }
            | Effect::StartEngine { .. }
            | Effect::StopEngine
            | Effect::StartJob { .. }
            | Effect::KillJob { .. } => {}
        }
    }
}

/// Carries out a driver's effects.
pub(super) struct DriverLauncher {
    pub(super) world: Arc<World>,
    pub(super) node: NodeId,
}

#[async_trait]
impl Launcher for DriverLauncher {
    async fn begin(&self, effect: Effect, reports: Reports) {
        if self.world.before(self.node, Act::Effect).await == Then::Never {
            return;
        }
        self.world.begun(self.node, &effect);
        let (world, node) = (self.world.clone(), self.node);
        let driver = world.with(|state| {
            let place = state.place(node)?;
            match &place.kind {
                Kind::Driver { incarnation, .. } => Some(*incarnation),
                Kind::Server(_) => None,
            }
        });
        let Some(driver) = driver else { return };
        match effect {
            Effect::StartEngine { context } => {
                world.start_engine(node, driver, context.id, reports);
                world.later(ENGINE_START_NANOS, move |world| {
                    world.engine_is_ready(driver);
                });
            }
            Effect::StopEngine => {
                world.later(ENGINE_STOP_NANOS, move |world| {
                    world.end_engine(driver, true);
                });
            }
            Effect::StartJob { job } => world.start_job(driver, &job),
            Effect::KillJob { job } => world.kill_job(driver, job),
            Effect::Launch { .. }
            | Effect::Verify { .. }
            | Effect::Kill { .. }
            | Effect::DeleteObjects { .. } => {}
        }
    }
}

impl World {
    fn begun(&self, node: NodeId, effect: &Effect) {
        self.carried_out(
            node,
            |output| matches!(output, Output::Effect(wanted) if wanted == effect),
        );
    }

    /// Does something after so many nanoseconds, whoever has died by then.
    pub(super) fn later(
        self: &Arc<Self>,
        nanos: u64,
        work: impl FnOnce(&Arc<Self>) + Send + 'static,
    ) {
        let at = self.now().saturating_add(nanos);
        let world = self.clone();
        self.aside(async move {
            sleep_until(at).await;
            work(&world);
        });
    }

    /// Reports after so many nanoseconds. A host that is gone hears nothing.
    pub(super) fn report(&self, nanos: u64, reports: Reports, report: EffectReport) {
        let at = self.now().saturating_add(nanos);
        self.aside(async move {
            sleep_until(at).await;
            let _ = reports.send(report).await;
        });
    }

    fn launch(
        self: &Arc<Self>,
        node: NodeId,
        context: &ContextRecord,
        intent: IntentNumber,
        reports: Reports,
    ) {
        let fault = self.with(|state| state.launches(node));
        let error = (fault == Some(LaunchFault::Failing))
            .then(|| JobError::new("java.io.IOException", "no more processes"));
        let launched = EffectReport::Launched {
            context: context.id.clone(),
            intent,
            error,
        };
        let late = match fault {
            Some(LaunchFault::Late) => {
                let take = self.driver_config.times().driver_take;
                let late = self.with(|s| s.streams.of("launches", node.0).up_to(take));
                u64::try_from(late.as_nanos()).unwrap_or(u64::MAX)
            }
            _ => 0,
        };
        if fault != Some(LaunchFault::Unreported) {
            self.report(late.saturating_add(SPAWN_NANOS), reports, launched);
        }
        let times = match fault {
            Some(LaunchFault::Failing) => 0,
            Some(LaunchFault::Doubled) => 2,
            _ => 1,
        };
        for _ in 0..times {
            let (context, after) = (context.clone(), late.saturating_add(SPAWN_NANOS));
            let Some(launch) = self.launch_of(node, &context, intent) else {
                return;
            };
            self.later(after, move |world| world.spawn(&context, launch));
        }
    }

    fn launch_of(
        &self,
        node: NodeId,
        context: &ContextRecord,
        intent: IntentNumber,
    ) -> Option<DriverLaunch> {
        let now = self.now();
        self.with(|state| {
            let incarnation = Incarnation(state.streams.of("drivers", node.0).next());
            let place = state.place(node)?;
            let view = place.life.as_ref()?.handle.as_ref()?.view();
            let process = ProcessId {
                host: "host".to_owned(),
                boot: "boot".to_owned(),
                pid: u32::try_from(incarnation.0 & 0xffff).unwrap_or_default(),
                start_time: now,
            };
            Some(DriverLaunch {
                identity: Identity::new(
                    Address::new(format!("driver-{incarnation}"), 0),
                    incarnation,
                ),
                cluster: view.cluster.clone()?,
                context: context.id.clone(),
                intent,
                process,
                servers: vec![place.address.clone()],
            })
        })
    }

    fn spawn(self: &Arc<Self>, context: &ContextRecord, launch: DriverLaunch) {
        let driver = launch.identity.incarnation;
        let (id, intent) = (context.id.clone(), launch.intent);
        let number = self.with(|state| {
            let of = |kind: &Kind| matches!(kind, Kind::Driver { context_name, .. } if *context_name == context.name);
            state.places.iter().filter(|place| of(&place.kind)).count()
        });
        let name = format!("driver-of({})#{}", context.name, number + 1);
        let kind = Kind::Driver {
            context: id.clone(),
            context_name: context.name.clone(),
            incarnation: driver,
        };
        let node = self.add_place(name, launch.identity.address.clone(), kind);
        let deed = Deed::DriverStarted {
            context: id,
            intent,
            driver,
        };
        self.note(Noted::Deed(node, deed));
        self.start_driver(node, launch);
    }

    fn verify(
        self: &Arc<Self>,
        node: NodeId,
        context: ContextId,
        owner: Option<Owner>,
        reports: Reports,
    ) {
        let driver = owner.map(|owner| owner.driver);
        self.later(VERIFY_NANOS, move |world| {
            let lives = world.lives(&context, driver);
            // Without a driver there is nothing to look for by its mark, so nothing can be proved.
            let verdict = if driver.is_none() || lives {
                Verdict::Alive
            } else {
                Verdict::Dead
            };
            let deed = Deed::Verified {
                context: context.clone(),
                driver,
                verdict,
                lives,
            };
            world.note(Noted::Deed(node, deed));
            let report = EffectReport::Verified {
                context,
                driver,
                verdict,
                last_output: String::new(),
            };
            world.report(0, reports, report);
        });
    }

    /// Whether anything of an attempt lives: the driver, or an engine that it started.
    fn lives(&self, of: &ContextId, driver: Option<Incarnation>) -> bool {
        self.with(|state| match driver {
            Some(driver) => state.driver(driver).is_some() || state.engines.contains_key(&driver),
            None => state.places.iter().any(|place| {
                place.life.is_some()
                    && matches!(&place.kind, Kind::Driver { context, .. } if context == of)
            }),
        })
    }

    fn kill_attempt(
        self: &Arc<Self>,
        node: NodeId,
        context: &ContextId,
        intent: IntentNumber,
        owner: &Owner,
    ) {
        let place = self.with(|state| state.driver(owner.driver));
        let deed = Deed::Killed {
            context: context.clone(),
            intent,
            owner: owner.clone(),
            hit: place.map(|_| owner.driver),
        };
        self.note(Noted::Deed(node, deed));
        if let Some(place) = place {
            self.end(place, Ended::Killed);
        }
        self.end_engine(owner.driver, false);
    }
}
