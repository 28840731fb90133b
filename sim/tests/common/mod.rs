//! What the stories share: clusters, calls, and what "serves" means.
#![allow(dead_code, reason = "each story file uses its part of it")]
#![allow(clippy::unwrap_used, reason = "only tests use it")]

use doyen_core::config::Config;
use doyen_core::identity::{Address, CallId, JobId};
use doyen_core::input::{Command, NewAdhoc, NewCall, NewJob, RequestId, RequestKey};
use doyen_core::output::{Answer, ClusterEvent, TakenBy};
use doyen_core::records::call::{CallOperation, CallOutcome};
use doyen_core::records::job::Payload;
use doyen_sim::engine::direct::Direct;
use doyen_sim::judge::Verdict;
use doyen_sim::report::{Standing, standing};
use doyen_sim::schedule::format;
use doyen_sim::trial::trial;
use doyen_sim::world::story::{Happened, Story as World};
use std::time::Duration;

pub(crate) fn addresses(count: u16) -> Vec<Address> {
    (1..=count)
        .map(|n| Address::new("10.0.0.1", 2550 + n))
        .collect()
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// All of these are listed and ready, and agree on one holder among them.
pub(crate) fn serves(world: &World, members: &[Address]) -> bool {
    let views: Vec<_> = members
        .iter()
        .filter_map(|address| world.view(address))
        .collect();
    views.len() == members.len()
        && views.iter().all(|view| {
            view.ready
                && view.holder == views[0].holder
                && view.generation == views[0].generation
                && view
                    .holder
                    .as_ref()
                    .is_some_and(|holder| members.contains(&holder.address))
        })
}

#[track_caller]
pub(crate) fn cluster(count: u16, seed: u64) -> (World, Vec<Address>) {
    cluster_with(count, seed, |_| {})
}

#[track_caller]
pub(crate) fn cluster_with(
    count: u16,
    seed: u64,
    set: impl Fn(&mut Config),
) -> (World, Vec<Address>) {
    let all = addresses(count);
    let mut config = Config::new(all.clone());
    set(&mut config);
    let mut world = World::new(config, seed);
    for address in &all {
        world.start(address);
    }
    let all_up = |world: &World| {
        serves(world, &all)
            && all.iter().all(|one| {
                world
                    .view(one)
                    .is_some_and(|view| view.members.len() == all.len() && view.converged)
            })
    };
    assert!(
        world.run_until(secs(60), all_up),
        "no cluster:\n{}",
        world.story()
    );
    (world, all)
}

pub(crate) fn holder(world: &World, among: &[Address]) -> Address {
    world.view(&among[0]).unwrap().holder.unwrap().address
}

pub(crate) fn others(all: &[Address], one: &Address) -> Vec<Address> {
    all.iter().filter(|other| *other != one).cloned().collect()
}

pub(crate) fn delete_absent(world: &mut World, at: &Address, number: u64) -> RequestId {
    let id = CallId::new(format!("018e2b1c-5f00-7000-8000-{number:012x}"));
    let call = NewCall {
        id,
        user: "anonymous".into(),
        route: "DELETE /contexts".into(),
        key: None,
        operation: CallOperation::DeleteContext {
            name: "absent".into(),
        },
        wait: secs(30),
    };
    world.request(at, |request| Command::Call { request, call })
}

/// Sends deciding calls to these for a while; every one must be answered as expected. Returns the
/// time from now to the first answer.
#[track_caller]
pub(crate) fn deciding_calls(world: &mut World, at: &[Address], for_: Duration) -> Duration {
    let began = world.now();
    let mut asked = Vec::new();
    let mut number = began.as_nanos() / 1000;
    while world.now().since(began) < for_ {
        for address in at {
            number += 1;
            asked.push(delete_absent(world, address, number));
        }
        world.run_for(if for_ > secs(10) {
            Duration::from_millis(200)
        } else {
            Duration::from_millis(10)
        });
    }
    world.run_for(secs(31));
    let mut first = None;
    for request in asked {
        let (at, answer) = world.answer(request).expect("every call is answered");
        assert_eq!(
            *answer,
            Answer::Call(CallOutcome::ContextNotFound),
            "{request:?}"
        );
        first = [first, Some(*at)].into_iter().flatten().min();
    }
    first.unwrap().since(began)
}

pub(crate) fn taken_by(world: &World) -> Vec<TakenBy> {
    let of = |happened: &Happened| match happened {
        Happened::Event(ClusterEvent::OfficeTaken { by, .. }) => Some(*by),
        _ => None,
    };
    world
        .history()
        .iter()
        .filter_map(|(_, _, happened)| of(happened))
        .collect()
}

/// A UUID of version 7 of the world's time, which is the store's.
fn number(world: &World, salt: u64) -> String {
    let millis = 1_700_000_000_000 + world.now().as_millis();
    let (high, low) = (millis >> 16, millis & 0xffff);
    let rest = world.now().as_nanos() & 0xffff_ffff_ffff;
    format!("{high:08x}-{low:04x}-7{salt:03x}-8000-{rest:012x}")
}

pub(crate) fn call(world: &mut World, at: &Address, operation: CallOperation) -> RequestId {
    let id = CallId::new(number(world, 1));
    let (user, route) = ("anonymous".into(), "contexts".into());
    let call = NewCall {
        id,
        user,
        route,
        key: None,
        operation,
        wait: secs(30),
    };
    world.request(at, |request| Command::Call { request, call })
}

pub(crate) fn create(world: &mut World, at: &Address, name: &str) -> RequestId {
    let (name, settings) = (name.to_owned(), "{}".to_owned());
    call(
        world,
        at,
        CallOperation::CreateContext {
            name,
            settings,
            adhoc: false,
        },
    )
}

pub(crate) fn delete(world: &mut World, at: &Address, name: &str) -> RequestId {
    call(
        world,
        at,
        CallOperation::DeleteContext {
            name: name.to_owned(),
        },
    )
}

pub(crate) fn submit(
    world: &mut World,
    at: &Address,
    context: &str,
    class: &str,
    sync: bool,
) -> RequestId {
    let job = NewJob {
        id: JobId::new(number(world, 2)),
        context_name: context.to_owned(),
        adhoc: None,
        main_class: class.to_owned(),
        class_path: Vec::new(),
        config: Payload::Inline("{}".to_owned()),
        sync,
        user: "anonymous".to_owned(),
        key: None,
        wait: secs(60),
    };
    world.request(at, |request| Command::Submit { request, job })
}

/// The same submission for a context of its own, with a key; the n-th time that it is sent.
pub(crate) fn repeat_alone(world: &mut World, at: &Address, n: u64, class: &str) -> RequestId {
    let adhoc = NewAdhoc {
        call: CallId::new(number(world, 0x100 + n)),
        settings: "{}".to_owned(),
        wait: secs(30),
    };
    let job = NewJob {
        id: JobId::new(number(world, 0x200 + n)),
        context_name: format!("{n}-{class}"),
        adhoc: Some(adhoc),
        main_class: class.to_owned(),
        class_path: Vec::new(),
        config: Payload::Inline("{}".to_owned()),
        sync: true,
        user: "anonymous".to_owned(),
        key: Some(RequestKey {
            digest: "ab01".to_owned(),
            request: "body".to_owned(),
        }),
        wait: secs(60),
    };
    world.request(at, |request| Command::Submit { request, job })
}

/// Waits for an answer.
#[track_caller]
pub(crate) fn answer(world: &mut World, request: RequestId) -> Answer {
    assert!(
        world.run_until(secs(60), |world| world.answer(request).is_some()),
        "{}",
        world.story()
    );
    world.answer(request).unwrap().1.clone()
}

/// Runs a schedule of `tests/corpus` in the direct engine and judges it: the test that
/// `doyen-sim shrink` prints calls this. A failure tells the story and how to see it again.
#[track_caller]
pub(crate) fn check_schedule(name: &str) {
    let file = format!("tests/corpus/{name}.toml");
    let path = format!("{}/../{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!("{file}: {error}; `doyen-sim shrink` writes it, `doyen-sim corpus add` keeps it")
    });
    let schedule = format::read(&file, &text).unwrap_or_else(|error| panic!("{error}"));
    let result = trial(&Direct, &schedule).map_err(|fault| fault.0);
    let why = match standing(&schedule, &result) {
        Standing::AsExpected => return,
        Standing::Failed(why) | Standing::Undecided(why) | Standing::Fault(why) => why,
    };
    let story = match result.map(|trial| trial.verdict) {
        Ok(Verdict::Violation(violation)) => doyen_sim::story::tell(&schedule, &violation),
        _ => schedule.story,
    };
    panic!(
        "{name} fails: {why}\n\n{story}\n\nAgain: cargo xtask sim replay {file}\n\
         As a picture: cargo xtask sim explain {file}"
    );
}
