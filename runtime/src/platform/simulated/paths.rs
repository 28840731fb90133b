//! Paths: what happens to a packet from one host to another.

use super::kernel::TICK_NANOS;
use super::random::Random;
use std::collections::BTreeMap;
use std::time::Duration;

/// A host, by its place in the order in which hosts were made.
pub(super) type HostId = u32;

/// Whether packets pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Passage {
    /// They pass.
    #[default]
    Open,
    /// They vanish: a cut, or a firewall that drops.
    Cut,
    /// A dial is refused on the way, as by a firewall that rejects; whatever belongs to a connection
    /// vanishes.
    Reject,
}

/// The way from one host to another; the way back is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// Whether packets pass.
    pub passage: Passage,
    /// The shortest time that a packet takes.
    pub shortest: Duration,
    /// The longest.
    pub longest: Duration,
    /// How many of a thousand packets are lost; TCP sends them again.
    pub lost_per_mille: u32,
}

impl Default for Path {
    /// A good network of one data centre.
    fn default() -> Self {
        Self {
            passage: Passage::Open,
            shortest: Duration::from_micros(100),
            longest: Duration::from_micros(400),
            lost_per_mille: 0,
        }
    }
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It arrives after so many nanoseconds.
    Arrives(u64),
    /// It does not.
    Lost,
    /// It is refused after so many nanoseconds, there and back.
    Rejected(u64),
}

/// All paths, and a stream of random numbers for each.
#[derive(Debug)]
pub(super) struct Paths {
    seed: u64,
    paths: BTreeMap<(HostId, HostId), (Path, Random)>,
}

/// A packet of a machine to itself takes so long.
const LOOPBACK_NANOS: u64 = 20_000;

impl Paths {
    pub(super) const fn new(seed: u64) -> Self {
        Self {
            seed,
            paths: BTreeMap::new(),
        }
    }

    fn entry(&mut self, from: HostId, to: HostId) -> &mut (Path, Random) {
        let seed = self.seed;
        self.paths.entry((from, to)).or_insert_with(|| {
            let purpose = (u64::from(from) << 32) | u64::from(to);
            (Path::default(), Random::new(seed, purpose))
        })
    }

    pub(super) fn get(&mut self, from: HostId, to: HostId) -> &mut Path {
        &mut self.entry(from, to).0
    }

    /// How far a machine's ticks are from those of the world.
    pub(super) fn phase(&self, host: HostId) -> u64 {
        Random::new(self.seed, u64::MAX ^ u64::from(host)).between(0, TICK_NANOS)
    }

    /// Makes every path as it was at the beginning.
    pub(super) fn mend(&mut self) {
        for (path, _) in self.paths.values_mut() {
            *path = Path::default();
        }
    }

    /// Sends a packet.
    pub(super) fn send(&mut self, from: HostId, to: HostId) -> Fate {
        if from == to {
            return Fate::Arrives(LOOPBACK_NANOS);
        }
        let (path, random) = self.entry(from, to);
        let (low, high) = (nanos(path.shortest), nanos(path.longest));
        let delay = random.between(low, high);
        let lost =
            path.lost_per_mille > 0 && random.between(0, 1_000) < u64::from(path.lost_per_mille);
        match path.passage {
            Passage::Open if !lost => Fate::Arrives(delay),
            Passage::Open | Passage::Cut => Fate::Lost,
            Passage::Reject => Fate::Rejected(delay),
        }
    }
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
