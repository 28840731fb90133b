//! The schedule as data. Unknown fields of later versions are kept in `rest`.

use super::tagged;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

pub use super::fault::{Accident, Act, Fault, FaultKind, LaunchFault, Topology};
pub use super::words::{At, AtError, Target, TargetError};

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
    #[serde(default, skip_serializing_if = "tagged::is_default")]
    pub name: String,
    /// What happens and why it is kept, in sentences.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub story: String,
    /// What a run of it is expected to end with.
    #[serde(default, skip_serializing_if = "tagged::is_default")]
    pub expect: Expect,
    /// The planted bugs that a run of it shows, by name: each is what a rule keeps out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub catches: Vec<String>,
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
    #[serde(default, skip_serializing_if = "tagged::is_default")]
    pub store: StoreProfile,
    /// When faults end and how long the run may take after that.
    #[serde(default, skip_serializing_if = "tagged::is_default")]
    pub phases: Phases,
    /// What clients ask, in order of time.
    #[serde(default, skip_serializing_if = "tagged::is_default")]
    pub workload: Vec<Ask>,
    /// What goes wrong, in order of time.
    #[serde(default, skip_serializing_if = "tagged::is_default")]
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
    #[serde(default, skip_serializing_if = "tagged::is_default")]
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
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// When.
    pub at: At,
    /// Of which server; a server that is dead then is asked all the same and refuses.
    pub of: Target,
    /// What.
    pub what: Request,
    /// With this key of idempotency.
    pub key: Option<String>,
    /// What this release does not know.
    pub rest: Rest,
}

impl Ask {
    /// Asked of a server, without a key.
    #[must_use]
    pub fn new(at: At, of: Target, what: Request) -> Self {
        Self {
            at,
            of,
            what,
            key: None,
            rest: Rest::new(),
        }
    }
}

impl Serialize for Ask {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut table = self.rest.clone();
        tagged::write("ask", &self.what, &mut table).map_err(serde::ser::Error::custom)?;
        table.insert("at".to_owned(), self.at.to_string().into());
        table.insert("of".to_owned(), self.of.to_string().into());
        if let Some(key) = &self.key {
            table.insert("key".to_owned(), key.clone().into());
        }
        table.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Ask {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        tagged::with(from, read_ask)
    }
}

fn read_ask(mut table: Rest) -> Result<Ask, tagged::Wrong> {
    let at = tagged::need("at", &mut table)?;
    let of = tagged::need("of", &mut table)?;
    let key = tagged::take("key", &mut table)?;
    let (what, rest) = tagged::read("ask", table)?;
    Ok(Ask {
        at,
        of,
        what,
        key,
        rest,
    })
}

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
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
        #[serde(default, skip_serializing_if = "tagged::is_default")]
        sync: bool,
        /// It ends with an error.
        #[serde(default, skip_serializing_if = "tagged::is_default")]
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
