//! IPv6 beside IPv4: both ways, behind the uplink's address, and nothing beside that.

pub(crate) mod alone;
mod flows;
mod guard;
mod nat;
mod offload;
mod packets;
mod programs;
mod published;
mod routed;
mod routes;
mod tunnel;
mod ways;

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpStream},
    thread,
};

use forwarder::{
    Context as _,
    netns::Netns,
    testbed::{Ipv6Link, TestbedSpec},
};

use crate::{
    fwd::{Fwd, Pod, answers6, inside, pings, pings6, text},
    peers::{PATIENCE, listen, udp},
};

/// What the programs have no part in.
const KERNEL: [&str; 2] = ["--datapath", "kernel"];

/// The kernel forwards IPv6 by itself, and behind programs that forward IPv4.
fn over_each(check: impl Fn(&[&str])) {
    for datapath in ["kernel", "tc", "xdp"] {
        check(&["--datapath", datapath]);
    }
}

pub(crate) fn host_with(uplinks: usize) -> Fwd {
    Fwd::with(&TestbedSpec { uplinks, ipv6: true, ..TestbedSpec::default() })
}

#[track_caller]
pub(crate) fn link(fwd: &Fwd, uplink: usize) -> Ipv6Link {
    fwd.uplink(uplink).ipv6.expect("the testbed has IPv6")
}

/// The address of IPv6 that `up` has shown.
#[track_caller]
pub(crate) fn address6(pod: &Pod) -> Ipv6Addr {
    let (address, length) = with_prefix(pod);
    assert_eq!(length, 64);
    address
}

/// The address that the interface inside has given itself.
#[track_caller]
pub(crate) fn link_local(pod: &Pod) -> String {
    let shown = inside(pod, &["ip", "-6", "-br", "addr", "show", "dev", "eth0", "scope", "link"]);
    let address = shown.split_whitespace().find_map(|word| word.strip_suffix("/64"));
    address.expect("an address of its link").to_owned()
}

/// The same, with the length of its prefix.
#[track_caller]
fn with_prefix(pod: &Pod) -> (Ipv6Addr, u8) {
    let addresses = pod.shown["addresses"].as_array().expect("a list");
    let shown = addresses.iter().map(text).find(|address| address.contains(':')).expect("it has IPv6");
    let (address, length) = shown.split_once('/').expect("with the length of its prefix");
    (address.parse().expect("an IPv6 address"), length.parse().expect("a number"))
}

pub(crate) fn at(address: Ipv6Addr, port: u16) -> SocketAddr {
    SocketAddrV6::new(address, port, 0, 0).into()
}

/// Sends router advertisements from the interface `argv[1]`, whose address is `argv[2]`: a default route, and the prefix `argv[3]`.
const ADVERTISE: &str = "
import socket, struct, sys
interface, address, prefix = sys.argv[1:]
index = socket.if_nametoindex(interface)
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
s.bind((address, 0, 0, index))
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
option = struct.pack('!BBBBIII', 3, 4, 64, 0xc0, 86400, 14400, 0) + socket.inet_pton(socket.AF_INET6, prefix)
for _ in range(3):
    s.sendto(struct.pack('!BBHBBHII', 134, 0, 0, 64, 0, 1800, 0, 0) + option, ('ff02::1', 0, 0, index))";

/// Who a server in `ns` sees when `client` sends over UDP and TCP, after each has had its answer.
#[track_caller]
pub(crate) fn seen_from(client: &Netns, ns: &Netns, server: SocketAddr) -> [IpAddr; 2] {
    let (listening, socket) = (udp(ns, server), udp(client, at(Ipv6Addr::UNSPECIFIED, 0)));
    let mut buffer = [0; 64];
    socket.send_to(b"question", server).expect("it leaves");
    let (length, asker) = listening.recv_from(&mut buffer).expect("it arrives");
    listening.send_to(&buffer[..length], asker).expect("the answer leaves");
    assert_eq!(socket.recv_from(&mut buffer).expect("the answer arrives"), (8, server));

    let listener = listen(ns, server);
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
    over_each(|options| {
        let fwd = host_with(1);
        let (pod, peer) = (fwd.up("c1", options), fwd.up("c2", options));
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
        if options != KERNEL {
            passed_by_the_programs(&fwd);
        }
    });
}

/// Programs have let it all through, and counted it for its reason.
#[track_caller]
fn passed_by_the_programs(fwd: &Fwd) {
    for reason in ["KernelIpv6", "ToHost"] {
        assert!(fwd.counted("from_ns", "punted", Some(reason)) > 0, "{reason}");
    }
    for reason in ["SpoofedSource", "NdSpoof", "Malformed", "ExtensionHeaders", "RouteNotViaUplink"] {
        assert_eq!(programs::dropped(fwd, reason), 0, "{reason}");
    }
    assert_eq!(fwd.counted("to_network", "dropped", None), 0);
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
    for options in [&KERNEL[..], &["--datapath", "tc"], &["--datapath", "xdp"]] {
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

#[test]
fn forwarding_that_was_switched_off_is_switched_on_again() {
    let fwd = host_with(1);
    let pod = fwd.up("c1", &KERNEL);
    fwd.on_host(&["sysctl", "-q", "net.ipv6.conf.all.forwarding=0"]);
    assert!(!answers6(&pod, link(&fwd, 0).outside));
    let told = fwd.ok(&["inspect", &pod.name]);
    assert!(told.contains("forwarding of IPv6 is off (net.ipv6.conf.all.forwarding)"), "{told}");
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
        assert_eq!(rules.matches("comment").count(), 7, "{rules}");
        assert!(pings6(&pod, link(&fwd, 0).outside));
    }
    fwd.down("c1");
    assert_eq!(fwd.on_host(&["nft", "list", "ruleset"]), "");
}
