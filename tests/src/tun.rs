//! An uplink without link-layer header: a TUN device, whose packets a program carries to another one in the internet.

use std::{fs::File, net::Ipv4Addr};

use forwarder::testbed::{Process, command_in, http, wait_until};

use crate::{
    capture::Capture,
    fwd::{Fwd, Pod, inside, pings, text, told, try_inside},
    peers::{ANY, PATIENCE, any, asked, at, connect, echo_tcp, echo_udp, echoed, listen, udp},
};

/// The host's address on the tunnel, and the internet's.
const NEAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const FAR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
/// As WireGuard has it, bytes.
const MTU: u32 = 1420;

/// Makes `tun0` in its own network namespace and in that of a file, and carries packets between them; with offloads, also
/// segments to be cut and checksums to be finished (include/uapi/linux/if_tun.h).
const RELAY: &str = "import ctypes, fcntl, os, select, struct, sys
offloads = sys.argv[2] == 'offloads'
def tun():
    fd = os.open('/dev/net/tun', os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, 0x400454ca, struct.pack('16sH22x', b'tun0', 0x1001 | (0x4000 if offloads else 0)))
    if offloads:
        fcntl.ioctl(fd, 0x400454d0, 0x01 | 0x02)
    return fd
ends = [tun()]
if ctypes.CDLL(None).setns(os.open(sys.argv[1], os.O_RDONLY), 0x40000000):
    sys.exit('setns')
ends.append(tun())
print('ready', flush=True)
while True:
    for fd in select.select(ends, [], [])[0]:
        try:
            os.write(ends[0] if fd == ends[1] else ends[1], os.read(fd, 70000))
        except OSError:
            pass";

/// A host whose default route leaves by `tun0`, and the program that carries its packets.
struct Tunnel {
    // Ends before the namespaces.
    _relay: Process,
    fwd: Fwd,
}

/// Makes `tun0` at the host and at the internet behind its first uplink; the program carries packets between them while it runs.
#[track_caller]
pub(crate) fn carry(fwd: &Fwd, offloads: bool) -> Process {
    let far = format!("/run/netns/{}", fwd.internet(0).name());
    let offloads = if offloads { "offloads" } else { "plain" };
    let relay = command_in(fwd.host(), &["python3", "-c", RELAY, &far, offloads]);
    let relay = Process::spawn(relay).expect("python3 starts");
    let ready = || Ok(relay.stdout().contains("ready").then_some(()));
    wait_until(PATIENCE, "the tunnel is there", ready).unwrap_or_else(|e| panic!("{e}: {}", relay.stderr()));
    relay
}

impl Tunnel {
    fn new(offloads: bool) -> Self {
        let fwd = Fwd::new();
        let relay = carry(&fwd, offloads);
        for (ns, here, there) in [(fwd.host(), NEAR, FAR), (fwd.internet(0), FAR, NEAR)] {
            let script = format!(
                "ip link set tun0 mtu {MTU} up
                 ip address add {here} peer {there} dev tun0"
            );
            inside(ns, &["sh", "-ec", &script]);
        }
        fwd.on_host(&["ip", "route", "replace", "default", "dev", "tun0"]);
        Self { _relay: relay, fwd }
    }

    fn outside(&self) -> Ipv4Addr {
        self.fwd.uplink(0).outside[0]
    }
}

