//! What the host's own chains and rules about IPv6 do to networks that have it.

use super::without_problems;
use crate::{
    fwd::{answers6, pings6},
    ipv6::{host_with, link},
};

/// Programs forward IPv6, too: the chains have the rest.
#[test]
fn closed_chains_of_ipv6_are_told_for_what_they_keep() {
    for datapath in ["tc", "kernel"] {
        let fwd = host_with(1);
        let outside = link(&fwd, 0).outside;
        fwd.on_host(&["ip6tables", "-P", "FORWARD", "DROP"]);
        let output = fwd.call(&["up", "--ns", &fwd.name("c1"), "--datapath", datapath]);
        let lost = if datapath == "tc" {
            "packets that the programs leave to the kernel are lost"
        } else {
            "nothing gets outside"
        };
        let told = format!("drops what the kernel forwards of IPv6 for network fwd0: {lost}");
        assert!(output.status.success() && output.stderr.contains(&told), "{datapath}: {}", output.stderr);
        let pod = crate::fwd::open(&fwd.name("c1"));
        assert!(if datapath == "tc" { pings6(&pod, outside) } else { !answers6(&pod, outside) }, "{datapath}");
        fwd.on_host(&["ip6tables", "-P", "FORWARD", "ACCEPT"]);
        without_problems(&fwd, &fwd.name("c1"));
    }
}

#[test]
fn rules_of_ipv6_by_marks_are_named_where_a_network_has_it() {
    let fwd = host_with(1);
    fwd.on_host(&["ip", "-6", "rule", "add", "fwmark", "0x1/0xff", "lookup", "100", "priority", "100"]);
    let output = fwd.call(&["up", "--ns", &fwd.name("c1")]);
    assert!(
        output.status.success() && output.stderr.contains("(ip -6 rule 100: fwmark 0x1/0xff)"),
        "{}",
        output.stderr
    );
    let warnings = fwd.json(&["inspect", &fwd.name("c1")])["warnings"].to_string();
    assert!(warnings.contains("ip -6 rule 100: fwmark 0x1/0xff"), "{warnings}");
    let other = fwd.call(&["up", "--ns", &fwd.name("c2"), "--network", "four", "--ipv6", "off"]);
    assert!(other.status.success() && !other.stderr.contains("fwmark"), "{}", other.stderr);
}
