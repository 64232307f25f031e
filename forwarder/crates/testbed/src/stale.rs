//! Removing a testbed, also one whose process was killed.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    sync::Once,
};

use nix::mount::{MntFlags, umount2};

use super::{FAMILY, cgroup, namespace, run_dir};
use fwd_base::{Context, Result};
use fwd_kernel::netns;

/// Where `ip netns exec` looks for files that replace those of /etc.
const ETC_NETNS: &str = "/etc/netns";

/// Removes what processes that are gone left behind, the first time that it is called in this process.
pub(super) fn once() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| match remove_stale(FAMILY) {
        Ok(removed) if removed.is_empty() => {}
        Ok(removed) => tracing::info!("removed leftovers of killed runs: {}", removed.join(", ")),
        Err(error) => tracing::warn!("{error}"),
    });
}

/// Removes the testbeds `FAMILY<pid>x<number>` whose process is gone, and returns their prefixes.
///
/// # Errors
/// A directory cannot be read. What cannot be removed is logged.
pub fn remove_stale(family: &str) -> Result<Vec<String>> {
    let mut found: Vec<String> = netns::named()?.iter().map(ToString::to_string).collect();
    found.extend(entries(Path::new(ETC_NETNS))?);
    let run_dirs = entries(Path::new("/run"))?;
    found.extend(run_dirs.iter().filter_map(|name| name.strip_prefix("fwd-")).map(String::from));
    if let Some(root) = fwd_kernel::cgroup::root()? {
        let cgroups = entries(&root)?;
        found.extend(cgroups.iter().filter_map(|name| name.strip_prefix(cgroup::NAME)).map(String::from));
    }
    let stale: BTreeSet<_> = found.iter().filter_map(|name| stale_prefix(name, family)).collect();
    stale.iter().for_each(|prefix| remove(prefix));
    Ok(stale.into_iter().map(String::from).collect())
}

/// Removes everything named after a testbed. Goes on after failures, which it logs.
pub(super) fn remove(prefix: &str) {
    let belongs = |name: &str| name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('-'));
    match netns::named() {
        Ok(names) => names.iter().filter(|name| belongs(name.as_ref())).for_each(namespace::delete),
        Err(error) => tracing::warn!("{error}"),
    }
    let run_dir = run_dir(prefix);
    log(unmount_below(&run_dir));
    log(remove_dir(&run_dir));
    log(cgroup::remove(prefix));
    match entries(Path::new(ETC_NETNS)) {
        Ok(names) => {
            names
                .iter()
                .filter(|name| belongs(name))
                .for_each(|name| log(remove_dir(&Path::new(ETC_NETNS).join(name))));
        }
        Err(error) => tracing::warn!("{error}"),
    }
}

/// The prefix in a name of a testbed, if the testbed's process is gone.
fn stale_prefix<'a>(name: &'a str, family: &str) -> Option<&'a str> {
    let (pid, rest) = name.strip_prefix(family)?.split_once('x')?;
    let pid: u32 = pid.parse().ok()?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let ends = rest[digits..].is_empty() || rest[digits..].starts_with('-');
    let gone = !Path::new("/proc").join(pid.to_string()).exists();
    (digits > 0 && ends && gone).then(|| &name[..name.len() - rest.len() + digits])
}

/// Names in a directory, none if it is absent.
fn entries(directory: &Path) -> Result<Vec<String>> {
    match fs::read_dir(directory) {
        Ok(entries) => Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).doing("list", directory.display().to_string()),
    }
}

/// Unmounts what is mounted in a directory, the innermost first.
fn unmount_below(directory: &Path) -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").doing("read", "/proc/self/mountinfo")?;
    // proc_pid_mountinfo(5): the fifth field is the mount point.
    let mut points: Vec<_> = mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from).collect();
    points.retain(|point| point.starts_with(directory));
    for point in points.iter().rev() {
        umount2(point, MntFlags::MNT_DETACH).doing("unmount", point.display().to_string())?;
    }
    Ok(())
}

fn remove_dir(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).doing("remove", directory.display().to_string())
        }
        _ => Ok(()),
    }
}

fn log(result: Result<()>) {
    if let Err(error) = result {
        tracing::warn!("{error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stale_testbeds_are_told_by_the_process_in_their_name() {
        let own = std::process::id();
        // Above pid_max of 64-bit kernels (4194304).
        assert_eq!(stale_prefix("fwdt9999999x3-host", "fwdt"), Some("fwdt9999999x3"));
        assert_eq!(stale_prefix("fwdt9999999x12", "fwdt"), Some("fwdt9999999x12"));
        for other in [&format!("fwdt{own}x0-host"), "fwdt9999999-host", "fwdt9999999x-host", "fwdt9999999x1a", "mynet"]
        {
            assert_eq!(stale_prefix(other, "fwdt"), None, "{other}");
        }
    }
}
