//! The same over IPv6, by addresses of that family.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::{asks, asks_from, servers_at, told};
use crate::{
    fwd::{inside, text},
    ipv6::{at, host_with, link},
    peers::{connect, echo_tcp, echo_udp, listen, udp},
};

const LOOPBACK: Ipv6Addr = Ipv6Addr::LOCALHOST;
const ANY: Ipv6Addr = Ipv6Addr::UNSPECIFIED;

#[test]
fn host_reaches_a_published_port_by_each_of_its_addresses_of_ipv6() {
    let fwd = host_with(1);
    inside(fwd.host(), &["ip", "link", "set", "lo", "up"]);
    let pod = fwd.up("c1", &["-p", "8080:80", "-p", "53:5353/udp"]);
    let gateway: Ipv6Addr = text(&pod.shown["gateways"][1]).parse().expect("an address");
    let addresses = [LOOPBACK, link(&fwd, 0).address, gateway].map(|address| address.to_string());
    let [tcp, udp] = servers_at(&pod, ANY.into(), addresses.len() + 2, 2 * addresses.len());
    for address in &addresses {
        assert_eq!(asks(&fwd, "tcp", address, 8080), told(address, 8080));
        assert_eq!(asks(&fwd, "sendto", address, 53), told(address, 53));
        assert_eq!(asks(&fwd, "udp", address, 53), told(address, 53));
    }
    assert_eq!(asks(&fwd, "tcp", "::", 8080), told(LOOPBACK, 8080), "that means the loopback");
    // Bound to one of its addresses, that is whom the server sees.
    let own = link(&fwd, 0).address;
    assert_eq!(asks_from(&fwd, fwd.host(), "tcp", &own.to_string(), 8080, &own.to_string()), told(own, 8080));
    let seen: Vec<SocketAddr> = [tcp, udp].into_iter().flat_map(|server| server.join().expect("the server")).collect();
    let (bound, others): (Vec<&SocketAddr>, Vec<&SocketAddr>) =
        seen.iter().partition(|client| client.ip() == IpAddr::from(own));
    assert!(bound.len() == 1 && others.iter().all(|client| client.ip() == gateway), "{seen:?}");
    assert_eq!(asks(&fwd, "tcp", "::1", 8081), "ConnectionRefusedError", "it is not published");
    // From the loopback nobody is reached but by it.
    assert_eq!(asks_from(&fwd, fwd.host(), "tcp", "::1", 8080, "::1"), "ConnectionRefusedError");
}

#[test]
fn port_of_the_loopback_of_ipv6_is_for_the_host_alone() {
    let fwd = host_with(1);
    inside(fwd.host(), &["ip", "link", "set", "lo", "up"]);
    let pod = fwd.up("c1", &["-p", "[::1]:8080:80", "-p", "[::1]:53:5353/udp"]);
    let other = fwd.up("c2", &[]);
    let [tcp, udp] = servers_at(&pod, ANY.into(), 1, 1);
    let own = link(&fwd, 0).address;
    for client in [fwd.internet(0), &*other, &*pod] {
        connect(client, at(ANY, 0), at(own, 8080)).expect_err("it is not published there");
    }
    for address in [own.to_string(), "127.0.0.1".into()] {
        assert_eq!(asks(&fwd, "tcp", &address, 8080), "ConnectionRefusedError", "{address}");
    }
    assert_eq!(asks(&fwd, "tcp", "::1", 8080), told(LOOPBACK, 8080));
    assert_eq!(asks(&fwd, "sendto", "::1", 53), told(LOOPBACK, 53));
    for server in [tcp, udp] {
        assert_eq!(server.join().expect("the server").len(), 1);
    }
}

/// What listens on the host itself is reached as ever, whatever is published later.
#[test]
fn listener_of_the_host_keeps_its_port_of_ipv6() {
    let fwd = host_with(1);
    inside(fwd.host(), &["ip", "link", "set", "lo", "up"]);
    let pod = fwd.up("c1", &["-p", "8080:80", "-p", "53:5353/udp"]);
    let _inside = [listen(&pod, at(ANY, 80))];
    let tcp = echo_tcp(listen(fwd.host(), at(LOOPBACK, 8080)), 1);
    let datagrams = echo_udp(udp(fwd.host(), at(LOOPBACK, 53)), 1);
    assert_eq!(asks(&fwd, "tcp", "::1", 8080), told(LOOPBACK, 8080));
    assert_eq!(asks(&fwd, "sendto", "::1", 53), told(LOOPBACK, 53));
    assert_eq!((tcp.join().expect("the host's own").len(), datagrams.join().expect("the host's own").len()), (1, 1));
}
