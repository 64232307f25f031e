//! `./x newcomer`: makes the changes that CONTRIBUTING.md describes in a copy of the checkout, and looks whether the copy builds, is tidy,
//! and shows them wherever it should.

mod change;
mod changes;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

use self::{change::Sign, changes::CHANGES};
use crate::{
    setup, tidy,
    workspace::{Workspace, capture, run as run_command},
};

/// Unit tests of what is changed, and those that compare pages and code: packages, and which of their tests.
const TESTS: [(&str, &[&str]); 4] = [
    ("forwarder-common", &["verdict", "validate"]),
    ("fwd-plan", &["datapath"]),
    ("fwd-dataplane", &["features"]),
    ("forwarder", &["docs::", "cli::"]),
];

/// Makes all changes, and checks them.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    setup::linker::ensure(workspace)?;
    let page = fs::read_to_string(workspace.root.join("CONTRIBUTING.md")).context("cannot read CONTRIBUTING.md")?;
    CHANGES.iter().try_for_each(|change| change.check_description(&page))?;
    let copy = workspace.at(copied(workspace)?);
    CHANGES.iter().try_for_each(|change| change.make(&copy.root))?;
    check(workspace, &copy)?;
    for change in CHANGES {
        let files = change.files().into_iter().collect::<Vec<_>>().join(", ");
        println!("newcomer: {}: {files}", change.title);
    }
    Ok(())
}

/// Builds the copy, has its pages written, and looks for what was added.
fn check(workspace: &Workspace, copy: &Workspace) -> Result<()> {
    // Built beside the checkout's own: what both need is built once.
    let cargo = |subcommand: &str| {
        let mut cargo = copy.cargo(subcommand);
        cargo.args(["--locked", "--quiet"]).env("CARGO_TARGET_DIR", &copy.target);
        cargo.env("BPF_LINKER", workspace.tools().join("bin/bpf-linker"));
        cargo
    };
    run_command(copy.cargo("fmt").args(["--all", "--", "--check"]))?;
    run_command(cargo("build").args(["--package", "forwarder", "--bin", "fwd", "--bin", "fwd-docs"]))?;
    run_command(copy.as_builder(copy.target.join("debug/fwd-docs")).arg(&copy.root))?;
    for sign in CHANGES.iter().flat_map(|change| change.signs) {
        look(copy, sign)?;
    }
    tidy::run(copy)?;
    TESTS.iter().try_for_each(|(package, filters)| {
        run_command(cargo("test").args(["--package", package, "--lib", "--"]).args(*filters))
    })
}

fn look(copy: &Workspace, sign: &Sign) -> Result<()> {
    let (place, found, text) = match sign {
        Sign::Page { file, text } => ((*file).to_owned(), fs::read_to_string(copy.root.join(file))?, text),
        Sign::Printed { command, text } => {
            let printed = capture(copy.as_builder(copy.target.join("debug/fwd")).args(*command))?;
            (format!("fwd {}", command.join(" ")), printed, text)
        }
    };
    // Help texts are wrapped.
    let joined = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    ensure!(joined(&found).contains(&joined(text)), "{place} does not show {text:?}");
    Ok(())
}

/// A copy of what is in the checkout, also of what is not committed yet. What is there already stays, so that less is built.
fn copied(workspace: &Workspace) -> Result<PathBuf> {
    let copy = workspace.target.join("newcomer");
    let listed = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let listed = capture(workspace.as_builder("git").args(listed))?;
    let wanted: BTreeSet<&str> = listed.split('\0').filter(|file| !file.is_empty()).collect();
    run_command(workspace.as_builder("mkdir").arg("-p").arg(&copy))?;
    for file in files(&copy, &copy)? {
        if !wanted.contains(file.as_str()) {
            fs::remove_file(copy.join(file))?;
        }
    }
    for file in wanted.into_iter().filter(|file| workspace.root.join(file).is_file()) {
        let (from, to) = (workspace.root.join(file), copy.join(file));
        if fs::read(&to).ok() != Some(fs::read(&from)?) {
            fs::create_dir_all(to.parent().context("a file lies in a folder")?)?;
            fs::copy(&from, &to).with_context(|| format!("cannot copy {file}"))?;
        }
    }
    Ok(copy)
}

/// The files below `directory`, from `root`.
fn files(root: &Path, directory: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(root, &path)?);
        } else {
            found.push(path.strip_prefix(root)?.to_string_lossy().into_owned());
        }
    }
    Ok(found)
}
