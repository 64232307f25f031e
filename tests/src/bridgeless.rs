//! `--bridge none`: namespaces that are no ports of a bridge reach what others reach, but for groups; and nothing gets past the programs in its place.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use forwarder::netlink::Netlink;
use forwarder_common::wire::emit::{Arp, Ethernet};
use nix::sys::signal::Signal;

use crate::{
    doctor::is_in_order,
    fwd::{Fwd, Pod, answers, answers6, inside, pings, pings6, text, told, try_inside},
    ipv6::{self, address6, host_with, link, link_local},
    peers::{ANY, any, at, connect, echo_tcp, echoed, listen, udp},
    raw::{frame, mac_of, send, udp as datagram},
    trace::Trace,
};

const NONE: [&str; 2] = ["--bridge", "none"];

/// Without a bridge, and what else is asked for.
#[track_caller]
fn up(fwd: &Fwd, role: &str, options: &[&str]) -> Pod {
    fwd.up(role, &[&NONE, options].concat())
}

/// The gateway of IPv6 that `up` has shown.
#[track_caller]
fn gateway6(pod: &Pod) -> Ipv6Addr {
    text(&pod.shown["gateways"][1]).parse().expect("an address")
}

#[track_caller]
fn assert_is_told(fwd: &Fwd, pod: &Pod) {
    assert_eq!(pod.shown["bridgeless"], true);
    assert!(fwd.ok(&["inspect", &pod.name]).contains("bridge none"));
    assert!(fwd.ok(&["network", "ls"]).contains("bridge none"));
    assert!(fwd.ok(&["export"]).contains("bridge = \"none\""));
    let host = Netlink::open(fwd.host()).expect("a connection");
    let host_veth = host.link(&pod.host_if).expect("links").expect("it is there");
    assert_eq!(host_veth.controller, None, "it is no port");
    let shown = fwd.json(&["graph"]);
    assert!(shown["bridges"][0]["ports"].to_string().contains(&pod.name), "{shown:#}");
    is_in_order(fwd);
}

#[test]
fn namespaces_without_a_bridge_speak_with_everybody_by_both_families() {
    let fwd = host_with(1);
    let before = fwd.snapshot().unwrap();
    let options = ["--dns", "-p", "8080:80"];
    let (pod, peer) = (up(&fwd, "c1", &options), up(&fwd, "c2", &["--dns"]));
    assert_is_told(&fwd, &pod);
    for address in [fwd.uplink(0).outside[0], fwd.uplink(0).address, pod.gateway, peer.address] {
        assert!(pings(&pod, address), "{address}");
    }
    for address in [link(&fwd, 0).outside, link(&fwd, 0).address, gateway6(&pod), address6(&peer)] {
        assert!(pings6(&pod, address), "{address}");
    }
    assert!(pings(fwd.host(), pod.address) && pings6(fwd.host(), address6(&pod)), "the host reaches it");
    let on_link = format!("{}%eth0", link_local(&peer));
    assert!(told(&pod, &["-6", &on_link]).status.success(), "{on_link}");
    // Whole connections, of more than a segment.
    let own = IpAddr::from(address6(&pod));
    assert_eq!(ipv6::seen_from(&pod, &peer, ipv6::at(address6(&peer), 7000)), [own; 2]);
    let host = link(&fwd, 0).address;
    assert_eq!(ipv6::seen_from(&pod, fwd.host(), ipv6::at(host, 7000)), [own; 2], "the host sees who it is");
    // A published port: from outside, by a neighbour, and by the host's own programs.
    let server = echo_tcp(listen(&pod, any(80)), 3);
    let published = at(fwd.uplink(0).address, 8080);
    for client in [fwd.internet(0), &peer.ns] {
        echoed(&connect(client, ANY, published).expect("it is published"), b"hello");
    }
    echoed(&connect(fwd.host(), ANY, at(pod.address, 80)).expect("the host reaches it"), b"hello");
    assert_eq!(server.join().expect("the server").len(), 3);
    let found = fwd.ok(&["exec", "--ns", &pod.name, "--", "getent", "ahostsv4", &peer.name]);
    assert!(found.contains(&peer.address.to_string()), "{found}");
    fwd.ok(&["reload"]);
    assert!(pings(&pod, peer.address) && pings(&pod, pod.gateway) && pings(fwd.host(), pod.address));
    fwd.ok(&["down", "--all"]);
    let difference = before.diff(&fwd.snapshot().unwrap());
    assert!(difference.is_empty(), "{difference:#?}");
}

