//! Published ports over IPv6: who comes from outside, and from namespaces, reaches a server inside.

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use forwarder::{netns::Netns, testbed::wait_until};
use serde_json::json;

use super::{address6, at, host_with, link};
use crate::{
    fwd::{Pod, inside, pings6},
    peers::{PATIENCE, asked, assert_refused, connect, echo_tcp, echo_udp, echoed, listen, udp},
};

/// A client outside.
const CLIENT: u16 = 40_123;

/// Any free port of any address, of IPv6 and, for a server, of IPv4 as well.
fn any(port: u16) -> SocketAddr {
    at(Ipv6Addr::UNSPECIFIED, port)
}

/// A client talks to a published port over TCP, to a server that listens on port 80. Whom the server sees.
#[track_caller]
fn served(client: &Netns, from: SocketAddr, pod: &Pod, asked: SocketAddr) -> SocketAddr {
    let server = echo_tcp(listen(pod, any(80)), 1);
    let stream = connect(client, from, asked).unwrap_or_else(|error| panic!("{asked}: {error}"));
    // More than a second, and more than one segment.
    echoed(&stream, &vec![7; 100_000]);
    drop(stream);
    server.join().expect("the server")[0]
}

/// The same over UDP, of port 53.
#[track_caller]
fn answered(client: &Netns, from: SocketAddr, pod: &Pod, server: SocketAddr) -> SocketAddr {
    let serving = echo_udp(udp(pod, any(53)), 1);
    asked(&udp(client, from), server, b"who is there?");
    serving.join().expect("the server")[0]
}

#[test]
fn port_is_published_over_both_families_and_the_clients_address_arrives() {
    for datapath in ["tc", "xdp", "kernel"] {
        let fwd = host_with(1);
        let pod = fwd.up("c1", &["--datapath", datapath, "-p", "8080:80", "-p", "53:53/udp"]);
        let six = link(&fwd, 0);
        let client = at(six.outside, CLIENT);
        assert_eq!(served(fwd.internet(0), client, &pod, at(six.address, 8080)), client);
        assert_eq!(answered(fwd.internet(0), client, &pod, at(six.address, 53)), client);
        let four = SocketAddr::from((fwd.uplink(0).outside[0], CLIENT));
        let seen = served(fwd.internet(0), four, &pod, (fwd.uplink(0).address, 8080).into());
        assert_eq!((seen.ip().to_canonical(), seen.port()), (four.ip(), CLIENT));
        let listed = fwd.list(&["port", "ls"]);
        let inside = (&json!(pod.address), &json!(address6(&pod)));
        assert_eq!(((&listed[0]["address"], &listed[0]["address6"]), listed.len()), (inside, 2), "{listed:#?}");
        if datapath != "kernel" {
            let flows = fwd.list(&["flows", "--ns", &pod.name]);
            let of_ipv6 = flows.iter().find(|flow| flow["nat_port"] == 8080 && flow["nat_addr"] == json!(six.address));
            assert_eq!(of_ipv6.map(|flow| &flow["src_port"]), Some(&json!(80)), "{flows:#?}");
        }
        // What is not published is the host's, and so is all when it is withdrawn.
        let _inside = listen(&pod, any(81));
        connect(fwd.internet(0), client, at(six.address, 81)).expect_err("nobody listens there");
        fwd.ok(&["port", "rm", &pod.name, "-p", "8080:80"]);
        connect(fwd.internet(0), client, at(six.address, 8080)).expect_err("it is published no more");
        if datapath != "kernel" {
            assert!(fwd.list(&["flows", "--ns", &pod.name]).iter().all(|flow| flow["nat_port"] == 53));
        }
    }
}

#[test]
fn one_family_or_one_address_is_published_alone() {
    let fwd = host_with(1);
    let (four, six) = (fwd.uplink(0), link(&fwd, 0));
    let options = ["-p", "0.0.0.0:4000:80", "-p", "[::]:6000-6009:80-89"];
    let pod = fwd.up("c1", &[&options[..], &["-p", &format!("[{}]:6010:80", six.address)]].concat());
    fwd.on_host(&["ip", "-6", "address", "add", "2001:db8::77/64", "dev", "eth0", "nodad"]);
    inside(fwd.internet(0), &["ip", "-6", "route", "add", "2001:db8::77/128", "dev", "inet0"]);
    fwd.up("c2", &[]);
    let _server = listen(&pod, any(80));
    let _other = listen(&pod, any(89));
    let reaches = |address: IpAddr, port| {
        let client = if address.is_ipv4() { (four.outside[0], 0).into() } else { at(six.outside, 0) };
        connect(fwd.internet(0), client, SocketAddr::new(address, port)).is_ok()
    };
    let (own4, own6, later) = (four.address.into(), six.address.into(), "2001:db8::77".parse().expect("an address"));
    for (port, expected) in [
        (4000, [true, false, false]),
        (6000, [false, true, true]),
        (6009, [false, true, true]),
        (6010, [false, true, false]),
    ] {
        assert_eq!([own4, own6, later].map(|address| reaches(address, port)), expected, "port {port}");
    }
    let shown = fwd.ok(&["port", "ls"]);
    assert!(
        shown.contains("[::]:6000-6009:80-89/tcp") && shown.contains(&format!("[{}]:6010:80/tcp", six.address)),
        "{shown}"
    );
}

