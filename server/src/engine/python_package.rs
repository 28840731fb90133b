//! The `sparkjobserver` package, carried in this program and unpacked for Python.

use super::paths::{make_private, named};
use sha2::{Digest, Sha256};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const FILES: [(&str, &str); 5] = [
    (
        "__init__.py",
        include_str!("../../drivers/python/sparkjobserver/__init__.py"),
    ),
    (
        "api.py",
        include_str!("../../drivers/python/sparkjobserver/api.py"),
    ),
    (
        "config.py",
        include_str!("../../drivers/python/sparkjobserver/config.py"),
    ),
    (
        "context.py",
        include_str!("../../drivers/python/sparkjobserver/context.py"),
    ),
    (
        "job.py",
        include_str!("../../drivers/python/sparkjobserver/job.py"),
    ),
];

/// Unpacks the package under `data-dir/python/<hash>` unless it is there; gives that folder, for
/// `PYTHONPATH`. Drivers may do so at the same time: the folder appears whole or not at all.
///
/// # Errors
/// What the file system said, with the path.
pub(super) fn unpack(data_dir: &Path) -> io::Result<PathBuf> {
    let parent = data_dir.join("python");
    let folder = parent.join(digest());
    if folder.join("sparkjobserver").join("job.py").exists() {
        return Ok(folder);
    }
    make_private(&parent)?;
    let temporary = tempfile::Builder::new()
        .prefix("unpacking-")
        .tempdir_in(&parent)
        .map_err(|e| named(&e, "cannot unpack into", &parent))?;
    let package = temporary.path().join("sparkjobserver");
    fs::create_dir(&package).map_err(|e| named(&e, "cannot make", &package))?;
    for (name, text) in FILES {
        let path = package.join(name);
        fs::write(&path, text).map_err(|e| named(&e, "cannot write", &path))?;
    }
    match fs::rename(temporary.path(), &folder) {
        Ok(()) => Ok(folder),
        // Another driver was quicker: what it unpacked has the same content.
        Err(_) if folder.join("sparkjobserver").join("job.py").exists() => Ok(folder),
        Err(e) => Err(named(&e, "cannot make", &folder)),
    }
}

fn digest() -> String {
    let mut hash = Sha256::new();
    for (name, text) in FILES {
        hash.update(name);
        hash.update([0]);
        hash.update(text);
        hash.update([0]);
    }
    hash.finalize()
        .iter()
        .take(8)
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_is_unpacked_once_and_whole() {
        let data = tempfile::tempdir().unwrap();
        let first = unpack(data.path()).unwrap();
        assert_eq!(unpack(data.path()).unwrap(), first);
        for (name, text) in FILES {
            let path = first.join("sparkjobserver").join(name);
            assert_eq!(fs::read_to_string(path).unwrap(), text);
        }
        let left = fs::read_dir(data.path().join("python")).unwrap().count();
        assert_eq!(left, 1, "a temporary folder was left behind");
    }
}
