//! XDP is attached where it serves, used when it is, and gone afterwards.

use forwarder::{netns::Netns, testbed::TestbedSpec};
use serde_json::json;

use crate::{
    commands::{assert_as_before, snapshot},
    fwd::{Fwd, Pod, inside, number, pings, try_inside},
    peers::{ANY, asked, at, connect, echo_tcp, echo_udp, echoed, listen, udp},
};

fn host() -> Fwd {
    Fwd::with_xdp(&TestbedSpec::default())
}

/// Frames that XDP redirected at a veth of the host.
#[track_caller]
fn redirected(fwd: &Fwd, interface: &str) -> u64 {
    let text = fwd.on_host(&["ethtool", "-S", interface]);
    let lines = text.lines().filter_map(|line| line.trim().split_once("_xdp_redirect: "));
    lines.map(|(_, count)| count.parse::<u64>().expect("a number")).sum()
}

/// A few requests and answers of each kind.
#[track_caller]
fn converse(fwd: &Fwd, pod: &Netns, rounds: usize) {
    let server = at(fwd.uplink(0).outside[0], 9000);
    let clients = echo_tcp(listen(fwd.internet(0), server), 1);
    let replies = echo_udp(udp(fwd.internet(0), server), rounds);
    let stream = connect(pod, ANY, server).expect("it connects");
    let socket = udp(pod, ANY);
    for _ in 0..rounds {
        echoed(&stream, b"request over TCP");
        asked(&socket, server, b"request over UDP");
    }
    drop(stream);
    clients.join().expect("the server");
    replies.join().expect("the server");
    let count = rounds.to_string();
    inside(pod, &["ping", "-n", "-q", "-c", &count, "-i", "0.01", &server.ip().to_string()]);
}

/// The XDP program on an interface, as `ip` shows it.
#[track_caller]
fn attached(fwd: &Fwd, interface: &str) -> String {
    let shown = fwd.on_host(&["ip", "-j", "link", "show", "dev", interface]);
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    shown[0]["xdp"]["prog"]["name"].as_str().unwrap_or_default().to_owned()
}

#[track_caller]
fn assert_modes(fwd: &Fwd, pod: &Pod, host_if: &str, uplink: &str) {
    let wanted = json!({ "host_if": host_if, "uplink": uplink });
    for shown in [&pod.shown, &fwd.list(&["ls"])[0], &fwd.json(&["inspect", &pod.name])] {
        assert_eq!((&shown["datapath"], &shown["xdp"]), (&json!("xdp"), &wanted));
    }
}

#[test]
fn established_flows_go_by_xdp_in_both_directions_and_are_counted_as_ever() {
    const ROUNDS: usize = 100;
    let fwd = host();
    let pod = fwd.up("c1", &[]);
    assert_modes(&fwd, &pod, "native", "native");
    // A flow that begins before the next hop is known learns its hardware address after a second.
    assert!(pings(&pod, fwd.uplink(0).outside[0]));
    converse(&fwd, &pod, ROUNDS);
    let least = 3 * ROUNDS as u64 * 9 / 10;
    let (out, back) = (redirected(&fwd, &pod.host_if), redirected(&fwd, "eth0"));
    assert!(out > least && back > least, "of {} packets each way {out} and {back} went by XDP", 3 * ROUNDS);
    let shown = &fwd.list(&["ls"])[0];
    let (tx, rx) = (number(&shown["tx_packets"]), number(&shown["rx_packets"]));
    assert!(tx >= out && rx >= back && tx >= 3 * ROUNDS as u64 && rx >= 3 * ROUNDS as u64, "{shown}");
    let flows = fwd.list(&["flows"]);
    let sum = |key: &str| flows.iter().map(|flow| number(&flow[key])).sum::<u64>();
    assert_eq!((sum("tx_packets"), sum("rx_packets")), (tx, rx), "{flows:#?}");
}

#[test]
fn everything_of_xdp_is_gone_afterwards() {
    let fwd = host();
    let before = snapshot(&fwd);
    let (one, two) = (fwd.up("c1", &[]), fwd.up("c2", &[]));
    assert_eq!(attached(&fwd, "eth0"), "xdp_from_uplink");
    assert_eq!(attached(&fwd, &one.host_if), "xdp_from_ns");
    fwd.down("c1");
    assert_eq!(attached(&fwd, "eth0"), "xdp_from_uplink");
    converse(&fwd, &two, 5);
    fwd.down("c2");
    assert_eq!(attached(&fwd, "eth0"), "");
    assert_as_before(&fwd, &before);
}

