//! Binaries as files of this host: `data-dir/binaries/<shard>/<escaped name>`.
//!
//! For the embedded store; several hosts need a store that they share.

use super::temporary::{self, Temporary, at, blocking};
use async_trait::async_trait;
use doyen_core::records::key::{escape, unescape};
use doyen_runtime::store::{BinaryDao, BinaryError, Content, OBJECTS_PAGE_MAX, ObjectPage};
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tokio_util::io::ReaderStream;

/// The folder of temporaries; no shard has this name.
const TEMPORARIES: &str = "tmp";
/// Bytes of one piece of a stream.
const PIECE: usize = 64 * 1024;
/// The longest escaped name: file systems take 255 bytes.
const NAME_BYTES_MAX: usize = 255;

/// The binaries below a data directory; clones and other processes may share it.
#[derive(Clone, Debug)]
pub struct FileBinaries {
    folder: PathBuf,
}

impl FileBinaries {
    /// Opens `data-dir/binaries`, makes it if needed (mode 0700), and removes temporary files that
    /// crashed processes left behind more than an hour ago.
    ///
    /// # Errors
    /// When the folder cannot be made or read; the path is named.
    pub fn open(data_dir: &Path) -> Result<Self, BinaryError> {
        let folder = data_dir.join("binaries");
        let temporaries = folder.join(TEMPORARIES);
        make_folder(&temporaries).map_err(at(&temporaries))?;
        temporary::remove_leftovers(&temporaries).map_err(at(&temporaries))?;
        Ok(Self { folder })
    }

    fn path(&self, name: &str) -> Result<PathBuf, BinaryError> {
        let escaped = escape(name);
        if escaped.is_empty() || escaped.len() > NAME_BYTES_MAX {
            return Err(BinaryError::Content(format!(
                "the object's name `{name}` is empty or has more than {NAME_BYTES_MAX} bytes"
            )));
        }
        let digest = Sha256::digest(name.as_bytes());
        let shard = format!("{:02x}", digest[0]);
        Ok(self.folder.join(shard).join(escaped))
    }
}

#[async_trait]
impl BinaryDao for FileBinaries {
    async fn put(&self, name: &str, content: Content) -> Result<u64, BinaryError> {
        let path = self.path(name)?;
        if let Some(length) = renew(&path).await? {
            return Ok(length);
        }
        let shard = path.parent().unwrap_or(&self.folder).to_owned();
        let folder = self.folder.clone();
        blocking(move || {
            if !fs::exists(&shard)? {
                make_folder(&shard)?;
                temporary::sync_folder(&folder)?;
            }
            Ok(())
        })
        .await
        .map_err(at(&path))?;
        let created = Temporary::create(&self.folder.join(TEMPORARIES)).await;
        let (temporary, mut file) = created.map_err(at(&self.folder))?;
        let written = temporary::write(&mut file, content, |_| Ok(())).await;
        let written = written.map_err(|e| match e {
            BinaryError::Backend(e) => at(&path)(e),
            BinaryError::NotFound(_) | BinaryError::Content(_) => e,
        })?;
        let published = temporary.publish(path.clone()).await.map_err(at(&path))?;
        match published {
            true => Ok(written),
            // Another put of this name was quicker: its object stays. It may be deleted by now.
            false => Ok(length(&path).await?.unwrap_or(written)),
        }
    }

