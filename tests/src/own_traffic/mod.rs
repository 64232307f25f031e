//! The host's own conversations, of every kind, with and without `fwd`: nothing of them changes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use forwarder::testbed::{Process, TestbedSpec, command_in};

use crate::{
    bpf_ids::pin_directory,
    capture::Recording,
    fwd::{Fwd, Pod, inside, pings, pings6, says, try_inside},
    ipv6::{address6, link},
    peers::{ANY, asked, at, connect, echoed, udp},
    raw,
};

/// In 240.0.0.0/4, which is reserved, and which the kernel routes as any other.
const RESERVED: Ipv4Addr = Ipv4Addr::new(240, 1, 2, 3);
/// Likewise beside 2000::/3, of which alone IANA gives addresses.
const RESERVED6: Ipv6Addr = Ipv6Addr::new(0x4000, 0, 0, 0, 0, 0, 0, 1);
/// A conversation of a protocol without ports. What looks as PPTP's (version 1) is none to conntrack, which knows no control connection of it.
const GRE: &str = "import socket, sys
family = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET
s = socket.socket(family, socket.SOCK_RAW, 47)
s.settimeout(2)
s.sendto(bytes(4) + b'as the host does', (sys.argv[1], 0))
s.recv(99)";

/// Whom the host speaks with by one family.
struct Peers {
    reserved: IpAddr,
    outside: IpAddr,
    gateway: IpAddr,
}

impl Peers {
    fn ipv4(fwd: &Fwd) -> Self {
        let uplink = fwd.uplink(0);
        Self { reserved: RESERVED.into(), outside: uplink.outside[0].into(), gateway: uplink.gateway.into() }
    }

    fn ipv6(fwd: &Fwd) -> Self {
        let link = link(fwd, 0);
        Self { reserved: RESERVED6.into(), outside: link.outside.into(), gateway: link.gateway.into() }
    }

    /// Somebody outside who answers everything.
    fn serve(&self, fwd: &Fwd) -> Process {
        let length = if self.reserved.is_ipv4() { 32 } else { 128 };
        // Without a search for others that have it, during which nobody may be bound to it.
        let nodad: &[&str] = if self.reserved.is_ipv4() { &[] } else { &["nodad"] };
        let added = format!("{}/{length}", self.reserved);
        inside(fwd.internet(0), &[&["ip", "address", "add", &added, "dev", "lo"], nodad].concat());
        let (reserved, outside) = (self.reserved.to_string(), self.outside.to_string());
        let argv = ["python3", "-c", include_str!("server.py"), &reserved, &outside, "inet0"];
        let process = Process::spawn(command_in(fwd.internet(0), &argv)).expect("it starts");
        says(&process, "ready");
        process
    }

    /// Each kind of traffic of the host does what it should, but for those that are `refused` to it, with either peer.
    #[track_caller]
    fn assert_well(&self, fwd: &Fwd, when: &str, refused: &[&str]) {
        let [reserved, outside, gateway] =
            [self.reserved, self.outside, self.gateway].map(|address| address.to_string());
        let script = include_str!("client.py");
        let seen = inside(fwd.host(), &["python3", "-c", script, &reserved, &outside, &gateway, "eth0"]);
        let wrong: Vec<_> = seen.lines().filter(|line| !line.ends_with(": ok")).collect();
        let is_refused = |line: &&str| {
            refused.iter().any(|kind| line.starts_with(kind)) && line.ends_with("Operation not permitted")
        };
        let as_expected = wrong.iter().all(is_refused) && wrong.len() == 2 * refused.len();
        let all = if self.outside.is_ipv4() { 37 } else { 34 };
        assert!(as_expected && seen.contains(&format!("{all} kinds: ok")), "{when}: {wrong:#?} of\n{seen}");
    }

