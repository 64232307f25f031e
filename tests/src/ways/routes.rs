//! A network that follows the host's routes: each destination by the interface that the host would take, from the address that it would take.

use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use forwarder::testbed::{Namespace, wait_until};

use serde_json::json;

use super::{host, remote, warnings, with_uplinks};
use crate::{
    capture::Recording,
    fwd::{Fwd, LIMIT, answers, inside, pings, told, try_inside},
    peers::{ANY, any, at, connect, echo_tcp, echoed, listen, udp},
    uplinks::ip,
};

const PORT: u16 = 7000;

/// Leads the host's default route by the uplink with this number.
fn default_by(fwd: &Fwd, number: usize) {
    ip(fwd, &format!("route replace default via {} dev eth{number}", fwd.uplink(number).gateway));
}

/// From where the internet behind the uplink with this number sees a question of `client`, once it does: a flow is looked up again when its
/// route is a second old.
#[track_caller]
fn seen_from(fwd: &Fwd, number: usize, client: &UdpSocket) -> SocketAddr {
    let server = udp(fwd.internet(number), at(remote(fwd), PORT));
    server.set_read_timeout(Some(Duration::from_millis(50))).expect("a socket");
    let arrives = || {
        client.send_to(b"which way?", at(remote(fwd), PORT)).ok();
        Ok(server.recv_from(&mut [0; 16]).ok().map(|(_, from)| from))
    };
    wait_until(LIMIT, "it arrives", arrives).unwrap_or_else(|error| panic!("eth{number}: {error}"))
}

/// boot2docker#845: out of reach of the one card, into that of the other, and back.
#[test]
fn network_follows_the_default_route_from_one_card_to_another_without_a_command() {
    for datapath in ["tc", "xdp", "kernel"] {
        let fwd = host();
        let pod = fwd.up("c1", &["--datapath", datapath]);
        let client = udp(&pod, any(5000));
        for number in [0, 1, 0, 1] {
            default_by(&fwd, number);
            // What begins now goes at once, from the address of the card.
            let server = at(remote(&fwd), 9000);
            let clients = echo_tcp(listen(fwd.internet(number), server), 1);
            echoed(&connect(&pod, ANY, server).expect("it connects"), b"by whichever card");
            assert_eq!(clients.join().expect("the server")[0].ip(), fwd.uplink(number).address);
            assert_eq!(seen_from(&fwd, number, &client).ip(), fwd.uplink(number).address);
        }
        for reason in ["RouteNotViaUplink", "UplinkUnguarded"] {
            assert_eq!(fwd.counted("from_ns", "dropped", Some(reason)), 0, "{reason}");
        }
        assert_eq!(warnings(&fwd, &pod), [""; 0]);
    }
}

/// Nobody would see to it that nothing leaves untranslated by an interface that comes later.
#[test]
fn interface_that_routes_name_later_is_refused_until_a_command_takes_it_in() {
    let fwd = with_uplinks(3);
    let pod = fwd.up("c1", &[]);
    let other = fwd.uplink(2);
    ip(&fwd, "route add 198.18.2.0/24 dev eth2");
    ip(&fwd, &format!("route add 203.0.113.128/26 via {} dev eth2", other.gateway));
    let recording = Recording::start(&fwd, fwd.internet(2), "inet0");
    let server = at(other.outside[0], 9000);
    let refused = connect(&pod, ANY, server).expect_err("it is refused").to_string();
    assert!(refused.contains("No route to host"), "{refused}");
    let ping = told(&pod, &[&other.outside[0].to_string()]);
    assert!(ping.stdout.contains(&format!("From {} ", pod.gateway)), "{ping:?}");
    assert!(ping.stdout.contains("filtered") || ping.stdout.contains("prohibited"), "{ping:?}");
    // A datagram without data, the shortest packet.
    let client = udp(&pod, ANY);
    client.connect(server).expect("a socket");
    client.send(b"").expect("it leaves");
    assert_eq!(client.recv(&mut [0; 8]).expect_err("it is told").kind(), std::io::ErrorKind::HostUnreachable);
    assert!(fwd.counted("from_ns", "dropped", Some("UplinkUnguarded")) >= 3);
    let told = warnings(&fwd, &pod);
    let names = |warning: &String| warning.contains("UplinkUnguarded") && warning.contains("fwd uplink add eth2");
    assert!(told.iter().any(names), "{told:?}");
    assert_eq!(recording.all().len(), 0, "something left by eth2");
    // Any command takes it in, also one about another namespace.
    fwd.up("c2", &[]);
    let clients = echo_tcp(listen(fwd.internet(2), server), 1);
    echoed(&connect(&pod, ANY, server).expect("it connects"), b"now it is guarded");
    assert_eq!(clients.join().expect("the server")[0].ip(), other.address);
    fwd.ok(&["down", "--all"]);
    assert_eq!(fwd.on_host(&["sysctl", "-n", "net.ipv4.conf.eth2.forwarding"]).trim(), "0");
}

