//! Rules for IPv6: the same as for IPv4, and no way around them by addresses of the link.

use forwarder::testbed::TestbedSpec;

use crate::{
    fwd::{Fwd, Pod, number, pings6, try_inside},
    ipv6::{address6, link_local},
    policy::rules,
};

fn pings_on_link(from: &Pod, address: &str) -> bool {
    try_inside(from, &["ping", "-6", "-n", "-q", "-c", "1", "-W", "2", &format!("{address}%eth0")]).status.success()
}

#[test]
fn rules_hold_for_both_families() {
    let fwd = Fwd::with(&TestbedSpec { ipv6: true, ..TestbedSpec::default() });
    let outside = fwd.uplink(0).ipv6.expect("the testbed has IPv6").outside;
    let elsewhere = fwd.uplink(0).ipv6.expect("the testbed has IPv6").gateway;
    let pod = fwd.up("c1", &["--allow-out", &format!("{outside}/icmp")]);
    let other = fwd.up("c2", &[]);
    assert!(pings6(&pod, outside) && !pings6(&pod, elsewhere), "what is allowed, and nothing else");
    assert!(!pings6(&pod, address6(&other)), "nor a neighbour");
    assert!(pings6(&other, address6(&pod)), "who may answer");
    let shown = fwd.json(&["inspect", &pod.name]);
    assert!(number(&shown["others_out_refused"]) >= 2, "{shown}");
    // A rule for all addresses of IPv4 says nothing of IPv6; one for any does.
    fwd.up("c1", &["--deny-out", "0.0.0.0/0"]);
    assert!(pings6(&pod, elsewhere));
    fwd.up("c1", &["--deny-out", "any"]);
    assert!(!pings6(&pod, elsewhere) && !pings6(&pod, address6(&other)));
    assert_eq!(rules(&fwd, &pod).iter().map(|(rule, _)| rule.as_str()).collect::<Vec<_>>(), ["deny-out any"]);
}

#[test]
fn addresses_of_the_link_are_no_way_around_the_rules() {
    let fwd = Fwd::with(&TestbedSpec { ipv6: true, ..TestbedSpec::default() });
    let (closed, open) = (fwd.up("c1", &[]), fwd.up("c2", &[]));
    let (of_closed, of_open) = (link_local(&closed), link_local(&open));
    assert!(pings_on_link(&open, &of_closed), "without rules they reach each other");
    fwd.up("c1", &["--deny-in", "any"]);
    assert!(!pings_on_link(&open, &of_closed) && !pings6(&open, address6(&closed)), "it may not be asked");
    assert!(pings_on_link(&closed, &of_open) && pings6(&closed, address6(&open)), "it may ask");
    assert!(fwd.counted("from_ns", "dropped", Some("DeniedIn")) >= 2);
    fwd.up("c1", &["--deny-in", "any", "--allow-in", "fe80::/10"]);
    assert!(pings_on_link(&open, &of_closed), "such addresses have rules of their own");
}
