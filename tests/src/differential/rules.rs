//! Rules about whom a namespace speaks with: of every kind, and while conversations go on.

use std::net::{Ipv4Addr, SocketAddrV4};

use super::{Conversation, scenario::Scenario};
use crate::{
    fwd::{Pod, answers, pings},
    peers::{ANY, any, asked, at, connect, echo_tcp, echo_udp, echoed, listen, udp},
    policy::{connects, ends, rules},
};

pub(super) const CONVERSATIONS: &[Conversation] = &[
    ("rules about what is outside", outside),
    ("rules of both neighbours", neighbours),
    ("rules and a published port", published),
    ("a rule that changes", changed),
];

/// What two ports of TCP and one of UDP of a server say, and a ping.
fn reached(pod: &Pod, server: Ipv4Addr) -> String {
    let [one, two] = [7500, 7501].map(|port| connects(pod, at(server, port)));
    format!("7500 {one}, 7501 {two}, ping {}", pings(pod, server))
}

fn outside(scenario: &Scenario) -> Vec<String> {
    let (fwd, server) = (&scenario.fwd, scenario.outside);
    let _servers = [7500, 7501].map(|port| listen(scenario.internet(), at(server, port)));
    let only = format!("{server}:7500/tcp");
    let options: &[&[&str]] = &[
        &["--allow-out", &only],
        &["--deny-out", &only],
        &["--deny-out", "0.0.0.0/0:7000-7999", "--allow-out", &only, "--allow-out", "any"],
        &["--deny-out", "any/icmp"],
        &["--deny-in", "any"],
    ];
    let said = |options: &&[&str]| {
        let pod = fwd.up("c3", options);
        let reached = reached(&pod, server);
        let counts: Vec<String> =
            rules(fwd, &pod).into_iter().map(|(rule, refused)| format!("{rule}: {}", refused > 0)).collect();
        let others = fwd.json(&["inspect", &pod.name])["others_out_refused"].as_u64().is_some_and(|count| count > 0);
        format!("{reached}; {}; others {others}", counts.join(", ").replace(&server.to_string(), "outside"))
    };
    let mut lines: Vec<String> = options.iter().map(said).collect();
    fwd.up("c3", &["--deny-in", "none"]);
    lines.push(reached(&fwd.up("c3", &[]), server));
    lines
}

fn neighbours(scenario: &Scenario) -> Vec<String> {
    let (fwd, stranger) = (&scenario.fwd, &scenario.two);
    let client = fwd.up("c4", &["--deny-in", "0.0.0.0/0"]);
    let server = fwd.up("c5", &["--allow-in", &format!("{}:7070", client.address)]);
    let _echo = echo_tcp(listen(&server, any(7070)), 1);
    let _other = listen(&server, any(7071));
    let _inside = listen(&client, any(7070));
    let datagrams = echo_udp(udp(&server, any(7070)), 1);
    echoed(&connect(&client, ANY, at(server.address, 7070)).expect("it is let in"), b"hello");
    asked(&udp(&client, ANY), at(server.address, 7070), b"hello");
    drop(datagrams);
    let to = |from: &Pod, to: SocketAddrV4| connects(from, to);
    let mut lines = vec![
        format!("another port: {}", to(&client, at(server.address, 7071))),
        format!("a stranger: {}", to(stranger, at(server.address, 7070))),
        format!("the other way: {}", to(&server, at(client.address, 7070))),
        format!("pings: {} {}", answers(stranger, server.address), answers(stranger, client.address)),
        format!("the gateway: {}", pings(&server, server.gateway)),
    ];
    fwd.up("c4", &["--deny-in", "none"]);
    fwd.up("c5", &["--allow-in", "none"]);
    let (in_client, in_server) = (to(&server, at(client.address, 7070)), pings(stranger, server.address));
    lines.push(format!("without rules: {in_client} {in_server}"));
    lines
}

fn published(scenario: &Scenario) -> Vec<String> {
    let (fwd, client, stranger) = (&scenario.fwd, &scenario.one, &scenario.two);
    let allowed = [format!("{}:80", client.address), format!("{}:80/tcp", scenario.outside)];
    let server = fwd.up("c6", &["-p", "8086:80", "--allow-in", &allowed[0], "--allow-in", &allowed[1]]);
    let bound = fwd.up("c7", &["--deny-out", &format!("{}:80/tcp", server.address)]);
    let _server = echo_tcp(listen(&server, any(80)), 2);
    let port = at(fwd.uplink(0).address, 8086);
    echoed(&connect(scenario.internet(), at(scenario.outside, 0), port).expect("who is outside is let in"), b"hello");
    let stream = connect(client, ANY, port).expect("a neighbour, too");
    echoed(&stream, b"hello");
    let mut lines = vec![format!("who is not allowed: {} {}", connects(stranger, port), connects(&bound, port))];
    fwd.up("c6", &["--deny-in", &client.address.to_string()]);
    ends(&stream);
    lines.push(format!("denied by now: {}", connects(client, port)));
    lines
}

fn changed(scenario: &Scenario) -> Vec<String> {
    let fwd = &scenario.fwd;
    let pod = fwd.up("c8", &["--deny-out", "192.0.2.77"]);
    let servers = [7600, 7601].map(|port| at(scenario.outside, port));
    let _echoes = servers.map(|server| echo_tcp(listen(scenario.internet(), server), 1));
    let streams = servers.map(|server| connect(&pod, ANY, server).expect("it is reached"));
    streams.iter().for_each(|stream| echoed(stream, b"before"));
    let rule = format!("{}:7600", scenario.outside);
    fwd.up("c8", &["--deny-out", &rule, "--deny-out", "192.0.2.77"]);
    ends(&streams[0]);
    echoed(&streams[1], b"after");
    let refused = |place: usize| rules(fwd, &pod)[place].1;
    let before = refused(0).max(refused(1));
    // What stays goes on counting.
    fwd.up("c8", &["--deny-out", &rule]);
    vec![format!("counted: {}, and kept: {}", before > 0, refused(0) >= before)]
}
