//! `--flows east-west`: what neighbours speak is shown like what they speak with the outside.

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};

use forwarder::testbed::{TestbedSpec, wait_until};
use serde_json::{Value, json};

use crate::{
    flows::{HEADERS, flow, traffic},
    fwd::{Fwd, LIMIT, Pod, inside, pings},
    ipv6::address6,
    peers::{ANY, any, at, connect, echo_tcp, echoed, listen, udp},
};

/// What its network counts is told wherever that is shown.
#[track_caller]
fn assert_is_told(fwd: &Fwd, pod: &Pod) {
    assert_eq!(pod.shown["east_west"], true);
    assert!(fwd.ok(&["inspect", &pod.name]).contains("flows east-west"));
    assert!(fwd.ok(&["network", "ls"]).contains("flows east-west"));
    assert!(fwd.ok(&["export"]).contains("flows = \"east-west\""));
}

#[test]
fn what_neighbours_speak_is_counted_to_the_byte_where_their_network_wants_it() {
    let fwd = Fwd::with(&TestbedSpec { ipv6: true, ..TestbedSpec::default() });
    let [one, other] = ["c1", "c2"].map(|role| fwd.up(role, &["--flows", "east-west"]));
    assert_is_told(&fwd, &one);
    let (client, server) = (udp(&one, ANY), udp(&other, any(7000)));
    let mut buffer = [0; 2048];
    for _ in 0..10 {
        client.send_to(&[7; 100], at(other.address, 7000)).expect("it leaves");
        server.recv(&mut buffer).expect("it arrives");
    }
    let port = client.local_addr().expect("a socket").port();
    let half = flow(&fwd, &one, "udp");
    assert_eq!((half["state"].as_str(), traffic(&half)), (Some("half-open"), [10, 10 * (100 + HEADERS), 0, 0]));
    for _ in 0..7 {
        server.send_to(&[7; 900], at(one.address, port)).expect("it leaves");
        client.recv(&mut buffer).expect("it arrives");
    }
    // It is of both, and shown as the flow of who began it.
    for pod in [&one, &other] {
        let flow = flow(&fwd, pod, "udp");
        assert_eq!(traffic(&flow), [10, 10 * (100 + HEADERS), 7, 7 * (900 + HEADERS)], "{flow:#}");
        for (key, value) in [
            ("network", json!("fwd0")),
            ("ns", json!(one.name)),
            ("src_addr", json!(one.address)),
            ("src_port", json!(port)),
            ("dst_addr", json!(other.address)),
            ("dst_port", json!(7000)),
            ("nat_addr", Value::Null),
            ("nat_port", Value::Null),
            ("state", json!("established")),
        ] {
            assert_eq!(flow[key], value, "{key} in {flow:#}");
        }
    }

    inside(&other, &["ping", "-n", "-q", "-c", "3", "-i", "0.1", "-s", "100", &one.address.to_string()]);
    let ping = flow(&fwd, &one, "icmp");
    assert_eq!((&ping["ns"], traffic(&ping)), (&json!(other.name), [3, 3 * (100 + HEADERS), 3, 3 * (100 + HEADERS)]));
    assert!(ping["icmp_id"].is_u64() && ping["src_port"].is_null(), "{ping:#}");

    // The whole of a TCP connection, its segments as on the wire.
    let served = echo_tcp(listen(&other, any(7100)), 1);
    let stream = connect(&one, ANY, at(other.address, 7100)).expect("it connects");
    echoed(&stream, &[7; 100_000]);
    let open = flow(&fwd, &one, "tcp");
    assert_eq!(open["state"], "established");
    let [sent, bytes, received, back] = traffic(&open);
    assert!(sent >= 100_000 / 1448 && received >= 100_000 / 1448 && bytes >= 100_000 && back >= 100_000, "{open:#}");
    drop(stream);
    served.join().expect("the server");
    let closes = || Ok((flow(&fwd, &one, "tcp")["state"] == "closing").then_some(()));
    wait_until(LIMIT, "both ends have finished", closes).unwrap_or_else(|error| panic!("{error}"));

    // And of IPv6.
    let [from, to] = [&one, &other].map(address6);
    let server = udp(&other, SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, 7200, 0, 0));
    let client = udp(&one, SocketAddr::from((from, 0)));
    client.send_to(&[7; 100], SocketAddr::from((to, 7200))).expect("it leaves");
    server.recv(&mut buffer).expect("it arrives");
    let flows = fwd.list(&["flows", "--ns", &other.name]);
    let found = flows.iter().find(|flow| flow["dst_port"] == 7200).unwrap_or_else(|| panic!("{flows:#?}"));
    assert_eq!((&found["dst_addr"], traffic(found)), (&json!(to), [1, 148, 0, 0]), "{found:#}");

    // What somebody spoke who is gone is nobody's.
    fwd.down("c1");
    assert_eq!(fwd.list(&["flows", "--ns", &other.name]).iter().filter(|flow| flow["ns"] == one.name).count(), 0);
}

