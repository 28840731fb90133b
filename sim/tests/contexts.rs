//! Stories of contexts and jobs: what clients would see, in simulated time.

mod common;

use common::{answer, cluster, create, delete, holder, others, repeat_alone, secs, submit};
use doyen_core::identity::JobId;
use doyen_core::input::{Input, LinkEvent, RequestId};
use doyen_core::output::Answer;
use doyen_core::records::call::CallOutcome;
use doyen_core::records::job::{JobRefusal, JobState};
use doyen_sim::world::story::Story as World;
use std::time::Duration;

#[track_caller]
fn created(world: &mut World, at: &doyen_core::identity::Address, name: &str) {
    let request = create(world, at, name);
    let answer = answer(world, request);
    assert!(
        matches!(answer, Answer::Call(CallOutcome::ContextCreated { .. })),
        "{answer:?}"
    );
}

#[test]
fn a_context_is_created_used_and_deleted_through_any_server() {
    let (mut world, all) = cluster(3, 1);
    for (n, at) in all.iter().enumerate() {
        let name = format!("etl-{n}");
        created(&mut world, at, &name);
        let again = create(&mut world, &all[0], &name);
        assert_eq!(
            answer(&mut world, again),
            Answer::Call(CallOutcome::ContextExists)
        );
        for other in &all {
            let job = submit(&mut world, other, &name, "sleep-100ms", true);
            let Answer::JobDone(job) = answer(&mut world, job) else {
                panic!("{}", world.story())
            };
            assert_eq!(job.state, JobState::Finished);
        }
        let request = delete(&mut world, &all[(n + 1) % 3], &name);
        let gone = answer(&mut world, request);
        assert!(
            matches!(gone, Answer::Call(CallOutcome::ContextStopped { .. })),
            "{gone:?}"
        );
        let absent = delete(&mut world, at, &name);
        assert_eq!(
            answer(&mut world, absent),
            Answer::Call(CallOutcome::ContextNotFound)
        );
    }
    assert_eq!(world.drivers(), []);
}

#[test]
fn a_creation_survives_the_death_of_its_holder_at_any_moment() {
    for step in 0..80 {
        let (mut world, all) = cluster(3, 2);
        world.run_for(secs(3));
        let victim = holder(&world, &all);
        let rest = others(&all, &victim);
        let request = create(&mut world, &rest[0], "etl");
        world.run_for(Duration::from_micros(step * 1_500));
        world.kill(&victim);
        let outcome = answer(&mut world, request);
        let made = matches!(outcome, Answer::Call(CallOutcome::ContextCreated { .. }));
        assert!(
            made,
            "killed after {step} steps: {outcome:?}\n{}",
            world.story()
        );
        let job = submit(&mut world, &rest[1], "etl", "sleep-10ms", true);
        assert!(matches!(answer(&mut world, job), Answer::JobDone(_)));
        let request = delete(&mut world, &rest[1], "etl");
        let gone = answer(&mut world, request);
        assert!(
            matches!(gone, Answer::Call(CallOutcome::ContextStopped { .. })),
            "{gone:?}"
        );
        assert_eq!(world.drivers(), []);
    }
}

#[test]
fn a_deletion_survives_the_death_of_its_holder_at_any_moment() {
    for step in 0..30 {
        let (mut world, all) = cluster(2, 5);
        world.run_for(secs(3));
        let victim = holder(&world, &all);
        let rest = others(&all, &victim);
        created(&mut world, &rest[0], "etl");
        let request = delete(&mut world, &rest[0], "etl");
        world.run_for(Duration::from_micros(step * 700));
        world.kill(&victim);
        let gone = answer(&mut world, request);
        let stopped = matches!(gone, Answer::Call(CallOutcome::ContextStopped { .. }));
        assert!(
            stopped,
            "killed after {step} steps: {gone:?}\n{}",
            world.story()
        );
        created(&mut world, &rest[0], "etl");
    }
}

