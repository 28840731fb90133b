//! Swarm testing: each run has its own random subset of fault kinds and topologies, with its own
//! wildly different weights, so that kinds that hide each other's bugs are often alone.

use super::combos::COMBOS;
use super::profile::Profile;
use super::stream::Stream;
use super::topology::TOPOLOGIES;

/// Every single kind of fault, with its weight in a run that has them all.
pub const KINDS: [(&str, u32); 25] = [
    ("cut", 30),
    ("flap", 8),
    ("swizzle", 5),
    ("link", 12),
    ("replay", 4),
    ("pause", 25),
    ("crash", 25),
    ("crash-loop", 5),
    ("crash-all", 4),
    ("leave", 12),
    ("start", 3),
    ("at-act", 30),
    ("clock-drift", 5),
    ("clock-step", 6),
    ("clock-freeze", 3),
    ("stamp-step", 5),
    ("store-slow", 8),
    ("store-away", 12),
    ("session-lost", 6),
    ("answers-lost", 12),
    ("events-merged", 6),
    ("engine-death", 8),
    ("launches", 8),
    ("ignores-term", 4),
    ("pid-reused", 4),
];

/// The names that weights of a suite may have: kinds of faults, combinations, topologies.
#[must_use]
pub fn names() -> Vec<&'static str> {
    let kinds = KINDS.iter().map(|(name, _)| *name);
    let combos = COMBOS.iter().map(|(name, _)| *name);
    kinds.chain(combos).chain(TOPOLOGIES).collect()
}

/// What goes wrong in one run.
#[derive(Clone, Debug)]
pub(super) struct Swarm {
    /// Kinds and combinations with their weights; never all of weight 0 unless the profile says so.
    pub(super) kinds: Vec<(&'static str, u32)>,
    /// Topologies with their weights.
    pub(super) topologies: Vec<(&'static str, u32)>,
}

impl Swarm {
    /// Draws a run's own.
    pub(super) fn draw(profile: &Profile, stream: &mut Stream) -> Self {
        let kinds = KINDS.iter().chain(COMBOS.iter()).copied();
        let topologies = TOPOLOGIES.iter().map(|name| (*name, 10));
        Self {
            kinds: subset(weigh(kinds, profile), profile.swarm, stream),
            topologies: subset(weigh(topologies, profile), profile.swarm, stream),
        }
    }
}

fn weigh(
    base: impl Iterator<Item = (&'static str, u32)>,
    profile: &Profile,
) -> Vec<(&'static str, u32)> {
    base.map(|(name, weight)| (name, profile.weights.get(name).copied().unwrap_or(weight)))
        .collect()
}

fn subset(
    all: Vec<(&'static str, u32)>,
    swarm: bool,
    stream: &mut Stream,
) -> Vec<(&'static str, u32)> {
    if !swarm || stream.percent(12) {
        return all;
    }
    let share = stream.between(5, 50);
    let mut chosen: Vec<_> = all
        .iter()
        .filter_map(|(name, weight)| {
            let taken = stream.percent(share);
            let factor = 1_u32 << stream.between_u32(0, 4);
            taken.then_some((*name, weight.saturating_mul(factor)))
        })
        .collect();
    if chosen.iter().all(|(_, weight)| *weight == 0) {
        let one = stream.weighted(&all);
        chosen = one.into_iter().map(|name| (name, 1)).collect();
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_weight_zero_never_comes() {
        let mut profile = Profile::default();
        let only = [("pause", 3), ("halves", 3)];
        profile.weights = names()
            .into_iter()
            .map(|name| (name.to_owned(), 0))
            .collect();
        profile
            .weights
            .extend(only.map(|(name, weight)| (name.to_owned(), weight)));
        for seed in 0..100 {
            let swarm = Swarm::draw(&profile, &mut Stream::of(seed, "swarm"));
            let positive = |all: &[(&'static str, u32)]| {
                let left = all.iter().filter(|(_, weight)| *weight > 0);
                left.map(|(name, _)| *name).collect::<Vec<_>>()
            };
            assert_eq!(positive(&swarm.kinds), ["pause"]);
            assert_eq!(positive(&swarm.topologies), ["halves"]);
        }
    }
}
