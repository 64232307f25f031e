//! IPv6 beside IPv4: both ways, behind the uplink's address, and nothing beside that.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, TcpStream, UdpSocket},
    thread,
};

use forwarder::{
    Context as _,
    netns::Netns,
    testbed::{Ipv6Link, TestbedSpec, wait_until},
};

use crate::{
    fwd::{Fwd, LIMIT, Pod, inside, pings, pings6, text, try_inside},
    peers::PATIENCE,
};

/// What is not forwarded by programs.
const KERNEL: [&str; 2] = ["--datapath", "kernel"];

fn host_with(uplinks: usize) -> Fwd {
    Fwd::with(&TestbedSpec { uplinks, ipv6: true, ..TestbedSpec::default() })
}

#[track_caller]
fn link(fwd: &Fwd, uplink: usize) -> Ipv6Link {
    fwd.uplink(uplink).ipv6.expect("the testbed has IPv6")
}

/// The address of IPv6 that `up` has shown.
#[track_caller]
fn address6(pod: &Pod) -> Ipv6Addr {
    let shown = text(&pod.shown["addresses"][1]);
    let (address, length) = shown.split_once('/').expect("with the length of its prefix");
    assert_eq!(length, "64");
    address.parse().expect("an IPv6 address")
}

fn at(address: Ipv6Addr, port: u16) -> SocketAddr {
    SocketAddrV6::new(address, port, 0, 0).into()
}

