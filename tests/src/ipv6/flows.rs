//! The programs translate IPv6: flows, ports, and the host beside them.

use std::{
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket},
    thread,
};

use forwarder::{Context as _, netns::Netns, testbed::wait_until};
use serde_json::{Value, json};

use super::{address6, at, host_with, link, seen_from};
use crate::{
    fwd::{Fwd, LIMIT, Pod, inside, number, pings6, text},
    peers::{listen, udp},
};

/// Header of IPv6, and of UDP, bytes.
const HEADERS: u64 = 48;

/// The flows of IPv6 of a namespace that are of this protocol.
#[track_caller]
pub(super) fn flows(fwd: &Fwd, pod: &Pod, proto: &str) -> Vec<Value> {
    let all = fwd.list(&["flows", "--ns", &pod.name]);
    all.into_iter().filter(|flow| flow["proto"] == proto && text(&flow["src_addr"]).contains(':')).collect()
}

/// Sends a datagram and has it answered; from where it came.
#[track_caller]
pub(super) fn asked(client: &UdpSocket, server: &UdpSocket) -> SocketAddr {
    let mut buffer = [0; 64];
    client.send_to(b"question", server.local_addr().expect("a socket")).expect("it leaves");
    let (length, from) = server.recv_from(&mut buffer).expect("it arrives");
    server.send_to(&buffer[..length], from).expect("the answer leaves");
    let (length, answered) = client.recv_from(&mut buffer).expect("the answer arrives");
    assert_eq!((&buffer[..length], answered), (&b"question"[..], server.local_addr().expect("a socket")));
    from
}

