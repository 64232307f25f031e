//! `--source`: an endpoint appears behind an address of the host that is its own.

mod ipv6;

use std::net::Ipv4Addr;

use forwarder::testbed::wait_until;
use serde_json::{Value, json};

use super::{host, remote};
use crate::{
    fwd::{Fwd, LIMIT, Pod, answers, pings},
    peers::{ANY, any, asked, at, connect, echo_tcp, echo_to_each, echo_udp, echoed, listen, udp},
    uplinks::ip,
};

const USAGE: i32 = 2;
const NOT_FOUND: i32 = 3;
const CONFLICT: i32 = 4;
pub(super) const PORT: u16 = 7000;

/// Further addresses of the host at `eth0`.
fn addresses(fwd: &Fwd) -> [Ipv4Addr; 2] {
    let address = |number| Ipv4Addr::from_bits(fwd.uplink(0).address.to_bits() + number);
    let addresses = [address(5), address(6)];
    for address in addresses {
        ip(fwd, &format!("addr add {address}/24 dev eth0"));
    }
    addresses
}

/// From where the internet behind `eth0` sees a connection and a question of `pod`.
#[track_caller]
pub(super) fn seen_from(fwd: &Fwd, pod: &Pod) -> [Ipv4Addr; 2] {
    let server = at(remote(fwd), PORT);
    let clients = echo_tcp(listen(fwd.internet(0), server), 1);
    echoed(&connect(pod, ANY, server).expect("it connects"), b"from where?");
    let asking = echo_udp(udp(fwd.internet(0), server), 1);
    asked(&udp(pod, ANY), server, b"from where?");
    [clients, asking].map(|seen| match seen.join().expect("the server")[0].ip() {
        std::net::IpAddr::V4(seen) => seen,
        std::net::IpAddr::V6(seen) => panic!("{seen} is not of IPv4"),
    })
}

#[test]
fn endpoints_appear_each_behind_its_own_source_by_whatever_data_path() {
    for datapath in ["tc", "xdp", "kernel"] {
        let fwd = host();
        let [first, second] = addresses(&fwd);
        let options =
            |source: &Ipv4Addr| ["--datapath".to_owned(), datapath.into(), "--source".into(), source.to_string()];
        let up = |role: &str, source| {
            let options = options(&source);
            fwd.up(role, &options.each_ref().map(String::as_str))
        };
        let (one, two, other) = (up("c1", first), up("c2", second), fwd.up("c3", &[]));
        assert_eq!(one.shown["source"], first.to_string());
        assert_eq!(other.shown["source"], Value::Null);
        assert!(fwd.ok(&["inspect", &one.name]).contains(&format!("{first} (--source)")));
        assert_eq!(seen_from(&fwd, &one), [first; 2]);
        assert_eq!(seen_from(&fwd, &two), [second; 2]);
        assert_eq!(seen_from(&fwd, &other), [fwd.uplink(0).address; 2]);
        assert!(pings(&one, remote(&fwd)));
        assert_eq!(up("c1", first).shown["changed"], false, "it has what it asks for");
        let export = fwd.json(&["inspect", &one.name]);
        assert_eq!(export["source"], first.to_string());
    }
}

/// RFC 4787 REQ-2: address pooling "paired".
#[test]
fn endpoint_keeps_one_address_of_a_range_as_long_as_that_has_ports() {
    const PORTS: usize = 64;
    let fwd = host();
    let [first, last] = addresses(&fwd);
    let range = format!("{first}-{last}");
    let pod = fwd.up("c1", &["--source", &range, "--nat-ports", "20000-20063"]);
    let other = fwd.up("c2", &["--source", &range]);
    assert_eq!((&pod.shown["source"], &other.shown["source"]), (&json!(range), &json!(range)));
    let [own, again] = seen_from(&fwd, &pod);
    assert_eq!(own, again, "it is the same for all");
    let [others, _] = seen_from(&fwd, &other);
    assert!(own != others && [first, last].contains(&own) && [first, last].contains(&others), "they spread");
    // More conversations with one server than one address has ports.
    let server = at(remote(&fwd), PORT + 1);
    let asking = echo_to_each(udp(fwd.internet(0), server), PORTS + PORTS / 2);
    let sockets: Vec<_> = (0..PORTS + PORTS / 2).map(|_| udp(&pod, ANY)).collect();
    sockets.iter().for_each(|socket| asked(socket, server, b"from where?"));
    let seen = asking.join().expect("the server");
    let behind = |address: Ipv4Addr| seen.iter().filter(|seen| seen.ip() == address).count();
    assert_eq!(behind(own) + behind(others), sockets.len(), "nobody had to give a port: {seen:?}");
    assert!((PORTS / 2..=PORTS).contains(&behind(own)), "the first one is used as long as it has ports: {seen:?}");
    fwd.expect_error(&["up", "--ns", &pod.name, "--source", &first.to_string()], CONFLICT, &[&range]);
}

