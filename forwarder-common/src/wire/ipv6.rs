//! IPv6 (RFC 8200 §3), and what its addresses say (RFC 4291).

use network_types::ip::Ipv6Hdr;

use crate::{
    types::{checksum, verdict::DropReason},
    wire::packet::PacketBytes,
};

/// Offsets of the fields from the start of the header, bytes.
pub mod field {
    use core::mem::offset_of;

    use super::Ipv6Hdr;

    /// Version, traffic class and flow label: 32 bits.
    pub const FIRST: usize = offset_of!(Ipv6Hdr, vcf);
    /// Length of what follows the header, bytes.
    pub const PAYLOAD_LEN: usize = offset_of!(Ipv6Hdr, payload_len);
    /// What follows: an extension header, or the protocol of the payload.
    pub const NEXT_HEADER: usize = offset_of!(Ipv6Hdr, next_hdr);
    /// Hop limit.
    pub const HOP_LIMIT: usize = offset_of!(Ipv6Hdr, hop_limit);
    /// Source address.
    pub const SRC: usize = offset_of!(Ipv6Hdr, src_addr);
    /// Destination address.
    pub const DST: usize = offset_of!(Ipv6Hdr, dst_addr);
}

/// Length of the header, bytes.
pub const LEN: usize = Ipv6Hdr::LEN;

/// The address of nobody: the source of who has none yet.
pub const UNSPECIFIED: [u8; 16] = [0; 16];

/// What is read of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Source address.
    pub src: [u8; 16],
    /// Destination address.
    pub dst: [u8; 16],
    /// What follows: an extension header, or the protocol of the payload.
    pub next_header: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Traffic class: DSCP and ECN.
    pub traffic_class: u8,
    /// Flow label, 20 bits.
    pub flow_label: u32,
    /// Length of what follows the header, bytes; 0 is that of jumbograms and BIG TCP too.
    pub payload_len: u16,
    /// Offset of this header from the start of the packet, bytes.
    pub off: usize,
}

impl Header {
    /// Offset of what follows the header from the start of the packet, bytes.
    #[inline(always)]
    #[must_use]
    pub const fn payload_off(&self) -> usize {
        self.off.wrapping_add(LEN)
    }

    /// Offset of the end from the start of the packet, as the header says, bytes.
    #[inline(always)]
    #[must_use]
    pub const fn end(&self) -> usize {
        self.payload_off().wrapping_add(self.payload_len as usize)
    }

    /// The sum over the pseudo-header (RFC 8200 §8.1) of `length` bytes of `proto`.
    #[inline(always)]
    #[must_use]
    pub const fn pseudo_sum(&self, proto: u8, length: u32) -> [u8; 2] {
        checksum::pseudo_sum_v6(self.src, self.dst, proto, length)
    }
}

/// Reads the header at `off`.
///
/// # Errors
/// [`DropReason::Truncated`], or [`DropReason::Malformed`] for another version.
#[inline(always)]
pub fn parse<P: PacketBytes>(packet: &P, off: usize) -> Result<Header, DropReason> {
    let first = u32::from_be_bytes(packet.load::<4>(off)?);
    let [length_high, length_low, next_header, hop_limit] = packet.load::<4>(off.wrapping_add(field::PAYLOAD_LEN))?;
    let src = packet.load::<16>(off.wrapping_add(field::SRC))?;
    let dst = packet.load::<16>(off.wrapping_add(field::DST))?;
    if first >> 28 != 6 {
        return Err(DropReason::Malformed);
    }
    Ok(Header {
        src,
        dst,
        next_header,
        hop_limit,
        traffic_class: (first >> 20) as u8,
        flow_label: first & 0xf_ffff,
        payload_len: u16::from_be_bytes([length_high, length_low]),
        off,
    })
}

/// Whether two addresses are the same. By whole words: byte by byte it is a call for the programs.
#[inline(always)]
#[must_use]
pub const fn is_same(one: [u8; 16], other: [u8; 16]) -> bool {
    u128::from_ne_bytes(one) == u128::from_ne_bytes(other)
}

/// An address as words of memory.
#[inline(always)]
#[must_use]
pub const fn words([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]: [u8; 16]) -> [u32; 4] {
    [
        u32::from_ne_bytes([a, b, c, d]),
        u32::from_ne_bytes([e, f, g, h]),
        u32::from_ne_bytes([i, j, k, l]),
        u32::from_ne_bytes([m, n, o, p]),
    ]
}

/// The address of which these are the words of memory.
#[inline(always)]
#[must_use]
pub const fn of_words([a, b, c, d]: [u32; 4]) -> [u8; 16] {
    let [a, b, c, d] = [a as u128, b as u128, c as u128, d as u128];
    if cfg!(target_endian = "little") {
        (a | b << 32 | c << 64 | d << 96).to_ne_bytes()
    } else {
        (d | c << 32 | b << 64 | a << 96).to_ne_bytes()
    }
}

