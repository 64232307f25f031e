//! `fwd doctor`: each fault is made, named with what mends it, mended by that, and gone.

use std::net::{Ipv4Addr, TcpListener};

use forwarder::{
    dataplane::RedirectBaseline,
    netns::Netns,
    testbed::{TestbedSpec, wait_until},
};
use serde_json::Value;

use crate::{
    fwd::{Fwd, LIMIT, answers, inside, pings, text},
    peers::{any, at, connect, listen},
};

/// Everything that was looked at, and whether the command succeeded, as it must where no check failed.
#[track_caller]
fn examined(fwd: &Fwd, args: &[&str]) -> Value {
    let output = fwd.call(&[&["doctor", "--json"], args].concat());
    let shown: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    assert_eq!(output.status.code(), Some(if shown["ok"] == true { 0 } else { 1 }), "{shown}");
    shown
}

/// Checks that are not `ok`, with what they say.
#[track_caller]
fn complaints(shown: &Value) -> Vec<(String, String, String)> {
    let mut complaints = Vec::new();
    for check in shown["checks"].as_array().expect("a list") {
        for finding in check["findings"].as_array().expect("a list").iter().filter(|it| it["verdict"] != "ok") {
            complaints.push((text(&check["check"]), text(&finding["verdict"]), text(&finding["what"])));
        }
    }
    complaints
}

#[track_caller]
pub(crate) fn is_in_order(fwd: &Fwd) {
    let shown = examined(fwd, &[]);
    assert_eq!(complaints(&shown), [], "{shown:#}");
}

/// The check complains alone, by a sentence with these words; the commands that it names first.
#[track_caller]
fn complains(fwd: &Fwd, check: &str, verdict: &str, words: &[&str]) -> Vec<String> {
    let shown = examined(fwd, &[]);
    let complaints = complaints(&shown);
    let [(named, graveness, what)] = complaints.as_slice() else { panic!("one complaint: {complaints:#?}") };
    assert_eq!((named.as_str(), graveness.as_str()), (check, verdict), "{what}");
    for word in words {
        assert!(what.contains(word), "{word}: {what}");
    }
    let row = shown["checks"].as_array().expect("a list").iter().find(|it| it["check"] == check).expect("the check");
    let finding = row["findings"].as_array().expect("a list").iter().find(|it| it["verdict"] != "ok");
    finding.expect("a finding")["commands"].as_array().expect("a list").iter().map(text).collect()
}

/// Does as told.
#[track_caller]
fn follow(fwd: &Fwd, command: &str) {
    match command.strip_prefix("fwd ") {
        Some(args) => drop(fwd.ok(&args.split(' ').collect::<Vec<_>>())),
        // It names the host's namespace itself.
        None => drop(inside(&Netns::current().expect("open"), &["sh", "-ec", command])),
    }
}

/// The fault is named, and the first command that is named with it mends it.
#[track_caller]
fn is_named_and_mended(fwd: &Fwd, fault: &[&str], check: &str, verdict: &str, words: &[&str]) {
    fwd.on_host(fault);
    let commands = complains(fwd, check, verdict, words);
    follow(fwd, commands.first().expect("a command"));
    is_in_order(fwd);
}