    /// `pod` speaks with the same peers from `port`, which may be the host's as well.
    fn keep_busy(&self, pod: &Pod, port: u16) {
        let own = if self.outside.is_ipv4() { pod.address.into() } else { address6(pod).into() };
        let own = SocketAddr::new(own, port);
        let client = udp(pod, own);
        for peer in [self.outside, self.reserved] {
            let service = SocketAddr::new(peer, 7000);
            for _ in 0..5 {
                asked(&client, service, b"as the host does");
            }
            let stream = connect(pod, own, service).expect("it connects");
            echoed(&stream, b"as the host does");
            assert!(match peer {
                IpAddr::V4(peer) => pings(pod, peer),
                IpAddr::V6(peer) => pings6(pod, peer),
            });
            inside(pod, &["python3", "-c", GRE, &peer.to_string()]);
        }
    }
}

/// The host's traffic before, beside and after a namespace that speaks with the same servers, in which meanwhile some is `refused`.
#[track_caller]
fn goes_on(fwd: &Fwd, peers: &Peers, options: &[&str], refused: &[&str]) {
    let _server = peers.serve(fwd);
    peers.assert_well(fwd, "without fwd", &[]);
    let pod = fwd.up("c1", options);
    peers.keep_busy(&pod, 5000);
    peers.assert_well(fwd, "beside a namespace that speaks with the same servers", refused);
    fwd.ok(&["down", "--all"]);
    peers.assert_well(fwd, "after it", &[]);
}

/// The kernel's own masquerade keeps a peer of a protocol without ports for whoever spoke with it first (docs/rfc.md), the host included.
const KEPT: [&str; 1] = ["protocol 47"];

fn with_ipv6() -> TestbedSpec {
    TestbedSpec { ipv6: true, ..TestbedSpec::default() }
}

#[test]
fn the_hosts_own_traffic_of_every_kind_goes_on() {
    let fwd = Fwd::new();
    goes_on(&fwd, &Peers::ipv4(&fwd), &[], &[]);
}

#[test]
fn the_hosts_own_traffic_of_every_kind_goes_on_beside_xdp() {
    let fwd = Fwd::with_xdp(&TestbedSpec::default());
    goes_on(&fwd, &Peers::ipv4(&fwd), &[], &[]);
}

#[test]
fn the_hosts_own_traffic_of_every_kind_goes_on_beside_the_kernels_path() {
    let fwd = Fwd::new();
    goes_on(&fwd, &Peers::ipv4(&fwd), &["--datapath", "kernel"], &KEPT);
}

#[test]
fn the_hosts_own_traffic_by_ipv6_goes_on() {
    let fwd = Fwd::with(&with_ipv6());
    goes_on(&fwd, &Peers::ipv6(&fwd), &[], &KEPT);
}

#[test]
fn the_hosts_own_traffic_by_ipv6_goes_on_beside_xdp() {
    let fwd = Fwd::with_xdp(&with_ipv6());
    goes_on(&fwd, &Peers::ipv6(&fwd), &[], &KEPT);
}

#[test]
fn the_hosts_own_traffic_by_ipv6_goes_on_beside_the_kernels_path() {
    let fwd = Fwd::with(&with_ipv6());
    goes_on(&fwd, &Peers::ipv6(&fwd), &["--datapath", "kernel"], &KEPT);
}

#[test]
fn the_hosts_own_traffic_goes_on_where_anyone_may_write_to_a_mapped_port() {
    let fwd = Fwd::new();
    goes_on(&fwd, &Peers::ipv4(&fwd), &["--nat", "eim-eif"], &[]);
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
    let peers = Peers::ipv4(&fwd);
    let _server = peers.serve(&fwd);
    // What would have to get another port is the one thing that they are needed for.
    let pod = fwd.up("c1", &[]);
    peers.keep_busy(&pod, 5001);
    forget_slow_paths(&fwd);
    let recording = Recording::start(&fwd, fwd.internet(0), "inet0");
    peers.assert_well(&fwd, "without the slow paths", &[]);
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
    let _server = Peers::ipv4(&fwd).serve(&fwd);
    let pod = fwd.up("c1", &[]);
    asked(&udp(&pod, ANY), at(RESERVED, 7000), b"is it you?");
    assert!(pings(&pod, RESERVED));
    assert_eq!(fwd.counted("from_ns", "dropped", Some("Martian")), 0);
}
