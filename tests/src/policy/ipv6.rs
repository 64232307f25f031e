//! Rules for IPv6: the same as for IPv4, and no way around them by addresses of the link.

use forwarder::testbed::{TestbedSpec, wait_until};
use forwarder_common::wire::{
    emit::{Ethernet, Ipv6Packet},
    ndisc::kind::NEIGHBOUR_ADVERTISEMENT as ADVERTISEMENT,
};

use crate::{
    fwd::{Fwd, LIMIT, Pod, answers6, inside, number, pings6, try_inside},
    ipv6::{address6, link_local},
    policy::rules,
    raw::{mac_of, send},
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
    assert!(pings6(&pod, outside) && !answers6(&pod, elsewhere), "what is allowed, and nothing else");
    assert!(!answers6(&pod, address6(&other)), "nor a neighbour");
    assert!(pings6(&other, address6(&pod)), "who may answer");
    let shown = fwd.json(&["inspect", &pod.name]);
    assert!(number(&shown["others_out_refused"]) >= 2, "{shown}");
    // A rule for all addresses of IPv4 says nothing of IPv6; one for any does.
    fwd.up("c1", &["--deny-out", "0.0.0.0/0"]);
    assert!(pings6(&pod, elsewhere));
    fwd.up("c1", &["--deny-out", "any"]);
    assert!(!answers6(&pod, elsewhere) && !answers6(&pod, address6(&other)));
    assert_eq!(rules(&fwd, &pod).iter().map(|(rule, _)| rule.as_str()).collect::<Vec<_>>(), ["deny-out any"]);
}

#[test]
fn addresses_of_the_link_are_no_way_around_the_rules() {
    let fwd = Fwd::with(&TestbedSpec { ipv6: true, ..TestbedSpec::default() });
    let (closed, open) = (fwd.up("c1", &[]), fwd.up("c2", &[]));
    let (of_closed, of_open) = (link_local(&closed), link_local(&open));
    assert!(pings_on_link(&open, &of_closed), "without rules they reach each other");
    fwd.up("c1", &["--deny-in", "any"]);
    assert!(!pings_on_link(&open, &of_closed) && !answers6(&open, address6(&closed)), "it may not be asked");
    assert!(pings_on_link(&closed, &of_open) && pings6(&closed, address6(&open)), "it may ask");
    assert!(fwd.counted("from_ns", "dropped", Some("DeniedIn")) >= 2);
    fwd.up("c1", &["--deny-in", "any", "--allow-in", "fe80::/10"]);
    assert!(pings_on_link(&open, &of_closed), "such addresses have rules of their own");
}

/// Conntrack follows no ICMPv6 of the link, so no rule is asked about it: from a neighbour, nothing of it but neighbour discovery arrives.
#[test]
fn messages_of_the_link_are_no_way_around_rules_that_the_kernel_keeps() {
    let fwd = Fwd::with(&TestbedSpec { ipv6: true, ..TestbedSpec::default() });
    let (other, open) = (fwd.up("c1", &["--datapath", "kernel"]), fwd.up("c2", &[]));
    let ruled = fwd.up("c3", &["--allow-in", "2001:db8:ffff::/64"]);
    const UNTRACKED: [u8; 7] = [130, 131, 132, 133, 134, 137, 143];
    let (from, own) = (address6(&other), mac_of(&other, "eth0"));
    let heard = |pod: &Pod, kind: u8| -> u64 {
        let (counters, name) = (inside(pod, &["cat", "/proc/net/snmp6"]), format!("Icmp6InType{kind} "));
        let counter = counters.lines().find_map(|line| line.strip_prefix(&name)).map(str::trim);
        counter.map_or(0, |counter| counter.parse().expect("a number"))
    };
    for (pod, arrives) in [(&open, true), (&ruled, false)] {
        let to = address6(pod);
        let ethernet = Ethernet::new(mac_of(pod, "eth0"), own);
        let frame = |kind| Ipv6Packet::icmp(from, to, kind, 0).payload(&[0; 20]).hop_limit(255).in_frame(&ethernet);
        let before = [UNTRACKED.map(|kind| heard(pod, kind)).iter().sum(), heard(pod, ADVERTISEMENT)];
        send(&other, "eth0", &UNTRACKED.map(frame));
        // More than neighbours tell by themselves.
        send(&other, "eth0", &[ADVERTISEMENT; 20].map(frame));
        let told = || Ok((heard(pod, ADVERTISEMENT) >= before[1] + 20).then_some(()));
        wait_until(LIMIT, "what neighbours tell arrives", told).expect("it does");
        let after: u64 = UNTRACKED.map(|kind| heard(pod, kind)).iter().sum();
        assert_eq!(after - before[0], if arrives { 7 } else { 0 });
    }
}