/// As of IPv4, also by another uplink than that by which the network leaves.
#[test]
fn port_is_reached_by_every_uplink_and_answers_go_back_the_way_they_came() {
    let fwd = host_with(2);
    let pod = fwd.up("c1", &["-p", "8080:80", "-p", "53:53/udp"]);
    for uplink in [1, 0] {
        let (six, internet) = (link(&fwd, uplink), fwd.internet(uplink));
        let client = at(six.outside, CLIENT);
        assert_eq!(served(internet, client, &pod, at(six.address, 8080)), client);
        assert_eq!(answered(internet, client, &pod, at(six.address, 53)), client);
    }
}

/// RFC 4787 REQ-9 and REQ-9a: from namespaces of the same network and of another, and from the publishing one itself, by the host's address.
#[test]
fn namespaces_reach_a_published_port_by_the_hosts_address() {
    let fwd = host_with(1);
    let pod = fwd.up("c1", &["-p", "8080:80", "-p", "53:53/udp"]);
    let (neighbour, stranger) = (fwd.up("c2", &[]), fwd.up("c3", &["--network", "other"]));
    let own = link(&fwd, 0).address;
    for client in [&pod, &neighbour, &stranger] {
        assert_eq!(served(client, any(0), &pod, at(own, 8080)).ip(), own, "the external address");
        assert_eq!(answered(client, any(0), &pod, at(own, 53)).ip(), own);
        connect(client, any(0), at(own, 8081)).expect_err("it is not published");
        // Errors about packets of two flows, one behind the other (RFC 5508 REQ-7).
        let socket = udp(client, any(0));
        socket.connect(at(own, 53)).expect("a socket");
        assert_refused(&socket);
    }
    assert!(pings6(&pod, link(&fwd, 0).outside));
    fwd.ok(&["port", "rm", &pod.name, "-p", "8080:80"]);
    connect(&neighbour, any(0), at(own, 8080)).expect_err("it is published no more");
}

/// Errors, and fragments: RFC 4787 REQ-14, RFC 8200 §4.5.
#[test]
fn errors_and_fragments_go_with_a_published_port() {
    let fwd = host_with(1);
    let pod = fwd.up("c1", &["-p", "53:53/udp", "-p", "8080:80"]);
    let six = link(&fwd, 0);
    let client = udp(fwd.internet(0), at(six.outside, CLIENT));
    client.connect(at(six.address, 53)).expect("a socket");
    assert_refused(&client);
    let refused = connect(fwd.internet(0), at(six.outside, CLIENT), at(six.address, 8080)).expect_err("nobody listens");
    assert!(refused.to_string().contains("refused"), "{refused}");
    drop(client);
    let server = udp(&pod, any(53));
    let client = udp(fwd.internet(0), at(six.outside, CLIENT + 1));
    let request: Vec<u8> = (0..4000_u16).map(|number| number as u8).collect();
    let mut buffer = vec![0; 8000];
    client.send_to(&request, at(six.address, 53)).expect("it leaves");
    let (length, from) = server.recv_from(&mut buffer).expect("it arrives");
    assert!(from == at(six.outside, CLIENT + 1) && buffer[..length] == request[..], "it came from {from}");
    server.send_to(&request, from).expect("the answer leaves");
    let (length, from) = client.recv_from(&mut buffer).expect("it is answered");
    assert!(from == at(six.address, 53) && buffer[..length] == request[..], "it is answered from {from}");
    // The client has gone, and the server learns of it.
    drop(client);
    server.connect(at(six.outside, CLIENT + 1)).expect("a socket");
    server.send(b"too late").expect("it leaves");
    let error = server.recv(&mut [0; 8]).expect_err("nobody listens any more");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
}

