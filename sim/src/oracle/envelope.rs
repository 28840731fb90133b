//! Which faults are about: what an oracle's envelope is checked against.
//!
//! Faults come from `Seen::Fault` and the schedule; deaths, starts and stops of processes are
//! troubles of their own, whichever fault caused them (an accident at an act is armed long before
//! it happens).

use crate::schedule::model::{Accident, Fault, FaultKind, Target, Topology};
use crate::trace::seen::NodeId;
use doyen_core::time::Time;
use std::time::Duration;

/// What a trouble touches, as bits.
pub type Classes = u8;
/// Packets between processes.
pub const NET: Classes = 1;
/// A process stands still.
pub const STOPPED: Classes = 1 << 1;
/// A process or an engine dies.
pub const DEATH: Classes = 1 << 2;
/// A clock.
pub const CLOCK: Classes = 1 << 3;
/// The store, or the way to it.
pub const STORE: Classes = 1 << 4;
/// The launcher.
pub const LAUNCH: Classes = 1 << 5;
/// An orderly start or leave.
pub const ORDERLY: Classes = 1 << 6;
/// A process stopped itself, or was started again after it did: what the cluster does to itself.
pub const SELF: Classes = 1 << 7;
/// Everything that comes from outside.
pub const ANY: Classes = 0x7f;

/// One trouble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Its index in the schedule; `None` when a process began or ended by itself.
    pub index: Option<usize>,
    /// What it touches.
    pub classes: Classes,
    /// Whom it hits; empty for everybody.
    pub hits: Vec<NodeId>,
    /// Since when.
    pub from: Time,
    /// Until when; `None` while it lasts.
    pub until: Option<Time>,
}

/// The troubles of a run.
#[derive(Clone, Debug, Default)]
pub struct Envelope {
    /// Of each fault: what it touches, whether it lasts, whether it may hit others later.
    kinds: Vec<(Classes, bool, bool)>,
    troubles: Vec<Trouble>,
}

impl Envelope {
    /// The envelope of a schedule with these faults.
    #[must_use]
    pub fn new(faults: &[Fault]) -> Self {
        Self {
            kinds: faults
                .iter()
                .map(|fault| (classes(&fault.kind), lasts(fault), roams(&fault.kind)))
                .collect(),
            troubles: Vec::new(),
        }
    }

    /// Everything that happened so far, in order of begin.
    #[must_use]
    pub fn troubles(&self) -> &[Trouble] {
        &self.troubles
    }

    /// A fault of the schedule begins or ends.
    pub fn fault(&mut self, at: Time, index: usize, begins: bool, hits: &[NodeId]) {
        let unknown = (ANY, true, true);
        let (classes, lasts, roams) = self.kinds.get(index).copied().unwrap_or(unknown);
        if begins {
            let until = (!lasts).then_some(at);
            let hits = if roams { Vec::new() } else { hits.to_vec() };
            self.add(Some(index), classes, hits, at, until);
        } else {
            let open = |one: &&mut Trouble| one.index == Some(index);
            for trouble in self.troubles.iter_mut().filter(open) {
                trouble.until = Some(at);
            }
        }
    }

    /// A process died, began or was told to stop, all by itself as far as the schedule goes.
    pub fn moment(&mut self, at: Time, classes: Classes, node: NodeId) {
        self.add(None, classes, vec![node], at, Some(at));
    }

    /// A process stands still, or goes on.
    pub fn paused(&mut self, at: Time, node: NodeId, paused: bool) {
        if paused {
            self.add(None, STOPPED, vec![node], at, None);
        } else {
            let open = |one: &&mut Trouble| {
                one.index.is_none() && one.until.is_none() && one.hits == [node]
            };
            for trouble in self.troubles.iter_mut().filter(open) {
                trouble.until = Some(at);
            }
        }
    }

    /// The heal: whatever still lasts is over.
    pub fn heal(&mut self, at: Time) {
        for trouble in self.troubles.iter_mut().filter(|one| one.until.is_none()) {
            trouble.until = Some(at);
        }
    }

    /// Whether nothing of these classes was about since `at` − `span`, for anybody.
    #[must_use]
    pub fn free_of(&self, at: Time, span: Duration, classes: Classes) -> bool {
        !self.any(at, span, classes, |_| true)
    }

