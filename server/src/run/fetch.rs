//! How a driver gets binaries and spilled payloads, and where it puts large results.

use crate::binaries::cache::BinaryCache;
use crate::engine::driver_launcher::{BinaryFetcher, ResultStore};
use async_trait::async_trait;
use bytes::Bytes;
use doyen_core::records::job::{BinaryType, ClassPathEntry, JobError, JobRefusal};
use doyen_core::records::key::escape;
use doyen_runtime::store::{BinaryDao, BinaryError};
use futures_util::StreamExt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;

/// Fetches through the host's cache of binaries.
pub(super) struct Fetcher {
    binaries: Arc<dyn BinaryDao>,
    cache: BinaryCache,
    temporary: PathBuf,
}

impl Fetcher {
    pub(super) const fn new(
        binaries: Arc<dyn BinaryDao>,
        cache: BinaryCache,
        temporary: PathBuf,
    ) -> Self {
        Self {
            binaries,
            cache,
            temporary,
        }
    }
}

#[async_trait]
impl BinaryFetcher for Fetcher {
    async fn fetch(&self, entry: &ClassPathEntry) -> Result<PathBuf, JobRefusal> {
        let Some(hash) = &entry.hash else {
            return local_file(entry);
        };
        let extension = match entry.binary_type {
            BinaryType::Jar => "jar",
            BinaryType::Egg => "egg",
            BinaryType::Wheel => "whl",
            BinaryType::Uri | BinaryType::Executable => "bin",
        };
        let fetched = self
            .cache
            .fetch(self.binaries.as_ref(), hash, extension)
            .await;
        fetched.map_err(|error| loading("java.io.IOException", &format!("{}: {error}", entry.name)))
    }

    async fn object(&self, name: &str) -> io::Result<PathBuf> {
        let mut content = self.binaries.get(name).await.map_err(io::Error::other)?;
        let path = self.temporary.join(escape(name));
        let mut file = tokio::fs::File::create(&path).await?;
        while let Some(chunk) = content.next().await {
            file.write_all(&chunk.map_err(io::Error::other)?).await?;
        }
        file.flush().await?;
        Ok(path)
    }
}

/// A class-path entry given as a URI: of this host's files only, so far.
fn local_file(entry: &ClassPathEntry) -> Result<PathBuf, JobRefusal> {
    let path = entry
        .name
        .strip_prefix("file://")
        .or_else(|| entry.name.strip_prefix("file:"));
    match path.map(PathBuf::from).filter(|path| path.is_file()) {
        Some(path) => Ok(path),
        None => Err(loading(
            "java.io.FileNotFoundException",
            &format!("{} is no file of this host", entry.name),
        )),
    }
}

fn loading(class: &str, message: &str) -> JobRefusal {
    JobRefusal::LoadingFailed {
        error: JobError::new(class, message),
    }
}

/// Puts large results into the binary store.
pub(super) struct Results(pub(super) Arc<dyn BinaryDao>);

#[async_trait]
impl ResultStore for Results {
    async fn put(&self, name: &str, bytes: Bytes) -> io::Result<()> {
        let content = futures_util::stream::once(async move { Ok::<_, BinaryError>(bytes) });
        self.0
            .put(name, content.boxed())
            .await
            .map(|_| ())
            .map_err(io::Error::other)
    }
}