/// Packets that came by the tunnel, of any size.
fn received(fwd: &Fwd) -> u64 {
    let shown = fwd.on_host(&["ip", "-j", "-s", "link", "show", "dev", "tun0"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    shown[0]["stats64"]["rx"]["packets"].as_u64().expect("a number")
}

/// Downloads from the internet, and what comes is what was served.
#[track_caller]
fn download(tunnel: &Tunnel, pod: &Pod, length: u64) {
    let (fwd, outside) = (&tunnel.fwd, tunnel.outside());
    let server = http::Server::start(fwd.internet(0), at(outside, 80)).expect("a server");
    let file = fwd.run_dir().join("download");
    let url = format!("http://{outside}/{length}");
    inside(pod, &["curl", "-sSf", "-o", file.to_str().expect("UTF-8"), &url]);
    http::Body::new(length).verify(File::open(&file).expect("it is there")).expect("it is what was served");
    assert!(server.clients().iter().all(|client| client.ip() == NEAR), "{:?}", server.clients());
}

/// Sends as much over TCP, and gets it back.
#[track_caller]
fn there_and_back(tunnel: &Tunnel, pod: &Pod) {
    let server = at(tunnel.outside(), 9000);
    let clients = echo_tcp(listen(tunnel.fwd.internet(0), server), 1);
    let stream = connect(pod, ANY, server).expect("it connects");
    (0..50).for_each(|_| echoed(&stream, &[7; 50_000]));
    drop(stream);
    assert_eq!(clients.join().expect("the server")[0].ip(), NEAR);
}

#[test]
fn namespace_reaches_the_outside_through_a_tunnel() {
    let tunnel = Tunnel::new(false);
    let fwd = &tunnel.fwd;
    let pod = fwd.up("c1", &[]);
    assert_eq!(text(&pod.shown["uplink"]), "tun0", "the default route leaves by it");
    assert_eq!(pod.shown["mtu"], MTU);
    let capture = Capture::on(fwd, "tun0");
    assert!(pings(&pod, tunnel.outside()) && pings(&pod, FAR) && pings(&pod, NEAR));
    let server = at(tunnel.outside(), 9000);
    let seen = echo_udp(udp(fwd.internet(0), server), 1);
    asked(&udp(&pod, ANY), server, b"odd");
    assert_eq!(seen.join().expect("the server")[0].ip(), NEAR);
    download(&tunnel, &pod, 10_000_000);
    there_and_back(&tunnel, &pod);
    capture.assert_empty();
    assert!(fwd.counted("from_ns", "forwarded", None) > 1_000, "the fast path was used");
    assert!(fwd.counted("from_uplink", "forwarded", None) > 1_000, "the fast path was used");
    let pins = fwd.pins();
    let pinned = fwd.on_host(&["find", pins.to_str().expect("UTF-8"), "-name", "*_l3*"]);
    assert_eq!(pinned.lines().count(), 4, "two programs and their links: {pinned}");
    fwd.down("c1");
    assert!(!pins.exists(), "the last takes everything with it");
}

#[test]
fn published_port_is_reached_by_a_tunnel() {
    let tunnel = Tunnel::new(false);
    let pod = tunnel.fwd.up("c1", &["-p", "8080:80"]);
    let clients = echo_tcp(listen(&pod, any(80)), 1);
    let stream = connect(tunnel.fwd.internet(0), at(FAR, 0), at(NEAR, 8080)).expect("it is published");
    echoed(&stream, b"hello");
    drop(stream);
    assert_eq!(clients.join().expect("the server")[0].ip(), FAR);
}

#[test]
fn segments_and_checksums_are_left_to_the_receiver() {
    let tunnel = Tunnel::new(true);
    let pod = tunnel.fwd.up("c1", &["--uplink", "tun0"]);
    let capture = Capture::on(&tunnel.fwd, "tun0");
    download(&tunnel, &pod, 100_000_000);
    there_and_back(&tunnel, &pod);
    capture.assert_empty();
    // Each packet on the tunnel may carry many segments; the counters show what a wire would.
    let carried = received(&tunnel.fwd);
    let delivered = tunnel.fwd.counted("from_uplink", "forwarded", None);
    assert!(delivered > 70_000 && carried * 2 < delivered, "{carried} packets carried {delivered} segments");
}

#[test]
fn kernel_answers_for_packets_at_their_end_in_a_tunnel() {
    let tunnel = Tunnel::new(false);
    let fwd = &tunnel.fwd;
    let pod = fwd.up("c1", &["--mtu", "1300"]);
    let ping = told(&pod, &["-t", "1", &tunnel.outside().to_string()]);
    assert!(ping.stdout.contains(&format!("From {} ", pod.gateway)) && ping.stdout.contains("exceeded"), "{ping:?}");
    // A reply that is too large for the namespace: its sender hears of it, about the packet that it sent.
    let server = at(tunnel.outside(), 9000);
    let (client, server_end) = (udp(&pod, ANY), udp(fwd.internet(0), server));
    client.send_to(b"hello", server).expect("it leaves");
    let (_, from) = server_end.recv_from(&mut [0; 16]).expect("it arrives");
    server_end.connect(from).expect("a socket");
    server_end.send(&[0; 1392]).expect("it leaves");
    let error = server_end.recv(&mut [0; 16]).expect_err("the host says that it is too large");
    assert_eq!(error.raw_os_error(), Some(nix::errno::Errno::EMSGSIZE as i32), "{error}");
    assert_eq!(fwd.counted("from_uplink", "punted", Some("TooBig")), 1);
    assert_eq!(fwd.counted("to_uplink", "punted", Some("IcmpError")), 1);
}

#[test]
fn addresses_of_namespaces_cannot_be_reached_through_a_tunnel() {
    let tunnel = Tunnel::new(false);
    let fwd = &tunnel.fwd;
    let pod = fwd.up("c1", &[]);
    inside(fwd.internet(0), &["ip", "route", "add", "10.77.0.0/16", "dev", "tun0"]);
    let argv = ["ping", "-n", "-c", "3", "-i", "0.1", "-W", "1", &pod.address.to_string()];
    assert!(!try_inside(fwd.internet(0), &argv).status.success());
    assert_eq!(fwd.counted("from_uplink", "dropped", Some("DirectToEndpoint")), 3);
}

#[test]
fn host_and_namespace_share_a_port_through_a_tunnel() {
    let tunnel = Tunnel::new(false);
    let fwd = &tunnel.fwd;
    let pod = fwd.up("c1", &[]);
    let server = at(tunnel.outside(), 9000);
    let first = echo_udp(udp(fwd.internet(0), server), 1);
    let inside = udp(&pod, ANY);
    asked(&inside, server, b"namespace");
    let external = first.join().expect("the server")[0];
    let seen = echo_udp(udp(fwd.internet(0), server), 3);
    let host = udp(fwd.host(), any(external.port()));
    asked(&host, server, b"host");
    asked(&inside, server, b"namespace");
    asked(&host, server, b"host");
    let seen = seen.join().expect("the server");
    assert_eq!((seen[1], seen[0]), (external, seen[2]));
    assert!(seen[0].ip() == NEAR && seen[0] != external, "two sockets, two external ports: {seen:?}");
    assert!(fwd.counted("to_uplink", "punted", Some("HostFlow")) >= 2);
}

#[test]
fn flows_survive_a_tunnel_that_goes_down_and_up() {
    let tunnel = Tunnel::new(false);
    let fwd = &tunnel.fwd;
    let pod = fwd.up("c1", &[]);
    let server = at(tunnel.outside(), 9000);
    let clients = echo_tcp(listen(fwd.internet(0), server), 1);
    let stream = connect(&pod, ANY, server).expect("it connects");
    echoed(&stream, b"before");
    fwd.on_host(&["ip", "link", "set", "tun0", "down"]);
    fwd.on_host(&["sh", "-c", "ip link set tun0 up && ip route replace default dev tun0"]);
    echoed(&stream, b"after");
    drop(stream);
    assert_eq!(clients.join().expect("no reset").len(), 1);
}
