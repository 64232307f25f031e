//! Which packet is which: a number that a packet has at both ends of a path, whatever translates it in between.
//!
//! Source NAT changes the address and port of the client, the TTL or hop limit, and the checksums. What identifies a packet beyond those:
//! the other side's address and port, the identification of IPv4 or the flow label of IPv6, and of TCP its sequence numbers, flags
//! and window; of UDP and ICMP echo the beginning of the payload.

mod ipv4;
mod ipv6;

pub use self::{
    ipv4::{WORDS, key},
    ipv6::{WORDS_IPV6, key_ipv6},
};
use crate::{
    abi::LatencyConversation,
    types::direction::Direction,
    wire::{icmp, icmpv6, l4::Proto},
};

const TCP: u32 = Proto::Tcp as u32;
const UDP: u32 = Proto::Udp as u32;
const ICMP: u32 = Proto::Icmp as u32;
const ICMPV6: u32 = icmpv6::PROTO as u32;

/// What a transport header, and what follows it, tells of a packet.
#[derive(Clone, Copy)]
struct Transport {
    /// The other side's port; of an echo its type.
    port: u32,
    /// What differs from one packet of a conversation to the next, as the words lie in memory.
    text: [u32; 3],
}

/// Reads the first words of the transport header of `proto`, as they lie in memory; its packet has `length` bytes from there on, or an unknown
/// number, 0 (BIG TCP). Nothing of what is not measured.
#[inline(always)]
const fn transport(proto: u32, words: [u32; 5], length: u32, direction: Direction) -> Option<Transport> {
    let [w0, w1, w2, w3, w4] = words;
    let ports = u32::from_be(w0);
    let port = match direction {
        Direction::Outbound => ports & 0xffff,
        Direction::Inbound => ports >> 16,
    };
    let payload = [payload(w2, length, 12), payload(w3, length, 16), payload(w4, length, 20)];
    match proto {
        TCP => Some(Transport { port, text: [w1, w2, w3] }),
        UDP => Some(Transport { port, text: payload }),
        // Of an echo the identifier is translated.
        ICMP | ICMPV6 if is_echo(proto, ports >> 24) => {
            let ([a, b, c], sequence) = (payload, u32::from_be(w1) & 0xffff);
            Some(Transport { port: ports >> 24, text: [a, b, c ^ sequence] })
        }
        _ => None,
    }
}

#[inline(always)]
const fn is_echo(proto: u32, kind: u32) -> bool {
    let kind = kind as u8;
    if proto == ICMP {
        kind == icmp::ECHO_REQUEST || kind == icmp::ECHO_REPLY
    } else {
        kind == icmpv6::kind::ECHO_REQUEST || kind == icmpv6::kind::ECHO_REPLY
    }
}

/// A word of the payload, or 0 if the packet of `length` bytes ends before `end`: what follows then is the frame's padding.
#[inline(always)]
const fn payload(word: u32, length: u32, end: u32) -> u32 {
    if length.wrapping_sub(1) >= end.wrapping_sub(1) { word } else { 0 }
}

#[inline(always)]
const fn pair(high: u32, low: u32) -> u64 {
    (high as u64) << 32 | low as u64
}

/// The key of a time that an end of a conversation has sent: see [`timestamps`](super::timestamps()).
#[inline(always)]
#[must_use]
pub const fn key_of_time(conversation: &LatencyConversation, time: u32) -> u64 {
    let LatencyConversation { inside: [_, a, b, c], outside: [_, d, e, f], ports, path: _ } = *conversation;
    mix(sum([pair(c, f), pair(a ^ b, d ^ e ^ ports), pair(time, ports)]))
}

/// The sum of the terms, each times an odd factor of its own: packets that differ in one of them differ in the sum.
#[inline(always)]
const fn sum([a, b, c]: [u64; 3]) -> u64 {
    a.wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(b.wrapping_mul(0xbf58_476d_1ce4_e5b9))
        .wrapping_add(c.wrapping_mul(0x94d0_49bb_1331_11eb))
}

/// The finaliser of MurmurHash3: each bit of the result depends on each bit of `value`.
#[inline(always)]
const fn mix(mut value: u64) -> u64 {
    value ^= value >> 33;
    value = value.wrapping_mul(0xff51_afd7_ed55_8ccd);
    value ^= value >> 33;
    value = value.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    value ^ value >> 33
}
