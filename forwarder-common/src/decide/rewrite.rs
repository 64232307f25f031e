//! Decide, then apply: the description of a translation. The programs apply it with direct writes and checksums of their own;
//! [`Rewrite::apply`] does the same to a slice. Of IPv4; what is different of IPv6 in [`ipv6`].

pub mod ipv6;

use crate::{
    decide::{address_only, fragment},
    types::{
        checksum::{self, Change, Checksum},
        direction::Direction,
    },
    wire::{
        icmp, ipv4,
        l4::{self, Proto},
    },
};

/// Which end of the packet is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Source address and port: outbound.
    Source,
    /// Destination address and port: inbound.
    Destination,
}

impl Side {
    /// The side of the namespace's end, in a packet that goes in `direction`.
    #[inline(always)]
    #[must_use]
    pub const fn of(direction: Direction) -> Self {
        match direction {
            Direction::Outbound => Self::Source,
            Direction::Inbound => Self::Destination,
        }
    }

    /// The other one.
    #[inline(always)]
    #[must_use]
    pub const fn opposite(self) -> Self {
        match self {
            Self::Source => Self::Destination,
            Self::Destination => Self::Source,
        }
    }
}

/// What becomes of the TTL, or hop limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// We are the router: one less.
    Decrement,
    /// The kernel forwards afterwards, or did before: untouched.
    Keep,
}

/// What changes in the header of either family, of which one address is translated.
pub trait HeaderChange {
    /// The address before and after, as words that add the same to a sum.
    fn addresses(&self) -> (u32, u32);

    /// Applies it to a packet. `None` if the packet is shorter than its headers say.
    fn apply(&self, packet: &mut [u8]) -> Option<()>;
}

/// What changes in an IPv4 header of which one address is translated. Offsets are in bytes from the start of the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderRewrite {
    /// Offset of the header.
    pub off: usize,
    /// Offset of the address that changes.
    pub addr_off: usize,
    /// Address before.
    pub old_addr: [u8; 4],
    /// Address after.
    pub new_addr: [u8; 4],
    /// TTL after.
    pub ttl: u8,
    /// Identification after.
    pub id: [u8; 2],
    /// Checksum after.
    pub check: [u8; 2],
}

impl HeaderRewrite {
    /// Translates one side of `ip` to `addr`.
    #[inline(always)]
    #[must_use]
    pub fn new(side: Side, ip: &ipv4::Header, addr: [u8; 4], ttl: Ttl) -> Self {
        let (old_addr, field) = match side {
            Side::Source => (ip.src, ipv4::field::SRC),
            Side::Destination => (ip.dst, ipv4::field::DST),
        };
        let new_ttl = match ttl {
            Ttl::Decrement => ip.ttl.wrapping_sub(1),
            Ttl::Keep => ip.ttl,
        };
        Self {
            off: ip.off,
            addr_off: ip.off.wrapping_add(field),
            old_addr,
            new_addr: addr,
            ttl: new_ttl,
            id: ip.id,
            // The TTL shares its 16-bit word with the protocol.
            check: checksum::update(ip.check, old_addr, addr, [ip.ttl, ip.proto], [new_ttl, ip.proto]),
        }
    }

    /// The same, and the identification of a fragment (`ip` is its header) leaves under a mask: see [`fragment::id_mask`].
    #[inline(always)]
    #[must_use]
    pub const fn masked(self, ip: &ipv4::Header, mask: u16) -> Self {
        if !ip.fragment {
            return self;
        }
        let id = fragment::masked(ip.id, mask);
        Self { id, check: checksum::update16(self.check, ip.id, id), ..self }
    }
}

impl HeaderChange for HeaderRewrite {
    #[inline(always)]
    fn addresses(&self) -> (u32, u32) {
        (u32::from_ne_bytes(self.old_addr), u32::from_ne_bytes(self.new_addr))
    }

    fn apply(&self, packet: &mut [u8]) -> Option<()> {
        put(packet, self.addr_off, self.new_addr)?;
        put(packet, self.off.wrapping_add(ipv4::field::TTL), [self.ttl])?;
        put(packet, self.off.wrapping_add(ipv4::field::ID), self.id)?;
        put(packet, self.off.wrapping_add(ipv4::field::CHECK), self.check)
    }
}

/// A translation of an address and a port. Offsets are in bytes from the start of the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewrite<H = HeaderRewrite> {
    /// Number of the protocol, which decides what the checksum covers.
    pub proto: u8,
    /// What changes in the IP header.
    pub header: H,
    /// Offset of the port or identifier that changes.
    pub port_off: usize,
    /// Offset of the transport checksum.
    pub check_off: usize,
    /// Port before.
    pub old_port: [u8; 2],
    /// Port after.
    pub new_port: [u8; 2],
}

