//! Rules that the kernel's own data path keeps, by nftables.

use crate::{
    commands::{assert_as_before, snapshot},
    fwd::{Fwd, pings},
    peers::{any, at, listen},
    policy::{connects, rules},
};

#[test]
fn rules_of_nftables_come_and_go_with_their_endpoint_and_are_mended() {
    let fwd = Fwd::new();
    let before = snapshot(&fwd);
    let other = fwd.up("c1", &["--datapath", "kernel"]);
    let pod = fwd.up("c2", &["--deny-in", &other.address.to_string(), "--deny-out", "192.0.2.7:25"]);
    let _listener = listen(&pod, any(7070));
    assert!(!connects(&other, at(pod.address, 7070)) && pings(&pod, other.address));
    let denied = format!("deny-in {}", other.address);
    let counted = |rule: &str| rules(&fwd, &pod).into_iter().find(|(it, _)| it == rule).expect("a rule").1;
    let refused = counted(&denied);
    assert!(refused > 0);
    // By hand they go, and by the next command they are there again.
    fwd.on_host(&["nft", "flush", "chain", "ip", "fwd_nat", "rules_in"]);
    assert!(pings(&other, pod.address));
    assert_eq!(fwd.up("c2", &[]).shown["changed"], true);
    assert!(!pings(&other, pod.address) && counted(&denied) > 0);
    assert_eq!(fwd.up("c2", &[]).shown["changed"], false);
    // One that has none costs nobody else theirs.
    fwd.ok(&["down", "--ns", &other.name]);
    let shown = fwd.on_host(&["nft", "list", "table", "ip", "fwd_nat"]);
    assert!(shown.contains(&format!("ct original ip saddr {}", pod.address)), "{shown}");
    fwd.ok(&["down", "--ns", &pod.name]);
    assert_as_before(&fwd, &before);
}