/// Nothing of a namespace is in the kernel's own table of connections.
#[track_caller]
fn kernel_knows_nothing_of(fwd: &Fwd, pod: &Pod, proto: &str) {
    let known = fwd.on_host(&["sh", "-c", "cat /proc/net/nf_conntrack 2>/dev/null || true"]);
    let own = address6(pod).segments().map(|part| format!("{part:04x}")).join(":");
    let found: Vec<&str> = known.lines().filter(|line| line.contains(&own) && line.contains(proto)).collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn programs_translate_tcp_udp_and_echo_and_show_the_flows() {
    for datapath in ["tc", "xdp"] {
        let fwd = host_with(1);
        let pod = fwd.up("c1", &["--datapath", datapath]);
        let (six, outside) = (link(&fwd, 0), link(&fwd, 0).outside);
        let by_kernel = fwd.counted("from_ns", "punted", Some("KernelIpv6"));
        assert_eq!(seen_from(&pod, fwd.internet(0), at(outside, 7000)), [IpAddr::from(six.address); 2]);
        assert!(pings6(&pod, outside));
        assert_eq!(fwd.counted("from_ns", "punted", Some("KernelIpv6")), by_kernel, "nothing was left to the kernel");
        for proto in ["udp", "tcp", "icmp6"] {
            let found = flows(&fwd, &pod, proto);
            assert_eq!(found.len(), 1, "{proto}: {found:#?}");
            for (key, value) in [
                ("network", json!("fwd0")),
                ("src_addr", json!(address6(&pod))),
                ("dst_addr", json!(outside)),
                ("nat_addr", json!(six.address)),
                ("dst_port", if proto == "icmp6" { Value::Null } else { json!(7000) }),
            ] {
                assert_eq!(found[0][key], value, "{key} in {:#}", found[0]);
            }
            assert!(number(&found[0]["rx_packets"]) > 0, "{:#}", found[0]);
            kernel_knows_nothing_of(&fwd, &pod, proto);
        }
        let shown = fwd.ok(&["flows", "--ns", &pod.name]);
        assert!(shown.contains(&format!("[{outside}]:7000")), "{shown}");
        assert!(fwd.counted("from_uplink", "forwarded", None) > 0);
    }
}

#[test]
fn udp_is_counted_to_the_byte() {
    let fwd = host_with(1);
    let pod = fwd.up("c1", &[]);
    let server = udp(fwd.internet(0), at(link(&fwd, 0).outside, 7000));
    let client = udp(&pod, at(Ipv6Addr::UNSPECIFIED, 0));
    let seen: Vec<SocketAddr> = (0..10).map(|_| asked(&client, &server)).collect();
    assert!(seen.iter().all(|from| *from == seen[0]), "one port: {seen:?}");
    let found = flows(&fwd, &pod, "udp");
    assert_eq!(found.len(), 1, "{found:#?}");
    for key in ["tx", "rx"] {
        assert_eq!(number(&found[0][&format!("{key}_packets")]), 10, "{:#}", found[0]);
        assert_eq!(number(&found[0][&format!("{key}_bytes")]), 10 * (8 + HEADERS), "{:#}", found[0]);
    }
    assert_eq!(found[0]["nat_port"], json!(seen[0].port()));
}

#[test]
fn two_namespaces_with_one_source_port_get_each_their_answers() {
    let fwd = host_with(1);
    let (one, other) = (fwd.up("c1", &[]), fwd.up("c2", &[]));
    let server = udp(fwd.internet(0), at(link(&fwd, 0).outside, 7000));
    let clients = [&one, &other].map(|pod| udp(pod, at(address6(pod), 5000)));
    let seen: Vec<SocketAddr> = clients.iter().map(|client| asked(client, &server)).collect();
    assert_eq!(seen[0].ip(), seen[1].ip(), "behind one address");
    assert_ne!(seen[0].port(), seen[1].port(), "but not behind one port");
    for (client, before) in clients.iter().zip(&seen) {
        assert_eq!(asked(client, &server), *before, "which stays");
    }
}

/// The host's socket keeps its conversation, and the namespace's flow its port.
#[test]
fn host_and_namespace_keep_each_their_conversation() {
    let fwd = host_with(1);
    let pod = fwd.up("c1", &[]);
    let server = udp(fwd.internet(0), at(link(&fwd, 0).outside, 7000));
    // A port in the range of translated ones: who has it first keeps it.
    let client = udp(&pod, at(address6(&pod), 5000));
    let claimed = asked(&client, &server);
    let socket = udp(fwd.host(), at(Ipv6Addr::UNSPECIFIED, claimed.port()));
    let host = asked(&socket, &server);
    assert_eq!(host.ip(), claimed.ip());
    assert_ne!(host.port(), claimed.port(), "the namespace has that one");
    assert_eq!(asked(&client, &server), claimed);
    assert_eq!(asked(&socket, &server), host);
    // And the other way round.
    let socket = udp(fwd.host(), at(Ipv6Addr::UNSPECIFIED, 2000));
    let first = asked(&socket, &server);
    for port in 2000..2010 {
        let client = udp(&pod, at(address6(&pod), port));
        assert_ne!(asked(&client, &server), first);
    }
    assert_eq!(asked(&socket, &server), first);
    assert!(pings6(fwd.host(), link(&fwd, 0).outside) && pings6(&pod, link(&fwd, 0).outside));
}

#[test]
fn flows_end_with_their_namespace() {
    let fwd = host_with(1);
    let (one, other) = (fwd.up("c1", &[]), fwd.up("c2", &[]));
    let server = udp(fwd.internet(0), at(link(&fwd, 0).outside, 7000));
    for pod in [&one, &other] {
        asked(&udp(pod, at(Ipv6Addr::UNSPECIFIED, 0)), &server);
    }
    fwd.down("c1");
    let left = fwd.list(&["flows"]);
    assert_eq!(left.len(), 1, "{left:#?}");
    assert_eq!(left[0]["src_addr"], json!(address6(&other)));
}

/// A listener that answers connections without end.
fn accept_all(ns: &Netns, server: SocketAddr) {
    let listener = listen(ns, server);
    thread::spawn(move || listener.incoming().flatten().for_each(drop));
}

/// One endpoint has as many flows as it may: those that are over give way.
#[test]
fn a_full_table_makes_room_for_new_connections() {
    let fwd = host_with(1);
    let pod = fwd.up("c1", &["--max-flows", "64"]);
    let server = at(link(&fwd, 0).outside, 7000);
    accept_all(fwd.internet(0), server);
    for number in 0..400 {
        let stream = pod.run(|| TcpStream::connect(server).doing("connect to", server.to_string()));
        drop(stream.unwrap_or_else(|error| panic!("connection {number}: {error}")));
    }
    assert!(pings6(&pod, link(&fwd, 0).outside));
}

/// The route goes, and comes back by another router.
#[test]
fn a_flow_waits_for_its_route() {
    let fwd = host_with(1);
    let pod = fwd.up("c1", &[]);
    let six = link(&fwd, 0);
    let server = udp(fwd.internet(0), at(six.outside, 7000));
    let client = udp(&pod, at(Ipv6Addr::UNSPECIFIED, 0));
    let before = asked(&client, &server);
    let route = fwd.on_host(&["ip", "-6", "route", "show", "default"]);
    fwd.on_host(&["ip", "-6", "route", "del", "default"]);
    wait_until(LIMIT, "the flow finds no route", || {
        client.send_to(b"lost", server.local_addr().expect("a socket")).doing("send", "a datagram").ok();
        Ok((fwd.counted("from_ns", "punted", Some("ToHost")) > 0).then_some(()))
    })
    .expect("what has no route is the kernel's to answer");
    let words: Vec<&str> = route.split_whitespace().collect();
    fwd.on_host(&[&["ip", "-6", "route", "add"], &words[..5]].concat());
    let mut buffer = [0; 64];
    client.set_read_timeout(Some(std::time::Duration::from_millis(200))).expect("a socket");
    let answered = wait_until(LIMIT, "the flow goes on", || {
        client.send_to(b"again", server.local_addr().expect("a socket")).doing("send", "a datagram").ok();
        server.set_read_timeout(Some(std::time::Duration::from_millis(200))).expect("a socket");
        Ok(server.recv_from(&mut buffer).ok().map(|(_, from)| from))
    });
    assert_eq!(answered.expect("by the new route"), before, "behind the same port");
    let _ = inside(&pod, &["true"]);
}
