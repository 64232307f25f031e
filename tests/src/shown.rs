//! What commands show of one namespace, and what they explain.

use forwarder_common::types::verdict::{DropReason, PuntReason};
use serde_json::json;

use crate::fwd::{Fwd, inside};

#[test]
fn lists_and_counters_of_one_namespace_leave_out_the_others() {
    let fwd = Fwd::new();
    let (one, other) = (fwd.up("c1", &[]), fwd.up("c2", &[]));
    inside(&one, &["ping", "-c1", "-W5", &fwd.uplink(0).outside[0].to_string()]);
    for target in
        [vec![one.name.as_str()], vec!["--ns", &one.name], vec!["--netns", &format!("/run/netns/{}", one.name)]]
    {
        let listed = fwd.list(&[&["ls"], &target[..]].concat());
        assert_eq!(listed.iter().map(|endpoint| &endpoint["ns"]).collect::<Vec<_>>(), [&json!(one.name)]);
        let counted = fwd.list(&[&["stats"], &target[..]].concat());
        assert!(
            !counted.is_empty() && counted.iter().all(|stat| stat["ifname"] == one.host_if.as_str()),
            "{counted:#?}"
        );
        assert!(counted.iter().all(|stat| stat["ns"] == one.name.as_str() && stat["ns_if"] == "eth0"), "{counted:#?}");
    }
    assert_eq!(fwd.list(&["ls"]).len(), 2);
    for command in ["ls", "stats"] {
        fwd.expect_error(&[command, &format!("{}x", other.name)], 3, &["not up", "did you mean"]);
    }
}

#[test]
fn an_answered_query_is_no_half_open_flow() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    inside(&pod, &["ping", "-c1", "-W5", &fwd.uplink(0).outside[0].to_string()]);
    let flows = fwd.list(&["flows", &pod.name]);
    let states: Vec<_> = flows.iter().map(|flow| (&flow["proto"], &flow["state"])).collect();
    assert_eq!(states, [(&json!("icmp"), &json!("answered"))]);
}

#[test]
fn reasons_are_explained_below_the_counters() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    inside(&pod, &["ping", "-c1", "-W5", &pod.gateway.to_string()]);
    let plain = fwd.ok(&["stats"]);
    assert!(plain.contains("ToHost") && plain.contains("stats --explain") && !plain.contains("gateway"), "{plain}");
    let explained = fwd.ok(&["stats", "--explain"]);
    assert!(explained.contains(PuntReason::ToHost.meaning().trim()), "{explained}");
    let all = fwd.ok(&["stats", "--all", "--explain"]);
    let punts = PuntReason::ALL.iter().map(|punt| (punt.name(), punt.meaning(), punt.advice()));
    let drops = DropReason::ALL.iter().map(|drop| (drop.name(), drop.meaning(), drop.advice()));
    for (name, meaning, advice) in punts.chain(drops) {
        let said = format!("\n{name}  {}\n  → {advice}\n", meaning.trim());
        assert!(all.contains(&said), "{said:?} is missing: {all}");
    }
}
