//! `--source6`: an endpoint appears behind addresses of IPv6 of the host that are its own.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv6Addr},
};

use forwarder::testbed::wait_until;
use forwarder_common::wire::emit::{Ethernet, Ipv6Packet};
use serde_json::{Value, json};

use crate::{
    fwd::{Fwd, LIMIT, Pod, answers6, inside, pings6},
    ipv6::{address6, at, host_with, link, seen_from},
    peers::{asked, echo_to_each, udp},
    raw,
};

/// Gives `eth0` an address, or takes it (`verb`), that the host chooses for nobody by itself.
fn change(fwd: &Fwd, verb: &str, address: Ipv6Addr) {
    let lifetime: &[&str] = if verb == "add" { &["nodad", "preferred_lft", "0"] } else { &[] };
    let change = ["ip", "-6", "address", verb, &format!("{address}/64"), "dev", "eth0"];
    fwd.on_host(&[&change, lifetime].concat());
}

/// An address that `eth0` has besides.
fn address(fwd: &Fwd, number: u128) -> Ipv6Addr {
    let address = Ipv6Addr::from_bits(link(fwd, 0).address.to_bits() + number);
    change(fwd, "add", address);
    address
}

/// How many packets of protocol 253 the outside has seen come from `source`, after `pod` has sent one.
#[track_caller]
fn without_ports(fwd: &Fwd, pod: &Pod, source: Ipv6Addr) -> u64 {
    let table = format!(
        "table ip6 other {{ chain arrived {{ type filter hook prerouting priority raw; ip6 saddr {source} meta l4proto 253 counter; }}; }}"
    );
    inside(fwd.internet(0), &["nft", &table]);
    let own = raw::mac_of(pod, "eth0");
    let gateway = fwd.json(&["inspect", &pod.name])["gateway_mac"].as_str().expect("text").to_owned();
    let gateway: Vec<u8> = gateway.split(':').map(|byte| u8::from_str_radix(byte, 16).expect("hex")).collect();
    let ethernet = Ethernet::new(gateway.try_into().expect("a MAC"), own);
    let frame = Ipv6Packet::other(address6(pod), link(fwd, 0).outside, 253).payload(&[7; 64]).in_frame(&ethernet);
    raw::send(pod, "eth0", &[frame]);
    assert!(pings6(pod, link(fwd, 0).outside), "what was sent before has arrived");
    let listed = inside(fwd.internet(0), &["nft", "list", "table", "ip6", "other"]);
    let (_, after) = listed.split_once("counter packets ").expect("a counter");
    after.split(' ').next().and_then(|count| count.parse().ok()).expect("a number")
}

#[test]
fn endpoints_appear_each_behind_its_own_source_whatever_they_speak() {
    for datapath in ["tc", "xdp", "kernel"] {
        let fwd = host_with(1);
        let (six, source) = (link(&fwd, 0), address(&fwd, 0x500));
        let pod = fwd.up("c1", &["--datapath", datapath, "--source6", &source.to_string()]);
        let other = fwd.up("c2", &["--datapath", datapath]);
        assert_eq!((&pod.shown["source6"], &other.shown["source6"]), (&json!(source), &Value::Null));
        assert!(fwd.ok(&["inspect", &pod.name]).contains(&format!("{source} (--source6)")));
        let server = at(six.outside, 7000);
        assert_eq!(seen_from(&pod, fwd.internet(0), server), [IpAddr::from(source); 2], "{datapath}");
        assert_eq!(seen_from(&other, fwd.internet(0), server), [IpAddr::from(six.address); 2], "{datapath}");
        assert!(pings6(&pod, six.outside) && pings6(&pod, address6(&other)), "{datapath}");
        assert_eq!(without_ports(&fwd, &pod, source), 1, "{datapath}: the kernel translates it to the same");
        assert_eq!(fwd.up("c1", &["--source6", &source.to_string()]).shown["changed"], false);
    }
}

