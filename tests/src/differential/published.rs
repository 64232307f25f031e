//! Published ports: from outside, from namespaces, and from the host.

use std::net::{Ipv4Addr, SocketAddr};

use forwarder::netns::Netns;

use super::{Conversation, scenario::Scenario};
use crate::{
    fwd::answers,
    peers::{ANY, any, asked, at, connect, echo_tcp, echo_udp, echoed, listen, udp},
    policy,
};

pub(super) const CONVERSATIONS: &[Conversation] = &[
    ("published tcp", tcp),
    ("published udp", datagrams),
    ("published range", range),
    ("published at one address", one_address),
    ("published to some", restricted),
    ("published and withdrawn", withdrawn),
    ("published apart from neighbours", apart),
];

fn publish(scenario: &Scenario, options: &[&str]) {
    scenario.fwd.ok(&[&["port", "add", scenario.one.name.as_str()], options].concat());
}

/// Whoever may want a port of the host: from where, in words.
fn clients(scenario: &Scenario) -> [(&'static str, &Netns, Ipv4Addr); 4] {
    let any = Ipv4Addr::UNSPECIFIED;
    let outside = scenario.outside;
    let (one, two, host) = (&*scenario.one, &*scenario.two, &**scenario.fwd.host());
    [("outside", scenario.internet(), outside), ("neighbour", two, any), ("itself", one, any), ("host", host, any)]
}

/// Whom the server sees.
fn seen(scenario: &Scenario, client: SocketAddr) -> String {
    match client {
        SocketAddr::V4(client) => scenario.role(*client.ip()),
        SocketAddr::V6(client) => client.to_string(),
    }
}

/// A connection to a port of the host: whom the server sees, or why there is none.
fn connects(scenario: &Scenario, (ns, from): (&Netns, Ipv4Addr), to: (Ipv4Addr, u16)) -> String {
    match connect(ns, at(from, 0), at(to.0, to.1)) {
        Ok(stream) => {
            echoed(&stream, &vec![7; 50_000]);
            format!("{:?}", stream.peer_addr().map(|peer| (peer.port(), seen(scenario, peer))))
        }
        Err(error) => format!("none: {}", error.to_string().contains("refused")),
    }
}

fn tcp(scenario: &Scenario) -> Vec<String> {
    publish(scenario, &["-p", "8080:80"]);
    let own = scenario.fwd.uplink(0).address;
    let clients = clients(scenario);
    let server = echo_tcp(listen(&scenario.one, any(80)), clients.len() - 1);
    // Of what the host says itself, each data path has an address of its own choice.
    let through =
        clients[..3].iter().map(|(who, ns, from)| format!("{who}: {}", connects(scenario, (ns, *from), (own, 8080))));
    let mut lines: Vec<String> = through.collect();
    let servers = server.join().expect("the server");
    lines.extend(servers.into_iter().map(|client| format!("the server sees {}", seen(scenario, client))));
    let server = echo_tcp(listen(&scenario.one, any(80)), 1);
    let (who, ns, from) = clients[3];
    let cgroup = scenario.fwd.cgroup().expect("this machine has cgroup2");
    let script = format!(
        "import socket; s = socket.create_connection((\"{own}\", 8080)); s.send(b\"x\"); print(s.recv(9), s.getpeername()[1])"
    );
    let command = forwarder::testbed::command_in_cgroup(ns, cgroup, &["python3", "-c", &script]);
    let said = forwarder::testbed::run(command, crate::fwd::LIMIT).expect("it ends").success().expect("it is answered");
    lines.push(format!("{who} {from}: {}", said.stdout.trim()));
    server.join().expect("the server");
    lines
}

fn datagrams(scenario: &Scenario) -> Vec<String> {
    publish(scenario, &["-p", "53:5353/udp"]);
    let own = scenario.fwd.uplink(0).address;
    let mut lines = Vec::new();
    for (who, ns, from) in &clients(scenario)[..3] {
        let server = echo_udp(udp(&scenario.one, any(5353)), 1);
        asked(&udp(ns, at(*from, 0)), at(own, 53), b"who is there?");
        lines.push(format!("{who} is {}", seen(scenario, server.join().expect("the server")[0])));
    }
    lines
}

fn range(scenario: &Scenario) -> Vec<String> {
    publish(scenario, &["-p", "9000-9099:9000-9099"]);
    let own = scenario.fwd.uplink(0).address;
    let talk = |port| {
        let server = echo_tcp(listen(&scenario.one, any(port)), 1);
        let said = connects(scenario, (scenario.internet(), scenario.outside), (own, port));
        server.join().expect("the server");
        said
    };
    let mut lines: Vec<String> = [9000, 9050, 9099].into_iter().map(talk).collect();
    lines.push(connects(scenario, (scenario.internet(), scenario.outside), (own, 9100)));
    lines
}

fn one_address(scenario: &Scenario) -> Vec<String> {
    let (own, other) =
        (scenario.fwd.uplink(0).address, Ipv4Addr::from(u32::from(scenario.fwd.uplink(0).address) + 100));
    scenario.fwd.on_host(&["ip", "address", "add", &format!("{other}/24"), "dev", "eth0"]);
    publish(scenario, &["-p", &format!("{other}:7070:70")]);
    let server = echo_tcp(listen(&scenario.one, any(70)), 1);
    let outside = (scenario.internet(), scenario.outside);
    let lines = vec![connects(scenario, outside, (other, 7070)), connects(scenario, outside, (own, 7070))];
    server.join().expect("the server");
    lines
}

fn restricted(scenario: &Scenario) -> Vec<String> {
    publish(scenario, &["-p", "6060:60", "--publish-from", &format!("{}/32", scenario.outside)]);
    let own = scenario.fwd.uplink(0).address;
    let server = echo_tcp(listen(&scenario.one, any(60)), 1);
    let lines = vec![
        connects(scenario, (scenario.internet(), scenario.outside), (own, 6060)),
        connects(scenario, (&scenario.two, Ipv4Addr::UNSPECIFIED), (own, 6060)),
    ];
    server.join().expect("the server");
    lines
}

fn withdrawn(scenario: &Scenario) -> Vec<String> {
    publish(scenario, &["-p", "5050:50"]);
    scenario.fwd.ok(&["port", "rm", &scenario.one.name, "-p", "5050:50"]);
    let _server = listen(&scenario.one, any(50));
    let own = scenario.fwd.uplink(0).address;
    vec![
        connects(scenario, (scenario.internet(), scenario.outside), (own, 5050)),
        connects(scenario, (&scenario.two, ANY.ip().to_owned()), (own, 5050)),
    ]
}

/// A port of a network whose namespaces do not reach each other leads them to it all the same, by the host's address alone.
fn apart(scenario: &Scenario) -> Vec<String> {
    let up = |role, options: &[&str]| {
        let network = ["--network", "apart", "--no-icc", "--datapath", scenario.datapath];
        scenario.fwd.up(role, &[&network[..], options].concat())
    };
    let (server, client) = (up("c3", &["-p", "8181:81"]), up("c4", &[]));
    let _listener = listen(&server, any(81));
    let own = scenario.fwd.uplink(0).address;
    let reached = |filtered: u8| {
        scenario.fwd.on_host(&["sysctl", "-qw", &format!("net.bridge.bridge-nf-call-iptables={filtered}")]);
        let [neighbour, itself] = [&client, &server].map(|pod| policy::connects(pod, at(own, 8181)));
        let straight = answers(&client, server.address) || policy::connects(&client, at(server.address, 81));
        let bridge = if filtered == 1 { "calls netfilter" } else { "does not" };
        format!("the bridge {bridge}: neighbour {neighbour}, itself {itself}, straight {straight}")
    };
    vec![reached(0), reached(1)]
}
