//! The schedule as data. Unknown fields of later versions are kept in `rest`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The version of the format that this release writes.
pub const FORMAT: u32 = 1;

/// The version of the rules that this release simulates: it rises whenever a change of core, world
/// or oracles may change what a schedule leads to.
pub const RULES: u32 = 1;

/// What a release does not know, kept as it was.
pub type Rest = toml::Table;

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Schedule {
    /// The version of the format, [`FORMAT`] when written by this release.
    pub format: u32,
    /// The version of the rules under which it was recorded; see [`RULES`].
    pub rules: u32,
    /// A short name, unique in its corpus.
    #[serde(default)]
    pub name: String,
    /// What happens and why it is kept, in sentences.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub story: String,
    /// What a run of it is expected to end with.
    #[serde(default)]
    pub expect: Expect,
    /// The seed of the run's random streams; each purpose and node has a stream of its own.
    pub seed: u64,
    /// Seeds of single purposes that differ from what `seed` gives, by the purpose's name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub seeds: BTreeMap<String, u64>,
    /// The servers, in the order of the seed list.
    pub servers: Vec<Server>,
    /// Settings of every process, `stable-after = "7s"`: the names of core's configuration.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, Setting>,
    /// How the store behaves when no fault says otherwise.
    #[serde(default)]
    pub store: StoreProfile,
    /// When faults end and how long the run may take after that.
    #[serde(default)]
    pub phases: Phases,
    /// What clients ask, in order of time.
    #[serde(default)]
    pub workload: Vec<Ask>,
    /// What goes wrong, in order of time.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// What this release does not know.
    #[serde(flatten)]
    pub rest: Rest,
}

/// What a run is expected to end with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expect {
    /// Every oracle is content.
    #[default]
    Pass,
    /// This oracle is violated (a planted bug, the canary).
    Violation(String),
    /// Waits for arbitration by gossip: counted, not run.
    Waiting(String),
}

/// One server process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Server {
    /// Its name, `s1`: what faults and clients call it.
    pub name: String,
    /// When it is started first.
    #[serde(default)]
    pub start: At,
    /// Its own seed list; empty for the schedule's servers in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seed_list: Vec<String>,
    /// Settings that differ from the schedule's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, Setting>,
    /// What this release does not know.
    #[serde(flatten)]
    pub rest: Rest,
}

/// The value of a setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Setting {
    /// Yes or no.
    Switch(bool),
    /// A number.
    Number(u64),
    /// A duration.
    Time(At),
}

/// How a store behaves without faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreProfile {
    /// The embedded store: quick, every read is current.
    #[default]
    Local,
    /// ZooKeeper: slower; reads without a barrier may be old, events come with the session.
    Zookeeper,
}

/// The phases of a run: warm-up, faults, heal, converge, final check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Phases {
    /// When every fault ends and every server that should run is started again.
    pub heal: At,
    /// The end, whether it has converged or not. A run may end earlier, once it has.
    pub end: At,
    /// What this release does not know.
    #[serde(flatten)]
    pub rest: Rest,
}

impl Default for Phases {
    fn default() -> Self {
        Self {
            heal: At::from_secs(30),
            end: At::from_secs(120),
            rest: Rest::new(),
        }
    }
}

