//! Faults of a schedule: how they begin and end.
//!
//! What TCP and the handshake keep from happening does not happen here: nothing comes twice or out of
//! order, and nothing of a connection that is gone comes again (`replay`, `duplicate`, `reorder`).
//! Losses come singly. Each process has a machine of its own, so that nothing else sleeps with it.

use super::conditions::{Condition, Rule};
use super::journal::Noted;
use super::world::{Kind, Place, World};
use crate::schedule::model::{At, Fault, FaultKind, LaunchFault, Target};
use crate::trace::seen::{Ended, NodeId};
use crate::world::paths::Side;
use doyen_runtime::simulated::{Net, sleep_until};
use std::collections::BTreeSet;
use std::sync::Arc;

pub(super) fn nanos(at: At) -> u64 {
    at.0.saturating_mul(1_000)
}

/// Whom a fault hits, for its end.
pub(super) type Hits = Vec<NodeId>;

impl World {
    /// A fault begins: whom it hits.
    pub(super) fn begin_fault(self: &Arc<Self>, index: usize, fault: &Fault, ends: u64) -> Hits {
        let hits = self.hits(&fault.kind);
        self.with(|state| state.active.insert(index, ends));
        self.note(Noted::Fault(index, true, hits.clone()));
        if let Some(condition) = self.condition(&fault.kind) {
            self.set(index, Some(condition));
            return hits;
        }
        match &fault.kind {
            FaultKind::Flap {
                topology,
                period,
                cut,
            } => {
                let rule = self.with(|state| state.rule(topology));
                self.flap(index, rule, (nanos(*period), nanos(*cut)));
            }
            FaultKind::Swizzle { step, .. } => self.swizzle(index, hits.clone(), nanos(*step)),
            FaultKind::CrashLoop { every, .. } => {
                for node in &hits {
                    self.crash_loop(index, *node, nanos(*every));
                }
            }
            FaultKind::Pause { .. } => hits.iter().for_each(|node| self.pause(*node, index)),
            FaultKind::Crash { .. } | FaultKind::CrashAll { .. } | FaultKind::PidReused { .. } => {
                for node in &hits {
                    self.end(*node, Ended::Killed);
                }
            }
            FaultKind::Leave { .. } => hits.iter().for_each(|node| self.leave(*node)),
            FaultKind::Start { .. } => hits.iter().for_each(|node| self.start_server(*node)),
            FaultKind::AtAct { act, nth, what, .. } => {
                for node in &hits {
                    self.at_act(index, *node, *act, *nth, *what);
                }
            }
            _ => self.harm_services(index, fault, &hits),
        }
        hits
    }

    /// Clocks, the store's sessions and engines.
    fn harm_services(self: &Arc<Self>, index: usize, fault: &Fault, hits: &Hits) {
        match &fault.kind {
            FaultKind::StampStep { millis } => self.with(|state| {
                state.store.offset = state.store.offset.saturating_add(*millis);
            }),
            FaultKind::SessionLost { targets } => {
                let now = self.now();
                self.with(|state| {
                    let all: Vec<NodeId> = state.nodes().map(|(node, _)| node).collect();
                    let hit = if targets.is_empty() { &all } else { hits };
                    for node in hit {
                        state.watch_anew(now, *node);
                    }
                });
            }
            FaultKind::ClockDrift { ppm, .. } => {
                self.machines(hits, |net, machine| net.drift(machine, *ppm));
            }
            FaultKind::ClockFreeze { .. } => {
                self.machines(hits, |net, machine| net.freeze(machine, true));
            }
            FaultKind::ClockStep {
                by,
                suspended: false,
                ..
            } => self.machines(hits, |net, machine| net.step(machine, by.duration())),
            FaultKind::ClockStep { by, .. } => self.suspend(index, fault, hits, nanos(*by)),
            FaultKind::EngineDeath { .. } => {
                for driver in self.drivers(hits) {
                    self.end_engine(driver, false);
                }
            }
            FaultKind::IgnoresTerm { .. } => {
                for driver in self.drivers(hits) {
                    self.with(|state| {
                        if let Some(child) = state.engines.get_mut(&driver) {
                            child.stubborn = true;
                        }
                    });
                }
            }
            _ => {}
        }
    }

