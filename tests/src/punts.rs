//! What the fast path does not take: answered by the kernel, or dropped for a counted reason.

use std::{
    net::{SocketAddr, UdpSocket},
    os::fd::AsFd,
};

use forwarder::netns::Netns;
use nix::sys::socket::{setsockopt, sockopt};

use super::fwd::{Fwd, inside, pings, text, told, try_inside};
use crate::{
    peers::{ANY, PATIENCE, at, udp},
    raw,
};

/// A conversation between a namespace and a server that hears of ICMP errors.
fn conversation(fwd: &Fwd, pod: &Netns) -> (UdpSocket, UdpSocket) {
    let outside = at(fwd.uplink(0).outside[0], 7000);
    let (client, server) = (udp(pod, ANY), udp(fwd.internet(0), outside));
    let mut buffer = [0; 16];
    client.send_to(b"hello", outside).expect("it leaves");
    let (_, from) = server.recv_from(&mut buffer).expect("it arrives");
    server.connect(from).expect("a socket");
    setsockopt(&server.as_fd(), sockopt::Ipv4RecvErr, &true).expect("an option of Linux");
    client.connect(SocketAddr::V4(outside)).expect("a socket");
    assert_flows(&client, &server);
    (client, server)
}

/// Datagrams of both arrive.
#[track_caller]
fn assert_flows(client: &UdpSocket, server: &UdpSocket) {
    let mut buffer = [0; 16];
    server.send(b"reply").expect("it leaves");
    assert_eq!(client.recv(&mut buffer).expect("the reply arrives"), 5);
    client.send(b"request").expect("it leaves");
    assert_eq!(server.recv(&mut buffer).expect("the request arrives"), 7);
}

/// The next thing that the server hears is this error.
#[track_caller]
fn assert_told(server: &UdpSocket, errno: nix::errno::Errno) {
    server.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let error = server.recv(&mut [0; 16]).expect_err("the kernel of the host answers with an error");
    assert_eq!(error.raw_os_error(), Some(errno as i32), "{error}");
}

#[test]
fn reply_at_the_end_of_its_ttl_is_answered_and_the_flow_lives_on() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let (client, server) = conversation(&fwd, &pod);
    server.set_ttl(1).expect("an option");
    server.send(b"too far").expect("it leaves");
    assert_told(&server, nix::errno::Errno::EHOSTUNREACH);
    server.set_ttl(64).expect("an option");
    assert_flows(&client, &server);
    assert_eq!(fwd.counted("from_uplink", "punted", Some("TtlExceeded")), 1);
    assert_eq!(fwd.counted("to_uplink", "punted", Some("IcmpError")), 1);
}

#[test]
fn oversize_reply_is_answered_and_the_flow_lives_on() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &["--mtu", "1400"]);
    let (client, server) = conversation(&fwd, &pod);
    // As large as the uplink, too large for the namespace, and not to be fragmented, as is the default of Linux.
    server.send(&[0; 1472]).expect("it leaves");
    assert_told(&server, nix::errno::Errno::EMSGSIZE);
    assert_flows(&client, &server);
    assert_eq!(fwd.counted("from_uplink", "punted", Some("TooBig")), 1);
    let mut buffer = [0; 2048];
    server.send(&[0; 1372]).expect("what fits leaves");
    assert_eq!(client.recv(&mut buffer).expect("what fits arrives"), 1372);
}

#[test]
fn traceroute_sees_the_gateway_as_its_first_hop() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let outside = fwd.uplink(0).outside[0].to_string();
    let ping = told(&pod, &["-t", "1", &outside]);
    assert!(!ping.status.success());
    assert!(ping.stdout.contains(&format!("From {} ", pod.gateway)) && ping.stdout.contains("exceeded"), "{ping:?}");
}

#[test]
fn endpoints_cannot_be_reached_from_outside_by_their_addresses() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    inside(fwd.internet(0), &["ip", "route", "add", "10.77.0.0/16", "via", &fwd.uplink(0).address.to_string()]);
    assert!(pings(&pod, fwd.uplink(0).outside[0]));
    let before = fwd.counted("from_uplink", "dropped", Some("DirectToEndpoint"));
    assert_eq!(before, 0);
    let ping =
        try_inside(fwd.internet(0), &["ping", "-n", "-c", "3", "-i", "0.1", "-W", "1", &pod.address.to_string()]);
    assert!(!ping.status.success(), "{ping:?}");
    assert_eq!(fwd.counted("from_uplink", "dropped", Some("DirectToEndpoint")), 3);
}

#[test]
fn spoofed_sources_are_dropped() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    for source in ["192.0.2.77", "10.77.0.99"] {
        inside(&pod, &["ip", "address", "add", &format!("{source}/32"), "dev", "lo"]);
        let before = fwd.counted("from_ns", "dropped", Some("SpoofedSource"));
        let outside = fwd.uplink(0).outside[0].to_string();
        let ping = try_inside(&pod, &["ping", "-n", "-c", "3", "-i", "0.1", "-W", "1", "-I", source, &outside]);
        assert!(!ping.status.success(), "{ping:?}");
        assert_eq!(fwd.counted("from_ns", "dropped", Some("SpoofedSource")) - before, 3, "{source}");
    }
}

#[test]
fn ipv6_does_not_leave() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let before = fwd.counted("from_ns", "dropped", Some("Ipv6"));
    inside(&pod, &["ip", "-6", "address", "add", "2001:db8::2/64", "dev", "eth0", "nodad"]);
    inside(&pod, &["ip", "-6", "neighbour", "add", "2001:db8::1", "lladdr", "02:00:00:00:00:01", "dev", "eth0"]);
    let ping = try_inside(&pod, &["ping", "-n", "-c", "3", "-i", "0.1", "-W", "1", "2001:db8::1"]);
    assert!(!ping.status.success(), "{ping:?}");
    assert!(fwd.counted("from_ns", "dropped", Some("Ipv6")) >= before + 3);
}

#[test]
fn protocols_that_sign_addresses_do_not_leave() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let outside = fwd.uplink(0).outside[0];
    // AH.
    let tool = format!("printf x | socat -u - IP4-SENDTO:{outside}:51");
    inside(&pod, &["sh", "-c", &tool]);
    assert_eq!(fwd.counted("from_ns", "dropped", Some("Protocol")), 1);
}

#[test]
fn frames_to_bridges_themselves_do_not_reach_the_host_past_its_rules() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let host = at(pod.gateway, 7000);
    let socket = udp(fwd.host(), host);
    let from = raw::mac_of(&pod, "eth0");
    let packet = |text: &[u8]| raw::udp(at(pod.address, 4000), host, text);
    let groups = [0, 3, 0x0e].map(|last| raw::frame([0x01, 0x80, 0xc2, 0, 0, last], from, &packet(b"to the bridge")));
    raw::send(&pod, "eth0", &groups);
    let bridge = raw::mac_of(fwd.host(), &text(&fwd.json(&["inspect", &pod.name])["bridge"]));
    raw::send(&pod, "eth0", &[raw::frame(bridge, from, &packet(b"to the host"))]);
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer).expect("a datagram comes");
    assert_eq!(&buffer[..length], b"to the host");
    assert_eq!(fwd.counted("from_ns", "dropped", Some("BridgeGroup")), 3);
}