#[test]
fn groups_and_broadcasts_reach_nobody_and_are_counted() {
    let fwd = Fwd::new();
    let (pod, peer) = (up(&fwd, "c1", &[]), up(&fwd, "c2", &[]));
    let dropped = |hook: &str| fwd.counted(hook, "dropped", Some("NoBridge"));
    let (sender, receivers) = (udp(&pod, ANY), [udp(&peer, any(7000)), udp(fwd.host(), any(7000))]);
    sender.set_broadcast(true).expect("a socket");
    let before = dropped("from_ns");
    sender.send_to(b"everybody?", at(Ipv4Addr::BROADCAST, 7000)).expect("it leaves");
    sender.send_to(b"who listens?", at(Ipv4Addr::new(224, 0, 0, 251), 7000)).expect("it leaves");
    assert_eq!(dropped("from_ns") - before, 2);
    // Nor does the host hear who asks for an address that nobody has.
    let [a, b, c, _] = pod.address.octets();
    let question = Arp::question((mac_of(&pod, "eth0"), pod.address.octets()), [a, b, c, 98]);
    let before = dropped("from_ns");
    send(&pod, "eth0", &[question.in_frame(&Ethernet::new([0xff; 6], mac_of(&pod, "eth0")))]);
    assert_eq!(dropped("from_ns") - before, 1);
    let before = dropped("to_network");
    // Nobody has the address that the host asks for.
    let [a, b, c, _] = pod.address.octets();
    assert!(!answers(fwd.host(), Ipv4Addr::new(a, b, c, 99)));
    assert!(dropped("to_network") > before);
    for receiver in receivers {
        receiver.set_nonblocking(true).expect("a socket");
        assert!(receiver.recv(&mut [0; 64]).is_err(), "it heard of it");
    }
}

/// Frames by which somebody inside would be somebody else, or reach what the programs keep him from.
#[test]
fn no_frame_gets_past_the_programs_that_are_in_the_place_of_a_bridge() {
    let fwd = Fwd::new();
    let (pod, peer) = (up(&fwd, "c1", &[]), up(&fwd, "c2", &[]));
    let (own, theirs) = (mac_of(&pod, "eth0"), mac_of(&peer, "eth0"));
    let (host_veth, bridge) = (mac_of(fwd.host(), &pod.host_if), mac_of(fwd.host(), "fwd0"));
    let (to_peer, to_host) = (at(peer.address, 7000), at(fwd.uplink(0).address, 7000));
    let sockets = [udp(&peer, any(7000)), udp(fwd.host(), any(7000))];
    let from = |address| at(address, 5000);
    let says = |to, as_mac, src, dst| frame(to, as_mac, &datagram(from(src), dst, b"forged"));
    let claim = Arp::question((own, peer.address.octets()), pod.gateway.octets());
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("SpoofedSource", says(theirs, own, peer.address, to_host)),
        ("SpoofedSource", says(bridge, own, fwd.uplink(0).outside[0], to_host)),
        ("SpoofedMac", says(bridge, theirs, pod.address, to_host)),
        // The interface at the other end is nobody whom packets are for.
        ("NoBridge", says(host_veth, own, pod.address, to_host)),
        ("NoBridge", says([0xff; 6], own, pod.address, to_host)),
        ("NoBridge", says(theirs, own, pod.address, to_host)),
        ("NoBridge", says([0x01, 0, 0x5e, 0, 0, 0xfb], own, pod.address, to_host)),
        ("ArpSpoof", claim.in_frame(&Ethernet::new([0xff; 6], own))),
        ("Martian", says(bridge, own, pod.address, at(Ipv4Addr::LOCALHOST, 7000))),
    ];
    for (reason, frame) in cases {
        let dropped = || fwd.counted("from_ns", "dropped", Some(reason));
        let before = dropped();
        send(&pod, "eth0", &[frame]);
        assert_eq!(dropped() - before, 1, "{reason}");
    }
    let neighbours = fwd.on_host(&["ip", "neighbour", "show", "dev", "fwd0"]);
    assert!(!neighbours.contains(&pod.gateway.to_string()), "{neighbours}");
    // What is honest arrives, and nothing else has before it.
    send(&pod, "eth0", &[says(bridge, own, pod.address, to_peer), says(bridge, own, pod.address, to_host)]);
    for socket in sockets {
        let mut buffer = [0; 64];
        let (_, heard) = socket.recv_from(&mut buffer).expect("it arrives");
        assert_eq!(heard, SocketAddr::from(from(pod.address)));
        socket.set_nonblocking(true).expect("a socket");
        assert!(socket.recv(&mut buffer).is_err(), "something forged has arrived");
    }
}

