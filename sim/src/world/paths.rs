//! Which packets get from whom to whom, and how long they take: cuts, firewalls, slow and lossy
//! links. The store is an end of paths like every process.

use super::random::{Purpose, Random, Streams};
use crate::trace::seen::NodeId;
use std::time::Duration;

/// An end of a path: the store, or a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Side(usize);

impl Side {
    /// The metadata store.
    pub const STORE: Self = Self(0);

    /// A node's place among all sides.
    #[must_use]
    pub const fn of(node: NodeId) -> Self {
        Self(node.0 as usize + 1)
    }

    /// The node, unless it is the store.
    #[must_use]
    pub fn node(self) -> Option<NodeId> {
        let index = self.0.checked_sub(1)?;
        u16::try_from(index).ok().map(NodeId)
    }
}

/// Whether packets get through, one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// They do.
    Open,
    /// They vanish.
    Drops,
    /// They are refused on the way, with a reset.
    Refuses,
}

/// How a link is while a fault makes it worse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quality {
    /// Further latency.
    pub latency: Duration,
    /// Up to so much more.
    pub jitter: Duration,
    /// Of a thousand packets so many are lost.
    pub loss: u32,
    /// Losses come in bursts of so many.
    pub burst: u32,
    /// Of a thousand beats so many come twice.
    pub duplicate: u32,
    /// Of a thousand beats so many overtake others.
    pub reorder: u32,
}

/// What becomes of a beat on a bad link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeatFate {
    /// It arrives in its order.
    Once,
    /// It arrives twice.
    Twice,
    /// It arrives so much later, out of order.
    Late(Duration),
    /// It does not arrive.
    Lost,
}

#[derive(Clone, Debug)]
struct Row {
    drops: u16,
    refuses: u16,
    latency: Random,
    loss: Random,
    /// So many more packets of a burst are lost.
    burst_left: u32,
}

struct BadLink {
    number: usize,
    from: Vec<Side>,
    to: Vec<Side>,
    quality: Quality,
}

/// All paths.
pub struct Paths {
    streams: Streams,
    rows: Vec<Vec<Row>>,
    /// How many cuts there are, so that a whole network is asked quickly.
    cuts: usize,
    bad: Vec<BadLink>,
    /// Sides whose machine sleeps: nothing answers there.
    asleep: Vec<u16>,
    sleepers: usize,
}

/// The first retransmission of TCP on Linux; each further one waits twice as long.
const RETRANSMIT: Duration = Duration::from_millis(200);
const RETRANSMITS_MAX: u32 = 6;

impl Paths {
    /// The paths of a network without nodes: only the store is there.
    #[must_use]
    pub fn new(streams: Streams) -> Self {
        let mut paths = Self {
            streams,
            rows: Vec::new(),
            cuts: 0,
            bad: Vec::new(),
            asleep: Vec::new(),
            sleepers: 0,
        };
        paths.add();
        paths
    }

    /// One more side, connected with all.
    pub fn add(&mut self) {
        let new = self.rows.len();
        let row = |streams: &Streams, from: usize, to: usize| Row {
            drops: 0,
            refuses: 0,
            latency: streams.stream(Purpose::Latency, from as u64, to as u64),
            loss: streams.stream(Purpose::Loss, from as u64, to as u64),
            burst_left: 0,
        };
        for (from, rows) in self.rows.iter_mut().enumerate() {
            rows.push(row(&self.streams, from, new));
        }
        let own = (0..=new).map(|to| row(&self.streams, new, to)).collect();
        self.rows.push(own);
        self.asleep.push(0);
    }

    /// Every side, the store first.
    pub fn sides(&self) -> impl Iterator<Item = Side> + use<> {
        (0..self.rows.len()).map(Side)
    }

    fn row(&mut self, from: Side, to: Side) -> Option<&mut Row> {
        self.rows.get_mut(from.0)?.get_mut(to.0)
    }

    /// Whether packets get from one to the other now.
    #[must_use]
    pub fn path(&self, from: Side, to: Side) -> Path {
        if self.cuts == 0 && self.sleepers == 0 {
            return Path::Open;
        }
        if self.is_asleep(from) || self.is_asleep(to) {
            return Path::Drops;
        }
        match self.rows.get(from.0).and_then(|rows| rows.get(to.0)) {
            Some(row) if row.drops > 0 => Path::Drops,
            Some(row) if row.refuses > 0 => Path::Refuses,
            Some(_) | None => Path::Open,
        }
    }

    /// Whether packets get there and back.
    #[must_use]
    pub fn is_open(&self, one: Side, other: Side) -> bool {
        self.path(one, other) == Path::Open && self.path(other, one) == Path::Open
    }

    /// Cuts a path one way; each cut needs a `mend` of its own.
    pub fn cut(&mut self, from: Side, to: Side, refuses: bool) {
        self.cuts = self.cuts.saturating_add(1);
        if let Some(row) = self.row(from, to) {
            let count = if refuses {
                &mut row.refuses
            } else {
                &mut row.drops
            };
            *count = count.saturating_add(1);
        }
    }

    /// Takes one cut back.
    pub fn mend(&mut self, from: Side, to: Side, refuses: bool) {
        self.cuts = self.cuts.saturating_sub(1);
        if let Some(row) = self.row(from, to) {
            let count = if refuses {
                &mut row.refuses
            } else {
                &mut row.drops
            };
            *count = count.saturating_sub(1);
        }
    }