#[track_caller]
fn udp6(ns: &Netns, local: SocketAddr) -> UdpSocket {
    let socket = ns.run(|| UdpSocket::bind(local).doing("bind", local.to_string())).expect("a UDP socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    socket
}

/// Who a server in `ns` sees when `client` sends over UDP and TCP, after each has had its answer.
#[track_caller]
fn seen_from(client: &Netns, ns: &Netns, server: SocketAddr) -> [IpAddr; 2] {
    let (listening, socket) = (udp6(ns, server), udp6(client, at(Ipv6Addr::UNSPECIFIED, 0)));
    let mut buffer = [0; 64];
    socket.send_to(b"question", server).expect("it leaves");
    let (length, asker) = listening.recv_from(&mut buffer).expect("it arrives");
    listening.send_to(&buffer[..length], asker).expect("the answer leaves");
    assert_eq!(socket.recv_from(&mut buffer).expect("the answer arrives"), (8, server));

    let listener = ns.run(|| TcpListener::bind(server).doing("listen on", server.to_string())).expect("a listener");
    let accepted = thread::spawn(move || {
        let (mut stream, from) = listener.accept().expect("a client comes");
        let mut request = Vec::new();
        stream.read_to_end(&mut request).expect("the client ends");
        stream.write_all(&request).expect("the client reads");
        from
    });
    let mut stream = client.run(|| TcpStream::connect(server).doing("connect to", server.to_string())).expect("TCP");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    // More than a segment and a window.
    let request: Vec<u8> = (0..300_000_u32).map(|number| number as u8).collect();
    stream.write_all(&request).expect("it leaves");
    stream.shutdown(std::net::Shutdown::Write).expect("it ends");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it is answered");
    assert!(answer == request, "the answer is another");
    [asker.ip(), accepted.join().expect("a client came").ip()]
}

#[test]
fn dual_stack_namespace_speaks_with_everybody_by_both_families() {
    let fwd = host_with(1);
    let (pod, peer) = (fwd.up("c1", &KERNEL), fwd.up("c2", &KERNEL));
    let (six, outside) = (link(&fwd, 0), link(&fwd, 0).outside);
    assert!(pings(&pod, fwd.uplink(0).outside[0]), "IPv4 outside");
    for (who, address) in [
        ("outside", outside),
        ("the router", six.gateway),
        ("the host", six.address),
        ("the gateway", text(&pod.shown["gateways"][1]).parse().expect("an address")),
        ("another namespace", address6(&peer)),
    ] {
        assert!(pings6(&pod, address), "{who}");
    }
    assert!(pings6(fwd.host(), address6(&pod)), "the host reaches it");
    let uplink = IpAddr::from(six.address);
    assert_eq!(seen_from(&pod, fwd.internet(0), at(outside, 7000)), [uplink; 2], "behind the uplink's address");
    let own = IpAddr::from(address6(&pod));
    assert_eq!(seen_from(&pod, &peer, at(address6(&peer), 7000)), [own; 2], "its own within the network");
}

#[test]
fn addresses_and_gateways_of_both_families_are_shown() {
    let fwd = host_with(1);
    let pod = fwd.up("c1", &KERNEL);
    let address = address6(&pod);
    assert_eq!(address.octets()[0], 0xfd, "a unique local address");
    assert_eq!(address.segments()[7], u16::from(pod.address.octets()[3]), "the number of the IPv4 address");
    for shown in [&fwd.list(&["ls"])[0], &fwd.json(&["inspect", &pod.name])] {
        assert_eq!(shown["addresses"], pod.shown["addresses"]);
        assert_eq!(shown["gateways"], pod.shown["gateways"]);
    }
    let neighbours = inside(&pod, &["ip", "-6", "neigh", "show", "nud", "permanent"]);
    assert!(neighbours.contains(&text(&pod.shown["gateways"][1])), "{neighbours}");
    let neighbours = fwd.on_host(&["ip", "-6", "neigh", "show", "nud", "permanent"]);
    assert!(neighbours.contains(&address.to_string()), "{neighbours}");
    // A network that comes again has the same addresses.
    fwd.down("c1");
    assert_eq!(address6(&fwd.up("c1", &KERNEL)), address);
}

#[test]
fn host_is_as_it_was_after_the_last_down() {
    let fwd = host_with(1);
    let before = fwd.snapshot().unwrap();
    for options in [&KERNEL[..], &["--datapath", "tc"]] {
        fwd.up("c1", options);
        fwd.up("c2", &[options, &["--network", "web"]].concat());
        fwd.down("c1");
        assert_eq!(fwd.on_host(&["sysctl", "-n", "net.ipv6.conf.all.forwarding"]).trim(), "1", "another needs it");
        fwd.down("c2");
        let difference = before.diff(&fwd.snapshot().unwrap());
        assert!(difference.is_empty(), "{options:?}: {difference:#?}");
    }
}

#[test]
fn ipv6_is_off_where_it_is_not_wanted_or_cannot_be() {
    let fwd = host_with(1);
    let pod = fwd.up("c1", &["--ipv6", "off"]);
    assert_eq!(pod.shown["addresses"].as_array().map(Vec::len), Some(1));
    assert_eq!(inside(&pod, &["ip", "-6", "route", "show", "default"]), "");
    assert_eq!(fwd.on_host(&["sysctl", "-n", "net.ipv6.conf.all.forwarding"]).trim(), "0");
    fwd.expect_error(&["up", "--ns", &fwd.name("c2"), "--ipv6", "masquerade"], 4, &["its IPv6 is off"]);
    fwd.on_host(&["sysctl", "-q", "net.ipv6.conf.eth0.disable_ipv6=1"]);
    let args = ["up", "--ns", &fwd.name("c2"), "--network", "web", "--ipv6", "masquerade"];
    fwd.expect_error(&args, 5, &["switched off at the uplink eth0", "net.ipv6.conf.eth0.disable_ipv6=0"]);
    let other = fwd.up("c2", &["--network", "web"]);
    assert_eq!(other.shown["addresses"].as_array().map(Vec::len), Some(1));
    assert!(pings(&other, fwd.uplink(0).outside[0]), "IPv4 does not need it");
}

#[test]
fn subnet_can_be_chosen() {
    let fwd = host_with(1);
    let pod = fwd.up("c1", &[&KERNEL[..], &["--subnet6", "fd00:77:1::/64"]].concat());
    assert_eq!(address6(&pod).to_string(), "fd00:77:1::2");
    assert!(pings6(&pod, link(&fwd, 0).outside));
}

/// A container without IPv6 has it switched off for all interfaces.
#[test]
fn namespace_whose_ipv6_is_switched_off_gets_it_at_the_interface_of_fwd() {
    let fwd = host_with(1);
    let name = fwd.name("c1");
    fwd.ok(&["ns", "add", &name]);
    for which in ["all", "default"] {
        fwd.ok(&["exec", "--ns", &name, "--", "sysctl", "-q", &format!("net.ipv6.conf.{which}.disable_ipv6=1")]);
    }
    let pod = fwd.up("c1", &KERNEL);
    assert!(pings6(&pod, link(&fwd, 0).outside));
}

/// Sends a router advertisement from the internet: a default route, and a prefix of which the host takes an address.
#[track_caller]
fn advertise(fwd: &Fwd) {
    let script = "
import socket, struct
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
s.bind(('fe80::1', 0, 0, socket.if_nametoindex('inet0')))
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex('inet0'))
prefix = struct.pack('!BBBBIII', 3, 4, 64, 0xc0, 86400, 14400, 0) + socket.inet_pton(socket.AF_INET6, '2001:db8:a::')
s.sendto(struct.pack('!BBHBBHII', 134, 0, 0, 64, 0, 1800, 0, 0) + prefix, ('ff02::1', 0, 0, socket.if_nametoindex('inet0')))";
    inside(fwd.internet(0), &["python3", "-c", script]);
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

/// Lets the internet behind an uplink answer whatever comes, also to addresses of namespaces, and count what has one.
#[track_caller]
fn answer_everybody(fwd: &Fwd, uplink: usize) {
    let (internet, via) = (fwd.internet(uplink), link(fwd, uplink).address.to_string());
    inside(internet, &["ip", "-6", "route", "add", "default", "via", &via]);
    let table = "table ip6 seen { chain arrived { type filter hook prerouting priority raw; ip6 saddr != 2001:db8::/32 \
        ip6 saddr != fe80::/10 ip6 saddr != ::/128 counter; }; }";
    inside(internet, &["nft", table]);
}

/// How many packets came there with an address that is not the host's.
#[track_caller]
fn leaked(fwd: &Fwd, uplink: usize) -> u64 {
    let listed = inside(fwd.internet(uplink), &["nft", "list", "table", "ip6", "seen"]);
    let (_, after) = listed.split_once("counter packets ").expect("a counter");
    after.split(' ').next().and_then(|count| count.parse().ok()).expect("a number")
}

#[test]
fn networks_do_not_reach_each_other_and_nobody_comes_in_unasked() {
    let fwd = host_with(1);
    answer_everybody(&fwd, 0);
    let (one, other) = (fwd.up("c1", &KERNEL), fwd.up("c2", &[&KERNEL[..], &["--network", "web"]].concat()));
    assert_eq!(address6(&one).octets()[..6], address6(&other).octets()[..6], "of one /48");
    assert_ne!(address6(&one).octets()[..8], address6(&other).octets()[..8]);
    for pod in [&one, &other] {
        assert!(pings6(pod, link(&fwd, 0).outside));
        assert!(!pings6(fwd.internet(0), address6(pod)), "from outside only answers come in");
    }
    assert!(!pings6(&one, address6(&other)) && !pings6(&other, address6(&one)));
    assert_eq!(leaked(&fwd, 0), 0);
}

#[test]
fn nothing_leaves_by_another_interface_of_the_host() {
    let fwd = host_with(2);
    answer_everybody(&fwd, 1);
    let pod = fwd.up("c1", &KERNEL);
    let elsewhere = link(&fwd, 1);
    assert!(pings6(fwd.host(), elsewhere.outside), "the host leaves by it");
    assert!(!pings6(&pod, elsewhere.outside) && !pings6(&pod, elsewhere.gateway));
    assert_eq!(leaked(&fwd, 1), 0);
    assert!(pings6(&pod, link(&fwd, 0).outside));
}

/// The host forwards for another network.
#[test]
fn namespace_of_a_network_without_ipv6_cannot_give_itself_any() {
    let fwd = host_with(1);
    answer_everybody(&fwd, 0);
    let other = fwd.up("c1", &KERNEL);
    let pod = fwd.up("c2", &[&KERNEL[..], &["--network", "web", "--ipv6", "off"]].concat());
    let bridge = fwd.host().netlink().unwrap().link("web").unwrap().and_then(|link| link.mac).expect("its bridge");
    let bridge = bridge.map(|byte| format!("{byte:02x}")).join(":");
    for line in [
        "addr add fd99::9/64 dev eth0 nodad",
        "route add default via fd99::1 dev eth0",
        &format!("neigh add fd99::1 lladdr {bridge} dev eth0 nud permanent"),
    ] {
        inside(&pod, &[&["ip", "-6"], &line.split(' ').collect::<Vec<_>>()[..]].concat());
    }
    for address in [link(&fwd, 0).outside, link(&fwd, 0).address, address6(&other)] {
        assert!(!pings6(&pod, address), "{address}");
    }
    assert!(pings6(&other, link(&fwd, 0).outside));
    assert_eq!(leaked(&fwd, 0), 0);
}

/// What goes by the host from one namespace to another is no exception.
#[test]
fn namespaces_that_must_not_reach_each_other_do_not_by_ipv6() {
    let fwd = host_with(1);
    let options = [&KERNEL[..], &["--no-icc"]].concat();
    let (one, other) = (fwd.up("c1", &options), fwd.up("c2", &options));
    assert!(!pings6(&one, address6(&other)), "by the bridge");
    let (address, gateway) = (address6(&other).to_string(), text(&one.shown["gateways"][1]));
    inside(&one, &["ip", "-6", "route", "add", &address, "via", &gateway]);
    assert!(!pings6(&one, address6(&other)), "by the gateway");
    for pod in [&one, &other] {
        assert!(pings6(pod, link(&fwd, 0).outside));
    }
}

/// What masquerade does not see is not forwarded: addresses that are not the network's, segments of no connection, and messages of neighbour
/// discovery, which conntrack leaves alone.
#[test]
fn nothing_leaves_untranslated() {
    let fwd = host_with(1);
    answer_everybody(&fwd, 0);
    let pod = fwd.up("c1", &KERNEL);
    let outside = link(&fwd, 0).outside.to_string();
    inside(&pod, &["ip", "addr", "add", "fd99::9/128", "dev", "eth0", "nodad", "preferred_lft", "0"]);
    let forged = try_inside(&pod, &["ping", "-6", "-n", "-q", "-c", "1", "-W", "1", "-I", "fd99::9", &outside]);
    assert!(!forged.status.success());
    let script = "
import socket, struct, sys
outside, own = sys.argv[1:]
tcp = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_TCP)
tcp.setsockopt(socket.IPPROTO_IPV6, 7, 16)
for flags in (0x04, 0x14, 0x3f):
    tcp.sendto(struct.pack('!HHIIBBHHH', 5000, 7000, 1, 1, 0x50, flags, 1024, 0, 0), (outside, 0))
icmp = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
icmp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 255)
for kind in (133, 134, 135, 136, 137):
    icmp.sendto(struct.pack('!BBHI', kind, 0, 0, 0) + socket.inet_pton(socket.AF_INET6, outside), (outside, 0))";
    inside(&pod, &["python3", "-c", script, &outside, &address6(&pod).to_string()]);
    // What comes later has come after it.
    assert!(pings6(&pod, link(&fwd, 0).outside));
    assert_eq!(leaked(&fwd, 0), 0);
}