/// Something that a client asks of a server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Ask {
    /// When.
    pub at: At,
    /// Of which server; a server that is dead then is asked all the same and refuses.
    pub of: Target,
    /// What.
    #[serde(flatten)]
    pub what: Request,
    /// With this key of idempotency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What this release does not know.
    #[serde(default, flatten)]
    pub rest: Rest,
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "ask",
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case"
)]
pub enum Request {
    /// `POST /contexts/<context>`.
    CreateContext {
        /// Its name.
        context: String,
    },
    /// `DELETE /contexts/<context>`.
    DeleteContext {
        /// Its name.
        context: String,
    },
    /// `POST /jobs?context=<context>`: a job that lasts so long, then ends as told.
    Submit {
        /// The context's name.
        context: String,
        /// The client's own name of the job.
        job: String,
        /// How long it runs.
        lasts: At,
        /// Wait for the result.
        #[serde(default)]
        sync: bool,
        /// It ends with an error.
        #[serde(default)]
        fails: bool,
    },
    /// `DELETE /jobs/<id>` of the job that this name was given to, if it was accepted.
    Kill {
        /// The client's own name of the job.
        job: String,
    },
    /// `GET /jobs/<id>` of the job that this name was given to, if it was accepted.
    ReadJob {
        /// The client's own name of the job.
        job: String,
    },
    /// `GET /contexts/<context>`.
    ReadContext {
        /// The context's name.
        context: String,
    },
}

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Fault {
    /// When it begins.
    pub at: At,
    /// When it ends; without, it lasts to the heal, or is over at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<At>,
    /// What.
    #[serde(flatten)]
    pub kind: FaultKind,
    /// What this release does not know.
    #[serde(default, flatten)]
    pub rest: Rest,
}

/// What can go wrong. Targets are resolved when the fault begins; one that names nobody then does
/// nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "kind",
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case"
)]
pub enum FaultKind {
    /// Packets are lost, or refused, between sides.
    Cut {
        /// Who cannot reach whom.
        topology: Topology,
        /// A firewall that refuses (a reset) instead of dropping.
        #[serde(default)]
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
        #[serde(default)]
        from: Vec<Target>,
        /// To whom; empty for everybody.
        #[serde(default)]
        to: Vec<Target>,
        /// Further latency.
        #[serde(default)]
        latency: At,
        /// Up to so much more, at random.
        #[serde(default)]
        jitter: At,
        /// Of a thousand packets so many are lost.
        #[serde(default)]
        loss: u32,
        /// Losses come in bursts of so many packets.
        #[serde(default)]
        burst: u32,
        /// Of a thousand beats so many come twice.
        #[serde(default)]
        duplicate: u32,
        /// Of a thousand beats so many overtake others.
        #[serde(default)]
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
        #[serde(default)]
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
        #[serde(default)]
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
        #[serde(default)]
        targets: Vec<Target>,
        /// How much longer.
        latency: At,
    },
    /// These do not reach the store; empty for everybody.
    StoreAway {
        /// Who.
        #[serde(default)]
        targets: Vec<Target>,
        /// Refused at once instead of silence.
        #[serde(default)]
        refuses: bool,
    },
    /// These lose their session: events since then are lost, the watch is set again.
    SessionLost {
        /// Who; empty for everybody.
        #[serde(default)]
        targets: Vec<Target>,
    },
    /// Of a thousand commits so many lose their answer; half of those are carried out late.
    AnswersLost {
        /// Whose; empty for everybody.
        #[serde(default)]
        targets: Vec<Target>,
        /// Of a thousand.
        permille: u32,
    },
    /// Of a thousand events of the store so many are merged with a later one.
    EventsMerged {
        /// Whose; empty for everybody.
        #[serde(default)]
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

/// Who.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Target {
    /// The server of this name.
    Named(String),
    /// The oldest listed server.
    Oldest,
    /// The youngest listed server.
    Youngest,
    /// The leader in the view of the oldest.
    Leader,
    /// The holder.
    SingletonHost,
    /// The first of the seed list.
    FirstSeed,
    /// The driver that owns the context of this name.
    DriverOf(String),
    /// The metadata store: only in a topology.
    Store,
}

/// Why a text names no target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` names no target: expected a server's name, `oldest`, `youngest`, `leader`, \
     `singleton-host`, `first-seed`, `driver-of(CONTEXT)` or `store`"
)]
pub struct TargetError(String);

impl TryFrom<String> for Target {
    type Error = TargetError;

