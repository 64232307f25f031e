//! The programs that ran before the last `reload`: one generation of them stays pinned, so that they can be brought back.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    Dataplane, bpf,
    load::{PROGRAMS, create::remove_dir},
};
use fwd_base::{Context as _, Result};

/// Below it a directory, named after the build that they are of.
const FORMER: &str = "progs-former";
/// What it is called until all of them are in it.
const PART: &str = "part";

/// What becomes of the programs that are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Former {
    /// They are kept, as those of this build, in place of those that were kept before.
    Keep(u64),
    /// They are not: those that were kept before stay.
    Leave,
    /// None are kept.
    Forget,
}

impl Dataplane {
    /// The build of the programs that a rollback brings back; none if none are kept.
    #[must_use]
    pub fn former(&self) -> Option<u64> {
        let (loaded, kept) = (self.config().ok()?.object, self.kept());
        let begun = self.interrupted().and_then(|it| it.former(loaded, &kept));
        begun.or_else(|| kept.into_iter().find(|build| *build != loaded)).or_else(|| self.former_build())
    }

    /// The builds whose programs are kept: one, or more where a command was interrupted.
    pub(crate) fn kept(&self) -> Vec<u64> {
        let entries = fs::read_dir(self.dir.join(FORMER)).into_iter().flatten().flatten();
        let build = |entry: fs::DirEntry| u64::from_str_radix(entry.file_name().to_str()?, 16).ok();
        entries.filter_map(build).collect()
    }

    /// Where the programs of a build are kept.
    pub(crate) fn former_dir(&self, build: u64) -> PathBuf {
        self.dir.join(FORMER).join(format!("{build:016x}"))
    }

    /// Does with the programs that are pinned, and about to be replaced, what is to become of them. What was kept before stays as well, so that
    /// an interrupted rollback can be completed; but for those of an object that nobody knows any more.
    pub(crate) fn retire(&self, former: Former) -> Result<()> {
        match former {
            Former::Keep(build) => self.keep(build),
            Former::Leave => Ok(()),
            Former::Forget => self.forget_former(),
        }
    }

    /// Complete under its name, or not there: whoever is interrupted leaves what was kept before.
    fn keep(&self, build: u64) -> Result<()> {
        let (part, kept) = (self.dir.join(FORMER).join(PART), self.former_dir(build));
        // An interrupted run has kept them: some may have been replaced since.
        if kept.exists() {
            return Ok(());
        }
        remove_dir(&part)?;
        fs::create_dir_all(&part).doing("create", part.display().to_string())?;
        pin_again(&self.dir.join(PROGRAMS), &part)?;
        fs::rename(&part, &kept).doing("rename", part.display().to_string())
    }

    /// Of what is kept, leaves one generation before that of the build `loaded`: the one that is kept in this turn, if it is another.
    pub(crate) fn release(&self, former: Former, loaded: u64) -> Result<()> {
        let replaced = match former {
            Former::Keep(build) => Some(build).filter(|build| *build != loaded),
            Former::Leave | Former::Forget => None,
        };
        let goes = |build: &u64| replaced.map_or(*build == loaded, |replaced| *build != replaced);
        self.kept().into_iter().filter(goes).try_for_each(|build| remove_dir(&self.former_dir(build)))?;
        replaced.map_or(Ok(()), |_| self.forget_former_version())
    }

    pub(crate) fn forget_former(&self) -> Result<()> {
        remove_dir(&self.dir.join(FORMER))?;
        self.forget_former_version()
    }
}

/// Pins everything that is pinned in a directory in another one as well; under which names.
pub(crate) fn pin_again(from: &Path, to: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(from).doing("list", from.display().to_string())? {
        let entry = entry.doing("list", from.display().to_string())?;
        let name = entry.file_name().into_string().map_err(|_| io::Error::other("a name of another's"));
        let name = name.doing("pin again", entry.path().display().to_string())?;
        bpf::pin_again(&entry.path(), &to.join(&name)).doing("pin again", entry.path().display().to_string())?;
        names.push(name);
    }
    Ok(names)
}