    async fn get(&self, name: &str) -> Result<Content, BinaryError> {
        let path = self.path(name)?;
        match tokio::fs::File::open(&path).await {
            Ok(file) => {
                let pieces = ReaderStream::with_capacity(file, PIECE);
                Ok(pieces.map(move |piece| piece.map_err(at(&path))).boxed())
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {
                Err(BinaryError::NotFound(name.to_owned()))
            }
            Err(e) => Err(at(&path)(e)),
        }
    }

    async fn delete(&self, name: &str) -> Result<(), BinaryError> {
        let path = self.path(name)?;
        match tokio::fs::remove_file(&path).await {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            Err(e) => Err(at(&path)(e)),
        }
    }

    async fn list(&self) -> Result<Vec<String>, BinaryError> {
        let folder = self.folder.clone();
        blocking(move || list(&folder))
            .await
            .map_err(at(&self.folder))
    }

    async fn page(&self, after: Option<&str>) -> Result<ObjectPage, BinaryError> {
        let (folder, after) = (self.folder.clone(), after.map(str::to_owned));
        blocking(move || page(&folder, after.as_deref()))
            .await
            .map_err(at(&self.folder))
    }

    async fn delete_older(&self, name: &str, than: Duration) -> Result<bool, BinaryError> {
        let path = self.path(name)?;
        let file = path.clone();
        blocking(move || delete_older(&file, than))
            .await
            .map_err(at(&path))
    }
}

/// The length of an object that is there, which is as young as a new one from now on.
///
/// Whoever deletes what is old holds the file's lock, too: either it sees that this one is young,
/// or it is done and the name is gone.
async fn renew(path: &Path) -> Result<Option<u64>, BinaryError> {
    let name = path.to_owned();
    let renewed = blocking(move || {
        let file = match File::options().append(true).open(&name) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        file.lock_shared()?;
        file.set_modified(SystemTime::now())?;
        let length = file.metadata()?.len();
        Ok(fs::exists(&name)?.then_some(length))
    });
    renewed.await.map_err(at(path))
}

fn delete_older(path: &Path, than: Duration) -> io::Result<bool> {
    let file = match File::open(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
        opened => opened?,
    };
    file.lock()?;
    if age(&file.metadata()?)? < than {
        return Ok(false);
    }
    match fs::remove_file(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        removed => removed.map(|()| true),
    }
}

/// The time since an object was put last; one from the future is young.
fn age(metadata: &fs::Metadata) -> io::Result<Duration> {
    let put = metadata.modified()?;
    Ok(SystemTime::now().duration_since(put).unwrap_or_default())
}

async fn length(path: &Path) -> Result<Option<u64>, BinaryError> {
    match tokio::fs::metadata(path).await {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(at(path)(e)),
    }
}

fn list(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for shard in fs::read_dir(folder)? {
        let shard = shard?;
        if shard.file_name() == TEMPORARIES || !shard.file_type()?.is_dir() {
            continue;
        }
        for object in fs::read_dir(shard.path())? {
            // What was not written by us has no place here and no name.
            let name = object?.file_name().to_str().and_then(unescape);
            names.extend(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The objects behind the place `SHARD/ESCAPED NAME`, in order of shards and names.
fn page(folder: &Path, after: Option<&str>) -> io::Result<ObjectPage> {
    let (from, behind) = after
        .and_then(|after| after.split_once('/'))
        .unwrap_or_default();
    let mut page = ObjectPage::default();
    for shard in names(folder)? {
        let path = folder.join(&shard);
        if shard == TEMPORARIES || shard.as_str() < from || !path.is_dir() {
            continue;
        }
        for escaped in names(&path)? {
            let Some(name) = unescape(&escaped) else {
                continue;
            };
            if shard == from && escaped.as_str() <= behind {
                continue;
            }
            if page.objects.len() == OBJECTS_PAGE_MAX {
                return Ok(page);
            }
            // One that was deleted just now is no error.
            if let Ok(metadata) = fs::metadata(path.join(&escaped)) {
                page.next = Some(format!("{shard}/{escaped}"));
                page.objects.push((name, age(&metadata)?));
            }
        }
    }
    page.next = None;
    Ok(page)
}

/// What is in a folder, sorted.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = fs::read_dir(folder)?;
    let names = entries.map(|entry| Ok(entry?.file_name().into_string().ok()));
    let mut names: Vec<String> = names
        .filter_map(io::Result::transpose)
        .collect::<io::Result<_>>()?;
    names.sort();
    Ok(names)
}

fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use doyen_runtime::store::conformance::check_binaries;
    use futures_util::stream;
    use std::sync::Arc;

    fn content(text: &'static str) -> Content {
        stream::iter([Ok(Bytes::from_static(text.as_bytes()))]).boxed()
    }

    #[tokio::test]
    async fn files_pass_the_conformance_suite() {
        let temporary = tempfile::tempdir().unwrap();
        check_binaries(|| Arc::new(FileBinaries::open(temporary.path()).unwrap())).await;
        let left = fs::read_dir(temporary.path().join("binaries/tmp")).unwrap();
        assert_eq!(left.count(), 0, "temporaries are left");
    }

    #[tokio::test]
    async fn an_object_that_is_put_again_is_young_again() {
        let temporary = tempfile::tempdir().unwrap();
        let store = FileBinaries::open(temporary.path()).unwrap();
        let day = Duration::from_secs(86_400);
        let grow_old = || {
            let file = File::options().append(true).open(store.path("a").unwrap());
            file.unwrap().set_modified(SystemTime::now() - day).unwrap();
        };
        store.put("a", content("first")).await.unwrap();
        grow_old();
        assert!(store.page(None).await.unwrap().objects[0].1 >= day);
        assert_eq!(store.put("a", content("x")).await.unwrap(), 5);
        assert!(!store.delete_older("a", day).await.unwrap());
        grow_old();
        assert!(store.delete_older("a", day).await.unwrap());
        assert_eq!(store.put("a", content("x")).await.unwrap(), 1);
    }

    /// Whoever's put was answered finds the object, whatever is deleted at the same time.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_object_that_is_put_while_it_is_deleted_for_its_age_is_there() {
        let temporary = tempfile::tempdir().unwrap();
        let store = FileBinaries::open(temporary.path()).unwrap();
        let path = store.path("a").unwrap();
        let day = Duration::from_secs(86_400);
        let mut deleted = 0;
        for _ in 0..300 {
            store.put("a", content("x")).await.unwrap();
            let file = File::options().append(true).open(&path).unwrap();
            file.set_modified(SystemTime::now() - day).unwrap();
            let sweeping = store.clone();
            let sweep = tokio::spawn(async move { sweeping.delete_older("a", day).await.unwrap() });
            store.put("a", content("x")).await.unwrap();
            deleted += u32::from(sweep.await.unwrap());
            assert!(path.exists(), "a put that was answered is lost");
        }
        assert!(deleted > 0, "nothing was ever deleted: this proves nothing");
    }

    #[tokio::test]
    async fn no_name_leaves_the_folder_and_a_long_one_is_refused() {
        let temporary = tempfile::tempdir().unwrap();
        let store = FileBinaries::open(temporary.path()).unwrap();
        for name in ["../../up", "/etc/passwd", "..", "a/../../b"] {
            store.put(name, content("x")).await.unwrap();
            let path = store.path(name).unwrap();
            assert_eq!(path.parent().unwrap().parent().unwrap(), store.folder);
            assert!(fs::read(path).is_ok());
        }
        let long = store.put(&"ü".repeat(50), content("x")).await;
        let text = long.unwrap_err().to_string();
        assert!(text.contains("255"), "{text}");
    }

    #[tokio::test]
    async fn an_error_names_the_path_and_the_key() {
        let temporary = tempfile::tempdir().unwrap();
        let store = FileBinaries::open(temporary.path()).unwrap();
        fs::remove_dir_all(temporary.path().join("binaries")).unwrap();
        fs::write(temporary.path().join("binaries"), "a file").unwrap();
        let text = store.put("a", content("x")).await.unwrap_err().to_string();
        assert!(
            text.contains("binaries") && text.contains("doyen.data-dir"),
            "{text}"
        );
    }
}
