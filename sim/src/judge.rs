//! Judges a run: all oracles, the trace hash and the counters of interesting things, in one sink.

use crate::engine::Ran;
use crate::oracle::facts::Facts;
use crate::oracle::{self, Oracle, Violation, kinds, legitimacy};
use crate::schedule::model::Schedule;
use crate::sometimes::{Counters, Watch};
use crate::trace::seen::{Phase, Seen, Sink};
use crate::trace::trail::{Tracker, Trail};
use doyen_core::config::Config;
use doyen_core::time::Time;

/// What a run ended with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every oracle is content.
    Pass,
    /// An invariant does not hold: exit 1.
    Violation(Violation),
    /// The run did not come to rest, and nothing says that it should have: exit 2.
    Undecided(String),
}

/// Everything that is known of a run that is over.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// What it ended with.
    pub verdict: Verdict,
    /// Its hash.
    pub trail: Trail,
    /// What interesting things happened, and how often.
    pub counters: Counters,
}

/// Listens to a run.
pub struct Judge<'a> {
    facts: Facts,
    oracles: Vec<Box<dyn Oracle>>,
    /// For each kind of observation the oracles that listen to it.
    listeners: [Vec<usize>; kinds::COUNT],
    violation: Option<Violation>,
    tracker: Tracker,
    watch: Watch,
    recorder: Option<&'a mut dyn Sink>,
}

impl std::fmt::Debug for Judge<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Judge")
            .field("violation", &self.violation)
            .finish_non_exhaustive()
    }
}

impl<'a> Judge<'a> {
    /// A judge of a run of this schedule, whose servers have this configuration.
    #[must_use]
    pub fn new(schedule: &Schedule, config: &Config) -> Self {
        Self::with(schedule, config, oracle::all())
    }

    /// A judge with these oracles alone.
    #[must_use]
    pub fn with(schedule: &Schedule, config: &Config, oracles: Vec<Box<dyn Oracle>>) -> Self {
        let listeners = std::array::from_fn(|kind| {
            let hears = |index: &usize| {
                let oracle = oracles.get(*index);
                oracle.is_some_and(|oracle| oracle.listens() & (1 << kind) != 0)
            };
            (0..oracles.len()).filter(hears).collect()
        });
        Self {
            facts: Facts::new(schedule, config),
            oracles,
            listeners,
            violation: None,
            tracker: Tracker::default(),
            watch: Watch::default(),
            recorder: None,
        }
    }

    /// Lets somebody else listen too.
    #[must_use]
    pub fn recorded_by(mut self, recorder: &'a mut dyn Sink) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// The first violation so far.
    #[must_use]
    pub const fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// The run is over: what is to be said of it.
    #[must_use]
    pub fn judge(mut self, ran: &Ran) -> Judgement {
        let at = self.facts.at;
        for oracle in &mut self.oracles {
            if self.violation.is_none() {
                self.violation = oracle.end(at, ran, &self.facts).err();
            }
        }
        let verdict = match self.violation.take() {
            Some(violation) => Verdict::Violation(violation),
            None => self.at_rest(at),
        };
        Judgement {
            verdict,
            trail: self.tracker.trail(),
            counters: self.watch.counters,
        }
    }

    /// What a run without a violation ends with: whether it came to rest, or may be stuck.
    fn at_rest(&self, at: Time) -> Verdict {
        let waits = self.oracles.iter().find(|oracle| !oracle.is_settled());
        let Some(waits) = waits else {
            return Verdict::Pass;
        };
        let what = waits.waits_for().unwrap_or_else(|| waits.name().to_owned());
        match legitimacy::judge(at, &self.facts) {
            legitimacy::Stuck::Rightly(why) => Verdict::Undecided(format!("{what}: {why}")),
            legitimacy::Stuck::Wrongly => {
                Verdict::Violation(oracle::report::violation(waits.name(), at, "stuck", what))
            }
        }
    }
}

impl Sink for Judge<'_> {
    fn seen(&mut self, at: Time, seen: &Seen<'_>) {
        self.tracker.seen(at, seen);
        if let Some(recorder) = &mut self.recorder {
            recorder.seen(at, seen);
        }
        self.facts.gossip = self.tracker.gossip();
        self.facts.observe(at, seen);
        let kind = kinds::of(seen);
        self.watch.seen(kind, seen, &self.facts);
        if self.violation.is_some() {
            return;
        }
        let place = kind.trailing_zeros() as usize;
        let Some(listeners) = self.listeners.get(place) else {
            return;
        };
        for index in listeners {
            if let Some(oracle) = self.oracles.get_mut(*index)
                && let Err(violation) = oracle.seen(at, seen, &self.facts)
            {
                self.violation = Some(violation);
                return;
            }
        }
    }

    /// A violation ends the run too: what follows says nothing more.
    fn is_settled(&self) -> bool {
        let healed = matches!(self.facts.phase.0, Phase::Converge | Phase::Final);
        self.violation.is_some()
            || (healed && self.oracles.iter().all(|oracle| oracle.is_settled()))
    }
}
