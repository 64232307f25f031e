//! Rewrites of IPv6: no checksum of the header, so that all that changes in it but the hop limit shows in the checksum behind it.

use super::{AddressRewrite, HeaderChange, Rewrite, Side, Ttl, put};
use crate::{
    decide::{address_only, fragment},
    types::checksum::folded,
    wire::{
        extension::{FRAGMENT_ID, Upper},
        ipv6,
        l4::{self, ipv6::number},
    },
};

/// What changes in the header, and of the chain behind it, where one address is translated. Offsets are in bytes from the start of the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderRewrite {
    /// Offset of the hop limit.
    pub hop_limit_off: usize,
    /// Hop limit after.
    pub hop_limit: u8,
    /// Offset of the address that changes.
    pub addr_off: usize,
    /// Address before.
    pub old_addr: [u8; 16],
    /// Address after.
    pub new_addr: [u8; 16],
    /// Offset of the identification of a fragment, 0 if none changes.
    pub id_off: usize,
    /// Identification after, network byte order.
    pub id: [u8; 4],
}

impl HeaderRewrite {
    /// Translates one side of `ip` to `addr`.
    #[inline(always)]
    #[must_use]
    pub fn new(side: Side, ip: &ipv6::Header, addr: [u8; 16], hops: Ttl) -> Self {
        let (old_addr, field) = match side {
            Side::Source => (ip.src, ipv6::field::SRC),
            Side::Destination => (ip.dst, ipv6::field::DST),
        };
        let hop_limit = match hops {
            Ttl::Decrement => ip.hop_limit.wrapping_sub(1),
            Ttl::Keep => ip.hop_limit,
        };
        Self {
            hop_limit_off: ip.off.wrapping_add(ipv6::field::HOP_LIMIT),
            hop_limit,
            addr_off: ip.off.wrapping_add(field),
            old_addr,
            new_addr: addr,
            id_off: 0,
            id: [0; 4],
        }
    }

    /// The same, and the identification of a fragment (its chain ends at `upper`) leaves under a mask: see [`fragment::ipv6::id_mask`].
    #[inline(always)]
    #[must_use]
    pub const fn masked(self, upper: &Upper, mask: u32) -> Self {
        if !upper.fragment || mask == 0 {
            return self;
        }
        let id_off = upper.fragment_off.wrapping_add(FRAGMENT_ID);
        Self { id_off, id: fragment::ipv6::masked(upper.id, mask).to_be_bytes(), ..self }
    }
}

impl HeaderChange for HeaderRewrite {
    #[inline(always)]
    fn addresses(&self) -> (u32, u32) {
        (folded(self.old_addr), folded(self.new_addr))
    }

    fn apply(&self, packet: &mut [u8]) -> Option<()> {
        put(packet, self.addr_off, self.new_addr)?;
        if self.id_off != 0 {
            put(packet, self.id_off, self.id)?;
        }
        put(packet, self.hop_limit_off, [self.hop_limit])
    }
}

impl Rewrite<HeaderRewrite> {
    /// Translates one side of the packet with the header `ip` and, behind the chain that ends at `upper`, `l4`, to `addr` and `port`.
    #[inline(always)]
    #[must_use]
    pub fn ipv6(
        side: Side,
        (ip, upper, l4): (&ipv6::Header, &Upper, &l4::Header),
        addr: [u8; 16],
        port: [u8; 2],
        hops: Ttl,
    ) -> Self {
        let change = Self::behind(HeaderRewrite::new(side, ip, addr, hops), side, l4, upper.off, port);
        Self { proto: number(l4.proto), ..change }
    }
}

impl AddressRewrite<HeaderRewrite> {
    /// Translates one side of the packet with the header `ip` and the chain that ends at `upper` to `addr`.
    #[inline(always)]
    #[must_use]
    pub fn ipv6(side: Side, ip: &ipv6::Header, upper: &Upper, addr: [u8; 16], hops: Ttl) -> Self {
        // The checksum stands in the first fragment, if there are several.
        let has_check = upper.proto == address_only::UDP_LITE && !upper.is_later_fragment();
        let check_off = if has_check { upper.off.wrapping_add(address_only::UDP_LITE_CHECK) } else { 0 };
        Self { header: HeaderRewrite::new(side, ip, addr, hops), check_off }
    }
}

#[cfg(test)]
mod tests;
