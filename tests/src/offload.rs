//! Checksums that a namespace leaves to a device: those of its packets are finished, and nothing else is written over.
//!
//! The uplink finishes no checksums here, as a simple network card: the kernel does so where the packet leaves, after everything
//! that looks at it.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

use forwarder::testbed::TestbedSpec;
use forwarder_common::{
    types::checksum::full,
    wire::emit::{self, Sum},
};

use crate::{
    capture::{Recording, finish_checksums},
    fwd::{Fwd, Pod, inside, pings},
    packet::{Packet, UDP},
    peers::{ANY, PATIENCE, asked, at, connect, echo_tcp, echoed, listen, udp},
    raw::{self, Open},
};

const PORT: u16 = 5000;
/// Where the transport header is.
const L4: u16 = 34;
const MARK: &[u8] = b"by a device";

/// A namespace with a conversation that is established, and a recording of what leaves.
struct Scene<'a> {
    fwd: &'a Fwd,
    pod: &'a Pod,
    server: SocketAddrV4,
    /// The external port.
    external: u16,
    macs: ([u8; 6], [u8; 6]),
    recording: Recording<'a>,
    _sockets: [UdpSocket; 2],
}

impl<'a> Scene<'a> {
    fn new(fwd: &'a Fwd, pod: &'a Pod) -> Self {
        finish_checksums(fwd.host(), "eth0");
        let server = at(fwd.uplink(0).outside[0], 7777);
        let socket = udp(fwd.internet(0), server);
        let client = udp(pod, at(pod.address, PORT));
        let mut external = 0;
        for _ in 0..5 {
            client.send_to(b"hello", server).expect("it leaves");
            let (_, from) = socket.recv_from(&mut [0; 16]).expect("it arrives");
            external = from.port();
            socket.send_to(b"hello", from).expect("it leaves");
            client.recv_from(&mut [0; 16]).expect("the answer arrives");
        }
        let macs = (raw::mac_of(fwd.host(), "fwd0"), raw::mac_of(pod, "eth0"));
        let recording = Recording::start(fwd, fwd.internet(0), "inet0");
        Self { fwd, pod, server, external, macs, recording, _sockets: [client, socket] }
    }

    fn frame(&self, packet: &emit::Packet) -> Vec<u8> {
        raw::frame(self.macs.0, self.macs.1, packet)
    }

    /// A datagram from a port of the namespace, whose checksum is so far the sum over the pseudo-header.
    fn unfinished(&self, port: u16, payload: &[u8]) -> emit::Packet {
        emit::Packet::udp(at(self.pod.address, port), self.server).payload(payload).sum(Sum::Partial)
    }

    fn dropped(&self, hook: &str, reason: &str) -> u64 {
        self.fwd.counted(hook, "dropped", Some(reason))
    }

    /// What left with the mark in it.
    fn seen(&self) -> Vec<Packet> {
        let marked = |packet: &Packet| packet.bytes.windows(MARK.len()).any(|window| window == MARK);
        self.recording.all().into_iter().filter(marked).collect()
    }
}

/// What a device would write elsewhere than into the checksum of the packet: start, offset, and whether it is of the conversation.
fn misplaced(scene: &Scene) -> Vec<Open> {
    let mut frames = Vec::new();
    for port in [PORT, PORT + 1] {
        // Over the ports, over the length, over both addresses.
        for (start, offset) in [(L4, 0), (L4, 2), (L4, 4), (20, 6), (20, 10), (L4 - 2, 8), (L4 + 2, 4)] {
            frames.push(Open { start, offset, frame: scene.frame(&scene.unfinished(port, MARK)) });
        }
    }
    // Fragments, and a protocol without ports.
    for fragmentation in [0x2000, 5] {
        let fragment = scene.unfinished(PORT, &[MARK, &[0; 5]].concat()).fragmentation(fragmentation);
        frames.push(Open { start: 20, offset: 6, frame: scene.frame(&fragment) });
    }
    let (from, to) = (scene.pod.address, *scene.server.ip());
    let gre = emit::Packet::other(from, to, 47).payload(MARK);
    frames.push(Open { start: 20, offset: 6, frame: scene.frame(&gre) });
    let echo = emit::Packet::icmp(from, to, 8, 0).icmp_rest([0, 1, 0, 1]).payload(MARK).sum(Sum::Unused);
    frames.extend([4, 6].map(|offset| Open { start: L4, offset, frame: scene.frame(&echo) }));
    // An error about an answer: over the port that it embeds.
    let answer = raw::udp(scene.server, at(from, PORT), MARK);
    let error = emit::Packet::icmp_error(from, to, 3, 3, &answer.emit());
    frames.push(Open { start: L4 + 8 + 20, offset: 2, frame: scene.frame(&error) });
    // What the kernel would cut: it finishes the checksum first.
    let large = scene.unfinished(PORT, &[MARK, &[0; 1430]].concat()).fragmentation(0);
    frames.push(Open { start: 20, offset: 6, frame: scene.frame(&large) });
    frames
}

