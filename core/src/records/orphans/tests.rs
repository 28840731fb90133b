//! Which names take an object off the suspects, and what is never one.

use super::*;
use crate::identity::{ClusterId, ContextId};
use crate::records::job::{BinaryType, BinaryVersion, ClassPathEntry, JobContextRecord, JobState};
use crate::records::model::StoreModel;
use crate::records::transaction::{Transaction, TransactionId};
use crate::records::{Rest, encode};
use crate::time::Stamp;

fn layout() -> Layout {
    Layout::new(&ClusterId::new("one"))
}

fn hash(n: u8) -> String {
    format!("{n:064x}")
}

fn job_id(n: u8) -> JobId {
    JobId::new(format!("018e2b1c-5f00-7000-9000-{n:012x}"))
}

fn job(n: u8, state: JobState) -> JobRecord {
    JobRecord {
        id: job_id(n),
        context: ContextId::new("c"),
        context_name: "etl".into(),
        main_class: "m".into(),
        class_path: Vec::new(),
        config: Payload::Object(format!("config-{}", job_id(n))),
        sync: false,
        user: "u".into(),
        key: None,
        state,
        started: Stamp(1),
        ended: None,
        never_ran: false,
        error: None,
        result: None,
        kill: false,
        rest: Rest::new(),
    }
}

fn store(records: impl IntoIterator<Item = (Key, String)>) -> StoreModel {
    let mut store = StoreModel::new();
    for (key, value) in records {
        let one = Transaction::new(TransactionId("t".into())).create(key, value);
        store.commit(&one, Stamp(1));
    }
    store
}

fn suspects<const N: usize>(names: [&str; N]) -> Suspects {
    Suspects::of(names.map(str::to_owned))
}

fn left(suspects: Suspects) -> Vec<String> {
    suspects.into_names().collect()
}

#[test]
fn what_is_none_of_ours_is_never_a_suspect() {
    let upper = hash(1).to_uppercase().replace('0', "A");
    let long = format!("{}0", hash(1));
    for name in [
        "",
        "notes.txt",
        "config",
        "configx-1",
        "abc",
        &upper,
        &long,
        "../x",
    ] {
        assert!(suspects([name]).is_empty(), "{name}");
    }
    let short = "f".repeat(32);
    let names = [hash(1), short, "config-1".into(), "result-1".into()];
    assert_eq!(left(Suspects::of(names.clone())), names);
}

#[test]
fn a_binary_is_named_by_any_version_and_by_jobs_that_are_not_final() {
    let version = |n| BinaryVersion {
        hash: hash(n),
        binary_type: BinaryType::Wheel,
        uploaded: Stamp(1),
        bytes: 1,
    };
    let binary = BinaryRecord {
        name: "b".into(),
        versions: vec![version(2), version(1)],
        rest: Rest::new(),
    };
    let mut live = job(1, JobState::Submitted);
    live.class_path = vec![
        ClassPathEntry {
            name: "gone".into(),
            binary_type: BinaryType::Wheel,
            hash: Some(hash(3)),
        },
        ClassPathEntry {
            name: "file:/x.jar".into(),
            binary_type: BinaryType::Uri,
            hash: None,
        },
    ];
    let context = ContextId::new("c");
    let (binaries, jobs) = (layout().binaries(), layout().jobs(&context));
    let store = store([
        (layout().binary("b"), encode(&binary)),
        (layout().job(&context, &live.id), encode(&live)),
    ]);
    let mut suspects = Suspects::of((1..=4).map(hash));
    let query = Query::default().with_folder(binaries.clone());
    let found = store.read(&query, Stamp(1));
    suspects.see_binaries(&binaries, &found).unwrap();
    assert_eq!(left(suspects.clone()), [hash(3), hash(4)]);
    let query = Query::default().with_folder(jobs.clone());
    let found = store.read(&query, Stamp(1));
    suspects.see_live(&jobs, &found).unwrap();
    assert_eq!(left(suspects), [hash(4)]);
}

#[test]
fn payloads_are_named_by_jobs_that_live_and_by_final_ones_that_have_them() {
    let names = |n| {
        [
            format!("config-{}", job_id(n)),
            format!("result-{}", job_id(n)),
        ]
    };
    let [config, result] = names(1);
    let mut done = job(1, JobState::Killed);
    done.config = Payload::Inline("{}".into());
    done.result = Some(Payload::Object(result.clone()));
    let place = JobContextRecord {
        context: ContextId::new("c"),
    };
    let store = store([
        (layout().done(&job_id(1)), encode(&done)),
        (layout().job_context(&job_id(2)), encode(&place)),
    ]);
    let mut suspects = Suspects::of((1..=3).flat_map(names));
    let queries = suspects.jobs(&layout());
    for query in &queries {
        suspects
            .see_jobs(&layout(), &store.read(query, Stamp(1)))
            .unwrap();
    }
    let [lost_config, lost_result] = names(3);
    assert_eq!(left(suspects), [config, lost_config, lost_result]);
}

#[test]
fn queries_for_jobs_are_bounded_and_complete() {
    let all = (0..100).map(|n| format!("result-{}", job_id(n)));
    let queries = Suspects::of(all).jobs(&layout());
    let sizes: Vec<usize> = queries.iter().map(|query| query.keys.len()).collect();
    assert_eq!(sizes, [80, 80, 40]);
    assert_eq!(suspects(["result-1", "config-1"]).jobs(&layout()).len(), 1);
    assert!(Suspects::of([hash(1)]).jobs(&layout()).is_empty());
}

#[test]
fn a_record_that_cannot_be_read_ends_the_look() {
    let context = ContextId::new("c");
    let (binaries, jobs) = (layout().binaries(), layout().jobs(&context));
    let damaged = [
        layout().binary("b"),
        layout().job(&context, &job_id(1)),
        layout().done(&job_id(1)),
    ];
    let store = store(damaged.clone().map(|key| (key, "{".to_owned())));
    let query = Query::keys(damaged.clone());
    let found = store.read(&query, Stamp(1));
    let mut one = Suspects::of([hash(1), format!("result-{}", job_id(1))]);
    for (outcome, key) in [
        (one.see_binaries(&binaries, &found), &damaged[0]),
        (one.see_live(&jobs, &found), &damaged[1]),
        (one.see_jobs(&layout(), &found), &damaged[2]),
    ] {
        assert_eq!(outcome.unwrap_err().key, key.to_string());
    }
}
