//! Rules that change while conversations go on: what they forbid by now ends, and nothing else.

use forwarder::testbed::wait_until;
use serde_json::json;

use crate::{
    fwd::{Fwd, LIMIT},
    peers::{ANY, any, asked, at, connect, echo_tcp, echo_udp, echoed, listen, udp},
    policy::{connects, ends, rules, servers},
};

#[test]
fn changed_rule_ends_the_flows_that_it_forbids_and_no_others() {
    let fwd = Fwd::new();
    let [one, two] = servers(&fwd, 7070);
    let pod = fwd.up("c1", &[]);
    let servers = [one, two].map(|server| echo_tcp(listen(fwd.internet(0), server), 1));
    let streams = [one, two].map(|server| connect(&pod, ANY, server).expect("it is reached"));
    streams.iter().for_each(|stream| echoed(stream, b"before"));
    let rule = format!("{}/tcp", one.ip());
    assert_eq!(fwd.up("c1", &["--deny-out", &rule]).shown["changed"], true);
    assert_eq!(fwd.list(&["flows"]).len(), 1, "that flow has ended with the command");
    ends(&streams[0]);
    echoed(&streams[1], b"after");
    assert!(rules(&fwd, &pod)[0].1 > 0);
    assert_eq!(fwd.up("c1", &["--deny-out", "none"]).shown["rules"], json!([]));
    assert!(connects(&pod, two));
    drop(streams);
    drop(servers);
}

/// Nothing comes from inside with which the rules would be asked again.
#[test]
fn changed_rule_ends_what_only_the_outside_speaks() {
    let fwd = Fwd::new();
    let [one, two] = servers(&fwd, 9999);
    let pod = fwd.up("c1", &["-p", "5353:53/udp"]);
    let silent = udp(&pod, any(53));
    let senders = [one, two].map(|local| udp(fwd.internet(0), local));
    let published = at(fwd.uplink(0).address, 5353);
    let comes = |from: usize| {
        senders[from].send_to(&[from as u8], published).expect("it leaves");
        silent.set_read_timeout(Some(std::time::Duration::from_millis(100))).expect("a socket");
        let mut buffer = [9; 8];
        Ok((silent.recv(&mut buffer).is_ok() && usize::from(buffer[0]) == from).then_some(()))
    };
    for from in [0, 1] {
        wait_until(LIMIT, "it comes", || comes(from)).unwrap_or_else(|error| panic!("{error}"));
    }
    fwd.up("c1", &["--deny-in", &one.ip().to_string()]);
    silent.set_nonblocking(true).expect("a socket");
    while silent.recv(&mut [0; 8]).is_ok() {}
    silent.set_nonblocking(false).expect("a socket");
    for _ in 0..3 {
        senders[0].send_to(&[0], published).expect("it leaves");
    }
    let refused = || Ok((fwd.counted("from_uplink", "dropped", Some("DeniedIn")) >= 3).then_some(()));
    wait_until(LIMIT, "all are dropped", refused).unwrap_or_else(|error| panic!("{error}"));
    assert!(comes(0).expect("it leaves").is_none(), "nothing has come");
    wait_until(LIMIT, "the other goes on", || comes(1)).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn changed_rule_ends_what_neighbours_speak_and_spares_what_is_older_than_it() {
    let fwd = Fwd::new();
    let (client, server) = (fwd.up("c1", &[]), fwd.up("c2", &[]));
    let servers = [7070, 7071].map(|port| echo_tcp(listen(&server, any(port)), 1));
    let datagrams = echo_udp(udp(&server, any(7072)), 2);
    let streams = [7070, 7071].map(|port| connect(&client, ANY, at(server.address, port)).expect("it is reached"));
    let socket = udp(&client, ANY);
    streams.iter().for_each(|stream| echoed(stream, b"before"));
    asked(&socket, at(server.address, 7072), b"before");
    // Of these nothing was noted.
    fwd.up("c2", &["--allow-in", &format!("{}:7070-7072", client.address)]);
    streams.iter().for_each(|stream| echoed(stream, b"still"));
    asked(&socket, at(server.address, 7072), b"still");
    fwd.up("c2", &["--allow-in", &format!("{}:7071-7072", client.address), "--deny-out", "any"]);
    ends(&streams[0]);
    echoed(&streams[1], b"after");
    assert!(!connects(&server, at(client.address, 7070)));
    drop((streams, servers, datagrams));
}
