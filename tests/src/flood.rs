//! A flood: packets that each open a flow, from a raw socket, as fast as one thread sends.

use std::{
    io::IoSlice,
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::{AsRawFd as _, OwnedFd},
    time::{Duration, Instant},
};

use forwarder::{Context as _, Result, netns::Netns};
use forwarder_common::wire::emit::Packet;
use nix::{
    errno::Errno,
    sys::socket::{
        AddressFamily, MsgFlags, MultiHeaders, SockFlag, SockProtocol, SockType, SockaddrIn, sendmmsg, socket,
    },
};

use crate::chance::Random;

/// Packets sent by one system call.
const BATCH: usize = 64;
/// How long a flood may take: only what hangs meets it.
const LIMIT: Duration = Duration::from_secs(120);

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// SYNs to any port of any address that nobody has: no answer comes.
    SynToNobody,
    /// SYNs to any port of this host, which refuses them: an answer comes at once.
    SynToHost(Ipv4Addr),
    /// SYNs to this server, of which all answers are answered by a reset: ports become scarce towards it.
    SynToServer(SocketAddrV4),
    /// UDP to any port of any address that nobody has.
    UdpToNobody,
}

/// How it went.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sent {
    pub(crate) packets: u64,
    pub(crate) took: Duration,
}

/// Sends `count` packets from `source`, each from and to ports by chance.
///
/// # Errors
/// The kernel gives no raw socket, or cannot send for another reason than having no room at the moment.
pub(crate) fn send(ns: &Netns, source: Ipv4Addr, kinds: &[Kind], count: u64) -> Result<Sent> {
    let socket: OwnedFd = ns.run(|| {
        socket(AddressFamily::Inet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Raw)
            .doing("open", "a raw socket")
    })?;
    let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ count);
    let began = Instant::now();
    let mut sent = 0;
    while sent < count && began.elapsed() < LIMIT {
        let packets: Vec<_> = (0..BATCH)
            .map(|number| packet(source, kinds[(sent as usize / BATCH + number) % kinds.len()], &mut random))
            .collect();
        let slices: Vec<_> = packets.iter().map(|(packet, _)| [IoSlice::new(packet)]).collect();
        let addresses: Vec<_> = packets.iter().map(|(_, to)| Some(SockaddrIn::from(*to))).collect();
        let mut headers = MultiHeaders::preallocate(BATCH, None);
        match sendmmsg(socket.as_raw_fd(), &mut headers, &slices, &addresses, [], MsgFlags::empty()) {
            Ok(results) => sent += results.count() as u64,
            // Dropped on purpose: the sender is told.
            Err(Errno::ENOBUFS | Errno::EPERM) => {}
            Err(error) => return Err(error).doing("send", "a flood"),
        }
    }
    Ok(Sent { packets: sent, took: began.elapsed() })
}

/// An IPv4 packet, and where it goes.
fn packet(source: Ipv4Addr, kind: Kind, random: &mut Random) -> (Vec<u8>, SocketAddrV4) {
    let [a, b, c, d, e, f, g, _] = random.next().to_le_bytes();
    // The shared address space of providers (RFC 6598), to which the host's default route leads.
    let nobody = Ipv4Addr::new(100, 64 | e & 0x3f, f, g);
    // Ports that no connection of the namespace has: those are 32768 and above (`ip_local_port_range`). A SYN of the same tuple, and the reset with
    // which its own kernel answers the server, would be about the connection itself.
    let from = SocketAddrV4::new(source, 1024 + u16::from_be_bytes([a, b]) % (32_768 - 1024));
    let port = u16::from_be_bytes([0x40 | c & 0x3f, d]);
    let packet = match kind {
        Kind::SynToNobody => Packet::tcp(from, SocketAddrV4::new(nobody, port)),
        Kind::SynToHost(host) => Packet::tcp(from, SocketAddrV4::new(host, port)),
        Kind::SynToServer(server) => Packet::tcp(from, server),
        Kind::UdpToNobody => Packet::udp(from, SocketAddrV4::new(nobody, port)),
    };
    let to = SocketAddrV4::new(packet.dst, 0);
    (packet.id(0).fragmentation(0).emit(), to)
}
