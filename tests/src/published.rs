//! Published ports as users meet them: who comes from outside reaches a server inside, and is seen there as who he is.

use std::{io::ErrorKind, net::SocketAddr};

use forwarder::{netns::Netns, testbed::wait_until};
use serde_json::json;

use super::fwd::{Fwd, Pod, number, pings};
use crate::{
    capture::Capture,
    peers::{ANY, any, asked, assert_refused, at, connect, echo_tcp, echo_udp, echoed, knock, listen, udp},
};

/// A client outside.
const CLIENT: u16 = 40_123;

/// The client connects to a port of the host, and talks to a server inside, which listens on `port`. Whom the server sees.
#[track_caller]
fn served(fwd: &Fwd, pod: &Pod, outside: u16, port: u16) -> SocketAddr {
    let server = echo_tcp(listen(pod, any(port)), 1);
    let client = at(fwd.uplink(0).outside[0], CLIENT);
    let stream = connect(fwd.internet(0), client, at(fwd.uplink(0).address, outside)).expect("it is published");
    echoed(&stream, b"hello");
    drop(stream);
    server.join().expect("the server")[0]
}

/// moby#15086: the client's address arrives.
#[test]
fn client_reaches_a_published_port_and_its_address_arrives() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &["-p", "8080:80"]);
    let capture = Capture::start(&fwd);
    let client = SocketAddr::from(at(fwd.uplink(0).outside[0], CLIENT));
    assert_eq!(served(&fwd, &pod, 8080, 80), client);
    assert_eq!(pod.shown["published"], json!(["8080:80/tcp"]));
    capture.assert_empty();
    let flows = fwd.list(&["flows", "--ns", &pod.name]);
    assert!(flows.iter().any(|flow| flow["nat_port"] == 8080 && flow["src_port"] == 80), "{flows:?}");
}

#[test]
fn any_port_can_be_published_inside_of_the_nat_range_and_outside() {
    let fwd = Fwd::new();
    let ports =
        [(80, 80), (443, 8443), (600, 600), (1024, 1024), (29_999, 1), (30_000, 2), (45_000, 3), (65_535, 65_535)];
    let options: Vec<String> =
        ports.iter().flat_map(|(outside, inside)| ["-p".into(), format!("{outside}:{inside}")]).collect();
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let pod = fwd.up("c1", &options);
    for (outside, inside) in ports {
        served(&fwd, &pod, outside, inside);
    }
}

#[test]
fn datagrams_reach_a_published_port_and_are_answered_from_it() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &["-p", "53:5353/udp"]);
    let capture = Capture::start(&fwd);
    let server = echo_udp(udp(&pod, any(5353)), 1);
    let client = at(fwd.uplink(0).outside[0], CLIENT);
    // The answer comes from the port that was asked, or it would not be taken for one.
    asked(&udp(fwd.internet(0), client), at(fwd.uplink(0).address, 53), b"who is there?");
    assert_eq!(server.join().expect("the server")[0], SocketAddr::from(client));
    capture.assert_empty();
}

/// moby#11185: a range takes no more than a few entries.
#[test]
fn range_of_ports_leads_to_as_many_inside() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &["-p", "30000-39999:20000-29999"]);
    for (outside, inside) in [(30_000, 20_000), (34_567, 24_567), (39_999, 29_999)] {
        served(&fwd, &pod, outside, inside);
    }
    let client = at(fwd.uplink(0).outside[0], CLIENT);
    connect(fwd.internet(0), client, at(fwd.uplink(0).address, 40_000)).expect_err("it is beyond the range");
}

#[test]
fn port_that_is_not_published_is_the_hosts() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &["-p", "8080:80"]);
    let _inside = listen(&pod, any(8081));
    let address = fwd.uplink(0).address;
    let client = at(fwd.uplink(0).outside[0], CLIENT);
    connect(fwd.internet(0), client, at(address, 8081)).expect_err("nobody listens there");
    let server = echo_tcp(listen(fwd.host(), any(8081)), 1);
    echoed(&connect(fwd.internet(0), client, at(address, 8081)).expect("the host's own"), b"hello");
    assert_eq!(server.join().expect("the server").len(), 1);
    assert_eq!(number(&fwd.list(&["flows", "--ns", &pod.name]).len().into()), 0);
}

#[test]
fn namespace_never_gets_a_published_port_for_its_own_connections() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &["-p", "8000-8098:8000-8098/udp", "--nat-ports", "8000-8099"]);
    let server = at(fwd.uplink(0).outside[0], 7000);
    let seen = echo_udp(udp(fwd.internet(0), server), 1);
    asked(&udp(&pod, any(8080)), server, b"hello");
    assert_eq!(seen.join().expect("the server")[0].port(), 8099);
}

