//! What no file may contain: traces of the machine it was written on.

use super::File;

/// Beginnings of paths that exist on one machine only.
const PRIVATE: &[&str] = &[concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/wo", "rk/")];
/// The only registry that Cargo.lock may name.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Private paths, other registries, and blanks at the end of a line.
pub(crate) fn check(file: &File) -> Vec<String> {
    let mut problems = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        let mut problem = |what: String| problems.push(format!("{}:{}: {what}", file.path, number + 1));
        if let Some(path) = PRIVATE.iter().find(|path| contains_path(line, path)) {
            problem(format!("a path below {path} exists on one machine only"));
        }
        if file.path == "Cargo.lock" && line.starts_with("source = ") && !line.contains(REGISTRY) {
            problem(format!("not from crates.io: {line}"));
        }
        if line.ends_with([' ', '\t']) && !file.path.ends_with(".snap") {
            problem("blanks at the end of the line".into());
        }
    }
    if file.path.starts_with(".cargo/") && (file.text.contains("[source") || file.text.contains("[registries")) {
        problems.push(format!("{}: the build uses crates.io alone", file.path));
    }
    problems
}

/// Whether the absolute path `path` begins in `line`; `a/home/` and `https://host/home/` are others.
fn contains_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-~}*".contains(c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(path: &str, text: &str) -> usize {
        check(&File { path: path.into(), text: text.into() }).len()
    }

    #[test]
    fn private_paths_are_found() {
        assert_eq!(problems("a.md", concat!("see `/ho", "me/me/notes`")), 1);
        assert_eq!(problems("a.md", concat!("https://example.org/ho", "me/me and /ro", "ot")), 0);
    }

    #[test]
    fn the_lock_file_names_one_registry() {
        assert_eq!(problems("Cargo.lock", &format!("source = \"{REGISTRY}\"")), 0);
        assert_eq!(problems("Cargo.lock", "source = \"registry+https://example.org/index\""), 1);
    }
}
