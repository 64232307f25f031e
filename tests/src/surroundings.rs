//! A host as others leave it: VPNs, firewalls, policies, settings that change behind `fwd`.

mod ipv6;

use std::time::Duration;

use forwarder::{netns::Netns, testbed::wait_until};

use crate::{
    fwd::{Fwd, address, answers, answers6, inside, pings, pings6},
    ipv6::{alone, host_with, link},
    peers::{ANY, PATIENCE, any, at, connect, echo_tcp, echoed, listen, udp},
};

#[test]
fn routes_of_vpns_leave_subnets_free() {
    let fwd = Fwd::new();
    let route = |destination: &str| fwd.on_host(&["ip", "route", "add", destination, "dev", "eth0"]);
    route("10.0.0.0/8");
    let first = fwd.up("c1", &[]);
    assert_eq!(first.gateway.to_string(), "172.30.0.1");
    assert!(pings(&first, fwd.uplink(0).outside[0]));
    for destination in ["172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"] {
        route(destination);
    }
    // All of the pool is routed somewhere: a part of what a route leads to is taken.
    let output = fwd.call(&["up", "--ns", &fwd.name("c2"), "--network", "other"]);
    assert!(output.status.success(), "{}", output.stderr);
    assert!(output.stderr.contains("a part of 10.0.0.0/8"), "{}", output.stderr);
    let shown = fwd.json(&["inspect", "--ns", &fwd.name("c2")]);
    assert_eq!(address(&shown["gateways"][0]).to_string(), "10.77.0.1");
    assert!(pings(&crate::fwd::open(&fwd.name("c2")), fwd.uplink(0).outside[0]));
    // What is asked for may be a part of it too; what is in use may not.
    fwd.up("c3", &["--network", "third", "--subnet", "192.168.7.0/24"]);
    fwd.on_host(&["ip", "route", "add", "192.168.9.0/25", "dev", "eth0"]);
    let name = fwd.name("c4");
    let asked = ["up", "--ns", &name, "--network", "fourth", "--subnet", "192.168.9.0/24"];
    fwd.expect_error(&asked, 4, &["192.168.9.0/25", "eth0", "leave out --subnet"]);
    let pod = fwd.up("c4", &asked[3..5]);
    assert!(inside(&pod, &["ip", "-4", "-br", "addr"]).contains("10.77.1.2/24"));
}

/// The commands in the warnings of an `inspect`, which are run.
#[track_caller]
fn follow(fwd: &Fwd, name: &str) -> usize {
    let shown = fwd.json(&["inspect", "--ns", name]);
    let warnings = shown["warnings"].as_array().expect("a list").clone();
    for warning in &warnings {
        let text = crate::fwd::text(warning);
        let commands: Vec<&str> = text.split('`').skip(1).step_by(2).collect();
        assert!(!commands.is_empty(), "no remedy: {text}");
        for command in commands {
            match command.strip_prefix("fwd ") {
                Some(args) => drop(fwd.ok(&args.split(' ').collect::<Vec<_>>())),
                // It names the host's namespace itself.
                None => drop(inside(&Netns::current().expect("open"), &["sh", "-ec", command])),
            }
        }
    }
    warnings.len()
}

#[track_caller]
fn without_problems(fwd: &Fwd, name: &str) {
    let shown = fwd.json(&["inspect", "--ns", name]);
    assert_eq!(shown["warnings"], serde_json::json!([]));
    assert!(!fwd.ok(&["stats"]).contains("warning:"));
}

