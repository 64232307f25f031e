//! Networks whose addresses the outside routes to the host: nothing is translated, and only answers come in.

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv6Addr},
};

use forwarder::testbed::wait_until;
use serde_json::json;

use super::{address6, at, flows::flows, host_with, link, over_each, seen_from, with_prefix};
use crate::{
    fwd::{Fwd, LIMIT, Pod, answers6, inside, number, pings6, text, try_inside},
    peers::{PATIENCE, listen, udp},
    raw::mac_of,
};

/// What is delegated to the host.
const PREFIX: &str = "2001:db8:7::/64";

/// A namespace with an address of the delegated prefix, which the internet routes to the host.
#[track_caller]
fn routed(fwd: &Fwd, options: &[&str]) -> Pod {
    let via = link(fwd, 0).address.to_string();
    try_inside(fwd.internet(0), &["ip", "-6", "route", "add", PREFIX, "via", &via]);
    fwd.up("c1", &[options, &["--ipv6", "route", "--subnet6", PREFIX]].concat())
}

#[test]
fn routed_addresses_leave_as_they_are_and_only_answers_come_in() {
    over_each(|options| {
        let fwd = host_with(1);
        let pod = routed(&fwd, options);
        let (own, outside) = (address6(&pod), link(&fwd, 0).outside);
        assert_eq!(seen_from(&pod, fwd.internet(0), at(outside, 7000)), [IpAddr::from(own); 2]);
        assert!(pings6(&pod, outside) && pings6(fwd.host(), own) && pings6(&pod, link(&fwd, 0).address));
        // An established flow lets nobody else in.
        assert!(!answers6(fwd.internet(0), own), "nobody asked");
        let _listener = listen(&pod, at(own, 8000));
        let script = "import socket, sys; socket.create_connection((sys.argv[1], 8000), 2)";
        let connected = try_inside(fwd.internet(0), &["timeout", "20", "python3", "-c", script, &own.to_string()]);
        assert!(!connected.status.success(), "nor asked by a connection");
        assert_eq!(fwd.list(&["network", "ls"])[0]["ipv6"], "route");
        if options[1] == "kernel" {
            return;
        }
        assert!(fwd.counted("from_uplink", "dropped", Some("DirectToEndpoint")) >= 2);
        for proto in ["udp", "tcp", "icmp6"] {
            let found = flows(&fwd, &pod, proto);
            assert_eq!(found.len(), 1, "{proto}: {found:#?}");
            assert_eq!(found[0]["nat_addr"], json!(own));
            assert_eq!(found[0]["nat_port"], found[0]["src_port"], "{:#}", found[0]);
            assert!(number(&found[0]["rx_packets"]) > 0, "{:#}", found[0]);
        }
    });
}

/// Errors find the sender by the flow that they are about, in both directions.
#[test]
fn errors_about_routed_flows_arrive() {
    let fwd = host_with(1);
    let pod = routed(&fwd, &[]);
    let (own, outside) = (address6(&pod), link(&fwd, 0).outside);
    let client = udp(&pod, at(own, 40_000));
    client.connect(at(outside, 7001)).expect("a socket");
    client.send(b"question").expect("it leaves");
    assert_eq!(client.recv(&mut [0; 8]).expect_err("nobody listens").kind(), ErrorKind::ConnectionRefused);
    let server = udp(fwd.internet(0), at(outside, 7002));
    let client = udp(&pod, at(own, 40_001));
    client.send_to(b"question", at(outside, 7002)).expect("it leaves");
    server.recv(&mut [0; 8]).expect("it arrives");
    drop(client);
    server.connect(at(own, 40_001)).expect("a socket");
    server.send(b"answer").expect("it leaves");
    assert_eq!(server.recv(&mut [0; 8]).expect_err("it has gone").kind(), ErrorKind::ConnectionRefused);
}

/// Asks `argv[1]` by protocol 253 (RFC 3692), or, with `listen`, answers there to whoever asks. Prints who has sent, in `argv[3]` seconds.
const WITHOUT_PORTS: &str = "
import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 253)
s.settimeout(float(sys.argv[3]))
if sys.argv[2] == 'listen':
    s.bind((sys.argv[1], 0))
    data, peer = s.recvfrom(64)
    s.sendto(b'answer', peer)