#[test]
fn host_that_asks_from_a_published_port_gets_its_answer() {
    let fwd = host_with(1);
    fwd.up("c1", &["-p", "45000:1/udp", "-p", "5000:5000/udp", "-p", "45000:45000"]);
    let outside = link(&fwd, 0).outside;
    for port in [45_000, 5000] {
        let server = at(outside, 7000);
        let seen = echo_udp(udp(fwd.internet(0), server), 1);
        asked(&udp(fwd.host(), any(port)), server, b"hello");
        seen.join().expect("the server");
    }
    let seen = echo_tcp(listen(fwd.internet(0), at(outside, 7001)), 1);
    echoed(&connect(fwd.host(), any(45_000), at(outside, 7001)).expect("it is there"), b"hello");
    seen.join().expect("the server");
}

#[test]
fn restricted_port_is_for_those_alone_to_whom_it_is_published() {
    let fwd = host_with(1);
    let six = link(&fwd, 0);
    let (own, friend) = (six.address, six.outside);
    let pod = fwd.up("c1", &["-p", "8080:80", "--publish-from", &format!("192.0.2.0/24,{friend}")]);
    let _server = listen(&pod, any(80));
    assert!(connect(fwd.internet(0), at(friend, CLIENT), at(own, 8080)).is_ok());
    let neighbour = fwd.up("c2", &[]);
    assert!(connect(&neighbour, any(0), at(own, 8080)).is_err(), "nobody has published it to that one");
    assert_eq!(fwd.counted("from_uplink", "dropped", Some("NotPublishedTo")), 0);
    // He gets no answer, and is not waited for.
    udp(fwd.internet(0), at(six.gateway, CLIENT));
    fwd.ok(&["port", "add", &pod.name, "-p", "53:53/udp", "--publish-from", "192.0.2.0/24"]);
    udp(fwd.internet(0), at(friend, CLIENT)).send_to(b"hello", at(own, 53)).expect("it leaves");
    let dropped = || Ok((fwd.counted("from_uplink", "dropped", Some("NotPublishedTo")) != 0).then_some(()));
    wait_until(PATIENCE, "it is dropped", dropped).expect("it is");
    let listed = fwd.list(&["port", "ls"]);
    assert_eq!(listed[0]["senders"], json!(["192.0.2.0/24", format!("{friend}/128")]));
}

#[test]
fn what_cannot_be_published_over_ipv6_is_refused_before_anything_changes() {
    let fwd = host_with(1);
    let own = link(&fwd, 0).address;
    let pod = fwd.up("c1", &["-p", "8080:80"]);
    let single = fwd.up("c2", &["--network", "single", "--ipv6", "off"]);
    let before = fwd.list(&["port", "ls"]);
    let refused = |ns: &str, ports: &str, more: &[&str], exit, words: &[&str]| {
        fwd.expect_error(&[&["port", "add", ns, "-p", ports], more].concat(), exit, words);
    };
    let at_own = format!("[{own}]:8080:80");
    refused(&single.name, &at_own, &[], 5, &["network single has no IPv6", "an address of IPv4"]);
    refused(&single.name, "[::]:8082:80", &[], 5, &["network single has no IPv6"]);
    refused(&pod.name, &at_own, &[], 4, &["8080:80/tcp leads to"]);
    refused(&pod.name, "[2001:db8::99]:81:80", &[], 3, &["no address 2001:db8::99", "ip -6 address"]);
    refused(&pod.name, "[fe80::1]:81:80", &[], 2, &["on one link alone"]);
    refused(&pod.name, "[ff02::1]:81:80", &[], 2, &["ff02::1 is no address of a host"]);
    refused(&pod.name, &format!("[{}]:81:80", address6(&pod)), &[], 2, &["an address of network fwd0"]);
    refused(&pod.name, "[::]:81:80", &["--publish-from", "192.0.2.0/24"], 2, &["reached over IPv6", "192.0.2.0/24"]);
    refused(&single.name, "81:80", &["--publish-from", "2001:db8::/32"], 2, &["reached over IPv4", "2001:db8::/32"]);
    let _taken = listen(fwd.host(), at(own, 82));
    refused(&pod.name, "82:80", &[], 4, &[&format!("[{own}]:82/tcp")]);
    fwd.ok(&["port", "add", &pod.name, "-p", "0.0.0.0:82:80"]);
    fwd.ok(&["port", "rm", &pod.name, "-p", "0.0.0.0:82:80"]);
    fwd.ok(&["port", "add", &single.name, "-p", "82:80"]);
    fwd.ok(&["port", "rm", &single.name, "-p", "82:80"]);
    assert_eq!(fwd.list(&["port", "ls"]), before);
}
