//! The files of a namespace, /etc/netns/NAME, over their namesakes in /etc: in the mount namespace of a command.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::{DIRECTORY, Name, Netns, mounts::Mount};

/// One directory for each name.
const CONFIGURATION: &str = "/etc/netns";
const ETC: &str = "/etc";

const NOTHING: Option<&Path> = None;

/// A file or directory that lies over another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Binding {
    /// Of the namespace.
    pub(super) source: PathBuf,
    /// In /etc; what is bound is what a link there leads to.
    pub(super) target: PathBuf,
}

/// The name under which a namespace has files, however it was given: a namespace with several names has those of the first.
pub(super) fn name_of(netns: &Netns) -> Option<Name> {
    let inode = netns.inode().ok()?;
    let mut names: Vec<Name> = fs::read_dir(CONFIGURATION)
        .ok()?
        .flatten()
        .filter_map(|entry| Name::try_from(entry.file_name().to_str()?).ok())
        // A namespace's file has the namespace's inode; of other file systems the numbers are small.
        .filter(|name| fs::metadata(Path::new(DIRECTORY).join(name.as_str())).is_ok_and(|file| file.ino() == inode))
        .filter(|name| Netns::open_named(name).and_then(|named| named.is_same(netns)).unwrap_or(false))
        .collect();
    names.sort();
    names.into_iter().next()
}

/// Takes off what an outer `fwd exec` or `ip netns exec` laid over /etc: its namespace is not the one that counts.
pub(super) fn uncover(mounts: &[Mount]) {
    // The last mounted first.
    for Mount { point, .. } in mounts.iter().rev().filter(|mount| is_configuration(&mount.root)) {
        if let Err(errno) = umount2(point, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            tracing::debug!("{} stays as the outer command has it: {errno}", point.display());
        }
    }
}

/// Whether a mount shows an entry of /etc/netns/NAME; `root` is its path in the file system, which may be that of /etc alone.
fn is_configuration(root: &str) -> bool {
    let mut parts = root.trim_start_matches('/').rsplit('/');
    let (entry, name, netns, etc, above) = (parts.next(), parts.next(), parts.next(), parts.next(), parts.next());
    entry.is_some() && name.is_some() && netns == Some("netns") && matches!((etc, above), (None | Some("etc"), None))
}

/// Binds every file and directory of /etc/netns/NAME over the entry of /etc that has the same name. Returns what is bound.
///
/// What cannot be bound is reported and left out, as with `ip netns exec`: the command still runs.
pub(super) fn cover(name: &Name) -> Vec<Binding> {
    let from = Path::new(CONFIGURATION).join(name.as_str());
    let entries = match fs::read_dir(&from) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            tracing::warn!("{} is not used: {error}", from.display());
            return Vec::new();
        }
    };
    let mut bound = Vec::new();
    for entry in entries {
        let result = entry.and_then(|entry| {
            let binding = Binding { source: entry.path(), target: Path::new(ETC).join(entry.file_name()) };
            binding.make().map(|()| binding)
        });
        match result {
            Ok(binding) => bound.push(binding),
            Err(error) => tracing::warn!("an entry of {} is not used: {error}", from.display()),
        }
    }
    bound
}

impl Binding {
    fn make(&self) -> io::Result<()> {
        let Self { source, target } = self;
        mount(Some(source), target, NOTHING, MsFlags::MS_BIND, NOTHING).map_err(|errno| {
            io::Error::other(format!("{} over {}: {}", source.display(), target.display(), errno.desc()))
        })
    }

    /// Whether the source, as it is now, lies over the target.
    fn is_made(&self) -> bool {
        let identity = |path: &Path| fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
        identity(&self.source).is_some_and(|source| identity(&self.target) == Some(source))
    }

    /// Binds again what was taken off with the file under it. What cannot be done now may be at the next change.
    pub(super) fn renew(&self) {
        if self.source.exists() && !self.is_made() && self.make().is_ok() {
            tracing::debug!("{} is back over {}", self.source.display(), self.target.display());
        }
    }

    /// The directories whose changes may take it off: of the source, of the target, and of what a link there leads to.
    pub(super) fn directories(&self) -> impl Iterator<Item = PathBuf> {
        let end = fs::canonicalize(&self.target).ok();
        let paths = [Some(self.source.clone()), Some(self.target.clone()), end];
        paths.into_iter().flatten().filter_map(|path| path.parent().map(Path::to_owned))
    }
}

#[cfg(test)]
mod tests {
    use super::is_configuration;

    #[test]
    fn files_of_namespaces_are_told_by_their_paths() {
        for root in ["/etc/netns/blue/resolv.conf", "/netns/blue/hosts", "/etc/netns/a b/nsswitch.conf"] {
            assert!(is_configuration(root), "{root}");
        }
        for root in ["/", "/run/netns", "net:[4026531840]", "/etc/netns/blue", "/etc/resolv.conf", "/var/etc/netns/a/b"]
        {
            assert!(!is_configuration(root), "{root}");
        }
    }
}
