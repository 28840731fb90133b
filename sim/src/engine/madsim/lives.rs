//! Processes: how servers and drivers are started, and what becomes of those that stop.

use super::journal::Noted;
use super::launcher::{DriverLauncher, ServerLauncher};
use super::process::{Noting, Shown};
use super::recording::Maker;
use super::store::Client;
use super::world::{Kind, Place, World};
use crate::trace::seen::{Ended, NodeId};
use doyen_core::driver::{DriverLaunch, DriverProcess};
use doyen_core::identity::{Address, ClusterId, Identity, Incarnation};
use doyen_core::output::StopReason;
use doyen_core::process::Process;
use doyen_core::records::cluster::Secret;
use doyen_core::server::{Founding, ServerProcess};
use doyen_core::time::Time;
use doyen_runtime::host::{HostParts, start};
use doyen_runtime::launcher::Launcher;
use doyen_runtime::simulated::sleep_until;
use madsim::runtime::Handle;
use std::collections::BTreeSet;
use std::sync::Arc;

/// How long the service manager waits before it starts a server that went down again.
const RESTART_NANOS: u64 = 1_000_000_000;

impl World {
    /// Makes a place with a machine of its own.
    pub(super) fn add_place(&self, name: String, address: Address, kind: Kind) -> NodeId {
        let machine = Handle::current().create_node().name(name.clone()).build();
        let machine = machine.id();
        self.net.add_host(machine, address.host());
        let node = self.with(|state| {
            let node = NodeId(u16::try_from(state.places.len()).unwrap_or(u16::MAX));
            state.places.push(Place {
                name,
                address,
                kind,
                machine,
                life: None,
                stopped_by: BTreeSet::new(),
                ended: None,
            });
            node
        });
        self.lay_paths();
        node
    }

    /// Starts a server: a fresh incarnation, unless one runs.
    pub(super) fn start_server(self: &Arc<Self>, node: NodeId) {
        let Some(Kind::Server(number)) = self.with(|s| s.place(node).map(|p| p.kind.clone()))
        else {
            return;
        };
        let Some(config) = self.configs.get(number).cloned() else {
            return;
        };
        let world = self.clone();
        let make = move |identity: Identity, now: Time| {
            let founding = world.with(|state| {
                let random = state.streams.of("clusters", node.0);
                Founding {
                    cluster: ClusterId::new(format!("cluster-{:016x}", random.next())),
                    secret: Secret(format!("{:016x}", random.next())),
                }
            });
            let maker = Maker::Server(config.clone(), identity.clone(), founding.clone(), now);
            world.made(node, &identity, maker);
            let server = ServerProcess::new(config.clone(), identity, founding, now);
            Process::Server(Box::new(server))
        };
        let launcher = ServerLauncher {
            world: self.clone(),
            node,
        };
        self.start(node, make, Arc::new(launcher), None);
    }

    /// Starts a driver.
    pub(super) fn start_driver(self: &Arc<Self>, node: NodeId, launch: DriverLaunch) {
        let (world, config) = (self.clone(), self.driver_config.clone());
        let incarnation = launch.identity.incarnation;
        let make = move |identity: Identity, now: Time| {
            let maker = Maker::Driver(config.clone(), launch.clone(), now);
            world.made(node, &identity, maker);
            Process::Driver(Box::new(DriverProcess::new(
                config.clone(),
                launch.clone(),
                now,
            )))
        };
        let launcher = DriverLauncher {
            world: self.clone(),
            node,
        };
        self.start(node, make, Arc::new(launcher), Some(incarnation));
    }

    fn start(
        self: &Arc<Self>,
        node: NodeId,
        mut make: impl FnMut(Identity, Time) -> Process + Send + 'static,
        launcher: Arc<dyn Launcher>,
        incarnation: Option<Incarnation>,
    ) {
        let Some(serial) = self.begin_life(node) else {
            return;
        };
        let drawn = self.with(|state| {
            let first = Incarnation(state.streams.of("incarnations", node.0).next());
            state
                .place(node)
                .map(|place| (place.machine, place.address.clone(), place.role(), first))
        });
        let Some((machine, address, role, first)) = drawn else {
            return;
        };
        let world = self.clone();
        let parts = HostParts {
            make: Box::new(move |identity, now| {
                let reading = world.net.clock(madsim::plugin::node());
                let began = reading.saturating_sub(now.as_nanos());
                let process = Shown::new(make(identity, now), began);
                world.show(node, &process);
                Noting {
                    world: world.clone(),
                    node,
                    serial,
                    process,
                    dead: false,
                    wakes: (0, 0),
                }
            }),
            address,
            incarnation: Some(incarnation.unwrap_or(first)),
            role,
            cluster_name: "simulated".to_owned(),
            metadata: Arc::new(Client {
                world: self.clone(),
                node,
            }),
            launcher,
            store_call: self.driver_config.times().store_call,
        };
        // A machine whose last process was killed runs nothing until it is told to again.
        Handle::current().restart(machine);
        let Some(machine) = Handle::current().get_node(machine) else {
            return;
        };
        let world = self.clone();
        machine.spawn(async move {
            match start(parts).await {
                Ok((handle, stopped)) => {
                    world.with(|state| {
                        let life = state.place_mut(node).and_then(|place| place.life.as_mut());
                        if let Some(life) = life {
                            life.handle = Some(handle);
                        }
                    });
                    if let Ok(reason) = stopped.await {
                        world.stopped(node, reason);
                    }
                }
                Err(error) => world.panicked(node, &format!("cannot start: {error}")),
            }
        });
    }

    fn show(&self, node: NodeId, process: &Shown) {
        self.with(|state| {
            let life = state.place_mut(node).and_then(|place| place.life.as_mut());
            if let Some(life) = life {
                life.shown = Some(process.clone());
            }
        });
    }

    /// The process of a life is made, or made anew.
    fn made(&self, node: NodeId, identity: &Identity, maker: Maker) {
        let now = self.now();
        self.with(|state| {
            let Some(place) = state.place_mut(node) else {
                return;
            };
            let (name, role) = (place.name.clone(), place.role());
            let old = place.life.as_mut().and_then(|life| {
                let lost = std::mem::take(&mut life.open);
                life.identity
                    .replace(identity.clone())
                    .map(|old| (old, lost))
            });
            if let Some((old, lost)) = old {
                for output in lost {
                    if let Some(recording) = &mut state.recording {
                        recording.lost(node, &output);
                    }
                    state.note(now, Noted::Lost(node, Box::new(output)));
                }
                let how = Ended::Stopped(StopReason::Reincarnate);
                state.note(now, Noted::Ended(node, old, how));
            }
            if let Some(recording) = &mut state.recording {
                recording.made(node, maker);
            }
            state.note(now, Noted::Began(node, name, identity.clone(), role));
        });
    }

    /// A process has stopped itself. A server that did not leave is started again by its service
    /// manager; one that left after the heal too, since it is one of those that should run.
    fn stopped(self: &Arc<Self>, node: NodeId, reason: StopReason) {
        let again = match reason {
            StopReason::LeftOut { .. } | StopReason::ClusterChanged { .. } => true,
            StopReason::Left => self.with(|state| state.is_healed),
            StopReason::Reincarnate | StopReason::DriverDone | StopReason::DriverFenced { .. } => {
                false
            }
        };
        let world = self.clone();
        self.aside(async move {
            world.end(node, Ended::Stopped(reason));
            if again {
                sleep_until(world.now().saturating_add(RESTART_NANOS)).await;
                world.start_server(node);
            }
        });
    }
}
