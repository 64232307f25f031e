//! Packages of Debian, of whatever suite, unpacked below the target directory: nothing of them is installed.
//!
//! They come by apt from the mirror that this machine has configured, with lists and a state of their own.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, Result, bail};

use super::Arch;
use crate::{
    progress,
    workspace::{Workspace, capture, run as run_command},
};

/// The suites that kernels are taken from. One that the mirror does not have is no fault as long as another has the kernel.
const SUITES: [&str; 5] = ["bookworm", "bookworm-backports", "trixie", "trixie-backports", "sid"];
/// The suite of everything else.
const SUITE_OF_PROGRAMS: &str = "trixie";
/// Who has signed them.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// How old lists of packages may be.
const FRESH: Duration = Duration::from_secs(24 * 3600);

/// Apt with a state of its own.
pub(crate) struct Apt<'a> {
    workspace: &'a Workspace,
    directory: PathBuf,
    arch: Arch,
}

impl<'a> Apt<'a> {
    /// Reads the lists of packages for a processor, where those that are there are old.
    pub(crate) fn at(workspace: &'a Workspace, arch: Arch) -> Result<Self> {
        let directory = workspace.target.join(format!("debian/apt-{arch}"));
        let apt = Self { workspace, directory, arch };
        let read = apt.directory.join("read");
        let age = fs::metadata(&read).and_then(|file| file.modified()).ok();
        let is_fresh = age.and_then(|at| SystemTime::now().duration_since(at).ok()).is_some_and(|age| age < FRESH);
        if !is_fresh {
            apt.configure()?;
            progress::run("reading Debian's lists of packages", apt.command("apt-get").arg("update"))?;
            run_command(workspace.as_builder("touch").arg(&read))?;
        }
        Ok(apt)
    }

    /// The names of all packages that match a regular expression.
    pub(crate) fn names(&self, pattern: &str) -> Result<Vec<String>> {
        let found = capture(self.command("apt-cache").args(["search", "--names-only", pattern]))?;
        Ok(found.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
    }

    /// The version of a package and the names of those that it depends on.
    pub(crate) fn show(&self, package: &str) -> Result<(String, Vec<String>)> {
        let shown = capture(self.command("apt-cache").args(["show", "--no-all-versions", package]))?;
        let field = |name: &str| shown.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
        let depends = field("Depends:").split([',', '|']).filter_map(|one| one.split_whitespace().next());
        Ok((field("Version:").to_owned(), depends.map(str::to_owned).collect()))
    }

    /// Unpacks these packages alone into `root`.
    pub(crate) fn unpack(&self, packages: &[&str], root: &Path) -> Result<()> {
        let debs = self.directory.join("debs");
        self.empty(&debs)?;
        let mut download = self.command("apt-get");
        download.arg("download").args(packages).current_dir(&debs);
        progress::run(&format!("downloading {}", packages.join(" ")), &mut download)?;
        self.unpack_all(&debs, root)
    }

    /// Unpacks programs with all that they depend on into `root`.
    pub(crate) fn unpack_with_dependencies(&self, packages: &[&str], root: &Path) -> Result<()> {
        let mut install = self.command("apt-get");
        install.args(["install", "--yes", "--download-only", "--no-install-recommends"]);
        install.args(["--target-release", SUITE_OF_PROGRAMS]).args(packages);
        progress::run(&format!("downloading {}", packages.join(" ")), &mut install)?;
        self.unpack_all(&self.directory.join("cache/archives"), root)
    }

    /// Unpacks what lies in `debs` beside `root`, which is there once it is complete.
    fn unpack_all(&self, debs: &Path, root: &Path) -> Result<()> {
        let unfinished = root.with_extension("unfinished");
        self.empty(&unfinished)?;
        for entry in fs::read_dir(debs).with_context(|| format!("cannot list {}", debs.display()))? {
            let deb = entry?.path();
            if deb.extension().is_some_and(|extension| extension == "deb") {
                run_command(self.workspace.as_builder("dpkg-deb").arg("--extract").arg(&deb).arg(&unfinished))?;
                run_command(self.workspace.as_builder("rm").arg(&deb))?;
            }
        }
        run_command(self.workspace.as_builder("mv").arg("--no-target-directory").arg(&unfinished).arg(root))
    }

    fn empty(&self, directory: &Path) -> Result<()> {
        run_command(self.workspace.as_builder("rm").arg("-rf").arg(directory))?;
        run_command(self.workspace.as_builder("mkdir").arg("-p").arg(directory))
    }

    fn command(&self, program: &str) -> std::process::Command {
        let mut command = self.workspace.as_builder(program);
        command.env("APT_CONFIG", self.directory.join("apt.conf")).env("DEBIAN_FRONTEND", "noninteractive");
        command
    }

    /// Writes configuration and sources.
    fn configure(&self) -> Result<()> {
        let mirror = mirror(self.workspace)?;
        for directory in ["state/lists/partial", "cache/archives/partial"] {
            run_command(self.workspace.as_builder("mkdir").arg("-p").arg(self.directory.join(directory)))?;
        }
        let sources = SUITES.map(|suite| format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n")).concat();
        for (name, text) in [("sources.list", sources), ("apt.conf", self.settings()), ("status", String::new())] {
            let path = self.directory.join(name);
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    }

    fn settings(&self) -> String {
        let (here, arch) = (self.directory.display(), self.arch);
        format!(
            "Dir::State \"{here}/state\";\nDir::State::status \"{here}/status\";\nDir::Cache \"{here}/cache\";\n\
             Dir::Etc::sourcelist \"{here}/sources.list\";\nDir::Etc::sourceparts \"-\";\n\
             APT::Architecture \"{arch}\";\nAPT::Architectures {{ \"{arch}\"; }};\n\
             Acquire::Languages \"none\";\nAcquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";\n\
             APT::Sandbox::User \"{}\";\n",
            // Who may read these directories is up to the checkout's owner.
            if crate::workspace::is_root() { "root" } else { "" }
        )
    }
}

/// The mirror by which this machine itself gets Debian's packages.
fn mirror(workspace: &Workspace) -> Result<String> {
    let mut apt = workspace.as_builder("apt-get");
    let targets = capture(apt.args(["indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages"]))?;
    match debian_in(&targets) {
        Some(mirror) => Ok(mirror.to_owned()),
        None => bail!("apt knows no mirror of Debian here: a line of /etc/apt/sources.list has to name one"),
    }
}

/// The mirror of the first line, `RELEASE URI`, that is about a release of Debian itself.
fn debian_in(targets: &str) -> Option<&str> {
    const RELEASES: [&str; 9] =
        ["bookworm", "trixie", "forky", "sid", "oldstable", "stable", "testing", "unstable", "oldoldstable"];
    targets
        .lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(release, _)| RELEASES.contains(release))
        .map(|it| it.1)
}

#[cfg(test)]
mod tests {
    use super::debian_in;

    #[test]
    fn mirror_is_the_one_of_a_release_of_debian() {
        let targets =
            "nodistro https://node.test/\nbookworm-security http://a.test/security/\nbookworm http://a.test/debian/\n";
        assert_eq!(debian_in(targets), Some("http://a.test/debian/"));
        assert_eq!(debian_in("noble http://b.test/ubuntu/\n"), None);
    }
}
