//! protocol.md, Times: the holder deletes what is past, and nothing else (C5, J3, W2, W4, W6).

use super::estate::{context_id, job};
use super::world::{Say, World, config, layout, ms, s, secs};
use crate::identity::{CallId, ContextId, JobId};
use crate::output::Effect;
use crate::records::Rest;
use crate::records::call::{
    CallOperation, CallOutcome, CallRecord, CallState, KeyObject, KeyRecord,
};
use crate::records::context::{ContextRecord, ContextState, NameRecord};
use crate::records::encode;
use crate::records::job::{JobContextRecord, JobRecord, JobRefusal, JobState, Payload};
use crate::records::key::Key;
use crate::records::transaction::TRANSACTION_OPERATIONS_MAX;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);

/// An id that is made now.
fn id(world: &World, n: u64) -> String {
    let millis = format!("{:012x}", world.stamp().0);
    format!("{}-{}-7000-8000-{n:012x}", &millis[..8], &millis[8..])
}

fn final_job(world: &mut World, n: u64, change: impl FnOnce(&mut JobRecord)) -> Key {
    let mut record = job(n, JobState::Finished);
    record.id = JobId::new(id(world, n));
    change(&mut record);
    let key = layout().done(&record.id);
    let owns = KeyObject::Job(record.id.clone());
    let digest = record.key.clone();
    world.other(|one| one.create(key.clone(), encode(&record)));
    if let Some(digest) = digest {
        has_key(world, &digest, owns);
    }
    key
}

fn has_key(world: &mut World, digest: &str, object: KeyObject) {
    let record = KeyRecord {
        request: "r".into(),
        object,
        rest: Rest::new(),
    };
    world.other(|one| one.create(layout().idempotency(digest), encode(&record)));
}

fn settled_call(world: &mut World, n: u64, digest: &str, outcome: CallOutcome) -> (Key, CallId) {
    let record = CallRecord {
        id: CallId::new(id(world, n)),
        user: "u".into(),
        route: "POST /contexts".into(),
        key: Some(digest.into()),
        deadline_ms: 30_000,
        operation: CallOperation::DeleteContext { name: "etl".into() },
        progress: CallState::Settled { outcome },
        rest: Rest::new(),
    };
    let key = layout().settled(&record.id);
    world.other(|one| one.create(key.clone(), encode(&record)));
    (key, record.id)
}

fn final_context(world: &mut World, n: u64) -> (Key, ContextId) {
    let context = ContextId::new(id(world, n));
    let record = ContextRecord {
        id: context.clone(),
        name: "etl".into(),
        settings: "{}".into(),
        adhoc: false,
        user: "u".into(),
        state: ContextState::Finished,
        intent: None,
        ending: None,
        started: world.stamp(),
        ended: Some(world.stamp()),
        error: None,
        application_id: None,
        url: None,
        key: None,
        rest: Rest::new(),
    };
    let key = layout().ended(&context);
    world.other(|one| one.create(key.clone(), encode(&record)));
    let last = NameRecord {
        context: context.clone(),
        rest: Rest::new(),
    };
    let name = layout().last_context("etl");
    if is_there(world, &name) {
        world.puts(name, &last);
    } else {
        world.other(|one| one.create(name, encode(&last)));
    }
    (key, context)
}

/// A job in its place, as its driver or the holder left it.
fn live_job(world: &mut World, n: u64, state: JobState, key: Option<&str>) -> [Key; 2] {
    let mut record = job(n, state);
    record.id = JobId::new(id(world, n));
    record.key = key.map(str::to_owned);
    record.config = Payload::Object(format!("config-{}", record.id));
    let place = JobContextRecord {
        context: context_id(1),
    };
    let keys = [
        layout().job(&context_id(1), &record.id),
        layout().job_context(&record.id),
    ];
    world.other(|one| {
        one.create(keys[0].clone(), encode(&record))
            .create(keys[1].clone(), encode(&place))
    });
    if let Some(digest) = key {
        has_key(world, digest, KeyObject::Job(record.id));
    }
    keys
}

fn is_there(world: &World, key: &Key) -> bool {
    world.store.records().any(|(one, _)| one == key)
}

/// Time leaps, but for its last hour: a pass that looks far back is over within 50 minutes.
fn later(world: &mut World, hours: u32) {
    world.sleep(HOUR * (hours - 1));
    world.pass(HOUR);
}

fn objects(world: &World) -> Vec<&str> {
    let all = world.effects.iter().filter_map(|effect| match effect {
        Effect::DeleteObjects { names } => Some(names.iter().map(String::as_str)),
        _ => None,
    });
    all.flatten().collect()
}

fn refused() -> JobState {
    JobState::Refused {
        refusal: JobRefusal::ContextGone,
    }
}

