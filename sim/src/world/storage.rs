//! The simulated store itself: the model of every backend, its clock, and how it misbehaves.

use super::events::Life;
use crate::schedule::model::StoreProfile;
use crate::trace::seen::NodeId;
use doyen_core::identity::Identity;
use doyen_core::input::{RequestId, Ticket};
use doyen_core::records::key::Key;
use doyen_core::records::model::StoreModel;
use doyen_core::records::transaction::{Query, Transaction};
use doyen_core::time::{Stamp, Time};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use super::random::Random;

/// The store's clock at the world's start: 14 November 2023.
pub const EPOCH_MS: u64 = 1_700_000_000_000;

/// What is asked of the store.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    /// A transaction of a process.
    Commit(Ticket, Transaction),
    /// A query of a process.
    Read(Ticket, Query),
    /// A query for a client's read.
    Client(RequestId, Query),
}

/// A call on its way.
#[derive(Clone, Debug)]
pub(crate) struct StoreCall {
    pub(crate) life: Life,
    pub(crate) by: Rc<Identity>,
    pub(crate) sent: Time,
    pub(crate) what: Call,
    /// Its answer is lost on purpose.
    pub(crate) answer_lost: bool,
    /// It was given up by whoever sent it.
    pub(crate) is_late: bool,
}

/// What a process sees of the store's changes.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Whether the watch is set.
    pub(crate) is_set: bool,
    /// Since when nothing gets through.
    pub(crate) cut_since: Option<Time>,
    /// What waits for that.
    pub(crate) held: Vec<Rc<BTreeSet<Key>>>,
    /// When the last event arrives: they keep their order.
    pub(crate) arrives: Time,
    /// Records whose events are merged with a later one that is planned.
    pub(crate) merging: Vec<Key>,
}

impl Watch {
    pub(crate) const fn new(now: Time) -> Self {
        Self {
            is_set: false,
            cut_since: None,
            held: Vec::new(),
            arrives: now,
            merging: Vec::new(),
        }
    }
}

/// A fault of the store that hits some processes; all of them when it names none.
#[derive(Clone, Debug)]
struct Hit<T> {
    number: usize,
    nodes: Vec<NodeId>,
    what: T,
}

impl<T> Hit<T> {
    fn hits(&self, node: NodeId) -> bool {
        self.nodes.is_empty() || self.nodes.contains(&node)
    }
}

/// What the store does wrong now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// It takes so much longer.
    Slow(Duration),
    /// It does not answer; or refuses at once.
    Away {
        /// At once instead of silence.
        refuses: bool,
    },
    /// Of a thousand commits so many lose their answer.
    AnswersLost(u32),
    /// Of a thousand events so many are merged with a later one.
    EventsMerged(u32),
}

/// The store.
#[derive(Debug)]
pub struct SimStore {
    /// Its records.
    pub model: StoreModel,
    /// How it behaves without faults.
    pub profile: StoreProfile,
    offset_ms: i64,
    wrong: Vec<Hit<Wrong>>,
}

impl SimStore {
    /// An empty store.
    #[must_use]
    pub fn new(profile: StoreProfile) -> Self {
        Self {
            model: StoreModel::new(),
            profile,
            offset_ms: 0,
            wrong: Vec::new(),
        }
    }

    /// Its time.
    #[must_use]
    pub fn stamp(&self, now: Time) -> Stamp {
        let millis = EPOCH_MS.saturating_add(now.as_millis());
        Stamp(millis.saturating_add_signed(self.offset_ms))
    }

    /// Its clock jumps.
    pub fn step(&mut self, millis: i64) {
        self.offset_ms = self.offset_ms.saturating_add(millis);
    }

    pub(crate) fn begin(&mut self, number: usize, nodes: Vec<NodeId>, what: Wrong) {
        self.wrong.push(Hit {
            number,
            nodes,
            what,
        });
    }

    pub(crate) fn end(&mut self, number: usize) {
        self.wrong.retain(|hit| hit.number != number);
    }

    fn wrongs(&self, node: NodeId) -> impl Iterator<Item = &Wrong> {
        let hits = self.wrong.iter().filter(move |hit| hit.hits(node));
        hits.map(|hit| &hit.what)
    }

    /// How much longer a call takes for this process.
    pub(crate) fn slow(&self, node: NodeId) -> Duration {
        let slow = self.wrongs(node).map(|wrong| match wrong {
            Wrong::Slow(by) => *by,
            Wrong::Away { .. } | Wrong::AnswersLost(_) | Wrong::EventsMerged(_) => Duration::ZERO,
        });
        slow.sum()
    }

    /// Whether it is away for this process, and refuses then.
    pub(crate) fn away(&self, node: NodeId) -> Option<bool> {
        let away = self.wrongs(node).filter_map(|wrong| match wrong {
            Wrong::Away { refuses } => Some(*refuses),
            Wrong::Slow(_) | Wrong::AnswersLost(_) | Wrong::EventsMerged(_) => None,
        });
        // Silence is the stronger one.
        away.min()
    }

    /// Whether an answer to this process is lost.
    pub(crate) fn loses_answer(&self, node: NodeId, random: &mut Random) -> bool {
        let lost = self.wrongs(node).map(|wrong| match wrong {
            Wrong::AnswersLost(permille) => *permille,
            Wrong::Slow(_) | Wrong::Away { .. } | Wrong::EventsMerged(_) => 0,
        });
        let permille = lost.max().unwrap_or(0);
        permille > 0 && random.permille(permille)
    }

    /// Whether an event for this process is merged with a later one.
    pub(crate) fn merges_event(&self, node: NodeId, random: &mut Random) -> bool {
        let merged = self.wrongs(node).map(|wrong| match wrong {
            Wrong::EventsMerged(permille) => *permille,
            Wrong::Slow(_) | Wrong::Away { .. } | Wrong::AnswersLost(_) => 0,
        });
        let permille = merged.max().unwrap_or(0);
        permille > 0 && random.permille(permille)
    }

    /// How long a call takes to the store, and its answer back.
    pub(crate) fn way(&self, random: &mut Random) -> Duration {
        match self.profile {
            StoreProfile::Local => random.micros(60, 400),
            StoreProfile::Zookeeper => random.micros(200, 1_200),
        }
    }

    /// How long the store works on a commit.
    pub(crate) fn commits(&self, random: &mut Random) -> Duration {
        match self.profile {
            StoreProfile::Local => random.micros(100, 700),
            StoreProfile::Zookeeper if random.below(100) == 0 => random.micros(10_000, 60_000),
            StoreProfile::Zookeeper => random.micros(1_000, 6_000),
        }
    }

    /// How long an event takes to a watcher.
    pub(crate) fn event_takes(&self, random: &mut Random) -> Duration {
        match self.profile {
            StoreProfile::Local => random.micros(100, 600),
            StoreProfile::Zookeeper => random.micros(300, 8_000),
        }
    }
}
