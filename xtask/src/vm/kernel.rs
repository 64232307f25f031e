//! Kernels as Debian builds them.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use super::programs::Programs;
use crate::arch::{Arch, apt::Apt};
use crate::workspace::{Workspace, run as run_command};

/// A kernel as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The newest of a series, as `6.12`.
    Series(String),
    /// The newest of all that Debian has.
    Newest,
}

impl std::fmt::Display for Wanted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Series(series) => f.write_str(series),
            Self::Newest => f.write_str("newest"),
        }
    }
}

impl std::str::FromStr for Wanted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        match text.split_once('.') {
            _ if text == "newest" => Ok(Self::Newest),
            Some((major, minor)) if is_number(major) && is_number(minor) => Ok(Self::Series(text.to_owned())),
            _ => Err("a kernel is a series, as 6.12, or newest".to_owned()),
        }
    }
}

/// A kernel that can be booted.
#[derive(Debug)]
pub(super) struct Kernel {
    /// As `uname -r` says.
    pub(super) release: String,
    /// The version of its package.
    pub(super) version: String,
    /// The file that is booted.
    pub(super) image: PathBuf,
    /// The directory of its modules, with what depends on what in `modules.dep`.
    pub(super) modules: PathBuf,
}

impl Kernel {
    /// Finds a kernel among Debian's, and unpacks it below `directory` if it is not there yet.
    pub(super) fn get(
        workspace: &Workspace,
        apt: &Apt<'_>,
        programs: &Programs,
        (arch, wanted): (Arch, &Wanted),
        directory: &Path,
    ) -> Result<Self> {
        let packages = apt.names(&format!("^linux-image-[0-9][^-]*(-[0-9]+)?-{arch}$"))?;
        let package = choose(&packages, wanted)?;
        let (version, depends) = apt.show(package)?;
        let release = package.trim_start_matches("linux-image-").to_owned();
        let root = directory.join(&release);
        let found =
            |at: &[&str]| at.iter().map(|path| root.join(path.replace('@', &release))).find(|path| path.exists());
        if !root.exists() {
            // Image and modules are packages of their own since 7.0.
            let parts = depends.iter().filter(|name| name.ends_with(&release) && !name.starts_with("linux-base"));
            let packages: Vec<&str> = std::iter::once(package).chain(parts.map(String::as_str)).collect();
            apt.unpack(&packages, &root)?;
        }
        let image = found(&["boot/vmlinuz-@", "usr/lib/modules/@/vmlinuz"]).context("the package has no kernel")?;
        let modules = found(&["usr/lib/modules/@", "lib/modules/@"]).context("the package has no modules")?;
        if !modules.join("modules.dep").exists() {
            let base = modules.ancestors().nth(3).context("modules lie in lib/modules")?;
            run_command(programs.busybox(workspace).arg("depmod").arg("-b").arg(base).arg(&release))?;
        }
        Ok(Self { release, version, image, modules })
    }

    /// The files of these modules and of those that they depend on, from the directory of the modules. What is built in has none.
    pub(super) fn files_of(&self, names: &[&str]) -> Result<Vec<String>> {
        let path = self.modules.join("modules.dep");
        let dependencies = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(closure(&dependencies, names))
    }
}

/// The package that is wanted: of those that fit, the newest.
fn choose<'a>(packages: &'a [String], wanted: &Wanted) -> Result<&'a str> {
    let fits = |package: &&String| match wanted {
        Wanted::Newest => true,
        Wanted::Series(series) => package_series(package) == *series,
    };
    let Some(newest) = packages.iter().filter(fits).max_by_key(|package| numbers(package)) else {
        let mut there: Vec<_> = packages.iter().map(|package| package_series(package)).collect();
        there.sort_by_key(|series| numbers(series));
        there.dedup();
        bail!("Debian has no such kernel: {wanted} is not among {}", there.join(", "));
    };
    Ok(newest)
}

/// `6.12` of `linux-image-6.12.94+deb13-amd64`.
fn package_series(package: &str) -> String {
    numbers(package).iter().take(2).map(u64::to_string).collect::<Vec<_>>().join(".")
}

/// The numbers in a version, by which versions are in order.
fn numbers(text: &str) -> Vec<u64> {
    let version = text.trim_end_matches("-amd64").trim_end_matches("-arm64");
    version.split(|character: char| !character.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

/// Files of modules and of their dependencies, by the lines `FILE: DEPENDENCY …` of a `modules.dep`, which name all of them.
fn closure(dependencies: &str, names: &[&str]) -> Vec<String> {
    let is_wanted = |file: &str| {
        let name = file.rsplit('/').next().and_then(|name| name.split('.').next());
        name.is_some_and(|name| names.contains(&name.replace('-', "_").as_str()))
    };
    let lines = dependencies.lines().filter_map(|line| line.split_once(':')).filter(|(file, _)| is_wanted(file));
    let mut files: Vec<String> = lines
        .flat_map(|(file, others)| std::iter::once(file).chain(others.split_whitespace()))
        .map(str::to_owned)
        .collect();
    files.sort();
    files.dedup();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packages() -> Vec<String> {
        ["6.1.0-47-amd64", "6.1.0-50-amd64", "6.12.9+deb12-amd64", "6.12.107+deb13-amd64", "6.19.14+deb13-amd64"]
            .map(|release| format!("linux-image-{release}"))
            .to_vec()
    }

    #[test]
    fn newest_of_a_series_is_chosen_by_its_numbers() {
        let packages = packages();
        let chosen = |wanted: &str| choose(&packages, &wanted.parse().unwrap()).map(str::to_owned);
        assert_eq!(chosen("6.1").unwrap(), "linux-image-6.1.0-50-amd64");
        assert_eq!(chosen("6.12").unwrap(), "linux-image-6.12.107+deb13-amd64");
        assert_eq!(chosen("newest").unwrap(), "linux-image-6.19.14+deb13-amd64");
        assert!(chosen("6.6").unwrap_err().to_string().contains("6.1, 6.12, 6.19"));
    }

    #[test]
    fn kernels_are_named_by_series() {
        for text in ["6", "6.", "six", "6.12.9", ""] {
            assert!(text.parse::<Wanted>().is_err(), "{text}");
        }
    }

    #[test]
    fn modules_come_with_those_that_they_depend_on() {
        let dependencies = "kernel/fs/9p/9p.ko.xz: kernel/net/9p/9pnet.ko.xz kernel/fs/netfs/netfs.ko.xz\n\
                            kernel/net/9p/9pnet.ko.xz:\nkernel/net/nf-tables.ko: kernel/net/9p/9pnet.ko.xz\n";
        assert_eq!(
            closure(dependencies, &["9p", "built_in"]),
            ["kernel/fs/9p/9p.ko.xz", "kernel/fs/netfs/netfs.ko.xz", "kernel/net/9p/9pnet.ko.xz"]
        );
        assert_eq!(closure(dependencies, &["nf_tables"]).len(), 2);
    }
}
