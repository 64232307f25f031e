//! `./x bench`: measures everything that there is a target for, and writes figures and verdicts into docs/benchmarks.md.
//!
//! What each source printed last is kept in docs/benchmarks; the table is made from these files alone, so that a part can be
//! measured again by itself, and that no verdict can be typed.

mod against;
mod figure;
mod page;
mod source;
mod targets;

use std::{collections::BTreeMap, ffi::OsString, fs, path::PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::{Args, builder::PossibleValuesParser};
use serde_json::Value;

use self::source::{SOURCES, Source};
use crate::{
    measure,
    root::Root,
    setup, term,
    workspace::{Workspace, capture, run as run_command},
};

/// What the sources printed, by their names: see [`document`].
type Documents = BTreeMap<&'static str, Value>;

/// `./x bench`.
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Measure some of it, and show the rest as it was measured before
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', conflicts_with_all = ["table", "check"])]
    #[arg(value_parser = PossibleValuesParser::new(SOURCES.iter().map(|source| source.name)))]
    only: Vec<String>,
    /// Write the table anew from what was measured before
    #[arg(long, conflicts_with = "check")]
    table: bool,
    /// Compare our own load with other programs over the same paths instead: [--json] [ROUNDS]
    #[arg(long, value_name = "ARGUMENTS", num_args = 0.., allow_hyphen_values = true)]
    check: Option<Vec<OsString>>,
    /// Compare this checkout with the commit REV in turn instead: REV [--json] [PAIRS] [-- ARGUMENTS of fwd bench]
    #[arg(long, value_name = "REV", num_args = 1.., allow_hyphen_values = true)]
    #[arg(conflicts_with_all = ["only", "table", "check"])]
    against: Option<Vec<OsString>>,
}

impl Arguments {
    /// The sources that `--only` names, or all.
    fn chosen(&self) -> Vec<&'static Source> {
        let is_named = |source: &&Source| self.only.is_empty() || self.only.iter().any(|name| name == source.name);
        SOURCES.iter().filter(is_named).collect()
    }
}

/// Measures, or what else is asked for.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    if let Some(passed) = &arguments.check {
        return measure::bench_check(workspace, passed);
    }
    if let Some((rev, passed)) = arguments.against.as_deref().and_then(<[OsString]>::split_first) {
        return against::run(workspace, &rev.to_string_lossy(), passed);
    }
    if arguments.table {
        return show(workspace);
    }
    let failed = measure(workspace, &arguments.chosen())?;
    show(workspace)?;
    if !failed.is_empty() {
        bail!("no figures from {}: the table shows what was measured before", failed.join(", "));
    }
    Ok(())
}

/// Builds and runs the programs, and stores what they print. Returns the names of those that failed.
fn measure(workspace: &Workspace, chosen: &[&'static Source]) -> Result<Vec<&'static str>> {
    let root = Root::obtain()?;
    setup::linker::ensure(workspace)?;
    run_command(workspace.cargo("build").args(["--locked", "--release", "--quiet", "--bins"]))?;
    let commit = commit(workspace)?;
    let style = term::err();
    let mut failed = Vec::new();
    for &source in chosen {
        eprintln!("{} {}", style.bold(source.name), style.dim(source.about));
        match source.measure(workspace, root) {
            Ok(result) => store(workspace, source, &document(source, &commit, result)?)?,
            Err(error) => {
                eprintln!("{} {}: {error:#}", style.red("✗"), source.name);
                failed.push(source.name);
            }
        }
    }
    Ok(failed)
}

/// Prints the table of what is stored, and writes it into the page.
fn show(workspace: &Workspace) -> Result<()> {
    let documents = documents(workspace)?;
    let rows = targets::rows(&documents);
    print!("{}", page::text(&rows, term::out()));
    let file = workspace.root.join(page::FILE);
    let before = fs::read_to_string(&file).with_context(|| format!("cannot read {}", page::FILE))?;
    write(workspace, &file, &page::with_table(&before, &page::markdown(&rows, &documents))?)?;
    eprintln!("\nwritten to {}; what the programs printed is in {}/", page::FILE, source::DIRECTORY);
    Ok(())
}

/// What is being measured: the commit, and whether anything was changed since.
fn commit(workspace: &Workspace) -> Result<String> {
    let commit = capture(workspace.as_builder("git").args(["rev-parse", "--short", "HEAD"]))?;
    let changes = capture(workspace.as_builder("git").args(["status", "--porcelain", "--untracked-files=no"]))?;
    let changed = changes.lines().any(|line| !line.contains("docs/benchmarks"));
    Ok(format!("{}{}", commit.trim(), if changed { " with changes" } else { "" }))
}

/// What is stored of a source: how it was run, over which commit, when, and what it printed.
fn document(source: &Source, commit: &str, result: Value) -> Result<Value> {
    let date = capture(std::process::Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]))?;
    let kernel = capture(std::process::Command::new("uname").arg("-r"))?;
    Ok(serde_json::json!({
        "command": source.command(),
        "commit": commit,
        "date": date.trim(),
        "kernel": kernel.trim(),
        "result": result,
    }))
}

/// What is stored, of those sources that were measured at any time.
fn documents(workspace: &Workspace) -> Result<Documents> {
    let mut documents = Documents::new();
    for source in SOURCES {
        let file = path(workspace, source);
        if file.is_file() {
            let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let document = serde_json::from_str(&text).with_context(|| format!("{} is no JSON", file.display()))?;
            documents.insert(source.name, document);
        }
    }
    Ok(documents)
}

fn path(workspace: &Workspace, source: &Source) -> PathBuf {
    workspace.root.join(source::DIRECTORY).join(format!("{}.json", source.name))
}

fn store(workspace: &Workspace, source: &Source, document: &Value) -> Result<()> {
    run_command(workspace.as_builder("mkdir").args(["-p", source::DIRECTORY]))?;
    write(workspace, &path(workspace, source), &format!("{document}\n"))
}

/// Writes a file of the checkout as the user whose it is.
fn write(workspace: &Workspace, file: &std::path::Path, text: &str) -> Result<()> {
    let new = !file.exists();
    if new {
        run_command(workspace.as_builder("touch").arg(file))?;
    }
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests;
