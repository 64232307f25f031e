//! `./x package`: a Debian package, the same to the byte wherever the same commit is built at the same path.
//!
//! What is in it says `forwarder/Cargo.toml` (`package.metadata.deb`); what is made for it (manual pages, completions, the list of
//! components) lies beside the binary, in a target directory of its own. What another processor than this machine's has is linked with musl, and
//! needs no library of its Debian.

mod cargo_deb;
mod check;
mod sbom;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::{
    arch::{Arch, run::Runner},
    setup, term,
    workspace::{Workspace, capture, run as run_command},
};

/// What `./x package` takes.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The processor that it is for
    #[arg(value_name = "PROCESSOR", default_value = "amd64")]
    arch: Arch,
    /// Then install it in a fresh Debian, and type the README's first commands there (as root)
    #[arg(long)]
    check: bool,
    /// Build everything twice, and compare both packages byte by byte
    #[arg(long)]
    twice: bool,
}

/// Builds the package, and says where it is.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    if arguments.check && !arguments.arch.is_native() {
        bail!("a package for {} can be installed by a machine of that kind only: leave out --check", arguments.arch);
    }
    setup::linker::ensure(workspace)?;
    cargo_deb::ensure(workspace)?;
    arguments.arch.ensure(workspace)?;
    let package = build(workspace, arguments.arch)?;
    if arguments.twice {
        let first = read(&package)?;
        run_command(workspace.as_builder("rm").arg("-rf").arg(directory(workspace)))?;
        if read(&build(workspace, arguments.arch)?)? != first {
            bail!("{} is another one when it is built again", package.display());
        }
        println!("{} built twice, and both are the same", term::out().green("✓"));
    }
    if arguments.check {
        check::run(workspace, &package)?;
    }
    println!("{} {}", term::out().green("✓"), package.display());
    Ok(())
}

/// The target directory of packages.
fn directory(workspace: &Workspace) -> PathBuf {
    workspace.target.join("package")
}

fn read(package: &Path) -> Result<Vec<u8>> {
    fs::read(package).with_context(|| format!("cannot read {}", package.display()))
}

/// Builds it, and returns its path.
fn build(workspace: &Workspace, arch: Arch) -> Result<PathBuf> {
    let target = directory(workspace);
    // What is built bit by bit depends on what was built before.
    let mut cargo = arch.cargo(workspace, "build");
    cargo.args(["--locked", "--release", "--package", "forwarder", "--bin", "fwd", "--target-dir"]).arg(&target);
    run_command(cargo.env("CARGO_INCREMENTAL", "0"))?;
    let triple = arch.target();
    make_files(workspace, arch, &target.join(triple.as_deref().unwrap_or_default()).join("release"))?;
    let time = capture(workspace.as_builder("git").args(["log", "-1", "--format=%ct"]))?;
    let mut cargo = workspace.as_builder(cargo_deb::program(workspace));
    cargo.args(["deb", "--no-build", "--no-strip", "--locked", "--quiet", "--package", "forwarder"]);
    cargo.args(triple.iter().flat_map(|triple| ["--target", triple]));
    cargo.env("CARGO_TARGET_DIR", &target).env("SOURCE_DATE_EPOCH", time.trim());
    let printed = capture(&mut cargo)?;
    let path = printed.lines().last().context("cargo-deb names no package")?;
    Ok(PathBuf::from(path.trim()))
}

/// Makes what is not in the repository: manual pages, completions, the list of components.
fn make_files(workspace: &Workspace, arch: Arch, release: &Path) -> Result<()> {
    let runner = Runner::get(workspace, arch)?;
    let (fwd, files) = (release.join("fwd"), release.join("files"));
    run_command(workspace.as_builder("rm").arg("-rf").arg(&files))?;
    run_command(workspace.as_builder("mkdir").arg("-p").arg(files.join("man")))?;
    run_command(runner.run(workspace, &fwd).arg("man").arg(files.join("man")))?;
    let write = |name: &str, text: String| {
        let path = files.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    for (shell, name) in [("bash", "fwd"), ("zsh", "_fwd"), ("fish", "fwd.fish")] {
        write(name, capture(runner.run(workspace, &fwd).args(["completions", shell]))?)?;
    }
    write("fwd.cdx.json", sbom::of(workspace, arch)?)
}
