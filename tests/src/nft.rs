//! Source NAT by nftables, made over netlink and read by `nft`.

mod pair;
mod rate;

use std::time::Duration;

use forwarder::{
    Kind,
    netlink::nft::{
        self, Leaving, Masquerade, PolicyDirection, PolicyRule, PolicyRules, PortRules, Separation, SourceRules,
    },
    testbed::{self, Namespace, unique_prefix},
};

fn namespace() -> Namespace {
    Namespace::create(&format!("{}-host", unique_prefix())).expect("a namespace")
}

fn rule(network: &str, subnet: &str, uplink: &str) -> Masquerade {
    Masquerade { network: network.into(), subnet: subnet.parse().unwrap(), leaving: Leaving::By(uplink.into()) }
}

fn run(ns: &Namespace, argv: &[&str]) -> testbed::Output {
    testbed::run(testbed::command_in(ns, argv), Duration::from_secs(120)).unwrap()
}

#[track_caller]
fn assert_shown(ns: &Namespace, expected: &str) {
    let shown = run(ns, &["nft", "list", "table", "ip", nft::TABLE]).success().unwrap().stdout;
    assert_eq!(shown, expected);
}

#[test]
fn nft_shows_the_rule_as_one_would_write_it() {
    let host = namespace();
    assert!(host.run(|| nft::ensure_masquerade(&rule("default", "10.77.0.7/24", "eth0"))).unwrap());
    assert!(host.run(|| nft::ensure_masquerade(&rule("other", "10.78.0.0/20", "wlan-outside"))).unwrap());
    let anywhere = Masquerade { leaving: Leaving::NotBy("fwd0".into()), ..rule("routed", "10.79.0.0/24", "") };
    assert!(host.run(|| nft::ensure_masquerade(&anywhere)).unwrap());
    let expected = "table ip fwd_nat {\n\tchain postrouting {\n\
        \t\ttype nat hook postrouting priority srcnat; policy accept;\n\
        \t\tip saddr 10.77.0.0/24 oifname \"eth0\" masquerade comment \"default\"\n\
        \t\tip saddr 10.78.0.0/20 oifname \"wlan-outside\" masquerade comment \"other\"\n\
        \t\tip saddr 10.79.0.0/24 oifname != \"fwd0\" oifname != \"lo\" masquerade comment \"routed\"\n\t}\n}\n";
    assert_shown(&host, expected);

    // What nft shows, nft takes: a saved rule set can be loaded again, and means the same to us.
    run(&host, &["nft", "delete", "table", "ip", nft::TABLE]).success().unwrap();
    assert_eq!(host.run(nft::masquerade_rules).unwrap(), []);
    run(&host, &["nft", expected]).success().unwrap();
    assert!(!host.run(|| nft::ensure_masquerade(&rule("default", "10.77.0.0/24", "eth0"))).unwrap());
    assert!(!host.run(|| nft::ensure_masquerade(&anywhere)).unwrap());
    assert_shown(&host, expected);
}

#[test]
fn isolation_is_shown_as_one_would_write_it_and_replaced_where_it_differs() {
    let host = namespace();
    assert!(host.run(|| nft::ensure_isolation("default", "fwd7", Separation::default())).unwrap());
    assert!(host.run(|| nft::ensure_isolation("default", "fwd0", Separation::default())).unwrap());
    assert!(!host.run(|| nft::ensure_isolation("default", "fwd0", Separation::default())).unwrap());
    assert!(host.run(|| nft::ensure_masquerade(&rule("default", "10.77.0.0/24", "eth0"))).unwrap());
    let expected = "table ip fwd_nat {\n\tchain forward {\n\
        \t\ttype filter hook forward priority filter; policy accept;\n\
        \t\toifname \"fwd0\" iifname != \"fwd0\" ct state ! established,related drop comment \"default\"\n\t}\n\n\
        \tchain inside {\n\t}\n\n\
        \tchain prerouting {\n\
        \t\ttype nat hook prerouting priority dstnat; policy accept;\n\
        \t\tiifname \"fwd0\" jump inside comment \"default\"\n\t}\n\n\
        \tchain postrouting {\n\
        \t\ttype nat hook postrouting priority srcnat; policy accept;\n\
        \t\tip saddr 10.77.0.0/24 oifname \"eth0\" masquerade comment \"default\"\n\t}\n}\n";
    assert_shown(&host, expected);
    assert_eq!(host.run(nft::isolated_networks).unwrap(), ["default"]);
    assert_eq!(host.run(nft::masquerade_rules).unwrap().len(), 1);
    // Either goes by itself, the table with the last.
    assert!(host.run(|| nft::remove_masquerade("default")).unwrap());
    assert_eq!(host.run(nft::isolated_networks).unwrap(), ["default"]);
    assert!(host.run(|| nft::remove_isolation("default")).unwrap());
    assert!(!host.run(|| nft::remove_isolation("default")).unwrap());
    assert_eq!(host.run(nft::tables).unwrap(), [""; 0]);
}