    /// A fault ends.
    pub(super) fn end_fault(self: &Arc<Self>, index: usize, fault: &Fault, hits: &Hits) {
        if self.with(|state| state.active.remove(&index)).is_none() {
            return;
        }
        self.set(index, None);
        match &fault.kind {
            FaultKind::Pause { .. } => hits.iter().for_each(|node| self.resume(*node, index)),
            FaultKind::AtAct { .. } => {
                self.with(|state| state.acts.retain(|act| act.fault != index));
                hits.iter().for_each(|node| self.resume(*node, index));
                // Whoever was killed at its act is started again.
                hits.iter().for_each(|node| self.start_server(*node));
            }
            FaultKind::ClockStep {
                suspended: true, ..
            } => {
                self.machines(hits, |net, machine| net.power_on(machine));
                hits.iter().for_each(|node| self.resume(*node, index));
            }
            FaultKind::ClockDrift { .. } => {
                self.machines(hits, |net, machine| net.drift(machine, 0));
            }
            FaultKind::ClockFreeze { .. } => {
                self.machines(hits, |net, machine| net.freeze(machine, false));
            }
            FaultKind::Crash { .. }
            | FaultKind::CrashAll { .. }
            | FaultKind::CrashLoop { .. }
            | FaultKind::Leave { .. }
                if fault.until.is_some() =>
            {
                hits.iter().for_each(|node| self.start_server(*node));
            }
            _ => {}
        }
        self.note(Noted::Fault(index, false, hits.clone()));
    }

    /// Whom a fault means.
    fn hits(&self, kind: &FaultKind) -> Hits {
        let all_of = |sets: &[&Vec<Target>]| {
            self.with(|state| {
                let sets = sets.iter().flat_map(|targets| state.resolve_all(targets));
                sets.collect::<BTreeSet<_>>().into_iter().collect()
            })
        };
        match kind {
            FaultKind::Cut { topology, .. } | FaultKind::Flap { topology, .. } => {
                self.with(|state| state.rule(topology)).hits()
            }
            FaultKind::Link { from, to, .. } => all_of(&[from, to]),
            FaultKind::Swizzle { targets, .. }
            | FaultKind::StoreSlow { targets, .. }
            | FaultKind::StoreAway { targets, .. }
            | FaultKind::SessionLost { targets }
            | FaultKind::AnswersLost { targets, .. }
            | FaultKind::EventsMerged { targets, .. } => all_of(&[targets]),
            FaultKind::CrashAll { drivers } => self.with(|state| {
                let places = state.nodes().filter(|(_, place)| {
                    place.life.is_some() && (*drivers || matches!(place.kind, Kind::Server(_)))
                });
                places.map(|(node, _)| node).collect()
            }),
            FaultKind::Replay { from, to } => all_of(&[&vec![from.clone()], &vec![to.clone()]]),
            FaultKind::CrashLoop { target, .. }
            | FaultKind::Start { target }
            | FaultKind::Launches { target, .. } => self.one(target, |_| true),
            FaultKind::Pause { target }
            | FaultKind::Crash { target }
            | FaultKind::Leave { target }
            | FaultKind::AtAct { target, .. }
            | FaultKind::ClockDrift { target, .. }
            | FaultKind::ClockStep { target, .. }
            | FaultKind::ClockFreeze { target } => self.one(target, |place| place.life.is_some()),
            FaultKind::EngineDeath { target }
            | FaultKind::IgnoresTerm { target }
            | FaultKind::PidReused { target } => self.one(target, |place| {
                place.life.is_some() && matches!(place.kind, Kind::Driver { .. })
            }),
            FaultKind::StampStep { .. } => Vec::new(),
        }
    }

    fn one(&self, target: &Target, fits: impl Fn(&Place) -> bool) -> Hits {
        self.with(|state| {
            let node = state.resolve(target)?.node()?;
            state.place(node).filter(|place| fits(place)).map(|_| node)
        })
        .into_iter()
        .collect()
    }

