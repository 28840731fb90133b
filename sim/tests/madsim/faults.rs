//! Stories of servers over the real runtime: found, killed, cut, stopped.

use crate::watcher::{Watcher, at, named, play, schedule, with};
use doyen_core::output::TakenBy;
use doyen_sim::schedule::model::{Fault, FaultKind, Target, Topology};
use doyen_sim::trace::seen::NodeId;

#[track_caller]
fn assert_whole(watcher: &Watcher, servers: usize) {
    assert_eq!(watcher.views.len(), servers, "{}", watcher.story());
    for (node, view) in &watcher.views {
        assert_eq!(view.members.len(), servers, "{node:?}: {}", watcher.story());
        assert!(
            view.ready && view.converged,
            "{node:?}: {}",
            watcher.story()
        );
        assert_eq!(view.holder, watcher.views[0].1.holder);
    }
}

#[test]
fn three_servers_form_one_cluster_with_one_holder() {
    let (watcher, _, conformance) = play(&schedule(3, 1, 20));
    assert_whole(&watcher, 3);
    let founding: Vec<_> = watcher.taken.iter().map(|(_, _, by)| *by).collect();
    assert_eq!(founding, [TakenBy::Founding], "{}", watcher.story());
    assert!(conformance.messages > 0, "{conformance:?}");
}

#[test]
fn a_killed_holder_is_replaced_by_proof_of_its_death() {
    let fault = Fault::new(
        at(10_000),
        FaultKind::Crash {
            target: Target::SingletonHost,
        },
    )
    .until(at(15_000));
    let (watcher, _, _) = play(&with(schedule(3, 2, 60), vec![fault], vec![]));
    let (when, by_whom, by) = watcher.taken[1];
    assert_eq!(by, TakenBy::Proof, "{}", watcher.story());
    assert_ne!(by_whom, NodeId(0));
    let after = when.as_millis() - 10_000;
    assert!(after < 200, "after {after} ms: {}", watcher.story());
    assert_whole(&watcher, 3);
}

#[test]
fn a_cut_between_two_servers_heals() {
    let cut = FaultKind::Cut {
        topology: Topology::Sides(vec![vec![named("s1")], vec![named("s2")]]),
        refuses: false,
    };
    let fault = Fault::new(at(10_000), cut).until(at(18_000));
    let (watcher, _, _) = play(&with(schedule(3, 3, 60), vec![fault], vec![]));
    assert_whole(&watcher, 3);
    let down = watcher
        .ended
        .iter()
        .filter(|(when, ..)| when.as_millis() > 10_000);
    assert_eq!(down.count(), 0, "{}", watcher.story());
}

#[test]
fn one_seed_is_one_run_and_another_seed_another_one() {
    let crash = || {
        let target = Target::SingletonHost;
        Fault::new(at(8_000), FaultKind::Crash { target }).until(at(12_000))
    };
    let run = |seed| play(&with(schedule(3, seed, 40), vec![crash()], vec![])).0;
    let (one, again, other) = (run(7), run(7), run(8));
    let differ = one.lines.iter().zip(&again.lines).position(|(a, b)| a != b);
    if let Some(at) = differ {
        panic!("{at}: {}\nand {}", one.lines[at], again.lines[at]);
    }
    assert_eq!(one.digest, again.digest);
    assert_ne!(one.digest, other.digest);
    assert_eq!(one.lines.len(), again.lines.len());
}
