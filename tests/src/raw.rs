//! Frames of our own making, sent by a packet socket: what no well-behaved program sends.

use std::{fmt::Write as _, net::SocketAddrV4};

use forwarder::{netlink::Netlink, netns::Netns, testbed::Output};
use forwarder_common::wire::emit::{Ethernet, Packet, Sum};

use crate::fwd::{inside, try_inside};

/// Sends frames, Ethernet header included, by `interface` of `ns`. Those that are dropped meanwhile are sent all the same.
#[track_caller]
pub(crate) fn send(ns: &Netns, interface: &str, frames: &[Vec<u8>]) {
    send_as(ns, interface, Told::default(), frames);
}

/// What a packet socket tells the kernel besides.
#[derive(Clone, Copy, Default)]
pub(crate) struct Told {
    /// The Ethernet type of the frame; 0 has the kernel look.
    pub(crate) protocol: u16,
    /// The frame passes by the queue (`PACKET_QDISC_BYPASS`).
    pub(crate) bypass: bool,
}

/// As [`send`], by a socket that tells this.
#[track_caller]
pub(crate) fn send_as(ns: &Netns, interface: &str, Told { protocol, bypass }: Told, frames: &[Vec<u8>]) {
    // Where a program drops the frame within the call (netkit), that says ENOBUFS.
    const PROGRAM: &str = "import errno, socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.setsockopt(263, 20, int(sys.argv[3]))  # SOL_PACKET, PACKET_QDISC_BYPASS
for frame in sys.argv[4:]:
    try:
        s.sendto(bytes.fromhex(frame), (sys.argv[1], int(sys.argv[2])))
    except OSError as error:
        if error.errno != errno.ENOBUFS:
            raise";
    let told = [protocol.to_string(), u8::from(bypass).to_string()];
    let frames: Vec<String> = frames.iter().map(|frame| hex(frame)).collect();
    let argv = ["python3", "-c", PROGRAM, interface].into_iter();
    inside(ns, &argv.chain(told.iter().chain(&frames).map(String::as_str)).collect::<Vec<_>>());
}

/// As [`send`], but once a program at the interface has refused a frame no more are sent.
#[track_caller]
pub(crate) fn try_send(ns: &Netns, interface: &str, frames: &[Vec<u8>]) -> Output {
    const PROGRAM: &str = "import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind((sys.argv[1], 0))
for frame in sys.argv[2:]:
    s.send(bytes.fromhex(frame))";
    let frames: Vec<String> = frames.iter().map(|frame| hex(frame)).collect();
    let argv: Vec<&str> =
        ["python3", "-c", PROGRAM, interface].into_iter().chain(frames.iter().map(String::as_str)).collect();
    try_inside(ns, &argv)
}

/// A frame whose checksum is left to a device: it adds up from `start` on, and writes `offset` bytes behind that.
pub(crate) struct Open {
    pub(crate) start: u16,
    pub(crate) offset: u16,
    pub(crate) frame: Vec<u8>,
}

/// Sends frames by `interface` of `ns` as a virtual machine does (`PACKET_VNET_HDR`).
#[track_caller]
pub(crate) fn send_open(ns: &Netns, interface: &str, frames: &[Open]) {
    const PROGRAM: &str = "import socket, struct, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.setsockopt(263, 15, 1)  # SOL_PACKET, PACKET_VNET_HDR
s.bind((sys.argv[1], 0))
for argument in sys.argv[2:]:
    start, offset, frame = argument.split(',')
    try:
        s.send(struct.pack('=BBHHHH', 1, 0, 0, 0, int(start), int(offset)) + bytes.fromhex(frame))
    except OSError as error:
        if error.errno != 105:  # ENOBUFS, as above
            sys.exit(f'{start} {offset} {frame}: {error}')";
    let frames: Vec<String> =
        frames.iter().map(|Open { start, offset, frame }| format!("{start},{offset},{}", hex(frame))).collect();
    inside(
        ns,
        &[&["python3", "-c", PROGRAM, interface], &frames.iter().map(String::as_str).collect::<Vec<_>>()[..]].concat(),
    );
}

fn hex(frame: &[u8]) -> String {
    frame.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes it");
        text
    })
}

/// The hardware address of an interface.
#[track_caller]
pub(crate) fn mac_of(ns: &Netns, interface: &str) -> [u8; 6] {
    let link = Netlink::open(ns).expect("a connection").link(interface).expect("links").expect("it is there");
    link.mac.expect("an Ethernet address")
}

/// A UDP datagram without checksum.
pub(crate) fn udp(from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> Packet {
    Packet::udp(from, to).payload(payload).sum(Sum::Unused)
}

/// A frame around an IPv4 packet.
pub(crate) fn frame(to: [u8; 6], from: [u8; 6], packet: &Packet) -> Vec<u8> {
    packet.in_frame(&Ethernet::new(to, from))
}
