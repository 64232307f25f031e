//! The licences of everything that goes into the binaries, by the list in deny.toml, which `./x deny` goes by too.

use std::fs;

use anyhow::{Context as _, Result};
use spdx::{Expression, ParseMode};

use crate::workspace::{Workspace, capture};

const LIST: &str = "deny.toml";

/// The dependencies of the host crates whose licence is not allowed.
pub(crate) fn check(workspace: &Workspace) -> Result<Vec<String>> {
    let list = fs::read_to_string(workspace.root.join(LIST)).with_context(|| format!("cannot read {LIST}"))?;
    let allowed = allowed(&list).with_context(|| format!("{LIST} has no list `allow` of licences"))?;
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
    let refused = packages.into_iter().filter(|(_, licence)| !is_met(licence, &allowed));
    Ok(refused.map(|(package, licence)| format!("{package}: the licence {licence:?} is not allowed in fwd")).collect())
}

/// The licences that deny.toml allows everywhere.
fn allowed(list: &str) -> Option<Vec<&str>> {
    let (_, licences) = list.split_once("\n[licenses]\n")?;
    let (_, names) = licences.split_once("\nallow = [")?;
    let (names, _) = names.split_once(']')?;
    Some(names.split('"').skip(1).step_by(2).collect())
}

/// Whether the allowed licences meet an SPDX expression. Old manifests have `/` for OR.
fn is_met(expression: &str, allowed: &[&str]) -> bool {
    let parsed = Expression::parse_mode(expression, ParseMode::LAX);
    parsed.is_ok_and(|parsed| parsed.evaluate(|licence| allowed.contains(&licence.to_string().as_str())))
}

#[cfg(test)]
mod tests {
    use super::{allowed, is_met};

    const LIST: &str = "[graph]\n\n[licenses]\nversion = 2\nallow = [\n    \"MIT\",\n    \"Apache-2.0\",\n    \
                        \"Apache-2.0 WITH LLVM-exception\",\n    \"Unicode-3.0\",\n]\nexceptions = [{ allow = [\"NCSA\"] }]\n";

    fn is_allowed(expression: &str) -> bool {
        is_met(expression, &allowed(LIST).unwrap())
    }

    #[test]
    fn one_of_several_licences_is_enough() {
        assert!(is_allowed("MIT OR GPL-2.0-only"));
        assert!(is_allowed("MIT/Apache-2.0"));
        assert!(is_allowed("GPL-2.0-only OR Apache-2.0 WITH LLVM-exception"));
    }

    #[test]
    fn every_licence_of_a_conjunction_counts() {
        assert!(is_allowed("(MIT OR Apache-2.0) AND Unicode-3.0"));
        assert!(!is_allowed("(MIT OR Apache-2.0) AND GPL-2.0-only"));
    }

    #[test]
    fn copyleft_exceptions_of_others_nothing_and_nonsense_are_refused() {
        for licence in ["GPL-3.0-or-later", "NCSA", "", "(MIT", "MIT MIT"] {
            assert!(!is_allowed(licence), "{licence}");
        }
    }
}
