//! What happened around the kill, in order, from the survivors' logs and the calls' own times.

use super::Moment;
use crate::say;
use doyen_tests::cluster::Cluster;
use doyen_tests::events::Event;
use doyen_tests::load::{Sample, gap_ms, millis, sum_up};
use std::time::Instant;

/// Prints it.
pub(super) fn tell(
    cluster: &Cluster,
    survivors: &[usize],
    victim: &str,
    epoch: u64,
    start: &Moment,
    samples: &[Sample],
) {
    let mut events: Vec<(usize, Event)> = Vec::new();
    for index in survivors {
        let found = cluster.events(*index, start.wall_ms - 1.0);
        events.extend(found.into_iter().map(|event| (*index, event)));
    }
    say::line("timeline (ms after the kill was sent):");
    let row = |ms: Option<f64>, text: &str| {
        let ms = ms.map_or_else(|| "     not told".to_owned(), |ms| format!("{ms:13.1}"));
        say::line(format!("{ms}  {text}"));
    };
    row(Some(start.gone_ms), "the process is gone");
    let (seen, text) = first(&events, start, "its death is seen", |event| {
        event.name == "proof-of-death" && event.text("member").contains(victim)
    });
    row(seen, &text);
    let later = |event: &Event| event.number("epoch").is_some_and(|taken| taken > epoch);
    let moved = |event: &Event| event.name == "office-taken" && later(event);
    let (ms, text) = first(&events, start, "the singleton has moved", moved);
    row(ms, &text);
    let ready = |event: &Event| event.name == "office-ready" && later(event);
    let (ms, text) = first(&events, start, "its new holder serves", ready);
    row(ms, &text);
    row(
        gap_ms(samples, survivors, start.instant),
        "each survivor has answered a deciding call",
    );
    let summary = sum_up(samples);
    row(
        Some(summary.longest_ms),
        "is what the longest call of all took",
    );
    let after = calls_after(samples, start.instant);
    say::line(format!(
        "{} calls, {after} of them after the kill: {} failed",
        summary.calls, summary.failed
    ));
}

/// When the first such event was, and at which server.
fn first(
    events: &[(usize, Event)],
    start: &Moment,
    text: &str,
    is_it: impl Fn(&Event) -> bool,
) -> (Option<f64>, String) {
    let found = events
        .iter()
        .filter(|(_, event)| is_it(event))
        .min_by(|(_, a), (_, b)| a.at_ms.total_cmp(&b.at_ms));
    match found {
        Some((index, event)) => (
            (Some((event.at_ms - start.wall_ms).max(0.0))),
            format!("{text} (server {index})"),
        ),
        None => (None, text.to_owned()),
    }
}

fn calls_after(samples: &[Sample], fault: Instant) -> usize {
    samples
        .iter()
        .filter(|s| millis(s.sent.saturating_duration_since(fault)) > 0.0)
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_event_of_its_kind_is_told_with_its_server() {
        let event = |ms: u32, name: &str| Event {
            name: name.to_owned(),
            at_ms: f64::from(ms),
            line: serde_json::json!({ "event": name, "epoch": 2 }),
        };
        let events = [
            (1, event(105, "office-taken")),
            (2, event(103, "proof-of-death")),
            (1, event(102, "proof-of-death")),
        ];
        let start = Moment {
            instant: Instant::now(),
            wall_ms: 100.0,
            gone_ms: 0.5,
        };
        let told = first(&events, &start, "seen", |e| e.name == "proof-of-death");
        assert_eq!(told, (Some(2.0), "seen (server 1)".to_owned()));
        let told = first(&events, &start, "left", |e| e.name == "left");
        assert_eq!(told, (None, "left".to_owned()));
    }
}
