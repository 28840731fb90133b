//! What a newer release wrote survives every write of this one (protocol.md W7): each record that a
//! server rewrites or moves, and each way in which it does. `cluster` to `split` are rewritten in
//! place; a call, a context and a job move when they are over, too. Keys of idempotency, names of
//! live contexts and places of jobs are only made and removed. The driver's writes (`owner`,
//! `life`, `job`) are tested with the driver; `binary` is not core's: the HTTP layer changes the record
//! that it read.

use super::estate::{call_id, context_id, creation, deletion, job_id, job_key};
use super::world::{World, cluster, config, layout, ms, reborn, s, secs};
use crate::identity::Identity;
use crate::input::{Command, Input, LinkEvent, RequestId};
use crate::records::context::DriverPhase;
use crate::records::job::JobState;
use crate::records::key::{self, Key};
use crate::records::model::StoreModel;
use crate::records::transaction::{Transaction, TransactionId};

impl World {
    /// A newer release adds a field of its own to a record.
    pub(super) fn newer(&mut self, key: Key) {
        let text = self.get_text(&key).unwrap();
        self.other(|one| one.put_any(key, with_newer(&text)));
    }

    /// Whether the field of the newer release is there.
    pub(super) fn has_newer(&self, key: &Key) -> bool {
        self.get_text(key).is_some_and(|text| is_newer(&text))
    }
}

