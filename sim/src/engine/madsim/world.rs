//! What all parts of a run share: places, the store, active faults, and what was noted.

use super::acts::Awaited;
use super::clients::Clients;
use super::conditions::Conditions;
use super::journal::{Journal, Noted};
use super::process::Shown;
use super::recording::Recording;
use super::store::Store;
use super::streams::Streams;
use crate::schedule::model::StoreProfile;
use crate::trace::seen::{Ended, NodeId};
use doyen_core::config::ValidConfig;
use doyen_core::identity::{Address, ContextId, Identity, Incarnation, Role};
use doyen_core::input::Input;
use doyen_core::output::Output;
use doyen_core::records::transaction::{Query, Transaction};
use doyen_core::time::Time;
use doyen_runtime::host::HostHandle;
use doyen_runtime::simulated::Net;
use madsim::runtime::{Handle, NodeHandle};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What lives at a place.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// The server of this number in the schedule.
    Server(usize),
    /// A driver.
    Driver {
        context: ContextId,
        context_name: String,
        incarnation: Incarnation,
    },
}

impl Kind {
    /// Whether it is a driver of a context of this name.
    pub(super) fn is_of(&self, name: &str) -> bool {
        matches!(self, Self::Driver { context_name, .. } if context_name == name)
    }
}

/// A process, from its start to its end.
pub(super) struct Life {
    /// Its number among all lives.
    pub(super) serial: u64,
    /// Who it is; `None` until its process is made.
    pub(super) identity: Option<Identity>,
    /// Its process, once made, to look at.
    pub(super) shown: Option<Shown>,
    /// Its host, once started.
    pub(super) handle: Option<HostHandle>,
    /// Commits and reads that were wanted and have not been sent, effects not begun.
    pub(super) open: Vec<Output>,
}

/// Where processes live, one after the other.
pub(super) struct Place {
    pub(super) name: String,
    pub(super) address: Address,
    pub(super) kind: Kind,
    /// The simulated machine.
    pub(super) machine: madsim::task::NodeId,
    pub(super) life: Option<Life>,
    /// The faults by which it stands still.
    pub(super) stopped_by: BTreeSet<usize>,
    /// How the last life ended.
    pub(super) ended: Option<Ended>,
}

impl Place {
    pub(super) const fn role(&self) -> Role {
        match self.kind {
            Kind::Server(_) => Role::Server,
            Kind::Driver { .. } => Role::Driver,
        }
    }

    pub(super) fn identity(&self) -> Option<&Identity> {
        self.life.as_ref()?.identity.as_ref()
    }
}

/// What changes.
pub(super) struct State {
    pub(super) journal: Journal,
    pub(super) places: Vec<Place>,
    pub(super) streams: Streams,
    pub(super) profile: StoreProfile,
    pub(super) store: Store,
    pub(super) conditions: Conditions,
    /// Faults that are on, and when they end.
    pub(super) active: BTreeMap<usize, u64>,
    pub(super) acts: Vec<Awaited>,
    pub(super) engines: BTreeMap<Incarnation, super::engines::Child>,
    pub(super) clients: Clients,
    pub(super) lives: u64,
    pub(super) is_healed: bool,
    /// Conformance: everything that each life was told and wanted.
    pub(super) recording: Option<Recording>,
}

impl State {
    pub(super) fn note(&mut self, now: u64, noted: Noted) {
        self.journal.note(Time::from_nanos(now), noted);
    }

    pub(super) fn place(&self, node: NodeId) -> Option<&Place> {
        self.places.get(usize::from(node.0))
    }

    pub(super) fn place_mut(&mut self, node: NodeId) -> Option<&mut Place> {
        self.places.get_mut(usize::from(node.0))
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = (NodeId, &Place)> {
        (0..).map(NodeId).zip(&self.places)
    }

    /// The live driver of this incarnation.
    pub(super) fn driver(&self, driver: Incarnation) -> Option<NodeId> {
        let is_it = |place: &Place| {
            place.life.is_some()
                && matches!(place.kind, Kind::Driver { incarnation, .. } if incarnation == driver)
        };
        self.nodes()
            .find(|(_, place)| is_it(place))
            .map(|(node, _)| node)
    }
}

/// A run.
pub(super) struct World {
    pub(super) net: Arc<Net>,
    /// The node beside all processes.
    main: NodeHandle,
    /// What each server's process is configured with, by its number.
    pub(super) configs: Vec<ValidConfig>,
    /// What drivers are configured with.
    pub(super) driver_config: ValidConfig,
    state: Mutex<State>,
}

impl World {
    pub(super) fn new(
        net: Arc<Net>,
        main: NodeHandle,
        configs: Vec<ValidConfig>,
        driver_config: ValidConfig,
        state: State,
    ) -> Arc<Self> {
        Arc::new(Self {
            net,
            main,
            configs,
            driver_config,
            state: Mutex::new(state),
        })
    }

    /// The world's time in nanoseconds.
    pub(super) fn now(&self) -> u64 {
        self.net.now()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at or changes what all share. Nothing that wakes tasks may be done meanwhile.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state())
    }

    pub(super) fn note(&self, noted: Noted) {
        let now = self.now();
        self.state().note(now, noted);
    }

    /// Does something that no process's death ends.
    pub(super) fn aside(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.main.spawn(work);
    }

