//! Whether a mount made here outlives the command: mount namespaces that end with it are told apart.
//!
//! `ip netns exec` runs its command in a mount namespace of its own. A bpffs or a name under /run/netns that is mounted
//! there disappears when the command ends, and with it everything it held.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

use nix::{
    fcntl::{OFlag, open},
    sys::stat::Mode,
    unistd::getppid,
};

use super::{DIRECTORY, Name, Netns, failed, named};
use fwd_base::{Error, Kind, Result, text::option};

/// Source of the sysfs that `fwd exec` mounts where the namespace has no name; with a name it is the name, as with
/// iproute2.
pub(super) const EXEC_SOURCE: &str = "fwd-exec";

const MOUNTINFO: &str = "/proc/thread-self/mountinfo";

/// One line of /proc/PID/mountinfo (proc_pid_mountinfo(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(super) id: u64,
    /// The directory or file of its file system that is mounted: `net:[4026531840]` for a namespace.
    pub(crate) root: String,
    pub(crate) point: PathBuf,
    /// It receives mounts from a peer group (`master:`), and its own mounts stay here (no `shared:`).
    pub(super) slave: bool,
    pub(crate) filesystem: String,
    pub(super) source: String,
}

/// The mounts that the calling thread sees.
pub(crate) fn all() -> Result<Vec<Mount>> {
    // Mount points are bytes, not text; those that are no UTF-8 are none that this module looks for.
    let text = fs::read(MOUNTINFO).map_err(|error| failed("read", MOUNTINFO, error))?;
    Ok(String::from_utf8_lossy(&text).lines().filter_map(parse).collect())
}

/// One line of mountinfo; `None` if it has another form.
fn parse(line: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ');
    let id = left.next()?.parse().ok()?;
    let root = unescape(left.nth(2)?);
    let point = PathBuf::from(unescape(left.next()?));
    let tags: Vec<&str> = left.skip(1).collect();
    let tagged = |what: &str| tags.iter().any(|tag| tag.starts_with(what));
    let slave = tagged("master:") && !tagged("shared:");
    let mut right = right.split(' ');
    let filesystem = unescape(right.next()?);
    let source = unescape(right.next()?);
    Some(Mount { id, root, point, slave, filesystem, source })
}

