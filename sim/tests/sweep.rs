//! The crash-point sweep over the direct engine: every point of an undisturbed run is hit.
#![allow(clippy::unwrap_used, reason = "only tests use it")]

use doyen_core::time::Time;
use doyen_sim::engine::Engine;
use doyen_sim::engine::direct::Direct;
use doyen_sim::schedule::format::read;
use doyen_sim::schedule::model::{Accident, Act, At, FaultKind};
use doyen_sim::schedule::sweep::{Counter, Plan, sweep};
use doyen_sim::trace::seen::{Ended, Seen, Sink};

const BASE: &str = r#"
format = 1
rules = 1
name = "base"
seed = 5
phases.heal = "20s"
phases.end = "300s"
servers = [
  { name = "s1" },
  { name = "s2", start = "300ms" },
]
workload = [
  { at = "2s", of = "s1", ask = "create-context", context = "c1" },
  { at = "4s", of = "s2", ask = "submit", context = "c1", job = "j1", lasts = "300ms" },
  { at = "8s", of = "s2", ask = "delete-context", context = "c1" },
]
"#;

/// What an accident does that can be seen.
#[derive(Default)]
struct Accidents {
    killed: usize,
    paused: usize,
    untold: usize,
}

impl Sink for Accidents {
    fn seen(&mut self, _at: Time, seen: &Seen<'_>) {
        match seen {
            Seen::Ended {
                how: Ended::Killed, ..
            } => self.killed += 1,
            Seen::Paused { paused: true, .. } => self.paused += 1,
            Seen::Store(written) if !written.told => self.untold += 1,
            _ => {}
        }
    }

    fn is_settled(&self) -> bool {
        true
    }
}

#[test]
fn every_point_of_a_sweep_is_hit() {
    let base = read("base", BASE).unwrap();
    let mut counter = Counter::default();
    Direct.run(&base, &mut counter).unwrap();
    let acts = counter.acts();
    let names: Vec<String> = acts.iter().map(|acts| acts.target.to_string()).collect();
    assert_eq!(names, ["s1", "s2", "driver-of(c1)"]);
    assert!(acts.iter().all(|acts| acts.count(Act::Commit) > 0));
    let plan = Plan {
        pauses: vec![At::from_secs(2)],
        acts_max: 2,
        ..Plan::default()
    };
    let mut points = 0;
    for schedule in sweep(&base, &acts, &plan) {
        let mut accidents = Accidents::default();
        Direct.run(&schedule, &mut accidents).unwrap();
        let FaultKind::AtAct { act, what, .. } = schedule.faults[0].kind else {
            panic!("{}: no accident", schedule.name);
        };
        let seen = match (what, act) {
            (Accident::KillBefore | Accident::KillAfter, _) => accidents.killed,
            (Accident::PauseBefore | Accident::PauseAfter, _) => accidents.paused,
            (Accident::LoseAnswer | Accident::ActLate, Act::Commit) => accidents.untold,
            // Lost answers of reads are not shown.
            (Accident::LoseAnswer | Accident::ActLate, _) => 1,
        };
        assert!(seen > 0, "{}: nothing happened", schedule.name);
        points += 1;
    }
    assert!(points > 40, "{points}");
}
