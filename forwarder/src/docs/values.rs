//! docs/json.md: the values that the code declares for a key are those that the page names.

use forwarder_common::abi::FlowState;

use crate::{
    Kind,
    bench::{self, Metric, load::Tool},
    dataplane::{
        Backend, EndpointOwner, HOOK_NAMES, Part, Support, TcxOrder, Transport, VERDICTS, Without, state_name,
    },
    doctor::Verdict,
    netlink::XdpMode,
    reconcile::{ChangeKind, Datapath, IDLE_TIMES, Ipv4, Ipv6, Nat},
    render::{BRIDGE_OWNERS, UPLINK_REASONS, UPLINK_STATES},
};

const PAGE: &str = include_str!("../../../docs/json.md");

/// A key of a section, and every value that it can have; one row an enum.
fn declared() -> Vec<(&'static str, &'static str, Vec<&'static str>)> {
    let attach = Backend::ALL.map(Backend::name).to_vec();
    vec![
        ("ls", "owner", EndpointOwner::ALL.map(EndpointOwner::name).to_vec()),
        ("ls", "datapath", Datapath::ALL.map(Datapath::name).to_vec()),
        ("ls", "attach", attach.clone()),
        ("ls", "nat", Nat::ALL.map(Nat::name).to_vec()),
        ("ls", "ipv4", Ipv4::ALL.map(Ipv4::name).to_vec()),
        ("ls", "ipv6", Ipv6::ALL.map(Ipv6::name).to_vec()),
        ("ls", "xdp", XdpMode::ALL.map(XdpMode::name).to_vec()),
        ("ls", "uplink_state", UPLINK_STATES.to_vec()),
        ("network ls", "nat", Nat::ALL.map(Nat::name).to_vec()),
        ("network ls", "ipv4", Ipv4::ALL.map(Ipv4::name).to_vec()),
        ("network ls", "ipv6", Ipv6::ALL.map(Ipv6::name).to_vec()),
        ("network ls", "uplink_state", UPLINK_STATES.to_vec()),
        ("plan", "change", ChangeKind::ALL.map(ChangeKind::name).to_vec()),
        ("uplink ls", "state", UPLINK_STATES.into_iter().filter(|state| *state != "none").collect()),
        ("uplink ls", "by", UPLINK_REASONS.to_vec()),
        ("uplink ls", "tcx_order", TcxOrder::ALL.map(TcxOrder::name).to_vec()),
        ("port ls", "proto", Transport::ALL.map(Transport::name).to_vec()),
        ("features", "support", Support::NAMES.to_vec()),
        ("features", "parts", Part::ALL.map(Part::name).to_vec()),
        ("features", "without", Without::NAMES.to_vec()),
        ("doctor", "verdict", Verdict::ALL.map(Verdict::name).to_vec()),
        ("graph", "owner", BRIDGE_OWNERS.to_vec()),
        ("flows", "state", flow_states().into_iter().chain(["answered"]).collect()),
        ("trace", "state", flow_states().to_vec()),
        ("stats", "hook", HOOK_NAMES.to_vec()),
        ("stats", "verdict", VERDICTS.to_vec()),
        ("bench", "path", bench::Path::every().map(bench::Path::id).chain(["live"]).collect()),
        ("bench", "metric", Metric::ALL.map(Metric::id).to_vec()),
        ("bench", "with", [Tool::Fwd].into_iter().chain(Tool::OTHERS).map(Tool::id).collect()),
        ("bench", "of", bench::GROWS_WITH.to_vec()),
        ("bench control", "attach", Backend::CHOICES.map(Backend::name).to_vec()),
        ("errors", "code", Kind::ALL.map(Kind::name).to_vec()),
    ]
}

/// States of flows that are shown; `fwd flows` has one more, for an answered query.
fn flow_states() -> [&'static str; 3] {
    [FlowState::HalfOpen, FlowState::Established, FlowState::Closing].map(state_name)
}

/// The rows of a section: key, type, meaning.
fn rows(section: &str) -> Vec<[&'static str; 3]> {
    let (_, rest) = PAGE.split_once(&format!("\n## {section}\n")).unwrap_or_else(|| panic!("no section {section}"));
    let section = rest.split("\n## ").next().unwrap_or(rest);
    let cells = |line: &'static str| {
        let mut cells = line.strip_prefix("| ")?.strip_suffix(" |")?.splitn(3, " | ");
        Some([cells.next()?.trim_matches('`'), cells.next()?, cells.next()?])
    };
    section.lines().filter_map(cells).collect()
}

/// The words of a terminal in a text.
fn words(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_value_is_documented() {
    for (section, key, values) in declared() {
        let rows = rows(section);
        let found = rows.iter().find(|[found, ..]| *found == key);
        let [_, _, meaning] = found.unwrap_or_else(|| panic!("section {section} has no key {key}"));
        let missing: Vec<_> = values.iter().filter(|value| !words(meaning).contains(value)).collect();
        assert!(missing.is_empty(), "docs/json.md, {section}, `{key}` does not name {missing:?}");
    }
}

#[test]
fn every_documented_value_is_declared() {
    for (section, key, values) in declared() {
        let (rows, ls) = (rows(section), rows("ls"));
        let keys: Vec<&str> = rows.iter().chain(&ls).map(|[key, ..]| *key).collect();
        let [_, _, meaning] = rows.iter().find(|[found, ..]| *found == key).unwrap();
        // Keys, values of other keys beside them, and what is typed.
        let others: Vec<&str> =
            declared().into_iter().filter(|(_, other, _)| *other != key).flat_map(|row| row.2).collect();
        let is_other = |word: &str| {
            keys.contains(&word)
                || word.starts_with("--")
                || word.contains(' ')
                || word.chars().any(char::is_uppercase)
                || others.contains(&word) && meaning.contains(&format!("` `{word}`"))
        };
        let strange: Vec<_> =
            words(meaning).into_iter().filter(|word| !values.contains(word) && !is_other(word)).collect();
        assert!(
            strange.is_empty(),
            "docs/json.md, {section}, `{key}` names {strange:?}, which the code does not declare"
        );
    }
}

#[test]
fn a_key_with_alternatives_is_declared() {
    let sections = PAGE.split("\n## ").skip(1).map(|section| section.lines().next().unwrap_or_default());
    for section in sections {
        for [key, kind, meaning] in rows(section) {
            let is_listed = declared().iter().any(|(where_, which, _)| (*where_, *which) == (section, key));
            // Values of another key are named in passing.
            let in_passing = key == "dst_addr";
            assert!(
                is_listed || in_passing || !kind.starts_with("string") || !meaning.contains("` or `"),
                "docs/json.md, {section}, `{key}` names values that are not compared with the code: {meaning}"
            );
        }
    }
}

#[test]
fn every_idle_time_is_one_of_the_option() {
    let page = include_str!("../../../docs/rfc.md");
    assert!(IDLE_TIMES.iter().all(|idle| page.contains(&format!("| `{}` | {} |", idle.name, idle.ends))));
}