else:
    s.sendto(b'question', (sys.argv[1], 0))
    data, peer = s.recvfrom(64)
print(peer[0])";

#[test]
fn protocols_without_ports_go_by_the_kernel_and_only_answers_come_in() {
    let fwd = host_with(1);
    let pod = routed(&fwd, &[]);
    let (own, outside) = (address6(&pod).to_string(), link(&fwd, 0).outside.to_string());
    let server = std::thread::scope(|scope| {
        let server =
            scope.spawn(|| inside(fwd.internet(0), &["python3", "-c", WITHOUT_PORTS, &outside, "listen", "60"]));
        // Until it listens, the kernel there answers with an error, which no raw socket hears.
        let answered = wait_until(PATIENCE, "the answer arrives", || {
            let output = try_inside(&pod, &["python3", "-c", WITHOUT_PORTS, &outside, "ask", "1"]);
            Ok(output.status.success().then_some(output.stdout))
        });
        assert_eq!(answered.expect("it is let in").trim(), outside);
        server.join().expect("the server ends")
    });
    assert!(server.contains(&own), "as it is: {server}");
    assert!(fwd.counted("from_ns", "punted", Some("KernelIpv6")) > 0);
    // From outside nobody begins, while what the host sends arrives.
    let hears = "
import socket, sys
s = socket.socket(socket.AF_INET6, socket.SOCK_RAW, 254)
s.settimeout(60)
print(*{s.recvfrom(64)[1][0] for _ in range(4)})";
    let sends = "
import socket, sys
socket.socket(socket.AF_INET6, socket.SOCK_RAW, 254).sendto(b'question', (sys.argv[1], 0))";
    let heard = std::thread::scope(|scope| {
        let hears = scope.spawn(|| inside(&pod, &["python3", "-c", hears]));
        while !hears.is_finished() {
            for from in [fwd.internet(0), fwd.host()] {
                inside(from, &["python3", "-c", sends, &own]);
            }
        }
        hears.join().expect("it ends")
    });
    assert_eq!(heard.trim(), text(&pod.shown["gateways"][1]));
}

/// A part of the prefix at the uplink, which nobody routes to the host: it answers there for its namespaces.
#[test]
fn host_answers_on_the_link_for_addresses_of_its_prefix() {
    over_each(|options| {
        let fwd = host_with(1);
        let options = [options, &["--ipv6", "route", "--subnet6", "2001:db8::7:0/112"]].concat();
        // Who knew the address at another host knows better at once.
        let known = |nud: &str, mac: &str| {
            let entry = ["2001:db8::7:2", "lladdr", mac, "dev", "inet0", "nud", nud];
            inside(fwd.internet(0), &[&["ip", "-6", "neigh", "replace"], &entry[..]].concat());
        };
        known("reachable", "02:00:00:00:00:99");
        let pod = fwd.up("c1", &options);
        let mac_now = || inside(fwd.internet(0), &["ip", "-6", "neigh", "show", "2001:db8::7:2", "dev", "inet0"]);
        let uplink_mac = mac_of(fwd.host(), "eth0").map(|byte| format!("{byte:02x}")).join(":");
        let moved = || Ok(mac_now().contains(&uplink_mac).then_some(()));
        wait_until(LIMIT, "the link is told", moved).unwrap_or_else(|error| panic!("{error}: {}", mac_now()));
        let (own, six) = (with_prefix(&pod).0, link(&fwd, 0));
        assert_eq!(own.to_string(), "2001:db8::7:2");
        let proxies = || fwd.on_host(&["ip", "-6", "neigh", "show", "proxy"]);
        assert!(proxies().contains("2001:db8::7:2 dev eth0"), "{}", proxies());
        assert_eq!(seen_from(&pod, fwd.internet(0), at(six.gateway, 7000)), [IpAddr::from(own); 2]);
        // The neighbour is asked again at its own address before it is believed to be gone.
        let neighbour = || inside(fwd.internet(0), &["ip", "-6", "neigh", "show", &own.to_string(), "dev", "inet0"]);
        let known = neighbour();
        let mac = known.split_whitespace().nth(2).expect("the host's");
        let probe = ["ip", "-6", "neigh", "replace", &own.to_string(), "lladdr", mac, "dev", "inet0", "nud", "probe"];
        inside(fwd.internet(0), &probe);
        wait_until(LIMIT, "the host answers", || Ok(neighbour().contains("REACHABLE").then_some(()))).expect("it does");
        fwd.up("c2", &options);
        assert!(proxies().contains("2001:db8::7:3 dev eth0"), "{}", proxies());
        fwd.down("c1");
        assert!(!proxies().contains("2001:db8::7:2 dev") && proxies().contains("2001:db8::7:3"), "{}", proxies());
        fwd.down("c2");
        assert_eq!(proxies(), "");
        assert_eq!(fwd.on_host(&["sysctl", "-n", "net.ipv6.conf.all.proxy_ndp"]).trim(), "0");
    });
}