#[test]
fn a_driver_outlives_all_servers_and_its_result_is_read_later() {
    let (mut world, all) = cluster(2, 3);
    created(&mut world, &all[0], "etl");
    let job = submit(&mut world, &all[0], "etl", "sleep-30000ms", false);
    let Answer::JobAccepted(accepted) = answer(&mut world, job) else {
        panic!()
    };
    for server in &all {
        world.kill(server);
    }
    world.run_for(secs(60));
    assert_eq!(world.drivers().len(), 1);
    for server in &all {
        world.start(server);
    }
    assert!(world.run_until(secs(60), |world| common::serves(world, &all)));
    let layout =
        doyen_core::records::key::Layout::new(&world.view(&all[0]).unwrap().cluster.unwrap());
    let done = layout.done(&accepted.id);
    assert!(
        world.store().records().any(|(key, _)| *key == done),
        "{}",
        world.story()
    );
    let job = submit(&mut world, &all[1], "etl", "sleep-1ms", true);
    assert!(matches!(answer(&mut world, job), Answer::JobDone(_)));
}

#[test]
fn a_killed_driver_ends_its_context_and_its_jobs() {
    let (mut world, all) = cluster(3, 4);
    created(&mut world, &all[1], "etl");
    let job = submit(&mut world, &all[2], "etl", "sleep-600000ms", true);
    world.run_for(secs(1));
    let driver = world.drivers()[0].clone();
    world.kill(&driver);
    let Answer::JobDone(job) = answer(&mut world, job) else {
        panic!("{}", world.story())
    };
    assert_eq!(job.state, JobState::Error);
    let message = job.error.unwrap().message;
    assert_eq!(
        message,
        format!("Unexpected termination of context {}", job.context)
    );
    world.run_for(secs(1));
    created(&mut world, &all[1], "etl");
}

#[test]
fn the_ninth_job_finds_no_slot() {
    let (mut world, all) = cluster(1, 6);
    created(&mut world, &all[0], "etl");
    for _ in 0..8 {
        let job = submit(&mut world, &all[0], "etl", "sleep-60000ms", false);
        assert!(matches!(answer(&mut world, job), Answer::JobAccepted(_)));
    }
    let job = submit(&mut world, &all[0], "etl", "sleep-1ms", false);
    let refused = answer(&mut world, job);
    assert_eq!(refused, Answer::JobRefused(JobRefusal::NoSlots { max: 8 }));
}

/// protocol.md, Times: what is final goes after `dao-cleanup-after`, and nothing else.
#[test]
fn what_is_past_is_deleted_and_what_is_not_stays() {
    let (mut world, all) = common::cluster_with(1, 8, |config| {
        config.times.cleanup_after = secs(600);
    });
    let run = |world: &mut World, name: &str| {
        created(world, &all[0], name);
        let job = submit(world, &all[0], name, "sleep-5ms", true);
        assert!(matches!(answer(world, job), Answer::JobDone(_)));
        let gone = delete(world, &all[0], name);
        answer(world, gone);
    };
    let left = |world: &World, name: &str| {
        let kinds = ["/done/", "/ended/", "/settled/", "/context-last/"];
        let is_of = |value: &str| value.contains(&format!("\"{name}\""));
        let named = world.store().records().filter(|(key, stored)| {
            kinds.iter().any(|kind| key.as_str().contains(kind))
                && (is_of(&stored.value) || key.name() == name)
        });
        named.count()
    };
    // Passes: two minutes after the take-over, then every hour.
    run(&mut world, "old");
    assert!(left(&world, "old") >= 5);
    world.run_for(secs(58 * 60));
    run(&mut world, "young");
    world.run_for(secs(10 * 60));
    assert_eq!(left(&world, "old"), 0, "{}", world.story());
    assert!(left(&world, "young") >= 5);
    world.run_for(secs(60 * 60));
    assert_eq!(left(&world, "young"), 0);
}

