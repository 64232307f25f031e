//! The undo log of a host: a directory in the run directory, with a file for each entry.
//!
//! It is no pinned map, because it has to outlive the pins: whoever unmounts the bpffs, or installs a version with other maps, shall
//! still get back what was changed. An entry is a file, so that removing one needs no room and cannot be interrupted half-way.

use std::{fs, io, path::PathBuf};

use super::HostContext;
use fwd_base::{Context as _, Error, Kind, Result};
use fwd_plan::Undo;

/// Tells one run of the machine from the next, in which cookies and interface numbers begin anew.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";
/// First line of each entry: what it is, and the version of its form, which stays.
const HEADER: &str = "fwd-undo 1\n";
/// What a file is called while it is written.
const UNFINISHED: &str = ".unfinished";

/// The undo log of one host namespace.
#[derive(Debug)]
pub(super) struct UndoLog {
    /// `RUNDIR/undo-BOOT/COOKIE`.
    dir: PathBuf,
}

impl UndoLog {
    /// The log of the host namespace with `cookie`.
    ///
    /// # Errors
    /// /proc is not mounted.
    pub(super) fn of(context: &HostContext, cookie: u64) -> Result<Self> {
        Ok(Self { dir: context.run_dir.undo(&boot()?).join(cookie.to_string()) })
    }

    /// The hosts that have one, by the cookies of their namespaces.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub(super) fn hosts(context: &HostContext) -> Result<Vec<u64>> {
        let log = Self::of(context, 0)?;
        let dir = log.dir.parent().unwrap_or(&log.dir);
        let entries = match fs::read_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.doing("list", dir.display().to_string())?,
        };
        Ok(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
    }

    /// Removes what is left from before the machine was started: nothing of it is there any more.
    ///
    /// # Errors
    /// A directory cannot be removed.
    pub(super) fn forget_former(context: &HostContext) -> Result<()> {
        let current = context.run_dir.undo(&boot()?);
        let entries = match fs::read_dir(context.run_dir.path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries.doing("list", context.run_dir.path().display().to_string())?,
        };
        let is_former = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.starts_with("undo-")) && *path != current
        };
        for path in entries.flatten().map(|entry| entry.path()).filter(is_former) {
            fs::remove_dir_all(&path).doing("remove", path.display().to_string())?;
        }
        Ok(())
    }

    /// The entries whose keys are `wanted`. What is not understood is left where it is, and said.
    ///
    /// # Errors
    /// The directory or a file cannot be read.
    pub(super) fn read(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<Undo>> {
        let files = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            files => files.doing("list", self.dir.display().to_string())?,
        };
        let mut keys: Vec<String> = files.flatten().filter_map(|file| file.file_name().into_string().ok()).collect();
        keys.retain(|key| key != UNFINISHED && wanted(key));
        keys.sort();
        let mut entries = Vec::new();
        for path in keys.iter().map(|key| self.dir.join(key)) {
            let text = match fs::read_to_string(&path) {
                // A reader without the lock: its command has just undone it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                text => text.doing("read", path.display().to_string())?,
            };
            match text.strip_prefix(HEADER).and_then(Undo::from_text) {
                Some(entry) => entries.push(entry),
                None => tracing::warn!("{}: not understood, and left to the version that wrote it", path.display()),
            }
        }
        Ok(entries)
    }

    /// Adds an entry, before what it is about is done. It is there in full, or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn put(&self, entry: &Undo) -> Result<()> {
        /// Another host that takes away the empty directory above cannot do so each time.
        const ATTEMPTS: usize = 100;
        let path = self.dir.join(entry.key());
        let object = || format!("entry {} of the undo log", path.display());
        let made = (0..ATTEMPTS).map(|_| fs::create_dir_all(&self.dir));
        let mut made = made.skip_while(|made| made.as_ref().is_err_and(|it| it.kind() == io::ErrorKind::NotFound));
        made.next().unwrap_or_else(|| Err(io::ErrorKind::NotFound.into())).doing("write", object())?;
        let unfinished = self.dir.join(UNFINISHED);
        let write = || {
            fs::write(&unfinished, format!("{HEADER}{}", entry.to_text()))?;
            fs::rename(&unfinished, &path)
        };
        write().map_err(|error| {
            self.tidy();
            let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
            let failure = Error::new(Kind::Failed, "write", object(), error.to_string()).caused_by(error);
            if full { failure.remedy("make room there: what cannot be noted is not changed") } else { failure }
        })
    }

    /// Removes an entry, after what it is about was undone; it may be absent. The last one takes the directory along.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub(super) fn remove(&self, entry: &Undo) -> Result<()> {
        let path = self.dir.join(entry.key());
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => result.doing("remove", path.display().to_string())?,
        }
        self.tidy();
        Ok(())
    }

    /// Removes the directory if nothing is in it, or nothing but what an interrupted command began.
    pub(super) fn tidy(&self) {
        if let Err(error) = fs::remove_file(self.dir.join(UNFINISHED)) {
            tracing::trace!("{UNFINISHED}: {error}");
        }
        for dir in [Some(self.dir.as_path()), self.dir.parent()].into_iter().flatten() {
            if let Err(error) = fs::remove_dir(dir) {
                // For what is not undone yet, here or at another host.
                tracing::trace!("{} stays: {error}", dir.display());
            }
        }
    }
}