#[test]
fn faults_of_the_host_are_named_and_gone_when_the_remedy_was_followed() {
    let fwd = Fwd::new();
    is_in_order(&fwd);
    let pod = fwd.up("c1", &["-p", "8080:80"]);
    is_in_order(&fwd);
    let off = ["sysctl", "-qw", "net.ipv4.conf.eth0.forwarding=0"];
    is_named_and_mended(&fwd, &off, "forwarding", "fail", &["forwarding of eth0 is off"]);
    let narrow = ["ip", "link", "set", "dev", "eth0", "mtu", "1400"];
    is_named_and_mended(&fwd, &narrow, "mtus", "warn", &["1500 bytes", "eth0 takes 1400"]);
    let same = ["ip", "addr", "add", "10.77.0.200/32", "dev", "lo"];
    is_named_and_mended(&fwd, &same, "subnets", "fail", &["10.77.0.0/24", "lo has the address 10.77.0.200/32"]);
    let same = ["ip", "route", "add", "10.77.0.128/25", "dev", "eth0"];
    is_named_and_mended(&fwd, &same, "subnets", "fail", &["eth0 has the route 10.77.0.128/25"]);
    let gateway = ["ip", "addr", "del", "10.77.0.1/24", "dev", "fwd0"];
    is_named_and_mended(&fwd, &gateway, "networks", "fail", &["fwd0 lacks the address 10.77.0.1/24"]);
    let loose = ["ip", "link", "set", "dev", &pod.host_if, "nomaster"];
    is_named_and_mended(&fwd, &loose, "endpoints", "fail", &[&pod.host_if, "no port of its bridge"]);
    fwd.on_host(&["iptables", "-P", "FORWARD", "DROP"]);
    for command in complains(&fwd, "forward-chains", "warn", &["the chain FORWARD of iptables drops"]) {
        follow(&fwd, &command);
    }
    is_in_order(&fwd);
    fwd.on_host(&["iptables", "-P", "INPUT", "DROP"]);
    complains(&fwd, "input-chains", "warn", &["published ports are reached past"]);
    fwd.on_host(&["iptables", "-P", "INPUT", "ACCEPT"]);
    fwd.on_host(&["ip", "rule", "add", "fwmark", "7", "table", "100"]);
    complains(&fwd, "marks", "warn", &["ip rule", "fwmark"]);
    fwd.on_host(&["ip", "rule", "del", "fwmark", "7", "table", "100"]);
    let policy = ["src", "0.0.0.0/0", "dst", "203.0.113.0/24", "dir", "out", "action", "block"];
    fwd.on_host(&[&["ip", "xfrm", "policy", "add"], &policy[..]].concat());
    complains(&fwd, "ipsec", "warn", &["dst 203.0.113.0/24 dir out action block"]);
    fwd.on_host(&["ip", "xfrm", "policy", "flush"]);
    let listener = fwd.host().run(|| Ok(TcpListener::bind((Ipv4Addr::UNSPECIFIED, 8080)).expect("a free port")));
    complains(&fwd, "ports", "warn", &["8080:80/tcp", "fwd port rm --ns"]);
    drop(listener);
    // The process that another test starts may have it open for a moment longer, between fork and exec.
    let in_order = || Ok(complaints(&examined(&fwd, &[])).is_empty().then_some(()));
    wait_until(LIMIT, "nobody listens", in_order).unwrap_or_else(|error| panic!("{error}"));
    assert!(pings(&pod, fwd.uplink(0).outside[0]));
}

#[test]
fn uplinks_that_nobody_guards_and_strict_filters_are_named() {
    let fwd = Fwd::with(&TestbedSpec { uplinks: 2, ..TestbedSpec::default() });
    fwd.on_host(&["ip", "addr", "flush", "dev", "eth1"]);
    fwd.up("c1", &[]);
    is_in_order(&fwd);
    let later = ["ip", "addr", "add", "192.0.2.2/24", "dev", "eth1"];
    is_named_and_mended(&fwd, &later, "uplinks", "fail", &["no program guards what leaves by eth1"]);
    let strict = ["sysctl", "-qw", "net.ipv4.conf.eth1.rp_filter=1"];
    is_named_and_mended(&fwd, &strict, "rp-filter", "warn", &["eth1 takes only what the host would send by it"]);
}

#[test]
fn what_is_our_own_is_mended_by_fix() {
    let fwd = Fwd::new();
    let (pod, other) = (fwd.up("c1", &[]), fwd.up("c2", &[]));
    inside(&pod, &["ip", "addr", "flush", "dev", "eth0"]);
    fwd.on_host(&["ip", "link", "set", "dev", &other.host_if, "down"]);
    fwd.on_host(&["sysctl", "-qw", "net.ipv4.conf.fwd0.forwarding=0"]);
    let found = complaints(&examined(&fwd, &[]));
    let named: Vec<&str> = found.iter().map(|(check, ..)| check.as_str()).collect();
    assert_eq!(named, ["forwarding", "endpoints", "endpoints"], "{found:#?}");
    assert!(found[1].2.contains("eth0 lacks the address") && found[2].2.contains("is down"), "{found:#?}");
    let mended = examined(&fwd, &["--fix"]);
    assert_eq!(complaints(&mended), []);
    assert_eq!(mended["mended"].as_array().map(Vec::len), Some(2), "{mended}");
    assert!(pings(&pod, fwd.uplink(0).outside[0]) && pings(&other, pod.address));
    // What would have to be made anew is not.
    inside(&Netns::current().expect("open"), &["ip", "netns", "del", &other.name]);
    drop(other);
    let shown = examined(&fwd, &["--fix"]);
    assert_eq!((&shown["ok"], shown["mended"].as_array().map(Vec::len)), (&false.into(), Some(0)), "{shown}");
    let commands = complains(&fwd, "endpoints", "fail", &["fwd down --ns"]);
    follow(&fwd, &commands[0]);
    is_in_order(&fwd);
}