#[test]
fn forwarding_switched_off_is_told_and_switched_on_again() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let outside = fwd.uplink(0).outside[0];
    without_problems(&fwd, &pod.name);
    for (off, interfaces) in [
        ("net.ipv4.ip_forward", &["eth0", "fwd0"][..]),
        ("net.ipv4.conf.eth0.forwarding", &["eth0"]),
        ("net.ipv4.conf.fwd0.forwarding", &["fwd0"]),
    ] {
        // Only a change of the one for all is passed on to each.
        let switch_off = || fwd.on_host(&["sysctl", "-q", "-w", &format!("{off}=1"), &format!("{off}=0")]);
        switch_off();
        for shown in [fwd.ok(&["stats"]), fwd.ok(&["inspect", &pod.name])] {
            for interface in interfaces {
                assert!(shown.contains(&format!("forwarding of {interface} is off")), "{off}: {shown}");
            }
        }
        let output = fwd.call(&["up", &pod.name]);
        assert!(output.stderr.contains("switched off forwarding of"), "{off}: {}", output.stderr);
        assert!(pings(&pod, outside), "{off}");
        without_problems(&fwd, &pod.name);
        switch_off();
        assert_eq!(follow(&fwd, &pod.name), interfaces.len(), "{off}");
        assert!(pings(&pod, outside), "{off}");
        without_problems(&fwd, &pod.name);
    }
}

/// Endpoint-independent filtering hands on what comes to a port of the network's; the host's rules would have had it later.
#[test]
fn ports_that_others_redirect_are_told_of_and_left_to_them_by_the_remedy() {
    let nftables = "nft add table ip web; nft add chain ip web pre '{ type nat hook prerouting priority dstnat; }'
        nft add rule ip web pre iifname eth0 udp dport 5000 redirect to :5001";
    let iptables = "iptables -t nat -A PREROUTING -i eth0 -p udp --dport 5000 -j REDIRECT --to-ports 5001";
    for (rules, table) in [(nftables, "ip web"), (iptables, "ip nat")] {
        let fwd = Fwd::new();
        fwd.on_host(&["sh", "-ec", rules]);
        let uplink = fwd.uplink(0);
        let told = |network: &str, options: &[&str]| {
            let name = fwd.name(network);
            let output = fwd.call(&[&["up", "--ns", &name, "--network", network], options].concat());
            assert!(output.status.success(), "{}", output.stderr);
            let told = output.stderr.contains(&format!("the nftables table {table} gives packets"));
            assert_eq!(told, output.stderr.contains("--nat-ports A-B"), "{}", output.stderr);
            told
        };
        assert!(told("open", &["--nat", "eim-eif"]), "{table}");
        fwd.ok(&["down", "--all"]);
        assert!(!told("closed", &["--nat", "eim"]), "{table}");
        fwd.ok(&["down", "--all"]);
        assert!(!told("other", &["--nat", "eim-eif", "--nat-ports", "6000-6999"]), "{table}");
        // The same port inside has another one outside.
        let server = udp(fwd.host(), any(5001));
        let pod = udp(&crate::fwd::open(&fwd.name("other")), any(5000));
        pod.send_to(b"out", at(uplink.outside[0], 7000)).expect("it leaves");
        let client = udp(fwd.internet(0), at(uplink.outside[0], 7001));
        let mut asked = [0; 16];
        wait_until(PATIENCE, "the host's service is asked", || {
            client.send_to(b"for the host", at(uplink.address, 5000)).expect("it leaves");
            server.set_read_timeout(Some(Duration::from_millis(500))).expect("a socket");
            Ok(server.recv_from(&mut asked).ok().filter(|(length, _)| asked[..*length] == *b"for the host"))
        })
        .unwrap_or_else(|error| panic!("{table}: {error}"));
    }
}

/// Closes the forward hook by `closing`, and opens it again as `fwd` says.
#[track_caller]
fn firewall(closing: &str, named: &str) {
    for datapath in ["kernel", "tc"] {
        let fwd = Fwd::new();
        fwd.on_host(&["sh", "-ec", closing]);
        let name = fwd.name("c1");
        let output = fwd.call(&["up", "--ns", &name, "--datapath", datapath, "-p", "8080:80"]);
        assert!(output.status.success(), "{}", output.stderr);
        assert!(output.stderr.contains(named), "{datapath}: {}", output.stderr);
        assert!(fwd.ok(&["stats"]).contains(named));
        let (pod, other) = (crate::fwd::open(&name), fwd.up("c2", &[]));
        let outside = fwd.uplink(0).outside[0];
        // What the programs forward never comes there.
        assert!(if datapath == "tc" { pings(&pod, outside) } else { !answers(&pod, outside) });
        assert_eq!(follow(&fwd, &name), 1);
        without_problems(&fwd, &name);
        assert!(pings(&pod, outside) && pings(&pod, other.address), "{datapath}");
        assert_reached(&fwd, &pod, 8080);
    }
}

