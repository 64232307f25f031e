//! Where `fwd` keeps its pins, its locks and the undo logs.

use std::{
    collections::VecDeque,
    fs, io,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{DirBuilderExt as _, MetadataExt as _, lchown},
    },
    path::{Component, Path, PathBuf},
};

use forwarder_common::abi::ABI_VERSION;

use fwd_base::{Context as _, Error, Kind, Result, hash::fnv};

/// The directory of everything that outlives a command: `/run/fwd` unless `--run-dir` or `FWD_RUN_DIR` says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunDir(PathBuf);

impl RunDir {
    /// `/run/fwd`.
    pub const DEFAULT: &'static str = "/run/fwd";

    /// A directory of the user's choice; created when it is needed.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// A directory of the user's choice, as far as it exists: nobody else can put anything in its place or into it.
    ///
    /// # Errors
    /// It is no directory, or a path on which others have a say.
    pub fn checked(path: &Path) -> Result<Self> {
        let (resolved, _) = resolved(path)?;
        Ok(Self(resolved))
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Tells what belongs to this run directory from what belongs to another one of the same host: a number that is never 0. It follows
    /// from path and file system, so that it is the same when the directory was lost.
    ///
    /// # Errors
    /// As [`checked`](Self::checked).
    pub fn owner(&self) -> Result<u32> {
        let (path, device) = resolved(&self.0)?;
        let hash = fnv(device.to_le_bytes().into_iter().chain(path.as_os_str().as_bytes().iter().copied()));
        Ok(((hash >> 32) as u32).max(1))
    }

    /// Where the bpffs is mounted.
    #[must_use]
    pub fn bpffs(&self) -> PathBuf {
        self.0.join("bpf")
    }

    /// The pins of the host namespace with `cookie`, those of other versions of `fwd` among them.
    #[must_use]
    pub fn host(&self, cookie: u64) -> PathBuf {
        self.bpffs().join(cookie.to_string())
    }

    /// The pins of this version: each layout of the maps has a directory of its own.
    #[must_use]
    pub fn of(&self, cookie: u64) -> PathBuf {
        self.host(cookie).join(ABI_VERSION.to_string())
    }

    /// The undo logs of the hosts since the machine was started with this boot id.
    #[must_use]
    pub fn undo(&self, boot: &str) -> PathBuf {
        self.0.join(format!("undo-{boot}"))
    }

    /// The queue before the lock of the host namespace with `cookie`.
    #[must_use]
    pub fn lock(&self, cookie: u64) -> PathBuf {
        self.0.join(format!("{cookie}.lock"))
    }

    /// Where the name server of the host namespace with `cookie` listens to commands.
    #[must_use]
    pub fn name_server(&self, cookie: u64) -> PathBuf {
        self.0.join(format!("{cookie}.dns"))
    }

    /// Creates the directory, readable by root only, and checks that it belongs to us.
    ///
    /// # Errors
    /// It cannot be created, or is not ours alone.
    pub(crate) fn create(&self) -> Result<()> {
        make_private(&self.0)?;
        resolved(&self.0).map(drop)
    }
}

impl Default for RunDir {
    fn default() -> Self {
        Self::new(Self::DEFAULT)
    }
}

/// Creates a directory, readable by root only.
pub(crate) fn make_private(dir: &Path) -> Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
    match made {
        // The last command of another takes away what it leaves empty, here between a parent and its child.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        made => made.doing("create", format!("run directory {}", dir.display()))?,
    }
    give_to_root(dir)
}

/// A user who makes the directory with capabilities gives it to root: the next may be another, and root trusts nobody else's. Who may
/// not give it away keeps it for himself.
fn give_to_root(dir: &Path) -> Result<()> {
    let ours = nix::unistd::geteuid().as_raw();
    let object = || format!("run directory {}", dir.display());
    match fs::symlink_metadata(dir) {
        Ok(metadata) if ours != 0 && metadata.uid() == ours => {}
        _ => return Ok(()),
    }
    match lchown(dir, Some(0), Some(0)) {
        Err(error) if error.kind() != io::ErrorKind::PermissionDenied => Err(error).doing("give to root", object()),
        _ => Ok(()),
    }
}

/// As many symbolic links as the kernel follows (`MAXSYMLINKS`).
const MOST_LINKS: usize = 40;
/// Others may write.
const OTHERS_WRITE: u32 = 0o022;
/// Others may not rename or remove what is not theirs.
const STICKY: u32 = 0o1000;