    /// Whether nothing of these classes hit this node since `at` − `span`.
    #[must_use]
    pub fn spared(&self, at: Time, span: Duration, classes: Classes, node: NodeId) -> bool {
        !self.any(at, span, classes, |one| {
            one.hits.is_empty() || one.hits.contains(&node)
        })
    }

    /// Since when nothing at all is about; `None` while something is. The run's own beginning
    /// counts as such a time.
    #[must_use]
    pub fn calm_since(&self) -> Option<Time> {
        let mut last = Time::ZERO;
        for trouble in &self.troubles {
            last = last.max(trouble.until?);
        }
        Some(last)
    }

    /// Since when nothing from outside is about, whatever the cluster has done to itself since.
    #[must_use]
    pub fn healed_since(&self) -> Option<Time> {
        let mut last = Time::ZERO;
        let outside = self.troubles.iter().filter(|one| one.classes & SELF == 0);
        for trouble in outside {
            last = last.max(trouble.until?);
        }
        Some(last)
    }

    /// Since when something has been about without a pause of `gap`; `None` in calm.
    #[must_use]
    pub fn troubled_since(&self, at: Time, gap: Duration) -> Option<Time> {
        let mut since: Option<Time> = None;
        let mut until = Time::ZERO;
        for trouble in &self.troubles {
            if since.is_none() || trouble.from > until.after(gap) {
                since = Some(trouble.from);
            }
            until = until.max(trouble.until.unwrap_or(at));
        }
        since.filter(|_| at <= until.after(gap))
    }

    fn any(
        &self,
        at: Time,
        span: Duration,
        classes: Classes,
        hits: impl Fn(&Trouble) -> bool,
    ) -> bool {
        self.troubles.iter().any(|one| {
            one.classes & classes != 0
                && one.until.is_none_or(|until| until.after(span) >= at)
                && hits(one)
        })
    }

    fn add(
        &mut self,
        index: Option<usize>,
        classes: Classes,
        hits: Vec<NodeId>,
        from: Time,
        until: Option<Time>,
    ) {
        self.troubles.push(Trouble {
            index,
            classes,
            hits,
            from,
            until,
        });
    }
}

/// Whether a fault lasts from its begin to an end of its own, rather than being over at once.
const fn lasts(fault: &Fault) -> bool {
    match fault.kind {
        FaultKind::Replay { .. }
        | FaultKind::Leave { .. }
        | FaultKind::Start { .. }
        | FaultKind::StampStep { .. }
        | FaultKind::SessionLost { .. }
        | FaultKind::EngineDeath { .. }
        | FaultKind::PidReused { .. }
        | FaultKind::Crash { .. } => fault.until.is_some(),
        FaultKind::ClockStep { suspended, .. } => suspended || fault.until.is_some(),
        _ => true,
    }
}

/// Whether a fault comes again and again, and may hit another one each time that it does.
const fn roams(kind: &FaultKind) -> bool {
    matches!(
        kind,
        FaultKind::Flap { .. } | FaultKind::Swizzle { .. } | FaultKind::CrashLoop { .. }
    )
}

/// What a kind of fault touches.
#[must_use]
pub fn classes(kind: &FaultKind) -> Classes {
    match kind {
        FaultKind::Cut { topology, .. } | FaultKind::Flap { topology, .. } => {
            NET | if names_store(topology) { STORE } else { 0 }
        }
        FaultKind::Swizzle { targets, .. } => {
            NET | if targets.contains(&Target::Store) {
                STORE
            } else {
                0
            }
        }
        FaultKind::Link { .. } | FaultKind::Replay { .. } => NET,
        FaultKind::Pause { .. } => STOPPED,
        FaultKind::Crash { .. }
        | FaultKind::CrashLoop { .. }
        | FaultKind::CrashAll { .. }
        | FaultKind::EngineDeath { .. }
        | FaultKind::PidReused { .. } => DEATH,
        FaultKind::Leave { .. } | FaultKind::Start { .. } => ORDERLY,
        FaultKind::AtAct { what, .. } => match what {
            Accident::KillBefore | Accident::KillAfter => DEATH,
            Accident::PauseBefore | Accident::PauseAfter => STOPPED,
            // An act may be a message, too.
            Accident::LoseAnswer | Accident::ActLate => STORE | NET | LAUNCH,
        },
        FaultKind::ClockStep {
            suspended: true, ..
        } => CLOCK | STOPPED,
        FaultKind::ClockDrift { .. }
        | FaultKind::ClockStep { .. }
        | FaultKind::ClockFreeze { .. } => CLOCK,
        FaultKind::StampStep { .. }
        | FaultKind::StoreSlow { .. }
        | FaultKind::StoreAway { .. }
        | FaultKind::SessionLost { .. }
        | FaultKind::AnswersLost { .. }
        | FaultKind::EventsMerged { .. } => STORE,
        FaultKind::Launches { .. } | FaultKind::IgnoresTerm { .. } => LAUNCH,
    }
}

