//! `./x peers`: `fwd` beside the programs that it stands in for, and below real runtimes; `./x peers netavark` has netavark's own tests judge both.

use std::{
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use crate::{
    measure::{become_program, build},
    setup::{
        self,
        packages::{self, Package, package},
    },
    workspace::{Workspace, capture, run as run_command},
};

/// What `fwd` is compared with, or run below: some 35 MB, of which nothing else has any need.
const PEERS: [Package; 4] = [
    package("containernetworking-plugins", "/usr/lib/cni/bridge", "what fwd stands in for as a CNI plugin"),
    package("podman", "podman", "containers by its CNI backend"),
    package("runc", "runc", "what podman starts them with"),
    package("busybox-static", "/bin/busybox", "the programs inside of them"),
];

/// What netavark's tests take, and to build it.
const NETAVARK: [Package; 5] = [
    package("bats", "bats", "what the tests are written for"),
    package("jq", "jq", "what they read JSON with"),
    package("bind9-dnsutils", "dig", "what they ask for names with"),
    package("aardvark-dns", "/usr/lib/podman/aardvark-dns", "the name server that netavark starts"),
    package("protobuf-compiler", "protoc", "a part of netavark is made of a .proto file"),
];

/// The release of netavark whose tests are taken, which is the one whose words `fwd netavark` speaks.
const RELEASE: &str = "2.1.0";
const SCRIPT: &str = include_str!("netavark.sh");

/// What `fwd` is as a plugin beside the programs that it stands in for, and below real runtimes.
pub(crate) fn run(workspace: &Workspace, arguments: &[OsString]) -> Result<()> {
    if let Some((first, files)) = arguments.split_first()
        && first == "netavark"
    {
        return netavark(workspace, files);
    }
    setup::as_root(workspace)?;
    packages::require(&PEERS)?;
    // It calls the command, too.
    build(workspace, "fwd")?;
    become_program(workspace, "fwd-peers", arguments)
}

/// netavark's tests, by netavark and by `fwd`; `files` names those of them that are asked for.
fn netavark(workspace: &Workspace, files: &[OsString]) -> Result<()> {
    let root = setup::as_root(workspace)?;
    packages::require(&NETAVARK)?;
    run_command(workspace.cargo("build").args(["--locked", "--quiet", "--package", "forwarder", "--bin", "fwd"]))?;
    let source = fetched(workspace)?;
    run_command(
        workspace
            .cargo("build")
            .args(["--locked", "--quiet", "--bins"])
            .env_remove("CARGO_TARGET_DIR")
            .current_dir(&source),
    )
    .context("netavark cannot be built")?;
    let script: [&OsStr; 3] = ["-c".as_ref(), SCRIPT.as_ref(), "x-peers".as_ref()];
    let mut command = root.command("sh", &[]);
    command.args(script).arg(workspace.target.join("debug/fwd")).arg(source).arg(workspace.shared_script());
    run_command(command.args(files))
}

/// The source of netavark as crates.io has it, in a directory of its own: it is built there, and nothing of it is kept elsewhere.
fn fetched(workspace: &Workspace) -> Result<PathBuf> {
    let here = workspace.target.join("peers");
    let source = here.join(format!("netavark-{RELEASE}"));
    if source.is_dir() {
        return Ok(source);
    }
    run_command(workspace.as_builder("mkdir").args(["-p"]).arg(here.join("fetch/src")))?;
    // That there is a package which depends on it has cargo fetch it, and check it.
    let manifest = format!(
        "[package]\nname = \"fetch\"\nedition = \"2024\"\n[dependencies]\nnetavark = \"={RELEASE}\"\n[workspace]\n"
    );
    for (name, text) in [("Cargo.toml", manifest.as_str()), ("src/lib.rs", "")] {
        let path = here.join("fetch").join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let asked = ["--format-version", "1", "--manifest-path"];
    let metadata = capture(workspace.cargo("metadata").args(asked).arg(here.join("fetch/Cargo.toml")))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata).context("cargo metadata printed no JSON")?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let found = packages.filter(|package| package["name"] == "netavark").find_map(|it| it["manifest_path"].as_str());
    let found = found.and_then(|manifest| Path::new(manifest).parent()).context("cargo has fetched no netavark")?;
    let copy = here.join("copy");
    run_command(workspace.as_builder("cp").args(["-r", "-T"]).arg(found).arg(&copy))?;
    // It lies below our workspace, and is no part of it.
    let manifest = copy.join("Cargo.toml");
    let text = fs::read_to_string(&manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
    fs::write(&manifest, text + "\n[workspace]\n").with_context(|| format!("cannot write {}", manifest.display()))?;
    fs::rename(&copy, &source).context("cannot put the source of netavark in its place")?;
    Ok(source)
}