    /// The condition that a fault is, if it is one.
    fn condition(&self, kind: &FaultKind) -> Option<Condition> {
        self.with(|state| {
            Some(match kind {
                FaultKind::Cut { topology, refuses } => Condition::Cut {
                    rule: state.rule(topology),
                    refuses: *refuses,
                },
                FaultKind::Link {
                    from,
                    to,
                    latency,
                    jitter,
                    loss,
                    ..
                } => Condition::Link {
                    from: state.whom(from)?,
                    to: state.whom(to)?,
                    latency: *latency,
                    jitter: *jitter,
                    loss: *loss,
                },
                FaultKind::StoreSlow { targets, latency } => {
                    Condition::StoreSlow(state.whom(targets)?, *latency)
                }
                FaultKind::StoreAway { targets, refuses } => {
                    Condition::StoreAway(state.whom(targets)?, *refuses)
                }
                FaultKind::AnswersLost { targets, permille } => {
                    Condition::AnswersLost(state.whom(targets)?, *permille)
                }
                FaultKind::EventsMerged { targets, permille } => {
                    Condition::EventsMerged(state.whom(targets)?, *permille)
                }
                FaultKind::Launches { target, how } => {
                    let (node, how): (NodeId, LaunchFault) = (state.resolve(target)?.node()?, *how);
                    Condition::Launches(node, how)
                }
                _ => return None,
            })
        })
    }

    fn drivers(&self, hits: &[NodeId]) -> Vec<doyen_core::identity::Incarnation> {
        self.with(|state| {
            let places = hits.iter().filter_map(|node| state.place(*node));
            let drivers = places.filter_map(|place| match place.kind {
                Kind::Driver { incarnation, .. } => Some(incarnation),
                Kind::Server(_) => None,
            });
            drivers.collect()
        })
    }

    fn leave(&self, node: NodeId) {
        let handle = self.with(|s| s.place(node)?.life.as_ref()?.handle.clone());
        if let Some(handle) = handle {
            handle.leave();
        }
    }

    /// Does something to the machines of these.
    fn machines(&self, hits: &[NodeId], work: impl Fn(&Net, madsim::task::NodeId)) {
        let machines: Vec<_> = self.with(|state| {
            let places = hits.iter().filter_map(|node| state.place(*node));
            places.map(|place| place.machine).collect()
        });
        for machine in machines {
            work(&self.net, machine);
        }
    }

    /// The machine of a process sleeps for so long, and with it the process; then the fault is over.
    fn suspend(self: &Arc<Self>, index: usize, fault: &Fault, hits: &Hits, nanos: u64) {
        for node in hits {
            self.pause(*node, index);
        }
        self.machines(hits, |net, machine| net.sleep_machine(machine));
        let (fault, hits) = (fault.clone(), hits.clone());
        self.later(nanos, move |world| world.end_fault(index, &fault, &hits));
    }

    fn is_on(&self, index: usize) -> bool {
        self.with(|state| state.active.contains_key(&index))
    }

    async fn wait(&self, nanos: u64) {
        sleep_until(self.now().saturating_add(nanos)).await;
    }

    fn flap(self: &Arc<Self>, index: usize, rule: Rule, (period, cut): (u64, u64)) {
        let world = self.clone();
        self.aside(async move {
            let rest = period.saturating_sub(cut).max(1_000_000);
            while world.is_on(index) {
                let condition = Condition::Cut {
                    rule: rule.clone(),
                    refuses: false,
                };
                world.set(index, Some(condition));
                world.wait(cut.max(1_000_000)).await;
                if !world.is_on(index) {
                    return;
                }
                world.set(index, None);
                world.wait(rest).await;
            }
        });
    }

    fn swizzle(self: &Arc<Self>, index: usize, targets: Hits, step: u64) {
        let mut back = targets.clone();
        self.with(|state| {
            // Fisher and Yates.
            for at in (1..back.len()).rev() {
                let bound = u64::try_from(at).unwrap_or(u64::MAX).saturating_add(1);
                let with = state.streams.of("swizzle", 0).below(bound);
                back.swap(at, usize::try_from(with).unwrap_or(0));
            }
        });
        let world = self.clone();
        self.aside(async move {
            let mut alone = BTreeSet::new();
            let away = targets.into_iter().map(|node| (node, true));
            for (node, goes) in away.chain(back.into_iter().map(|node| (node, false))) {
                if !world.is_on(index) {
                    return;
                }
                if goes {
                    alone.insert(Side::of(node));
                } else {
                    alone.remove(&Side::of(node));
                }
                let condition = Condition::Cut {
                    rule: Rule::Isolate(alone.clone()),
                    refuses: false,
                };
                world.set(index, Some(condition));
                world.wait(step.max(1_000_000)).await;
            }
        });
    }

    fn crash_loop(self: &Arc<Self>, index: usize, node: NodeId, every: u64) {
        let world = self.clone();
        self.aside(async move {
            while world.is_on(index) {
                world.end(node, Ended::Killed);
                world.start_server(node);
                world.wait(every.max(1_000_000)).await;
            }
        });
    }
}