#[test]
fn second_up_mends_what_was_turned_on_again() {
    let fwd = host();
    let pod = fwd.up("c1", &[]);
    assert_eq!(fwd.up("c1", &[]).shown["changed"], false);
    inside(&pod, &["ethtool", "-K", "eth0", "tx", "on", "gro", "off"]);
    assert!(pings(&pod, pod.gateway));
    assert_eq!(fwd.up("c1", &[]).shown["changed"], true);
    let shown = inside(&pod, &["ethtool", "-k", "eth0"]);
    for line in ["tx-checksumming: off", "generic-receive-offload: on", "tx-vlan-offload: off"] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    converse(&fwd, &pod, 5);
}

#[test]
fn network_with_xdp_and_one_without_share_an_uplink() {
    let fwd = host();
    let (xdp, tc) = (fwd.up("c1", &[]), fwd.up("c2", &["--network", "other", "--datapath", "tc"]));
    assert_eq!(tc.shown["xdp"], json!(null));
    for _ in 0..2 {
        converse(&fwd, &xdp, 20);
        converse(&fwd, &tc, 20);
    }
    assert_eq!(attached(&fwd, &tc.host_if), "");
    fwd.down("c1");
    assert_eq!(attached(&fwd, "eth0"), "", "nobody wants it any more");
    converse(&fwd, &tc, 5);
}

/// As between virtual machines: the other end leaves checksums and segments to a card that is not there.
#[test]
fn unfinished_checksums_are_left_to_who_can_tell_them() {
    let fwd = host();
    let pod = fwd.up("c1", &[]);
    inside(fwd.internet(0), &["ethtool", "-K", "inet0", "tx", "on"]);
    inside(&pod, &["ethtool", "-K", "eth0", "tx", "on"]);
    converse(&fwd, &pod, 50);
    let (out, back) = (redirected(&fwd, &pod.host_if), redirected(&fwd, "eth0"));
    // Echoes are finished by their sender; of the others one in 65,536 looks so.
    assert!(out <= 60 && back <= 60, "{out} and {back} went by XDP");
}

#[test]
fn uplink_that_takes_no_frames_is_sent_packets() {
    let fwd = host();
    inside(fwd.internet(0), &["ethtool", "-K", "inet0", "gro", "off"]);
    let pod = fwd.up("c1", &[]);
    assert_modes(&fwd, &pod, "generic", "native");
    converse(&fwd, &pod, 50);
    assert!(redirected(&fwd, "eth0") > 100, "on the way back");
}

#[test]
fn large_packets_go_the_longer_way() {
    let fwd = Fwd::with_xdp(&TestbedSpec { mtu: 9000, ..TestbedSpec::default() });
    let pod = fwd.up("c1", &[]);
    assert_modes(&fwd, &pod, "native", "native");
    let outside = fwd.uplink(0).outside[0].to_string();
    inside(&pod, &["ping", "-n", "-q", "-c", "20", "-i", "0.01", "-s", "8000", "-M", "do", &outside]);
    converse(&fwd, &pod, 20);
}

#[test]
fn program_of_somebody_else_is_not_replaced() {
    let fwd = host();
    let before = snapshot(&fwd);
    let other = fwd.up("c1", &[]);
    let name = fwd.name("c2");
    // A second instance, with pins of its own, on the same uplink.
    let pins = fwd.run_dir().join("other");
    let host = fwd.host().name().to_string();
    let pins = pins.to_str().expect("UTF-8");
    let up = [
        "--json",
        "--host-netns",
        &host,
        "--run-dir",
        pins,
        "up",
        "--ns",
        &name,
        "--network",
        "b",
        "--datapath",
        "xdp",
    ];
    let output = try_inside(fwd.host(), &[&[crate::fwd::binary().to_str().expect("UTF-8")][..], &up].concat());
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert!(output.stderr.contains("another XDP program"), "{output:?}");
    converse(&fwd, &other, 5);
    fwd.down("c1");
    assert_as_before(&fwd, &before);
}
