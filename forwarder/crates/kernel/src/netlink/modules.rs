//! Whether asking the kernel for something would load a module for it.

use std::fs;

/// Whether one of these modules is loaded or a part of the kernel: otherwise nobody has made anything that they hold.
///
/// Where that cannot be told they may be.
#[must_use]
pub fn may_be_used(names: &[&str]) -> bool {
    // A kernel without modules has no such file.
    let Ok(loaded) = fs::read_to_string("/proc/modules") else { return true };
    let is_loaded = |name: &&str| loaded.lines().any(|line| line.split(' ').next() == Some(name));
    names.iter().any(is_loaded) || is_built_in(names).unwrap_or(true)
}

/// None if it cannot be told.
fn is_built_in(names: &[&str]) -> Option<bool> {
    let release = nix::sys::utsname::uname().ok()?;
    let path = format!("/lib/modules/{}/modules.builtin", release.release().to_str()?);
    let list = fs::read_to_string(path).ok()?;
    let file =
        |line: &str| line.rsplit('/').next().unwrap_or_default().split('.').next().unwrap_or_default().to_owned();
    Some(list.lines().any(|line| names.contains(&file(line).as_str())))
}
