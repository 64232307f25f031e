//! `./x tidy`: the rules that neither the compiler nor clippy checks.

mod circles;
mod exceptions;
mod glossary;
mod layering;
mod licences;
mod links;
mod places;
mod sizes;
mod source;
mod text;
mod words;

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use self::{exceptions::Exceptions, source::Source};
use crate::workspace::Workspace;

/// A file of the checkout.
struct File {
    /// From the top of the checkout, with `/`.
    path: String,
    text: String,
}

/// Checks everything and lists every problem before it fails.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let files = files(workspace)?;
    let sources: Vec<Source> = files.iter().filter(|file| file.path.ends_with(".rs")).map(Source::parse).collect();
    let mut exceptions = Exceptions::read(&files)?;
    let mut problems = Vec::new();
    for source in &sources {
        problems.extend(layering::check(source));
        problems.extend(layering::check_unsafe(source, &mut exceptions));
        problems.extend(layering::check_prints(source));
        problems.extend(sizes::check(source, &mut exceptions));
        problems.extend(words::check_types(source, &mut exceptions));
    }
    problems.extend(circles::check(&sources, &mut exceptions));
    problems.extend(sizes::check_median(&sources));
    problems.extend(sizes::check_folders(&sources, &mut exceptions));
    problems.extend(files.iter().flat_map(text::check));
    problems.extend(files.iter().flat_map(|file| words::check(file, &mut exceptions)));
    problems.extend(files.iter().flat_map(layering::check_manifest));
    problems.extend(glossary::check(&files));
    problems.extend(links::check(&files));
    problems.extend(places::check(&files, &sources));
    problems.extend(licences::check(workspace)?);
    problems.extend(exceptions.unused());
    if problems.is_empty() {
        println!("tidy: {} files are in order; {}", files.len(), sizes::summary(&sources));
        return Ok(());
    }
    for problem in &problems {
        eprintln!("tidy: {problem}");
    }
    bail!("tidy: {} problems", problems.len())
}

/// Every text file of the checkout, without what git ignores and hidden directories other than `.ci` and `.github`.
fn files(workspace: &Workspace) -> Result<Vec<File>> {
    let mut files = Vec::new();
    let mut directories = vec![PathBuf::new()];
    while let Some(directory) = directories.pop() {
        let full = workspace.root.join(&directory);
        let entries = std::fs::read_dir(&full).with_context(|| format!("cannot list {}", full.display()))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = directory.join(&name);
            let kind = entry.file_type()?;
            if kind.is_dir() && name != "target" && (!name.starts_with('.') || [".ci", ".github"].contains(&&*name)) {
                directories.push(path);
            } else if kind.is_file() && name != ".git" {
                let bytes = std::fs::read(workspace.root.join(&path))?;
                let path = path.to_string_lossy().into_owned();
                files.extend(String::from_utf8(bytes).ok().map(|text| File { path, text }));
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}
