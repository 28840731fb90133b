//! E2: who comes in time, who comes too late.

use super::world::{Answers, DRIVER, World, context, launch, server};
use crate::identity::{Address, Incarnation};
use crate::input::{EffectReport, Input};
use crate::output::{ClusterEvent, Effect, StopReason};
use crate::records::context::{ContextState, DriverPhase, IntentNumber, Owner};
use crate::records::job::JobState;
use crate::records::transaction::{Change, Operation};
use std::collections::BTreeSet;
use std::time::Duration;

#[test]
fn a_driver_takes_its_context_and_then_starts_the_engine() {
    let mut world = World::launched(&context());
    world.run();
    let owner = world.owner().owner.unwrap();
    assert_eq!(owner.driver, DRIVER);
    assert_eq!(owner.process, launch().process);
    assert_eq!(world.life().phase, DriverPhase::Starting);
    assert_eq!(world.life().driver, Some(DRIVER));
    assert_eq!(
        world.effects,
        [Effect::StartEngine {
            context: Box::new(context())
        }]
    );
    let (taking, _) = &world.commits[0];
    assert!(matches!(&taking.operations[0], Operation::Check { key, .. }
        if *key == world.layout.context(&super::world::context_id())));
    world.report(EffectReport::EngineReady {
        application_id: Some("app-1".into()),
        url: Some("http://10.0.0.1:4040".into()),
    });
    assert_eq!(
        world.life().phase,
        DriverPhase::Ready {
            application_id: Some("app-1".into()),
            url: Some("http://10.0.0.1:4040".into()),
        }
    );
    assert_eq!(world.stop, None);
}

#[test]
fn a_driver_that_comes_too_late_stops() {
    type Change = fn(&mut World);
    let cases: [(&str, Change); 4] = [
        ("final", |world| {
            world.change_context(|one| one.state = ContextState::Error);
        }),
        ("another intent", |world| {
            world.change_owner(|one| one.intent = IntentNumber(2));
        }),
        ("another driver", |world| {
            let process = launch().process;
            let driver = Incarnation(8);
            world.change_owner(|one| one.owner = Some(Owner { driver, process }));
        }),
        ("gone", |world| {
            let key = world.layout.context(&super::world::context_id());
            world.other(|transaction| transaction.delete_any(key));
        }),
    ];
    for (what, change) in cases {
        let mut world = World::launched(&context());
        change(&mut world);
        world.run();
        assert!(
            matches!(world.stop, Some(StopReason::DriverFenced { .. })),
            "{what}: {:?}",
            world.stop
        );
        assert!(world.effects.is_empty(), "{what}");
        assert!(world.commits.is_empty(), "{what}");
        assert_eq!(world.driver.poll_timeout(), None);
    }
}

#[test]
fn a_taking_transaction_whose_answer_is_lost_is_found_by_reading() {
    let mut world = World::launched(&context());
    world.answers = Answers::Lost;
    world.run();
    world.answers = Answers::AtOnce;
    world.pass(Duration::from_secs(1));
    assert_eq!(world.owner().owner.unwrap().driver, DRIVER);
    assert_eq!(world.effects.len(), 1, "{:?}", world.effects);
    world.report(EffectReport::EngineReady {
        application_id: None,
        url: None,
    });
    assert!(matches!(world.life().phase, DriverPhase::Ready { .. }));
}

#[test]
fn a_context_that_changes_while_it_is_taken_is_read_again() {
    let mut world = World::launched(&context());
    world.watched = false;
    world.answers = Answers::Away;
    world.run();
    world.answers = Answers::AtOnce;
    world.change_context(|one| one.user = "somebody".into());
    world.pass(Duration::from_millis(200));
    let Effect::StartEngine { context } = &world.effects[0] else {
        panic!("{:?}", world.effects)
    };
    assert_eq!(context.user, "somebody");
}

#[test]
fn without_the_store_it_waits_and_gives_up_after_driver_take() {
    let mut world = World::launched(&context());
    world.answers = Answers::Away;
    world.run();
    world.pass(Duration::from_secs(29));
    assert_eq!(world.stop, None);
    assert!((20..50).contains(&world.reads), "{} reads", world.reads);
    world.pass(Duration::from_secs(1));
    assert!(matches!(world.stop, Some(StopReason::DriverFenced { .. })));
    let away = ClusterEvent::StoreReachable { reachable: false };
    assert_eq!(world.events, [away]);
}

#[test]
fn a_context_that_is_told_to_stop_before_it_is_taken_ends_without_an_engine() {
    let mut world = World::launched(&context());
    world.change_context(|one| one.state = ContextState::Stopping);
    world.run();
    assert_eq!(world.effects, []);
    assert_eq!(world.stop, Some(StopReason::DriverDone));
    let ended = DriverPhase::Ended {
        orderly: true,
        error: None,
    };
    assert_eq!(world.life().phase, ended);
}

#[test]
fn it_dials_the_launching_servers_first_and_the_roster_once_it_is_known() {
    let mut world = World::launched(&context());
    world.run();
    let launching = BTreeSet::from([Address::new("10.0.0.1", 1)]);
    let roster = BTreeSet::from([server(1).address, server(2).address]);
    assert_eq!(world.dials, [launching, roster]);
}

#[test]
fn a_read_from_before_it_took_its_context_does_not_fence_it() {
    let mut world = World::launched(&context());
    world.slow_reads = true;
    world.run();
    // The first read is answered; a second one begins before the taking transaction is.
    world.answers = Answers::Held;
    world.tell(Input::StoreChanged(Change::Everything));
    let (reads, commits) = world.split_held();
    let Input::Read {
        outcome: before, ..
    } = reads[0].clone()
    else {
        panic!("{reads:?}")
    };
    world.tell(reads.into_iter().next().unwrap());
    assert!(commits.is_empty());
    let (mut later, mut taken) = world.split_held();
    assert_eq!((later.len(), taken.len()), (1, 1));
    assert_eq!(world.owner().owner.unwrap().driver, DRIVER);
    // It was made before the commit landed.
    let Input::Read { ticket, .. } = later[0] else {
        panic!("{later:?}")
    };
    later[0] = Input::Read {
        ticket,
        outcome: before,
    };
    world.answers = Answers::AtOnce;
    world.slow_reads = false;
    world.tell(taken.remove(0));
    world.tell(later.remove(0));
    assert_eq!(world.stop, None);
    assert_eq!(world.effects.len(), 1, "{:?}", world.effects);
}

/// protocol.md W7: what a newer release added survives the driver's writes.
#[test]
fn unknown_fields_of_owner_life_and_job_are_kept() {
    let newer = || [("newer".to_owned(), serde_json::json!([1]))].into();
    let mut world = World::launched(&context());
    world.change_owner(|owner| owner.rest = newer());
    world.change_life(|life| life.rest = newer());
    world.run();
    world.report(EffectReport::EngineReady {
        application_id: None,
        url: None,
    });
    assert!(matches!(world.life().phase, DriverPhase::Ready { .. }));
    assert_eq!((world.owner().rest, world.life().rest), (newer(), newer()));
    let mut job = super::world::job(1);
    job.rest = newer();
    world.submit(&job);
    world.running(1);
    assert_eq!(
        world.open(1).map(|one| (one.state, one.rest)),
        Some((JobState::Running, newer()))
    );
    world.finish(1, "1");
    assert_eq!(world.done(1).unwrap().rest, newer());
}
