//! The directory of programs that are to take the places of those that run. It is there from before the first of them is replaced until all
//! are, and inside is noted which build is to follow which: so everybody can tell that a command was interrupted, and what it was about.

use std::{fs, io, path::PathBuf};

use crate::{
    Dataplane,
    load::{NEW_PROGRAMS, create::remove_dir},
};
use fwd_base::{Context as _, Result};

/// A command that was to replace programs, and was interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interrupted {
    /// The build of the programs that were to be replaced, and of those that were to follow. None before anything was replaced.
    pub(crate) builds: Option<(u64, u64)>,
}

impl Interrupted {
    /// Whether all was in its place, but for what is removed last; `loaded` is the build that is noted as loaded.
    pub(crate) fn is_done(self, loaded: u64) -> bool {
        self.builds.is_some_and(|(from, to)| from != to && to == loaded)
    }

    /// Of the builds whose programs are `kept`, the one that a rollback brings back: where a rollback was interrupted, the one that it was to
    /// bring back, and otherwise the one that ran before.
    pub(crate) fn former(self, loaded: u64, kept: &[u64]) -> Option<u64> {
        let (from, to) = self.builds?;
        let wanted = if to == loaded { [from, from] } else { [to, from] };
        wanted.into_iter().find(|build| kept.contains(build))
    }
}

impl Dataplane {
    /// What an interrupted command has left, if any was interrupted.
    pub(crate) fn interrupted(&self) -> Option<Interrupted> {
        let entries = fs::read_dir(self.beside()).ok()?.flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let number = |text: &str| u64::from_str_radix(text, 16).ok();
        let builds = |name: String| name.split_once('-').and_then(|(from, to)| Some((number(from)?, number(to)?)));
        Some(Interrupted { builds: names.filter_map(builds).last() })
    }

    /// Makes the directory, with nothing in it but the note of the builds. One that is there stays: without it, nobody would know that some
    /// programs were replaced.
    pub(crate) fn open_beside(&self, from: u64, to: u64) -> Result<PathBuf> {
        let dir = self.beside();
        match fs::create_dir(&dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(error).doing("create", dir.display().to_string());
            }
            _ => {}
        }
        for entry in fs::read_dir(&dir).doing("list", dir.display().to_string())?.flatten() {
            let path = entry.path();
            let removed = if path.is_dir() { fs::remove_dir(&path) } else { fs::remove_file(&path) };
            removed.doing("remove", path.display().to_string())?;
        }
        let note = dir.join(format!("{from:016x}-{to:016x}"));
        fs::create_dir(&note).doing("create", note.display().to_string())?;
        Ok(dir)
    }

    /// Removes it: everything is in its place.
    pub(crate) fn close_beside(&self) -> Result<()> {
        remove_dir(&self.beside())
    }

    fn beside(&self) -> PathBuf {
        self.dir.join(NEW_PROGRAMS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plane(dir: &std::path::Path) -> Dataplane {
        Dataplane { dir: dir.into(), held: None }
    }

    #[test]
    fn interruption_is_noted_until_everything_is_in_its_place() {
        let dir = tempfile::tempdir().expect("a directory");
        let plane = plane(dir.path());
        assert_eq!(plane.interrupted(), None);
        for builds in [(1, 2), (2, u64::MAX)] {
            let beside = plane.open_beside(builds.0, builds.1).expect("a directory");
            assert_eq!(plane.interrupted(), Some(Interrupted { builds: Some(builds) }));
            assert_eq!(fs::read_dir(&beside).expect("it is there").count(), 1, "what another command left has gone");
            fs::write(beside.join("from_ns"), "").expect("a file");
        }
        plane.close_beside().expect("it is removed");
        assert_eq!(plane.interrupted(), None);
        fs::create_dir(dir.path().join(NEW_PROGRAMS)).expect("a directory");
        assert_eq!(plane.interrupted(), Some(Interrupted { builds: None }));
    }

    #[test]
    fn interrupted_rollback_goes_on_and_an_interrupted_reload_is_undone() {
        let of = |from, to| Interrupted { builds: Some((from, to)) };
        // A reload from 1 to 2, with 9 from before, until 2 is noted as loaded, and after.
        assert_eq!(of(1, 2).former(1, &[9, 1]), Some(1));
        assert_eq!(of(1, 2).former(2, &[9, 1]), Some(1));
        // A rollback from 2 to 1.
        assert_eq!(of(2, 1).former(2, &[1, 2]), Some(1));
        assert_eq!(of(2, 1).former(1, &[1, 2]), Some(2));
        // The same build anew, in place of a mixture.
        assert_eq!(of(1, 1).former(1, &[9, 1]), Some(1));
        assert_eq!((of(1, 2).former(1, &[9]), Interrupted { builds: None }.former(1, &[1])), (None, None));
        assert!(of(1, 2).is_done(2) && !of(1, 2).is_done(1) && !of(1, 1).is_done(1));
        assert!(!Interrupted { builds: None }.is_done(1));
    }
}
