//! `./x setup`: what building, testing and the demo need, installed where it is missing.

pub(crate) mod linker;
pub(crate) mod packages;

use anyhow::{Result, bail};

use crate::{root::Root, term, workspace::Workspace};

/// Installs the linker and the packages. (`x` has seen to the Rust toolchain before it could build this.)
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    all(workspace)?;
    println!("{} everything is there: Rust {}, bpf-linker, packages", term::out().green("✓"), workspace.toolchain);
    Ok(())
}

/// Installs everything that is missing; what cannot be installed is named in one error.
pub(crate) fn all(workspace: &Workspace) -> Result<()> {
    let failures: Vec<String> = [packages().err(), linker::ensure(workspace).err()]
        .into_iter()
        .flatten()
        .map(|error| format!("{error:#}"))
        .collect();
    if !failures.is_empty() {
        bail!("this is missing and cannot be installed:\n  {}", failures.join("\n").replace('\n', "\n  "));
    }
    Ok(())
}

/// Becomes root and installs everything that is missing. Without root, the error also names what root would install.
pub(crate) fn as_root(workspace: &Workspace) -> Result<Root> {
    let missing = packages::missing();
    match Root::obtain() {
        Ok(root) => all(workspace).map(|()| root),
        Err(error) if missing.is_empty() => Err(error),
        Err(error) => packages::install(&missing, Err(error)).and_then(|()| bail!("this needs root")),
    }
}

/// Installs the missing packages; nothing needs root where none is missing.
pub(crate) fn packages() -> Result<()> {
    let missing = packages::missing();
    if missing.is_empty() { Ok(()) } else { packages::install(&missing, Root::obtain()) }
}
