//! Rules about whom a namespace speaks with: to the outside, with neighbours, and by published ports.

use std::net::SocketAddrV4;

use serde_json::Value;

use crate::{
    commands::{assert_as_before, assert_reaches_outside, snapshot},
    fwd::{Fwd, answers, number, pings},
    peers::{ANY, any, asked, assert_refused, at, connect, echo_tcp, echo_udp, echoed, listen, udp},
    policy::{connects, ends, rules, servers},
};

#[test]
fn namespace_begins_only_what_its_rules_allow() {
    for datapath in ["tc", "xdp", "kernel"] {
        let fwd = Fwd::new();
        let before = snapshot(&fwd);
        let [one, two] = servers(&fwd, 7070);
        let _listeners = [one, two].map(|server| listen(fwd.internet(0), server));
        let allowed = format!("{}:7070/tcp", one.ip());
        let pod = fwd.up("c1", &["--datapath", datapath, "--allow-out", &allowed]);
        let other = fwd.up("c2", &["--datapath", datapath]);
        assert!(connects(&pod, one), "{datapath}: it is allowed");
        assert!(!connects(&pod, two) && !answers(&pod, *one.ip()), "{datapath}: nothing else is");
        assert!(pings(&pod, pod.gateway), "the host is reached as ever");
        assert_reaches_outside(&fwd, &other);
        let shown = fwd.json(&["inspect", &pod.name]);
        assert!(number(&shown["others_out_refused"]) >= 2 && shown["others_in_refused"] == Value::Null, "{shown}");
        assert_eq!(rules(&fwd, &pod), [(format!("allow-out {allowed}"), 0)]);
        assert!(datapath == "kernel" || fwd.counted("from_ns", "dropped", Some("DeniedOut")) >= 2);
        assert_eq!(fwd.up("c1", &[]).shown["changed"], false, "what is not said stays");
        fwd.ok(&["down", "--all"]);
        assert_as_before(&fwd, &before);
    }
}

#[test]
fn most_specific_rule_counts_and_counts_what_it_refuses() {
    let fwd = Fwd::new();
    let [one, two] = servers(&fwd, 7070);
    let _listeners = [one, two].map(|server| listen(fwd.internet(0), server));
    let (all, host) = ("0.0.0.0/0:7000-7999", format!("{}:7070/tcp", two.ip()));
    let pod = fwd.up("c1", &["--deny-out", all, "--allow-out", &host, "--allow-out", "0.0.0.0/0"]);
    assert!(!connects(&pod, one) && connects(&pod, two) && pings(&pod, *one.ip()));
    let denied = rules(&fwd, &pod).into_iter().find(|(rule, _)| rule.starts_with("deny")).expect("a rule");
    assert!(denied.0 == format!("deny-out {all}") && denied.1 > 0, "{denied:?}");
}

#[test]
fn published_port_lets_in_whom_the_rules_allow() {
    let fwd = Fwd::new();
    let [one, two] = servers(&fwd, 0);
    let pod = fwd.up("c1", &["-p", "8080:80", "--allow-in", &format!("{}:80/tcp", one.ip())]);
    let _server = echo_tcp(listen(&pod, any(80)), 1);
    let published = at(fwd.uplink(0).address, 8080);
    echoed(&connect(fwd.internet(0), one, published).expect("it is let in"), b"hello");
    assert!(!from(&fwd, two, published), "it is not");
    assert!(fwd.counted("from_uplink", "dropped", Some("DeniedIn")) > 0);
    assert_reaches_outside(&fwd, &pod);
}

/// By a port of the host namespaces are who they are: neither is hidden behind its address.
#[test]
fn published_port_is_no_way_around_the_rules_for_neighbours() {
    let fwd = Fwd::new();
    let client = fwd.up("c1", &[]);
    let stranger = fwd.up("c2", &[]);
    let server = fwd.up("c3", &["-p", "8080:80", "--allow-in", &format!("{}:80", client.address)]);
    let bound = fwd.up("c4", &["--deny-out", &format!("{}:80/tcp", server.address)]);
    let _server = echo_tcp(listen(&server, any(80)), 1);
    let published = at(fwd.uplink(0).address, 8080);
    let stream = connect(&client, ANY, published).expect("it is let in");
    echoed(&stream, b"hello");
    assert!(!connects(&stranger, published), "the stranger is not");
    assert!(fwd.counted("from_ns", "dropped", Some("DeniedIn")) > 0);
    assert!(!connects(&bound, published), "nor goes out who must not");
    assert!(fwd.counted("from_ns", "dropped", Some("DeniedOut")) > 0);
    // What goes on ends with its rule, and cannot begin anew.
    fwd.up("c3", &["--deny-in", &client.address.to_string()]);
    ends(&stream);
    assert!(!connects(&client, published));
}

