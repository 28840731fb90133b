//! Shrinking against made-up failures, whose smallest schedule is known.

use super::*;
use crate::schedule::generate::generate;
use crate::schedule::model::{Fault, FaultKind};
use crate::schedule::profile::ValidProfile;

fn crashes(schedule: &Schedule) -> usize {
    let is_crash = |fault: &&Fault| matches!(fault.kind, FaultKind::Crash { .. });
    schedule.faults.iter().filter(is_crash).count()
}

/// A generated schedule with at least so many crashes.
fn with_crashes(count: usize) -> Schedule {
    (0..)
        .map(|seed| generate(seed, &ValidProfile::default()))
        .find(|schedule| crashes(schedule) >= count && schedule.servers.len() >= 3)
        .expect("the generator makes crashes")
}

#[test]
fn only_the_faults_that_matter_are_kept() {
    let shrunk = shrink(&with_crashes(1), 10_000, &mut |schedule| {
        crashes(schedule) > 0
    });
    let schedule = shrunk.schedule;
    assert_eq!(schedule.faults.len(), 1);
    assert_eq!(schedule.faults[0].at.0 % 10_000_000, 0, "at a round time");
    assert_eq!(schedule.faults[0].until, None);
    // A driver that crashes needs its context.
    assert!(schedule.workload.len() <= 1, "{schedule:?}");
    assert_eq!(schedule.servers.len(), 1);
    assert!(schedule.settings.is_empty());
    assert!(!shrunk.ended_early);
}

#[test]
fn what_the_failure_needs_is_kept() {
    let needs = |schedule: &Schedule| crashes(schedule) > 0 && schedule.servers.len() > 1;
    let shrunk = shrink(&with_crashes(1), 10_000, &mut |schedule| needs(schedule));
    assert!(needs(&shrunk.schedule));
    assert_eq!(shrunk.schedule.servers.len(), 2);
}

#[test]
fn the_bound_of_runs_is_kept() {
    let mut runs = 0;
    let shrunk = shrink(&with_crashes(1), 7, &mut |schedule| {
        runs += 1;
        crashes(schedule) > 0
    });
    assert_eq!((runs, shrunk.runs, shrunk.ended_early), (7, 7, true));
    assert!(crashes(&shrunk.schedule) > 0);
}
