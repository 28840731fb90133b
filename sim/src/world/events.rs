//! What is going to happen, in a total order: by time, then node, then kind, then the order in which
//! it was planned.

use super::connection::{ConnId, Frame, Lane};
use super::hosts::AttemptId;
use super::storage::StoreCall;
use crate::trace::seen::NodeId;
use doyen_core::identity::JobId;
use doyen_core::input::{Command, Input, LinkEvent, RequestId};
use doyen_core::records::key::Key;
use doyen_core::records::transaction::ReadOutcome;
use doyen_core::time::Time;
use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeSet, BinaryHeap};
use std::rc::Rc;

/// One life of the process at a node: events for a former life come too late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Life {
    /// Where.
    pub(crate) node: NodeId,
    /// The how many-th.
    pub(crate) number: u32,
}

/// How an attempt to connect goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// Who dials.
    pub(crate) from: Life,
    /// Whom.
    pub(crate) to: NodeId,
    /// For what.
    pub(crate) lane: Lane,
    /// Which attempt of that dialler; a later one has replaced it if they differ.
    pub(crate) number: u32,
    /// When it began.
    pub(crate) began: Time,
    /// Whether the acceptor's proof comes after the time of the handshake is over.
    pub(crate) is_late: bool,
}

/// Something that is going to happen.
#[derive(Debug)]
pub(crate) enum Event {
    /// A process told so is woken.
    Wake(Life),
    /// What a process decided is carried out.
    Act(Life),
    /// A process is told something by its own host or engine.
    Tell(Life, Box<Input>),
    /// The store's answer to a call that was sent then reaches its process.
    StoreAnswer(Life, Time, Box<Input>),
    /// Records changed: a process that watches the store is told.
    Changes(Life, Rc<BTreeSet<Key>>),
    /// The watch of a process is set anew.
    Watch(Life),
    /// A process asks the store for its id.
    StoreId(Life),
    /// The next frame of a connection that this end sent arrives at the other.
    Packet(ConnId, usize),
    /// A frame that lay in the buffer of a stopped process.
    Frame(ConnId, usize, Box<Frame>),
    /// This end of a connection learns that it is over.
    Closed(ConnId, usize),
    /// This end has waited for an acknowledgement since then.
    GiveUp(ConnId, usize, Time),
    /// This end asks whether the other is still there.
    Idle(ConnId, usize),
    /// A dialler begins an attempt.
    Dial(Attempt),
    /// The handshake reaches the acceptor, then that life of it.
    Shake(Attempt, Life),
    /// The handshake is over at the dialler.
    Shaken(Attempt, ConnId),
    /// An attempt failed: `None` when the connection broke in the handshake.
    DialFailed(Attempt, Option<Box<LinkEvent>>),
    /// The beat thread of a process has something to send.
    Beats(Life),
    /// A call reaches the store.
    Store(Box<StoreCall>),
    /// A client's read reaches its server.
    ReadBegins(Life, RequestId),
    /// The store answers a client's read.
    ClientRead(Life, RequestId, Box<ReadOutcome>),
    /// A client asks: the index in the schedule's workload.
    Ask(usize),
    /// A client's request reaches its server.
    Request(Life, Box<Command>),
    /// A client waits no longer.
    Deadline(RequestId),
    /// A server process is started.
    Start(NodeId),
    /// A driver process that was launched comes to life.
    DriverStarts(AttemptId),
    /// An engine child goes on.
    Engine(AttemptId, EngineStep),
    /// A server goes on with a kill.
    Kill(Life, Box<super::launcher::Killing>),
    /// A fault begins.
    FaultBegins(usize),
    /// A fault ends.
    FaultEnds(usize),
    /// The next step of a fault that goes on.
    FaultStep(usize, u32),
    /// The engine looks at all processes.
    Look,
}

/// What happens in an engine child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EngineStep {
    /// It takes jobs.
    Ready,
    /// It has ended as it was told to.
    Stopped,
    /// A job's code begins.
    Runs(JobId),
    /// A job's code returns.
    Returns(JobId),
    /// A job is gone since it was told to end; whether it took SIGKILL.
    Gone(JobId, bool),
    /// The keeper has ended everything of a dead driver.
    Swept,
}

/// What an event is about, for the order of those at one time: node and kind.
const fn order(event: &Event) -> (u16, u8) {
    match event {
        Event::FaultEnds(_) => (0, 0),
        Event::FaultBegins(_) => (0, 1),
        Event::FaultStep(..) => (0, 2),
        Event::Start(node) => (node.0, 3),
        Event::Act(life) => (life.node.0, 4),
        Event::Store(_) => (0, 5),
        Event::StoreAnswer(life, ..) => (life.node.0, 6),
        Event::Packet(..)
        | Event::Frame(..)
        | Event::Closed(..)
        | Event::GiveUp(..)
        | Event::Idle(..) => (0, 7),
        Event::Dial(attempt) | Event::Shaken(attempt, _) | Event::DialFailed(attempt, _) => {
            (attempt.from.node.0, 8)
        }
        Event::Shake(attempt, _) => (attempt.to.0, 9),
        Event::Changes(life, _) | Event::Watch(life) | Event::StoreId(life) => (life.node.0, 10),
        Event::Tell(life, _) => (life.node.0, 11),
        Event::Wake(life) => (life.node.0, 12),
        Event::Beats(life) => (life.node.0, 13),
        Event::Ask(_) | Event::Deadline(_) => (0, 14),
        Event::Request(life, _) | Event::ReadBegins(life, _) | Event::ClientRead(life, ..) => {
            (life.node.0, 15)
        }
        Event::DriverStarts(_) | Event::Engine(..) => (0, 16),
        Event::Kill(life, _) => (life.node.0, 17),
        Event::Look => (u16::MAX, 255),
    }
}

