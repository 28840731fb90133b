//! Sweeps of both stores of binaries, with records in memory: what goes and what stays.

use super::*;
use crate::binaries::files::FileBinaries;
use bytes::Bytes;
use doyen_core::identity::{ClusterId, JobId};
use doyen_core::records::job::{BinaryRecord, BinaryType, BinaryVersion, JobContextRecord};
use doyen_core::records::transaction::{CommitOutcome, Transaction, TransactionId};
use doyen_core::records::{Rest, encode};
use doyen_core::time::Stamp;
use doyen_runtime::store::memory::{MemoryBinaries, MemoryStore};
use futures_util::{FutureExt, StreamExt, stream};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

const OLD: Duration = Duration::from_secs(25 * 3_600);
const JOB: &str = "018e2b1c-5f00-7000-9000-000000000001";

fn layout() -> Layout {
    Layout::new(&ClusterId::new("one"))
}

fn hash(n: u8) -> String {
    format!("{n:064x}")
}

/// Objects that can be made older, in either store.
enum Objects {
    Memory(MemoryBinaries),
    Files(FileBinaries, tempfile::TempDir),
}

impl Objects {
    fn both() -> [Self; 2] {
        let folder = tempfile::tempdir().unwrap();
        let files = FileBinaries::open(folder.path()).unwrap();
        let memory = Self::Memory(MemoryBinaries::new());
        [memory, Self::Files(files, folder)]
    }

    fn dao(&self) -> Arc<dyn BinaryDao> {
        match self {
            Self::Memory(store) => Arc::new(store.clone()),
            Self::Files(store, _) => Arc::new(store.clone()),
        }
    }

    async fn put(&self, name: &str) {
        let content = stream::iter([Ok(Bytes::from_static(b"x"))]).boxed();
        self.dao().put(name, content).await.unwrap();
    }

    async fn put_old(&self, name: &str) {
        self.put(name).await;
        match self {
            Self::Memory(store) => store.grow_older(name, OLD),
            Self::Files(_, folder) => {
                let file = find(&folder.path().join("binaries"), name).unwrap();
                let file = std::fs::File::options().append(true).open(file).unwrap();
                file.set_modified(SystemTime::now() - OLD).unwrap();
            }
        }
    }

    async fn left(&self) -> BTreeSet<String> {
        self.dao().list().await.unwrap().into_iter().collect()
    }
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let shards = std::fs::read_dir(folder).unwrap();
    let mut paths = shards.map(|shard| shard.unwrap().path().join(name));
    paths.find(|path| path.exists())
}

fn sweeper(store: &MemoryStore, objects: &Objects) -> Sweeper {
    Sweeper {
        look_again_after: Duration::ZERO,
        ..Sweeper::new(Arc::new(store.clone()), objects.dao())
    }
}

/// Writes a record at once: a store in memory never waits.
fn write(store: &MemoryStore, key: Key, value: String) {
    let one = Transaction::new(TransactionId("test".into())).create(key, value);
    let outcome = store.commit(one).now_or_never().unwrap();
    assert!(
        matches!(outcome, CommitOutcome::Committed { .. }),
        "{outcome:?}"
    );
}

fn binary(hashes: &[u8]) -> String {
    let version = |n: &u8| BinaryVersion {
        hash: hash(*n),
        binary_type: BinaryType::Wheel,
        uploaded: Stamp(1),
        bytes: 1,
    };
    encode(&BinaryRecord {
        name: "b".into(),
        versions: hashes.iter().map(version).collect(),
        rest: Rest::new(),
    })
}

fn set<const N: usize>(names: [String; N]) -> BTreeSet<String> {
    names.into_iter().collect()
}

#[tokio::test]
async fn old_objects_that_nothing_names_go_and_all_others_stay() {
    for objects in Objects::both() {
        let store = MemoryStore::new();
        write(&store, layout().binary("b"), binary(&[1, 2]));
        let place = JobContextRecord {
            context: ContextId::new("c"),
        };
        write(
            &store,
            layout().job_context(&JobId::new(JOB)),
            encode(&place),
        );
        let live = format!("config-{JOB}");
        for name in [&hash(1), &hash(2), &hash(3), &live, "result-gone", "notes"] {
            objects.put_old(name).await;
        }
        objects.put(&hash(4)).await;
        objects.put("result-young").await;
        let sweeper = sweeper(&store, &objects);
        let next = sweeper.round(&layout(), None, || Some(layout())).await;
        assert_eq!(next, Ok(None));
        let stay = [
            hash(1),
            hash(2),
            hash(4),
            live,
            "notes".into(),
            "result-young".into(),
        ];
        assert_eq!(objects.left().await, set(stay));
    }
}

