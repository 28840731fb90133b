//! Tests of `splits`.

use super::*;
use crate::oracle::history::{History, server};
use crate::schedule::model::{FaultKind, Target, Topology};
use doyen_core::records::singleton::Epoch;
use doyen_core::wire::Beat;
use std::sync::Arc;

fn named(name: &str) -> Target {
    Target::Named(name.to_owned())
}

/// A cut of the first server from the others; another one after it.
fn cluster() -> History {
    let sides = vec![vec![named("s1")], vec![named("s2"), named("s3")]];
    let cut = FaultKind::Cut {
        topology: Topology::Sides(sides),
        refuses: false,
    };
    let mut history = History::cluster(Splits::default(), vec![cut.clone(), cut]);
    history.wait(60_000);
    history
}

fn both() -> Vec<Identity> {
    vec![server(2, 1), server(3, 1)]
}

#[test]
fn a_side_that_is_preferred_acts_after_stable_after() {
    let mut history = cluster();
    history.fault(0, true, &[1, 2, 3]).wait(26_000);
    history.rosters(&server(2, 1), 4, both());
    history.wait(60_000).looks();
    assert_eq!(history.verdict(), Ok(()));
}

#[test]
fn nobody_is_left_out_before_its_time_or_for_nothing() {
    let mut history = cluster();
    history.fault(0, true, &[1, 2, 3]).wait(10_000);
    history.rosters(&server(2, 1), 4, both());
    assert_eq!(history.fails(), "splits/hasty");
    let mut history = cluster();
    history.fault(0, true, &[3]).wait(26_000);
    history.rosters(&server(2, 1), 4, both());
    assert_eq!(history.fails(), "splits/needless");
}

#[test]
fn who_has_just_woken_leaves_nobody_out_that_has_run_all_the_time() {
    for (millis, good) in [(200, false), (5_100, true)] {
        let mut history = cluster();
        history.wait(60_000).pauses(2, true).wait(25_000);
        history.pauses(2, false).reads(2);
        history.announces(&server(3, 1)).reads(2).wait(millis);
        history.rosters(&server(2, 1), 4, both());
        assert_eq!(history.verdict().is_ok(), good, "{millis} ms");
    }
}

#[test]
fn a_side_that_is_not_preferred_announces_and_waits() {
    let alone = || vec![server(1, 1)];
    let mut history = cluster();
    history.fault(0, true, &[1, 2, 3]).wait(26_000);
    history.rosters(&server(1, 1), 4, alone());
    assert_eq!(history.fails(), "splits/not announced");
    for (millis, good) in [(1_000, false), (2_100, true)] {
        let mut history = cluster();
        history.fault(0, true, &[1, 2, 3]).wait(26_000);
        history.announces(&server(1, 1)).wait(millis);
        history.rosters(&server(1, 1), 4, alone());
        assert_eq!(history.verdict().is_ok(), good, "{millis} ms");
    }
}

#[test]
fn an_announcement_of_another_spares_the_preferred_side_its_wait() {
    for (before, after, good) in [
        (true, true, true),
        (true, false, false),
        (false, true, false),
    ] {
        let mut history = cluster();
        history.fault(0, true, &[1, 2, 3]).wait(10_000);
        if before {
            history.reads(2);
        }
        history.announces(&server(1, 1)).wait(100);
        if after {
            history.reads(2);
        }
        history.rosters(&server(2, 1), 4, both());
        assert_eq!(history.verdict().is_ok(), good, "{before} {after}");
    }
}

#[test]
fn an_announcement_that_was_read_late_spares_the_wait_all_the_same() {
    // It was connected with all after it was made, and before it was read.
    let mut history = cluster();
    history.reads(2).fault(0, true, &[1, 2, 3]).wait(20_000);
    history.announces(&server(1, 1)).wait(6_000);
    all_beat(&mut history, &[1, 3]);
    history.wait(6_000).reads(2);
    history.rosters(&server(2, 1), 4, both());
    assert_eq!(history.verdict(), Ok(()));
}