/// Whether it is the address of nobody.
#[inline(always)]
#[must_use]
pub const fn is_unspecified(addr: [u8; 16]) -> bool {
    is_same(addr, UNSPECIFIED)
}

/// Whether it is the loopback address, `::1`.
#[inline(always)]
#[must_use]
pub const fn is_loopback(addr: [u8; 16]) -> bool {
    u128::from_be_bytes(addr) == 1
}

/// Whether it stands for an address of IPv4 (`::ffff:0:0/96`, RFC 4291 §2.5.5.2): for programs, not for the wire.
#[inline(always)]
#[must_use]
pub const fn is_mapped(addr: [u8; 16]) -> bool {
    u128::from_be_bytes(addr) >> 32 == 0xffff
}

/// Whether it is multicast (`ff00::/8`).
#[inline(always)]
#[must_use]
pub const fn is_multicast(addr: [u8; 16]) -> bool {
    addr[0] == 0xff
}

/// Whether it is multicast that never leaves its interface, or of the reserved scope 0 (RFC 4291 §2.7).
#[inline(always)]
#[must_use]
pub const fn is_multicast_of_interface(addr: [u8; 16]) -> bool {
    is_multicast(addr) && addr[1] & 0x0f <= 1
}

/// Whether it is unicast of one link (`fe80::/10`).
#[inline(always)]
#[must_use]
pub const fn is_link_local(addr: [u8; 16]) -> bool {
    addr[0] == 0xfe && addr[1] & 0xc0 == 0x80
}

/// The address of its link that an interface gives itself by its hardware address (RFC 4291 appendix A).
#[inline(always)]
#[must_use]
pub const fn link_local_of([a, b, c, d, e, f]: [u8; 6]) -> [u8; 16] {
    [0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 0x02, b, c, 0xff, 0xfe, d, e, f]
}

/// The hardware address by which an interface gives itself the address `addr` of its link: the inverse of [`link_local_of`]. None of any other address.
#[inline(always)]
#[must_use]
pub const fn mac_of_link_local(addr: [u8; 16]) -> Option<[u8; 6]> {
    let [.., a, b, c, _, _, d, e, f] = addr;
    let mac = [a ^ 0x02, b, c, d, e, f];
    if is_same(addr, link_local_of(mac)) { Some(mac) } else { None }
}

/// The group of those that may have `addr` (RFC 4291 §2.7.1), whom neighbour discovery asks.
#[inline(always)]
#[must_use]
pub const fn solicited_node([.., a, b, c]: [u8; 16]) -> [u8; 16] {
    [0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c]
}

#[cfg(test)]
mod tests {
    use core::net::Ipv6Addr;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn addresses_are_told_as_the_standard_library_tells_them(bytes: [u8; 16], start in 0_usize..6) {
            let starts: [&[u8]; 6] = [&[], &[0; 15], &[0xff], &[0xfe, 0x80], &[0; 10], &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]];
            let mut addr = bytes;
            addr[..starts[start].len()].copy_from_slice(starts[start]);
            let known = Ipv6Addr::from(addr);
            prop_assert_eq!(of_words(words(addr)), addr);
            prop_assert_eq!(is_unspecified(addr), known.is_unspecified());
            prop_assert_eq!(is_loopback(addr), known.is_loopback());
            prop_assert_eq!(is_mapped(addr), known.to_ipv4_mapped().is_some());
            prop_assert_eq!(is_multicast(addr), known.is_multicast());
            prop_assert_eq!(is_link_local(addr), known.is_unicast_link_local());
        }
    }

    #[test]
    fn derived_addresses_are_those_of_the_rfc() {
        let addr = |text: &str| text.parse::<Ipv6Addr>().expect("an address").octets();
        assert_eq!(link_local_of([0x02, 0x77, 10, 77, 0, 2]), addr("fe80::77:aff:fe4d:2"));
        assert_eq!(mac_of_link_local(addr("fe80::77:aff:fe4d:2")), Some([0x02, 0x77, 10, 77, 0, 2]));
        for other in [
            "fe80::1:77:aff:fe4d:2",
            "fe81::77:aff:fe4d:2",
            "fe80::77:aff:fe4c:2:1",
            "fd00::77:aff:fe4d:2",
            "fe80::77:a00:fe4d:2",
        ] {
            assert_eq!(mac_of_link_local(addr(other)), None, "{other}");
        }
        assert_eq!(solicited_node(addr("4037::1:800:200e:8c6c")), addr("ff02::1:ff0e:8c6c"));
        for (text, expected) in
            [("ff01::1", true), ("ff00::1", true), ("ff11::1", true), ("ff02::1", false), ("fe01::1", false)]
        {
            assert_eq!(is_multicast_of_interface(addr(text)), expected, "{text}");
        }
    }
}
