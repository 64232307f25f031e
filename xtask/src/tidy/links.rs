//! Links between the Markdown files.

use std::collections::HashSet;

use super::File;

/// Links to files that do not exist, and pages in docs/ that no other page links to.
pub(crate) fn check(files: &[File]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut linked = HashSet::new();
    for page in files.iter().filter(|file| file.path.ends_with(".md")) {
        for (line, link) in links(&page.text) {
            let target = resolve(&page.path, link);
            let is_directory = files.iter().any(|file| file.path.starts_with(&format!("{target}/")));
            if !is_directory && !files.iter().any(|file| file.path == target) {
                problems.push(format!("{}:{line}: the link {link:?} leads nowhere", page.path));
            }
            if target != page.path {
                linked.insert(target);
            }
        }
    }
    let pages = files.iter().filter(|file| file.path.starts_with("docs/") && file.path.ends_with(".md"));
    let lost = pages.filter(|page| !linked.contains(&page.path));
    problems.extend(lost.map(|page| format!("{}: no other page links to it", page.path)));
    problems
}

/// The relative links of a page outside its code blocks, each with its line.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        for part in line.split("](").skip(1).filter(|_| !in_code) {
            let link = part.split([')', '#', ' ']).next().unwrap_or_default();
            if !link.is_empty() && !link.contains("://") && !link.starts_with("mailto:") {
                found.push((number + 1, link));
            }
        }
    }
    found
}

/// The path of `link` on the page `page`, from the top of the checkout.
fn resolve(page: &str, link: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in link.trim_end_matches('/').split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(path: &str, text: &str) -> File {
        File { path: path.into(), text: text.into() }
    }

    #[test]
    fn a_page_that_nobody_links_to_is_lost() {
        let files = [page("README.md", "[json](docs/json.md#keys)"), page("docs/json.md", ""), page("docs/rfc.md", "")];
        assert_eq!(check(&files), ["docs/rfc.md: no other page links to it"]);
    }

    #[test]
    fn a_link_to_nothing_is_a_problem() {
        let files = [page("docs/a.md", "[up](../README.md) [no](b.md)"), page("README.md", "[a](docs/a.md)")];
        assert_eq!(check(&files), ["docs/a.md:1: the link \"b.md\" leads nowhere"]);
    }
}