/// Undoes the escapes of mountinfo: `\040` is a blank.
fn unescape(field: &str) -> String {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let [first, more @ ..] = rest {
        rest = more;
        let octal = more.get(..3).and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 8).ok());
        match octal {
            Some(byte) if *first == b'\\' => {
                bytes.push(byte);
                rest = &more[3..];
            }
            _ => bytes.push(*first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Why a mount on `dir` would not outlive this command, as a ready-made refusal; `None` if it would.
///
/// `dir` need not exist. These are refused: a mount namespace that no other process shares (`ip netns exec NAME fwd …`,
/// `unshare -m fwd …`), and one whose mounts are slaves or that `ip netns exec` or `fwd exec` made (a shell started by them). A
/// shell started by `unshare -m` is none: its mounts are private and live as long as it does. Nor is what `nsenter -m` enters, nor
/// a service of systemd with a mount namespace of its own (`PrivateTmp=` and others), whose mounts are slaves, but shared again:
/// they live as long as its processes.
///
/// # Errors
/// If /proc is not mounted or `dir` cannot be examined.
pub fn is_temporary(dir: &Path) -> Result<Option<Error>> {
    let sought = [covering(dir)?, covering(Path::new("/sys"))?];
    let [covering, sysfs] = find(sought)?;
    let is_name = |source: &str| Path::new(DIRECTORY).join(source).symlink_metadata().is_ok();
    let why = reason(is_alone, covering.as_ref(), sysfs.as_ref(), is_name);
    Ok(why.map(|why| refusal(dir, &why)))
}

/// The mounts with these ids. They are listed with those of the names of namespaces, of which there may be thousands, after the
/// older ones: what is not needed is not read.
fn find(sought: [Option<u64>; 2]) -> Result<[Option<Mount>; 2]> {
    let file = fs::File::open(MOUNTINFO).map_err(|error| failed("read", MOUNTINFO, error))?;
    let mut found = [None, None];
    for line in BufReader::new(file).split(b'\n') {
        let line = line.map_err(|error| failed("read", MOUNTINFO, error))?;
        let Some(mount) = parse(&String::from_utf8_lossy(&line)) else { continue };
        for (place, _) in found.iter_mut().zip(sought).filter(|(_, id)| *id == Some(mount.id)) {
            *place = Some(mount.clone());
        }
        if found.iter().zip(sought).all(|(found, sought)| found.is_some() || sought.is_none()) {
            break;
        }
    }
    Ok(found)
}

/// The rules of [`is_temporary`].
fn reason(
    is_alone: impl FnOnce() -> bool,
    covering: Option<&Mount>,
    sysfs: Option<&Mount>,
    is_name: impl Fn(&str) -> bool,
) -> Option<String> {
    // A namespace may be called `sysfs`, as the source usually is.
    let is_telling = |source: &str| source != "sysfs" && is_name(source);
    let made_by_exec =
        |mount: &Mount| mount.filesystem == "sysfs" && (mount.source == EXEC_SOURCE || is_telling(&mount.source));
    if is_alone() {
        Some("it would be mounted in a mount namespace that ends with this command, as under `ip netns exec`".into())
    } else if let Some(Mount { point, .. }) = covering.filter(|mount| mount.slave) {
        let point = point.display();
        Some(format!("the mount namespace is a temporary one: {point} is a slave mount, as under `ip netns exec`"))
    } else if sysfs.is_some_and(made_by_exec) {
        Some("the mount namespace is a temporary one, made by `ip netns exec` or `fwd exec`".into())
    } else {
        None
    }
}

fn refusal(dir: &Path, why: &str) -> Error {
    let error = Error::new(Kind::Unsupported, "keep a mount under", dir.display().to_string(), why);
    error.remedy(match current_name() {
        Some(name) => {
            let host = option("--host-netns", name.as_str());
            format!("run it outside, on behalf of that namespace: `fwd {host} …`")
        }
        None => {
            "run it where mounts last: `nsenter -t 1 -m fwd …`, or, on behalf of a namespace, `fwd --host-netns NAME …`"
                .into()
        }
    })
}

/// The name of the caller's network namespace, if it has one.
fn current_name() -> Option<Name> {
    let current = Netns::current().ok()?;
    let is_current = |name: &Name| Netns::open_named(name).and_then(|named| named.is_same(&current)).unwrap_or(false);
    named().ok()?.into_iter().find(is_current)
}

/// Whether no other process is known to share this one's mount namespace, as that of a single command.
///
/// Asked first is the parent, which nearly always does; one that cannot be examined (outside of the PID namespace, as with `docker
/// exec`) counts as doing so. Children of this process there are none.
fn is_alone() -> bool {
    let of = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt"));
    let (Ok(ours), Ok(parents)) = (of("thread-self"), of(&getppid().to_string())) else { return false };
    if ours == parents {
        return false;
    }
    let own = std::process::id().to_string();
    let Ok(entries) = fs::read_dir("/proc") else { return true };
    let mut others = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    !others.any(|pid| pid != own && pid.parse::<u32>().is_ok() && of(&pid).is_ok_and(|theirs| theirs == ours))
}

/// The id of the mount on which `dir`, or its nearest ancestor that exists, lies.
fn covering(dir: &Path) -> Result<Option<u64>> {
    for ancestor in dir.ancestors() {
        let ancestor = if ancestor.as_os_str().is_empty() { Path::new(".") } else { ancestor };
        match open(ancestor, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()) {
            Ok(opened) => {
                return mount_id(&opened);
            }
            Err(nix::Error::ENOENT) => {}
            Err(errno) => return Err(failed("examine", ancestor.display().to_string(), errno)),
        }
    }
    Ok(None)
}

/// The id of the mount that an open file belongs to: unlike its path, it is right for mounts over each other too.
fn mount_id(opened: &OwnedFd) -> Result<Option<u64>> {
    let path = format!("/proc/thread-self/fdinfo/{}", opened.as_raw_fd());
    let text = fs::read_to_string(&path).map_err(|error| failed("read", path, error))?;
    Ok(text.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard";
    const SHARED: &str = "30 27 0:26 / /run rw,nosuid shared:5 - tmpfs tmpfs rw";
    const SLAVE: &str = "90 80 0:26 / /run rw,nosuid master:5 propagate_from:2 - tmpfs tmpfs rw";
    const SERVICE: &str = "90 80 0:26 / /run rw,nosuid shared:9 master:5 - tmpfs tmpfs rw";
    const NAMED: &str = "91 90 0:4 net:[4026532000] /run/netns/a\\040b rw shared:7 - nsfs nsfs rw";
    const SYSFS: &str = "23 27 0:22 / /sys rw,relatime - sysfs sysfs rw";
    const EXEC_SYSFS: &str = "92 90 0:30 / /sys rw,relatime - sysfs blue rw";

    fn mount(line: &str) -> Mount {
        parse(line).expect("a line of mountinfo")
    }

    #[track_caller]
    fn temporary(is_alone: bool, covering: &str, sysfs: &str, names: &[&str]) -> bool {
        let is_name = |source: &str| names.contains(&source);
        reason(|| is_alone, Some(&mount(covering)), Some(&mount(sysfs)), is_name).is_some()
    }

    #[test]
    fn mountinfo_is_read() {
        let named = mount(NAMED);
        assert_eq!(named.id, 91);
        assert_eq!(named.root, "net:[4026532000]");
        assert_eq!(named.point, Path::new("/run/netns/a b"));
        assert_eq!((named.filesystem.as_str(), named.source.as_str()), ("nsfs", "nsfs"));
        assert_eq!([ROOT, SHARED, SLAVE, SERVICE].map(|line| mount(line).slave), [false, false, true, false]);
        assert_eq!(parse("nonsense"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn escapes_are_undone_and_lone_backslashes_kept() {
        assert_eq!(unescape(r"a\040b\134\011"), "a b\\\t");
        assert_eq!(unescape(r"\"), r"\");
        assert_eq!(unescape(r"a\04"), r"a\04");
        assert_eq!(unescape(r"\999x"), r"\999x");
        assert_eq!(unescape("ä"), "ä");
    }

    #[test]
    fn the_hosts_own_mount_namespace_is_lasting() {
        assert!(!temporary(false, ROOT, SYSFS, &["blue"]));
        assert!(!temporary(false, SHARED, SYSFS, &["blue"]));
        assert!(!temporary(false, SHARED, SYSFS, &["sysfs"]), "a namespace of that name");
    }

    #[test]
    fn that_of_a_service_lasts_as_long_as_the_service() {
        assert!(!temporary(false, SERVICE, SYSFS, &["blue"]));
        assert!(temporary(true, SERVICE, SYSFS, &["blue"]), "it has no other process");
    }

    #[test]
    fn what_ip_netns_exec_makes_is_temporary() {
        assert!(temporary(true, ROOT, SYSFS, &[]), "nobody else is in it");
        assert!(temporary(false, SLAVE, SYSFS, &[]), "a shell inside, the host's mounts are shared");
        assert!(temporary(false, ROOT, EXEC_SYSFS, &["blue"]), "a shell inside, the host's mounts are private");
        assert!(!temporary(false, ROOT, EXEC_SYSFS, &["red"]), "some other source");
    }

    #[test]
    fn the_mount_of_a_directory_is_found_through_missing_parts() {
        let proc = covering(Path::new("/proc/no/such/directory")).expect("/proc exists");
        let here = covering(Path::new("no-such-file")).expect("the working directory exists");
        let [proc, here] = find([proc, here]).expect("/proc is mounted");
        assert_eq!(proc.map(|mount| mount.point), Some(PathBuf::from("/proc")));
        assert!(here.is_some());
        assert_eq!(find([None, None]).expect("/proc is mounted"), [None, None]);
    }

    #[test]
    fn the_refusal_names_directory_and_remedy() {
        let error = refusal(Path::new("/run/fwd"), "so");
        assert_eq!(error.kind, Kind::Unsupported);
        assert!(error.to_string().contains("/run/fwd"));
        assert!(
            error.remedy.is_some_and(|remedy| remedy.contains("--host-netns") && remedy.contains("nsenter -t 1 -m"))
        );
    }
}