/// RFC 4787 REQ-2: address pooling "paired".
#[test]
fn endpoint_keeps_one_address_of_a_range_as_long_as_that_has_ports() {
    const PORTS: usize = 64;
    let fwd = host_with(1);
    let sources = [0x600, 0x601].map(|number| address(&fwd, number));
    let range = format!("{}-{}", sources[0], sources[1]);
    let pod = fwd.up("c1", &["--source6", &range, "--nat-ports", "20000-20063"]);
    let other = fwd.up("c2", &["--source6", &range]);
    assert_eq!((&pod.shown["source6"], &other.shown["source6"]), (&json!(range), &json!(range)));
    let outside = link(&fwd, 0).outside;
    let [own, again] = seen_from(&pod, fwd.internet(0), at(outside, 7000));
    assert_eq!(own, again, "it is the same for all");
    let [others, _] = seen_from(&other, fwd.internet(0), at(outside, 7000));
    assert_eq!([own, others].into_iter().collect::<BTreeSet<_>>(), sources.map(IpAddr::from).into(), "they spread");
    let IpAddr::V6(of_both) = own else { panic!("{own} is of IPv6") };
    assert_eq!(without_ports(&fwd, &pod, of_both), 1, "the kernel takes the same");
    // More conversations with one server than one address has ports.
    let server = at(outside, 7001);
    let asking = echo_to_each(udp(fwd.internet(0), server), PORTS + PORTS / 2);
    let sockets: Vec<_> = (0..PORTS + PORTS / 2).map(|_| udp(&pod, at(Ipv6Addr::UNSPECIFIED, 0))).collect();
    sockets.iter().for_each(|socket| asked(socket, server, b"from where?"));
    let seen = asking.join().expect("the server");
    let behind = |address: IpAddr| seen.iter().filter(|seen| seen.ip() == address).count();
    assert_eq!(behind(own) + behind(others), sockets.len(), "nobody had to give a port: {seen:?}");
    assert!((PORTS / 2..=PORTS).contains(&behind(own)), "the first one is used as long as it has ports: {seen:?}");
    // Those behind the other address are found, too.
    let asking = echo_to_each(udp(fwd.internet(0), server), sockets.len());
    sockets.iter().for_each(|socket| asked(socket, server, b"and now?"));
    assert_eq!(asking.join().expect("the server"), seen);
}

#[test]
fn source_that_the_host_loses_is_left_by_nobody_until_it_has_it_again() {
    for datapath in ["tc", "kernel"] {
        let fwd = host_with(1);
        let (outside, source) = (link(&fwd, 0).outside, address(&fwd, 0x500));
        let pod = fwd.up("c1", &["--datapath", datapath, "--source6", &source.to_string()]);
        assert!(pings6(&pod, outside));
        change(&fwd, "del", source);
        wait_until(LIMIT, "nothing leaves", || Ok((!answers6(&pod, outside)).then_some(()))).expect("it does not");
        let shown = fwd.ok(&["inspect", &pod.name]);
        assert!(shown.contains(&format!("({source}): give them back (`ip addr add {source}/128")), "{shown}");
        if datapath == "tc" {
            assert!(fwd.counted("from_ns", "dropped", Some("SourceGone")) > 0);
        }
        change(&fwd, "add", source);
        wait_until(LIMIT, "it is back", || Ok(answers6(&pod, outside).then_some(()))).expect("it is");
    }
}

#[test]
fn source_that_cannot_be_is_refused_before_anything_is_made() {
    let fwd = host_with(1);
    let source = address(&fwd, 0x500).to_string();
    let ns = fwd.name("c1");
    let refused = |options: &[&str], code, words: &[&str]| {
        fwd.expect_error(&[&["up", "--ns", &ns], options].concat(), code, words);
        assert_eq!(fwd.list(&["ls"]), [Value::Null; 0]);
    };
    refused(&["--source6", "2001:db8::99"], 3, &["2001:db8::99", "ip addr add 2001:db8::99/128"]);
    refused(&["--source6", &format!("{source}-{source}9")], 2, &["addresses, of which there may be 256"]);
    refused(&["--source6", "fe80::1"], 2, &["one link alone"]);
    refused(&["--source6", "192.0.2.7"], 2, &["--source6", "no address of IPv6"]);
    refused(&["--source6", &source, "--internal"], 2, &["internal"]);
    refused(&["--source6", &source, "--ipv6", "off"], 5, &["has no IPv6", "leave out --source6"]);
    let routed = ["--ipv6", "route", "--subnet6", "2001:db8:77::/64"];
    refused(&[&["--source6", &source], &routed[..]].concat(), 5, &["is routed", "--ipv6 masquerade"]);
    fwd.up("c1", &[]);
    fwd.expect_error(&["up", "--ns", &ns, "--source6", &source], 4, &["the one that the host takes", &source]);
}
