//! Where the checkout is, and who builds in it.

pub(crate) mod revision;

use std::{
    env,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};

/// The checkout and its toolchain.
pub(crate) struct Workspace {
    /// The top of the checkout.
    pub(crate) root: PathBuf,
    /// The channel of rust-toolchain.toml.
    pub(crate) toolchain: String,
    /// The target directory of cargo.
    pub(crate) target: PathBuf,
    /// Under sudo: the user and group that own the checkout and build in it.
    builder: Option<(String, String)>,
}

impl Workspace {
    /// The workspace that this program was built from.
    pub(crate) fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in the workspace")?.to_owned();
        let manifest =
            std::fs::read_to_string(root.join("rust-toolchain.toml")).context("cannot read rust-toolchain.toml")?;
        let channel = manifest.lines().find_map(|line| line.strip_prefix("channel = "));
        let toolchain = channel.context("rust-toolchain.toml names no channel")?.trim_matches('"').to_owned();
        let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
        let builder = env::var("X_BUILD_UID").ok().zip(env::var("X_BUILD_GID").ok());
        Ok(Self { root, toolchain, target, builder })
    }

    /// A copy of the checkout at `root`, of which the same user builds into the same directory.
    pub(crate) fn at(&self, root: PathBuf) -> Self {
        let Self { root: _, toolchain, target, builder } = self;
        Self { root, toolchain: toolchain.clone(), target: target.clone(), builder: builder.clone() }
    }

    /// A command that runs at the top of the checkout as the user who builds.
    pub(crate) fn as_builder(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = match &self.builder {
            None => Command::new(program),
            Some((uid, gid)) => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid", uid, "--regid", gid, "--init-groups", "--"]).arg(program);
                command
            }
        };
        command.current_dir(&self.root);
        command
    }

    /// A cargo command, run as the user who builds.
    pub(crate) fn cargo(&self, subcommand: &str) -> Command {
        let mut command = self.as_builder("cargo");
        command.arg(subcommand);
        command
    }

    /// Where `./x setup` puts the linker for BPF.
    pub(crate) fn tools(&self) -> PathBuf {
        self.root.join(".tools").join(&self.toolchain)
    }

    /// What scripts share that make a host of their own.
    pub(crate) fn shared_script(&self) -> PathBuf {
        self.root.join("xtask/src/sandbox.sh")
    }
}

/// Whether this process runs as root.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Whether `program` is on the PATH or among the system's administration commands.
pub(crate) fn on_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(system).any(|dir| dir.join(program).is_file())
}

/// Runs a command to its end; a failure names the command.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = display(command);
    let status = command.status().with_context(|| format!("cannot run {shown}"))?;
    if !status.success() {
        bail!("{shown} failed ({status})");
    }
    Ok(())
}

/// Runs a command and returns what it printed; a failure names the command and passes on its errors.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let shown = display(command);
    let output = command.output().with_context(|| format!("cannot run {shown}"))?;
    if !output.status.success() {
        bail!("{shown} failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr).trim_end());
    }
    String::from_utf8(output.stdout).with_context(|| format!("{shown} printed no UTF-8"))
}

/// The command as a user would type it.
fn display(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
