//! What can go wrong in a run.

use super::model::Rest;
use super::tagged;
use super::words::{At, Target};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// When it begins.
    pub at: At,
    /// When it ends; without, it lasts to the heal, or is over at once.
    pub until: Option<At>,
    /// What.
    pub kind: FaultKind,
    /// What this release does not know.
    pub rest: Rest,
}

impl Fault {
    /// A fault that is over at once, or lasts to the heal.
    #[must_use]
    pub fn new(at: At, kind: FaultKind) -> Self {
        Self {
            at,
            until: None,
            kind,
            rest: Rest::new(),
        }
    }

    /// The same fault, ended at this time.
    #[must_use]
    pub fn until(self, until: At) -> Self {
        Self {
            until: Some(until),
            ..self
        }
    }
}

impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut table = self.rest.clone();
        tagged::write("kind", &self.kind, &mut table).map_err(serde::ser::Error::custom)?;
        table.insert("at".to_owned(), self.at.to_string().into());
        if let Some(until) = self.until {
            table.insert("until".to_owned(), until.to_string().into());
        }
        table.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Fault {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        tagged::with(from, read)
    }
}

fn read(mut table: Rest) -> Result<Fault, tagged::Wrong> {
    let at = tagged::need("at", &mut table)?;
    let until = tagged::take("until", &mut table)?;
    let (kind, rest) = tagged::read("kind", table)?;
    Ok(Fault {
        at,
        until,
        kind,
        rest,
    })
}

/// What can go wrong. Targets are resolved when the fault begins; one that names nobody then does
/// nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum FaultKind {
    /// Packets are lost, or refused, between sides.
    Cut {
        /// Who cannot reach whom.
        topology: Topology,
        /// A firewall that refuses (a reset) instead of dropping.
        #[serde(default, skip_serializing_if = "tagged::is_default")]
        refuses: bool,
    },
    /// A cut that comes and goes until the fault ends.
    Flap {
        /// Who cannot reach whom.
        topology: Topology,
        /// How long one round takes.
        period: At,
        /// How long of it is cut.
        cut: At,
    },
    /// Targets lose their links one by one, and get them back in another order.
    Swizzle {
        /// Who.
        targets: Vec<Target>,
        /// The pause between two steps.
        step: At,
    },
    /// Slow and lossy links, one way: loss delays what a connection carries and loses beats.
    Link {
        /// From whom; empty for everybody.
        #[serde(default, skip_serializing_if = "tagged::is_default")]
        from: Vec<Target>,
        /// To whom; empty for everybody.
        #[serde(default, skip_serializing_if = "tagged::is_default")]
        to: Vec<Target>,
        /// Further latency.
        #[serde(default, skip_serializing_if = "tagged::is_default")]
        latency: At,
        /// Up to so much more, at random.
        #[serde(default, skip_serializing_if = "tagged::is_default")]
        jitter: At,
        /// Of a thousand packets so many are lost.
        #[serde(default, skip_serializing_if = "tagged::is_default")]
        loss: u32,
        /// Losses come in bursts of so many packets.
        #[serde(default, skip_serializing_if = "tagged::is_default")]
        burst: u32,
        /// Of a thousand beats so many come twice.
        #[serde(default, skip_serializing_if = "tagged::is_default")]
        duplicate: u32,
        /// Of a thousand beats so many overtake others.
        #[serde(default, skip_serializing_if = "tagged::is_default")]
        reorder: u32,
    },
    /// What was sent long ago on a connection that is gone comes once more.
    Replay {
        /// Whose messages.
        from: Target,
        /// To whom.
        to: Target,
    },
    /// SIGSTOP; SIGCONT at the end of the fault.
    Pause {
        /// Who.
        target: Target,
    },
    /// `kill -9`; started again at the end of the fault, if it has one.
    Crash {
        /// Who.
        target: Target,
    },
    /// `kill -9` again and again, started again at once each time.
    CrashLoop {
        /// Who.
        target: Target,
        /// The pause between two deaths.
        every: At,
    },
    /// All servers are killed, and started again at the end of the fault.
    CrashAll {
        /// Drivers die too (power-off).
        #[serde(default, skip_serializing_if = "tagged::is_default")]
        drivers: bool,
    },
    /// Leaves in order; started again at the end of the fault, if it has one.
    Leave {
        /// Who.
        target: Target,
    },
    /// A server that has not been started yet, or is dead, is started.
    Start {
        /// Which.
        target: Target,
    },
    /// At its n-th act of this kind from now on, a process dies, stops, or its answer is lost.
    AtAct {
        /// Who.
        target: Target,
        /// Which kind of act.
        act: Act,
        /// The how many-th, from 1.
        nth: u32,
        /// What happens there.
        what: Accident,
    },
    /// The process's clock runs so many parts in a million faster (slower when negative).
    ClockDrift {
        /// Whose.
        target: Target,
        /// Parts per million.
        ppm: i32,
    },
    /// The process's clock jumps ahead; with `suspended` the machine slept and its other processes
    /// on the same host too.
    ClockStep {
        /// Whose.
        target: Target,
        /// How far.
        by: At,
        /// The process did not run meanwhile: it was suspended for as long.
        #[serde(default, skip_serializing_if = "tagged::is_default")]
        suspended: bool,
    },
    /// The process's clock stands still.
    ClockFreeze {
        /// Whose.
        target: Target,
    },
    /// The store's clock jumps; back when negative (milliseconds).
    StampStep {
        /// How far, in milliseconds.
        millis: i64,
    },
    /// The store takes longer for these; empty for everybody.
    StoreSlow {
        /// For whom.
        #[serde(default, skip_serializing_if = "tagged::is_default")]
        targets: Vec<Target>,
        /// How much longer.
        latency: At,
    },
    /// These do not reach the store; empty for everybody.
    StoreAway {
        /// Who.
        #[serde(default, skip_serializing_if = "tagged::is_default")]
        targets: Vec<Target>,
        /// Refused at once instead of silence.
        #[serde(default, skip_serializing_if = "tagged::is_default")]
        refuses: bool,
    },
    /// These lose their session: events since then are lost, the watch is set again.
    SessionLost {
        /// Who; empty for everybody.
        #[serde(default, skip_serializing_if = "tagged::is_default")]
        targets: Vec<Target>,
    },
    /// Of a thousand commits so many lose their answer; half of those are carried out late.
    AnswersLost {
        /// Whose; empty for everybody.
        #[serde(default, skip_serializing_if = "tagged::is_default")]
        targets: Vec<Target>,
        /// Of a thousand.
        permille: u32,
    },
    /// Of a thousand events of the store so many are merged with a later one.
    EventsMerged {
        /// Whose; empty for everybody.
        #[serde(default, skip_serializing_if = "tagged::is_default")]
        targets: Vec<Target>,
        /// Of a thousand.
        permille: u32,
    },
    /// The engine child of a driver dies.
    EngineDeath {
        /// Which driver.
        target: Target,
    },
    /// Launches by this server misbehave.
    Launches {
        /// Whose.
        target: Target,
        /// How.
        how: LaunchFault,
    },
    /// Engine children started from now on do not heed SIGTERM.
    IgnoresTerm {
        /// Of which driver.
        target: Target,
    },
    /// Dies, and its pid is at once given to another process of the host.
    PidReused {
        /// Which driver.
        target: Target,
    },
}

