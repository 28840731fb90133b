//! A schedule to begin with, and what a run of it showed, in words that tests count.

use doyen_core::input::{EffectReport, Input, LinkEvent};
use doyen_core::output::Output;
use doyen_core::process::ClusterView;
use doyen_core::records::transaction::{Change, CommitOutcome, ReadOutcome};
use doyen_core::time::Time;
use doyen_sim::engine::direct::Direct;
use doyen_sim::engine::{Engine, Ran};
use doyen_sim::schedule::model::{
    Ask, At, Expect, FORMAT, Fault, FaultKind, Phases, RULES, Request, Rest, Schedule, Server,
    StoreProfile, Target,
};
use doyen_sim::trace::seen::{Deed, Ended, NodeId, Phase, Seen, Sink};
use std::collections::BTreeMap;
use std::time::Duration;

/// When the fault of [`with_fault`] begins and ends.
pub(crate) const BEGINS: u64 = 10_000;
pub(crate) const ENDS: u64 = 14_000;

pub(crate) fn target(text: &str) -> Target {
    Target::try_from(text.to_owned()).unwrap()
}

fn ask(ms: u64, of: &str, what: Request) -> Ask {
    Ask::new(At::from_millis(ms), target(of), what)
}

/// Three servers, one context, a job each half second.
pub(crate) fn calm() -> Schedule {
    let server = |name: &str| Server {
        name: name.to_owned(),
        start: At(0),
        seed_list: Vec::new(),
        settings: BTreeMap::new(),
        rest: Rest::new(),
    };
    let context = "c1".to_owned();
    let mut workload = vec![ask(5_000, "s2", Request::CreateContext { context })];
    for n in 0..16_u64 {
        let of = ["s1", "s2", "s3"][usize::try_from(n % 3).unwrap()];
        let what = Request::Submit {
            context: "c1".to_owned(),
            job: format!("j{n}"),
            lasts: At::from_millis(300),
            sync: false,
            fails: false,
        };
        workload.push(ask(8_000 + n * 500, of, what));
    }
    Schedule {
        format: FORMAT,
        rules: RULES,
        name: "calm".to_owned(),
        story: String::new(),
        expect: Expect::Pass,
        catches: Vec::new(),
        seed: 7,
        seeds: BTreeMap::new(),
        servers: ["s1", "s2", "s3"].map(server).to_vec(),
        settings: BTreeMap::new(),
        store: StoreProfile::Local,
        phases: Phases {
            heal: At::from_secs(20),
            end: At::from_secs(80),
            rest: Rest::new(),
        },
        workload,
        faults: Vec::new(),
        rest: Rest::new(),
    }
}

/// The same with one fault for four seconds.
pub(crate) fn with_fault(kind: FaultKind) -> Schedule {
    let mut schedule = calm();
    let fault = Fault::new(At::from_millis(BEGINS), kind).until(At::from_millis(ENDS));
    schedule.faults.push(fault);
    schedule
}

/// What was seen.
#[derive(Default)]
pub(crate) struct Trace {
    /// When, where, and a word for it.
    pub(crate) words: Vec<(u64, NodeId, &'static str)>,
    pub(crate) hits: Vec<(bool, Vec<NodeId>)>,
    clocks: BTreeMap<NodeId, (Time, Time)>,
    views: Vec<(NodeId, ClusterView)>,
    pub(crate) phases: Vec<Phase>,
    beats: BTreeMap<(NodeId, u64), u64>,
}

impl Trace {
    /// How often something happened in a span of milliseconds.
    pub(crate) fn count(&self, word: &str, from: u64, to: u64) -> usize {
        let within = |at: u64| (from..to).contains(&at);
        let words = self.words.iter();
        words
            .filter(|(at, _, one)| within(*at) && *one == word)
            .count()
    }

    /// How often a node was told something while the fault lasted, but for its first moments.
    pub(crate) fn at(&self, word: &str, node: u16) -> usize {
        let within = |at: u64| (BEGINS + 10..ENDS).contains(&at);
        let words = self.words.iter();
        let here = words.filter(|(at, one, _)| within(*at) && one.0 == node);
        here.filter(|(_, _, one)| *one == word).count()
    }

    /// How often something happened from the fault on.
    pub(crate) fn after(&self, word: &str) -> usize {
        self.count(word, BEGINS, u64::MAX)
    }

    /// How often something happened while the fault lasted.
    pub(crate) fn during(&self, word: &str) -> usize {
        self.count(word, BEGINS, ENDS)
    }

    /// Whether at the last look all three servers were ready under one holder.
    pub(crate) fn serves(&self) -> bool {
        let mut servers = self.views.iter().filter(|(node, _)| node.0 < 3);
        let holder = self.views.first().and_then(|(_, view)| view.holder.clone());
        holder.is_some()
            && servers.clone().count() == 3
            && servers.all(|(_, view)| view.ready && view.holder == holder)
    }

    fn note(&mut self, at: Time, node: NodeId, word: &'static str) {
        self.words.push((at.as_millis(), node, word));
    }