#[track_caller]
fn assert_nothing_is_overwritten(attach: &str) {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &["--attach", attach]);
    let scene = Scene::new(&fwd, &pod);
    // Too small for the large one.
    fwd.on_host(&["ip", "link", "set", "eth0", "mtu", "1400"]);
    let frames = misplaced(&scene);
    let expected = frames.len() as u64;
    raw::send_open(&pod, "eth0", &frames);
    assert_eq!(scene.dropped("from_ns", "ChecksumOffload"), expected);
    let seen = scene.seen();
    assert!(seen.is_empty(), "{seen:#?}");
}

#[test]
fn nothing_but_a_checksum_is_overwritten_by_a_device() {
    assert_nothing_is_overwritten("tcx");
}

#[test]
fn nothing_but_a_checksum_is_overwritten_by_a_device_where_a_filter_forwards() {
    assert_nothing_is_overwritten("clsact");
}

/// What XDP sends keeps nothing of what was left to a device, and what the kernel would send for it goes by the other programs.
#[test]
fn nothing_is_overwritten_by_a_device_behind_xdp() {
    for gro in ["on", "off"] {
        let fwd = Fwd::with_xdp(&TestbedSpec::default());
        // Whether the uplink takes frames, or only packets.
        inside(fwd.internet(0), &["ethtool", "-K", "inet0", "gro", gro]);
        let pod = fwd.up("c1", &[]);
        assert_eq!(pod.shown["xdp"]["host_if"], if gro == "on" { "native" } else { "generic" });
        assert_intact_behind_xdp(&fwd, &pod);
    }
}

#[track_caller]
fn assert_intact_behind_xdp(fwd: &Fwd, pod: &Pod) {
    let scene = Scene::new(fwd, pod);
    inside(pod, &["ethtool", "-K", "eth0", "tx", "on"]);
    raw::send_open(pod, "eth0", &misplaced(&scene));
    let own = |packet: &&Packet| {
        let ports =
            packet.proto() != UDP || packet.fragment().0 != 0 || packet.ports().is_some_and(|(_, to)| to == 7777);
        packet.source() == fwd.uplink(0).address && packet.destination() == *scene.server.ip() && ports
    };
    let seen = scene.seen();
    assert_eq!(seen.iter().filter(own).count(), seen.len(), "{seen:#?}");
    let from = |packet: &Packet| packet.ports().map(|(from, _)| from);
    let of_flow = seen.iter().filter(|packet| packet.proto() == UDP).all(|packet| from(packet) == Some(scene.external));
    assert!(of_flow, "from the port of the conversation: {seen:#?}");
}

#[test]
fn what_is_left_to_a_device_in_its_place_arrives_right() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let scene = Scene::new(&fwd, &pod);
    let mut frames = Vec::new();
    for port in [PORT, PORT + 1] {
        frames.push(Open { start: L4, offset: 6, frame: scene.frame(&scene.unfinished(port, MARK)) });
        // As in a tunnel: the outer sum is whole, whatever the device writes into the inner packet.
        let inner = [0x12, 0x34, 1, 2, 3, 4, 5, 6];
        let [first, second] = full(&inner);
        let finished = [&[first, second], &inner[2..]].concat();
        let within = |inner: &[u8]| scene.unfinished(port, &[MARK, b"!", inner].concat());
        let whole = within(&finished).sum(Sum::Complete).emit();
        let packet = within(&inner).sum(Sum::Exact([whole[26], whole[27]]));
        let start = u16::try_from(14 + 20 + 8 + MARK.len() + 1).expect("short");
        frames.push(Open { start, offset: 0, frame: scene.frame(&packet) });
    }
    raw::send_open(&pod, "eth0", &frames);
    let seen = scene.seen();
    assert_eq!(seen.len(), 4, "{seen:#?}");
    for packet in &seen {
        assert_eq!((packet.faults(), packet.source()), (vec![], fwd.uplink(0).address), "{packet:?}");
    }
    assert_eq!(scene.dropped("from_ns", "ChecksumOffload"), 0);
}

