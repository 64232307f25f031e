//! Namespaces among themselves, the host, and who should not get through.

use std::{net::Ipv4Addr, time::Duration};

use forwarder::netns::Netns;

use super::{Conversation, scenario::Scenario};
use crate::{
    fwd::{answers, inside, pings},
    packet::{ICMP, TCP, UDP},
    peers::{ANY, any, at, connect, echo_tcp, echo_udp, echoed, listen, udp},
    raw,
};

pub(super) const CONVERSATIONS: &[Conversation] = &[
    ("namespace to namespace", between),
    ("namespace to host", to_host),
    ("host to namespace", from_host),
    ("outside straight to a namespace", straight),
    ("another source of the network", |scenario| spoofed(scenario, [10, 77, 0, 99].into())),
    ("a source of nobody", |scenario| spoofed(scenario, [192, 0, 2, 77].into())),
];

fn tcp_echo(scenario: &Scenario, client: &Netns, server: &Netns, address: Ipv4Addr, port: u16) -> String {
    let clients = echo_tcp(listen(server, any(port)), 1);
    echoed(&connect(client, ANY, at(address, port)).expect("it connects"), &[7; 2000]);
    let seen = clients.join().expect("the server");
    let source = seen.iter().map(|from| from.ip().to_string().parse().expect("an IPv4 address"));
    format!("tcp: the server saw {}", source.map(|address| scenario.role(address)).collect::<String>())
}

fn between(scenario: &Scenario) -> Vec<String> {
    let (one, two) = (&scenario.one, &scenario.two);
    let mut said = vec![tcp_echo(scenario, one, two, two.address, 9100)];
    for protocol in [ICMP, UDP, TCP] {
        let act = || match protocol {
            ICMP => assert!(pings(one, two.address)),
            TCP => drop(tcp_echo(scenario, one, two, two.address, 9101)),
            _ => {
                let replies = echo_udp(udp(two, any(7100)), 1);
                udp(one, ANY).send_to(b"neighbour", at(two.address, 7100)).expect("it leaves");
                replies.join().expect("the server");
            }
        };
        let ((), seen) = scenario.seen_by(two, "eth0", protocol, act);
        said.extend(seen);
    }
    said
}

fn to_host(scenario: &Scenario) -> Vec<String> {
    let host = scenario.fwd.host();
    let addresses = [scenario.one.gateway, scenario.fwd.uplink(0).address];
    let mut said: Vec<String> =
        (9110..).zip(addresses).map(|(port, address)| tcp_echo(scenario, &scenario.one, host, address, port)).collect();
    said.extend(addresses.map(|address| format!("ping {}: {}", scenario.role(address), pings(&scenario.one, address))));
    said
}

fn from_host(scenario: &Scenario) -> Vec<String> {
    let host = scenario.fwd.host();
    vec![
        tcp_echo(scenario, host, &scenario.one, scenario.one.address, 9120),
        format!("ping: {}", pings(host, scenario.one.address)),
    ]
}

/// Somebody outside knows a way to the addresses of the network.
fn straight(scenario: &Scenario) -> Vec<String> {
    let network = format!("{}/24", scenario.one.gateway);
    let network = network.replace(".1/", ".0/");
    let uplink = scenario.fwd.uplink(0).address.to_string();
    inside(scenario.internet(), &["ip", "route", "add", &network, "via", &uplink]);
    let reached = answers(scenario.internet(), scenario.one.address);
    inside(scenario.internet(), &["ip", "route", "del", &network]);
    vec![format!("ping is answered: {reached}")]
}

/// A namespace sends from an address that is not its own; then something proper, so that it is known when all has arrived.
fn spoofed(scenario: &Scenario, source: Ipv4Addr) -> Vec<String> {
    let mac = |shown: &str| -> [u8; 6] {
        let bytes: Vec<u8> = shown.trim().split(':').map(|byte| u8::from_str_radix(byte, 16).expect("hex")).collect();
        bytes.try_into().expect("a MAC")
    };
    let shown = scenario.fwd.json(&["inspect", &scenario.one.name]);
    let (own, gateway) = (mac(shown["mac"].as_str().expect("text")), mac(shown["gateway_mac"].as_str().expect("text")));
    let packet = raw::udp(at(source, 7000), at(scenario.outside, 7010), b"false");
    let act = || {
        raw::send(&scenario.one, "eth0", &[raw::frame(gateway, own, &packet)]);
        let listener = udp(scenario.internet(), at(scenario.outside, 7011));
        listener.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
        udp(&scenario.one, ANY).send_to(b"proper", at(scenario.outside, 7011)).expect("it leaves");
        listener.recv_from(&mut [0; 16]).expect("it arrives");
    };
    let ((), seen) = scenario.seen_by(scenario.internet(), "inet0", UDP, act);
    let ((), alone) = scenario.seen_by(scenario.internet(), "inet0", UDP, || {
        raw::send(&scenario.one, "eth0", &[raw::frame(gateway, own, &packet)]);
        assert!(pings(&scenario.one, scenario.outside), "what was sent before has arrived");
    });
    let mut said: Vec<String> = seen.into_iter().map(|seen| format!("with a proper one: {seen}")).collect();
    said.extend(alone.into_iter().map(|seen| format!("alone: {seen}")));
    said
}
