//! What every store of binaries must do.

use super::random;
use crate::store::{BinaryDao, BinaryError, Content, OBJECTS_PAGE_MAX};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const PIECE: usize = 64 * 1024;
/// Pieces of the large object: 64 MiB.
const PIECES: usize = 1_024;
/// Pieces of a streamed object that may be in memory at once: 4 MiB.
const PIECES_ALIVE_MAX: usize = 64;

/// Runs every check of binaries. `make` gives one more client of the same store each time.
///
/// # Panics
/// When the store breaks a promise.
pub async fn check_binaries(make: impl Fn() -> Arc<dyn BinaryDao>) {
    let (one, other) = (make(), make());
    let run = format!("{:016x}", random());
    check_large_object_is_streamed(&*one, &*other, &format!("large-{run}")).await;
    check_failed_content_leaves_nothing(&*one, &format!("failed-{run}")).await;
    check_existing_object_is_left(&*one, &*other, &format!("existing-{run}")).await;
    check_list_and_delete(&*one, &*other, &run).await;
    check_pages(&*one, &*other, &run).await;
    check_odd_names(&*one, &run).await;
    check_concurrent_puts(&one, &other, &format!("race-{run}")).await;
}

/// A piece of content that says when its memory is given back.
struct Piece {
    bytes: Vec<u8>,
    alive: Arc<AtomicUsize>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

fn byte_of(piece: usize) -> u8 {
    u8::try_from(piece % 251).unwrap_or(0)
}

async fn check_large_object_is_streamed(one: &dyn BinaryDao, other: &dyn BinaryDao, name: &str) {
    let alive = Arc::new(AtomicUsize::new(0));
    let pieces = (0..PIECES).map(move |index| {
        let now = alive.fetch_add(1, Ordering::SeqCst) + 1;
        assert!(
            now <= PIECES_ALIVE_MAX,
            "{now} pieces of `put` in memory at once"
        );
        let bytes = vec![byte_of(index); PIECE];
        let alive = alive.clone();
        Ok(Bytes::from_owner(Piece { bytes, alive }))
    });
    let put = one.put(name, stream::iter(pieces).boxed()).await;
    let size = u64::try_from(PIECES * PIECE).unwrap_or(0);
    assert!(
        matches!(put, Ok(stored) if stored == size),
        "put of 64 MiB: {put:?}"
    );
    let content = other.get(name).await;
    let mut content = content.unwrap_or_else(|e| panic!("get of `{name}`: {e}"));
    let mut at = 0;
    while let Some(piece) = content.next().await {
        let piece = piece.unwrap_or_else(|e| panic!("reading `{name}`: {e}"));
        for byte in piece.iter() {
            assert_eq!(*byte, byte_of(at / PIECE), "byte {at} of `{name}`");
            at += 1;
        }
    }
    assert_eq!(at, PIECES * PIECE, "length of `{name}`");
    deleted(one, name).await;
}

async fn check_failed_content_leaves_nothing(dao: &dyn BinaryDao, name: &str) {
    let pieces = [
        Ok(Bytes::from_static(b"first")),
        Err(BinaryError::Content("the upload broke off".into())),
    ];
    let put = dao.put(name, stream::iter(pieces).boxed()).await;
    let said = matches!(&put, Err(BinaryError::Content(why)) if why == "the upload broke off");
    assert!(said, "the error of the content is handed on: {put:?}");
    assert!(
        !listed(dao).await.contains(&name.to_owned()),
        "`{name}` is listed"
    );
    missing(dao, name).await;
    stored(dao, name, "whole").await;
    assert_eq!(text(dao, name).await, "whole", "after a failed put");
    deleted(dao, name).await;
}

/// More objects than one page has: each on one page, with its age; deleted only when old enough.
async fn check_pages(one: &dyn BinaryDao, other: &dyn BinaryDao, run: &str) {
    const HOUR: Duration = Duration::from_secs(3_600);
    let wanted: BTreeSet<String> = (0..=OBJECTS_PAGE_MAX)
        .map(|n| format!("page-{run}-{n}"))
        .collect();
    for name in &wanted {
        stored(one, name, "x").await;
    }
    let (mut found, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let page = other.page(after.as_deref()).await;
        let page = page.unwrap_or_else(|e| panic!("page behind {after:?}: {e}"));
        assert!(page.objects.len() <= OBJECTS_PAGE_MAX, "a page is too long");
        pages += 1;
        let ours = page
            .objects
            .into_iter()
            .filter(|(name, _)| wanted.contains(name));
        found.extend(ours);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert!(
        pages > 1 && found.len() == wanted.len(),
        "{} in {pages}",
        found.len()
    );
    let names: BTreeSet<String> = found.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(names, wanted, "pages have each object once");
    let oldest = found.iter().map(|(_, age)| *age).max();
    assert!(oldest < Some(HOUR), "objects are of now: {oldest:?}");
    for name in &wanted {
        let young = one.delete_older(name, HOUR).await;
        assert!(matches!(young, Ok(false)), "`{name}` is young: {young:?}");
    }
    assert_eq!(
        text(other, wanted.first().map_or("", String::as_str)).await,
        "x"
    );
    for name in &wanted {
        for goes in [true, false] {
            let gone = one.delete_older(name, Duration::ZERO).await;
            assert!(
                gone.as_ref().is_ok_and(|gone| *gone == goes),
                "`{name}`: {gone:?}"
            );
        }
    }
    missing(other, wanted.first().map_or("", String::as_str)).await;
}

async fn check_existing_object_is_left(one: &dyn BinaryDao, other: &dyn BinaryDao, name: &str) {
    stored(one, name, "first").await;
    let put = other.put(name, content("second one")).await;
    assert!(matches!(put, Ok(5)), "the size of what is there: {put:?}");
    assert_eq!(
        text(one, name).await,
        "first",
        "an existing object was replaced"
    );
    deleted(one, name).await;
}

async fn check_list_and_delete(one: &dyn BinaryDao, other: &dyn BinaryDao, run: &str) {
    let names = ["a", "b", "c"].map(|name| format!("{name}-{run}"));
    for name in &names {
        stored(one, name, name).await;
    }
    let mut found = listed(other).await;
    found.retain(|name| name.ends_with(run));
    found.sort();
    assert_eq!(found, names);
    for _ in 0..2 {
        deleted(other, &names[1]).await;
    }
    missing(one, &names[1]).await;
    assert_eq!(text(one, &names[0]).await, names[0]);
    stored(one, &names[1], "").await;
    assert_eq!(text(one, &names[1]).await, "", "an empty object");
    for name in &names {
        deleted(one, name).await;
    }
}

async fn check_odd_names(dao: &dyn BinaryDao, run: &str) {
    let names = [
        "../../up",
        "/root",
        "..",
        "a b",
        "ü/日本",
        "50%2F",
        ".tmp",
        "a.jar",
    ];
    let names = names.map(|name| format!("{name}{run}"));
    for name in &names {
        stored(dao, name, name).await;
    }
    let found = listed(dao).await;
    for name in &names {
        assert!(found.contains(name), "`{name}` is not listed");
        assert_eq!(text(dao, name).await, *name);
        deleted(dao, name).await;
    }
}

async fn check_concurrent_puts(one: &Arc<dyn BinaryDao>, other: &Arc<dyn BinaryDao>, name: &str) {
    let racers: Vec<_> = (0..8)
        .map(|index| {
            let dao = if index % 2 == 0 {
                one.clone()
            } else {
                other.clone()
            };
            let (name, whole) = (name.to_owned(), index.to_string().repeat(100_000));
            tokio::spawn(async move { dao.put(&name, content(&whole)).await.map(|_| ()) })
        })
        .collect();
    for racer in racers {
        let put = racer.await;
        assert!(
            matches!(put, Ok(Ok(()))),
            "one of several puts at once: {put:?}"
        );
    }
    let found = text(&**one, name).await;
    let first = found.get(..1).unwrap_or_default();
    assert_eq!(
        found,
        first.repeat(100_000),
        "an object of several writers is mixed"
    );
    deleted(&**one, name).await;
}

fn content(text: &str) -> Content {
    stream::iter([Ok(Bytes::from(text.to_owned()))]).boxed()
}

async fn stored(dao: &dyn BinaryDao, name: &str, text: &str) {
    let put = dao.put(name, content(text)).await;
    let size = u64::try_from(text.len()).unwrap_or(0);
    assert!(
        matches!(put, Ok(stored) if stored == size),
        "put of `{name}`: {put:?}"
    );
}

async fn text(dao: &dyn BinaryDao, name: &str) -> String {
    let content = dao.get(name).await;
    let mut content = content.unwrap_or_else(|e| panic!("get of `{name}`: {e}"));
    let mut whole = Vec::new();
    while let Some(piece) = content.next().await {
        let piece = piece.unwrap_or_else(|e| panic!("reading `{name}`: {e}"));
        whole.extend_from_slice(&piece);
    }
    String::from_utf8_lossy(&whole).into_owned()
}

async fn missing(dao: &dyn BinaryDao, name: &str) {
    match dao.get(name).await {
        Err(BinaryError::NotFound(what)) => assert_eq!(what, name),
        Err(other) => panic!("get of the missing `{name}`: {other}"),
        Ok(_) => panic!("the missing `{name}` is there"),
    }
}

async fn listed(dao: &dyn BinaryDao) -> Vec<String> {
    let names = dao.list().await;
    names.unwrap_or_else(|e| panic!("list: {e}"))
}

async fn deleted(dao: &dyn BinaryDao, name: &str) {
    let gone = dao.delete(name).await;
    assert!(gone.is_ok(), "delete of `{name}`: {gone:?}");
}
