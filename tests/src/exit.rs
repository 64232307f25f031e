//! `--datapath macvlan`: established flows leave by a macvlan of the uplink, and nothing else does.

use std::time::Duration;

use forwarder::{lab::wait_until, netlink::Link, netns::Netns};
use serde_json::Value;

use crate::{
    capture::{Recording, finish_checksums},
    fwd::{Fwd, Pod, inside, number, open, pings, text},
    peers::{ANY, asked, at, connect, echo_tcp, echo_udp, echoed, listen, udp},
    raw,
};

const MACVLAN: [&str; 2] = ["--datapath", "macvlan"];
/// The macvlan inside.
const EXIT: &str = "eth0-out";
const LIMIT: Duration = Duration::from_secs(10);

/// Packets that left by an interface inside.
#[track_caller]
fn sent(ns: &Netns, interface: &str) -> u64 {
    let shown = inside(ns, &["ip", "-j", "-s", "link", "show", "dev", interface]);
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    number(&shown[0]["stats64"]["tx"]["packets"])
}

fn links(ns: &Netns) -> Vec<Link> {
    forwarder::netlink::Netlink::open(ns).and_then(|netlink| netlink.links()).expect("interfaces")
}

/// Requests over TCP and UDP, one after the other; and pings.
#[track_caller]
fn talk(fwd: &Fwd, pod: &Pod, requests: usize) {
    let server = at(fwd.uplink(0).outside[0], 9000);
    let replies = echo_udp(udp(fwd.internet(0), server), requests);
    let socket = udp(pod, ANY);
    for _ in 0..requests {
        asked(&socket, server, b"request");
    }
    replies.join().expect("the server");
    let clients = echo_tcp(listen(fwd.internet(0), server), 1);
    let stream = connect(pod, ANY, server).expect("it connects");
    echoed(&stream, &[7; 1999]);
    drop(stream);
    clients.join().expect("the server");
    inside(pod, &["ping", "-n", "-q", "-c", "5", "-i", "0.01", &server.ip().to_string()]);
}

#[test]
fn established_flows_leave_by_the_macvlan_translated() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &MACVLAN);
    assert_eq!(text(&pod.shown["datapath"]), "macvlan");
    // The neighbour is known from here on.
    assert!(pings(&pod, fwd.uplink(0).outside[0]));
    for interface in ["eth0", EXIT] {
        finish_checksums(&pod, interface);
    }
    finish_checksums(fwd.host(), "eth0");
    finish_checksums(fwd.internet(0), "inet0");
    let (capture, before) = (Recording::on_uplink(&fwd), sent(&pod, EXIT));
    talk(&fwd, &pod, 100);
    let seen = capture.assert_clean();
    let left = sent(&pod, EXIT) - before;
    // All but the first of each flow, the SYN, and one a second.
    assert!(left >= 95, "{left} packets left by the macvlan");
    let requests = seen.iter().filter(|packet| packet.source() == fwd.uplink(0).address).count() as u64;
    assert!(requests >= left, "{left} left, {requests} were seen");
    assert!(seen.iter().filter(|packet| packet.source() == fwd.uplink(0).address).all(|packet| packet.ttl() == 63));
    let shown = &fwd.list(&["ls"])[0];
    assert!(number(&shown["tx_packets"]) >= requests, "all are counted: {shown}, {requests}");
}

#[test]
fn segments_cut_by_the_uplink_leave_by_the_macvlan() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &MACVLAN);
    assert!(pings(&pod, fwd.uplink(0).outside[0]));
    let server = at(fwd.uplink(0).outside[0], 9000);
    let clients = echo_tcp(listen(fwd.internet(0), server), 1);
    let stream = connect(&pod, ANY, server).expect("it connects");
    let before = sent(&pod, EXIT);
    for _ in 0..50 {
        echoed(&stream, &[7; 60_000]);
    }
    drop(stream);
    clients.join().expect("the server");
    assert!(sent(&pod, EXIT) > before + 50);
}

/// The guard drops each of these frames, which its sender is told.
#[track_caller]
fn refused(pod: &Pod, frames: &[Vec<u8>]) {
    for frame in frames {
        let output = raw::try_send(pod, EXIT, std::slice::from_ref(frame));
        assert!(output.stderr.contains("No buffer space available"), "{}{}", output.stdout, output.stderr);
    }
}

#[test]
fn nothing_leaves_by_the_macvlan_that_was_not_let_out() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &MACVLAN);
    let outside = fwd.uplink(0).outside[0];
    assert!(pings(&pod, outside));
    let capture = Recording::on_uplink(&fwd);
    let uplink = fwd.uplink(0).address;
    // As the host itself, as the namespace, and as somebody else, to the router's hardware address.
    let router = links(fwd.internet(0)).into_iter().find(|link| link.name == "inet0").and_then(|link| link.mac);
    let forged: Vec<Vec<u8>> = [uplink, pod.address, outside]
        .into_iter()
        .map(|source| {
            raw::frame(router.expect("it has one"), [2, 0, 0, 0, 0, 9], &raw::ipv4(source, outside, 253, b"forged"))
        })
        .collect();
    refused(&pod, &forged);
    // Also when others have just been let out.
    talk(&fwd, &pod, 20);
    refused(&pod, &forged);
    let seen = capture.all();
    assert!(seen.iter().all(|packet| packet.proto() != 253), "{seen:#?}");
}