fn names_store(topology: &Topology) -> bool {
    let named = |targets: &Vec<Target>| targets.contains(&Target::Store);
    match topology {
        Topology::Sides(sides) => sides.iter().any(named),
        Topology::Isolate(targets) => named(targets),
        Topology::OneWay(from, to) => named(from) || named(to),
        Topology::Bridge(one, between, other) => {
            named(one) || *between == Target::Store || named(other)
        }
        Topology::MajoritiesRing => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::model::{At, Rest};

    const fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1_000)
    }

    fn fault(kind: FaultKind, until: Option<u64>) -> Fault {
        Fault {
            at: At::default(),
            until: until.map(At::from_secs),
            kind,
            rest: Rest::new(),
        }
    }

    fn pause() -> Fault {
        let target = Target::Oldest;
        fault(FaultKind::Pause { target }, Some(9))
    }

    #[test]
    fn calm_begins_with_the_end_of_the_last_trouble() {
        let mut envelope = Envelope::new(&[pause(), pause()]);
        assert_eq!(envelope.calm_since(), Some(Time::ZERO));
        envelope.fault(at(1), 0, true, &[NodeId(1)]);
        envelope.fault(at(2), 1, true, &[NodeId(2)]);
        envelope.fault(at(3), 0, false, &[]);
        assert_eq!(envelope.calm_since(), None);
        envelope.heal(at(5));
        assert_eq!(envelope.calm_since(), Some(at(5)));
    }

    #[test]
    fn a_node_is_spared_by_what_hits_another() {
        let mut envelope = Envelope::new(&[pause()]);
        envelope.fault(at(1), 0, true, &[NodeId(1)]);
        let second = Duration::from_secs(1);
        assert!(!envelope.spared(at(2), second, STOPPED, NodeId(1)));
        assert!(envelope.spared(at(2), second, STOPPED, NodeId(2)));
        assert!(envelope.spared(at(2), second, NET, NodeId(1)));
        envelope.fault(at(3), 0, false, &[]);
        assert!(!envelope.free_of(at(4), second, ANY));
        assert!(envelope.free_of(at(5), second, ANY));
    }

    #[test]
    fn what_is_over_at_once_does_not_last() {
        let target = Target::Oldest;
        let mut envelope = Envelope::new(&[fault(FaultKind::Leave { target }, None)]);
        envelope.fault(at(1), 0, true, &[NodeId(1)]);
        assert_eq!(envelope.calm_since(), Some(at(1)));
    }

    #[test]
    fn troubles_close_to_each_other_are_one_period() {
        let mut envelope = Envelope::new(&[pause(), pause()]);
        let gap = Duration::from_secs(5);
        assert_eq!(envelope.troubled_since(at(1), gap), None);
        envelope.fault(at(10), 0, true, &[]);
        envelope.fault(at(12), 0, false, &[]);
        envelope.fault(at(15), 1, true, &[]);
        envelope.fault(at(16), 1, false, &[]);
        assert_eq!(envelope.troubled_since(at(20), gap), Some(at(10)));
        assert_eq!(envelope.troubled_since(at(30), gap), None);
    }

    #[test]
    fn what_the_cluster_does_to_itself_ends_the_calm_but_not_the_heal() {
        let mut envelope = Envelope::new(&[]);
        envelope.moment(at(1), DEATH, NodeId(1));
        envelope.moment(at(5), ORDERLY | SELF, NodeId(1));
        assert_eq!(envelope.calm_since(), Some(at(5)));
        assert_eq!(envelope.healed_since(), Some(at(1)));
    }

    #[test]
    fn a_cut_that_names_the_store_touches_it() {
        let sides = vec![vec![Target::Oldest], vec![Target::Store]];
        let topology = Topology::Sides(sides);
        let cut = FaultKind::Cut {
            topology,
            refuses: false,
        };
        assert_eq!(classes(&cut), NET | STORE);
    }
}
