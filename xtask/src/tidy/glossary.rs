//! docs/glossary.md: where a term stands in the code.

use std::collections::BTreeSet;

use super::File;

const PAGE: &str = "docs/glossary.md";

/// Files and folders of the glossary that do not exist, and terms that are out of order.
pub(crate) fn check(files: &[File]) -> Vec<String> {
    let Some(page) = files.iter().find(|file| file.path == PAGE) else { return vec![format!("there is no {PAGE}")] };
    let folders: BTreeSet<&str> = files.iter().flat_map(|file| folders(&file.path)).collect();
    let is_there = |path: &str| folders.contains(path) || files.iter().any(|file| file.path == path);
    let mut problems = Vec::new();
    let mut last = String::new();
    for (number, line) in page.text.lines().enumerate().skip_while(|(_, line)| !line.starts_with("|---")).skip(1) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [term, _, places] = cells[..] else {
            problems.push(format!("{PAGE}:{}: a row has a term, its meaning and its place", number + 1));
            continue;
        };
        if term.to_lowercase() <= last {
            problems.push(format!("{PAGE}:{}: {term} stands behind {last}: keep to the alphabet", number + 1));
        }
        last = term.to_lowercase();
        let paths = places.split('`').skip(1).step_by(2).filter(|place| place.starts_with("forwarder"));
        problems.extend(
            paths.filter(|path| !is_there(path)).map(|path| format!("{PAGE}:{}: there is no {path}", number + 1)),
        );
    }
    problems
}

/// The folders that a path lies in.
fn folders(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(rows: &str) -> Vec<String> {
        let page = format!("| term | meaning | in the code |\n|---|---|---|\n{rows}");
        let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
        check(&[file(PAGE, &page), file("forwarder/src/a.rs", "")])
    }

    #[test]
    fn places_exist_and_terms_are_in_order() {
        assert_eq!(problems("| a | x | `forwarder/src/a.rs` |\n| b | y | `forwarder/src`, `FLOW_INDEX` |\n"), [""; 0]);
        assert_eq!(problems("| a | x | `forwarder/src/b.rs` |\n").len(), 1);
        assert_eq!(problems("| b | x | `forwarder` |\n| a | x | `forwarder` |\n").len(), 1);
        assert_eq!(problems("| b | x |\n").len(), 1);
    }
}
