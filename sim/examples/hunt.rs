//! Judges generated seeds on the direct engine: `cargo run --release -p doyen-sim --example hunt --
//! FROM TO`, or `… -- SEED` for the story of one.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a tool for the shell"
)]

use doyen_core::input::Input;
use doyen_core::output::Output;
use doyen_core::time::Time;
use doyen_sim::engine::Engine as _;
use doyen_sim::engine::direct::Direct;
use doyen_sim::judge::{Judge, Verdict};
use doyen_sim::schedule::format;
use doyen_sim::schedule::generate::generate;
use doyen_sim::schedule::profile::Profile;
use doyen_sim::schedule::settings::config_of;
use doyen_sim::sometimes::Counters;
use doyen_sim::trace::differ::line;
use doyen_sim::trace::seen::{Seen, Sink};
use std::collections::BTreeMap;
use std::time::Instant;

/// Prints what matters of a run.
struct Printer {
    from: u64,
    all: bool,
}

impl Sink for Printer {
    fn seen(&mut self, at: Time, seen: &Seen<'_>) {
        let dull = match seen {
            Seen::Input { input, .. } => !matches!(
                input,
                Input::Command(_) | Input::EffectReport(_) | Input::Link(_)
            ),
            Seen::Output { output, .. } => matches!(
                output,
                Output::Send { .. }
                    | Output::Beat(_)
                    | Output::Read { .. }
                    | Output::Dial { .. }
                    | Output::Commit { .. }
                    | Output::Credentials(_)
            ),
            Seen::Views { .. } => true,
            _ => false,
        };
        if at.as_millis() >= self.from && (self.all || !dull) {
            println!("{}", line(at, seen));
        }
    }

    fn is_settled(&self) -> bool {
        false
    }
}

fn main() {
    let mut words = std::env::args().skip(1);
    let first: u64 = words.next().unwrap().parse().unwrap();
    let profile = Profile::default().validate().unwrap();
    let last = words.next();
    if let Some("story") = last.as_deref() {
        let from = words.next().map_or(0, |word| word.parse().unwrap());
        let all = words.next().is_some();
        let schedule = generate(first, &profile);
        println!("{}", format::write(&schedule).unwrap());
        let config = config_of(&schedule, None).unwrap();
        let mut printer = Printer { from, all };
        let mut judge = Judge::new(&schedule, config.get()).recorded_by(&mut printer);
        let ran = Direct.run(&schedule, &mut judge).unwrap();
        println!("{:?}", judge.judge(&ran).verdict);
        return;
    }
    let last: u64 = last.map_or(first + 1, |word| word.parse().unwrap());
    let (mut found, mut counters) = (
        BTreeMap::<String, (u64, Vec<u64>, String)>::new(),
        Counters::default(),
    );
    let (mut events, mut observations, began) = (0, 0, Instant::now());
    for seed in first..last {
        let schedule = generate(seed, &profile);
        let config = config_of(&schedule, None).unwrap();
        let mut judge = Judge::new(&schedule, config.get());
        let ran = match Direct.run(&schedule, &mut judge) {
            Ok(ran) => ran,
            Err(fault) => {
                println!("{seed}: {fault}");
                continue;
            }
        };
        let judgement = judge.judge(&ran);
        events += ran.events;
        observations += judgement.trail.length();
        counters.merge(&judgement.counters);
        let (what, text) = match judgement.verdict {
            Verdict::Pass => continue,
            Verdict::Violation(one) => (one.fingerprint, format!("{} {}", one.at, one.what)),
            Verdict::Undecided(what) => ("undecided".to_owned(), what),
        };
        let entry = found.entry(what).or_insert((0, Vec::new(), text));
        entry.0 += 1;
        if entry.1.len() < 8 {
            entry.1.push(seed);
        }
    }
    let took = began.elapsed().as_secs_f64();
    for (what, (count, seeds, text)) in &found {
        let short: String = text.chars().take(600).collect();
        println!("{count:6} {what} {seeds:?}\n       {short}");
    }
    let never: Vec<_> = counters.never().map(|one| one.word()).collect();
    println!("never: {never:?}");
    println!(
        "{} seeds in {took:.1} s, {:.0} seeds/s, {} events, {} observations a seed",
        last - first,
        (last - first) as f64 / took,
        events / (last - first),
        observations / (last - first)
    );
}