/// Nothing leaves untranslated by it, but answers are lost at an interface that forwards nothing.
#[test]
fn kernel_translates_by_an_interface_that_routes_name_later_and_where_answers_are_lost_is_told() {
    let fwd = with_uplinks(3);
    let pod = fwd.up("c1", &["--datapath", "kernel"]);
    assert_eq!(pod.shown["leaves_by"], json!(["eth0", "eth1"]));
    assert!(fwd.ok(&["uplink", "ls"]).contains("by nftables"));
    let other = fwd.uplink(2);
    ip(&fwd, "route add 198.18.2.0/24 dev eth2");
    ip(&fwd, &format!("route add 203.0.113.128/26 via {} dev eth2", other.gateway));
    let server = at(other.outside[0], 9000);
    let asked = udp(fwd.internet(2), server);
    let client = udp(&pod, any(5000));
    client.send_to(b"translated?", server).expect("it leaves");
    asked.set_read_timeout(Some(LIMIT)).expect("a socket");
    let (_, from) = asked.recv_from(&mut [0; 16]).expect("it arrives");
    assert_eq!(from.ip(), other.address);
    let told = warnings(&fwd, &pod);
    assert!(told.iter().any(|warning| warning.contains("net.ipv4.conf.eth2.forwarding")), "{told:?}");
    // Any command takes it in.
    fwd.up("c2", &[]);
    assert_eq!(warnings(&fwd, &pod), [""; 0]);
    let clients = echo_tcp(listen(fwd.internet(2), server), 1);
    echoed(&connect(&pod, ANY, server).expect("it connects"), b"and back");
    assert_eq!(clients.join().expect("the server")[0].ip(), other.address);
    // The host's own conversation with itself from the gateway's address is none of the network's.
    let gateway = pod.gateway.to_string();
    let own = udp(fwd.host(), at(pod.gateway, 6000));
    own.send_to(b"myself", at(pod.gateway, 6000)).expect("it is sent");
    own.set_read_timeout(Some(LIMIT)).expect("a socket");
    assert_eq!(own.recv_from(&mut [0; 16]).expect("it arrives").1.ip().to_string(), gateway);
    fwd.ok(&["down", "--all"]);
    assert_eq!(fwd.on_host(&["sysctl", "-n", "net.ipv4.conf.eth2.forwarding"]).trim(), "0");
}

