//! IPv6 of networks that follow the host's routes: by the interface that the host would take, from the address that it would take.

use std::{
    collections::BTreeSet,
    io::ErrorKind,
    net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};

use forwarder::testbed::wait_until;

use super::{at, host_with, link, over_each, seen_from};
use crate::{
    fwd::{Fwd, LIMIT, inside, pings6, text, told},
    peers::{connect, udp},
};

const PORT: u16 = 7000;
/// Both internets have it: who answers there tells by which interface a packet left.
const REMOTE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x77, 0, 0, 0, 0, 1);

#[track_caller]
fn ip6(fwd: &Fwd, line: &str) {
    fwd.on_host(&[&["ip", "-6"], &line.split(' ').collect::<Vec<_>>()[..]].concat());
}

/// A host both of whose internets have these addresses.
#[track_caller]
fn host(remote: &str) -> Fwd {
    let fwd = host_with(2);
    for number in [0, 1] {
        inside(fwd.internet(number), &["ip", "-6", "addr", "add", remote, "dev", "lo", "nodad"]);
    }
    fwd
}

/// From where the internet behind this uplink sees a question of `client`, once it does: a flow is looked up again when its route is a second
/// old.
#[track_caller]
fn asked_by(fwd: &Fwd, number: usize, client: &UdpSocket) -> SocketAddr {
    let server = udp(fwd.internet(number), at(REMOTE, PORT));
    server.set_read_timeout(Some(Duration::from_millis(50))).expect("a socket");
    let arrives = || {
        client.send_to(b"which way?", at(REMOTE, PORT)).ok();
        Ok(server.recv_from(&mut [0; 16]).ok().map(|(_, from)| from))
    };
    wait_until(LIMIT, "it arrives", arrives).unwrap_or_else(|error| panic!("eth{number}: {error}"))
}

#[test]
fn network_follows_the_routes_of_the_host_by_ipv6() {
    over_each(|options| {
        let fwd = host(&format!("{REMOTE}/128"));
        let pod = fwd.up("c1", options);
        // Where a route leads by another interface than the default route's.
        let other = link(&fwd, 1);
        assert!(pings6(&pod, other.outside) && pings6(&pod, link(&fwd, 0).outside));
        assert_eq!(seen_from(&pod, fwd.internet(1), at(other.outside, PORT)), [IpAddr::from(other.address); 2]);
        let client = udp(&pod, at(Ipv6Addr::UNSPECIFIED, 5000));
        for number in [0, 1, 0] {
            ip6(&fwd, &format!("route replace default via {} dev eth{number}", link(&fwd, number).gateway));
            assert_eq!(asked_by(&fwd, number, &client).ip(), IpAddr::from(link(&fwd, number).address), "{options:?}");
        }
        for reason in ["RouteNotViaUplink", "UplinkUnguarded"] {
            assert_eq!(fwd.counted("from_ns", "dropped", Some(reason)), 0, "{reason}");
        }
    });
}

/// The host has no source check of IPv6, whatever it checks of IPv4.
#[test]
fn replies_come_in_by_another_uplink_whose_sources_are_checked_of_ipv4() {
    for datapath in ["tc", "xdp"] {
        let fwd = host(&format!("{REMOTE}/128"));
        fwd.on_host(&["sysctl", "-qw", "net.ipv4.conf.eth0.rp_filter=1", "net.ipv4.conf.eth1.rp_filter=1"]);
        let pod = fwd.up("c1", &["--datapath", datapath]);
        let (here, back) = (link(&fwd, 0).address.to_string(), link(&fwd, 1).address.to_string());
        inside(fwd.internet(1), &["ip", "-6", "route", "add", &here, "via", &back]);
        let client = udp(&pod, at(Ipv6Addr::UNSPECIFIED, 5000));
        let from = asked_by(&fwd, 0, &client);
        let other = udp(fwd.internet(1), at(REMOTE, PORT));
        other.send_to(b"this way", from).expect("it leaves");
        assert_eq!(client.recv_from(&mut [0; 16]).expect("it arrives"), (8, at(REMOTE, PORT)), "{datapath}");
        assert_eq!(fwd.counted("to_uplink", "punted", Some("AsymmetricReply")), 0, "{datapath}");
    }
}

