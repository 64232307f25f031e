//! The host's own way out, which it may have by router advertisements.

use std::{
    io::ErrorKind,
    net::{Ipv6Addr, UdpSocket},
};

use forwarder::testbed::wait_until;

use super::{ADVERTISE, KERNEL, at, host_with, link};
use crate::{
    fwd::{Fwd, LIMIT, inside, pings6},
    peers::udp,
};

/// Sends a router advertisement from the internet: a default route, and a prefix of which the host takes an address.
#[track_caller]
fn advertise(fwd: &Fwd) {
    inside(fwd.internet(0), &["python3", "-c", ADVERTISE, "inet0", "fe80::1", "2001:db8:a::"]);
}

#[track_caller]
fn await_default_route(fwd: &Fwd, when: &str) {
    wait_until(LIMIT, "the host learns its default route", || {
        let routes = fwd.on_host(&["ip", "-6", "route", "show", "default"]);
        Ok(routes.contains("via fe80::1 dev eth0 proto ra").then_some(()))
    })
    .unwrap_or_else(|error| panic!("{when}: {error}"));
}

/// What moby#43466 is about: the kernel deletes a default route that it has by router advertisements when it begins to forward.
#[test]
fn default_route_by_router_advertisements_stays_through_up_and_down() {
    let fwd = host_with(1);
    // Who says by neighbour discovery that it is no router is one no more.
    inside(fwd.internet(0), &["sysctl", "-q", "net.ipv6.conf.all.forwarding=1"]);
    for line in ["route del default", "addr flush dev eth0 scope global"] {
        fwd.on_host(&[&["ip", "-6"], &line.split(' ').collect::<Vec<_>>()[..]].concat());
    }
    inside(fwd.internet(0), &["ip", "-6", "route", "add", "2001:db8:a::/64", "dev", "inet0"]);
    advertise(&fwd);
    await_default_route(&fwd, "before up");
    wait_until(LIMIT, "the host has an address", || {
        let addresses = fwd.on_host(&["ip", "-6", "addr", "show", "dev", "eth0", "scope", "global", "-tentative"]);
        Ok(addresses.contains("2001:db8:a:").then_some(()))
    })
    .expect("by the same advertisement");
    let routes = || fwd.on_host(&["sh", "-c", "ip -6 route show default | sed 's/ expires [^ ]*//'"]);
    let before = routes();
    let pod = fwd.up("c1", &KERNEL);
    assert_eq!(routes(), before, "after up");
    assert!(pings6(&pod, link(&fwd, 0).outside));
    // And it is learnt again while the host forwards.
    fwd.on_host(&["ip", "-6", "route", "del", "default", "via", "fe80::1", "dev", "eth0", "proto", "ra"]);
    advertise(&fwd);
    await_default_route(&fwd, "while it is up");
    assert!(pings6(&pod, link(&fwd, 0).outside));
    fwd.down("c1");
    assert_eq!(routes(), before, "after down");
    assert_eq!(fwd.on_host(&["sysctl", "-n", "net.ipv6.conf.eth0.accept_ra"]).trim(), "1");
}

/// As of IPv4, rules may be about protocols and ports.
#[test]
fn rules_of_the_host_about_ports_are_heeded() {
    let fwd = host_with(1);
    let pod = fwd.up("c1", &[]);
    fwd.on_host(&["ip", "-6", "rule", "add", "pref", "100", "ipproto", "udp", "dport", "7001", "unreachable"]);
    let asked = |port| {
        let client = udp(&pod, at(Ipv6Addr::UNSPECIFIED, 0));
        client.connect(at(link(&fwd, 0).outside, port)).expect("a socket");
        client.send(b"question").expect("it leaves");
        client
    };
    let heard = |client: &UdpSocket| client.recv(&mut [0; 8]).expect_err("nobody answers").kind();
    let unreachable = asked(7001);
    assert_eq!(heard(&asked(7002)), ErrorKind::ConnectionRefused, "outside nobody listens");
    // What was sent before has been refused outside by now, or has not come there.
    unreachable.set_nonblocking(true).expect("a socket");
    assert_ne!(heard(&unreachable), ErrorKind::ConnectionRefused, "the host has no way there");
}
