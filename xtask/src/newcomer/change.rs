//! What a change is: edits of a few files, and by what one sees that it was made.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context as _, Result, bail, ensure};

/// Files that a change may touch, besides those that `./x docs` writes.
const MOST: usize = 3;

/// A change of the checkout.
pub(super) struct Change {
    /// The words in bold that begin its paragraph of CONTRIBUTING.md.
    pub(super) title: &'static str,
    pub(super) edits: &'static [Edit],
    pub(super) signs: &'static [Sign],
}

/// A change of a file.
pub(super) enum Edit {
    /// A file that there was not.
    New { file: &'static str, text: &'static str },
    /// A text in front of another, which the file has once.
    Before { file: &'static str, anchor: &'static str, text: &'static str },
    /// A text in place of another, which the file has once.
    Instead { file: &'static str, anchor: &'static str, text: &'static str },
}

/// Where a change shows.
pub(super) enum Sign {
    /// On a page, after `./x docs`.
    Page { file: &'static str, text: &'static str },
    /// In what `fwd` prints, as anybody.
    Printed { command: &'static [&'static str], text: &'static str },
}

impl Edit {
    fn file(&self) -> &'static str {
        match self {
            Self::New { file, .. } | Self::Before { file, .. } | Self::Instead { file, .. } => file,
        }
    }

    fn make(&self, root: &Path) -> Result<()> {
        let path = root.join(self.file());
        let text = match self {
            Self::New { file, text } => {
                ensure!(!path.exists(), "{file} exists");
                (*text).to_owned()
            }
            Self::Before { anchor, text, .. } => replaced(&path, anchor, &format!("{text}{anchor}"))?,
            Self::Instead { anchor, text, .. } => replaced(&path, anchor, text)?,
        };
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// The text of a file with `new` in place of `old`.
fn replaced(path: &Path, old: &str, new: &str) -> Result<String> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let found = text.matches(old).count();
    ensure!(found == 1, "{} has {found} times, and not once: {old:?}", path.display());
    Ok(text.replacen(old, new, 1))
}

impl Change {
    /// The files that it touches.
    pub(super) fn files(&self) -> BTreeSet<&'static str> {
        self.edits.iter().map(Edit::file).collect()
    }

    /// Makes it in the checkout at `root`.
    pub(super) fn make(&self, root: &Path) -> Result<()> {
        self.edits.iter().try_for_each(|edit| edit.make(root)).with_context(|| self.title.to_owned())
    }

    /// Whether CONTRIBUTING.md names its files, and not too many.
    pub(super) fn check_description(&self, page: &str) -> Result<()> {
        let title = self.title;
        let files = self.files();
        ensure!(files.len() <= MOST, "{title} touches {} files: {files:?}", files.len());
        let Some((_, rest)) = page.split_once(&format!("\n**{title}** — ")) else {
            bail!("CONTRIBUTING.md has no paragraph \"**{title}** — \"");
        };
        let paragraph = rest.split("\n\n").next().unwrap_or(rest);
        for file in files {
            let folder = file.rsplit_once('/').map_or(file, |(folder, _)| folder);
            let is_named = paragraph.contains(file) || paragraph.contains(&format!("{folder}/NAME.rs"));
            ensure!(is_named, "CONTRIBUTING.md, {title}: it does not name {file}");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{newcomer::changes::CHANGES, workspace::Workspace};

    #[test]
    fn changes_are_described_with_the_few_files_that_they_touch() {
        let root = Workspace::find().unwrap().root;
        let page = fs::read_to_string(root.join("CONTRIBUTING.md")).unwrap();
        for change in CHANGES {
            change.check_description(&page).unwrap();
        }
    }

    #[test]
    fn places_of_the_edits_are_there_once() {
        let root = Workspace::find().unwrap().root;
        for edit in CHANGES.iter().flat_map(|change| change.edits) {
            match edit {
                Edit::New { file, .. } => assert!(!root.join(file).exists(), "{file}"),
                Edit::Before { file, anchor, .. } | Edit::Instead { file, anchor, .. } => {
                    drop(replaced(&root.join(file), anchor, "").unwrap());
                }
            }
        }
    }

    /// Codes and bits are given out one after the other, and a copy in which one is given twice does not compile.
    #[test]
    fn numbers_of_the_edits_are_free() {
        let root = Workspace::find().unwrap().root;
        let mut numbers = 0;
        for edit in CHANGES.iter().flat_map(|change| change.edits) {
            let Edit::Before { file, text, .. } = edit else { continue };
            let there = fs::read_to_string(root.join(file)).unwrap();
            for (before, after) in [("= ", " =>"), ("1 << ", ";")] {
                let is_number = |it: &&str| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit());
                let after_it = text.split(before).skip(1).filter_map(|rest| rest.split(after).next());
                for number in after_it.filter(is_number) {
                    numbers += 1;
                    assert!(!there.contains(&format!("{before}{number}{after}")), "{file} has {before}{number}{after}");
                }
            }
        }
        assert_eq!(numbers, 2, "a code and a bit");
    }
}