/// Any namespace of a network can send to all of it.
#[test]
fn advertisements_of_a_namespace_are_heeded_by_nobody() {
    let fwd = host_with(1);
    let (liar, victim) = (fwd.up("c1", &KERNEL), fwd.up("c2", &KERNEL));
    let script = "
import socket, struct
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, socket.if_nametoindex('eth0'))
prefix = struct.pack('!BBBBIII', 3, 4, 64, 0xc0, 86400, 14400, 0) + socket.inet_pton(socket.AF_INET6, '2001:db8:bad::')
for _ in range(3):
    s.sendto(struct.pack('!BBHBBHII', 134, 0, 0, 64, 0, 1800, 0, 0) + prefix, ('ff02::1', 0, 0, socket.if_nametoindex('eth0')))";
    inside(&liar, &["python3", "-c", script]);
    // What comes later has come after it.
    assert!(pings6(&liar, address6(&victim)) && pings6(&liar, link(&fwd, 0).address));
    for ns in [fwd.host(), &victim] as [&Netns; 2] {
        let known = inside(ns, &["sh", "-c", "ip -6 route; ip -6 addr"]);
        assert!(!known.contains("2001:db8:bad") && !known.contains("proto ra"), "{known}");
    }
    assert!(pings6(&victim, link(&fwd, 0).outside));
}

#[test]
fn forwarding_that_was_switched_off_is_switched_on_again() {
    let fwd = host_with(1);
    let pod = fwd.up("c1", &KERNEL);
    fwd.on_host(&["sysctl", "-q", "net.ipv6.conf.all.forwarding=0"]);
    assert!(!pings6(&pod, link(&fwd, 0).outside));
    fwd.up("c1", &[]);
    assert!(pings6(&pod, link(&fwd, 0).outside));
}

/// Somebody flushes all rules, as `systemctl restart nftables` does.
#[test]
fn rules_that_were_deleted_are_made_anew() {
    let fwd = host_with(1);
    let pod = fwd.up("c1", &KERNEL);
    for lost in ["flush chain ip6 fwd_nat forward", "flush ruleset"] {
        fwd.on_host(&["nft", lost]);
        fwd.up("c1", &[]);
        let rules = fwd.on_host(&["nft", "list", "table", "ip6", "fwd_nat"]);
        assert_eq!(rules.matches("comment").count(), 5, "{rules}");
        assert!(pings6(&pod, link(&fwd, 0).outside));
    }
    fwd.down("c1");
    assert_eq!(fwd.on_host(&["nft", "list", "ruleset"]), "");
}