#[test]
fn network_lends_its_source_to_those_that_come_from_then_on_and_ask_for_none() {
    let fwd = host();
    let [first, second] = addresses(&fwd);
    let add = |source: Ipv4Addr| fwd.ok(&["network", "add", "web", "--source", &source.to_string()]);
    add(first);
    let one = fwd.up("c1", &["--network", "web"]);
    let other = fwd.up("c2", &["--network", "web", "--source", &second.to_string()]);
    assert_eq!((seen_from(&fwd, &one), seen_from(&fwd, &other)), ([first; 2], [second; 2]));
    assert_eq!(fwd.list(&["network", "ls"])[0]["source"], first.to_string());
    add(second);
    let later = fwd.up("c3", &["--network", "web"]);
    assert_eq!((seen_from(&fwd, &one), seen_from(&fwd, &later)), ([first; 2], [second; 2]));
    assert_eq!(fwd.up("c1", &["--network", "web"]).shown["changed"], false, "who is there keeps what it has");
    let unknown = ["network", "add", "lan", "--source", "192.0.2.77"];
    fwd.expect_error(&unknown, NOT_FOUND, &["192.0.2.77", "ip addr add"]);
    fwd.expect_error(&["network", "add", "vault", "--internal", "--source", "192.0.2.77"], USAGE, &["internal"]);
}

/// The kernel's NAT has a range, too, of which each namespace has one address.
#[test]
fn endpoint_has_one_address_of_a_range_by_the_kernels_nat() {
    let fwd = host();
    let [first, last] = addresses(&fwd);
    let pod = fwd.up("c1", &["--source", &format!("{first}-{last}"), "--datapath", "kernel"]);
    let [own, again] = seen_from(&fwd, &pod);
    assert!(own == again && [first, last].contains(&own), "{own} {again}");
}

/// Bound to an uplink by which the host leads no default route, and where no route leads anywhere else.
#[test]
fn bound_network_leaves_by_its_uplink_from_the_source_that_was_asked_for() {
    let fwd = host();
    let source = Ipv4Addr::from_bits(fwd.uplink(1).address.to_bits() + 5);
    ip(&fwd, &format!("addr add {source}/24 dev eth1"));
    ip(&fwd, "route del default");
    let pod = fwd.up("c1", &["--uplink", "eth1", "--source", &source.to_string(), "-p", "8080:80"]);
    let server = at(fwd.uplink(1).gateway, PORT);
    let clients = echo_tcp(listen(fwd.internet(1), server), 1);
    let stream = connect(&pod, any(4000), server).expect("it connects");
    // For longer than a route is taken for fresh: the flow stays, with its port.
    let until = std::time::Instant::now() + std::time::Duration::from_secs(3);
    while std::time::Instant::now() < until {
        echoed(&stream, b"still the same");
    }
    drop(stream);
    assert_eq!(clients.join().expect("the server")[0].ip(), source);
    // Who asks is answered from where he asked.
    let served = echo_tcp(listen(&pod, any(80)), 1);
    let asked_at = at(fwd.uplink(1).address, 8080);
    echoed(&connect(fwd.internet(1), ANY, asked_at).expect("it is published"), b"published");
    served.join().expect("the server");
}

#[test]
fn source_that_the_host_loses_is_left_by_nobody_until_it_has_it_again() {
    let fwd = host();
    let [source, _] = addresses(&fwd);
    let pod = fwd.up("c1", &["--source", &source.to_string()]);
    assert_eq!(seen_from(&fwd, &pod), [source; 2]);
    ip(&fwd, &format!("addr del {source}/24 dev eth0"));
    let gone = || {
        let reached = answers(&pod, remote(&fwd));
        Ok((!reached && fwd.counted("from_ns", "dropped", Some("SourceGone")) > 0).then_some(()))
    };
    // A command tells the programs which addresses the host has.
    fwd.up("c2", &[]);
    wait_until(LIMIT, "it is counted", gone).unwrap_or_else(|error| panic!("{error}"));
    let told = format!("({source}): give them back (`ip addr add {source}/32");
    assert!(fwd.ok(&["inspect", &pod.name]).contains(&told));
    let doctor = fwd.call(&["doctor"]);
    assert!(!doctor.status.success() && doctor.stdout.contains(&told), "{doctor:?}");
    ip(&fwd, &format!("addr add {source}/24 dev eth0"));
    wait_until(LIMIT, "it is back", || Ok(answers(&pod, remote(&fwd)).then_some(()))).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(seen_from(&fwd, &pod), [source; 2]);
}

#[test]
fn source_that_cannot_be_is_refused_before_anything_is_made() {
    let fwd = host();
    let [source, other] = addresses(&fwd).map(|source| source.to_string());
    let ns = fwd.name("c1");
    let up = |options: &[&str], code, words: &[&str]| {
        fwd.expect_error(&[&["up", "--ns", &ns], options].concat(), code, words);
        assert_eq!(fwd.list(&["ls"]), [Value::Null; 0]);
    };
    up(&["--source", "192.0.2.77"], NOT_FOUND, &["192.0.2.77", "ip addr add 192.0.2.77/32", "--announce"]);
    up(&["--source", "127.0.0.1"], USAGE, &["no address of a host"]);
    up(&["--source", "nonsense"], USAGE, &["--source"]);
    up(&["--source", &format!("{other}-{source}")], USAGE, &["ends before it begins"]);
    up(&["--source", &format!("{source}-203.0.113.255")], USAGE, &["256"]);
    let gap = Ipv4Addr::from_bits(fwd.uplink(0).address.to_bits() + 7).to_string();
    up(&["--source", &format!("{source}-{gap}")], NOT_FOUND, &[&gap, "ip addr add"]);
    up(&["--source", &source, "--internal"], USAGE, &["internal"]);
    fwd.up("c1", &["--source", &source]);
    fwd.expect_error(&["up", "--ns", &ns, "--source", &other], CONFLICT, &[&source, &other, "down --ns"]);
    // The gateway of a network is nobody's source.
    fwd.expect_error(&["up", "--ns", &fwd.name("c2"), "--source", "10.77.0.1"], USAGE, &["network fwd0"]);
}
