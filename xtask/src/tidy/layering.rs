//! Who may use whom (ARCHITECTURE.md).

use super::{
    exceptions::{Exceptions, Rule},
    source::{Path, Source, Token},
};

/// A crate or module that only some files may name.
struct Layer {
    /// The first segments of the path, each as a prefix: `netlink_` stands for all crates named so.
    what: &'static [&'static str],
    /// The files that the rule is about.
    within: &'static [&'static str],
    /// Those of them that may.
    except: &'static [&'static str],
    why: &'static str,
}

const HOST: &[&str] = &["forwarder/", "tests/", "xtask/"];
const RECONCILE: &[&str] = &["forwarder/src/reconcile/"];

const LAYERS: &[Layer] = &[
    Layer {
        what: &["aya"],
        within: HOST,
        except: &["forwarder/src/dataplane/"],
        why: "only forwarder/src/dataplane uses aya",
    },
    Layer {
        what: &["rtnetlink"],
        within: HOST,
        except: &["forwarder/src/netlink/"],
        why: "only forwarder/src/netlink uses rtnetlink",
    },
    Layer {
        what: &["netlink_packet_", "netlink_proto", "netlink_sys"],
        within: HOST,
        except: &["forwarder/src/netlink/"],
        why: "only forwarder/src/netlink uses netlink packets",
    },
    Layer { what: &["nix", "libc"], within: RECONCILE, except: &[], why: "reconcile touches no kernel" },
    Layer {
        what: &["std::fs", "std::process", "std::os::fd", "std::net::TcpStream", "std::net::UdpSocket"],
        within: RECONCILE,
        except: &[],
        why: "reconcile touches no kernel",
    },
];

/// The paths of a file that its place does not allow.
pub(crate) fn check(source: &Source) -> Vec<String> {
    let is_in = |places: &[&str]| places.iter().any(|place| source.path.starts_with(place));
    let layers: Vec<&Layer> = LAYERS.iter().filter(|layer| is_in(layer.within) && !is_in(layer.except)).collect();
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
    if !source.path.starts_with("forwarder/src/") || source.path.starts_with("forwarder/src/bin/") {
        return None;
    }
    let prints = |pair: &[Token]| {
        ["print", "println", "eprint", "eprintln"].contains(&pair[0].text.as_str()) && pair[1].text == "!"
    };
    let pair = source.tokens.windows(2).find(|pair| prints(pair))?;
    Some(format!("{}:{}: the library does not print, it writes where it is told to", source.path, pair[0].line))
}

/// Whether `path` begins with the segments of `what`; one that ends with `_` is a prefix of a name.
fn starts_with(path: &Path, what: &str) -> bool {
    let wanted: Vec<&str> = what.split("::").collect();
    // One word alone is a crate only in front of `::` or in `use nix;`: a local variable may have its name.
    if path.segments.len() < wanted.len() || (wanted.len() == 1 && path.segments.len() == 1) {
        return false;
    }
    wanted
        .iter()
        .zip(&path.segments)
        .all(|(want, have)| if want.ends_with('_') { have.starts_with(want) } else { have == want })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::File;

    #[track_caller]
    fn problems(path: &str, text: &str) -> usize {
        check(&Source::parse(&File { path: path.into(), text: text.into() })).len()
    }

    #[test]
    fn only_the_dataplane_uses_aya() {
        assert_eq!(problems("forwarder/src/dataplane/maps.rs", "use aya::maps::HashMap;"), 0);
        assert_eq!(problems("forwarder/src/cli/up.rs", "use aya::maps::HashMap;"), 1);
        assert_eq!(problems("forwarder/src/cli/up.rs", "/// As `aya::maps::HashMap`.\nlet aya = 1;"), 0);
    }

    #[test]
    fn only_netlink_uses_its_crates() {
        assert_eq!(problems("forwarder/src/netlink/link.rs", "use rtnetlink::packet_route::link::LinkAttribute;"), 0);
        assert_eq!(problems("tests/tests/a.rs", "netlink_packet_core::parse_u32(b);"), 1);
        assert_eq!(problems("forwarder/src/cli/up.rs", "use crate::netlink::Netlink;"), 0);
    }

    #[test]
    fn reconcile_touches_no_kernel() {
        assert_eq!(
            problems("forwarder/src/reconcile/plan.rs", "use std::{collections::BTreeMap, fs, process::Command};"),
            2
        );
        assert_eq!(problems("forwarder/src/reconcile/plan.rs", "let a = nix::unistd::getpid();"), 1);
        assert_eq!(problems("forwarder/src/execute/run.rs", "use std::{fs, process::Command};"), 0);
    }
}
