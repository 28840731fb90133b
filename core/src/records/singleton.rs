//! The records of the office: `singleton`, `pulse`, `challenge`; and `split` (protocol.md S, R4).

use super::Rest;
use super::cluster::Generation;
use crate::identity::Identity;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// The number of a tenure of the singleton: one more each time that the office is taken.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who holds the office.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SingletonRecord {
    /// Which tenure.
    pub epoch: Epoch,
    /// The incarnation that holds it.
    pub holder: Identity,
    /// What a newer release added.
    #[serde(flatten)]
    pub rest: Rest,
}

/// The holder's sign of life through the store; what counts is that its version moves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PulseRecord {
    /// The epoch of the writer.
    pub epoch: Epoch,
    /// How often this holder raised it.
    pub count: u64,
    /// What a newer release added.
    #[serde(flatten)]
    pub rest: Rest,
}

/// A question to the holder, which it answers by raising `pulse` (S5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChallengeRecord {
    /// The epoch that is challenged; a new epoch voids it.
    pub epoch: Epoch,
    /// Who asks; `None` until somebody did.
    pub challenger: Option<Identity>,
    /// What a newer release added.
    #[serde(flatten)]
    pub rest: Rest,
}

/// The announcement of a side that is not preferred (R4).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitRecord {
    /// The generation that the side is about to replace.
    pub generation: Generation,
    /// Who announces; `None` until somebody did.
    pub writer: Option<Identity>,
    /// Whom the writer is connected with, itself included.
    pub connected: BTreeSet<Identity>,
    /// What a newer release added.
    #[serde(flatten)]
    pub rest: Rest,
}
