//! What changes in the packet that an error of ICMPv6 embeds, and the checksum of the error. What changes in the outer header is a
//! [`HeaderRewrite`](crate::decide::rewrite::ipv6::HeaderRewrite).

use super::Embedded;
use crate::{
    decide::{fragment::ipv6::masked, icmp_error::rewrite::put, rewrite::Side},
    types::checksum::Checksum,
    wire::{
        extension::FRAGMENT_ID,
        icmpv6, ipv6,
        l4::{self, ipv6::has_ports},
    },
};

/// What changes in the embedded packet, and the checksum over it: offsets and new values. An offset of 0 is no write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmbeddedRewrite {
    /// Where the embedded address stands.
    pub addr_off: usize,
    /// The embedded port or identifier.
    pub port: (usize, [u8; 2]),
    /// The embedded identification of a fragment.
    pub id: (usize, [u8; 4]),
    /// The embedded transport checksum.
    pub l4_check: (usize, [u8; 2]),
    /// The outer checksum.
    pub icmp_check: (usize, [u8; 2]),
}

impl Embedded {
    /// Replaces one side of the embedded packet: its address, which adds `delta` to a sum (see [`delta`](crate::types::checksum::delta)), and
    /// its port. `outer` is what the address that changes in the outer header adds; 0 if none does. The embedded transport checksum is kept
    /// as right or wrong as it was.
    #[inline(always)]
    #[must_use]
    pub fn rewrite(&self, side: Side, delta: u32, port: [u8; 2], outer: u32) -> EmbeddedRewrite {
        let (old_port, addr_field, port_field) = match side {
            Side::Source => (self.l4.src_port, ipv6::field::SRC, l4::field::SRC_PORT),
            Side::Destination => (self.l4.dst_port, ipv6::field::DST, l4::field::DST_PORT),
        };
        let proto = self.upper.proto;
        let port_field = if proto == icmpv6::PROTO { icmpv6::field::REST } else { port_field };
        let (port, port_off) =
            if has_ports(proto) { (port, self.upper.off.wrapping_add(port_field)) } else { (old_port, 0) };
        // Of each word the old one's complement, and the new one.
        let replaced = |old: u16, new: u16| u64::from(!old).wrapping_add(new.into());
        let sum = replaced(u16::from_ne_bytes(old_port), u16::from_ne_bytes(port)).wrapping_add(delta.into());
        let before = Checksum::new(u16::from_ne_bytes(self.l4.check));
        let after = if self.l4.check_off == 0 { before } else { before.plus(sum, true, proto) };
        let sum = sum.wrapping_add(outer.into()).wrapping_add(replaced(before.raw(), after.raw()));
        EmbeddedRewrite {
            addr_off: self.ip.off.wrapping_add(addr_field),
            port: (port_off, port),
            id: (0, self.upper.id.to_be_bytes()),
            l4_check: (self.l4.check_off, after.raw().to_ne_bytes()),
            icmp_check: (self.icmp_off.wrapping_add(icmpv6::field::CHECK), plus(self.icmp_check, sum)),
        }
    }
}

impl EmbeddedRewrite {
    /// The same, and the identification of a fragment (of `embedded`) shows without the mask under which it left: what a router tells shows
    /// nobody the mask.
    #[inline(always)]
    #[must_use]
    pub fn unmasked(self, embedded: &Embedded, mask: u32) -> Self {
        let upper = &embedded.upper;
        if !upper.fragment || mask == 0 {
            return self;
        }
        let (old, id) = (upper.id.to_be_bytes(), masked(upper.id, mask).to_be_bytes());
        let (at, check) = self.icmp_check;
        let sum = u64::from(!u32::from_ne_bytes(old)).wrapping_add(u32::from_ne_bytes(id).into());
        Self { id: (upper.fragment_off.wrapping_add(FRAGMENT_ID), id), icmp_check: (at, plus(check, sum)), ..self }
    }

    /// Applies it to a packet, with the address. `None` if the packet is shorter than its headers say.
    #[must_use]
    pub fn apply(&self, packet: &mut [u8], addr: [u8; 16]) -> Option<()> {
        let Self { addr_off, port, id, l4_check, icmp_check } = *self;
        put(packet, (addr_off, addr))?;
        put(packet, port)?;
        put(packet, id)?;
        put(packet, l4_check)?;
        put(packet, icmp_check)
    }
}

/// The checksum of an ICMPv6 message after a change that adds `sum` to the sum under it.
#[inline(always)]
const fn plus(check: [u8; 2], sum: u64) -> [u8; 2] {
    Checksum::new(u16::from_ne_bytes(check)).plus(sum, true, icmpv6::PROTO).raw().to_ne_bytes()
}