/// Where an event stands in the order, and where it lies.
#[derive(Clone, Copy, Debug)]
struct Place {
    at: Time,
    /// Node, kind and sequence in one number.
    tie: u64,
    slot: u32,
}

impl Place {
    /// Its place in the order as one number: compared at once.
    fn number(self) -> u128 {
        (u128::from(self.at.as_nanos()) << 64) | u128::from(self.tie)
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.number() == other.number()
    }
}

impl Eq for Place {}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        self.number().cmp(&other.number())
    }
}

/// So many places may lie near.
const NEAR_MAX: usize = 64;

/// Planned events: their small places in order, the events themselves in slots that are used again.
///
/// Most events are planned for soon. The next ones lie in a short sorted list, where a new one is
/// put near its end and taken from there; the others wait in a heap.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// The next ones, the last of them first.
    near: Vec<Place>,
    /// Those that come after all of these.
    far: BinaryHeap<Reverse<Place>>,
    slots: Vec<Option<Event>>,
    free: Vec<u32>,
    planned: u64,
}

impl Queue {
    /// Plans an event.
    pub(crate) fn push(&mut self, at: Time, event: Event) {
        self.planned = self.planned.wrapping_add(1);
        let (node, kind) = order(&event);
        let sequence = self.planned & 0x00ff_ffff_ffff;
        let tie = (u64::from(node) << 48) | (u64::from(kind) << 40) | sequence;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len().saturating_sub(1)).unwrap_or(u32::MAX)
        });
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Some(event);
        }
        self.put(Place { at, tie, slot });
    }

    fn put(&mut self, place: Place) {
        if self.near.first().is_none_or(|last| place > *last) {
            return self.far.push(Reverse(place));
        }
        let index = self.near.partition_point(|one| *one > place);
        self.near.insert(index, place);
        if self.near.len() > NEAR_MAX {
            let last = self.near.drain(..NEAR_MAX / 2);
            self.far.extend(last.map(Reverse));
        }
    }

    /// Takes the next event that happens at `until` or before.
    pub(crate) fn pop_until(&mut self, until: Time) -> Option<(Time, Event)> {
        if self.near.is_empty() {
            let next = std::iter::from_fn(|| self.far.pop());
            self.near.extend(next.take(NEAR_MAX / 2).map(|one| one.0));
            self.near.reverse();
        }
        let place = self.near.pop_if(|next| next.at <= until)?;
        self.free.push(place.slot);
        let event = self.slots.get_mut(place.slot as usize)?.take()?;
        Some((place.at, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::random::Random;

    #[test]
    fn events_of_one_time_come_by_node_then_kind_then_plan() {
        let life = |node| Life {
            node: NodeId(node),
            number: 1,
        };
        let mut queue = Queue::default();
        let at = Time::from_millis(5);
        queue.push(at, Event::Wake(life(2)));
        queue.push(at, Event::Act(life(2)));
        queue.push(at, Event::Wake(life(1)));
        queue.push(Time::from_millis(4), Event::Look);
        let mut seen = Vec::new();
        while let Some((_, event)) = queue.pop_until(at) {
            seen.push(format!("{event:?}"));
        }
        let wanted = [
            Event::Look,
            Event::Wake(life(1)),
            Event::Act(life(2)),
            Event::Wake(life(2)),
        ];
        assert_eq!(seen, wanted.map(|event| format!("{event:?}")));
        assert!(queue.pop_until(at).is_none());
    }

    #[test]
    fn events_come_in_order_however_far_ahead_they_were_planned() {
        let mut queue = Queue::default();
        let mut random = Random::new(7);
        let (mut now, mut planned, mut seen) = (0, BTreeSet::new(), 0_usize);
        for round in 0..3_000_usize {
            let ahead = [3, 50, 5_000][round % 3];
            // As many are planned as taken, but for the first and the last thousand.
            for _ in 0..[2, 1, 0][round / 1_000] {
                let at = now + random.below(ahead);
                let number = planned.len() + seen;
                planned.insert((at, number));
                queue.push(Time::from_millis(at), Event::Ask(number));
            }
            let popped = queue.pop_until(Time::from_millis(now + 5_000));
            let Some((at, Event::Ask(number))) = popped else {
                panic!("nothing is planned in round {round}");
            };
            now = at.as_millis();
            assert_eq!(planned.pop_first(), Some((now, number)));
            seen += 1;
        }
        assert!(queue.pop_until(Time::from_millis(now + 5_000)).is_none());
    }
}