/// Somebody outside reaches a server of the namespace, at port 80, by a published port.
#[track_caller]
fn assert_reached(fwd: &Fwd, pod: &Netns, port: u16) {
    let server = echo_tcp(listen(pod, any(80)), 1);
    let client = connect(fwd.internet(0), ANY, at(fwd.uplink(0).address, port));
    echoed(&client.unwrap_or_else(|error| panic!("{port}: {error}")), b"hello");
    server.join().expect("the server");
}

#[test]
fn policy_of_iptables_comes_with_the_remedy() {
    firewall("iptables -P FORWARD DROP", "the chain FORWARD of iptables drops");
}

#[test]
fn policy_of_legacy_iptables_comes_with_the_remedy() {
    firewall("iptables-legacy -P FORWARD DROP", "the chain FORWARD of iptables-legacy drops");
}

#[test]
fn chains_of_others_come_with_the_remedy() {
    let firewalld = "nft add table inet other; \
        nft 'add chain inet other FORWARD { type filter hook forward priority 10; }'; \
        nft add rule inet other FORWARD ct state invalid drop; nft add rule inet other FORWARD iifname lan0 accept; \
        nft add rule inet other FORWARD reject with icmpx admin-prohibited";
    firewall(firewalld, "the nftables chain inet other FORWARD drops");
    // As docker leaves it, and a rule at the end of the former iptables.
    firewall(
        "iptables-legacy -A FORWARD -o docker0 -j ACCEPT; iptables-legacy -A FORWARD -j REJECT",
        "the chain FORWARD of iptables-legacy drops",
    );
}

#[test]
fn open_chains_are_no_problem() {
    let fwd = Fwd::new();
    fwd.on_host(&[
        "sh",
        "-ec",
        "iptables -P FORWARD DROP; iptables -A FORWARD -i fwd+ -j ACCEPT; \
        iptables -A FORWARD -m conntrack --ctstate ESTABLISHED -j ACCEPT; iptables-legacy -A FORWARD -i eth7 -j DROP; \
        nft add table ip x; nft 'add chain ip x forward { type filter hook forward priority 0; policy accept; }'; \
        nft add rule ip x forward tcp dport 25 drop; nft add table inet zones; nft add chain inet zones trusted; \
        nft add chain inet zones others; nft 'add chain inet zones forward { type filter hook forward priority 10; }'; \
        nft add rule inet zones trusted accept; nft add rule inet zones others iifname fwd0 goto trusted; \
        nft add rule inet zones forward ct state established accept; nft add rule inet zones forward jump others; \
        nft add rule inet zones forward reject with icmpx admin-prohibited",
    ]);
    let output = fwd.call(&["up", "--ns", &fwd.name("c1"), "--datapath", "kernel"]);
    assert_eq!(output.stderr, "");
    let name = fwd.name("c1");
    without_problems(&fwd, &name);
    let pod = crate::fwd::open(&name);
    assert!(pings(&pod, fwd.uplink(0).outside[0]));
    // What lets replies in lets nobody begin a conversation with a published port.
    let told = fwd.call(&["up", &name, "-p", "8080:80"]).stderr;
    assert_eq!(told.matches("its published ports are not reached from outside").count(), 2, "{told}");
    assert_eq!(follow(&fwd, &name), 2);
    without_problems(&fwd, &name);
    assert_reached(&fwd, &pod, 8080);
}

/// A policy of IPsec that is about packets to the outside.
const BLOCK: [&str; 13] = [
    "ip",
    "xfrm",
    "policy",
    "add",
    "src",
    "0.0.0.0/0",
    "dst",
    "203.0.113.0/24",
    "dir",
    "out",
    "action",
    "block",
    "priority",
];