/// As of IPv4, the kernel tells the sender when nobody answers for the next hop.
#[test]
fn sender_is_told_that_a_neighbour_does_not_answer() {
    let fwd = host_with(1);
    let pod = routed(&fwd, &[]);
    let mut nobody = link(&fwd, 0).address.segments();
    nobody[7] = 0x99;
    let script = "
import socket, sys, time
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IPV6, 25, 1)  # IPV6_RECVERR
s.connect((sys.argv[1], 7000))
s.settimeout(0.2)
end = time.monotonic() + 60
while time.monotonic() < end:
    try:
        s.send(b'question')
        s.recv(8)
    except TimeoutError:
        pass
    except OSError as error:
        print(error.strerror)
        break";
    let told = inside(&pod, &["python3", "-c", script, &Ipv6Addr::from(nobody).to_string()]);
    assert_eq!(told.trim(), "No route to host");
    assert!(fwd.counted("from_ns", "punted", Some("Unresolved")) > 0);
}

#[test]
fn network_is_routed_or_not_from_the_beginning() {
    let fwd = host_with(1);
    let name = fwd.name("c1");
    fwd.expect_error(&["up", "--ns", &name, "--ipv6", "route"], 2, &["--subnet6", "delegated"]);
    routed(&fwd, &[]);
    let other = fwd.name("c2");
    fwd.expect_error(&["up", "--ns", &other, "--ipv6", "masquerade"], 4, &["its IPv6 is route"]);
    assert!(fwd.ok(&["network", "ls"]).contains("IPv6 routed"));
}

/// A network that nothing leaves has addresses of both families, and no route of either.
#[test]
fn internal_networks_have_ipv6_too() {
    // XDP is about uplinks, of which such a network has none.
    for datapath in ["kernel", "tc"] {
        let options = &["--datapath", datapath][..];
        let fwd = host_with(1);
        // The host forwards IPv6, for another network.
        let other = fwd.up("c3", &[options, &["--network", "web"]].concat());
        let internal = [options, &["--internal", "--ipv6", "route"]].concat();
        let (one, peer) = (fwd.up("c1", &internal), fwd.up("c2", &internal));
        let networks = fwd.list(&["network", "ls"]);
        let network = networks.iter().find(|network| network["network"] == "fwd0").expect("it is listed");
        let gateway: Ipv6Addr = text(&network["gateways"][1]).parse().expect("an address");
        assert!(pings6(&one, address6(&peer)) && pings6(&one, gateway) && pings6(fwd.host(), address6(&one)));
        assert_eq!(seen_from(&one, &peer, at(address6(&peer), 7000)), [IpAddr::from(address6(&one)); 2]);
        assert_eq!(inside(&one, &["ip", "-6", "route", "show", "default"]), "");
        // Who gives itself a route gets nowhere by it, and nobody gets in.
        inside(&one, &["ip", "-6", "route", "add", "default", "via", &gateway.to_string()]);
        for beyond in [link(&fwd, 0).outside, address6(&other)] {
            assert!(!answers6(&one, beyond), "{beyond}");
        }
        assert!(!answers6(&other, address6(&one)));
        if datapath != "kernel" {
            assert!(!answers6(&one, link(&fwd, 0).address), "of the host it sees the gateway alone");
            assert!(fwd.counted("from_ns", "dropped", Some("Internal")) >= 3);
        }
        fwd.down("c3");
        assert_eq!(fwd.on_host(&["sysctl", "-n", "net.ipv6.conf.all.forwarding"]).trim(), "0", "nothing needs it");
        assert!(pings6(&one, address6(&peer)));
        fwd.ok(&["down", "--all"]);
    }
}