    fn told(&mut self, at: Time, node: NodeId, clock: Time, input: &Input) {
        let before = self.clocks.insert(node, (at, clock));
        if let Some((then, before)) = before {
            let (world, own) = (at.since(then), clock.since(before));
            if own > Duration::from_secs(30) {
                self.note(at, node, "clock-jumped");
            } else if own > world.mul_f64(1.19) && own > Duration::from_micros(100) {
                self.note(at, node, "clock-fast");
            } else if own.is_zero() && world > Duration::from_micros(100) {
                self.note(at, node, "clock-still");
            }
        }
        let word = match input {
            Input::Message { .. } => "message",
            Input::Beat(beat) => {
                let key = (node, beat.from.incarnation.0);
                let last = self.beats.insert(key, beat.sequence).unwrap_or(0);
                match beat.sequence.cmp(&last) {
                    std::cmp::Ordering::Less => "beat-old",
                    std::cmp::Ordering::Equal => "beat-twice",
                    std::cmp::Ordering::Greater => "beat",
                }
            }
            Input::Link(LinkEvent::Up { .. }) => "link-up",
            Input::Link(LinkEvent::Down { .. }) => "link-down",
            Input::Link(LinkEvent::Refused { .. }) => "link-refused",
            Input::Link(LinkEvent::Silent { .. }) => "link-silent",
            Input::Committed { outcome, .. } => match outcome {
                CommitOutcome::Committed { .. } => "committed",
                CommitOutcome::Refused { .. } => "refused",
                CommitOutcome::Unknown => "unknown",
                CommitOutcome::NotSent { .. } => "not-sent",
            },
            Input::Read {
                outcome: ReadOutcome::Failed { .. },
                ..
            } => "read-failed",
            Input::StoreChanged(Change::Everything) => "everything",
            Input::StoreChanged(Change::Record(_)) => "changed",
            Input::EffectReport(EffectReport::Launched { error: Some(_), .. }) => "not-launched",
            Input::EffectReport(EffectReport::Launched { .. }) => "launched",
            Input::EffectReport(EffectReport::EngineEnded { orderly: false, .. }) => "engine-died",
            _ => "told",
        };
        self.note(at, node, word);
    }
}

impl Sink for Trace {
    fn seen(&mut self, at: Time, seen: &Seen<'_>) {
        match seen {
            Seen::Phase(phase) => self.phases.push(*phase),
            Seen::Input { node, clock, input } => self.told(at, *node, *clock, input),
            Seen::Output {
                node,
                output: Output::Stop(_),
            } => self.note(at, *node, "stops"),
            Seen::Lost { node, .. } => self.note(at, *node, "lost"),
            Seen::Began { node, .. } => self.note(at, *node, "began"),
            Seen::Ended { node, how, .. } => {
                let killed = **how == Ended::Killed;
                self.note(at, *node, if killed { "killed" } else { "ended" });
            }
            Seen::Paused { node, paused } => {
                self.note(at, *node, if *paused { "paused" } else { "resumed" });
            }
            Seen::Store(written) => {
                let node = NodeId(u16::MAX);
                let committed = matches!(written.outcome, CommitOutcome::Committed { .. });
                self.note(at, node, if written.told { "stored" } else { "untold" });
                if committed {
                    self.note(at, node, "written");
                }
                if written.stamp.0 > 1_700_000_000_000 + at.as_millis() + 1_000 {
                    self.note(at, node, "stamp-ahead");
                }
            }
            Seen::Deed { node, deed } => {
                let word = match deed {
                    Deed::DriverStarted { .. } => "driver-started",
                    Deed::EngineStarted { .. } => "engine-started",
                    Deed::EngineEnded { .. } => "engine-ended",
                    Deed::JobStarted { .. } => "job-started",
                    Deed::JobEnded { .. } => "job-ended",
                    Deed::Killed { .. } => "kill",
                    Deed::Verified { .. } => "verified",
                };
                self.note(at, *node, word);
            }
            Seen::Answered { node, answer, .. } => {
                let word = if answer.is_some() { "answered" } else { "gone" };
                self.note(at, *node, word);
            }
            Seen::Read { node, found, .. } => {
                let there = matches!(found, Some(Some(_)));
                self.note(at, *node, if there { "read" } else { "not-read" });
            }
            Seen::Fault { begins, hits, .. } => self.hits.push((*begins, hits.to_vec())),
            Seen::Views { views } => self.views = views.to_vec(),
            Seen::Spins { node } => panic!("node {} spins at {at}", node.0),
            Seen::Panicked { node, message } => panic!("node {}: {message}", node.0),
            Seen::Output { .. } | Seen::Asked { .. } => {}
        }
    }

    fn is_settled(&self) -> bool {
        false
    }
}

pub(crate) fn run(schedule: &Schedule) -> (Trace, Ran) {
    let mut trace = Trace::default();
    let ran = Direct.run(schedule, &mut trace).unwrap();
    (trace, ran)
}
