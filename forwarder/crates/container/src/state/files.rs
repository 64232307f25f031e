//! Files of runtimes, any of which may be absent.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;

/// Reads files below a root directory, and keeps what is there and cannot be read.
pub(super) struct Files {
    root: PathBuf,
    pub(super) unreadable: Vec<String>,
}

impl Files {
    pub(super) fn below(root: &Path) -> Self {
        Self { root: root.into(), unreadable: Vec::new() }
    }

    /// What a file of JSON says; none if it is absent, or something else.
    pub(super) fn json<T: DeserializeOwned>(&mut self, path: &Path) -> Option<T> {
        let text = self.text(path)?;
        serde_json::from_str(&text).map_err(|error| self.note(path, &error)).ok()
    }

    /// A number on a line of its own.
    pub(super) fn number(&mut self, path: &Path) -> Option<u32> {
        self.text(path)?.trim().parse().map_err(|error| self.note(path, &error)).ok()
    }

    /// The names of the directories in a directory, sorted.
    pub(super) fn directories(&mut self, path: &Path) -> Vec<String> {
        let entries = fs::read_dir(self.at(path)).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
        let Some(entries) = self.found(path, entries) else { return Vec::new() };
        let directories = entries.into_iter().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let mut names: Vec<String> = directories.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    fn text(&mut self, path: &Path) -> Option<String> {
        let text = fs::read_to_string(self.at(path));
        self.found(path, text)
    }

    fn found<T>(&mut self, path: &Path, result: io::Result<T>) -> Option<T> {
        match result {
            Ok(found) => Some(found),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => None,
            Err(error) => {
                self.note(path, &error);
                None
            }
        }
    }

    fn note(&mut self, path: &Path, why: &dyn std::error::Error) {
        self.unreadable.push(format!("{} cannot be read: {why}", self.at(path).display()));
    }

    /// Where an absolute path is below the root.
    fn at(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }
}