    fn try_from(text: String) -> Result<Self, TargetError> {
        let driver_of = text
            .strip_prefix("driver-of(")
            .and_then(|rest| rest.strip_suffix(')'))
            .map(|context| Self::DriverOf(context.to_owned()));
        Ok(match text.as_str() {
            "oldest" => Self::Oldest,
            "youngest" => Self::Youngest,
            "leader" => Self::Leader,
            "singleton-host" => Self::SingletonHost,
            "first-seed" => Self::FirstSeed,
            "store" => Self::Store,
            _ if driver_of.is_some() => driver_of.unwrap_or(Self::Store),
            name if is_name(name) => Self::Named(text),
            _ => return Err(TargetError(text)),
        })
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::Oldest => f.write_str("oldest"),
            Self::Youngest => f.write_str("youngest"),
            Self::Leader => f.write_str("leader"),
            Self::SingletonHost => f.write_str("singleton-host"),
            Self::FirstSeed => f.write_str("first-seed"),
            Self::DriverOf(context) => write!(f, "driver-of({context})"),
            Self::Store => f.write_str("store"),
        }
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

/// A time of a run, or a span of it, in whole microseconds: written `20s`, `1.5s`, `300ms`, `50us`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct At(pub u64);

impl At {
    /// So many seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// So many milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000))
    }

    /// As a duration.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_micros(self.0)
    }
}

/// Why a text is no time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no time: expected a number with `s`, `ms` or `us`, like `20s` or `1.5s`")]
pub struct AtError(String);

impl FromStr for At {
    type Err = AtError;

    fn from_str(text: &str) -> Result<Self, AtError> {
        let error = || AtError(text.to_owned());
        let (number, digits) = if let Some(number) = text.strip_suffix("ms") {
            (number, 3)
        } else if let Some(number) = text.strip_suffix("us") {
            (number, 0)
        } else {
            (text.strip_suffix('s').ok_or_else(error)?, 6)
        };
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let is_number = |text: &str| text.chars().all(|c| c.is_ascii_digit());
        if whole.is_empty() || !is_number(whole) || !is_number(part) || part.len() > digits {
            return Err(error());
        }
        let padded = format!("{whole}{part:0<digits$}");
        padded.parse().map(Self).map_err(|_| error())
    }
}

impl TryFrom<String> for At {
    type Error = AtError;

    fn try_from(text: String) -> Result<Self, AtError> {
        text.parse()
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, digits) = match self.0 {
            micros if micros >= 1_000_000 || micros == 0 => ("s", 6),
            micros if micros >= 1_000 => ("ms", 3),
            _ => ("us", 0),
        };
        let one = 10_u64.pow(digits);
        let (whole, part) = (self.0 / one, self.0 % one);
        if part == 0 {
            return write!(f, "{whole}{unit}");
        }
        let width = usize::try_from(digits).unwrap_or_default();
        let part = format!("{part:0width$}");
        write!(f, "{whole}.{}{unit}", part.trim_end_matches('0'))
    }
}

impl From<At> for String {
    fn from(at: At) -> Self {
        at.to_string()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "only tests use it")]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        for (text, micros) in [
            ("0s", 0),
            ("20s", 20_000_000),
            ("1.5s", 1_500_000),
            ("1.000001s", 1_000_001),
            ("300ms", 300_000),
            ("2.5ms", 2_500),
            ("50us", 50),
        ] {
            assert_eq!(text.parse::<At>().unwrap(), At(micros), "{text}");
            assert_eq!(At(micros).to_string(), text);
        }
        for text in [
            "",
            "s",
            "1",
            "-1s",
            "1.s.s",
            ".5s",
            "1.0000001s",
            "1.5us",
            "1e3s",
        ] {
            assert!(text.parse::<At>().is_err(), "{text}");
        }
    }

    #[test]
    fn targets_are_read_as_they_are_written() {
        for text in ["s1", "oldest", "singleton-host", "driver-of(c-1)", "store"] {
            let target = Target::try_from(text.to_owned()).unwrap();
            assert_eq!(target.to_string(), text);
        }
        assert!(Target::try_from("driver-of(c".to_owned()).is_err());
        assert!(Target::try_from(String::new()).is_err());
    }
}