#[test]
fn what_is_carried_out_late_is_judged_by_what_its_writer_knew() {
    // It announced itself and acted in time; its answer was lost, and it announced itself again
    // before the store carried out what it had sent.
    for (millis, good) in [(2_100, true), (1_000, false)] {
        let alone = server(1, 1);
        let mut history = cluster();
        history.fault(0, true, &[1, 2, 3]).wait(26_000);
        history.announces(&alone).wait(millis);
        let acts = history.roster_of(&alone, 4, vec![alone.clone()]);
        history.sends(1, &acts).wait(1_000);
        history.announces(&alone).wait(100).commits(&alone, &acts);
        assert_eq!(history.verdict().is_ok(), good, "{millis} ms");
    }
}

#[test]
fn a_cut_that_nobody_decides_and_a_dead_server_that_stays_are_violations() {
    let mut history = cluster();
    history.fault(0, true, &[1, 2, 3]).wait(40_000).looks();
    assert_eq!(history.fails(), "splits/undecided");
    let mut history = cluster();
    history.dies(&server(3, 1)).wait(40_000).looks();
    assert_eq!(history.fails(), "splits/the dead stay");
    let mut history = cluster();
    history
        .dies(&server(3, 1))
        .fault(1, true, &[1, 2])
        .wait(30_000)
        .looks();
    assert_eq!(history.verdict(), Ok(()));
}

/// A beat of each of these reaches the second server, which says that it hears all.
fn all_beat(history: &mut History, from: &[u16]) {
    let sequence = history.now().as_millis();
    for number in from {
        let beat = Beat {
            from: server(*number, 1),
            sequence,
            generation: Generation(3),
            epoch: Epoch(1),
            holder: None,
            hears: Arc::new((1..=3).map(|one| server(one, 1)).collect()),
            store_age_ms: 0,
            vacant: false,
        };
        history.input(2, &Input::Beat(beat));
    }
}

#[test]
fn the_time_of_a_decision_counts_from_when_its_writer_was_last_connected_with_all() {
    // A server leaves out who was silent since before, though all were connected a moment ago.
    for (last, good) in [(&[1, 3][..], false), (&[3][..], true)] {
        let mut history = cluster();
        history.fault(0, true, &[1, 2, 3]).wait(20_000);
        all_beat(&mut history, last);
        history.wait(6_000);
        history.rosters(&server(2, 1), 4, both());
        let expected = (!good).then(|| "splits/hasty".to_owned());
        assert_eq!(history.verdict().err().map(|one| one.fingerprint), expected);
    }
}

#[test]
fn an_announcement_is_void_when_its_writer_was_connected_with_all_since() {
    for (last, good) in [(&[1, 3][..], false), (&[3][..], true)] {
        let mut history = cluster();
        history.fault(0, true, &[1, 2, 3]).wait(26_000);
        history.announces(&server(2, 1)).wait(1_000);
        all_beat(&mut history, last);
        history.wait(2_000);
        history.rosters(&server(2, 1), 4, vec![server(2, 1)]);
        let expected = (!good).then(|| "splits/void".to_owned());
        assert_eq!(history.verdict().err().map(|one| one.fingerprint), expected);
    }
}

#[test]
fn who_leaves_is_taken_off_at_any_time() {
    let mut history = cluster();
    history
        .input(3, &Input::Command(Command::Leave))
        .wait(2_000);
    history.rosters(&server(1, 1), 4, vec![server(1, 1), server(2, 1)]);
    assert_eq!(history.verdict(), Ok(()));
}

#[test]
fn a_side_that_is_preferred_announces_nothing() {
    let mut history = cluster();
    history.fault(0, true, &[1, 2, 3]).wait(26_000);
    let version = history.facts.records.split.as_ref().unwrap().version;
    let record = SplitRecord {
        generation: Generation(3),
        writer: Some(server(2, 1)),
        connected: [server(2, 1), server(3, 1)].into(),
        rest: Default::default(),
    };
    let layout = crate::oracle::history::layout();
    let guard = history.version_of_cluster();
    let announce = history
        .transaction()
        .check(doyen_core::records::key::cluster(), guard)
        .put(
            layout.split(),
            doyen_core::records::encode(&record),
            version,
        );
    history.writes(&server(2, 1), &announce);
    assert_eq!(history.fails(), "splits/announced needlessly");
}