/// A submission or an upload that was under way while the first look was taken.
#[tokio::test]
async fn what_is_named_or_uploaded_again_between_the_two_looks_stays() {
    for objects in Objects::both() {
        let store = MemoryStore::new();
        for n in 1..=3 {
            objects.put_old(&hash(n)).await;
        }
        let sweeper = sweeper(&store, &objects);
        let layout = layout();
        let next = sweeper.round(&layout, None, || {
            write(&store, layout.binary("b"), binary(&[1]));
            Some(layout.clone())
        });
        assert_eq!(next.await, Ok(None));
        assert_eq!(objects.left().await, set([hash(1)]));
        objects.put_old(&hash(2)).await;
        let suspects = sweeper.unnamed(&layout, vec![hash(2)]).await.unwrap();
        assert_eq!(suspects, [hash(2)]);
        objects.put(&hash(2)).await;
        sweeper.delete(&layout, suspects).await.unwrap();
        assert_eq!(objects.left().await, set([hash(1), hash(2)]));
    }
}

#[tokio::test]
async fn whoever_lost_the_office_between_the_looks_deletes_nothing() {
    let [objects, _] = Objects::both();
    objects.put_old(&hash(1)).await;
    let sweeper = sweeper(&MemoryStore::new(), &objects);
    assert_eq!(sweeper.round(&layout(), None, || None).await, Ok(None));
    assert_eq!(objects.left().await, set([hash(1)]));
}

#[tokio::test]
async fn nothing_goes_while_a_record_cannot_be_read_or_the_store_is_away() {
    let [objects, _] = Objects::both();
    objects.put_old(&hash(1)).await;
    for (key, named) in [
        (layout().binary("b"), "binary/b"),
        (layout().context(&ContextId::new("c")), "context/c"),
    ] {
        let store = MemoryStore::new();
        write(&store, key, "{".into());
        let sweeper = sweeper(&store, &objects);
        let given_up = sweeper.round(&layout(), None, || Some(layout())).await;
        let reason = given_up.unwrap_err();
        assert!(reason.contains(named), "{reason}");
    }
    let store = MemoryStore::new();
    store.set_away(true);
    let sweeper = sweeper(&store, &objects);
    let given_up = sweeper.round(&layout(), None, || Some(layout())).await;
    assert!(given_up.is_err());
    assert_eq!(objects.left().await, set([hash(1)]));
}

/// Bounded rounds, one after the other, see every object and every record.
#[tokio::test]
async fn rounds_go_on_where_the_last_one_ended_and_read_all_pages_of_records() {
    let [objects, _] = Objects::both();
    let store = MemoryStore::new();
    let named = |n: usize| format!("{n:064x}");
    for n in 0..PAGE_RECORDS + 10 {
        let record = binary(&[]).replace("[]", &format!("[{}]", version(&named(n))));
        write(&store, layout().binary(&format!("b{n}")), record);
        objects.put_old(&named(n)).await;
    }
    for n in 0..ROUND_OBJECTS_MAX {
        objects.put_old(&format!("result-{n}")).await;
    }
    let sweeper = sweeper(&store, &objects);
    let (mut after, mut rounds) = (None, 0);
    loop {
        let next = sweeper.round(&layout(), after, || Some(layout())).await;
        rounds += 1;
        after = next.unwrap();
        if after.is_none() {
            break;
        }
    }
    assert_eq!(rounds, 2);
    let stay: BTreeSet<String> = (0..PAGE_RECORDS + 10).map(named).collect();
    assert_eq!(objects.left().await, stay);
}

fn version(hash: &str) -> String {
    encode(&BinaryVersion {
        hash: hash.to_owned(),
        binary_type: BinaryType::Wheel,
        uploaded: Stamp(1),
        bytes: 1,
    })
}
