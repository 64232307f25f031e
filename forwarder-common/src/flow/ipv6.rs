//! Flows of IPv6 in the table of both families: how a [`Tuple`] stands for addresses that do not fit into it.
//!
//! A tuple of IPv6 has fingerprints of its addresses, keyed with the host's secret: 32 bits of the near end (an endpoint's address, or one of
//! the host, of which there are few), and 47 of the remote end. So tuples are as long as those of IPv4, and all that works with them is the
//! same for both families: index, flow cache, claims, searches for a port, eviction, expiry. Fingerprints prove nothing. The addresses
//! themselves stand beside the slot ([`FlowEnds`]), and both of a packet are compared with them before it is believed to be of that flow. Two
//! remote ends with one fingerprint, for which the ports have to be the same as well, are two in 10¹⁴ pairs; nobody who does not know the
//! secret can look for them, and the second of them waits until the first one's flow has ended.

use crate::{
    abi::{Addr, FlowEnds, Secret, Tuple},
    types::{checksum, direction::Direction},
    wire::{
        ipv6::{is_same, words},
        l4::Proto,
    },
};

/// Set in [`Tuple::family`] of IPv6.
pub const FAMILY: u16 = 1 << 15;

/// The protocol in a tuple of IPv6, for the `number` in the packet: the echo of ICMPv6 is that of ICMP, so that it lives as long.
#[inline(always)]
#[must_use]
pub const fn proto(number: u8) -> u8 {
    if number == crate::wire::icmpv6::PROTO { Proto::Icmp as u8 } else { number }
}

/// The number in the packet, of a protocol in a tuple of IPv6.
#[inline(always)]
#[must_use]
pub const fn number(proto: u8) -> u8 {
    if proto == Proto::Icmp as u8 { crate::wire::icmpv6::PROTO } else { proto }
}

/// A keyed hash of an address, of which the upper bits are the better ones: words multiplied by pairs, with the secret added, and the sum
/// scattered, as in [`crate::flow::FlowKey::hash`].
#[inline(always)]
const fn hash([a, b, c, d]: [u32; 4], [i, j, k, l]: Secret) -> u64 {
    let first = i.wrapping_add(a as u64).wrapping_mul(j.wrapping_add(b as u64));
    let second = k.wrapping_add(c as u64).wrapping_mul(l.wrapping_add(d as u64));
    let sum = first.wrapping_add(second);
    (sum ^ sum >> 32).wrapping_mul(0xc4ce_b9fe_1a85_ec53)
}

/// The fingerprint of an address: all that there is of a near end, and the first bits of a remote one.
#[inline(always)]
#[must_use]
pub const fn fingerprint(addr: Addr, secret: &Secret) -> [u8; 4] {
    fingerprint_of(words(addr), secret).to_ne_bytes()
}

/// As [`fingerprint`], of an address as words of memory.
#[inline(always)]
#[must_use]
pub const fn fingerprint_of(words: [u32; 4], secret: &Secret) -> u32 {
    (hash(words, *secret) >> 32) as u32
}

/// [`Tuple::family`] of a flow with this remote end: further bits of its fingerprint, by the secret in another order.
#[inline(always)]
#[must_use]
pub const fn family(remote: Addr, secret: &Secret) -> u16 {
    family_of(words(remote), secret)
}

/// As [`family`], of an address as words of memory.
#[inline(always)]
#[must_use]
pub const fn family_of(words: [u32; 4], secret: &Secret) -> u16 {
    let [a, b, c, d] = *secret;
    FAMILY | (hash(words, [b, c, d, a]) >> 49) as u16
}

/// The tuple of a packet between these addresses and ports (in the order source, destination), of the protocol with this `number`, that goes
/// in `direction` and entered by `ifindex`.
#[inline(always)]
#[must_use]
pub const fn tuple(
    direction: Direction,
    (src, dst): (Addr, Addr),
    (sport, dport): ([u8; 2], [u8; 2]),
    ifindex: u32,
    number: u8,
    secret: &Secret,
) -> Tuple {
    tuple_of(direction, (words(src), words(dst)), (sport, dport), ifindex, number, secret)
}

/// As [`tuple`], of addresses as words of memory.
#[inline(always)]
#[must_use]
pub const fn tuple_of(
    direction: Direction,
    (src, dst): ([u32; 4], [u32; 4]),
    (sport, dport): ([u8; 2], [u8; 2]),
    ifindex: u32,
    number: u8,
    secret: &Secret,
) -> Tuple {
    let remote = if direction.is_inbound() { src } else { dst };
    Tuple {
        saddr: fingerprint_of(src, secret).to_ne_bytes(),
        daddr: fingerprint_of(dst, secret).to_ne_bytes(),
        sport,
        dport,
        ifindex,
        proto: proto(number),
        query: 0,
        family: family_of(remote, secret),
    }
}

impl FlowEnds {
    /// Of a flow between these addresses.
    #[inline(always)]
    #[must_use]
    pub const fn new(internal: Addr, remote: Addr, external: Addr) -> Self {
        Self {
            internal,
            remote,
            external,
            delta: [checksum::delta(internal, external), checksum::delta(external, internal)],
            _reserved: [0; 2],
        }
    }