fn boot() -> Result<String> {
    Ok(fs::read_to_string(BOOT).doing("read", BOOT)?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use fwd_dataplane::RunDir;

    fn entry(name: &str, cookie: u64) -> Undo {
        Undo::Netns { name: name.try_into().expect("a valid name"), cookie: Some(cookie) }
    }

    #[test]
    fn entries_are_found_until_they_are_removed_and_leave_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let context = HostContext::new(RunDir::new(dir.path().join("run")));
        let log = UndoLog::of(&context, 7).expect("/proc is mounted");
        assert_eq!(log.read(|_| true).expect("nothing"), []);
        let (a, b) = (entry("a", 1), entry("b", 2));
        for entry in [&a, &b, &b] {
            log.put(entry).expect("it is written");
        }
        assert_eq!(log.read(|key| key == b.key()).expect("readable"), std::slice::from_ref(&b));
        // An interrupted command, and a later version.
        fs::write(log.dir.join(UNFINISHED), "fwd-un").expect("a file");
        fs::write(log.dir.join("later-1"), "fwd-undo 1\nkind later\n").expect("a file");
        assert_eq!(log.read(|_| true).expect("readable").len(), 2);
        assert_eq!(UndoLog::of(&context, 8).expect("/proc is mounted").read(|_| true).expect("nothing"), []);
        fs::remove_file(log.dir.join("later-1")).expect("it is there");
        for entry in [&a, &b, &b] {
            log.remove(entry).expect("it is removed");
        }
        assert!(!log.dir.exists());
    }

    #[test]
    fn entries_of_a_former_run_of_the_machine_are_not_read_and_go() {
        let dir = tempfile::tempdir().expect("a directory");
        let context = HostContext::new(RunDir::new(dir.path()));
        let former = dir.path().join("undo-00000000-0000-0000-0000-000000000000");
        fs::create_dir_all(former.join("7")).expect("directories");
        let (old, new) = (entry("old", 1), entry("new", 2));
        fs::write(former.join("7").join(old.key()), format!("{HEADER}{}", old.to_text())).expect("a file");
        let log = UndoLog::of(&context, 7).expect("/proc is mounted");
        log.put(&new).expect("it is written");
        assert_eq!(log.read(|_| true).expect("readable"), [new]);
        assert_eq!(UndoLog::hosts(&context).expect("readable"), [7]);
        UndoLog::forget_former(&context).expect("it goes");
        assert!(!former.exists() && log.dir.exists());
    }
}
