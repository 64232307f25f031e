//! The host's own way out, which it may have by router advertisements.

use std::{
    io::ErrorKind,
    net::{Ipv6Addr, UdpSocket},
};

use forwarder::testbed::{Process, command_in, wait_until};

use super::{ADVERTISE, at, flows::flows, host_with, link, over_each};
use crate::{
    fwd::{Fwd, LIMIT, answers6, inside, pings6, told, try_inside},
    peers::udp,
};

/// Sends a router advertisement from the internet: a default route, and a prefix of which the host takes an address.
#[track_caller]
fn advertise(fwd: &Fwd) {
    inside(fwd.internet(0), &["python3", "-c", ADVERTISE, "inet0", "fe80::1", "2001:db8:a::"]);
}

/// Answers the first who asks for routers at the interface `argv[1]` by a router advertisement: a default route, and the prefix `argv[2]`.
const ANSWER: &str = "
import socket, struct, sys
index = socket.if_nametoindex(sys.argv[1])
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, socket.inet_pton(socket.AF_INET6, 'ff02::2') + struct.pack('@I', index))
answer = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
answer.bind(('fe80::1', 0, 0, index))
answer.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
answer.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
option = struct.pack('!BBBBIII', 3, 4, 64, 0xc0, 86400, 14400, 0) + socket.inet_pton(socket.AF_INET6, sys.argv[2])
print('ready', flush=True)
while True:
    if s.recvfrom(2000)[0][0] == 133:
        answer.sendto(struct.pack('!BBHBBHII', 134, 0, 0, 64, 0, 1800, 0, 0) + option, ('ff02::1', 0, 0, index))";

#[track_caller]
fn await_default_route(fwd: &Fwd, when: &str) {
    wait_until(LIMIT, "the host learns its default route", || {
        let routes = fwd.on_host(&["ip", "-6", "route", "show", "default"]);
        Ok(routes.contains("via fe80::1 dev eth0 proto ra").then_some(()))
    })
    .unwrap_or_else(|error| panic!("{when}: {error}"));
}

/// What moby#43466 is about: the kernel deletes a default route that it has by router advertisements when it begins to forward; and cilium#48093:
/// no program takes what the host asks routers, or what they answer.
#[test]
fn default_route_by_router_advertisements_stays_through_up_and_down() {
    over_each(default_route_stays);
}

fn default_route_stays(options: &[&str]) {
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
    let pod = fwd.up("c1", options);
    assert_eq!(routes(), before, "after up");
    assert!(pings6(&pod, link(&fwd, 0).outside));
    // And it is learnt again while the host forwards.
    fwd.on_host(&["ip", "-6", "route", "del", "default", "via", "fe80::1", "dev", "eth0", "proto", "ra"]);
    advertise(&fwd);
    await_default_route(&fwd, "while it is up");
    assert!(pings6(&pod, link(&fwd, 0).outside));
    // Who comes to a link asks who is a router there (RFC 4861 §6.3.7).
    let router = command_in(fwd.internet(0), &["python3", "-c", ANSWER, "inet0", "2001:db8:a::"]);
    let router = Process::spawn(router).expect("python3 starts");
    wait_until(LIMIT, "the router listens", || Ok(router.stdout().contains("ready").then_some(())))
        .unwrap_or_else(|error| panic!("{error}: {}", router.stderr()));
    fwd.on_host(&["sh", "-ec", "ip link set eth0 down; ip link set eth0 up"]);
    await_default_route(&fwd, "once the router was asked");
    drop(router);
    fwd.down("c1");
    assert_eq!(routes(), before, "after down");
    assert_eq!(fwd.on_host(&["sysctl", "-n", "net.ipv6.conf.eth0.accept_ra"]).trim(), "1");
}

/// The kernel switches forwarding on and off at all interfaces at once: whoever had it at one by himself gets it back, and an interface that
/// comes meanwhile heeds router advertisements as it would have without.
#[test]
fn single_interfaces_are_routers_again_and_later_ones_heed_advertisements() {
    let fwd = host_with(2);
    let value = |name: &str| fwd.on_host(&["sysctl", "-n", &format!("net.ipv6.conf.{name}")]).trim().to_owned();
    for name in ["eth1", "default"] {
        fwd.on_host(&["sysctl", "-q", &format!("net.ipv6.conf.{name}.forwarding=1")]);
    }
    let before = fwd.snapshot().expect("a snapshot");
    fwd.up("c1", &[]);
    assert_eq!(value("eth1.accept_ra"), "1", "a router heeds none, and that was so before");
    fwd.on_host(&["ip", "link", "add", "late0", "type", "bridge"]);
    assert_eq!(value("late0.accept_ra"), "2");
    fwd.on_host(&["ip", "link", "del", "late0"]);
    fwd.down("c1");
    for (name, had) in [("eth0", "0"), ("eth1", "1"), ("default", "1"), ("all", "0")] {
        assert_eq!(value(&format!("{name}.forwarding")), had, "{name}");
    }
    let difference = before.diff(&fwd.snapshot().expect("a snapshot"));
    assert!(difference.is_empty(), "{difference:#?}");
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

/// A router may ask for less on its link than the interface could send (RFC 4861 §4.6.4): the kernel forwards no more, and nor do the programs.
#[test]
fn mtu_of_ipv6_on_the_link_of_the_uplink_is_kept_to() {
    let fwd = host_with(1);
    let pod = fwd.up("c1", &[]);
    let (outside, router) = (link(&fwd, 0).outside.to_string(), Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1));
    let ping = |length: &str| told(&pod, &["-6", "-M", "do", "-s", length, &outside]);
    assert!(ping("1452").status.success(), "1,500 bytes");
    inside(fwd.internet(0), &["python3", "-c", ADVERTISE_MTU, "inet0", &router.to_string(), "1400"]);
    wait_until(LIMIT, "the host heeds it", || {
        let mtu = fwd.on_host(&["sysctl", "-n", "net.ipv6.conf.eth0.mtu"]);
        Ok((mtu.trim() == "1400").then_some(()))
    })
    .expect("it heeds advertisements");
    let told = ping("1452");
    assert!(!told.status.success() && told.stdout.contains("mtu=1400"), "{}{}", told.stdout, told.stderr);
    assert!(ping("1352").status.success(), "1,400 bytes");
    assert!(fwd.counted("from_ns", "punted", Some("TooBig")) > 0);
}

