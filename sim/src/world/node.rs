//! One place where processes live, and the process that lives there now.

use super::beats::Beats;
use super::clock::Clock;
use super::connection::Link;
use super::dialler::Dialler;
use super::events::{Event, Life};
use super::faults::Armed;
use super::hosts::{AttemptId, HostId};
use super::random::Random;
use super::storage::Watch;
use crate::trace::seen::NodeId;
use doyen_core::config::ValidConfig;
use doyen_core::identity::{ClusterId, Identity, Role};
use doyen_core::output::Output;
use doyen_core::process::Process;
use doyen_core::time::Time;
use std::collections::VecDeque;
use std::rc::Rc;

/// The random streams of a node.
#[derive(Debug)]
pub(crate) struct NodeRandom {
    pub(crate) identity: Random,
    pub(crate) host: Random,
    pub(crate) clock: Random,
    pub(crate) store: Random,
    pub(crate) launch: Random,
    pub(crate) engine: Random,
    pub(crate) client: Random,
}

/// A place.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    /// `s1`, or `driver-of(c1)#2`.
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) config: ValidConfig,
    pub(crate) host: HostId,
    /// The attempt of a driver.
    pub(crate) attempt: Option<AttemptId>,
    pub(crate) random: NodeRandom,

    pub(crate) process: Option<Process>,
    pub(crate) identity: Rc<Identity>,
    pub(crate) life: Life,
    pub(crate) clock: Clock,
    /// The wake that is planned next: when it is due, and when it comes.
    pub(crate) armed: Option<(Time, Time)>,
    /// Wakes within the present millisecond, to catch a process that is woken for nothing.
    pub(crate) wakes: (u64, u32),
    pub(crate) spins: bool,
    /// How many things keep it stopped.
    pub(crate) stops: u32,
    pub(crate) stopped_at: Time,
    /// What came while it was stopped.
    pub(crate) backlog: Vec<Event>,
    /// What it decided and did not do yet.
    pub(crate) decided: VecDeque<Output>,
    pub(crate) act_planned: bool,
    /// It has decided to stop.
    pub(crate) is_ending: bool,

    /// Whether the store has told its id, so that it can dial.
    pub(crate) store_id: bool,
    /// What it proves in handshakes.
    pub(crate) proves: Option<ClusterId>,
    pub(crate) diallers: Vec<Dialler>,
    pub(crate) links: Vec<Link>,
    pub(crate) beats: Beats,
    pub(crate) watch: Watch,
    /// When the last answer of the store arrives.
    pub(crate) answers_arrive: Time,
    /// Whether it was ready when its view was last made.
    pub(crate) ready: Option<(Time, bool)>,
    /// Accidents that wait for an act.
    pub(crate) accidents: Vec<Armed>,
    /// A server of the schedule that left in order, and stays away until it is started.
    pub(crate) has_left: bool,
}

impl Node {
    /// Whether a process runs here, stopped or not.
    pub(crate) const fn lives(&self) -> bool {
        self.process.is_some()
    }

    /// Whether it is stopped by SIGSTOP, or its machine sleeps.
    pub(crate) const fn is_stopped(&self) -> bool {
        self.stops > 0
    }
}
