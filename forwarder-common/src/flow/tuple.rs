//! The tuple of a packet, its reverse, and its hash.

use crate::{
    abi::{Secret, Tuple},
    flow::key::FlowKey,
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
            family: 0,
        }
    }
}

impl Tuple {
    /// The tuple of a packet with header `ip` that entered by `ifindex`, of which the ports are not known, or do not exist.
    #[inline(always)]
    #[must_use]
    pub const fn without_ports(ip: &ipv4::Header, ifindex: u32) -> Self {
        Self {
            saddr: ip.src,
            daddr: ip.dst,
            sport: [0, 0],
            dport: [0, 0],
            ifindex,
            proto: ip.proto,
            query: 0,
            family: 0,
        }
    }

    /// The tuple of a packet that answers this one, and enters by `ifindex`.
    #[inline(always)]
    #[must_use]
    pub const fn answer(&self, ifindex: u32) -> Self {
        let Self { saddr, daddr, sport, dport, proto, query, family, .. } = *self;
        Self { saddr: daddr, daddr: saddr, sport: dport, dport: sport, ifindex, proto, query, family }
    }
}

/// What the reply to `out` looks like in `zone` once its source is translated to `addr` and `port`. An ICMP query carries
/// its identifier in both port fields.
#[inline(always)]
#[must_use]
pub const fn outbound_reply(out: &Tuple, zone: u32, addr: [u8; 4], port: [u8; 2]) -> Tuple {
    let sport = if out.proto == l4::Proto::Icmp as u8 { port } else { out.dport };
    let Tuple { daddr, proto, query, family, .. } = *out;
    Tuple { saddr: daddr, daddr: addr, sport, dport: port, ifindex: zone, proto, query, family }
}

/// The tuple that a host's own packet with tuple `out` would claim: the reply, untranslated.
#[inline(always)]
#[must_use]
pub const fn inbound(out: &Tuple, zone: u32) -> Tuple {
    outbound_reply(out, zone, out.saddr, out.sport)
}

/// See [`FlowKey::hash`].
#[inline(always)]
#[must_use]
pub const fn hash(tuple: &Tuple, secret: &Secret) -> u32 {
    FlowKey::of(tuple).hash(secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::secrets::secrets;
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
            family: 0,
        }
    }

    /// Pairs of `tuples` with the same low 16 bits of the hash, with this secret.
    fn collisions(tuples: impl Iterator<Item = Tuple>, secret: &Secret) -> usize {
        let mut seen = HashSet::new();
        tuples.filter(|tuple| !seen.insert(hash(tuple, secret) & 0xffff)).count()
    }

    /// By chance 4,096 tuples share 124 of 65,536 values.
    #[test]
    fn tuples_in_a_row_spread_whatever_the_secret() {
        for (secret, step) in secrets().zip((1_u16..8).cycle()) {
            let ports = (0..4096).map(|number| tuple([10, 77, 0, 2], 32768 + number * step));
            assert!(collisions(ports, &secret) < 250, "{secret:x?}");
            let addresses = (0..=255).flat_map(|c| (0..16).map(move |d| tuple([10, 77, c, d], 443)));
            assert!(collisions(addresses, &secret) < 250, "{secret:x?}");
        }
    }

    /// What collides with one secret is scattered with another: nobody can find it out beforehand.
    #[test]
    fn collisions_are_those_of_the_secret() {
        for (secret, other) in secrets().zip(secrets().skip(1)) {
            let same = |tuple: &Tuple| hash(tuple, &secret).is_multiple_of(256);
            let colliding = (0..=u16::MAX).map(|port| tuple([10, 77, 0, 2], port)).filter(same).take(200);
            let values: HashSet<u32> = colliding.map(|tuple| hash(&tuple, &other) % 256).collect();
            assert!(values.len() > 80, "200 tuples that collided share {} of 256 values", values.len());
        }
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
