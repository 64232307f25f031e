//! bpf-linker, built against the LLVM that rustc itself uses.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::{
    progress,
    workspace::{Workspace, capture, run},
};

const VERSION: &str = "0.13.0";

/// Makes sure that `.tools/<toolchain>/bin/bpf-linker` works; builds it (about a minute) where it does not.
pub(crate) fn ensure(workspace: &Workspace) -> Result<()> {
    let tools = workspace.tools();
    if works(workspace, &tools) {
        return Ok(());
    }
    link_llvm(workspace, &tools).context("bpf-linker needs the LLVM of the Rust toolchain")?;
    // LLVM of rustc and of the linker must be the same: the feature chooses the bindings.
    let version = capture(workspace.as_builder("rustc").arg("-vV"))?;
    let llvm =
        version.lines().find_map(|line| line.strip_prefix("LLVM version: ")).and_then(|line| line.split('.').next());
    let feature = format!("llvm-{}", llvm.context("rustc names no LLVM version")?);
    let mut install = workspace.cargo("install");
    install
        .args(["bpf-linker", "--version", VERSION, "--locked", "--force"])
        .args(["--no-default-features", "--features", &feature])
        .args(["--config", "profile.release.debug=0", "--config", "profile.release.strip='symbols'"])
        .arg("--target-dir")
        .arg(workspace.target.join("bpf-linker"))
        .arg("--root")
        .arg(&tools)
        .env("LLVM_PREFIX", &tools);
    progress::run(&format!("building bpf-linker {VERSION} (once, about a minute)"), &mut install)
        .context("cargo cannot install bpf-linker, see above")?;
    run(workspace.as_builder("rm").arg("-rf").arg(workspace.target.join("bpf-linker")))
}

/// The linker that is there runs for the user who builds (it finds its LLVM) and is the right version.
fn works(workspace: &Workspace, tools: &Path) -> bool {
    let version = capture(workspace.as_builder(tools.join("bin/bpf-linker")).arg("--version"));
    version.is_ok_and(|version| version.split_whitespace().any(|word| word == VERSION))
}

/// Links to the toolchain's libLLVM: `libLLVM.so` for linking, and the name in the library for running.
fn link_llvm(workspace: &Workspace, tools: &Path) -> Result<()> {
    let sysroot = capture(workspace.as_builder("rustc").args(["--print", "sysroot"]))?;
    let library = find_llvm(&Path::new(sysroot.trim()).join("lib"))?;
    let lib = tools.join("lib");
    run(workspace.as_builder("mkdir").arg("-p").arg(&lib))?;
    for name in [Path::new("libLLVM.so"), Path::new(library.file_name().context("the library has a name")?)] {
        run(workspace.as_builder("ln").arg("-sfn").arg(&library).arg(lib.join(name)))?;
    }
    Ok(())
}

fn find_llvm(lib: &Path) -> Result<PathBuf> {
    let entries = std::fs::read_dir(lib).with_context(|| format!("cannot list {}", lib.display()))?;
    let is_llvm =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libLLVM.so."));
    let found = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).find(is_llvm);
    found.with_context(|| format!("there is no libLLVM.so.* in {}", lib.display()))
}