/// How launches misbehave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LaunchFault {
    /// They come late, by up to the time that a driver may take.
    Late,
    /// Each happens twice.
    Doubled,
    /// They happen, but are not reported.
    Unreported,
    /// They fail.
    Failing,
    /// The child of a dead driver lives on until its keeper's bound.
    Orphaned,
}

/// What a process does that can be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// A commit sent to the store.
    Commit,
    /// A read sent to the store.
    Read,
    /// An effect begun.
    Effect,
    /// A message sent.
    Send,
}

/// What happens at an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accident {
    /// Killed before it.
    KillBefore,
    /// Killed after it, before its answer.
    KillAfter,
    /// Stopped between decision and act, until the fault ends.
    PauseBefore,
    /// Stopped right after it, until the fault ends.
    PauseAfter,
    /// It is carried out, and its answer is lost.
    LoseAnswer,
    /// Its answer is lost, and it is carried out when the fault ends.
    ActLate,
}

/// Who cannot reach whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topology {
    /// Sides that cannot reach each other. Who is named nowhere reaches everybody. `store` is on
    /// the sides that name it, reached by all when none does.
    Sides(Vec<Vec<Target>>),
    /// Each of these alone, cut off from everybody.
    Isolate(Vec<Target>),
    /// From the first to the second, one way.
    OneWay(Vec<Target>, Vec<Target>),
    /// Two sides that share one member.
    Bridge(Vec<Target>, Target, Vec<Target>),
    /// In a ring, each reaches only a majority around itself.
    MajoritiesRing,
}

impl Topology {
    /// Everybody that it names.
    #[must_use]
    pub fn targets(&self) -> Vec<&Target> {
        match self {
            Self::Sides(sides) => sides.iter().flatten().collect(),
            Self::Isolate(alone) => alone.iter().collect(),
            Self::OneWay(from, to) => from.iter().chain(to).collect(),
            Self::Bridge(one, middle, other) => one.iter().chain([middle]).chain(other).collect(),
            Self::MajoritiesRing => Vec::new(),
        }
    }
}

impl FaultKind {
    /// Its name in a schedule.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Cut { .. } => "cut",
            Self::Flap { .. } => "flap",
            Self::Swizzle { .. } => "swizzle",
            Self::Link { .. } => "link",
            Self::Replay { .. } => "replay",
            Self::Pause { .. } => "pause",
            Self::Crash { .. } => "crash",
            Self::CrashLoop { .. } => "crash-loop",
            Self::CrashAll { .. } => "crash-all",
            Self::Leave { .. } => "leave",
            Self::Start { .. } => "start",
            Self::AtAct { .. } => "at-act",
            Self::ClockDrift { .. } => "clock-drift",
            Self::ClockStep { .. } => "clock-step",
            Self::ClockFreeze { .. } => "clock-freeze",
            Self::StampStep { .. } => "stamp-step",
            Self::StoreSlow { .. } => "store-slow",
            Self::StoreAway { .. } => "store-away",
            Self::SessionLost { .. } => "session-lost",
            Self::AnswersLost { .. } => "answers-lost",
            Self::EventsMerged { .. } => "events-merged",
            Self::EngineDeath { .. } => "engine-death",
            Self::Launches { .. } => "launches",
            Self::IgnoresTerm { .. } => "ignores-term",
            Self::PidReused { .. } => "pid-reused",
        }
    }
}