/// E8: the holder counts from the last beat that any server reports.
#[test]
fn a_driver_that_only_another_server_hears_is_not_lost() {
    let (mut world, all) = cluster(3, 9);
    created(&mut world, &all[0], "etl");
    let driver = world.drivers()[0].clone();
    let holder = holder(&world, &all);
    let peer = world.identity(&driver).unwrap();
    world.cut(&driver, &holder);
    world.cut(&holder, &driver);
    world.cut_store(&driver);
    world.inject(&holder, Input::Link(LinkEvent::Down { peer }));
    world.run_for(secs(30 * 60));
    assert_eq!(world.drivers(), [driver], "{}", world.story());
    world.heal();
    world.run_for(secs(5));
    let job = submit(&mut world, &all[1], "etl", "sleep-10ms", true);
    let answer = answer(&mut world, job);
    assert!(matches!(answer, Answer::JobDone(_)), "{answer:?}");
}

/// The job that a request was answered with.
#[track_caller]
fn job_of(world: &mut World, request: RequestId) -> JobId {
    let answer = answer(world, request);
    let Answer::JobDone(job) = answer else {
        panic!("{answer:?}\n{}", world.story())
    };
    assert_eq!(job.state, JobState::Finished);
    job.id
}

/// How many contexts were ever made.
fn contexts_made(world: &World) -> usize {
    let kinds = ["/context/", "/ended/"];
    let records = world.store().records();
    records
        .filter(|(key, _)| kinds.iter().any(|kind| key.as_str().contains(kind)))
        .count()
}

/// C5, J1: at the same time, while the context starts, while the job runs, when all is over.
#[test]
fn a_keyed_job_without_a_context_is_one_job_in_one_context_wherever_it_is_repeated() {
    for step in 0..30_u8 {
        let (mut world, all) = cluster(3, 20 + u64::from(step));
        let mut requests = Vec::new();
        let servers = all.iter().cycle().skip(if step % 2 == 0 { 0 } else { 1 });
        for (n, at) in (0..6).zip(servers) {
            requests.push(repeat_alone(&mut world, at, n, "sleep-50ms"));
            world.run_for(Duration::from_millis(u64::from(step) * 10));
        }
        let first = job_of(&mut world, requests[0]);
        for request in requests {
            assert_eq!(job_of(&mut world, request), first, "{}", world.story());
        }
        world.run_for(secs(70));
        assert_eq!(world.drivers(), [], "{}", world.story());
        for at in &all {
            let again = repeat_alone(&mut world, at, 9, "sleep-50ms");
            assert_eq!(job_of(&mut world, again), first);
        }
        assert_eq!(contexts_made(&world), 1, "{}", world.story());
    }
}

/// The same while the holder, or the server that was asked first, dies at any moment.
#[test]
fn a_keyed_job_without_a_context_is_one_job_though_a_server_dies() {
    for step in 0..60 {
        let (mut world, all) = cluster(3, 100 + step);
        world.run_for(secs(3));
        let holder = holder(&world, &all);
        let rest = others(&all, &holder);
        let (asked, victim) = match step % 2 {
            0 => (&rest[0], &holder),
            _ => (&rest[0], &rest[0]),
        };
        let _lost = repeat_alone(&mut world, asked, 0, "sleep-50ms");
        world.run_for(Duration::from_millis(step * 8));
        world.kill(victim);
        let live: Vec<_> = all.iter().filter(|one| *one != victim).collect();
        let a = repeat_alone(&mut world, live[0], 1, "sleep-50ms");
        let b = repeat_alone(&mut world, live[1], 2, "sleep-50ms");
        let first = job_of(&mut world, a);
        assert_eq!(job_of(&mut world, b), first, "{}", world.story());
        world.run_for(secs(70));
        assert_eq!(contexts_made(&world), 1, "{}", world.story());
    }
}