#[test]
fn what_keeps_namespaces_apart_does_so_without_a_bridge() {
    let fwd = host_with(1);
    let (one, other) = (up(&fwd, "c1", &["--no-icc"]), up(&fwd, "c2", &["--no-icc"]));
    assert!(!answers(&one, other.address) && !answers6(&one, address6(&other)));
    let on_link = format!("{}%eth0", link_local(&other));
    assert!(!try_inside(&one, &["ping", "-6", "-n", "-q", "-c", "1", "-W", "1", &on_link]).status.success());
    assert!(pings(&one, one.gateway) && pings(&one, fwd.uplink(0).outside[0]));
    let inner = up(&fwd, "c3", &["--network", "inner", "--internal"]);
    assert!(
        pings(&inner, inner.gateway) && !answers(&inner, fwd.uplink(0).outside[0]) && !answers(&inner, one.address)
    );
    for (network, allowed) in [("inner", "open"), ("open", "inner")] {
        let options: &[&str] = if network == "open" { &NONE } else { &[] };
        fwd.ok(&[&["network", "add", network, "--allow-network", allowed], options].concat());
    }
    let open = fwd.up("c4", &["--network", "open"]);
    inside(&inner, &["ip", "route", "replace", "default", "via", &inner.gateway.to_string()]);
    assert!(pings(&open, inner.address), "the networks have allowed each other");
    let denied = fwd.up("c5", &["--network", "open", "--deny-in", "any/icmp"]);
    assert!(!answers(&open, denied.address) && pings(&denied, open.address), "a rule forbids the one alone");
}

#[test]
fn bridge_that_went_by_hand_is_mended_for_everybody() {
    let fwd = Fwd::new();
    let one = up(&fwd, "c1", &[]);
    fwd.on_host(&["ip", "link", "del", "fwd0"]);
    let other = fwd.up("c2", &[]);
    assert!(pings(&one, other.address) && pings(&one, one.gateway) && pings(fwd.host(), one.address));
    is_in_order(&fwd);
}

#[test]
fn what_cannot_be_without_a_bridge_is_refused() {
    let fwd = Fwd::new();
    let name = fwd.name("c1");
    let up_by_kernel = ["up", "--ns", &name, "--datapath", "kernel", "--bridge", "none"];
    fwd.expect_error(&up_by_kernel, 5, &["--bridge none", "kernel", "--datapath tc"]);
    fwd.up("c2", &[]);
    assert_eq!(fwd.list(&["ls"])[0]["bridgeless"], false);
    fwd.expect_error(
        &["up", "--ns", &name, "--bridge", "none"],
        4,
        &["its bridge between namespaces is on", "leave the option out", "fwd0"],
    );
    assert_eq!(fwd.list(&["ls"]).len(), 1);
    let key = "net.ipv4.conf.all.ignore_routes_with_linkdown";
    fwd.on_host(&["sysctl", "-w", &format!("{key}=1")]);
    let output = fwd.call(&["up", "--ns", &name, "--network", "other", "--bridge", "none", "--allow-spoof"]);
    assert!(output.status.success() && output.stderr.contains(&format!("sysctl -w {key}=0")), "{}", output.stderr);
    assert!(output.stderr.contains("without a bridge nobody in the network finds it"), "{}", output.stderr);
}

