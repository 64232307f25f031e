//! The host's own conversations, of every kind, with and without `fwd`: nothing of them changes.

use std::net::Ipv4Addr;

use forwarder::testbed::{Process, command_in, wait_until};

use crate::{
    bpf_ids::pin_directory,
    capture::Recording,
    fwd::{Fwd, Pod, inside, pings, try_inside},
    peers::{ANY, PATIENCE, asked, at, connect, echoed, udp},
    raw,
};

/// In 240.0.0.0/4, which is reserved, and which the kernel routes as any other.
const RESERVED: Ipv4Addr = Ipv4Addr::new(240, 1, 2, 3);

/// Somebody outside who answers everything.
fn server(fwd: &Fwd) -> Process {
    inside(fwd.internet(0), &["ip", "address", "add", &format!("{RESERVED}/32"), "dev", "lo"]);
    let outside = fwd.uplink(0).outside[0].to_string();
    let argv = ["python3", "-c", include_str!("server.py"), &RESERVED.to_string(), &outside, "inet0"];
    let process = Process::spawn(command_in(fwd.internet(0), &argv)).expect("it starts");
    let ready = || Ok(process.stdout().contains("ready").then_some(()));
    wait_until(PATIENCE, "the server is ready", ready).unwrap_or_else(|error| panic!("{error}: {}", process.stderr()));
    process
}

/// What became of each kind of traffic of the host.
#[track_caller]
fn outcomes(fwd: &Fwd) -> String {
    let uplink = fwd.uplink(0);
    let (reserved, outside) = (RESERVED.to_string(), uplink.outside[0].to_string());
    let script = include_str!("client.py");
    inside(fwd.host(), &["python3", "-c", script, &reserved, &outside, &uplink.gateway.to_string(), "eth0"])
}

#[track_caller]
fn assert_well(fwd: &Fwd, when: &str) {
    let seen = outcomes(fwd);
    let wrong: Vec<_> = seen.lines().filter(|line| !line.ends_with(": ok")).collect();
    assert!(wrong.is_empty() && seen.lines().count() > 30, "{when}: {wrong:#?}");
}

/// A namespace that speaks with the same servers from `port`, which may be the host's as well.
fn busy(fwd: &Fwd, options: &[&str], port: u16) -> Pod {
    let pod = fwd.up("c1", options);
    let client = udp(&pod, at(pod.address, port));
    for server in [fwd.uplink(0).outside[0], RESERVED] {
        for _ in 0..5 {
            asked(&client, at(server, 7000), b"as the host does");
        }
        let stream = connect(&pod, at(pod.address, port), at(server, 7000)).expect("it connects");
        echoed(&stream, b"as the host does");
        assert!(pings(&pod, server));
        let gre = "import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 47)
s.settimeout(2)
s.sendto(b'0123456789', (sys.argv[1], 0))
s.recv(99)";
        inside(&pod, &["python3", "-c", gre, &server.to_string()]);
    }
    pod
}

#[test]
fn the_hosts_own_traffic_of_every_kind_goes_on() {
    let fwd = Fwd::new();
    let _server = server(&fwd);
    assert_well(&fwd, "without fwd");
    let _pod = busy(&fwd, &[], 5000);
    assert_well(&fwd, "beside a namespace that speaks with the same servers");
    fwd.ok(&["down", "--all"]);
    assert_well(&fwd, "after it");
}

#[test]
fn the_hosts_own_traffic_goes_on_where_anyone_may_write_to_a_mapped_port() {
    let fwd = Fwd::new();
    let _server = server(&fwd);
    let _pod = busy(&fwd, &["--nat", "eim-eif"], 5000);
    assert_well(&fwd, "beside a namespace that speaks with the same servers");
}

/// The kernel empties the map when nothing holds it any more.
fn forget_slow_paths(fwd: &Fwd) {
    let map = pin_directory(fwd, "maps").join("SLOW_PATH");
    let map = map.to_str().expect("a plain path");
    for key in ["0", "1", "2"] {
        inside(fwd.host(), &["bpftool", "map", "delete", "pinned", map, "key", key, "0", "0", "0"]);
    }
}

#[test]
fn the_hosts_own_traffic_goes_on_without_the_slow_paths_and_nothing_else_does() {
    let fwd = Fwd::new();
    let _server = server(&fwd);
    // What would have to get another port is the one thing that they are needed for.
    let pod = busy(&fwd, &[], 5001);
    forget_slow_paths(&fwd);
    let recording = Recording::start(&fwd, fwd.internet(0), "inet0");
    assert_well(&fwd, "without the slow paths");
    // Neither by the data path, nor past it.
    let outside = fwd.uplink(0).outside[0];
    let ping = try_inside(&pod, &["ping", "-n", "-c", "1", "-W", "1", &outside.to_string()]);
    assert!(!ping.status.success());
    let packet = raw::udp(at(pod.address, 4000), at(outside, 4000), b"left behind");
    let (to, from) = (raw::mac_of(fwd.internet(0), "inet0"), raw::mac_of(fwd.host(), "eth0"));
    let sent = raw::try_send(fwd.host(), "eth0", &[raw::frame(to, from, &packet)]);
    assert!(sent.stderr.contains("No buffer space"), "{sent:?}");
    let seen = recording.all();
    let leaked: Vec<_> = seen.iter().filter(|packet| packet.source() == pod.address).collect();
    assert!(leaked.is_empty(), "{leaked:#?}");
    assert_eq!(fwd.counted("to_uplink", "dropped", Some("Untranslated")), 1);
}

#[test]
fn namespaces_reach_what_is_reserved_as_the_host_does() {
    let fwd = Fwd::new();
    let _server = server(&fwd);
    let pod = fwd.up("c1", &[]);
    asked(&udp(&pod, ANY), at(RESERVED, 7000), b"is it you?");
    assert!(pings(&pod, RESERVED));
    assert_eq!(fwd.counted("from_ns", "dropped", Some("Martian")), 0);
}