#[test]
fn what_a_network_must_not_forward_is_shown_as_one_would_write_it() {
    let host = namespace();
    for (internal, no_icc) in [(false, false), (false, true), (true, false), (true, true)] {
        let separation = Separation { internal, no_icc };
        assert!(host.run(|| nft::ensure_isolation("vault", "fwd7", Separation::default())).unwrap());
        assert!(host.run(|| nft::ensure_isolation("vault", "fwd0", separation)).unwrap());
        assert!(!host.run(|| nft::ensure_isolation("vault", "fwd0", separation)).unwrap());
        let shown = run(&host, &["nft", "list", "table", "ip", nft::TABLE]).success().unwrap().stdout;
        let words = |text: &str| text.replace("{ established, related }", "established,related").replace("!=", "!");
        let rules: Vec<_> = shown
            .lines()
            .filter_map(|line| line.split_once(" comment \"vault\""))
            .map(|(rule, _)| words(rule.trim()))
            .collect();
        let inward = nft::inward_rule("fwd0").split_off("prerouting ".len());
        let wanted = separation.rules("fwd0").into_iter().chain([inward]);
        assert_eq!(rules, wanted.map(|rule| words(&rule)).collect::<Vec<_>>());
        assert!(host.run(|| nft::remove_isolation("vault")).unwrap());
        assert_eq!(host.run(nft::tables).unwrap(), [""; 0]);
    }
}

#[test]
fn ensure_is_idempotent_and_replaces_what_differs() {
    let host = namespace();
    let first = rule("default", "10.77.0.0/24", "eth0");
    assert!(host.run(|| nft::ensure_masquerade(&first)).unwrap());
    assert!(!host.run(|| nft::ensure_masquerade(&first)).unwrap());
    assert_eq!(host.run(nft::masquerade_rules).unwrap(), [first]);
    let moved = rule("default", "10.77.0.0/24", "eth1");
    assert!(host.run(|| nft::ensure_masquerade(&moved)).unwrap());
    assert_eq!(host.run(nft::masquerade_rules).unwrap(), [moved]);
}

#[test]
fn table_goes_with_the_last_network() {
    let host = namespace();
    assert!(!host.run(|| nft::remove_masquerade("default")).unwrap());
    for network in ["default", "other"] {
        host.run(|| nft::ensure_masquerade(&rule(network, "10.77.0.0/24", "eth0"))).unwrap();
    }
    assert_eq!(host.run(nft::tables).unwrap(), ["ip fwd_nat"]);
    assert!(host.run(|| nft::remove_masquerade("default")).unwrap());
    let left: Vec<_> = host.run(nft::masquerade_rules).unwrap().into_iter().map(|rule| rule.network).collect();
    assert_eq!(left, ["other"]);
    assert!(host.run(|| nft::remove_masquerade("other")).unwrap());
    assert_eq!(host.run(nft::tables).unwrap(), [""; 0]);
    assert!(!host.run(|| nft::remove_masquerade("other")).unwrap());
}

#[test]
fn rules_of_others_in_the_table_stay() {
    let host = namespace();
    host.run(|| nft::ensure_masquerade(&rule("default", "10.77.0.0/24", "eth0"))).unwrap();
    run(&host, &["nft", "add rule ip fwd_nat postrouting counter comment \"mine\""]).success().unwrap();
    run(&host, &["nft", "add table inet filter"]).success().unwrap();
    assert!(host.run(|| nft::remove_masquerade("default")).unwrap());
    assert_eq!(host.run(nft::tables).unwrap(), ["inet filter", "ip fwd_nat"]);
    assert_eq!(host.run(nft::masquerade_rules).unwrap(), []);
}