fn with_newer(record: &str) -> String {
    record.replacen('{', r#"{"newer":[1],"#, 1)
}

/// Whether the text of a record has the field.
pub(super) fn is_newer(record: &str) -> bool {
    let fields: Result<serde_json::Map<_, _>, _> = serde_json::from_str(record);
    fields.is_ok_and(|fields| fields.get("newer") == Some(&serde_json::json!([1])))
}

/// A server that starts on a cluster of which all records have the field.
fn started(me: &Identity, listed: &[u16], holder: u16) -> World {
    let mut store = StoreModel::new();
    cluster(&mut store, 3, listed, &s(holder));
    let mut all = Transaction::new(TransactionId("newer".into()));
    for (key, stored) in store.records() {
        all = all.put_any(key.clone(), with_newer(&stored.value));
    }
    store.commit(&all, crate::time::Stamp(1_001));
    let mut world = World::start(me, store, config());
    world.holder_pulses = false;
    world.run();
    world
}

fn member(n: u16, listed: &[u16]) -> World {
    let mut world = started(&s(n), listed, 1);
    for other in listed.iter().filter(|other| **other != n) {
        world.meets(&s(*other));
    }
    world.pass(secs(1));
    world
}

#[test]
fn w7_the_clusters_own_records_keep_unknown_fields_whoever_writes_them() {
    type Story = fn() -> World;
    let l = layout();
    let (cluster, office, pulse) = (key::cluster(), l.singleton(), l.pulse());
    let stories: [(&str, Story, &[&Key]); 7] = [
        ("the holder's pulse", || member(1, &[1, 2]), &[&pulse]),
        ("a joiner is listed", lists, &[&cluster]),
        ("a grant", leaves, &[&cluster, &office, &pulse]),
        ("a claim by proof", claims, &[&office, &pulse]),
        (
            "a challenge",
            challenges,
            &[&l.challenge(), &office, &pulse],
        ),
        ("a split", splits, &[&cluster, &office, &pulse, &l.split()]),
        ("a re-founding", refounds, &[&cluster, &office, &pulse]),
    ];
    for (what, story, rewritten) in stories {
        let world = story();
        for key in rewritten {
            let texts = world.commits.iter().flat_map(|(one, _)| &one.operations);
            let written = texts.filter(|one| {
                one.key() == *key
                    && !matches!(one, crate::records::transaction::Operation::Check { .. })
            });
            assert!(written.count() > 0, "{what} does not write {key}");
            assert!(world.has_newer(key), "{what} writes {key}");
        }
    }
}

fn lists() -> World {
    let mut world = member(1, &[1, 2]);
    world.meets(&s(3));
    let (generation, version) = (world.roster().unwrap().generation, String::new());
    world.says(
        &s(3),
        crate::wire::Message::Join {
            generation,
            version,
        },
    );
    world.pass(secs(1));
    assert_eq!(world.listed(), [s(1), s(2), s(3)]);
    world
}

fn leaves() -> World {
    let mut world = member(1, &[1, 2]);
    world.tell(Input::Command(Command::Leave));
    world.pass(secs(3));
    assert_eq!(world.office().holder, s(2));
    world
}

fn claims() -> World {
    let mut world = member(2, &[1, 2, 3]);
    world.tell(Input::Link(LinkEvent::Up { peer: reborn(1) }));
    assert_eq!(world.office().holder, s(2));
    world
}

fn challenges() -> World {
    let mut world = member(2, &[1, 2, 3]);
    world.silence(&s(1));
    world.pass(secs(2));
    assert_eq!(world.office().holder, s(2));
    world
}

/// The holder is oldest and alone: its side announces, and takes the office with the roster.
fn splits() -> World {
    let mut world = member(2, &[1, 2]);
    world.hold(layout().challenge());
    world.silence(&s(1));
    world.pass(secs(30));
    assert_eq!((world.listed(), world.office().holder), (vec![s(2)], s(2)));
    world
}

fn refounds() -> World {
    let mut world = started(&reborn(1), &[2, 3], 2);
    world.pass(secs(11));
    assert_eq!(world.office().holder, reborn(1));
    world
}

#[test]
fn w7_calls_contexts_and_owners_keep_unknown_fields_from_the_call_to_what_is_final() {
    let l = layout();
    let mut world = World::holder();
    world.hold(l.context(&context_id(1)));
    world.others_call(1, creation("etl"));
    // It came between the decision and its commit, so the call is decided anew.
    world.newer(l.call(&call_id(1)));
    world.let_go(super::world::Say::Commit);
    world.pass(secs(3));
    assert!(world.has_newer(&l.call(&call_id(1))), "accepted");
    for key in [
        l.context(&context_id(1)),
        l.owner(&context_id(1)),
        l.life(&context_id(1)),
    ] {
        world.newer(key);
    }
    world.driver_takes(1);
    world.driver_is_linked(1);
    world.driver_is_ready(1);
    assert!(world.has_newer(&l.context(&context_id(1))), "running");
    assert!(world.has_newer(&l.settled(&call_id(1))), "settled");
    world.others_call(2, deletion("etl"));
    assert!(world.has_newer(&l.context(&context_id(1))), "stopping");
    world.newer(l.context(&context_id(1)));
    world.hold(l.ended(&context_id(1)));
    let orderly = true;
    world.driver_says(
        1,
        DriverPhase::Ended {
            orderly,
            error: None,
        },
    );
    assert!(
        world.has_newer(&l.owner(&context_id(1))),
        "the owner is cleared"
    );
    assert!(
        world.has_newer(&l.context(&context_id(1))),
        "the attempt has ended"
    );
    world.let_go(super::world::Say::Commit);
    assert!(world.has_newer(&l.ended(&context_id(1))), "ended");
}

#[test]
fn w7_the_last_context_of_a_name_is_replaced_without_the_loss_of_unknown_fields() {
    let last = layout().last_context("etl");
    let mut world = World::with_context();
    let ended = |world: &mut World, n: u64| {
        let orderly = false;
        world.driver_says(
            n,
            DriverPhase::Ended {
                orderly,
                error: None,
            },
        );
        assert!(world.ended(n).is_some());
    };
    ended(&mut world, 1);
    world.newer(last.clone());
    world.asks(2, creation("etl"));
    world.driver_takes(2);
    world.driver_is_ready(2);
    ended(&mut world, 2);
    assert!(world.has_newer(&last));
    assert!(
        world
            .get_text(&last)
            .unwrap()
            .contains(context_id(2).as_str())
    );
}

#[test]
fn w7_a_call_that_expires_keeps_unknown_fields() {
    let mut world = super::estate::gateway();
    world.asks(1, creation("etl"));
    world.newer(layout().call(&call_id(1)));
    world.pass(secs(32));
    assert!(world.has_newer(&layout().settled(&call_id(1))));
}

#[test]
fn w7_jobs_that_a_server_rewrites_keep_unknown_fields() {
    let mut world = World::with_context();
    for (n, state) in [
        (1, JobState::Running),
        (2, JobState::Submitted),
        (3, JobState::Running),
    ] {
        world.puts_job(n, state);
        world.newer(job_key(n));
    }
    let (request, job) = (RequestId(9), job_id(3));
    world.tell(Input::Command(Command::KillJob { request, job }));
    assert!(world.live_job(3).unwrap().kill && world.has_newer(&job_key(3)));
    let orderly = false;
    world.driver_says(
        1,
        DriverPhase::Ended {
            orderly,
            error: None,
        },
    );
    world.pass(ms(500));
    assert!(
        world.has_newer(&layout().done(&job_id(1))),
        "its attempt ended"
    );
    assert!(world.has_newer(&job_key(2)), "refused in place");
    assert!(world.has_newer(&layout().done(&job_id(3))));
}