#[test]
fn policies_of_ipsec_are_kept_to() {
    let fwd = Fwd::new();
    let outside = fwd.uplink(0).outside[0];
    // Such a one asks for nothing.
    fwd.on_host(&["ip", "xfrm", "policy", "add", "src", "0.0.0.0/0", "dst", "192.0.2.0/24", "dir", "out"]);
    fwd.up("c1", &[]);
    fwd.down("c1");
    fwd.on_host(&[&BLOCK[..], &["1"]].concat());
    let name = fwd.name("c1");
    let before = fwd.snapshot().expect("a snapshot");
    let words = ["dst 203.0.113.0/24 dir out action block", "--datapath kernel", "--ignore-xfrm"];
    fwd.expect_error(&["up", "--ns", &name], 5, &words);
    fwd.expect_error(&["up", "--ns", &name, "--datapath", "xdp"], 5, &words);
    assert_eq!(before.diff(&fwd.snapshot().expect("a snapshot")), [""; 0]);
    // The first remedy keeps to the policy, the second does not.
    let pod = fwd.up("c1", &["--datapath", "kernel"]);
    assert!(!answers(&pod, outside) && pings(&pod, fwd.uplink(0).address));
    without_problems(&fwd, &name);
    fwd.down("c1");
    let pod = fwd.up("c1", &["--ignore-xfrm"]);
    assert!(pings(&pod, outside));
    assert_eq!((&pod.shown["ignore_xfrm"], &pod.shown["datapath"]), (&true.into(), &"tc".into()));
    without_problems(&fwd, &name);
    assert!(fwd.ok(&["inspect", &name]).contains("ignore-xfrm"));
    fwd.expect_error(&["up", "--ns", &name, "--datapath", "kernel"], 4, &["datapath"]);
    fwd.down("c1");
    fwd.on_host(&["ip", "xfrm", "policy", "flush"]);
    fwd.on_host(&["ip", "xfrm", "policy", "setdefault", "out", "block"]);
    fwd.expect_error(&["up", "--ns", &name], 5, &["default out block"]);
}

#[test]
fn policies_of_ipsec_that_come_later_are_told() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    fwd.on_host(&[&BLOCK[..], &["1"]].concat());
    let shown = fwd.json(&["inspect", "--ns", &pod.name]);
    assert!(shown["warnings"][0].to_string().contains("dst 203.0.113.0/24 dir out action block"), "{shown}");
    for (role, output) in [("c1", fwd.call(&["up", &pod.name])), ("c2", fwd.call(&["up", &fwd.name("c2")]))] {
        assert!(output.status.success() && output.stderr.contains("--ignore-xfrm"), "{role}: {}", output.stderr);
    }
    fwd.on_host(&["ip", "xfrm", "policy", "flush"]);
    without_problems(&fwd, &pod.name);
    // A template, as of a tunnel, for a network that has nothing to do with it, and for one that has.
    let tunnel = |source: &str| {
        let tunnel = ["tmpl", "src", "198.51.100.2", "dst", "198.51.100.1", "proto", "esp", "mode", "tunnel"];
        let policy = ["ip", "xfrm", "policy", "add", "src", source, "dst", "10.9.0.0/16", "dir", "out"];
        fwd.on_host(&[&policy[..], &tunnel].concat());
    };
    tunnel("192.168.1.0/24");
    without_problems(&fwd, &pod.name);
    tunnel("10.77.0.0/16");
    assert!(fwd.ok(&["stats"]).contains("src 10.77.0.0/16 dst 10.9.0.0/16 dir out"));
}

/// IPv6 beside IPv4, and alone.
const FAMILIES: [&[&str]; 2] = [&[], &["--ipv4", "off"]];

/// A policy of IPsec about packets of IPv6 that leave; with a template, as of a tunnel, where it does not block.
fn policy6(fwd: &Fwd, source: &str, block: bool) {
    let tunnel = ["tmpl", "src", "2001:db8::2", "dst", "2001:db8::1", "proto", "esp", "mode", "tunnel"];
    let asks = if block { &["action", "block"][..] } else { &tunnel };
    let policy = ["ip", "xfrm", "policy", "add", "src", source, "dst", "2001:db8:ff00::/64", "dir", "out"];
    fwd.on_host(&[&policy[..], asks].concat());
}

