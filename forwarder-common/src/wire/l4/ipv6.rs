//! Behind IPv6 and its extension headers: TCP, UDP, and echo of ICMPv6 (RFC 4443 §4), which is its only query.

use super::{Header, Proto, TCP, UDP, needed, tcp, udp};
use crate::{
    types::verdict::DropReason,
    wire::{extension::Upper, icmpv6, packet::PacketBytes},
};

/// Whether `proto`, as it stands in a header of IPv6, is translated by port or identifier.
#[inline(always)]
#[must_use]
pub const fn has_ports(proto: u8) -> bool {
    matches!(proto, TCP | UDP | icmpv6::PROTO)
}

/// Whether ports, or an identifier, stand behind the chain that ends at `upper`.
#[inline(always)]
#[must_use]
pub const fn shows_ports(upper: &Upper) -> bool {
    has_ports(upper.proto) && !upper.is_later_fragment()
}

/// The number of `proto` in a header of IPv6.
#[inline(always)]
#[must_use]
pub const fn number(proto: Proto) -> u8 {
    match proto {
        Proto::Icmp => icmpv6::PROTO,
        Proto::Tcp => TCP,
        Proto::Udp => UDP,
    }
}

/// Reads the transport header behind the chain that ends at `upper`, of a packet that ends at `end`.
///
/// # Errors
/// [`DropReason::Fragment`] for fragments, [`DropReason::Protocol`] for other protocols, [`DropReason::IcmpType`] for ICMPv6 other than
/// echo and its answer, [`DropReason::Truncated`] and [`DropReason::Malformed`].
#[inline(always)]
pub fn parse<P: PacketBytes>(packet: &P, upper: &Upper, end: usize) -> Result<Header, DropReason> {
    if upper.fragment {
        return Err(DropReason::Fragment);
    }
    read(packet, upper, end)
}

/// As [`parse`], also of a first fragment.
///
/// # Errors
/// [`DropReason::Fragment`] for later fragments, [`DropReason::FragmentTiny`] if a first one does not hold the whole header (RFC 7112),
/// otherwise as [`parse`].
#[inline(always)]
pub fn parse_first<P: PacketBytes>(packet: &P, upper: &Upper, end: usize) -> Result<Header, DropReason> {
    if upper.is_later_fragment() {
        return Err(DropReason::Fragment);
    }
    if upper.fragment && has_ports(upper.proto) && upper.off.wrapping_add(needed(upper.proto)) > end {
        return Err(DropReason::FragmentTiny);
    }
    read(packet, upper, end)
}

#[inline(always)]
fn read<P: PacketBytes>(packet: &P, upper: &Upper, end: usize) -> Result<Header, DropReason> {
    if !has_ports(upper.proto) {
        return Err(DropReason::Protocol);
    }
    // What follows in the frame is padding, and no ports.
    if upper.off.wrapping_add(needed(upper.proto)) > end {
        return Err(DropReason::Truncated);
    }
    match upper.proto {
        TCP => tcp(packet, upper.off),
        UDP => udp(packet, upper.off),
        _ => {
            let icmpv6::Header { kind, rest: [i0, i1, ..], .. } = icmpv6::parse(packet, upper.off, end)?;
            if !icmpv6::is_echo(kind) {
                return Err(DropReason::IcmpType);
            }
            let id = [i0, i1];
            Ok(Header {
                proto: Proto::Icmp,
                src_port: id,
                dst_port: id,
                tcp_flags: 0,
                icmp_type: kind,
                len: icmpv6::LEN,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use core::net::SocketAddrV6;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::wire::{
        emit::{Extension, Ipv6Packet},
        extension, ipv6,
    };

    fn sockets(ends: [[u8; 16]; 2], ports: [u16; 2]) -> [SocketAddrV6; 2] {
        [0, 1].map(|end| SocketAddrV6::new(ends[end].into(), ports[end], 0, 0))
    }

    fn read(packet: &[u8]) -> Result<Header, DropReason> {
        let ip = ipv6::parse(&packet, 0)?;
        parse_first(&packet, &extension::walk(&packet, &ip, ip.end())?, ip.end())
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            which in 0..3, ends: [[u8; 16]; 2], ports: [u16; 2], options in 0_usize..3, first: bool, payload in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let [from, to] = sockets(ends, ports);
            let (packet, proto, flags, kind, len) = match which {
                0 => (Ipv6Packet::tcp(from, to), Proto::Tcp, 2, 0, 20),
                1 => (Ipv6Packet::udp(from, to), Proto::Udp, 0, 0, 8),
                _ => (Ipv6Packet::echo(*from.ip(), *to.ip(), ports[0]), Proto::Icmp, 0, 128, 8),
            };
            let mut packet = packet.payload(&payload);
            for _ in 0..options {
                packet = packet.extension(Extension::Destination(std::vec![1; 9]));
            }
            if first {
                packet = packet.extension(Extension::Fragment { start: 0, more: true, id: 7 });
            }
            let l4 = read(&packet.emit()).unwrap();
            let to = if proto == Proto::Icmp { ports[0] } else { ports[1] };
            let expected = Header { proto, src_port: ports[0].to_be_bytes(), dst_port: to.to_be_bytes(), tcp_flags: flags, icmp_type: kind, len };
            prop_assert_eq!(l4, expected);
        }
    }

    #[test]
    fn what_has_no_ports_here_is_refused_for_its_reason() {
        let [from, to] = sockets([[1; 16], [2; 16]], [1, 2]);
        let fragment = |start, id| Extension::Fragment { start, more: true, id };
        let later: Vec<u8> = Ipv6Packet::udp(from, to).extension(fragment(1, 1)).emit();
        assert_eq!(read(&later), Err(DropReason::Fragment));
        assert_eq!(
            read(&Ipv6Packet::other(*from.ip(), *to.ip(), 132).payload(&[0; 20]).emit()),
            Err(DropReason::Protocol)
        );
        assert_eq!(read(&Ipv6Packet::icmp(*from.ip(), *to.ip(), 1, 0).emit()), Err(DropReason::IcmpType));
        let tiny = Ipv6Packet::tcp(from, to).extension(fragment(0, 1)).payload_len(8 + 16).emit();
        assert_eq!(read(&tiny), Err(DropReason::FragmentTiny));
        assert_eq!(read(&Ipv6Packet::udp(from, to).payload_len(7).emit()), Err(DropReason::Truncated));
        let upper = extension::walk(&tiny.as_slice(), &ipv6::parse(&tiny.as_slice(), 0).unwrap(), 64).unwrap();
        assert_eq!(parse(&tiny.as_slice(), &upper, 64), Err(DropReason::Fragment));
    }
}