#[test]
fn wrong_header_checksum_is_not_made_right_and_opens_nothing() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let scene = Scene::new(&fwd, &pod);
    let mut frames = Vec::new();
    for port in [PORT, PORT + 1] {
        let packet = raw::udp(at(pod.address, port), scene.server, MARK).header_sum(Sum::Wrong);
        frames.push(scene.frame(&packet));
        frames.push(scene.frame(&packet.fragmentation(0x2000)));
    }
    let flows = || fwd.list(&["flows", "--ns", &pod.name]).len();
    let before = flows();
    raw::send(&pod, "eth0", &frames);
    assert_eq!((scene.dropped("from_ns", "HeaderChecksum"), flows()), (4, before));
    assert!(scene.seen().is_empty());
}

#[test]
fn nothing_wrong_comes_in() {
    let fwd = Fwd::new();
    let pod = fwd.up("c1", &[]);
    let scene = Scene::new(&fwd, &pod);
    let within = Recording::start(&fwd, &pod, "eth0");
    let (to, from) = (raw::mac_of(fwd.host(), "eth0"), raw::mac_of(fwd.internet(0), "inet0"));
    let answer = raw::udp(scene.server, at(fwd.uplink(0).address, scene.external), MARK);
    let frame = |packet: &emit::Packet| raw::frame(to, from, packet);
    let open = |(start, offset)| Open { start, offset, frame: frame(&answer) };
    raw::send_open(fwd.internet(0), "inet0", &[(L4, 2), (20, 10), (L4, 0)].map(open));
    assert_eq!(scene.dropped("from_uplink", "ChecksumOffload"), 3);
    // A wrong header is the kernel's to throw away.
    raw::send(fwd.internet(0), "inet0", &[frame(&answer.clone().header_sum(Sum::Wrong))]);
    raw::send(fwd.internet(0), "inet0", &[frame(&answer)]);
    let marked = |packet: &Packet| packet.bytes.windows(MARK.len()).any(|window| window == MARK);
    within.find("the answer", marked);
    assert_eq!(within.all().iter().filter(|packet| marked(packet)).count(), 1);
}

/// The ends of a tunnel inside, which is as wide as an Ethernet frame allows.
const TUNNEL: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 168, 9, 1), Ipv4Addr::new(192, 168, 9, 2)];

/// VXLAN out of a namespace, with and without a checksum in its outer header. The inner checksums are left to the card, which finishes
/// none.
#[test]
fn tunnel_of_a_namespace_carries_what_it_should() {
    for sum in ["udpcsum", "noudpcsum"] {
        let fwd = Fwd::new();
        let pod = fwd.up("c1", &[]);
        assert!(pings(&pod, fwd.uplink(0).outside[0]));
        finish_checksums(fwd.host(), "eth0");
        finish_checksums(fwd.internet(0), "inet0");
        // One port on both sides, so that answers are those of one flow.
        let make = |local: Ipv4Addr, remote: Ipv4Addr, address: Ipv4Addr| {
            format!(
                "ip link add vx0 type vxlan id 7 local {local} remote {remote} dstport 4789 srcport 4789 4790 {sum}
                 ip link set vx0 mtu 1450 up
                 ip address add {address}/24 dev vx0"
            )
        };
        let (here, there) = (fwd.uplink(0).address, fwd.uplink(0).outside[0]);
        inside(fwd.internet(0), &["sh", "-ec", &make(there, here, TUNNEL[1])]);
        inside(&pod, &["sh", "-ec", &make(pod.address, there, TUNNEL[0])]);
        let recording = Recording::start(&fwd, fwd.internet(0), "inet0");
        let socket = udp(fwd.internet(0), at(TUNNEL[1], 7000));
        let client = udp(&pod, ANY);
        let echo = std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
            let (length, from) = socket.recv_from(&mut buffer).expect("it comes out of the tunnel");
            socket.send_to(&buffer[..length], from).expect("the answer enters");
        });
        asked(&client, at(TUNNEL[1], 7000), b"through the tunnel");
        echo.join().expect("the other end");
        let clients = echo_tcp(listen(fwd.internet(0), at(TUNNEL[1], 7001)), 1);
        let stream = connect(&pod, ANY, at(TUNNEL[1], 7001)).expect("it connects");
        echoed(&stream, &[7; 100_000][..1999]);
        for _ in 0..20 {
            echoed(&stream, &[9; 60_000]);
        }
        drop(stream);
        clients.join().expect("the server");
        let seen = recording.all();
        let outer: Vec<_> = seen.iter().filter(|packet| packet.ports().is_some_and(|(_, to)| to == 4789)).collect();
        let wrong: Vec<_> = outer.iter().filter(|packet| !packet.faults().is_empty()).take(5).collect();
        assert!(outer.len() > 20 && wrong.is_empty(), "{sum}: {} packets, {wrong:#?}", outer.len());
        assert_eq!(fwd.counted("from_ns", "dropped", Some("ChecksumOffload")), 0, "{sum}");
    }
}