#[test]
fn final_records_go_after_dao_cleanup_after_with_what_they_own() {
    let mut world = World::holder();
    let done = final_job(&mut world, 1, |job| {
        job.config = Payload::Object("config-1".into());
        job.result = Some(Payload::Object("result-1".into()));
    });
    let (settled, _) = settled_call(&mut world, 2, "k2", CallOutcome::ContextNotFound);
    let (ended, _) = final_context(&mut world, 3);
    let all = [done, settled, ended, layout().last_context("etl")];
    later(&mut world, 71);
    assert!(all.iter().all(|key| is_there(&world, key)));
    assert_eq!(objects(&world), [""; 0]);
    later(&mut world, 2);
    assert!(!all.iter().any(|key| is_there(&world, key)));
    assert_eq!(objects(&world), ["config-1", "result-1"]);
}

/// A later context of that name is the last one now.
#[test]
fn a_last_name_goes_only_while_it_names_that_context() {
    let mut world = World::holder();
    let (first, _) = final_context(&mut world, 1);
    world.sleep(HOUR * 10);
    let (second, id) = final_context(&mut world, 2);
    later(&mut world, 64);
    assert!(!is_there(&world, &first) && is_there(&world, &second));
    let last = world.get::<NameRecord>(&layout().last_context("etl"));
    assert_eq!(last.unwrap().value.context, id);
}

/// C5: keys go 24 h after their object's end, their records later.
#[test]
fn c5_a_key_goes_a_day_after_its_object_and_before_its_record() {
    let mut world = World::holder();
    let done = final_job(&mut world, 1, |job| job.key = Some("k1".into()));
    let key = layout().idempotency("k1");
    later(&mut world, 23);
    assert!(is_there(&world, &key));
    later(&mut world, 2);
    assert!(!is_there(&world, &key) && is_there(&world, &done));
    later(&mut world, 48);
    assert!(!is_there(&world, &done));
}

/// C5: nothing but its record leads to a key, so a record that has one stays as long.
#[test]
fn c5_a_key_is_kept_for_a_day_though_records_are_kept_for_an_hour() {
    let mut config = config();
    config.times.cleanup_after = HOUR;
    let mut world = World::member_with(1, &[1], 1, config);
    let keyed = final_job(&mut world, 1, |job| job.key = Some("k1".into()));
    let plain = final_job(&mut world, 2, |_| {});
    let key = layout().idempotency("k1");
    later(&mut world, 3);
    assert!(is_there(&world, &keyed) && is_there(&world, &key));
    assert!(!is_there(&world, &plain));
    later(&mut world, 23);
    assert!(!is_there(&world, &keyed) && !is_there(&world, &key));
}

/// C5: a refusal frees the key, and the next request of that key has it.
#[test]
fn c5_a_key_that_belongs_to_a_later_call_by_now_stays() {
    let mut world = World::holder();
    settled_call(&mut world, 1, "k", CallOutcome::ContextNotFound);
    world.sleep(HOUR * 20);
    let context = context_id(9);
    let outcome = CallOutcome::ContextStopped { context };
    let (_, owner) = settled_call(&mut world, 2, "k", outcome);
    has_key(&mut world, "k", KeyObject::Call(owner));
    let key = layout().idempotency("k");
    later(&mut world, 23);
    assert!(is_there(&world, &key));
    later(&mut world, 2);
    assert!(!is_there(&world, &key));
}

/// J3: nothing of a refused job stays, though its gateway died before it could remove it.
#[test]
fn j3_a_job_refused_in_place_goes_after_an_hour_with_its_key_and_its_configuration() {
    let mut world = World::holder();
    let left = live_job(&mut world, 1, refused(), Some("k1"));
    let name = format!("config-{}", left[0].name());
    let key = layout().idempotency("k1");
    world.pass(secs(3_500));
    assert!(is_there(&world, &left[0]) && is_there(&world, &key));
    later(&mut world, 2);
    assert!(!left.iter().any(|key| is_there(&world, key)));
    assert!(!is_there(&world, &key));
    assert_eq!(objects(&world), [name]);
}

#[test]
fn a_job_that_runs_or_waits_is_never_touched_and_what_points_to_none_goes() {
    let mut world = World::holder();
    let running = live_job(&mut world, 1, JobState::Running, Some("k1"));
    let waiting = live_job(&mut world, 2, JobState::Submitted, None);
    let [gone, orphan] = live_job(&mut world, 3, JobState::Running, None);
    world.other(|one| one.delete_any(gone));
    later(&mut world, 3);
    later(&mut world, 100);
    assert!(
        running
            .iter()
            .chain(&waiting)
            .all(|key| is_there(&world, key))
    );
    assert!(is_there(&world, &layout().idempotency("k1")));
    assert!(!is_there(&world, &orphan));
}

