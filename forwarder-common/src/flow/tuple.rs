//! The tuple of a packet, its reverse, and its hash.

use crate::{
    abi::Tuple,
    plain::Key,
    wire::{icmp, ipv4, l4},
};

impl Tuple {
    /// The tuple of a packet that entered by `ifindex`.
    #[inline(always)]
    #[must_use]
    pub const fn of(ip: &ipv4::Header, l4: &l4::Header, ifindex: u32) -> Self {
        Self {
            saddr: ip.src,
            daddr: ip.dst,
            sport: l4.src_port,
            dport: l4.dst_port,
            ifindex,
            proto: l4.proto as u8,
            query: icmp::query(l4.icmp_type),
            _pad: 0,
        }
    }
}

impl Tuple {
    /// The tuple of a packet with header `ip` that entered by `ifindex`, of which the ports are not known, or do not exist.
    #[inline(always)]
    #[must_use]
    pub const fn without_ports(ip: &ipv4::Header, ifindex: u32) -> Self {
        Self { saddr: ip.src, daddr: ip.dst, sport: [0, 0], dport: [0, 0], ifindex, proto: ip.proto, query: 0, _pad: 0 }
    }

    /// The tuple of a packet that answers this one, and enters by `ifindex`.
    #[inline(always)]
    #[must_use]
    pub const fn answer(&self, ifindex: u32) -> Self {
        let Self { saddr, daddr, sport, dport, proto, query, .. } = *self;
        Self { saddr: daddr, daddr: saddr, sport: dport, dport: sport, ifindex, proto, query, _pad: 0 }
    }
}

/// What the reply to `out` looks like on `uplink` once its source is translated to `addr` and `port`. An ICMP query carries
/// its identifier in both port fields.
#[inline(always)]
#[must_use]
pub const fn outbound_reply(out: &Tuple, uplink: u32, addr: [u8; 4], port: [u8; 2]) -> Tuple {
    let sport = if out.proto == l4::Proto::Icmp as u8 { port } else { out.dport };
    let Tuple { daddr, proto, query, .. } = *out;
    Tuple { saddr: daddr, daddr: addr, sport, dport: port, ifindex: uplink, proto, query, _pad: 0 }
}

/// The tuple that a host's own packet with tuple `out` would claim: the reply, untranslated.
#[inline(always)]
#[must_use]
pub const fn inbound(out: &Tuple, uplink: u32) -> Tuple {
    outbound_reply(out, uplink, out.saddr, out.sport)
}

/// Spreads tuples over the hints. Not secret: a collision costs a look-up in the index, nothing else.
#[inline(always)]
#[must_use]
pub const fn hash(tuple: &Tuple) -> u32 {
    Key::of(tuple).hash()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn tuple(saddr: [u8; 4], sport: u16) -> Tuple {
        Tuple {
            saddr,
            daddr: [203, 0, 113, 1],
            sport: sport.to_be_bytes(),
            dport: [0, 80],
            ifindex: 7,
            proto: 6,
            query: 0,
            _pad: 0,
        }
    }

    #[test]
    fn consecutive_ports_spread_over_the_hints() {
        let buckets: HashSet<u32> = (0..4096).map(|port| hash(&tuple([10, 77, 0, 2], 32768 + port)) & 0xffff).collect();
        assert!(buckets.len() > 3800, "{} of 4096 tuples have a hint of their own", buckets.len());
    }

    proptest! {
        #[test]
        fn reply_of_an_untranslated_packet_swaps_the_ends(saddr: [u8; 4], sport: u16) {
            let out = tuple(saddr, sport);
            let back = inbound(&out, 3);
            prop_assert_eq!((back.saddr, back.sport, back.daddr, back.dport), (out.daddr, out.dport, out.saddr, out.sport));
            prop_assert_eq!(back.ifindex, 3);
        }
    }
}