/// The kernel forwards what is larger where the metric is not locked; its own sockets do not send it.
#[test]
fn mtu_of_a_single_route_holds_with_and_without_a_lock() {
    for datapath in ["tc", "xdp"] {
        let fwd = host_with(1);
        let pod = fwd.up("c1", &["--datapath", datapath]);
        let six = link(&fwd, 0);
        let ping = |length: &str| {
            let outside = six.outside.to_string();
            // What the namespace itself has learnt is forgotten first.
            try_inside(&pod, &["ip", "-6", "route", "flush", "cache"]);
            told(&pod, &["-6", "-M", "do", "-s", length, &outside])
        };
        assert!(ping("1452").status.success(), "1,500 bytes");
        for (mtu, asked) in [(1400, &["mtu", "1400"][..]), (1300, &["mtu", "lock", "1300"])] {
            let (destination, gateway) = (format!("{}/128", six.outside), six.gateway.to_string());
            fwd.on_host(
                &[&["ip", "-6", "route", "replace", &destination, "via", &gateway, "dev", "eth0"], asked].concat(),
            );
            fwd.up("c2", &[]);
            let (fits, too_large) = ((mtu - 48).to_string(), (mtu - 47).to_string());
            wait_until(LIMIT, "the flow has looked its route up again", || {
                let told = ping(&too_large);
                Ok((!told.status.success() && told.stdout.contains(&format!("mtu={mtu}"))).then_some(()))
            })
            .unwrap_or_else(|error| panic!("{datapath}, {asked:?}: {error}"));
            assert!(ping(&fits).status.success(), "{datapath}, {asked:?}");
        }
        assert!(fwd.counted("from_ns", "punted", Some("TooBig")) > 0);
        fwd.ok(&["down", "--all"]);
    }
}

/// What is cut into fragments, or has extension headers, is of the same flow as what is not: it appears behind the same port.
#[test]
fn fragments_larger_than_a_route_asks_for_leave_by_their_flow() {
    for datapath in ["tc", "xdp"] {
        let fwd = host_with(1);
        let six = link(&fwd, 0);
        let line = format!("-6 route replace default via {} dev eth0 mtu 1400", six.gateway);
        fwd.on_host(&[&["ip"], &line.split(' ').collect::<Vec<_>>()[..]].concat());
        let pod = fwd.up("c1", &["--datapath", datapath]);
        let (client, server) = (udp(&pod, at(Ipv6Addr::UNSPECIFIED, 5555)), udp(fwd.internet(0), at(six.outside, 53)));
        let mut buffer = [0; 8192];
        let mut seen = |length: usize| {
            client.send_to(&vec![7; length], at(six.outside, 53)).expect("it leaves");
            let (received, from) = server.recv_from(&mut buffer).expect("it arrives");
            assert_eq!(received, length);
            from
        };
        let external = seen(4000);
        assert_eq!(seen(100), external, "{datapath}");
        assert_eq!(flows(&fwd, &pod, "udp").len(), 1, "{datapath}");
        assert_eq!(fwd.counted("to_uplink", "punted", Some("HostFlow")), 0, "{datapath}");
        assert_eq!(fwd.counted("from_ns", "punted", Some("TooBig")), 0, "{datapath}");
    }
}

/// Sends a router advertisement from the interface `argv[1]`, whose address is `argv[2]`, that tells the MTU `argv[3]`.
const ADVERTISE_MTU: &str = "
import socket, struct, sys
interface, address, mtu = sys.argv[1:]
index = socket.if_nametoindex(interface)
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
s.bind((address, 0, 0, index))
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
option = struct.pack('!BBHI', 5, 1, 0, int(mtu))
s.sendto(struct.pack('!BBHBBHII', 134, 0, 0, 64, 0, 1800, 0, 0) + option, ('ff02::1', 0, 0, index))";

/// A network that is bound leaves by its uplink alone: what the host leads elsewhere is dropped, and `inspect` tells where it would go.
#[test]
fn routes_that_leave_by_another_interface_are_named() {
    let fwd = host_with(2);
    let pod = fwd.up("c1", &["--uplink", "eth0"]);
    assert!(!answers6(&pod, link(&fwd, 1).outside));
    let told = fwd.ok(&["inspect", &pod.name]);
    let route = format!("{}/128 by eth1", link(&fwd, 1).outside);
    assert!(told.contains("RouteNotViaUplink") && told.contains(&route) && told.contains("ip -6 route add"), "{told}");
    // Of a router that is not there, nobody hears anything.
    for line in ["route replace default via fe80::99 dev eth0", "neigh flush dev eth0"] {
        fwd.on_host(&[&["ip", "-6"], &line.split(' ').collect::<Vec<_>>()[..]].concat());
    }
    wait_until(LIMIT, "the router has been asked", || {
        _ = try_inside(&pod, &["ping", "-6", "-n", "-c", "1", "-W", "1", &link(&fwd, 0).outside.to_string()]);
        Ok(fwd.ok(&["inspect", &pod.name]).contains("the router fe80::99 does not answer at eth0").then_some(()))
    })
    .expect("inspect tells");
}
