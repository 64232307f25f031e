//! Frames as they come from the endpoint, and what is in them.

use std::net::SocketAddrV4;

use forwarder_common::wire::{
    emit::{self, Ethernet, Sum},
    ethernet::ethertype,
    ipv4,
    l4::{self, Proto},
    packet::L3_OFF,
};

use super::fixture::{GATEWAY_MAC, MAC};
use crate::packet::Packet;

/// Bytes of payload behind the transport header.
const PAYLOAD: &[u8] = b"forwarded between namespaces";

/// The header of a frame of the endpoint.
pub(super) const ETHERNET: Ethernet = Ethernet::new(GATEWAY_MAC, MAC);

/// An IPv4 packet in such a frame.
pub(super) fn framed(packet: &[u8]) -> Vec<u8> {
    ETHERNET.around(ethertype::IPV4, packet)
}

/// A frame of TCP, UDP or ICMP echo with a payload.
#[derive(Clone, Debug)]
pub(super) struct Frame(emit::Packet);

impl Frame {
    /// A packet of `proto`; of ICMP, an echo request whose identifier is the port of `from`.
    pub(super) fn new(proto: Proto, from: SocketAddrV4, to: SocketAddrV4) -> Self {
        Self(emit::Packet::request(proto, from, to).payload(PAYLOAD))
    }

    /// The packet that answers: ends swapped, SYN-ACK, echo reply.
    pub(super) fn reply(proto: Proto, from: SocketAddrV4, to: SocketAddrV4) -> Self {
        Self(emit::Packet::answer(proto, from, to).payload(PAYLOAD))
    }

    /// The packet in it.
    pub(super) fn packet(&self) -> &emit::Packet {
        &self.0
    }

    pub(super) fn ttl(self, ttl: u8) -> Self {
        Self(self.0.ttl(ttl))
    }

    /// So many 32-bit words of IP options (no-operations).
    pub(super) fn options(self, words: usize) -> Self {
        Self(self.0.options(&vec![1; 4 * words]))
    }

    pub(super) fn tcp_flags(self, flags: u8) -> Self {
        Self(self.0.tcp_flags(flags))
    }

    /// UDP without a checksum (RFC 768: zero).
    pub(super) fn without_checksum(self) -> Self {
        Self(self.0.sum(Sum::Unused))
    }

    /// The bytes.
    pub(super) fn build(&self) -> Vec<u8> {
        framed(&self.0.emit())
    }
}

/// The socket that a frame comes from; for an ICMP echo, the identifier stands for the port.
#[track_caller]
pub(super) fn source(frame: &[u8]) -> SocketAddrV4 {
    ends(frame).0
}

/// The socket that it goes to.
#[track_caller]
pub(super) fn destination(frame: &[u8]) -> SocketAddrV4 {
    ends(frame).1
}

#[track_caller]
fn ends(frame: &[u8]) -> (SocketAddrV4, SocketAddrV4) {
    let ip = ipv4::parse(&frame, L3_OFF).expect("an IPv4 packet");
    let l4 = l4::parse(&frame, &ip).expect("a packet with ports");
    let socket = |address: [u8; 4], port| SocketAddrV4::new(address.into(), u16::from_be_bytes(port));
    (socket(ip.src, l4.src_port), socket(ip.dst, l4.dst_port))
}

/// Whether the IP checksum and, unless it is an unused UDP one, the transport checksum of `frame` are right.
#[track_caller]
pub(super) fn assert_checksums(frame: &[u8]) {
    let packet = Packet::parse(&frame[L3_OFF..]).expect("an IPv4 packet");
    assert!(packet.faults().is_empty(), "{packet:?}: {:?}", packet.faults());
}