impl Rewrite {
    /// Translates one side of the packet with headers `ip` and `l4` to `addr` and `port`.
    #[inline(always)]
    #[must_use]
    pub fn new(side: Side, ip: &ipv4::Header, l4: &l4::Header, addr: [u8; 4], port: [u8; 2], ttl: Ttl) -> Self {
        Self::behind(HeaderRewrite::new(side, ip, addr, ttl), side, l4, ip.payload_off(), port)
    }
}

impl<H: HeaderChange> Rewrite<H> {
    /// Translates one side of the transport header `l4` at `off` to `port`, behind a header with the change `header`.
    #[inline(always)]
    fn behind(header: H, side: Side, l4: &l4::Header, off: usize, port: [u8; 2]) -> Self {
        let (old_port, port_field) = match side {
            Side::Source => (l4.src_port, l4::field::SRC_PORT),
            Side::Destination => (l4.dst_port, l4::field::DST_PORT),
        };
        // Identifier and checksum of ICMPv6 stand where those of ICMP do.
        let (port_field, check_field) = match l4.proto {
            Proto::Tcp => (port_field, l4::field::TCP_CHECK),
            Proto::Udp => (port_field, l4::field::UDP_CHECK),
            Proto::Icmp => (icmp::field::ID, icmp::field::CHECK),
        };
        let (port_off, check_off) = (off.wrapping_add(port_field), off.wrapping_add(check_field));
        Self { proto: l4.proto as u8, header, port_off, check_off, old_port, new_port: port }
    }

    /// Applies the translation to a packet with full checksums. `None` if the packet is shorter than its headers say.
    #[must_use]
    pub fn apply(&self, packet: &mut [u8]) -> Option<()> {
        let check: [u8; 2] = packet.get(self.check_off..)?.first_chunk().copied()?;
        put(packet, self.check_off, self.checked(check))?;
        put(packet, self.port_off, self.new_port)?;
        self.header.apply(packet)
    }

    /// The transport checksum after, of a packet whose checksum is full and was `check`.
    #[inline(always)]
    #[must_use]
    pub fn checked(&self, check: [u8; 2]) -> [u8; 2] {
        Checksum::new(u16::from_ne_bytes(check)).after(&self.change(), self.proto).raw().to_ne_bytes()
    }

    /// What the transport checksum sees change.
    #[inline(always)]
    #[must_use]
    pub fn change(&self) -> Change {
        let (old_addr, new_addr) = self.header.addresses();
        let (old_port, new_port) = (u16::from_ne_bytes(self.old_port), u16::from_ne_bytes(self.new_port));
        Change { old_addr, new_addr, old_port, new_port }
    }
}

/// A translation of an address alone: of a later fragment, or of a protocol without ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRewrite<H = HeaderRewrite> {
    /// What changes in the IP header.
    pub header: H,
    /// Offset of a checksum that covers the address, 0 if there is none.
    pub check_off: usize,
}

impl AddressRewrite {
    /// Translates one side of the packet with header `ip` to `addr`.
    #[inline(always)]
    #[must_use]
    pub fn new(side: Side, ip: &ipv4::Header, addr: [u8; 4], ttl: Ttl) -> Self {
        // The checksum stands in the first fragment, if there are several.
        let has_check = ip.proto == address_only::UDP_LITE && ip.fragment_start() == 0;
        let check_off = if has_check { ip.payload_off().wrapping_add(address_only::UDP_LITE_CHECK) } else { 0 };
        Self { header: HeaderRewrite::new(side, ip, addr, ttl), check_off }
    }
}

impl<H: HeaderChange> AddressRewrite<H> {
    /// What a checksum that covers the address sees change.
    #[inline(always)]
    #[must_use]
    pub fn change(&self) -> Change {
        let (old_addr, new_addr) = self.header.addresses();
        Change { old_addr, new_addr, old_port: 0, new_port: 0 }
    }

    /// Applies the translation to a packet with full checksums. `None` if the packet is shorter than its headers say.
    #[must_use]
    pub fn apply(&self, packet: &mut [u8]) -> Option<()> {
        if self.check_off != 0 {
            let check: [u8; 2] = packet.get(self.check_off..)?.first_chunk().copied()?;
            let updated = Checksum::new(u16::from_ne_bytes(check)).after(&self.change(), address_only::UDP_LITE);
            put(packet, self.check_off, updated.raw().to_ne_bytes())?;
        }
        self.header.apply(packet)
    }
}

/// Overwrites `N` bytes at `off`.
fn put<const N: usize>(packet: &mut [u8], off: usize, bytes: [u8; N]) -> Option<()> {
    *packet.get_mut(off..)?.first_chunk_mut::<N>()? = bytes;
    Some(())
}