#[test]
fn names_too_long_are_refused_before_anything_is_made() {
    let host = namespace();
    let long = "n".repeat(128);
    for rule in [rule(&long, "10.77.0.0/24", "eth0"), rule("default", "10.77.0.0/24", "a-name-of-sixteen")] {
        assert_eq!(host.run(|| nft::ensure_masquerade(&rule)).unwrap_err().kind, Kind::Usage);
    }
    assert_eq!(host.run(nft::tables).unwrap(), [""; 0]);
    let longest = rule(&long[1..], "10.77.0.0/24", "a-name-of-15-by");
    host.run(|| nft::ensure_masquerade(&longest)).unwrap();
    assert_eq!(host.run(nft::masquerade_rules).unwrap(), [longest]);
}

fn port(first: u16, last: u16, inside: u16) -> PortRules {
    PortRules {
        network: "default".into(),
        bridge: "fwd0".into(),
        subnet: "10.77.0.0/24".parse().unwrap(),
        address: "10.77.0.2".parse().unwrap(),
        host: None,
        proto: (6, "tcp"),
        first,
        last,
        inside,
        senders: Vec::new(),
        uplink: None,
    }
}

#[test]
fn published_ports_are_shown_as_one_would_write_them_and_go_alone_or_with_their_network() {
    let host = namespace();
    host.run(|| nft::ensure_isolation("default", "fwd0", Separation::default())).unwrap();
    let six = PortRules {
        subnet: "fd00:1::/64".parse().unwrap(),
        address: "fd00:1::2".parse().unwrap(),
        uplink: Some("eth0".into()),
        ..port(8080, 8080, 80)
    };
    let restricted = PortRules {
        host: Some("198.51.100.2".parse().unwrap()),
        proto: (17, "udp"),
        senders: vec!["192.0.2.0/24".parse().unwrap(), "203.0.113.7/32".parse().unwrap()],
        uplink: Some("eth0".into()),
        ..port(53, 53, 5353)
    };
    for rules in [port(8080, 8080, 80), port(9000, 9099, 9000), restricted, six.clone()] {
        // Again is the same.
        for _ in 0..2 {
            host.run(|| nft::ensure_port_rules(&rules)).unwrap();
        }
        let (family, table) = if rules.address.is_ipv4() { ("ip", nft::TABLE) } else { ("ip6", nft::TABLE) };
        let shown = run(&host, &["nft", "list", "table", family, table]).success().unwrap().stdout;
        let comment = format!(" comment \"{}\"", rules.comment());
        let words = |text: &str| {
            let text = text.replace("/32", "").replace("/128", "");
            text.replace("meta l4proto", "").split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let mut found: Vec<String> =
            shown.lines().filter_map(|line| line.split_once(comment.as_str())).map(|(rule, _)| words(rule)).collect();
        let mut wanted: Vec<String> = rules.rules().iter().map(|(_, rule)| words(rule)).collect();
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted, "{shown}");
    }
    let comments = ["default *:8080/tcp", "default *:9000/tcp", "default 198.51.100.2:53/udp"];
    assert_eq!(host.run(|| nft::port_rules(true)).unwrap(), comments);
    assert_eq!(host.run(|| nft::port_rules(false)).unwrap(), ["default [::]:8080/tcp"]);
    assert_eq!(host.run(nft::isolated_networks).unwrap(), ["default"]);
    for rules in [port(8080, 8080, 80), six] {
        assert!(host.run(|| nft::remove_port_rules(&rules)).unwrap());
        assert!(!host.run(|| nft::remove_port_rules(&rules)).unwrap());
    }
    assert_eq!(host.run(|| nft::port_rules(true)).unwrap(), comments[1..]);
    assert_eq!(host.run(|| nft::port_rules(false)).unwrap(), [""; 0]);
    assert_eq!(host.run(|| nft::ensure_port_rules(&port(1, 9, 11))).unwrap_err().kind, Kind::Unsupported);
    assert!(host.run(|| nft::remove_isolation("default")).unwrap());
    assert_eq!(host.run(nft::tables).unwrap(), [""; 0]);
}