/// Of a route with several next hops each destination takes one and stays there; and a route may name the address to leave from.
#[test]
fn several_next_hops_are_shared_and_the_source_of_a_route_is_taken() {
    const DESTINATIONS: u16 = 32;
    let fwd = host(&format!("{REMOTE}/64"));
    let hops = [0, 1].map(|number| format!("nexthop via {} dev eth{number}", link(&fwd, number).gateway));
    ip6(&fwd, "route del default");
    ip6(&fwd, &format!("route add default {}", hops.join(" ")));
    let pod = fwd.up("c1", &[]);
    let client = udp(&pod, at(Ipv6Addr::UNSPECIFIED, 5000));
    for number in [0, 1] {
        inside(fwd.internet(number), &["ip", "-6", "route", "add", "local", "2001:db8:77::/64", "dev", "lo"]);
    }
    let servers = [0, 1].map(|number| {
        let server = udp(fwd.internet(number), at(Ipv6Addr::UNSPECIFIED, PORT));
        server.set_read_timeout(Some(Duration::from_millis(20))).expect("a socket");
        server
    });
    let way = |to: Ipv6Addr| {
        let arrives = || {
            client.send_to(b"which way?", at(to, PORT)).expect("it leaves");
            Ok(servers.iter().position(|server| server.recv_from(&mut [0; 16]).is_ok()))
        };
        wait_until(LIMIT, "it arrives", arrives).expect("by one of them")
    };
    let to = |last: u16| Ipv6Addr::new(0x2001, 0xdb8, 0x77, 0, 0, 0, 1, last);
    let ways: Vec<usize> = (1..=DESTINATIONS).map(|last| way(to(last))).collect();
    assert_eq!(ways.iter().collect::<BTreeSet<_>>().len(), 2, "{ways:?}");
    assert_eq!((1..=DESTINATIONS).map(|last| way(to(last))).collect::<Vec<_>>(), ways, "they stay");
    drop(servers);
    ip6(&fwd, "addr add 2001:db8::99/128 dev eth0 nodad");
    ip6(&fwd, &format!("route add {REMOTE}/128 via {} dev eth0 src 2001:db8::99", link(&fwd, 0).gateway));
    inside(fwd.internet(0), &["ip", "-6", "route", "add", "2001:db8::99/128", "dev", "inet0"]);
    let other = udp(&pod, at(Ipv6Addr::UNSPECIFIED, 5001));
    assert_eq!(asked_by(&fwd, 0, &other).ip().to_string(), "2001:db8::99");
}

/// Nobody would see to it that nothing leaves untranslated by an interface that comes later.
#[test]
fn interface_that_routes_name_later_is_refused_until_a_command_takes_it_in() {
    let fwd = host_with(3);
    let other = link(&fwd, 2);
    for line in ["ip -6 route flush dev eth2", "ip -4 route flush dev eth2"] {
        fwd.on_host(&line.split(' ').collect::<Vec<_>>());
    }
    let pod = fwd.up("c1", &[]);
    ip6(&fwd, &format!("route add {}/128 dev eth2", other.gateway));
    ip6(&fwd, &format!("route add {}/128 via {} dev eth2", other.outside, other.gateway));
    let server = at(other.outside, PORT);
    let client = udp(&pod, at(Ipv6Addr::UNSPECIFIED, 0));
    client.connect(server).expect("a socket");
    client.send(b"").expect("it leaves");
    assert_eq!(client.recv(&mut [0; 8]).expect_err("it is told").kind(), ErrorKind::PermissionDenied);
    let refused = connect(&pod, at(Ipv6Addr::UNSPECIFIED, 0), server).expect_err("it is refused").to_string();
    assert!(refused.contains("Permission denied"), "{refused}");
    let ping = told(&pod, &["-6", &other.outside.to_string()]);
    assert!(ping.stdout.contains("prohibited"), "{ping:?}");
    assert!(ping.stdout.contains(&text(&pod.shown["gateways"][1])), "{ping:?}");
    assert!(fwd.counted("from_ns", "dropped", Some("UplinkUnguarded")) >= 3);
    let told = fwd.ok(&["inspect", &pod.name]);
    assert!(told.contains("UplinkUnguarded") && told.contains("uplink add eth2"), "{told}");
    fwd.up("c2", &[]);
    assert_eq!(seen_from(&pod, fwd.internet(2), server), [IpAddr::from(other.address); 2]);
    fwd.ok(&["down", "--all"]);
}