/// A host may be told so for all interfaces that come; the one of such a network has no carrier, ever.
#[test]
fn host_goes_by_routes_without_a_carrier_whatever_new_interfaces_are_told() {
    let fwd = host_with(1);
    for family in ["ipv4", "ipv6"] {
        fwd.on_host(&["sysctl", "-w", &format!("net.{family}.conf.default.ignore_routes_with_linkdown=1")]);
    }
    let pod = up(&fwd, "c1", &[]);
    let reached = |from: &Fwd| pings(from.host(), pod.address) && pings6(from.host(), address6(&pod));
    assert!(reached(&fwd) && pings(&pod, pod.gateway) && pings6(&pod, gateway6(&pod)));
    for family in ["ipv4", "ipv6"] {
        fwd.on_host(&["sysctl", "-w", &format!("net.{family}.conf.fwd0.ignore_routes_with_linkdown=1")]);
    }
    assert!(!reached(&fwd), "somebody has changed that");
    up(&fwd, "c2", &[]);
    assert!(reached(&fwd), "it is mended");
}

/// Where somebody takes the programs away, or makes a port of it, a host-side veth is as closed as it was.
#[test]
fn host_side_veth_takes_up_nothing_for_the_host() {
    let fwd = Fwd::new();
    let (pod, _) = (up(&fwd, "c1", &["--attach", "clsact"]), up(&fwd, "c2", &[]));
    fwd.on_host(&["ip", "link", "set", &pod.host_if, "master", "fwd0"]);
    fwd.on_host(&["sysctl", "-w", &format!("net.ipv4.conf.{}.rp_filter=0", pod.host_if)]);
    up(&fwd, "c1", &["--attach", "clsact"]);
    is_in_order(&fwd);
    let host = Netlink::open(fwd.host()).expect("a connection");
    assert_eq!(host.link(&pod.host_if).expect("links").expect("it is there").controller, None);
    // The kernel writes it at every interface.
    for on in ["0", "1"] {
        fwd.on_host(&["sysctl", "-w", &format!("net.ipv4.ip_forward={on}")]);
    }
    fwd.on_host(&["tc", "qdisc", "del", "dev", &pod.host_if, "clsact"]);
    let (own, host_veth) = (mac_of(&pod, "eth0"), mac_of(fwd.host(), &pod.host_if));
    let (address, outside) = (fwd.uplink(0).address, fwd.uplink(0).outside[0]);
    let sockets = [udp(fwd.host(), any(7000)), udp(fwd.internet(0), any(7000))];
    let says = |source, to, what| frame(host_veth, own, &datagram(at(source, 5000), at(to, 7000), what));
    for source in [pod.address, outside, Ipv4Addr::new(192, 0, 2, 99)] {
        send(&pod, "eth0", &[address, outside].map(|to| says(source, to, b"forged")));
    }
    let asks = || try_inside(&pod, &["arping", "-q", "-c", "2", "-w", "5", "-I", "eth0", &address.to_string()]);
    assert!(!asks().status.success(), "the host answers by ARP");
    // It is for what was set, and nothing else, that the host hears nothing.
    let set = |key: &str, value: &str| {
        fwd.on_host(&["sysctl", "-w", &format!("net.ipv4.conf.{}.{key}={value}", pod.host_if)]);
    };
    set("rp_filter", "0");
    set("arp_ignore", "0");
    assert!(asks().status.success());
    send(&pod, "eth0", &[says(pod.address, address, b"honest")]);
    let [host, internet] = sockets;
    let mut heard = [0; 64];
    let length = host.recv(&mut heard).expect("it arrives");
    assert_eq!(&heard[..length], b"honest", "something forged has arrived");
    internet.set_nonblocking(true).expect("a socket");
    assert!(internet.recv(&mut heard).is_err(), "something forged has left");
}

#[test]
fn limits_and_traces_are_as_with_a_bridge() {
    let fwd = Fwd::new();
    let (pod, slow) = (up(&fwd, "c1", &[]), up(&fwd, "c2", &["--rate-in", "10M", "--rate-out", "10M"]));
    for client in [&pod.ns, fwd.host()] {
        let server = echo_tcp(listen(&slow, any(80)), 1);
        echoed(&connect(client, ANY, at(slow.address, 80)).expect("it is reached"), &[7; 60_000]);
        server.join().expect("the server");
    }
    let trace = Trace::start(&fwd, &pod, &[&pod.name]);
    assert!(pings(&pod, pod.gateway) && pings(&pod, slow.address), "while it is traced, too");
    trace.shows("what is for the host", |line| line["hook"] == "from_ns" && line["reason"] == "ToHost");
    trace.end(Signal::SIGINT);
}
