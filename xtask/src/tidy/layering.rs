//! Who may use whom (ARCHITECTURE.md), where crates do not say it.

use super::{
    File,
    exceptions::{Exceptions, Rule},
    source::{Path, Source, Token},
};

/// A package, crate or module that only some files may name.
struct Layer {
    /// The first segments of the path; of a package its name.
    what: &'static [&'static str],
    /// The files that the rule is about.
    within: &'static [&'static str],
    /// Those of them that may.
    except: &'static [&'static str],
    why: &'static str,
}

impl Layer {
    fn is_about(&self, path: &str) -> bool {
        let is_in = |places: &[&str]| places.iter().any(|place| path.starts_with(place));
        is_in(self.within) && !is_in(self.except)
    }
}

const LAYERS: &[Layer] = &[
    Layer {
        what: &["rtnetlink"],
        within: &["forwarder/crates/kernel/"],
        except: &["forwarder/crates/kernel/src/netlink/"],
        why: "only forwarder/crates/kernel/src/netlink uses rtnetlink",
    },
    Layer {
        what: &["std::fs", "std::process", "std::os::fd", "std::net::TcpStream", "std::net::UdpSocket"],
        within: &["forwarder/crates/plan/", "forwarder/crates/observe/"],
        except: &[],
        why: "plans and what is read of packets touch no kernel",
    },
];

/// Packages that only some crates may depend on: what a crate does not name in its manifest, the compiler keeps from it.
const PACKAGES: &[Layer] = &[
    Layer {
        what: &["aya", "aya-obj"],
        within: &["forwarder/", "forwarder-common/", "tests/", "xtask/", "fuzz/"],
        // Its feature `user` has the records in aya's maps.
        except: &["forwarder/crates/dataplane/", "forwarder-common/"],
        why: "only forwarder/crates/dataplane uses aya",
    },
    Layer {
        what: &["rtnetlink"],
        within: &["forwarder/", "forwarder-common/", "tests/", "xtask/", "fuzz/"],
        except: &["forwarder/crates/kernel/"],
        why: "only forwarder/crates/kernel uses rtnetlink",
    },
    Layer {
        what: &["nix", "rustix"],
        within: &["forwarder/crates/plan/", "forwarder/crates/observe/", "forwarder/crates/render/"],
        except: &[],
        why: "plans, views and what is read of packets touch no kernel",
    },
];

/// The packages in a manifest that its crate may not depend on.
pub(crate) fn check_manifest(file: &File) -> Vec<String> {
    if !file.path.ends_with("/Cargo.toml") {
        return Vec::new();
    }
    let layers: Vec<&Layer> = PACKAGES.iter().filter(|layer| layer.is_about(&file.path)).collect();
    let refused = |line: &str| {
        let package = line.split(['.', ' ', '=']).next()?;
        layers.iter().find(|layer| layer.what.contains(&package)).map(|layer| (package.to_owned(), layer.why))
    };
    let problems = file.text.lines().enumerate().filter_map(|(at, line)| Some((at, refused(line)?)));
    problems.map(|(at, (package, why))| format!("{}:{}: {package}: {why}", file.path, at + 1)).collect()
}

/// The paths of a file that its place does not allow.
pub(crate) fn check(source: &Source) -> Vec<String> {
    let layers: Vec<&Layer> = LAYERS.iter().filter(|layer| layer.is_about(&source.path)).collect();
    let mut problems = Vec::new();
    for path in source.paths() {
        for layer in layers.iter().filter(|layer| layer.what.iter().any(|what| starts_with(&path, what))) {
            problems.push(format!("{}:{}: {}: {}", source.path, path.line, path.segments.join("::"), layer.why));
        }
    }
    problems
}

/// Unsafe code in a file that is not listed for it.
pub(crate) fn check_unsafe(source: &Source, exceptions: &mut Exceptions) -> Option<String> {
    let token = source.tokens.iter().find(|token| token.text == "unsafe")?;
    if exceptions.allow(Rule::Unsafe, &source.path) {
        return None;
    }
    Some(format!(
        "{}:{}: unsafe code in a file that xtask/exceptions.txt does not list for it",
        source.path, token.line
    ))
}

/// Printing in the library: what is shown goes through `render` into a writer that the caller gives.
pub(crate) fn check_prints(source: &Source) -> Option<String> {
    let is_library = source.path.starts_with("forwarder/") && source.path.contains("/src/");
    if !is_library || source.path.starts_with("forwarder/src/bin/") {
        return None;
    }
    let prints = |pair: &[Token]| {
        ["print", "println", "eprint", "eprintln"].contains(&pair[0].text.as_str()) && pair[1].text == "!"
    };
    let pair = source.tokens.windows(2).find(|pair| prints(pair))?;
    Some(format!("{}:{}: the library does not print, it writes where it is told to", source.path, pair[0].line))
}

/// Whether `path` begins with the segments of `what`.
fn starts_with(path: &Path, what: &str) -> bool {
    let wanted: Vec<&str> = what.split("::").collect();
    // One word alone is a crate only in front of `::` or in `use nix;`: a local variable may have its name.
    if path.segments.len() < wanted.len() || (wanted.len() == 1 && path.segments.len() == 1) {
        return false;
    }
    wanted.iter().zip(&path.segments).all(|(want, have)| have == want)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn problems(path: &str, text: &str) -> usize {
        check(&Source::parse(&File { path: path.into(), text: text.into() })).len()
    }

    fn packages(path: &str, text: &str) -> usize {
        check_manifest(&File { path: path.into(), text: text.into() }).len()
    }

    #[test]
    fn only_the_dataplane_depends_on_aya() {
        let manifest = "[dependencies]\naya.workspace = true\naya-obj = \"1\"\nfwd-base.workspace = true\n";
        assert_eq!(packages("forwarder/crates/dataplane/Cargo.toml", manifest), 0);
        assert_eq!(packages("forwarder/Cargo.toml", manifest), 2);
        assert_eq!(packages("forwarder/crates/plan/Cargo.toml", "nix.workspace = true"), 1);
        assert_eq!(packages("Cargo.toml", manifest), 0, "the workspace names the versions");
    }

    #[test]
    fn only_netlink_uses_its_crates() {
        let uses = "use rtnetlink::packet_route::link::LinkAttribute;";
        assert_eq!(problems("forwarder/crates/kernel/src/netlink/link.rs", uses), 0);
        assert_eq!(problems("forwarder/crates/kernel/src/netns/list.rs", uses), 1);
    }

    #[test]
    fn plans_touch_no_kernel() {
        let uses = "use std::{collections::BTreeMap, fs, process::Command};";
        assert_eq!(problems("forwarder/crates/plan/src/up.rs", uses), 2);
        assert_eq!(problems("forwarder/crates/engine/src/execute/run.rs", uses), 0);
    }
}
