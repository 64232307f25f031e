//! Files, folders and functions that ARCHITECTURE.md names.

use std::collections::BTreeSet;

use super::{File, source::Source};

const PAGE: &str = "ARCHITECTURE.md";

/// Words of the page in backquotes that look like a source file, a folder or a function (`plan_up()`), and are none.
pub(crate) fn check(files: &[File], sources: &[Source]) -> Vec<String> {
    let Some(page) = files.iter().find(|file| file.path == PAGE) else { return vec![format!("there is no {PAGE}")] };
    let functions: BTreeSet<&str> = sources.iter().flat_map(functions).collect();
    let is_file = |word: &str| files.iter().any(|file| ends_with(&file.path, word));
    let is_folder = |word: &str| files.iter().any(|file| format!("/{}", file.path).contains(&format!("/{word}")));
    let mut problems = Vec::new();
    for (number, line) in prose(&page.text) {
        for word in line.split('`').skip(1).step_by(2) {
            let is_there = if let Some(name) = word.strip_suffix("()") {
                functions.contains(name.rsplit("::").next().unwrap_or(name))
            } else if word.contains(['{', '*', ' ', '<']) || word.starts_with('/') {
                true
            } else if word.ends_with(".rs") {
                is_file(word)
            } else {
                !word.ends_with('/') || is_folder(word)
            };
            if !is_there {
                problems.push(format!("{PAGE}:{number}: there is no {word}"));
            }
        }
    }
    problems
}

/// The lines of a page outside its blocks of code, with their numbers.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_block = false;
    text.lines().enumerate().filter_map(move |(number, line)| {
        let is_fence = line.trim_start().starts_with("```");
        in_block ^= is_fence;
        (!in_block && !is_fence).then_some((number + 1, line))
    })
}

/// Whether the last parts of `path` are those of `end`.
fn ends_with(path: &str, end: &str) -> bool {
    path.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
}

/// The functions that a file has.
fn functions(source: &Source) -> impl Iterator<Item = &str> {
    source.tokens.windows(2).filter(|pair| pair[0].text == "fn").map(|pair| pair[1].text.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(page: &str) -> Vec<String> {
        let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
        let files = [file(PAGE, page), file("a/src/b/c.rs", "fn d() {}")];
        check(&files, &files[1..].iter().map(Source::parse).collect::<Vec<_>>())
    }

    #[test]
    fn what_the_page_names_is_there() {
        assert_eq!(problems("`b/c.rs` and `c.rs` in `b/`, `d()`, `C::d()`, `/etc/b.rs`, `x`\n"), [""; 0]);
        assert_eq!(problems("`b/d.rs`\n\n`x.rs`, `e()` in `x/`").len(), 4);
    }

    #[test]
    fn blocks_are_no_prose() {
        assert_eq!(problems("```\n`x.rs`\n```\n"), [""; 0]);
    }
}
