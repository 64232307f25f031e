//! xtask/exceptions.txt: which files and folders may do what the others may not, and why.

use anyhow::{Context as _, Result, bail};

use super::File;

const PATH: &str = "xtask/exceptions.txt";

/// What a file may be excepted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// `unsafe` outside the listed files.
    Unsafe,
    /// More lines than a file should have.
    Long,
    /// More files than a folder should have.
    Folder,
    /// Files of a crate that import one another in a circle.
    Circle,
    /// A word that is refused elsewhere, because the English one is meant.
    Word,
}

/// The lines of the list.
pub(crate) struct Exceptions {
    entries: Vec<Entry>,
}

struct Entry {
    rule: Rule,
    path: String,
    used: bool,
}

impl Exceptions {
    /// Reads the list: `RULE PATH REASON` per line.
    pub(crate) fn read(files: &[File]) -> Result<Self> {
        let list = files.iter().find(|file| file.path == PATH).with_context(|| format!("there is no {PATH}"))?;
        let lines = list.text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
        let entries =
            lines.map(|line| entry(line).with_context(|| format!("{PATH}: {line:?}"))).collect::<Result<_>>()?;
        Ok(Self { entries })
    }

    /// Whether `path` is excepted from `rule`; remembers that the entry was needed.
    pub(crate) fn allow(&mut self, rule: Rule, path: &str) -> bool {
        let entry = self.entries.iter_mut().find(|entry| entry.rule == rule && entry.path == path);
        entry.is_some_and(|entry| {
            entry.used = true;
            true
        })
    }

    /// The entries that nothing needed: the list must not outlive its reasons.
    pub(crate) fn unused(self) -> Vec<String> {
        let unused = self.entries.into_iter().filter(|entry| !entry.used);
        unused
            .map(|Entry { rule, path, .. }| format!("{PATH}: {path} no longer needs {rule:?}, delete the line"))
            .collect()
    }
}

fn entry(line: &str) -> Result<Entry> {
    let mut words = line.split_whitespace();
    let (rule, path) = (words.next().unwrap_or_default(), words.next().context("no path")?.to_owned());
    let rule = match rule {
        "unsafe" => Rule::Unsafe,
        "long" => Rule::Long,
        "folder" => Rule::Folder,
        "circle" => Rule::Circle,
        "word" => Rule::Word,
        other => bail!("there is no rule {other:?}"),
    };
    words.next().context("no reason")?;
    Ok(Entry { rule, path, used: false })
}