/// calico#10469: of a route with several next hops, each destination takes one, and stays there.
#[test]
fn destinations_share_the_next_hops_of_a_route_and_flows_stay_where_they_are() {
    const DESTINATIONS: u32 = 32;
    let fwd = host();
    let hops = [0, 1].map(|number| format!("nexthop via {} dev eth{number}", fwd.uplink(number).gateway));
    ip(&fwd, &format!("route replace default {}", hops.join(" ")));
    let pod = fwd.up("c1", &[]);
    let servers = [0, 1].map(|number| {
        inside(fwd.internet(number), &["ip", "addr", "add", "198.18.64.0/24", "dev", "lo"]);
        let server = udp(fwd.internet(number), any(PORT));
        server.set_read_timeout(Some(Duration::from_millis(20))).expect("a socket");
        server
    });
    let client = udp(&pod, any(5000));
    let way = |to: Ipv4Addr| {
        let arrives = || {
            client.send_to(b"which way?", at(to, PORT)).expect("it leaves");
            let arrived = servers.iter().enumerate();
            Ok(arrived.into_iter().find_map(|(number, server)| Some((number, server.recv_from(&mut [0; 16]).ok()?.1))))
        };
        wait_until(LIMIT, "it arrives", arrives).unwrap_or_else(|error| panic!("{to}: {error}"))
    };
    let destinations: Vec<Ipv4Addr> = (1..=DESTINATIONS).map(|number| (0xc612_4000 + number).into()).collect();
    let ways: Vec<_> = destinations.iter().map(|to| way(*to)).collect();
    assert_eq!(ways.iter().map(|(number, _)| *number).collect::<BTreeSet<_>>(), BTreeSet::from([0, 1]));
    for (number, from) in &ways {
        assert_eq!(from.ip(), fwd.uplink(*number).address);
    }
    for _ in 0..3 {
        assert_eq!(destinations.iter().map(|to| way(*to)).collect::<Vec<_>>(), ways, "same way, same port");
    }
}

#[test]
fn rules_of_the_host_lead_by_what_they_ask_for() {
    let fwd = host();
    let pod = fwd.up("c1", &[]);
    let (first, second) = (at(remote(&fwd), PORT), at(remote(&fwd), PORT + 1));
    ip(&fwd, &format!("route add default via {} dev eth1 table 101", fwd.uplink(1).gateway));
    // By the port, by where packets come in, and by who sends them.
    for rule in [format!("ipproto udp dport {}", PORT + 1), "iif fwd0".into(), format!("from {}", pod.address)] {
        ip(&fwd, &format!("rule add {rule} lookup 101"));
        let client = udp(&pod, ANY);
        let server = udp(fwd.internet(1), second);
        client.send_to(b"which way?", second).expect("it leaves");
        let (_, from) = server.recv_from(&mut [0; 16]).expect("it arrives");
        assert_eq!(from.ip(), fwd.uplink(1).address, "{rule}");
        if rule.contains("dport") {
            let server = udp(fwd.internet(0), first);
            client.send_to(b"which way?", first).expect("it leaves");
            assert_eq!(server.recv_from(&mut [0; 16]).expect("it arrives").1.ip(), fwd.uplink(0).address);
        }
        ip(&fwd, &format!("rule del {rule} lookup 101"));
    }
}

/// cilium#18179: behind the address that the host itself would take there, by whatever card.
#[test]
fn address_is_the_one_that_the_host_would_take_there() {
    let fwd = host();
    let other = Ipv4Addr::from_bits(fwd.uplink(0).address.to_bits() + 5);
    ip(&fwd, &format!("addr add {other}/24 dev eth0"));
    let pod = fwd.up("c1", &[]);
    let seen = |number: usize, to: Ipv4Addr| {
        let server = udp(fwd.internet(number), at(to, PORT));
        udp(&pod, ANY).send_to(b"who asks?", at(to, PORT)).expect("it leaves");
        server.recv_from(&mut [0; 16]).expect("it arrives").1.ip()
    };
    assert_eq!(seen(0, remote(&fwd)), fwd.uplink(0).address);
    ip(&fwd, &format!("route add {} via {} dev eth0 src {other}", fwd.uplink(0).outside[1], fwd.uplink(0).gateway));
    assert_eq!(seen(0, fwd.uplink(0).outside[1]), other);
    ip(&fwd, &format!("route add {} via {} dev eth1", fwd.uplink(1).outside[1], fwd.uplink(1).gateway));
    assert_eq!(seen(1, fwd.uplink(1).outside[1]), fwd.uplink(1).address);
}

