//! The licences of everything that goes into the binaries; deny.toml says the same to cargo-deny.

use anyhow::Result;

use crate::workspace::{Workspace, capture};

/// What a program under MIT OR Apache-2.0 may contain.
const ALLOWED: &[&str] = &[
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "Unlicense",
    "CC0-1.0",
];

/// The dependencies of the host crates whose licence is not allowed.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<String>> {
    let tree =
        capture(workspace.cargo("tree").args(["--locked", "--workspace", "--exclude", "forwarder-ebpf"]).args([
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--no-dedupe",
            "--format",
            "{p}|{l}",
        ]))?;
    let mut packages: Vec<(&str, &str)> = tree.lines().filter_map(|line| line.split_once('|')).collect();
    packages.sort_unstable();
    packages.dedup();
    let refused = packages.into_iter().filter(|(_, licence)| !is_allowed(licence));
    Ok(refused.map(|(package, licence)| format!("{package}: the licence {licence:?} is not allowed in fwd")).collect())
}

/// Whether an SPDX expression can be met with the allowed licences. `/` is the old way to write OR.
fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    any(&words, &mut at) && at == words.len()
}

/// `A OR B …`
fn any(words: &[&str], at: &mut usize) -> bool {
    let mut allowed = all(words, at);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        allowed |= all(words, at);
    }
    allowed
}

/// `A AND B …`
fn all(words: &[&str], at: &mut usize) -> bool {
    let mut allowed = one(words, at);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        allowed &= one(words, at);
    }
    allowed
}

/// A licence, with an exception or not, or an expression in parentheses.
fn one(words: &[&str], at: &mut usize) -> bool {
    let Some(&first) = words.get(*at) else { return false };
    *at += 1;
    if first == "(" {
        let allowed = any(words, at);
        let closed = words.get(*at) == Some(&")");
        *at += 1;
        return allowed && closed;
    }
    if words.get(*at) == Some(&"WITH") {
        let exception = words.get(*at + 1).copied().unwrap_or_default();
        *at += 2;
        return ALLOWED.contains(&format!("{first} WITH {exception}").as_str());
    }
    ALLOWED.contains(&first)
}

#[cfg(test)]
mod tests {
    use super::is_allowed;

    #[test]
    fn one_of_several_licences_is_enough() {
        assert!(is_allowed("MIT OR GPL-2.0-only"));
        assert!(is_allowed("MIT/Apache-2.0"));
        assert!(is_allowed("Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT"));
    }

    #[test]
    fn every_licence_of_a_conjunction_counts() {
        assert!(is_allowed("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(!is_allowed("(MIT OR Apache-2.0) AND GPL-2.0-only"));
    }

    #[test]
    fn copyleft_nothing_and_nonsense_are_refused() {
        for licence in ["GPL-3.0-or-later", "", "(MIT", "MIT MIT"] {
            assert!(!is_allowed(licence), "{licence}");
        }
    }
}