/// The path without symbolic links, as far as it exists, and the number of its file system. Each step belongs to root or to us, so
/// that nobody can lead it elsewhere, and the directory at its end is ours alone.
fn resolved(path: &Path) -> Result<(PathBuf, u64)> {
    let absolute = std::path::absolute(path).doing("use", object(path))?;
    let mut rest: VecDeque<PathBuf> = steps(&absolute).collect();
    let (mut current, mut links) = (PathBuf::from("/"), 0);
    let mut device = fs::metadata(&current).doing("examine", object(path))?.dev();
    while let Some(step) = rest.pop_front() {
        if step.as_os_str() == ".." {
            current.pop();
            continue;
        }
        let next = current.join(&step);
        let metadata = match fs::symlink_metadata(&next) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                current = next;
                rest.iter().for_each(|step| match step.as_os_str() == ".." {
                    true => drop(current.pop()),
                    false => current.push(step),
                });
                break;
            }
            metadata => metadata.doing("examine", object(path))?,
        };
        check_owner(path, &next, &metadata)?;
        if metadata.is_symlink() {
            links += 1;
            if links > MOST_LINKS {
                return Err(refused(path, "it has too many symbolic links"));
            }
            let target = fs::read_link(&next).doing("read", next.display().to_string())?;
            if target.is_absolute() {
                current = PathBuf::from("/");
            }
            steps(&target).collect::<Vec<_>>().into_iter().rev().for_each(|step| rest.push_front(step));
        } else if metadata.is_dir() {
            check_mode(path, &next, metadata.mode(), rest.is_empty())?;
            (current, device) = (next, metadata.dev());
        } else {
            return Err(refused(path, &format!("{} is no directory", next.display())));
        }
    }
    Ok((current, device))
}

fn steps(path: &Path) -> impl Iterator<Item = PathBuf> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.into()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

fn check_owner(path: &Path, step: &Path, metadata: &fs::Metadata) -> Result<()> {
    let ours = nix::unistd::geteuid().as_raw();
    match metadata.uid() {
        0 => Ok(()),
        uid if uid == ours => Ok(()),
        uid => Err(refused(path, &format!("{} belongs to another user ({uid})", step.display()))),
    }
}

/// In a directory with the sticky bit, as /tmp, others may write, but not touch what is ours; the run directory itself nobody may.
fn check_mode(path: &Path, step: &Path, mode: u32, last: bool) -> Result<()> {
    if mode & OTHERS_WRITE == 0 || (mode & STICKY != 0 && !last) {
        return Ok(());
    }
    Err(refused(path, &format!("others may write in {} (mode {:o})", step.display(), mode & 0o7777)))
}

fn refused(path: &Path, why: &str) -> Error {
    Error::new(Kind::Failed, "use", object(path), why)
        .remedy("choose a directory of root's, in directories of root's, with --run-dir")
}

fn object(path: &Path) -> String {
    format!("run directory {}", path.display())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
    }

    #[track_caller]
    fn refuses(path: &Path, why: &str) {
        let error = RunDir::checked(path).expect_err("others have a say");
        assert!(error.why.contains(why) && error.remedy.is_some(), "{error}");
    }

    #[test]
    fn links_and_missing_parts_are_followed() {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().canonicalize().expect("it exists");
        fs::create_dir(root.join("a")).expect("a directory");
        symlink("a/../a", root.join("link")).expect("a link");
        let checked = RunDir::checked(&root.join("link/./x/y")).expect("it is ours");
        assert_eq!(checked.path(), root.join("a/x/y"));
        // The same, however it is called, and whether or not it is there.
        let owner = RunDir::new(root.join("link/x/y")).owner().expect("it is ours");
        assert_eq!(checked.owner().expect("it is ours"), owner);
        fs::create_dir_all(root.join("a/x/y")).expect("directories");
        assert_eq!(checked.owner().expect("it is ours"), owner);
        assert_ne!(RunDir::new(root.join("a/x")).owner().expect("it is ours"), owner);
    }

    #[test]
    fn paths_that_others_can_change_are_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().canonicalize().expect("it exists");
        let open = root.join("open");
        fs::create_dir_all(open.join("run")).expect("directories");
        for others in [0o777, 0o775, 0o757] {
            mode(&open, others);
            refuses(&open.join("run"), "others may write");
            refuses(&open.join("not/yet"), "others may write");
            refuses(&open, "others may write");
        }
        mode(&open, 0o1777);
        assert!(RunDir::checked(&open.join("run")).is_ok(), "as below /tmp");
        refuses(&open, "others may write");
        mode(&open, 0o755);
        assert!(RunDir::checked(&open).is_ok());
        fs::write(root.join("file"), "").expect("a file");
        refuses(&root.join("file"), "no directory");
        refuses(&root.join("file/run"), "no directory");
        symlink("loop", root.join("loop")).expect("a link");
        refuses(&root.join("loop"), "too many");
    }
}
