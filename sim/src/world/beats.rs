//! The beat thread of a process: repeats core's last beat on connections of its own, and falls silent
//! when core has not renewed it for 500 ms (runtime/src/beat.rs; protocol.md S6).

use super::World;
use super::connection::{ConnId, DIALLER, Frame, Lane};
use super::events::{Event, Life};
use super::paths::{BeatFate, Side};
use crate::trace::seen::{NodeId, Sink};
use doyen_core::identity::Address;
use doyen_core::input::Input;
use doyen_core::output::BeatPlan;
use doyen_core::time::Time;
use doyen_core::wire::Beat;
use std::time::Duration;

/// A beat that core did not renew for so long is not repeated any more (S6).
const STALE_AFTER: Duration = Duration::from_millis(500);

/// Whom to beat, and where that is.
#[derive(Debug)]
struct Target {
    address: Address,
    node: Option<NodeId>,
    interval: Duration,
    conn: Option<ConnId>,
    next: Time,
}

/// What the thread knows.
#[derive(Debug, Default)]
pub(crate) struct Beats {
    beat: Option<Beat>,
    /// By the process's own clock.
    renewed: Time,
    sequence: u64,
    targets: Vec<Target>,
    due: Option<Time>,
    /// When the process began: the beats' grid.
    began: Time,
}

impl Beats {
    /// The thread of a process that begins now.
    pub(crate) fn new(began: Time) -> Self {
        Self {
            began,
            ..Self::default()
        }
    }
}

impl<S: Sink> World<S> {
    /// Takes a plan, or renews the one there is.
    pub(super) fn set_beats(&mut self, id: NodeId, plan: BeatPlan) {
        let now = self.now;
        let node = &mut self.nodes[id];
        node.beats.renewed = node.clock.read(now);
        node.beats.beat = plan.beat;
        let same =
            node.beats.targets.len() == plan.targets.len()
                && node.beats.targets.iter().zip(&plan.targets).all(
                    |(old, (address, interval))| {
                        old.interval == *interval && old.address == *address
                    },
                );
        if same {
            return;
        }
        let mut old = std::mem::take(&mut node.beats.targets);
        for (address, interval) in &plan.targets {
            let kept = old
                .iter()
                .position(|one| one.address == *address && one.interval == *interval);
            let target = match kept {
                Some(index) => old.remove(index),
                None => Target {
                    address: address.clone(),
                    node: self.server_at(address),
                    interval: *interval,
                    conn: None,
                    next: now,
                },
            };
            self.nodes[id].beats.targets.push(target);
        }
        // A target of another interval is dialled anew, as the real thread does.
        let keep = self.nodes[id].beats.targets.iter();
        let keep = keep
            .filter(|one| one.conn.is_some() || !old.iter().any(|o| o.address == one.address))
            .map(|one| one.address.clone())
            .collect();
        self.set_dialled(id, Lane::Beat, &keep);
        let all = plan.targets.into_keys().collect();
        self.set_dialled(id, Lane::Beat, &all);
    }

    /// A connection for beats is there: the first one goes out at once.
    pub(super) fn beats_connected(&mut self, id: NodeId, to: NodeId, conn: ConnId) {
        let now = self.now;
        let mut targets = self.nodes[id].beats.targets.iter_mut();
        if let Some(target) = targets.find(|one| one.node == Some(to)) {
            target.conn = Some(conn);
            target.next = now;
        }
        self.plan_beats(id);
    }

    /// A connection for beats is gone.
    pub(super) fn beats_cut(&mut self, id: NodeId, conn: ConnId) {
        let mut targets = self.nodes[id].beats.targets.iter_mut();
        if let Some(target) = targets.find(|one| one.conn == Some(conn)) {
            target.conn = None;
        }
    }

    /// Plans the next beat that is due, if it is not planned already.
    pub(super) fn plan_beats(&mut self, id: NodeId) {
        let node = &mut self.nodes[id];
        let targets = node.beats.targets.iter().filter(|one| one.conn.is_some());
        let next = targets.map(|one| one.next).min();
        if let Some(next) = next
            && node.beats.due.is_none_or(|due| next < due)
        {
            node.beats.due = Some(next);
            let life = node.life;
            self.queue.push(next, Event::Beats(life));
        }
    }

    /// The thread wakes: whoever is due gets a beat.
    pub(super) fn beats(&mut self, life: Life) {
        let now = self.now;
        let node = &mut self.nodes[life.node];
        if node.beats.due != Some(now) {
            return;
        }
        node.beats.due = None;
        if node.is_stopped() {
            return;
        }
        let reading = node.clock.read(now);
        let fresh = reading.since(node.beats.renewed) <= STALE_AFTER;
        let began = node.beats.began;
        let mut sent: [Option<(ConnId, NodeId)>; 8] = [None; 8];
        let mut count = 0;
        for target in &mut node.beats.targets {
            let (Some(conn), Some(to)) = (target.conn, target.node) else {
                continue;
            };
            if target.next > now || count == sent.len() {
                continue;
            }
            target.next = next_on_grid(began, now, target.interval);
            if fresh {
                sent[count] = Some((conn, to));
                count += 1;
            }
        }
        for (conn, to) in sent.into_iter().flatten() {
            self.send_beat(life.node, conn, to);
        }
        self.plan_beats(life.node);
    }

    fn send_beat(&mut self, id: NodeId, conn: ConnId, to: NodeId) {
        let beats = &mut self.nodes[id].beats;
        let Some(beat) = &mut beats.beat else {
            return;
        };
        beats.sequence = beats.sequence.saturating_add(1);
        beat.sequence = beats.sequence;
        let beat = beat.clone();
        match self.paths.beat_fate(Side::of(id), Side::of(to)) {
            BeatFate::Once => self.transmit(conn, DIALLER, Frame::Beat(beat)),
            BeatFate::Twice => {
                self.transmit(conn, DIALLER, Frame::Beat(beat.clone()));
                self.transmit(conn, DIALLER, Frame::Beat(beat));
            }
            BeatFate::Late(by) => {
                if self.nodes[to].lives() {
                    let event = Event::Tell(self.nodes[to].life, Box::new(Input::Beat(beat)));
                    self.queue.push(self.now.after(by), event);
                }
            }
            BeatFate::Lost => {}
        }
    }
}

/// The next multiple of the interval since the beginning: targets of one interval share their wakes.
fn next_on_grid(began: Time, now: Time, interval: Duration) -> Time {
    let interval = interval.max(Duration::from_millis(1));
    let past = now.since(began).as_nanos() % interval.as_nanos();
    let left = interval.as_nanos().saturating_sub(past);
    now.after(Duration::from_nanos(
        u64::try_from(left).unwrap_or(u64::MAX),
    ))
}
