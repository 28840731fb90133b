//! Wheels from folders of Python sources.

use crate::{Outcome, trouble};
use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// A wheel with every file below `folder` (caches left out) at its place, and the metadata that
/// installers want.
///
/// # Errors
/// The folder cannot be read.
pub fn build(folder: &Path, name: &str, version: &str) -> Outcome<Vec<u8>> {
    let mut files = Vec::new();
    collect(folder, "", &mut files)?;
    if files.is_empty() {
        return Err(trouble(format!(
            "no Python sources in {}",
            folder.display()
        )));
    }
    let info = format!("{name}-{version}.dist-info");
    let text = |path: &str, content: String| (format!("{info}/{path}"), content.into_bytes());
    files.push(text(
        "METADATA",
        format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"),
    ));
    let wheel = "Wheel-Version: 1.0\nGenerator: doyen\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
    files.push(text("WHEEL", wheel.to_owned()));
    let mut record: String = files
        .iter()
        .map(|(path, _)| format!("{path},,\n"))
        .collect();
    record.push_str(&format!("{info}/RECORD,,\n"));
    files.push(text("RECORD", record));
    zip(&files)
}

/// A ZIP archive of these files.
///
/// # Errors
/// The archive cannot be written.
pub fn zip(files: &[(String, Vec<u8>)]) -> Outcome<Vec<u8>> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (path, content) in files {
        let options = SimpleFileOptions::default();
        archive
            .start_file(path, options)
            .map_err(|e| trouble(e.to_string()))?;
        archive.write_all(content)?;
    }
    Ok(archive
        .finish()
        .map_err(|e| trouble(e.to_string()))?
        .into_inner())
}

fn collect(folder: &Path, prefix: &str, files: &mut Vec<(String, Vec<u8>)>) -> Outcome<()> {
    let read = fs::read_dir(folder)
        .map_err(|e| trouble(format!("cannot read {}: {e}", folder.display())))?;
    let mut entries = read.collect::<Outcome<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            if name != "__pycache__" {
                collect(&entry.path(), &format!("{prefix}{name}/"), files)?;
            }
        } else if name.ends_with(".py") {
            files.push((format!("{prefix}{name}"), fs::read(entry.path())?));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn a_wheel_holds_the_sources_and_its_metadata() {
        let folder = tempfile::tempdir().unwrap();
        let package = folder.path().join("jobs");
        fs::create_dir_all(package.join("__pycache__")).unwrap();
        fs::write(package.join("__init__.py"), "X = 1\n").unwrap();
        fs::write(package.join("__pycache__/a.py"), "").unwrap();
        let wheel = build(folder.path(), "jobs", "1.0").unwrap();
        assert_eq!(&wheel[..4], b"PK\x03\x04");
        let mut archive = zip::ZipArchive::new(Cursor::new(wheel)).unwrap();
        let mut names: Vec<String> = archive.file_names().map(str::to_owned).collect();
        names.sort();
        let info = "jobs-1.0.dist-info";
        let expected = [
            format!("{info}/METADATA"),
            format!("{info}/RECORD"),
            format!("{info}/WHEEL"),
            "jobs/__init__.py".to_owned(),
        ];
        assert_eq!(names, expected);
        let mut source = String::new();
        archive
            .by_name("jobs/__init__.py")
            .unwrap()
            .read_to_string(&mut source)
            .unwrap();
        assert_eq!(source, "X = 1\n");
    }

    #[test]
    fn an_empty_folder_makes_no_wheel() {
        let folder = tempfile::tempdir().unwrap();
        assert!(build(folder.path(), "jobs", "1.0").is_err());
    }
}
