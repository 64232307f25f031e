//! Endpoints behind an address of the host that is their own.

use std::net::Ipv4Addr;

use super::{Conversation, scenario::Scenario};
use crate::{
    fwd::{Pod, answers, pings},
    packet::{ICMP, TCP, UDP},
    peers::{ANY, asked, at, connect, echo_tcp, echo_udp, echoed, listen, udp},
};

pub(super) const CONVERSATIONS: &[Conversation] =
    &[("behind a source", behind), ("behind a source, next to others", others), ("a source that is gone", gone)];

/// An endpoint behind an address that the host has besides.
fn sourced(scenario: &Scenario, role: &str, number: u32) -> (Pod, Ipv4Addr) {
    let source = Ipv4Addr::from(u32::from(scenario.fwd.uplink(0).address) + number);
    scenario.fwd.on_host(&["ip", "address", "add", &format!("{source}/24"), "dev", "eth0"]);
    (scenario.fwd.up(role, &["--source", &source.to_string()]), source)
}

/// What the outside sees of what a namespace says.
fn said(scenario: &Scenario, pod: &Pod) -> Vec<String> {
    let server = at(scenario.outside, 7400);
    let talk = |protocol| {
        let act = || match protocol {
            ICMP => assert!(pings(pod, scenario.outside)),
            TCP => {
                let clients = echo_tcp(listen(scenario.internet(), server), 1);
                echoed(&connect(pod, ANY, server).expect("it connects"), &[7; 5000]);
                clients.join().expect("the server");
            }
            _ => {
                let replies = echo_udp(udp(scenario.internet(), server), 1);
                asked(&udp(pod, ANY), server, b"from where?");
                replies.join().expect("the server");
            }
        };
        scenario.seen_by(scenario.internet(), "inet0", protocol, act).1
    };
    [ICMP, UDP, TCP].into_iter().flat_map(talk).collect()
}

fn behind(scenario: &Scenario) -> Vec<String> {
    let (pod, _) = sourced(scenario, "c3", 110);
    said(scenario, &pod)
}

fn others(scenario: &Scenario) -> Vec<String> {
    let (pod, source) = sourced(scenario, "c4", 111);
    let mut lines = said(scenario, &scenario.one);
    // It is its own among neighbours, and the host's address for whoever asks there.
    lines.push(format!("a neighbour is reached: {}", pings(&pod, scenario.one.address)));
    lines.push(format!("the source is reached: {} {}", answers(&pod, source), answers(scenario.internet(), source)));
    lines
}

fn gone(scenario: &Scenario) -> Vec<String> {
    let (pod, source) = sourced(scenario, "c5", 112);
    let mut lines = vec![format!("reached: {}", pings(&pod, scenario.outside))];
    scenario.fwd.on_host(&["ip", "address", "del", &format!("{source}/24"), "dev", "eth0"]);
    // A command tells the programs which addresses the host has.
    scenario.fwd.up("c6", &[]);
    lines.push(format!("without it: {}", answers(&pod, scenario.outside)));
    lines
}
