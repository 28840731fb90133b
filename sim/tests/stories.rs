//! Stories of whole clusters: what operators would see of their servers, in simulated time.

mod common;

use common::{answer, cluster, deciding_calls, delete, holder, others, secs, serves, taken_by};
use doyen_core::output::{Answer, ClusterEvent, StopReason, TakenBy};
use doyen_core::records::call::CallOutcome;
use doyen_sim::world::story::Happened;
use std::time::Duration;

#[test]
fn three_servers_that_start_together_make_one_cluster() {
    for seed in 0..30 {
        let (world, all) = cluster(3, seed);
        let founded = |h: &Happened| matches!(h, Happened::Event(ClusterEvent::Founded { .. }));
        assert_eq!(
            world
                .history()
                .iter()
                .filter(|(_, _, h)| founded(h))
                .count(),
            1
        );
        assert_eq!(holder(&world, &all), all[0]);
    }
}

#[test]
fn a_lone_server_serves_at_once() {
    let (mut world, all) = cluster(1, 1);
    let first = deciding_calls(&mut world, &all, secs(1));
    assert!(first < Duration::from_millis(20), "{first:?}");
}

#[test]
fn the_office_moves_by_proof_when_its_holder_is_killed() {
    for count in [2, 3] {
        for seed in 0..20 {
            let (mut world, all) = cluster(count, seed);
            world.run_for(secs(3));
            let victim = holder(&world, &all);
            let rest = others(&all, &victim);
            world.kill(&victim);
            let first = deciding_calls(&mut world, &rest, secs(2));
            assert!(first < Duration::from_millis(60), "{first:?}");
            assert_eq!(taken_by(&world).last(), Some(&TakenBy::Proof));
        }
    }
}

#[test]
fn a_stopped_holder_is_challenged_and_serves_on_as_an_ordinary_member() {
    for count in [2, 3] {
        for seed in 0..10 {
            let (mut world, all) = cluster(count, seed);
            world.run_for(secs(3));
            let victim = holder(&world, &all);
            let rest = others(&all, &victim);
            world.pause(&victim);
            let began = world.now();
            assert!(world.run_until(secs(2), |world| holder(world, &rest) != victim));
            assert!(world.now().since(began) < Duration::from_millis(1_200));
            world.run_for(secs(4));
            world.resume(&victim);
            assert!(world.run_until(secs(5), |world| serves(world, &all)));
            world.run_for(secs(40));
            assert!(serves(&world, &all));
            let stops = world
                .history()
                .iter()
                .filter(|(_, _, h)| matches!(h, Happened::Stopped(StopReason::LeftOut { .. })));
            assert_eq!(stops.count(), 0);
        }
    }
}

#[test]
fn a_holder_that_leaves_grants_its_office() {
    for count in [2, 3] {
        let (mut world, all) = cluster(count, 7);
        let victim = holder(&world, &all);
        let rest = others(&all, &victim);
        world.leave(&victim);
        deciding_calls(&mut world, &rest, secs(4));
        let left = |h: &Happened| matches!(h, Happened::Stopped(StopReason::Left));
        assert!(
            world
                .history()
                .iter()
                .any(|(_, at, h)| *at == victim && left(h))
        );
        assert!(serves(&world, &rest));
        assert_eq!(taken_by(&world).last(), Some(&TakenBy::Grant));
        assert_eq!(world.view(&rest[0]).unwrap().members.len(), rest.len());
    }
}

#[test]
fn a_killed_server_joins_again_at_its_address() {
    for seed in 0..10 {
        let (mut world, all) = cluster(3, seed);
        let victim = holder(&world, &all);
        world.kill(&victim);
        world.run_for(secs(2));
        world.start(&victim);
        assert!(
            world.run_until(secs(20), |world| serves(world, &all)),
            "{}",
            world.story()
        );
    }
}

#[test]
fn of_two_servers_that_are_cut_apart_exactly_one_stays() {
    for seed in 0..10 {
        let (mut world, all) = cluster(2, seed);
        world.isolate(&all[0], false);
        world.run_for(secs(60));
        let alive: Vec<_> = all
            .iter()
            .filter(|one| world.identity(one).is_some())
            .collect();
        assert_eq!(alive, [&all[0]], "the side of the oldest stays");
        world.heal();
        world.start(&all[1]);
        assert!(world.run_until(secs(30), |world| serves(world, &all)));
    }
}

#[test]
fn the_survivor_of_two_stays_whoever_dies() {
    for dead in 0..2 {
        let (mut world, all) = cluster(2, 3);
        world.kill(&all[dead]);
        let rest = others(&all, &all[dead]);
        deciding_calls(&mut world, &rest, secs(40));
        assert!(serves(&world, &rest));
        assert_eq!(
            world.view(&rest[0]).unwrap().members.len(),
            1,
            "left out after stable-after"
        );
    }
}

#[test]
fn a_lone_oldest_goes_down_and_the_others_stay() {
    for seed in 0..10 {
        let (mut world, all) = cluster(3, seed);
        let victim = holder(&world, &all);
        let rest = others(&all, &victim);
        world.isolate(&victim, false);
        deciding_calls(&mut world, &rest, secs(40));
        assert!(
            world.identity(&victim).is_none(),
            "the lone oldest is left out and exits"
        );
        assert!(serves(&world, &rest));
    }
}

#[test]
fn a_holder_without_store_is_replaced_and_nobody_goes_down() {
    let (mut world, all) = cluster(3, 11);
    let victim = holder(&world, &all);
    let rest = others(&all, &victim);
    world.cut_store(&victim);
    assert!(world.run_until(secs(5), |world| holder(world, &rest) != victim));
    world.run_for(secs(30));
    assert!(world.identity(&victim).is_some());
    world.heal();
    assert!(world.run_until(secs(5), |world| serves(world, &all)));
}

#[test]
fn without_the_store_nobody_decides_and_everybody_serves_again_when_it_is_back() {
    for count in [1, 2, 3] {
        let (mut world, all) = cluster(count, 12);
        let before = world.view(&all[0]).unwrap().generation;
        for server in &all {
            world.cut_store(server);
        }
        world.run_for(secs(1));
        let asked: Vec<_> = all
            .iter()
            .map(|at| delete(&mut world, at, "absent"))
            .collect();
        world.run_for(secs(20));
        assert!(all.iter().all(|one| world.identity(one).is_some()));
        world.heal();
        for request in asked {
            let answer = answer(&mut world, request);
            assert_eq!(answer, Answer::Call(CallOutcome::ContextNotFound));
        }
        assert!(world.run_until(secs(2), |world| serves(world, &all)));
        assert_eq!(world.view(&all[0]).unwrap().generation, before);
    }
}

/// S7: only while another server has the store is a holder without it vacant; S6: nor is it taken for
/// hung for the time in which nobody had the store.
#[test]
fn the_office_stays_where_it_is_when_the_store_stops_for_everybody() {
    for seed in 0..20 {
        let (mut world, all) = cluster(3, seed);
        world.run_for(Duration::from_millis(3_000 + seed * 97));
        let before = world.view(&all[0]).unwrap().epoch;
        for server in &all {
            world.cut_store(server);
        }
        world.run_for(secs(1 + seed % 9));
        world.heal();
        world.run_for(secs(10));
        assert!(serves(&world, &all), "{}", world.story());
        let after = world.view(&all[0]).unwrap().epoch;
        assert_eq!(after, before, "seed {seed}: {}", world.story());
    }
}