/// RFC 4787 REQ-14: the first fragment has the port, the others follow it.
#[test]
fn datagram_in_fragments_reaches_a_published_port() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &["-p", "53:53/udp"]);
    let server = echo_udp(udp(&pod, any(53)), 1);
    let client = udp(fwd.internet(0), at(fwd.uplink(0).outside[0], CLIENT));
    let request: Vec<u8> = (0..2000_u16).map(|number| number as u8).collect();
    client.send_to(&request, at(fwd.uplink(0).address, 53)).expect("it leaves");
    let mut answer = vec![0; 5000];
    let (length, _) = client.recv_from(&mut answer).expect("it is answered");
    assert!(answer[..length] == request[..], "the answer is another");
    server.join().expect("the server");
}

/// What nobody inside listens to is refused as by any host: the answers are the namespace's own.
#[test]
fn published_port_without_a_server_is_refused() {
    let fwd = Fwd::new();
    fwd.up("c1", &["-p", "8080:80", "-p", "53:53/udp"]);
    let client = at(fwd.uplink(0).outside[0], CLIENT);
    let refused = connect(fwd.internet(0), client, at(fwd.uplink(0).address, 8080)).expect_err("nobody listens");
    assert!(refused.to_string().contains("refused"), "{refused}");
    let socket = udp(fwd.internet(0), client);
    socket.connect(at(fwd.uplink(0).address, 53)).expect("a socket");
    socket.send(b"hello").expect("it leaves");
    let error = socket.recv(&mut [0; 16]).expect_err("port unreachable");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
}

/// What the host has begun itself is answered to the host, from whatever port it asked.
#[test]
fn host_that_asks_from_a_published_port_gets_its_answer() {
    let fwd = Fwd::new();
    fwd.up("c1", &["-p", "45000-45009:1-10/udp", "-p", "5000:5000/udp", "-p", "45000:45000"]);
    for port in [45_000, 5000] {
        let server = at(fwd.uplink(0).outside[0], 7000);
        let seen = echo_udp(udp(fwd.internet(0), server), 1);
        asked(&udp(fwd.host(), any(port)), server, b"hello");
        seen.join().expect("the server");
    }
    let server = at(fwd.uplink(0).outside[0], 7001);
    let seen = echo_tcp(listen(fwd.internet(0), server), 1);
    echoed(&connect(fwd.host(), any(45_000), server).expect("it is there"), b"hello");
    seen.join().expect("the server");
}

/// A program of the host that listens later takes nothing away.
#[test]
fn later_listener_of_the_host_does_not_take_a_published_port() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &["-p", "8080:80", "-p", "53:53/udp"]);
    let _tcp = listen(fwd.host(), any(8080));
    let _udp = udp(fwd.host(), any(53));
    served(&fwd, &pod, 8080, 80);
    let server = echo_udp(udp(&pod, any(53)), 1);
    asked(&udp(fwd.internet(0), at(fwd.uplink(0).outside[0], CLIENT)), at(fwd.uplink(0).address, 53), b"hello");
    server.join().expect("the server");
    let listed = fwd.list(&["port", "ls"]);
    assert!(listed.iter().all(|it| it["shadows"].as_str().is_some_and(|who| who.contains("(pid "))), "{listed:?}");
}

#[test]
fn ports_are_withdrawn_when_the_namespace_is_taken_down_and_another_can_have_them() {
    let fwd = Fwd::new();
    fwd.up("c1", &["-p", "5000:5000/udp"]);
    // Somebody keeps the records.
    fwd.up("c0", &[]);
    let client = udp(fwd.internet(0), at(fwd.uplink(0).outside[0], CLIENT));
    let address = at(fwd.uplink(0).address, 5000);
    for role in ["c1", "c2"] {
        let pod = fwd.up(role, &["-p", "5000:5000/udp"]);
        let server = echo_udp(udp(&pod, any(5000)), 1);
        // From the same port outside each time.
        asked(&client, address, role.as_bytes());
        server.join().expect("the server");
        fwd.down(role);
    }
}

