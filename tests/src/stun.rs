//! What a STUN client (RFC 3489) finds out about the NAT from inside a namespace.

use std::{net::SocketAddr, time::Duration};

use forwarder::testbed::{Process, command_in, wait_until};

use super::fwd::{Fwd, Pod, inside, number, try_inside};
use crate::{
    capture::Capture,
    peers::{any, asked, at, echo_udp, udp},
};

const LIMIT: Duration = Duration::from_secs(20);
/// A socket inside, beyond the NAT range: its port cannot be kept.
const PORT: u16 = 50_000;
/// The ports of a STUN server.
const SERVER: [u16; 2] = [3478, 3479];

/// A STUN server on two addresses of the internet.
#[track_caller]
fn server(fwd: &Fwd) -> Process {
    let [first, second] = [0, 1].map(|n| fwd.uplink(0).outside[n].to_string());
    let stund = Process::spawn(command_in(fwd.internet(0), &["stund", "-h", &first, "-a", &second])).expect("stund");
    let listens = || {
        let sockets = inside(fwd.internet(0), &["ss", "-lnu"]);
        let all =
            [&first, &second].iter().all(|it| SERVER.iter().all(|port| sockets.contains(&format!("{it}:{port}"))));
        Ok(all.then_some(()))
    };
    wait_until(LIMIT, "the STUN server listens", listens).unwrap_or_else(|error| panic!("{error}: {}", stund.stderr()));
    stund
}

/// What the client says of the NAT, asked from `port`. Its exit status tells the kind of NAT: it is never 0.
#[track_caller]
fn said(fwd: &Fwd, pod: &Pod, port: u16) -> String {
    let server = fwd.uplink(0).outside[0].to_string();
    let output = try_inside(pod, &["stun", &server, "-p", &port.to_string()]);
    let line = output.stdout.lines().find(|line| line.starts_with("Primary:")).map(str::to_owned);
    line.unwrap_or_else(|| panic!("no result: {output:?}"))
}

#[test]
fn stun_finds_a_cone_where_the_network_maps_and_filters_independently() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &["--nat", "eim-eif"]);
    let capture = Capture::start(&fwd);
    let _server = server(&fwd);
    let said = said(&fwd, &pod, PORT);
    assert!(said.contains("Independent Mapping, Independent Filter"), "{said}");
    capture.assert_empty();
}

#[test]
fn stun_finds_a_filter_where_the_network_only_maps_independently() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &["--nat", "eim"]);
    let _server = server(&fwd);
    let said = said(&fwd, &pod, PORT);
    assert!(said.contains("Independent Mapping, Port Dependent Filter"), "{said}");
}

/// By default a socket keeps its port towards all destinations while it is free towards each. So the client is deceived,
/// unless somebody else has the port towards one of them: here the host.
#[test]
fn stun_finds_a_mapping_per_destination_by_default() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &["--nat-ports", "10000-10999"]);
    let _server = server(&fwd);
    let first = said(&fwd, &pod, PORT);
    assert!(first.contains("Port Dependent Filter"), "{first}");
    let flows = fwd.list(&["flows", "--ns", &pod.name]);
    let flow = flows.iter().find(|flow| flow["src_port"] == PORT).expect("a flow");
    // The next sockets inside are mapped to the next ports outside.
    let next = number(&flow["nat_port"]) - 10_000 + 10;
    let next = u16::try_from(10_000 + next % 1_000).expect("a port");
    let taken = udp(fwd.host(), at(fwd.uplink(0).address, next));
    taken.connect((fwd.uplink(0).outside[1], SERVER[0])).expect("a socket");
    let second = said(&fwd, &pod, PORT + 10);
    assert!(second.contains("Dependent Mapping") && !second.contains("Independent Mapping"), "{second}");
}

#[test]
fn stranger_reaches_a_mapped_socket_and_is_answered_from_its_port() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &["--nat", "eim-eif"]);
    let capture = Capture::start(&fwd);
    let socket = udp(&pod, any(PORT));
    let known = at(fwd.uplink(0).outside[0], 7000);
    let echo = echo_udp(udp(fwd.internet(0), known), 1);
    asked(&socket, known, b"hello");
    let nat = echo.join().expect("the server")[0];
    let SocketAddr::V4(nat) = nat else { panic!("{nat} is IPv6") };
    assert_eq!(*nat.ip(), fwd.uplink(0).address);
    let inside = echo_udp(socket, 1);
    let stranger = udp(fwd.internet(0), at(fwd.uplink(0).outside[1], 7001));
    // The answer comes from the mapped port, or it would not be taken for one.
    asked(&stranger, nat, b"who is there?");
    assert_eq!(inside.join().expect("the namespace"), [stranger.local_addr().expect("a socket")]);
    capture.assert_empty();
}
