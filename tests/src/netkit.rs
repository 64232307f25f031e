//! `--datapath netkit`: what is different there from veth pairs. What is the same is asked by other tests, to which `./x vm` gives this data
//! path. On a kernel that has no netkit each of these tests asks that it is refused.

use std::{
    fs,
    time::{Duration, Instant},
};

use forwarder::{dataplane::RunDir, netns::Netns};
use forwarder_common::wire::emit::{Ethernet, Packet};
use serde_json::json;

use crate::{
    commands::{assert_as_before, assert_reaches_outside, snapshot},
    fwd::{Fwd, Pod, answers, inside, number, pings},
    latency::every_packet_of_an_endpoint_is_timed,
    peers::{ANY, at, udp},
    raw::{self, Told},
};

/// A host whose namespaces are connected by netkit pairs, if its kernel has them. If not, that is refused, and nothing is changed.
#[track_caller]
fn host() -> Option<Fwd> {
    let fwd = Fwd::new();
    let features = fwd.list(&["features"]);
    let netkit = features.iter().find(|feature| feature["feature"] == "netkit").expect("it is asked for");
    if netkit["support"] == "supported" {
        return Some(fwd);
    }
    let before = snapshot(&fwd);
    let name = fwd.name("c1");
    let words = ["netkit", "this kernel does not have netkit (Linux 6.7)", "--datapath tc"];
    fwd.expect_error(&["up", "--ns", &name, "--datapath", "netkit"], 5, &words);
    fwd.expect_error(&["network", "add", "pairs", "--datapath", "netkit"], 5, &words);
    assert_as_before(&fwd, &before);
    None
}

fn up(fwd: &Fwd, role: &str) -> Pod {
    fwd.up(role, &["--datapath", "netkit"])
}

/// Runs a program in Python inside, which must succeed.
#[track_caller]
fn python(ns: &Netns, program: &str, arguments: &[&str]) -> String {
    inside(ns, &[&["python3", "-c", program], arguments].concat())
}

#[test]
fn namespaces_are_connected_by_pairs_whose_program_runs_inside() {
    let Some(fwd) = host() else { return };
    let before = snapshot(&fwd);
    let [one, two] = ["c1", "c2"].map(|role| up(&fwd, role));
    assert_eq!(fwd.up("c1", &[]).shown["changed"], false);
    for pod in [&one, &two] {
        let link = fwd.host().netlink().and_then(|netlink| netlink.link(&pod.host_if)).expect("links").expect("it is");
        assert!(link.is_netkit(), "{link:?}");
        let inspected = fwd.json(&["inspect", &pod.name]);
        let shown = [&inspected["datapath"], &inspected["attach"], &inspected["attached"]];
        assert_eq!(shown, [&json!("netkit"), &json!("netkit"), &json!(true)], "{inspected:#}");
        assert_reaches_outside(&fwd, pod);
        assert!(pings(pod, pod.gateway), "the gateway answers");
    }
    assert!(pings(&one, two.address) && pings(&two, one.address), "neighbours reach each other");
    let checks = fwd.json(&["doctor"])["checks"].clone();
    let hooks = checks.as_array().expect("a list").iter().find(|check| check["check"] == "hooks").expect("it is there");
    assert!(hooks["findings"].as_array().expect("a list").iter().all(|it| it["verdict"] == "ok"), "{hooks:#}");
    assert_eq!(fwd.list(&["ls"])[0]["datapath"], "netkit");
    for (option, value, code, remedy) in
        [("--attach", "clsact", 5, "--datapath"), ("--datapath", "tc", 4, "leave the option out")]
    {
        fwd.expect_error(&["up", "--ns", &two.name, option, value], code, &["netkit", remedy]);
    }
    fwd.down("c2");
    assert_reaches_outside(&fwd, &one);
    fwd.down("c1");
    assert_as_before(&fwd, &before);
}

#[test]
fn a_flow_has_one_port_outside_beside_those_of_the_host() {
    let Some(fwd) = host() else { return };
    let pod = up(&fwd, "c1");
    let outside = at(fwd.uplink(0).outside[0], 7000);
    let server = udp(fwd.internet(0), outside);
    let client = udp(&pod, ANY);
    let (mut ports, begun) = (Vec::new(), Instant::now());
    // Those that are redirected straight to hardware addresses, and, once a second, the one that goes by the table of neighbours.
    while begun.elapsed() < Duration::from_millis(2500) {
        client.send_to(b"hello", outside).expect("it leaves");
        let (_, from) = server.recv_from(&mut [0; 16]).expect("it arrives");
        server.send_to(b"hello", from).expect("it leaves");
        client.recv_from(&mut [0; 16]).expect("the answer arrives");
        ports.push(from);
    }
    ports.dedup();
    assert_eq!(ports.len(), 1, "at the uplink it is not taken for the host's own");
    let flows = fwd.list(&["flows"]);
    assert!(flows.iter().all(|flow| flow["ns"] == pod.name), "none is of the host: {flows:#?}");
    // The host's own socket at the same port gets another one.
    let host = udp(fwd.host(), at(fwd.uplink(0).address, ports[0].port()));
    host.send_to(b"hello", outside).expect("it leaves");
    let (_, from) = server.recv_from(&mut [0; 16]).expect("it arrives");
    assert_ne!(from, ports[0]);
}