/// RFC 4787 REQ-9, and lxd#2976: from namespaces of the same network and of another, and from the publishing one itself, by the host's
/// address. REQ-9a: the server sees the external address.
#[test]
fn namespaces_reach_a_published_port_by_the_hosts_address() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &["-p", "8080:80", "-p", "53:53/udp"]);
    let (neighbour, stranger) = (fwd.up("c2", &[]), fwd.up("c3", &["--network", "other"]));
    // The router is known: the capture takes its answer to the control packet's question for one to a namespace.
    assert!(pings(&pod, fwd.uplink(0).outside[0]));
    let capture = Capture::start(&fwd);
    let address = fwd.uplink(0).address;
    for client in [&pod, &neighbour, &stranger] {
        let server = echo_tcp(listen(&pod, any(80)), 1);
        let stream = connect(client, ANY, at(address, 8080)).expect("it is published");
        // More than a second, and more than one segment.
        echoed(&stream, &vec![7; 100_000]);
        drop(stream);
        assert_eq!(server.join().expect("the server")[0].ip(), address, "the external address");
        let server = echo_udp(udp(&pod, any(53)), 1);
        asked(&udp(client, ANY), at(address, 53), b"hello");
        assert_eq!(server.join().expect("the server")[0].ip(), address);
        connect(client, ANY, at(address, 8081)).expect_err("it is not published");
    }
    capture.assert_empty();
    fwd.ok(&["port", "rm", &pod.name, "-p", "8080:80"]);
    connect(&neighbour, ANY, at(address, 8080)).expect_err("it is published no more");
}

/// RFC 5508 REQ-7: errors about packets of two flows, one behind the other, reach who has sent them; also where both ends are the same namespace.
#[test]
fn errors_about_hairpinned_packets_reach_who_sent_them() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &["-p", "53:53/udp"]);
    let (neighbour, stranger) = (fwd.up("c2", &[]), fwd.up("c3", &["--network", "other"]));
    // As above, for the capture.
    assert!(pings(&pod, fwd.uplink(0).outside[0]));
    let capture = Capture::start(&fwd);
    let address = at(fwd.uplink(0).address, 53);
    for (name, ns) in [("itself", &pod), ("a neighbour", &neighbour), ("another network", &stranger)] {
        let client = udp(ns, ANY);
        client.connect(address).expect("a socket");
        assert_refused(&client);
        // The same flows the other way: the server answers a client that has gone.
        let server = udp(&pod, any(53));
        client.send(b"hello").expect("it leaves");
        let (_, from) = server.recv_from(&mut [0; 16]).unwrap_or_else(|error| panic!("from {name}: {error}"));
        assert_eq!(from.ip(), *address.ip());
        server.connect(from).expect("a socket");
        drop(client);
        assert_refused(&server);
    }
    capture.assert_empty();
}

#[test]
fn restricted_port_is_for_those_alone_to_whom_it_is_published() {
    let fwd = Fwd::new();
    let own = fwd.uplink(0).address;
    let [one, two] = [fwd.uplink(0).outside[0], fwd.uplink(0).outside[1]];
    let from = format!("{one},10.77.0.3/32");
    let pod = fwd.up("c1", &["-p", "8080:80", "-p", "8000-8009:80-89", "--publish-from", &from]);
    let (friend, stranger) = (fwd.up("c2", &["--ip", "10.77.0.3"]), fwd.up("c3", &["--ip", "10.77.0.4"]));
    let connects = |ns: &Netns, local, port| connect(ns, local, at(own, port)).is_ok();
    let _server = listen(&pod, any(80));
    assert!(connects(fwd.internet(0), at(one, CLIENT), 8080) && connects(fwd.internet(0), at(one, CLIENT + 1), 8000));
    assert!(connects(&friend, ANY, 8080) && !connects(&stranger, ANY, 8080));
    assert_eq!(fwd.counted("from_uplink", "dropped", Some("NotPublishedTo")), 0);
    // He gets no answer, and is not waited for.
    assert!(fwd.internet(0).run(|| Ok(knock(at(two, CLIENT), at(own, 8080)))).expect("a thread"), "it leaves");
    let dropped = || Ok((fwd.counted("from_uplink", "dropped", Some("NotPublishedTo")) != 0).then_some(()));
    wait_until(crate::peers::PATIENCE, "it is dropped", dropped).expect("it is");
    let listed = fwd.list(&["port", "ls"]);
    assert_eq!(listed[0]["senders"], json!(["10.77.0.3/32", format!("{one}/32")]));
    assert_eq!(listed[0]["published"], json!("8000-8009:80-89/tcp"));
    let again = ["port", "add", &pod.name, "-p", "8080:80", "--publish-from", &from];
    assert_eq!(fwd.json(&again)["changed"], false);
    fwd.expect_error(&["port", "add", &pod.name, "-p", "8080:80"], 4, &["from 10.77.0.3/32", "-p 8080:80/tcp`"]);
    fwd.ok(&["port", "rm", &pod.name, "-p", "8080:80"]);
    fwd.ok(&["port", "add", &pod.name, "-p", "8080:80"]);
    assert!(connects(fwd.internet(0), at(two, CLIENT), 8080), "nobody is kept out any more");
}
