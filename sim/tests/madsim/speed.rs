//! How fast the engine is: `cargo xtask madsim test --release -p doyen-sim --test madsim -- \
//! --ignored --nocapture speed`.

use crate::watcher::{at, named, schedule, with};
use doyen_core::identity::Role;
use doyen_core::time::Time;
use doyen_sim::engine::Engine as _;
use doyen_sim::engine::madsim::Madsim;
use doyen_sim::schedule::model::{Ask, Fault, FaultKind, Request, Target};
use doyen_sim::trace::seen::{Seen, Sink};
use std::time::Instant;

/// Listens to everything and keeps nothing.
#[derive(Default)]
struct Deaf {
    seen: u64,
    drivers: u64,
}

impl Sink for Deaf {
    fn seen(&mut self, _: Time, seen: &Seen<'_>) {
        self.seen += 1;
        let role = match seen {
            Seen::Began { role, .. } => Some(*role),
            _ => None,
        };
        self.drivers += u64::from(role == Some(Role::Driver));
    }

    fn is_settled(&self) -> bool {
        false
    }
}

#[test]
#[ignore = "measures: build it with --release"]
fn speed_of_three_servers_and_two_drivers_for_a_minute() {
    let seeds = 20;
    let began = Instant::now();
    let mut seen = 0;
    for seed in 0..seeds {
        let asks = ["etl", "ml"].map(|name| {
            let context = name.to_owned();
            Ask::new(at(3_000), named("s1"), Request::CreateContext { context })
        });
        let target = Target::SingletonHost;
        let crash = Fault::new(at(20_000), FaultKind::Crash { target }).until(at(25_000));
        let schedule = with(schedule(3, seed, 60), vec![crash], asks.into());
        let run = std::thread::spawn(move || {
            let mut sink = Deaf::default();
            let ran = Madsim.run(&schedule, &mut sink).unwrap();
            assert_eq!(sink.drivers, 2);
            (ran, sink.seen)
        });
        seen += run.join().unwrap().1;
    }
    let took = began.elapsed();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let rss = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap_or("");
    eprintln!(
        "{seeds} seeds of 60 s in {took:?}: {:.1} seeds/s, {} observations a seed, {rss}",
        f64::from(u32::try_from(seeds).unwrap()) / took.as_secs_f64(),
        seen / seeds
    );
}