/// Whether a connection from an address outside comes about.
fn from(fwd: &Fwd, local: SocketAddrV4, to: SocketAddrV4) -> bool {
    const PROGRAM: &str =
        "import socket, sys; socket.create_connection((sys.argv[2], int(sys.argv[3])), 1, (sys.argv[1], 0))";
    let words = [local.ip().to_string(), to.ip().to_string(), to.port().to_string()];
    let argv = ["python3", "-c", PROGRAM, &words[0], &words[1], &words[2]];
    crate::fwd::try_inside(fwd.internet(0), &argv).status.success()
}

#[test]
fn neighbours_begin_only_what_the_rules_at_both_ends_allow_and_are_answered() {
    let fwd = Fwd::new();
    let client = fwd.up("c1", &["--deny-in", "0.0.0.0/0"]);
    let server = fwd.up("c2", &["--allow-in", &format!("{}:7070", client.address)]);
    let stranger = fwd.up("c3", &[]);
    let _echo = echo_tcp(listen(&server, any(7070)), 1);
    let _other = listen(&server, any(7071));
    let _inside = listen(&client, any(7070));
    let datagrams = echo_udp(udp(&server, any(7070)), 1);
    echoed(&connect(&client, ANY, at(server.address, 7070)).expect("it is let in"), b"hello");
    asked(&udp(&client, ANY), at(server.address, 7070), b"hello");
    assert!(!connects(&client, at(server.address, 7071)), "the port is not allowed");
    assert!(!connects(&stranger, at(server.address, 7070)), "nor is the stranger");
    assert!(!connects(&server, at(client.address, 7070)), "what is denied is denied to whom one speaks with, too");
    assert!(!answers(&stranger, server.address) && !answers(&stranger, client.address));
    assert!(fwd.counted("from_ns", "dropped", Some("DeniedIn")) >= 4);
    drop(datagrams);
    // Without rules all of them are neighbours as before.
    fwd.up("c1", &["--deny-in", "none"]);
    assert!(connects(&server, at(client.address, 7070)) && pings(&stranger, client.address));
    fwd.up("c2", &["--allow-in", "none"]);
    assert!(pings(&stranger, server.address));
}

/// Of ICMP: who was pinged may answer, and not ping; an error about what one has sent comes back.
#[test]
fn messages_belong_to_what_they_answer() {
    let fwd = Fwd::new();
    let closed = fwd.up("c1", &["--deny-in", "any"]);
    let open = fwd.up("c2", &[]);
    assert!(pings(&closed, open.address), "it may ask");
    assert!(!answers(&open, closed.address), "it may not be asked");
    let socket = udp(&closed, ANY);
    socket.connect(at(open.address, 9)).expect("a socket");
    assert_refused(&socket);
    assert_eq!(
        rules(&fwd, &closed).iter().map(|(_, refused)| refused).max(),
        Some(&1),
        "of all that one ping was refused"
    );
}

#[test]
fn rules_that_would_not_hold_are_refused() {
    let fwd = Fwd::new();
    let name = fwd.name("c1");
    let refused = |options: &[&str], words: &[&str]| {
        fwd.expect_error(&[&["up", "--ns", &name][..], options].concat(), 2, words);
    };
    refused(&["--deny-out", "10.0.0.1/8"], &["--deny-out", "10.0.0.0/8"]);
    refused(&["--deny-out", "none", "--allow-in", "10.0.0.0/8"], &["takes all rules away"]);
    let many: Vec<String> = (1..=16).map(|port| format!("192.0.2.7:{port}")).collect();
    let many: Vec<&str> = many.iter().flat_map(|rule| ["--deny-out", rule]).collect();
    refused(&many, &["32 rules", "31"]);
}
