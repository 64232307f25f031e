//! What changes in the packet that an ICMP error embeds. What changes in the outer header is a
//! [`HeaderRewrite`](crate::decide::rewrite::HeaderRewrite): an ICMP checksum does not know it.

use crate::{
    decide::{
        fragment,
        icmp_error::{Embedded, ICMP},
        rewrite::Side,
    },
    types::checksum::{self, Change, Checksum},
    wire::{icmp, ipv4, l4},
};

/// What changes in the embedded packet, and the checksum over it: offsets and new values. An offset of 0 is no write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmbeddedRewrite {
    /// The embedded address.
    pub addr: (usize, [u8; 4]),
    /// The embedded port or identifier.
    pub port: (usize, [u8; 2]),
    /// The embedded identification.
    pub id: (usize, [u8; 2]),
    /// The embedded IP checksum.
    pub ip_check: (usize, [u8; 2]),
    /// The embedded transport checksum.
    pub l4_check: (usize, [u8; 2]),
    /// The outer ICMP checksum.
    pub icmp_check: (usize, [u8; 2]),
}

impl Embedded {
    /// Replaces one side of the embedded packet. The embedded transport checksum is kept as right or wrong as it was: it may be
    /// partial (checksum offload), and nobody has to look at it (RFC 5508 REQ-3c).
    #[inline(always)]
    #[must_use]
    pub fn rewrite(&self, side: Side, addr: [u8; 4], port: [u8; 2]) -> EmbeddedRewrite {
        let (old_addr, old_port, addr_field, port_field) = match side {
            Side::Source => (self.ip.src, self.l4.src_port, ipv4::field::SRC, l4::field::SRC_PORT),
            Side::Destination => (self.ip.dst, self.l4.dst_port, ipv4::field::DST, l4::field::DST_PORT),
        };
        let port_field = if self.ip.proto == ICMP { icmp::field::ID } else { port_field };
        let (port, port_off) =
            if self.has_ports() { (port, self.ip.payload_off().wrapping_add(port_field)) } else { (old_port, 0) };
        let l4_check = self.l4_check_after((old_addr, addr), (old_port, port));
        EmbeddedRewrite {
            addr: (self.ip.off.wrapping_add(addr_field), addr),
            port: (port_off, port),
            id: (0, self.ip.id),
            ip_check: (
                self.ip.off.wrapping_add(ipv4::field::CHECK),
                checksum::update(self.ip.check, old_addr, addr, [0; 2], [0; 2]),
            ),
            l4_check: (self.l4.check_off, l4_check),
            // The embedded header still sums to the same with its own checksum updated: only what is behind it changes.
            icmp_check: (
                self.icmp_off.wrapping_add(icmp::field::CHECK),
                checksum::update16(checksum::update16(self.icmp_check, old_port, port), self.l4.check, l4_check),
            ),
        }
    }

    /// The embedded transport checksum after address and port changed, each given as before and after.
    #[inline(always)]
    fn l4_check_after(&self, addr: ([u8; 4], [u8; 4]), port: ([u8; 2], [u8; 2])) -> [u8; 2] {
        if self.l4.check_off == 0 {
            return self.l4.check;
        }
        let check = Checksum::new(u16::from_ne_bytes(self.l4.check));
        check.after(&Change::new(addr, port), self.ip.proto).raw().to_ne_bytes()
    }
}

impl EmbeddedRewrite {
    /// The same, and the identification of a fragment (`ip` is the embedded header) shows without the mask under which it left: what
    /// a router tells shows nobody the mask.
    #[inline(always)]
    #[must_use]
    pub const fn unmasked(self, ip: &ipv4::Header, mask: u16) -> Self {
        if !ip.fragment {
            return self;
        }
        let id = fragment::masked(ip.id, mask);
        let (at, check) = self.ip_check;
        Self {
            id: (ip.off.wrapping_add(ipv4::field::ID), id),
            ip_check: (at, checksum::update16(check, ip.id, id)),
            ..self
        }
    }

    /// Applies it to a packet. `None` if the packet is shorter than its headers say.
    #[must_use]
    pub fn apply(&self, packet: &mut [u8]) -> Option<()> {
        let Self { addr, port, id, ip_check, l4_check, icmp_check } = *self;
        put(packet, addr)?;
        put(packet, port)?;
        put(packet, id)?;
        put(packet, ip_check)?;
        put(packet, l4_check)?;
        put(packet, icmp_check)
    }
}

/// Overwrites `N` bytes at an offset other than 0.
pub(super) fn put<const N: usize>(packet: &mut [u8], (off, bytes): (usize, [u8; N])) -> Option<()> {
    if off != 0 {
        *packet.get_mut(off..)?.first_chunk_mut::<N>()? = bytes;
    }
    Some(())
}