    /// Core was told something.
    pub(super) fn told(&self, node: NodeId, clock: Time, input: &Input) {
        let now = self.now();
        self.with(|state| {
            if let Some(recording) = &mut state.recording {
                recording.told(node, clock, input);
            }
            state.note(now, Noted::Input(node, clock, Box::new(input.clone())));
        });
    }

    /// Core wanted something.
    pub(super) fn wanted(&self, node: NodeId, output: &Output) {
        let now = self.now();
        self.with(|state| {
            if let Some(recording) = &mut state.recording {
                recording.wanted(node, output);
            }
            let is_open = matches!(
                output,
                Output::Commit { .. } | Output::Read { .. } | Output::Effect(_)
            );
            if is_open && let Some(life) = state.place_mut(node).and_then(|p| p.life.as_mut()) {
                life.open.push(output.clone());
            }
            state.note(now, Noted::Output(node, Box::new(output.clone())));
        });
    }

    /// Something that was wanted is carried out now.
    pub(super) fn carried_out(&self, node: NodeId, is_it: impl Fn(&Output) -> bool) {
        self.with(|state| {
            let life = state.place_mut(node).and_then(|place| place.life.as_mut());
            let at = life
                .as_ref()
                .and_then(|life| life.open.iter().position(is_it));
            let done = life.zip(at).map(|(life, at)| life.open.remove(at));
            if let Some(recording) = &mut state.recording {
                recording.carried_out(node, done.as_ref());
            }
        });
    }

    /// A commit is sent: who sends it; `None` when its life is over.
    pub(super) fn commits_of(&self, node: NodeId, transaction: &Transaction) -> Option<Identity> {
        self.carried_out(node, |output| {
            matches!(output, Output::Commit { transaction: wanted, .. } if wanted == transaction)
        });
        self.with(|state| state.place(node)?.identity().cloned())
    }

    /// A read is sent. Reads of clients are nothing that core wanted.
    pub(super) fn reads(&self, node: NodeId, query: &Query) {
        let wanted = self.with(|state| {
            let life = state.place(node).and_then(|place| place.life.as_ref());
            life.is_some_and(|life| life.open.iter().any(|output| is_read(output, query)))
        });
        if wanted {
            self.carried_out(node, |output| is_read(output, query));
        }
    }

    /// A process panicked: that is its end.
    pub(super) fn panicked(self: &Arc<Self>, node: NodeId, message: &str) {
        self.note(Noted::Panicked(node, message.to_owned()));
        self.end(node, Ended::Killed);
    }

    /// Begins a life at a place, if none is there: its number.
    pub(super) fn begin_life(&self, node: NodeId) -> Option<u64> {
        self.with(|state| {
            let serial = state.lives;
            let place = state.place_mut(node).filter(|place| place.life.is_none())?;
            place.stopped_by.clear();
            place.life = Some(Life {
                serial,
                identity: None,
                shown: None,
                handle: None,
                open: Vec::new(),
            });
            state.lives = serial.saturating_add(1);
            Some(serial)
        })
    }

    /// Ends the life at a place: its machine closes what it held, then nothing of it runs any more.
    pub(super) fn end(self: &Arc<Self>, node: NodeId, how: Ended) {
        let now = self.now();
        let machine = self.with(|state| {
            let place = state.place_mut(node)?;
            let life = place.life.take()?;
            place.stopped_by.clear();
            place.ended = Some(how.clone());
            let machine = place.machine;
            for output in life.open {
                if let Some(recording) = &mut state.recording {
                    recording.lost(node, &output);
                }
                state.note(now, Noted::Lost(node, Box::new(output)));
            }
            if let Some(identity) = life.identity {
                if let Some(recording) = &mut state.recording {
                    recording.ended(node);
                }
                state.note(now, Noted::Ended(node, identity, how));
            }
            Some(machine)
        });
        if let Some(machine) = machine {
            self.net.process_ended(machine);
            Handle::current().kill(machine);
            self.driver_ended(node);
        }
    }

    /// SIGSTOP by a fault, as long as that is on.
    pub(super) fn pause(&self, node: NodeId, fault: usize) {
        let stops =
            |place: &mut Place| place.stopped_by.insert(fault) && place.stopped_by.len() == 1;
        if !self.with(|state| state.active.contains_key(&fault)) {
            return;
        }
        if let Some(machine) = self.paused(node, true, stops) {
            Handle::current().pause(machine);
        }
    }

    /// SIGCONT, unless another fault keeps it stopped.
    pub(super) fn resume(&self, node: NodeId, fault: usize) {
        let goes_on =
            |place: &mut Place| place.stopped_by.remove(&fault) && place.stopped_by.is_empty();
        if let Some(machine) = self.paused(node, false, goes_on) {
            Handle::current().resume(machine);
        }
    }

    fn paused(
        &self,
        node: NodeId,
        paused: bool,
        change: impl FnOnce(&mut Place) -> bool,
    ) -> Option<madsim::task::NodeId> {
        let now = self.now();
        self.with(|state| {
            let place = state.place_mut(node)?;
            if place.life.is_none() || !change(place) {
                return None;
            }
            let machine = place.machine;
            state.note(now, Noted::Paused(node, paused));
            Some(machine)
        })
    }
}

fn is_read(output: &Output, query: &Query) -> bool {
    matches!(output, Output::Read { query: wanted, .. } if wanted == query)
}
