//! The cache in front of a store that counts its downloads.

use super::*;
use async_trait::async_trait;
use bytes::Bytes;
use doyen_runtime::store::Content;
use doyen_runtime::store::memory::MemoryBinaries;
use futures_util::{StreamExt, stream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;

#[derive(Clone, Default)]
struct Counting {
    store: MemoryBinaries,
    gets: Arc<AtomicUsize>,
}

#[async_trait]
impl BinaryDao for Counting {
    async fn put(&self, name: &str, content: Content) -> Result<u64, BinaryError> {
        self.store.put(name, content).await
    }

    async fn get(&self, name: &str) -> Result<Content, BinaryError> {
        self.gets.fetch_add(1, Ordering::SeqCst);
        self.store.get(name).await
    }

    async fn delete(&self, name: &str) -> Result<(), BinaryError> {
        self.store.delete(name).await
    }

    async fn list(&self) -> Result<Vec<String>, BinaryError> {
        self.store.list().await
    }
}

/// Stores a text and gives its hash.
async fn stored(dao: &dyn BinaryDao, text: &str) -> String {
    let hash = hex(&Sha256::digest(text.as_bytes()));
    let content = stream::iter([Ok(Bytes::from(text.to_owned()))]).boxed();
    dao.put(&hash, content).await.unwrap();
    hash
}

fn cache(folder: &TempDir, bytes_max: u64) -> BinaryCache {
    BinaryCache::open(folder.path(), bytes_max).unwrap()
}

fn files(folder: &TempDir) -> Vec<PathBuf> {
    let mut files = cached(folder.path()).unwrap();
    files.sort();
    files.into_iter().map(|(_, _, path)| path).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_callers_download_once_and_get_one_path() {
    let (folder, dao) = (tempfile::tempdir().unwrap(), Counting::default());
    let hash = stored(&dao, "a jar").await;
    let cache = Arc::new(cache(&folder, 1_000));
    let callers: Vec<_> = (0..16)
        .map(|_| {
            let (cache, dao, hash) = (cache.clone(), dao.clone(), hash.clone());
            tokio::spawn(async move { cache.fetch(&dao, &hash, "jar").await.unwrap() })
        })
        .collect();
    for caller in callers {
        let path = caller.await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "a jar");
        assert_eq!(path, folder.path().join(format!("{hash}.jar")));
    }
    assert_eq!(dao.gets.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_another_process_fetched_is_not_downloaded() {
    let (folder, dao) = (tempfile::tempdir().unwrap(), Counting::default());
    let hash = stored(&dao, "an egg").await;
    for _ in 0..2 {
        cache(&folder, 1_000)
            .fetch(&dao, &hash, "egg")
            .await
            .unwrap();
    }
    assert_eq!(dao.gets.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_damaged_object_is_refused_and_leaves_nothing() {
    let (folder, dao) = (tempfile::tempdir().unwrap(), Counting::default());
    let hash = "0".repeat(63) + "1";
    let content = stream::iter([Ok(Bytes::from_static(b"other"))]).boxed();
    dao.put(&hash, content).await.unwrap();
    let cache = cache(&folder, 1_000);
    let text = cache
        .fetch(&dao, &hash, "jar")
        .await
        .unwrap_err()
        .to_string();
    assert!(text.contains(&hash) && text.contains("damaged"), "{text}");
    let missing = cache.fetch(&dao, &"1".repeat(64), "jar").await;
    assert!(matches!(missing, Err(BinaryError::NotFound(_))));
    assert!(files(&folder).is_empty());
    let temporaries = fs::read_dir(folder.path().join(TEMPORARIES)).unwrap();
    assert_eq!(temporaries.count(), 0);
}

#[tokio::test]
async fn the_predecessors_hash_without_leading_zeros_is_understood() {
    let (folder, dao) = (tempfile::tempdir().unwrap(), MemoryBinaries::new());
    let text = (0..).map(|n| n.to_string()).find(|text| {
        let digest = Sha256::digest(text.as_bytes());
        digest[0] == 0
    });
    let text = text.unwrap();
    let full = hex(&Sha256::digest(text.as_bytes()));
    let short = full.trim_start_matches('0');
    let content = stream::iter([Ok(Bytes::from(text.clone()))]).boxed();
    dao.put(short, content).await.unwrap();
    let path = cache(&folder, 1_000)
        .fetch(&dao, short, "whl")
        .await
        .unwrap();
    assert_eq!(fs::read_to_string(path).unwrap(), text);
}

#[tokio::test]
async fn the_least_recently_used_go_first_and_files_of_others_stay() {
    let (folder, dao) = (tempfile::tempdir().unwrap(), MemoryBinaries::new());
    let foreign = folder.path().join("wordcount-20240305_101011_120.jar");
    fs::write(&foreign, "x".repeat(5_000)).unwrap();
    let cache = cache(&folder, 250);
    let mut paths = Vec::new();
    for (age, letter) in ["a", "b", "c"].into_iter().enumerate() {
        let hash = stored(&dao, &letter.repeat(80)).await;
        let path = cache.fetch(&dao, &hash, "jar").await.unwrap();
        let seconds = 100 - u64::try_from(age).unwrap();
        let file = File::options().append(true).open(&path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(seconds))
            .unwrap();
        paths.push((hash, path));
    }
    assert_eq!(files(&folder).len(), 3);
    // The oldest is used again, so the second one is the least recently used.
    cache.fetch(&dao, &paths[0].0, "jar").await.unwrap();
    let hash = stored(&dao, &"d".repeat(80)).await;
    cache.fetch(&dao, &hash, "jar").await.unwrap();
    assert!(paths[0].1.exists() && !paths[1].1.exists() && paths[2].1.exists());
    assert!(foreign.exists());
    let large = stored(&dao, &"e".repeat(251)).await;
    let text = cache
        .fetch(&dao, &large, "jar")
        .await
        .unwrap_err()
        .to_string();
    assert!(text.contains("250 bytes"), "{text}");
    assert_eq!(files(&folder).len(), 3, "what cannot fit evicts nothing");
}

#[tokio::test]
async fn no_hash_or_extension_leaves_the_folder() {
    let (folder, dao) = (tempfile::tempdir().unwrap(), MemoryBinaries::new());
    let cache = cache(&folder, 1_000);
    let hash = "a".repeat(64);
    for (hash, extension) in [
        ("../../etc/passwd", "jar"),
        (hash.as_str(), "../x"),
        (hash.as_str(), ""),
        ("ABCDEFABCDEFABCDEFABCDEFABCDEFABCD", "jar"),
    ] {
        let refused = cache.fetch(&dao, hash, extension).await;
        assert!(
            matches!(refused, Err(BinaryError::Content(_))),
            "{hash} {extension}"
        );
    }
}