#[test]
fn sources_are_shown_as_one_would_write_them_and_go_alone_or_with_their_network() {
    let host = namespace();
    host.run(|| nft::ensure_masquerade(&rule("default", "10.77.0.0/24", "eth0"))).unwrap();
    let source = |address: &str, first: &str, last: &str| SourceRules {
        network: "default".into(),
        leaving: Leaving::NotBy("fwd0".into()),
        address: address.parse().unwrap(),
        source: (first.parse().unwrap(), last.parse().unwrap()),
    };
    let wanted = [
        source("10.77.0.2", "192.0.2.7", "192.0.2.7"),
        source("10.77.0.3", "192.0.2.8", "192.0.2.10"),
        source("fd00:1::2", "2001:db8::7", "2001:db8::7"),
    ];
    for rules in &wanted {
        // Again is the same.
        for _ in 0..2 {
            host.run(|| nft::ensure_source_rules(rules)).unwrap();
        }
        let family = if rules.address.is_ipv4() { "ip" } else { "ip6" };
        let shown = run(&host, &["nft", "list", "table", family, nft::TABLE]).success().unwrap().stdout;
        let comment = format!(" comment \"{}\"", SourceRules::comment("default", rules.address));
        let mut found: Vec<&str> =
            shown.lines().filter_map(|line| line.split_once(comment.as_str())).map(|(rule, _)| rule.trim()).collect();
        found.sort_unstable();
        let mut written: Vec<String> = rules.rules().into_iter().map(|(_, rule)| rule).collect();
        written.sort();
        assert_eq!(found, written, "{shown}");
    }
    // They come before what masquerades the whole network.
    let shown = run(&host, &["nft", "list", "chain", "ip", nft::TABLE, nft::CHAIN]).success().unwrap().stdout;
    assert!(shown.find("snat to").unwrap() < shown.find("masquerade").unwrap(), "{shown}");
    assert_eq!(host.run(|| nft::source_rules(true)).unwrap(), ["default 10.77.0.3", "default 10.77.0.2"]);
    assert!(host.run(|| nft::remove_source_rules("default", wanted[2].address)).unwrap());
    assert!(!host.run(|| nft::remove_source_rules("default", wanted[2].address)).unwrap());
    assert_eq!(host.run(|| nft::source_rules(false)).unwrap(), [""; 0]);
    assert!(host.run(|| nft::remove_source_rules("default", wanted[0].address)).unwrap());
    assert!(host.run(|| nft::remove_masquerade("default")).unwrap());
    assert_eq!(host.run(nft::tables).unwrap(), [""; 0]);
}

#[test]
fn rules_about_whom_endpoints_speak_with_are_shown_as_one_would_write_them_and_go_on_counting() {
    let host = namespace();
    let rule = |other: &str, proto, ports, refused: Option<u64>| PolicyRule {
        other: other.parse().unwrap(),
        proto,
        ports,
        allows: refused.is_none(),
        refused: refused.unwrap_or(0),
    };
    let v4 = [
        rule("10.9.0.0/16", None, None, Some(7)),
        rule("192.0.2.7/32", Some(6), Some((443, 443)), None),
        rule("0.0.0.0/0", Some(17), Some((53, 59)), None),
        rule("0.0.0.0/0", Some(132), None, Some(0)),
    ];
    let of = |address: &str, groups: &[&str], directions: [PolicyDirection; 2]| PolicyRules {
        network: "default".into(),
        address: address.parse().unwrap(),
        groups: groups.iter().map(|group| group.parse().unwrap()).collect(),
        directions,
    };
    let wanted = [
        of(
            "10.77.0.2",
            &["224.0.0.0/4", "255.255.255.255/32"],
            [PolicyDirection { rules: v4.into(), otherwise: Some(3) }, PolicyDirection::default()],
        ),
        of(
            "fd00:1::2",
            &["ff00::/8"],
            [
                PolicyDirection { rules: vec![rule("2001:db8::/32", Some(58), None, Some(1))], otherwise: None },
                PolicyDirection { rules: vec![rule("::/0", None, None, None)], otherwise: Some(0) },
            ],
        ),
    ];
    for rules in &wanted {
        // Again is the same.
        for _ in 0..2 {
            host.run(|| nft::ensure_policy_rules(rules)).unwrap();
        }
        let v4 = rules.address.is_ipv4();
        let shown = run(&host, &["nft", "-s", "list", "table", if v4 { "ip" } else { "ip6" }, nft::TABLE]);
        let shown = shown.success().unwrap().stdout;
        let comment = format!(" comment \"{}\"", SourceRules::comment("default", rules.address));
        let found = shown.lines().filter_map(|line| line.split_once(comment.as_str())).map(|(rule, _)| rule.trim());
        // The chains are shown one after the other, as they are written.
        let written: Vec<String> = rules.rules().into_iter().map(|(_, rule)| rule).collect();
        assert_eq!(found.collect::<Vec<_>>(), written, "{shown}");
        assert_eq!(host.run(|| nft::policy_rules(v4)).unwrap().len(), written.len());
    }
    let counts = |rules: &PolicyRules| host.run(|| nft::policy_counts(rules.address)).unwrap();
    assert_eq!(counts(&wanted[0]), [vec![7, 0, 3], Vec::new()]);
    assert_eq!(counts(&wanted[1]), [vec![1], vec![0]]);
    for rules in &wanted {
        assert!(host.run(|| nft::remove_policy_rules("default", rules.address)).unwrap());
        assert!(!host.run(|| nft::remove_policy_rules("default", rules.address)).unwrap());
    }
    assert_eq!(host.run(nft::tables).unwrap(), [""; 0]);
}