/// cilium#17458: a link without addresses of its own, by which the host's other address leaves.
#[test]
fn unnumbered_link_is_left_from_the_address_that_the_route_names() {
    let fwd = host();
    let own = Ipv4Addr::new(198, 18, 9, 9);
    ip(&fwd, &format!("addr add {own}/32 dev lo"));
    let (near, far) = (fwd.uplink(1).address, fwd.uplink(1).gateway);
    ip(&fwd, &format!("addr del {near}/24 dev eth1"));
    ip(&fwd, &format!("route add default via {far} dev eth1 onlink src {own} table 101"));
    ip(&fwd, &format!("rule add to {} lookup 101", remote(&fwd)));
    inside(fwd.internet(1), &["ip", "route", "add", &own.to_string(), "dev", "inet0"]);
    let pod = fwd.up("c1", &[]);
    let client = udp(&pod, any(5000));
    assert_eq!(seen_from(&fwd, 1, &client).ip(), own);
    let server = at(remote(&fwd), 9000);
    let clients = echo_tcp(listen(fwd.internet(1), server), 1);
    echoed(&connect(&pod, ANY, server).expect("it connects"), b"and back");
    assert_eq!(clients.join().expect("the server")[0].ip(), own);
    assert_eq!(warnings(&fwd, &pod), [""; 0]);
}

/// Containers of another bridge are reached as the host reaches them, and do not reach in.
#[test]
fn other_bridge_of_the_host_is_a_way_as_any() {
    let fwd = Fwd::new();
    let other = Namespace::create(&fwd.name("other")).expect("a namespace");
    let name = other.name();
    ip(&fwd, "link add docker0 type bridge");
    ip(&fwd, "addr add 172.17.0.1/16 dev docker0");
    ip(&fwd, &format!("link add vethd type veth peer name eth0 netns {name}"));
    ip(&fwd, "link set vethd master docker0 up");
    ip(&fwd, "link set docker0 up");
    for args in ["addr add 172.17.0.2/16 dev eth0", "link set eth0 up", "route add default via 172.17.0.1"] {
        inside(&other, &[&["ip"], &args.split(' ').collect::<Vec<_>>()[..]].concat());
    }
    let pod = fwd.up("c1", &[]);
    let server = at(Ipv4Addr::new(172, 17, 0, 2), 9000);
    let reached = || Ok(answers(fwd.host(), *server.ip()).then_some(()));
    wait_until(LIMIT, "the bridge forwards", reached).unwrap_or_else(|error| panic!("{error}"));
    let clients = echo_tcp(listen(&other, server), 1);
    echoed(&connect(&pod, ANY, server).expect("it connects"), b"by the bridge");
    assert_eq!(clients.join().expect("the server")[0].ip(), Ipv4Addr::new(172, 17, 0, 1));
    let _inside = listen(&pod, any(80));
    assert!(!answers(&other, pod.address));
    assert!(fwd.counted("from_uplink", "dropped", Some("DirectToEndpoint")) > 0);
    // Its own way out is not touched.
    assert!(pings(&other, Ipv4Addr::new(172, 17, 0, 1)));
}

/// Another way than that of the network's own uplink is smaller: its sender is told, and what may be cut is cut.
#[test]
fn way_that_carries_less_tells_its_size() {
    let fwd = host();
    let small = fwd.uplink(1).outside[1];
    ip(&fwd, "link set eth1 mtu 1300");
    inside(fwd.internet(1), &["ip", "link", "set", "inet0", "mtu", "1300"]);
    ip(&fwd, &format!("route add {small} via {} dev eth1", fwd.uplink(1).gateway));
    let pod = fwd.up("c1", &[]);
    let ping = |to: Ipv4Addr, discovery: &str| {
        inside(&pod, &["ip", "route", "flush", "cache"]);
        let argv = ["ping", "-n", "-c", "2", "-i", "0.2", "-W", "5", "-M", discovery, "-s", "1372", &to.to_string()];
        let output = try_inside(&pod, &argv);
        output.stdout + &output.stderr
    };
    assert!(ping(fwd.uplink(0).outside[1], "do").contains("2 received"));
    let told = ping(small, "do");
    assert!(told.contains("1300"), "{told}");
    assert!(!ping(small, "dont").contains(" 0 received"), "the kernel cuts it");
}
