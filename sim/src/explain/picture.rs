//! What is drawn: lanes, spans, moments and arrows, serialised into the page.

use serde::Serialize;

/// The number of an item, its place in [`Picture::items`].
pub type ItemId = usize;

/// A run, ready to be drawn. Times are microseconds of the world.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Picture {
    /// The schedule's name.
    pub name: String,
    /// The schedule's story, if it has one.
    pub story: String,
    /// The schedule, as its file.
    pub schedule: String,
    /// The engine that ran it.
    pub engine: String,
    /// The end of the run.
    pub end: u64,
    /// A lane for each place where processes live.
    pub lanes: Vec<Lane>,
    /// When each phase began.
    pub phases: Vec<(u64, String)>,
    /// The tenures of the singleton, in order.
    pub tenures: Vec<Tenure>,
    /// What went wrong by order of the schedule.
    pub faults: Vec<FaultBand>,
    /// Everything that happened, in order.
    pub items: Vec<Item>,
    /// How many items were left out, since there were too many.
    pub left_out: usize,
    /// How many heartbeats arrived; they are not drawn one by one.
    pub beats: usize,
    /// What is wrong, if anything.
    pub violation: Option<Wrong>,
}

/// One place where processes live, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lane {
    /// Its name.
    pub name: String,
    /// `server` or `driver`.
    pub role: String,
    /// The lives that it led.
    pub lives: Vec<Life>,
    /// When it stood still (SIGSTOP, suspend).
    pub pauses: Vec<(u64, u64)>,
    /// What its process thought, as often as that changed.
    pub thoughts: Vec<Thought>,
}

/// One life of one place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Life {
    /// Its incarnation.
    pub incarnation: String,
    /// When it began.
    pub from: u64,
    /// When it ended; the end of the run when it did not.
    pub to: u64,
    /// How it ended; empty when it did not.
    pub ended: String,
}

/// What a process thought of itself and the cluster, from a time on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Thought {
    /// Since when.
    pub at: u64,
    /// Its own status: `Up`, …; empty when it knows none.
    pub status: String,
    /// Its place in the order of age, 0 for the oldest.
    pub age: Option<usize>,
    /// The epoch that it knows.
    pub epoch: u64,
    /// The lane of the holder that it knows.
    pub holder: Option<usize>,
    /// The generation that it knows.
    pub generation: u64,
    /// Whether it should be sent requests.
    pub ready: bool,
    /// The lanes that it takes for unreachable.
    pub unreachable: Vec<usize>,
}

/// One tenure of the singleton, as the store has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tenure {
    /// Its epoch.
    pub epoch: u64,
    /// The holder's lane.
    pub lane: Option<usize>,
    /// Since when.
    pub from: u64,
    /// Until when.
    pub to: u64,
}

/// A fault and whom it hits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FaultBand {
    /// In words.
    pub what: String,
    /// Its kind, as in the schedule.
    pub kind: String,
    /// Since when.
    pub from: u64,
    /// Until when; equal to `from` when it is over at once.
    pub to: u64,
    /// The lanes that it hits.
    pub lanes: Vec<usize>,
}

/// What an item is; the page draws and filters by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ItemKind {
    /// A message, from one lane to another.
    Message,
    /// A transaction that the store carried out.
    Accepted,
    /// A transaction that the store refused.
    Refused,
    /// Something done outside the cluster: launches, kills, engines, jobs.
    Deed,
    /// What a process has to tell people.
    Event,
    /// A client's question.
    Call,
    /// The answer to it.
    Answer,
    /// Something that was decided and never carried out.
    Lost,
    /// A process panicked or spins.
    Broken,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// When; for a message, when it was sent.
    pub at: u64,
    /// Where; for a message, its sender.
    pub lane: usize,
    /// What it is.
    pub kind: ItemKind,
    /// In one line.
    pub text: String,
    /// All of it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// A message: to which lane.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<usize>,
    /// A message: when it arrived, if it did. A store's transaction: when it was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// What it directly came from.
    pub causes: Vec<ItemId>,
    /// Whether it is part of what led to the violation.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub in_slice: bool,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Wrong {
    /// When it was seen.
    pub at: u64,
    /// Which invariant.
    pub oracle: String,
    /// In words.
    pub what: String,
}