#[test]
fn policies_of_ipsec_about_ipv6_are_kept_to() {
    let fwd = host_with(1);
    let outside = link(&fwd, 0).outside;
    policy6(&fwd, "::/0", true);
    let name = fwd.name("c1");
    let before = fwd.snapshot().expect("a snapshot");
    let words = ["src ::/0 dst 2001:db8:ff00::/64 dir out action block", "--datapath kernel", "--ignore-xfrm"];
    for family in FAMILIES {
        for datapath in ["tc", "xdp"] {
            fwd.expect_error(&[&["up", "--ns", &name, "--datapath", datapath], family].concat(), 5, &words);
        }
    }
    assert_eq!(before.diff(&fwd.snapshot().expect("a snapshot")), [""; 0]);
    // What has no IPv6 has nothing to do with it.
    fwd.up("c1", &["--ipv6", "off"]);
    without_problems(&fwd, &name);
    fwd.down("c1");
    for family in FAMILIES {
        let pod = alone::up(&fwd, "c1", &[family, &["--datapath", "kernel"]].concat());
        assert!(!answers6(&pod, outside) && pings6(&pod, link(&fwd, 0).address), "{family:?}");
        without_problems(&fwd, &name);
        fwd.down("c1");
        let pod = alone::up(&fwd, "c1", &[family, &["--ignore-xfrm"]].concat());
        assert!(pings6(&pod, outside), "{family:?}");
        without_problems(&fwd, &name);
        fwd.down("c1");
    }
    fwd.on_host(&["ip", "xfrm", "policy", "flush"]);
    fwd.on_host(&["ip", "xfrm", "policy", "setdefault", "out", "block"]);
    for family in FAMILIES {
        fwd.expect_error(&[&["up", "--ns", &name], family].concat(), 5, &["default out block"]);
    }
}

#[test]
fn policies_of_ipsec_about_ipv6_go_by_what_packets_leave_as() {
    let fwd = host_with(1);
    let name = fwd.name("c1");
    let routed = ["--ipv6", "route", "--subnet6", "2001:db8:7::/64"];
    let of_uplink = "src 2001:db8::2/128 dst 2001:db8:ff00::/64 dir out";
    policy6(&fwd, "2001:db8::2/128", false);
    for family in FAMILIES {
        fwd.expect_error(&[&["up", "--ns", &name], family].concat(), 5, &[of_uplink]);
        // Nothing that is routed has the uplink's address.
        alone::up(&fwd, "c1", &[family, &routed].concat());
        without_problems(&fwd, &name);
        fwd.down("c1");
    }
    fwd.on_host(&["ip", "xfrm", "policy", "flush"]);
    policy6(&fwd, "2001:db8:7::/48", false);
    for family in FAMILIES {
        let of_prefix = "src 2001:db8:7::/48 dst 2001:db8:ff00::/64 dir out";
        fwd.expect_error(&[&["up", "--ns", &name], family, &routed].concat(), 5, &[of_prefix]);
        alone::up(&fwd, "c1", family);
        without_problems(&fwd, &name);
        fwd.down("c1");
    }
}

#[test]
fn policies_of_ipsec_about_ipv6_that_come_later_are_told() {
    for family in FAMILIES {
        let fwd = host_with(1);
        let pod = alone::up(&fwd, "c1", family);
        without_problems(&fwd, &pod.name);
        policy6(&fwd, "2001:db8::/64", false);
        let named = "src 2001:db8::/64 dst 2001:db8:ff00::/64 dir out";
        let shown = fwd.json(&["inspect", "--ns", &pod.name]);
        assert!(shown["warnings"][0].to_string().contains(named), "{shown}");
        for output in [fwd.ok(&["stats"]), fwd.call(&["doctor"]).stdout, fwd.call(&["up", &pod.name]).stderr] {
            assert!(output.contains(named) && output.contains("--ignore-xfrm"), "{family:?}: {output}");
        }
        fwd.on_host(&["ip", "xfrm", "policy", "flush"]);
        without_problems(&fwd, &pod.name);
    }
}
