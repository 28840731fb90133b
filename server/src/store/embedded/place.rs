//! Where the embedded store lies, and whether it may lie there.

use super::StoreError;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The files of one store. Cheap to share.
#[derive(Debug)]
pub(super) struct Place {
    /// `data-dir/store`, absolute.
    folder: PathBuf,
    /// The open folder: sockets are named through it, since their paths may have 107 bytes only.
    opened: File,
}

impl Place {
    /// Makes the folder if needed and checks that a store can lie there.
    pub(super) fn open(data_dir: &Path) -> Result<Self, StoreError> {
        let data_dir = std::path::absolute(data_dir)
            .map_err(StoreError::file(data_dir, "finding its absolute path"))?;
        let folder = data_dir.join("store");
        let private = |path: &Path| {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
            made.map_err(StoreError::file(path, "making the folder"))
        };
        private(&data_dir)?;
        refuse_network_file_system(&data_dir)?;
        private(&folder)?;
        fs::set_permissions(&folder, Permissions::from_mode(0o700))
            .map_err(StoreError::file(&folder, "setting its mode to 0700"))?;
        let opened = File::open(&folder).map_err(StoreError::file(&folder, "opening"))?;
        let place = Self { folder, opened };
        // A read-only disk is found here, and not by a store process that nobody sees.
        place.open_lock()?;
        Ok(place)
    }

    /// Opens the folder anew when somebody removed or replaced it, which leaves the open one empty.
    pub(super) fn follow(&mut self) {
        let inode = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        let (named, held) = (fs::metadata(&self.folder), self.opened.metadata());
        if let (Ok(named), Ok(held)) = (named, held)
            && inode(named) != inode(held)
            && let Ok(opened) = File::open(&self.folder)
        {
            self.opened = opened;
        }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn lock(&self) -> PathBuf {
        self.folder.join("lock")
    }

    pub(super) fn database(&self) -> PathBuf {
        self.folder.join("meta.sqlite")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.folder.join("store.log")
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }

    /// A short name for a file of the folder, valid in this process only.
    pub(super) fn short(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{name}", self.opened.as_raw_fd()))
    }

    /// Opens the lock file without taking the lock.
    pub(super) fn open_lock(&self) -> Result<File, StoreError> {
        let path = self.lock();
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(StoreError::file(&path, "opening for writing"))
    }
}

/// Refuses a data directory that several hosts may share (design.md 7).
///
/// # Errors
/// [`StoreError::NetworkFileSystem`], or that the directory cannot be asked.
pub fn refuse_network_file_system(path: &Path) -> Result<(), StoreError> {
    let status = rustix::fs::statfs(path)
        .map_err(|e| StoreError::file(path, "asking for its file system")(e.into()))?;
    // The kernel's numbers have 32 bits; some platforms sign-extend them.
    let number = u64::try_from(status.f_type).unwrap_or(0) & 0xFFFF_FFFF;
    match network_kind(number) {
        None => Ok(()),
        Some(kind) => Err(StoreError::NetworkFileSystem {
            path: path.to_owned(),
            kind,
        }),
    }
}

/// The name of a network file system by its number in `statfs(2)`; `None` for a local one.
fn network_kind(number: u64) -> Option<&'static str> {
    let kind = match number {
        0x6969 => "NFS",
        0x517B => "SMB",
        0xFF53_4D42 => "CIFS",
        0xFE53_4D42 => "SMB2",
        0x6573_5546 => "FUSE",
        0x0102_1997 => "9P",
        0x5346_414F | 0x6B41_4653 => "AFS",
        0x00C3_6400 => "Ceph",
        0x0BD0_0BD0 => "Lustre",
        0x4750_4653 => "GPFS",
        0x1983_0326 => "BeeGFS",
        0x7461_636F => "OCFS2",
        0x0116_1970 => "GFS2",
        0x7375_7245 => "Coda",
        0x564C => "NCP",
        _ => return None,
    };
    Some(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known_and_local_ones_are_not_refused() {
        let table = [
            (0x6969, Some("NFS")),
            (0xFF53_4D42, Some("CIFS")),
            (0xFE53_4D42, Some("SMB2")),
            (0x6573_5546, Some("FUSE")),
            (0xEF53, None),
            (0x0102_1994, None),
            (0x794C_7630, None),
            (0x5846_5342, None),
            (0x9123_683E, None),
        ];
        for (number, wanted) in table {
            assert_eq!(network_kind(number), wanted, "{number:#x}");
        }
    }

    #[test]
    fn the_refusal_names_the_key_and_the_remedy() {
        let error = StoreError::NetworkFileSystem {
            path: "/mnt/shared".into(),
            kind: "NFS",
        };
        let text = error.to_string();
        for part in [
            "/mnt/shared",
            "NFS",
            "doyen.data-dir",
            "doyen.store",
            "local disk",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn a_file_in_the_place_of_the_folder_is_named() {
        let temporary = tempfile::tempdir().unwrap();
        let taken = temporary.path().join("data");
        fs::write(&taken, "no folder").unwrap();
        let text = Place::open(&taken).unwrap_err().to_string();
        assert!(text.contains(taken.to_str().unwrap()), "{text}");
        assert!(text.contains("doyen.data-dir"), "{text}");
    }
}
