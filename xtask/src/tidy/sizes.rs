//! How long files are, and how many a folder has.

use std::collections::BTreeMap;

use super::{
    exceptions::{Exceptions, Rule},
    source::Source,
};

const LONGEST: usize = 400;
const MEDIAN: usize = 150;
/// Besides the file that the folder is (`mod.rs`, `lib.rs`, `main.rs`).
const MOST: usize = 12;

/// A file that is too long and not listed as such.
pub(crate) fn check(source: &Source, exceptions: &mut Exceptions) -> Option<String> {
    if source.lines <= LONGEST || exceptions.allow(Rule::Long, &source.path) {
        return None;
    }
    let Source { path, lines, .. } = source;
    Some(format!("{path}: {lines} lines: split it, or give a reason in xtask/exceptions.txt"))
}

/// The median, if it is too high.
pub(crate) fn check_median(sources: &[Source]) -> Option<String> {
    let median = median(sources);
    (median > MEDIAN).then(|| format!("the median source file has {median} lines, more than {MEDIAN}"))
}

/// Folders of more files than one sees at a glance.
pub(crate) fn check_folders(sources: &[Source], exceptions: &mut Exceptions) -> Vec<String> {
    let mut folders: BTreeMap<&str, usize> = BTreeMap::new();
    for (folder, file) in sources.iter().filter_map(|source| source.path.rsplit_once('/')) {
        if !["mod.rs", "lib.rs", "main.rs"].contains(&file) {
            *folders.entry(folder).or_default() += 1;
        }
    }
    let full = folders.into_iter().filter(|(_, files)| *files > MOST);
    full.filter(|(folder, _)| !exceptions.allow(Rule::Folder, folder))
        .map(|(folder, files)| {
            format!("{folder}: {files} files, more than {MOST}: give it rooms, or a reason in xtask/exceptions.txt")
        })
        .collect()
}

/// One clause about the sizes of all files.
pub(crate) fn summary(sources: &[Source]) -> String {
    let longest = sources.iter().max_by_key(|source| source.lines);
    let longest =
        longest.map_or_else(String::new, |source| format!(", {} is the longest ({})", source.path, source.lines));
    format!("the median source file has {} lines{longest}", median(sources))
}

fn median(sources: &[Source]) -> usize {
    let mut lines: Vec<usize> = sources.iter().map(|source| source.lines).collect();
    lines.sort_unstable();
    lines.get(lines.len() / 2).copied().unwrap_or(0)
}