#[test]
fn a_packet_that_could_not_leave_leaves_no_door_open() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &MACVLAN);
    let server = at(fwd.uplink(0).outside[0], 9000);
    assert!(pings(&pod, *server.ip()));
    talk(&fwd, &pod, 20);
    let replies = echo_udp(udp(fwd.internet(0), server), 2);
    let socket = udp(&pod, ANY);
    asked(&socket, server, b"a");
    asked(&socket, server, b"b");
    replies.join().expect("the server");
    let capture = Recording::on_uplink(&fwd);
    inside(&pod, &["ip", "link", "set", EXIT, "down"]);
    // On every CPU, whichever the forged frame is sent on.
    for _ in 0..50 {
        socket.send_to(b"lost", server).expect("it is sent");
    }
    inside(&pod, &["ip", "link", "set", EXIT, "up"]);
    let router = links(fwd.internet(0)).into_iter().find(|link| link.name == "inet0").and_then(|link| link.mac);
    let forged = raw::ipv4(fwd.uplink(0).address, *server.ip(), 253, b"forged as the host's");
    let frame = raw::frame(router.expect("it has one"), [2, 0, 0, 0, 0, 9], &forged);
    for _ in 0..8 {
        refused(&pod, std::slice::from_ref(&frame));
    }
    let seen = capture.all();
    assert!(seen.iter().all(|packet| packet.proto() != 253), "{seen:#?}");
}

#[test]
fn up_mends_an_exit_that_was_deleted() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &MACVLAN);
    inside(&pod, &["ip", "link", "del", EXIT]);
    let again = fwd.up("c1", &[]);
    assert_eq!(again.address, pod.address);
    assert!(pings(&pod, fwd.uplink(0).outside[0]));
    talk(&fwd, &pod, 20);
    assert!(sent(&pod, EXIT) > 10);
    let third = fwd.ok(&["up", "--ns", &pod.name]);
    assert!(third.contains("nothing changed"), "{third}");
}

#[test]
fn flows_go_on_when_the_uplink_was_down() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &MACVLAN);
    let server = at(fwd.uplink(0).outside[0], 9000);
    assert!(pings(&pod, *server.ip()));
    let clients = echo_tcp(listen(fwd.internet(0), server), 1);
    let stream = connect(&pod, ANY, server).expect("it connects");
    echoed(&stream, b"before");
    fwd.on_host(&["ip", "link", "set", "eth0", "down"]);
    fwd.on_host(&["ip", "link", "set", "eth0", "up"]);
    // The default route went with it.
    fwd.on_host(&["ip", "route", "replace", "default", "via", &fwd.uplink(0).gateway.to_string()]);
    let answers = || Ok(pings(&pod, *server.ip()).then_some(()));
    wait_until(LIMIT, "the outside answers again", answers).unwrap();
    echoed(&stream, b"after");
    drop(stream);
    clients.join().expect("the server");
}

#[test]
fn namespaces_of_the_user_are_left_as_they_were() {
    let fwd = Fwd::new();
    let name = fwd.name("theirs");
    inside(fwd.host(), &["ip", "netns", "add", &name]);
    let before = links(&open(&name));
    let pod = fwd.up("theirs", &MACVLAN);
    assert!(links(&pod).iter().any(|link| link.name == EXIT));
    fwd.down("theirs");
    assert_eq!(links(&open(&name)), before);
}

#[test]
fn uplinks_without_macvlans_are_refused() {
    let fwd = Fwd::new();
    fwd.on_host(&["ip", "link", "add", "mv0", "link", "eth0", "type", "macvlan", "mode", "bridge"]);
    fwd.on_host(&["ip", "addr", "add", "192.0.2.77/24", "dev", "mv0"]);
    fwd.on_host(&["ip", "link", "set", "mv0", "up"]);
    let name = fwd.name("c1");
    let up = ["up", "--ns", &name, "--datapath", "macvlan", "--uplink"];
    fwd.expect_error(&[&up[..], &["mv0"]].concat(), 5, &["mv0", "macvlan itself", "--datapath tc"]);
    fwd.on_host(&["ip", "tuntap", "add", "tun7", "mode", "tun"]);
    fwd.on_host(&["ip", "addr", "add", "192.0.2.78/24", "dev", "tun7"]);
    fwd.on_host(&["ip", "link", "set", "tun7", "up"]);
    fwd.expect_error(&[&up[..], &["tun7"]].concat(), 5, &["tun7", "Ethernet header", "--datapath tc"]);
}