#[test]
fn what_keeps_answers_of_others_from_a_network_is_shown_as_one_would_write_it() {
    let host = namespace();
    for uplink in [None, Some("eth0")] {
        let rules = nft::Rules6 {
            network: "default".into(),
            bridge: "fwd0".into(),
            subnet: "fd00:1::/64".parse().unwrap(),
            uplink: uplink.map(Into::into),
            masquerade: true,
            separation: Separation::default(),
            unguarded: true,
        };
        host.run(|| nft::ensure_rules6(&rules)).unwrap();
        let shown = run(&host, &["nft", "-s", "list", "table", "ip6", nft::TABLE]).success().unwrap().stdout;
        for rule in rules.guard().into_iter().chain([nft::inward_rule("fwd0")]) {
            let (_, rule) = rule.split_once(' ').unwrap();
            assert!(shown.contains(&format!("\t{rule} comment \"default\"\n")), "{rule}: {shown}");
        }
        assert_eq!(shown.matches("comment").count(), rules.count(), "{shown}");
    }
    assert!(host.run(|| nft::remove_rules6("default")).unwrap());
    assert_eq!(host.run(nft::tables).unwrap(), [""; 0]);
}

#[test]
fn guard_of_an_endpoint_is_shown_as_one_would_write_it() {
    let host = namespace();
    let port = "lo";
    for addresses in [vec!["10.77.0.2"], vec!["fd00:1::2"], vec!["10.77.0.2", "fd00:1::2"]] {
        let groups = ["224.0.0.0/4", "255.255.255.255/32", "10.77.0.255/32", "ff00::/8"].into_iter();
        let is_of = |group: &&str| addresses.iter().any(|address| address.contains(':') == group.contains(':'));
        let groups = groups.filter(is_of).map(|group| group.parse().unwrap()).collect();
        let addresses = addresses.into_iter().map(|address| address.parse().unwrap()).collect();
        let guard = nft::PortGuard { network: "default".into(), port: port.into(), index: 1, addresses, groups };
        // Again is the same.
        for _ in 0..2 {
            host.run(|| nft::ensure_guard(&guard)).unwrap();
        }
        let shown = run(&host, &["nft", "-s", "list", "table", "bridge", nft::TABLE]).success().unwrap().stdout;
        let comment = format!(" comment \"{}\"", guard.comment().unwrap());
        let found = shown.lines().filter_map(|line| line.split_once(comment.as_str())).map(|(rule, _)| rule.trim());
        let written: Vec<String> = guard.rules().into_iter().map(|(_, rule)| rule).collect();
        assert_eq!(found.collect::<Vec<_>>(), written, "{shown}");
        assert_eq!(host.run(nft::guard_rules).unwrap().len(), written.len());
        assert!(host.run(|| nft::remove_guard("default", guard.addresses[0])).unwrap());
        assert_eq!(host.run(nft::tables).unwrap(), [""; 0]);
    }
}