    /// A machine falls asleep, or wakes.
    pub fn sleep(&mut self, side: Side, asleep: bool) {
        let Some(count) = self.asleep.get_mut(side.0) else {
            return;
        };
        if asleep {
            *count = count.saturating_add(1);
            self.sleepers = self.sleepers.saturating_add(1);
        } else {
            *count = count.saturating_sub(1);
            self.sleepers = self.sleepers.saturating_sub(1);
        }
    }

    /// Whether its machine sleeps.
    #[must_use]
    pub fn is_asleep(&self, side: Side) -> bool {
        self.asleep.get(side.0).is_some_and(|count| *count > 0)
    }

    /// Makes links worse, one way, until `better` of the same number. Empty for everybody.
    pub fn worse(&mut self, number: usize, from: Vec<Side>, to: Vec<Side>, quality: Quality) {
        self.bad.push(BadLink {
            number,
            from,
            to,
            quality,
        });
    }

    /// Takes back what `worse` did under this number.
    pub fn better(&mut self, number: usize) {
        self.bad.retain(|bad| bad.number != number);
    }

    /// How long a packet takes; a lost one is sent again.
    pub fn latency(&mut self, from: Side, to: Side) -> Duration {
        let worse = !self.bad.is_empty();
        let Some(row) = self.row(from, to) else {
            return Duration::ZERO;
        };
        let plain = row.latency.micros(100, 400);
        if worse {
            plain.saturating_add(self.bad_latency(from, to))
        } else {
            plain
        }
    }

    fn bad_latency(&mut self, from: Side, to: Side) -> Duration {
        let mut total = Duration::ZERO;
        for quality in self.qualities(from, to) {
            let mut lost = 0;
            while lost < RETRANSMITS_MAX && self.is_lost(from, to, &quality) {
                lost += 1;
            }
            let Some(row) = self.row(from, to) else {
                continue;
            };
            let waited = (0..lost).map(|k| RETRANSMIT.saturating_mul(1 << k)).sum();
            let jitter = row.latency.up_to(quality.jitter);
            total = total
                .saturating_add(quality.latency)
                .saturating_add(jitter)
                .saturating_add(waited);
        }
        total
    }

    fn qualities(&self, from: Side, to: Side) -> Vec<Quality> {
        let is_in = |sides: &[Side], side: Side| sides.is_empty() || sides.contains(&side);
        let hit = |bad: &&BadLink| is_in(&bad.from, from) && is_in(&bad.to, to);
        let hits = self.bad.iter().filter(hit);
        hits.map(|bad| bad.quality.clone()).collect()
    }

    fn is_lost(&mut self, from: Side, to: Side, quality: &Quality) -> bool {
        let burst = quality.burst.max(1);
        let Some(row) = self.row(from, to) else {
            return false;
        };
        if row.burst_left > 0 {
            row.burst_left -= 1;
            return true;
        }
        let begins = row.loss.below(1_000 * u64::from(burst)) < u64::from(quality.loss);
        if begins {
            row.burst_left = burst - 1;
        }
        begins
    }

    /// What becomes of a beat.
    pub fn beat_fate(&mut self, from: Side, to: Side) -> BeatFate {
        if self.bad.is_empty() {
            return BeatFate::Once;
        }
        for quality in self.qualities(from, to) {
            if self.is_lost(from, to, &quality) {
                return BeatFate::Lost;
            }
            let Some(row) = self.row(from, to) else {
                continue;
            };
            if row.loss.permille(quality.duplicate) {
                return BeatFate::Twice;
            }
            if row.loss.permille(quality.reorder) {
                return BeatFate::Late(row.loss.micros(1_000, 400_000));
            }
        }
        BeatFate::Once
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const A: Side = Side(1);
    const B: Side = Side(2);

    fn paths() -> Paths {
        let mut paths = Paths::new(Streams::new(1, &BTreeMap::new()));
        paths.add();
        paths.add();
        paths
    }

    #[test]
    fn a_path_is_open_again_when_every_cut_of_it_is_mended() {
        let mut paths = paths();
        paths.cut(A, B, false);
        paths.cut(A, B, true);
        assert_eq!(paths.path(A, B), Path::Drops);
        assert_eq!(paths.path(B, A), Path::Open);
        assert!(!paths.is_open(B, A));
        paths.mend(A, B, false);
        assert_eq!(paths.path(A, B), Path::Refuses);
        paths.mend(A, B, true);
        assert!(paths.is_open(A, B));
    }

    #[test]
    fn nothing_reaches_a_machine_that_sleeps() {
        let mut paths = paths();
        paths.sleep(A, true);
        assert_eq!(paths.path(A, Side::STORE), Path::Drops);
        assert_eq!(paths.path(B, A), Path::Drops);
        assert_eq!(paths.path(B, Side::STORE), Path::Open);
        paths.sleep(A, false);
        assert!(paths.is_open(A, B));
    }

    #[test]
    fn losses_are_as_many_as_asked_and_come_in_bursts() {
        let mut paths = paths();
        let quality = Quality {
            latency: Duration::ZERO,
            jitter: Duration::ZERO,
            loss: 200,
            burst: 5,
            duplicate: 0,
            reorder: 0,
        };
        paths.worse(0, vec![A], Vec::new(), quality);
        let fates: Vec<_> = (0..10_000).map(|_| paths.beat_fate(A, B)).collect();
        let lost = fates.iter().filter(|fate| **fate == BeatFate::Lost).count();
        assert!((1_300..2_400).contains(&lost), "{lost}");
        let runs = fates.windows(2).filter(|w| w[0] != w[1]).count() / 2;
        assert!(lost / runs.max(1) >= 4, "{lost} in {runs} bursts");
        assert_eq!(paths.beat_fate(B, A), BeatFate::Once);
    }
}