#[test]
fn programs_of_others_are_named_in_their_order() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let [inside, outside] = [&pod.host_if, "eth0"].map(|name| {
        let link = fwd.host().netlink().and_then(|netlink| netlink.link(name)).expect("the kernel tells");
        link.expect("it is there").index
    });
    let attach = || RedirectBaseline::attach(inside, outside, fwd.uplink(0).gateway);
    let others = fwd.host().run(attach).expect("they attach, first of all");
    let found = complaints(&examined(&fwd, &[]));
    let said: Vec<&str> =
        found.iter().map(|(check, _, what)| if check == "hooks" { what.as_str() } else { "" }).collect();
    let [uplink, host_veth] = said.as_slice() else { panic!("two interfaces: {found:#?}") };
    assert!(uplink.contains("eth0: inward (tcx ingress, id ") && uplink.contains(", from_uplink (tcx"), "{uplink}");
    assert!(host_veth.contains("outward (tcx ingress") && host_veth.contains(", from_ns (tcx"), "{host_veth}");
    drop(others);
    is_in_order(&fwd);
    // Who is down, and gone.
    fwd.on_host(&["ip", "link", "set", "dev", "eth0", "down"]);
    let commands = complains(&fwd, "uplinks", "warn", &["eth0 is down"]);
    follow(&fwd, &commands[0]);
    is_in_order(&fwd);
}

/// Somebody unmounts the bpffs.
#[test]
fn lost_records_are_named() {
    let fwd = Fwd::new();
    fwd.up("c1", &[]);
    let bpffs = fwd.pins().join("bpf");
    fwd.on_host(&["umount", "-l", bpffs.to_str().expect("a plain path")]);
    let commands = complains(&fwd, "pins", "fail", &["the records of fwd0, "]);
    follow(&fwd, commands.last().expect("a command"));
    is_in_order(&fwd);
}

#[test]
fn text_tells_what_is_wrong_why_and_what_to_do() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    fwd.on_host(&["sysctl", "-qw", "net.ipv4.conf.eth0.forwarding=0"]);
    let output = fwd.call(&["doctor"]);
    assert_eq!(output.status.code(), Some(1));
    let again = format!("`fwd up --ns {}`", pod.name);
    for words in ["fail     forwarding", &again, "--fix does that", "it matters because", "1 fail, 22 ok"] {
        assert!(output.stdout.contains(words), "{words}: {}", output.stdout);
    }
    assert!(output.stderr.contains("forwarding failed"), "{}", output.stderr);
    let text = fwd.ok(&["doctor", "--fix"]);
    assert!(text.contains("mended: fwd up --ns") && text.contains("23 ok"), "{text}");
}

/// `systemctl restart nftables` flushes all rules; `up` of anybody makes them anew, those of everybody.
#[test]
fn rules_that_somebody_flushed_are_named_and_made_anew() {
    let fwd = Fwd::new();
    let web = fwd.up("c1", &["--datapath", "kernel", "-p", "8080:80"]);
    let quiet = fwd.up("c2", &["--deny-in", &web.address.to_string()]);
    let _server = listen(&web, any(80));
    let is_reached =
        || connect(fwd.internet(0), at(fwd.uplink(0).outside[0], 0), at(fwd.uplink(0).address, 8080)).is_ok();
    let is_as_asked = || is_reached() && pings(&web, fwd.uplink(0).outside[0]) && !answers(&web, quiet.address);
    assert!(is_as_asked());
    fwd.on_host(&["nft", "flush ruleset"]);
    assert!(!is_reached() && pings(&web, quiet.address));
    let told = fwd.ok(&["inspect", &quiet.name]);
    assert!(told.contains("rules of nftables for network fwd0 are gone"), "{told}");
    let mended = fwd.up("c2", &[]).shown;
    assert_eq!(mended["changed"], true, "{mended}");
    assert!(is_as_asked());
    assert_eq!(fwd.up("c2", &[]).shown["changed"], false);
    is_in_order(&fwd);
    fwd.on_host(&["nft", "delete table ip fwd_nat"]);
    let found = complaints(&examined(&fwd, &[]));
    let is_named =
        |check: &str| found.iter().any(|it| it.0 == check && it.2.contains("its rules in nftables are gone"));
    assert!(is_named("networks") && is_named("endpoints"), "{found:#?}");
    fwd.ok(&["doctor", "--fix"]);
    assert!(is_as_asked());
}