    /// Whether a packet from `src` to `dst` that goes in `direction` is between these ends.
    #[inline(always)]
    #[must_use]
    pub const fn are_of(&self, direction: Direction, src: Addr, dst: Addr) -> bool {
        let (from, to) =
            if direction.is_inbound() { (self.remote, self.external) } else { (self.internal, self.remote) };
        is_same(from, src) && is_same(to, dst)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        abi::ZONE_MAIN,
        flow::{self, inbound, outbound_reply, secrets::secrets},
    };

    const UDP: u8 = Proto::Udp as u8;

    /// One of many addresses in a row, as those of a /64 or of several.
    fn remote(subnet: u16, host: u32) -> Addr {
        let mut addr = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        addr[6..8].copy_from_slice(&subnet.to_be_bytes());
        addr[12..].copy_from_slice(&host.to_be_bytes());
        addr
    }

    fn outbound(internal: Addr, remote: Addr, secret: &Secret) -> Tuple {
        tuple(Direction::Outbound, (internal, remote), ([0x90, 1], [1, 0xbb]), 7, UDP, secret)
    }

    /// An address inside.
    const INTERNAL: Addr = [0xfd, 0, 0x0f, 0x3d, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

    /// 2¹⁶ remote ends share a fingerprint of 47 bits with one secret of 65,000.
    #[test]
    fn remote_ends_in_a_row_are_told_apart() {
        for secret in secrets() {
            let remotes = (0..32_u16).flat_map(|subnet| (1..=2048).map(move |host| remote(subnet, host)));
            let tuples: HashSet<Tuple> = remotes.map(|remote| outbound(INTERNAL, remote, &secret)).collect();
            assert_eq!(tuples.len(), 32 * 2048, "{secret:x?}");
        }
    }

    /// By chance 4,096 tuples share 124 of 65,536 values.
    #[test]
    fn they_spread_over_the_flow_cache() {
        for secret in secrets() {
            let mut seen = HashSet::new();
            let tuples = (0..4096).map(|host| outbound(INTERNAL, remote(0, host), &secret));
            let collisions = tuples.filter(|tuple| !seen.insert(flow::hash(tuple, &secret) & 0xffff)).count();
            assert!(collisions < 250, "{collisions} collisions with {secret:x?}");
        }
    }

    /// What shares its fingerprint with one secret is told apart by another.
    #[test]
    fn nobody_chooses_a_fingerprint_without_the_secret() {
        for (secret, other) in secrets().zip(secrets().skip(1)) {
            let same = |addr: &Addr| u32::from_ne_bytes(fingerprint(*addr, &secret)).is_multiple_of(256);
            let alike = (0..u32::from(u16::MAX)).map(|host| remote(0, host)).filter(same).take(200);
            let values: HashSet<u32> = alike.map(|addr| u32::from_ne_bytes(fingerprint(addr, &other)) % 256).collect();
            assert!(values.len() > 80, "200 addresses that were alike share {} of 256 values", values.len());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn reply_is_the_tuple_of_the_packet_that_answers(
            internal: Addr, external: Addr, remote: Addr, port: [u8; 2], number in prop::sample::select(&[6_u8, 17, 58][..]), secret: Secret,
        ) {
            let ports = if number == 58 { ([1, 2], [1, 2]) } else { ([0x90, 1], [1, 0xbb]) };
            let out = tuple(Direction::Outbound, (internal, remote), ports, 7, number, &secret);
            let answered = if number == 58 { (port, port) } else { (ports.1, port) };
            let back = tuple(Direction::Inbound, (remote, external), answered, ZONE_MAIN, number, &secret);
            prop_assert_eq!(outbound_reply(&out, ZONE_MAIN, fingerprint(external, &secret), port), back);
            prop_assert_ne!(out.family, 0, "never taken for IPv4");
            prop_assert_eq!(super::number(out.proto), number);
        }

        #[test]
        fn only_the_two_ends_of_a_flow_are_its_ends(internal: Addr, remote: Addr, external: Addr, at in 0_usize..128) {
            let ends = FlowEnds::new(internal, remote, external);
            let differ = |addr: Addr| (u128::from_ne_bytes(addr) ^ 1 << at).to_ne_bytes();
            for (direction, near) in [(Direction::Outbound, internal), (Direction::Inbound, external)] {
                let (src, dst) = if direction.is_inbound() { (remote, near) } else { (near, remote) };
                prop_assert!(ends.are_of(direction, src, dst));
                prop_assert!(!ends.are_of(direction, differ(src), dst));
                prop_assert!(!ends.are_of(direction, src, differ(dst)));
            }
        }

        #[test]
        fn a_packet_of_the_host_claims_its_own_answer(addr: Addr, remote: Addr, secret: Secret) {
            let sent = tuple(Direction::Outbound, (addr, remote), ([4, 0], [0, 53]), 0, UDP, &secret);
            let answer = tuple(Direction::Inbound, (remote, addr), ([0, 53], [4, 0]), ZONE_MAIN, UDP, &secret);
            prop_assert_eq!(inbound(&sent, ZONE_MAIN), answer);
        }
    }
}