/// W2, W6: every transaction begins with the fence, and is bounded.
#[test]
fn w2_deletions_are_fenced_and_bounded_and_one_look_serves_all_of_an_hour() {
    let mut world = World::holder();
    for n in 0..150 {
        final_job(&mut world, n, |job| job.key = Some(format!("k{n}")));
    }
    world.sleep(HOUR * 73);
    world.forget();
    world.pass(secs(240));
    assert_eq!(world.keys_with("/done/"), [""; 0]);
    assert_eq!(world.keys_with("/key/"), [""; 0]);
    let cleaning = world.commits.iter().map(|(one, _)| one);
    let cleaning: Vec<_> = cleaning
        .filter(|one| {
            super::hands::text(one)
                .iter()
                .any(|op| op.contains("done/"))
        })
        .collect();
    assert_eq!(cleaning.len(), 4);
    for one in cleaning {
        assert!(super::hands::text(one)[0].starts_with("check singleton@"));
        assert!(one.operations.len() <= TRANSACTION_OPERATIONS_MAX);
    }
    let folder = layout().hour("done", (world.stamp().0 / 3_600_000) - 73);
    let looks = world
        .queries
        .iter()
        .filter(|q| q.pages.contains_key(&folder));
    assert_eq!(looks.count(), 1);
}

/// C1: an hour with more records than one answer holds is read and emptied page by page.
#[test]
fn an_hour_that_is_over_full_is_worked_through_in_pages() {
    let mut world = World::holder();
    let folder = layout().hour("done", world.stamp().0 / 3_600_000);
    for n in 0..2_500 {
        final_job(&mut world, n, |_| {});
    }
    // One that stays does not keep the pages behind it from being read.
    let first = world.keys_with("/done/")[0].clone();
    world.other(|one| one.put_any(Key::new(first.as_str()), "{".into()));
    world.sleep(HOUR * 73);
    world.forget();
    world.pass(secs(240));
    assert_eq!(world.keys_with("/done/"), [first]);
    let looks = world.queries.iter().filter_map(|q| q.pages.get(&folder));
    let looks: Vec<_> = looks.map(|page| page.records).collect();
    assert_eq!(looks, [1_000; 3]);
}

/// A look is not urgent: never two store calls at once, and not more than one hour in a second.
#[test]
fn a_pass_begins_two_minutes_after_the_take_over_and_looks_at_one_hour_a_second() {
    let mut world = World::holder();
    let looks = |world: &World| {
        let all = world.queries.iter().flat_map(|query| query.pages.keys());
        all.filter(|folder| folder.as_str().contains("/job-context/"))
            .count()
    };
    world.pass(secs(115));
    assert_eq!(looks(&world), 0);
    world.pass(secs(10));
    world.forget();
    world.pass(secs(10));
    assert_eq!(looks(&world), 10);
}

/// W1: one record that was changed meanwhile keeps no other from going.
#[test]
fn a_refused_deletion_is_tried_again_one_by_one() {
    let mut world = World::holder();
    let keys = [1, 2, 3].map(|n| final_job(&mut world, n, |_| {}));
    world.sleep(HOUR * 73);
    world.hold(keys[0].clone());
    world.pass(secs(240));
    assert_eq!(world.held().len(), 1);
    world.other(|one| one.put_any(keys[1].clone(), "{}".into()));
    world.let_go(Say::Commit);
    world.pass(secs(5));
    let left = keys.map(|key| is_there(&world, &key));
    assert_eq!(left, [false, true, false]);
}

/// W4: objects go only when their records are known to be gone.
#[test]
fn w4_a_lost_answer_is_settled_by_a_read_before_objects_go() {
    for (say, left) in [(Say::Lost, false), (Say::Unknown, true)] {
        let mut world = World::holder();
        let done = final_job(&mut world, 1, |job| {
            job.result = Some(Payload::Object("result-1".into()));
        });
        world.sleep(HOUR * 73);
        world.hold(done.clone());
        world.pass(secs(240));
        assert_eq!(objects(&world), [""; 0]);
        world.let_go(say);
        world.pass(secs(5));
        assert_eq!(is_there(&world, &done), left);
        let expected: &[&str] = if left { &[] } else { &["result-1"] };
        assert_eq!(objects(&world), expected);
    }
}

/// S, W1: whoever lost the office deletes nothing any more.
#[test]
fn a_tenure_that_ended_deletes_nothing() {
    let mut world = World::member(1, &[1, 2], 1);
    let done = final_job(&mut world, 1, |job| {
        job.result = Some(Payload::Object("result-1".into()));
    });
    world.sleep(HOUR * 73);
    world.hold(done.clone());
    world.pass(secs(240));
    assert_eq!(world.held().len(), 1);
    world.takes_office(&s(2));
    world.let_go(Say::Commit);
    world.pass(secs(600));
    assert!(is_there(&world, &done));
    assert_eq!(objects(&world), [""; 0]);
}

#[test]
fn a_store_that_was_away_delays_and_a_damaged_record_is_named_and_stays() {
    let mut world = World::holder();
    let done = final_job(&mut world, 1, |_| {});
    let damaged = final_job(&mut world, 2, |_| {});
    world.other(|one| one.put_any(damaged.clone(), "{".into()));
    world.sleep(HOUR * 73);
    world.store_away = true;
    world.pass(secs(240));
    assert!(is_there(&world, &done));
    world.store_away = false;
    world.pass(ms(100));
    later(&mut world, 2);
    assert!(!is_there(&world, &done) && is_there(&world, &damaged));
    let named = format!("{:?}", world.events);
    assert!(named.contains(damaged.as_str()), "{named}");
}
