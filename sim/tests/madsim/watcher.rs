//! A sink that keeps what tests ask for.

use doyen_core::identity::Identity;
use doyen_core::input::RequestId;
use doyen_core::output::{Answer, ClusterEvent, Output, TakenBy};
use doyen_core::process::ClusterView;
use doyen_core::time::Time;
use doyen_sim::engine::Ran;
use doyen_sim::engine::madsim::{Conformance, Madsim};
use doyen_sim::schedule::model::{Ask, At, Fault, Schedule, Target};
use doyen_sim::trace::seen::{Ended, NodeId, Seen, Sink};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};

/// What happened.
#[derive(Default)]
pub(crate) struct Watcher {
    pub(crate) began: Vec<(Time, NodeId, Identity)>,
    pub(crate) ended: Vec<(Time, NodeId, Ended)>,
    pub(crate) taken: Vec<(Time, NodeId, TakenBy)>,
    pub(crate) events: Vec<(Time, NodeId, ClusterEvent)>,
    pub(crate) answers: BTreeMap<RequestId, (Time, Option<Answer>)>,
    pub(crate) asked: BTreeMap<RequestId, Time>,
    pub(crate) reads: Vec<Option<bool>>,
    pub(crate) views: Vec<(NodeId, ClusterView)>,
    pub(crate) digest: u64,
    /// Every observation, a line each.
    pub(crate) lines: Vec<String>,
    story: String,
}

impl Sink for Watcher {
    fn seen(&mut self, at: Time, seen: &Seen<'_>) {
        let mut hasher = DefaultHasher::new();
        let line = format!("{} {seen:?}", at.as_nanos());
        (self.digest, &line).hash(&mut hasher);
        self.lines.push(line);
        self.digest = hasher.finish();
        match seen {
            Seen::Began { node, identity, .. } => {
                self.began.push((at, *node, (*identity).clone()));
            }
            Seen::Ended { node, how, .. } => self.ended.push((at, *node, (*how).clone())),
            Seen::Output {
                node,
                output: Output::Event(event),
            } => {
                let _ = writeln!(self.story, "{at} {node:?} {event:?}");
                self.events.push((at, *node, event.clone()));
                if let ClusterEvent::OfficeTaken { by, .. } = event {
                    self.taken.push((at, *node, *by));
                }
            }
            Seen::Asked { request, .. } => {
                self.asked.insert(*request, at);
            }
            Seen::Answered {
                request, answer, ..
            } => {
                self.answers.insert(*request, (at, answer.cloned()));
            }
            Seen::Read { found, .. } => self.reads.push(found.map(|found| found.is_some())),
            Seen::Views { views } => self.views = views.to_vec(),
            Seen::Spins { .. } | Seen::Panicked { .. } => panic!("{at} {seen:?}"),
            _ => {}
        }
        if !matches!(
            seen,
            Seen::Input { .. } | Seen::Output { .. } | Seen::Views { .. } | Seen::Store(_)
        ) {
            let _ = writeln!(self.story, "{at} {seen:?}");
        }
    }

    fn is_settled(&self) -> bool {
        false
    }
}

impl Watcher {
    /// What happened, a line each.
    pub(crate) fn story(&self) -> &str {
        &self.story
    }
}

/// A schedule of so many servers.
pub(crate) fn schedule(servers: u32, seed: u64, end: u64) -> Schedule {
    let mut text = format!("format = 1\nrules = 1\nseed = {seed}\n");
    let _ = writeln!(
        text,
        "phases = {{ heal = \"{}s\", end = \"{end}s\" }}",
        end / 2
    );
    for n in 1..=servers {
        let _ = writeln!(text, "[[servers]]\nname = \"s{n}\"");
    }
    toml::from_str(&text).unwrap()
}

pub(crate) fn at(millis: u64) -> At {
    At::from_millis(millis)
}

pub(crate) fn named(name: &str) -> Target {
    Target::Named(name.to_owned())
}

/// Carries a schedule out on a thread of its own; conformance is checked.
pub(crate) fn play(schedule: &Schedule) -> (Watcher, Ran, Conformance) {
    let schedule = schedule.clone();
    let thread = std::thread::spawn(move || {
        let mut watcher = Watcher::default();
        let (ran, recording) = Madsim.record(&schedule, &mut watcher).unwrap();
        let conformance = recording
            .check()
            .unwrap_or_else(|error| panic!("{error}\n{}", watcher.story()));
        (watcher, ran, conformance)
    });
    thread.join().unwrap()
}

pub(crate) fn with(mut schedule: Schedule, faults: Vec<Fault>, asks: Vec<Ask>) -> Schedule {
    schedule.faults = faults;
    schedule.workload = asks;
    schedule
}