/// What is only counted takes no room from what rules go by.
#[test]
fn flood_that_is_counted_keeps_no_answer_from_who_has_rules() {
    let fwd = Fwd::new();
    let (client, server) = (fwd.up("c1", &["--deny-in", "0.0.0.0/0"]), fwd.up("c2", &[]));
    let counted = ["--network", "web", "--flows", "east-west"];
    let [loud, target] = ["c3", "c4"].map(|role| fwd.up(role, &counted));
    let (asks, answers) = (udp(&client, ANY), udp(&server, any(7000)));
    asks.send_to(b"hello", at(server.address, 7000)).expect("it leaves");
    let mut buffer = [0; 64];
    let (_, asker) = answers.recv_from(&mut buffer).expect("it arrives");
    let socket = udp(&loud, ANY);
    // Thrice, as the hash gives what was looked up a second chance; what finds no room in a queue is lost, and is not needed.
    for port in (1_000..40_000).flat_map(|port| [port; 3]) {
        drop(socket.send_to(b"noise", at(target.address, port)));
    }
    assert!(fwd.list(&["flows", "--ns", &loud.name]).len() > 10_000, "it is a flood");
    answers.send_to(b"hello yourself", asker).expect("it leaves");
    let length = asks.recv(&mut buffer).expect("it is let in");
    assert_eq!(&buffer[..length], b"hello yourself");
    // Rules that come later take over what they admit, and end the rest.
    let (other, refused) = (udp(&target, any(900)), udp(&target, any(901)));
    for port in [900, 901] {
        socket.send_to(b"hello", at(target.address, port)).expect("it leaves");
    }
    let (_, asker) = other.recv_from(&mut buffer).expect("it arrives");
    refused.recv_from(&mut buffer).expect("it arrives");
    let rules = ["--deny-in", "0.0.0.0/0", "--deny-out", &format!("{}:901", target.address)];
    fwd.up("c3", &rules);
    refused.send_to(b"too late", asker).expect("it leaves");
    other.send_to(b"at last", asker).expect("it leaves");
    let length = socket.recv(&mut buffer).expect("it is let in");
    assert_eq!(&buffer[..length], b"at last");
}

#[test]
fn nothing_between_neighbours_is_shown_where_nobody_asked_for_it() {
    const CONFLICT: i32 = 4;
    const UNSUPPORTED: i32 = 5;
    let fwd = Fwd::new();
    let pods = [fwd.up("c1", &[]), fwd.up("c2", &[])];
    assert!(pings(&pods[0], pods[1].address));
    assert_eq!(fwd.list(&["flows"]), [Value::Null; 0]);
    assert_eq!(pods[0].shown["east_west"], false);
    let ns = fwd.name("c3");
    fwd.expect_error(&["up", "--ns", &ns, "--flows", "east-west"], CONFLICT, &["neighbours", "--network"]);
    let kernel = ["network", "add", "web", "--flows", "east-west", "--datapath", "kernel"];
    fwd.expect_error(&kernel, UNSUPPORTED, &["--flows east-west", "--datapath tc"]);
    // Who has rules has them for it already.
    fwd.up("c1", &["--deny-out", "192.0.2.0/24"]);
    assert!(pings(&pods[0], pods[1].address));
    assert!(fwd.list(&["flows"]).iter().any(|flow| flow["proto"] == "icmp" && flow["nat_addr"].is_null()));
}