#[test]
fn what_a_raw_socket_inside_says_of_a_frame_is_compared_with_the_frame() {
    let Some(fwd) = host() else { return };
    let pod = up(&fwd, "c1");
    let dropped = |reason: &str| fwd.counted("from_ns", "dropped", Some(reason));
    let to = at(fwd.uplink(0).outside[0], 7000);
    let server = udp(fwd.internet(0), to);
    let mac = raw::mac_of(&pod, "eth0");
    let gateway = raw::mac_of(fwd.host(), "fwd0");
    let datagram = |from| raw::udp(from, to, b"raw").in_frame(&Ethernet::new(gateway, mac));
    let honest = datagram(at(pod.address, 9));
    // ARP in the frame, which the bridge would hear; for the kernel an IPv4 packet to the host: and the other way round.
    let mut arp = Packet::udp(at(pod.address, 9), at(pod.gateway, 9)).in_frame(&Ethernet::new(gateway, mac));
    arp[12..14].copy_from_slice(&[0x08, 0x06]);
    for bypass in [false, true] {
        let send_as = |protocol, frame: &[u8]| raw::send_as(&pod, "eth0", Told { protocol, bypass }, &[frame.to_vec()]);
        let before = dropped("EtherType");
        send_as(0x0800, &arp);
        send_as(0x0806, &honest);
        send_as(0x86dd, &honest);
        assert_eq!(dropped("EtherType") - before, 3, "past the queue: {bypass}");
        let before = dropped("SpoofedSource");
        send_as(0x0800, &datagram(at([198, 51, 100, 9].into(), 9)));
        assert_eq!(dropped("SpoofedSource") - before, 1, "past the queue: {bypass}");
        send_as(0x0800, &honest);
        let (length, _) = server.recv_from(&mut [0; 64]).expect("the honest one arrives, and nothing came before");
        assert_eq!(length, 3);
    }
}

#[test]
fn root_inside_changes_neither_the_pair_nor_its_programs() {
    let Some(fwd) = host() else { return };
    let pod = up(&fwd, "c1");
    // RTM_NEWLINK with IFLA_LINKINFO { netkit, { IFLA_NETKIT_POLICY or IFLA_NETKIT_PEER_POLICY: pass } }.
    const SET: &str = "import socket, struct, sys
def attribute(kind, data):
    return struct.pack('=HH', 4 + len(data), kind) + data + bytes(-len(data) % 4)
data = attribute(int(sys.argv[1]), struct.pack('=I', 0))
info = attribute(18, attribute(1, b'netkit\\0') + attribute(2, data))
message = struct.pack('=BxHiII', 0, 0, socket.if_nametoindex('eth0'), 0, 0) + info
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
s.send(struct.pack('=IHHII', 16 + len(message), 16, 5, 1, 0) + message)
print(-struct.unpack('=i', s.recv(65536)[16:20])[0])";
    for attribute in ["3", "4"] {
        assert_eq!(python(&pod, SET, &[attribute]), "13\n", "EACCES");
    }
    // A program that lets everything pass, and BPF_LINK_CREATE with BPF_NETKIT_PRIMARY and BPF_NETKIT_PEER.
    const ATTACH: &str = "import ctypes, os, socket, struct
libc = ctypes.CDLL(None, use_errno=True)
def bpf(command, attributes):
    buffer = ctypes.create_string_buffer(attributes, 72)
    result = libc.syscall(321, command, buffer, 72)
    return result if result >= 0 else -ctypes.get_errno()
code = ctypes.create_string_buffer(struct.pack('=BBhiBBhi', 0xb7, 0, 0, 0, 0x95, 0, 0, 0))
licence = ctypes.create_string_buffer(b'GPL')
program = bpf(5, struct.pack('=IIQQ', 3, 2, ctypes.addressof(code), ctypes.addressof(licence)))
assert program >= 0, program
for kind in 54, 55:
    print(-bpf(28, struct.pack('=IIII', program, socket.if_nametoindex('eth0'), kind, 8)))";
    assert_eq!(python(&pod, ATTACH, &[]), "13\n13\n", "EACCES");
    assert_reaches_outside(&fwd, &pod);
}

#[test]
fn without_its_program_a_pair_carries_nothing_and_up_mends_it() {
    let Some(fwd) = host() else { return };
    let pod = up(&fwd, "c1");
    assert_reaches_outside(&fwd, &pod);
    let ifindex = number(&fwd.json(&["inspect", &pod.name])["host_ifindex"]);
    let pin = RunDir::new(fwd.pins()).of(fwd.host().cookie().expect("a cookie"));
    fs::remove_file(pin.join(format!("links/from_netkit-{ifindex}"))).expect("it is pinned");
    assert!(!answers(&pod, fwd.uplink(0).outside[0]), "nothing leaves");
    assert!(!answers(&pod, pod.gateway), "not even to the gateway");
    assert_eq!(fwd.json(&["inspect", &pod.name])["attached"], false);
    assert_eq!(fwd.up("c1", &[]).shown["changed"], true);
    assert_reaches_outside(&fwd, &pod);
}

#[test]
fn every_packet_at_a_netkit_pair_is_timed_both_ways() {
    if host().is_some() {
        every_packet_of_an_endpoint_is_timed("netkit");
    }
}

#[test]
fn a_pool_prepares_pairs_and_up_takes_one_of_them() {
    let Some(fwd) = host() else { return };
    fwd.json(&["pool", "1", "--datapath", "netkit"]);
    let ready = fwd.list(&["pool", "ls"]);
    assert_eq!((ready.len(), &ready[0]["attach"]), (1, &json!("netkit")), "{ready:#?}");
    let pod = up(&fwd, "c1");
    assert_eq!((&pod.shown["from_pool"], &pod.shown["host_if"]), (&ready[0]["ns"], &ready[0]["host_if"]));
    assert_reaches_outside(&fwd, &pod);
}
