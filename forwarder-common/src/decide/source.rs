//! Behind which of its addresses appears what an endpoint begins (`--source`, `--source6`).

use crate::{
    abi::{Addr, Endpoint, SOURCES, port_use},
    wire::ipv6::{of_words, words},
};

/// So many of its addresses are tried for a flow, where those before have no port left towards the destination.
pub const TRIES: u32 = 4;

/// The addresses of one family that may be tried for a flow: the last four bytes of each, in which alone they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Pool {
    /// Those of the first one, host byte order.
    first: u32,
    /// How many there are.
    count: u32,
    /// Which one is tried, counted from the first.
    place: u32,
    /// How many others may be tried after it.
    left: u32,
}

impl Pool {
    /// Where an address was not asked for.
    pub const NONE: Self = Self { first: 0, count: 1, place: 0, left: 0 };

    /// That of an endpoint, of IPv4. Where it asks for no address, its own is [`Pool::NONE`]'s.
    #[inline(always)]
    #[must_use]
    pub const fn of_v4(endpoint: &Endpoint) -> Self {
        Self::new(endpoint.source, endpoint.sources, endpoint.v4)
    }

    /// The same, of IPv6.
    #[inline(always)]
    #[must_use]
    pub const fn of_v6(endpoint: &Endpoint) -> Self {
        Self::v6(endpoint.source_v6, endpoint.sources_v6, endpoint.v6)
    }

    /// That of so many addresses of IPv6 from the `first` one on, of an endpoint whose `own` address is this.
    #[inline(always)]
    #[must_use]
    pub const fn v6(first: Addr, count: u16, own: Addr) -> Self {
        let ([.., a, b, c, d], [.., e, f, g, h]) = (first, own);
        Self::new([a, b, c, d], count, [e, f, g, h])
    }

    /// All that an endpoint begins has the same address as long as that has ports (address pooling "paired", RFC 4787 REQ-2): which one, its
    /// `own` address says, so that endpoints that have the same addresses spread over them.
    #[inline(always)]
    const fn new(first: [u8; 4], count: u16, own: [u8; 4]) -> Self {
        let first = u32::from_be_bytes(first);
        if count <= 1 || count > SOURCES {
            return Self { first, ..Self::NONE };
        }
        let count = count as u32;
        let others = count.wrapping_sub(1);
        let most = TRIES.wrapping_sub(1);
        Self { first, count, place: u32::from_be_bytes(own) % count, left: if others < most { others } else { most } }
    }

    /// The last four bytes of the address that is tried.
    #[inline(always)]
    #[must_use]
    pub const fn address(self) -> [u8; 4] {
        self.first.wrapping_add(self.place).to_be_bytes()
    }

    /// The whole address of IPv6, whose other bytes are those of the `first` one.
    #[inline(always)]
    #[must_use]
    pub const fn address_v6(self, first: Addr) -> Addr {
        let [a, b, c, _] = words(first);
        of_words([a, b, c, u32::from_ne_bytes(self.address())])
    }

    /// The next one, if another may be tried.
    #[inline(always)]
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        if self.left == 0 {
            return None;
        }
        let next = self.place.wrapping_add(1);
        Some(Self { place: if next < self.count { next } else { 0 }, left: self.left.wrapping_sub(1), ..self })
    }

    /// What a flow may have of it that takes its port in this way (see [`port_use`]): a mapping keeps to the one address that it has (RFC 4787
    /// REQ-1), and so does what begins from outside (`inbound` is not 0).
    #[inline(always)]
    #[must_use]
    pub const fn of_flow(self, port_use: u32, inbound: u32) -> Self {
        if inbound != 0 || port_use == port_use::MAPPING as u32 { Self { left: 0, ..self } } else { self }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, vec::Vec};

    use proptest::prelude::*;

    use super::*;
    use crate::decide::route::tests::endpoint;

    fn pool(own: u32, first: u32, count: u16) -> Pool {
        Pool::new(first.to_be_bytes(), count, own.to_be_bytes())
    }

    #[test]
    fn who_has_one_address_or_none_tries_no_other() {
        for (source, sources) in [([192, 0, 2, 7], 1), ([192, 0, 2, 7], 0), ([0; 4], 0)] {
            let one = Pool::of_v4(&Endpoint { source, sources, ..endpoint(0) });
            assert_eq!((one.address(), one.next()), (source, None));
        }
    }

    #[test]
    fn endpoint_has_the_same_place_among_addresses_of_either_family() {
        let mut endpoint = Endpoint { source: [192, 0, 2, 8], sources: 4, sources_v6: 4, ..endpoint(0) };
        endpoint.v4 = [10, 77, 0, 6];
        endpoint.v6[15] = 6;
        (endpoint.source_v6[0], endpoint.source_v6[15]) = (0x20, 0x10);
        assert_eq!(Pool::of_v4(&endpoint).address(), [192, 0, 2, 10]);
        let mut sixth = endpoint.source_v6;
        sixth[15] = 0x12;
        assert_eq!(Pool::of_v6(&endpoint).address_v6(endpoint.source_v6), sixth);
    }

    #[test]
    fn mappings_and_what_begins_outside_keep_to_one_address() {
        let pool = pool(2, 0xc000_0208, 4);
        for (kind, inbound) in [(port_use::MAPPING, 0), (port_use::SHARED, 1), (port_use::BY_TUPLE, 1)] {
            let one = pool.of_flow(kind.into(), inbound);
            assert_eq!((one.address(), one.next()), (pool.address(), None));
        }
        assert_eq!(pool.of_flow(port_use::BY_TUPLE.into(), 0), pool);
    }

    #[test]
    fn endpoints_with_the_same_addresses_spread_over_them() {
        let mut taken: HashMap<[u8; 4], u32> = HashMap::new();
        for own in 0x0a4d_0002..0x0a4d_0002 + 40 {
            *taken.entry(pool(own, 0xc000_0208, 4).address()).or_default() += 1;
        }
        assert!(taken.len() == 4 && taken.values().all(|count| *count == 10), "{taken:?}");
    }

    proptest! {
        /// Each is one of its own, no two attempts are at the same one, and there are no more than may be.
        #[test]
        fn every_attempt_is_at_another_of_its_addresses(own: u32, first in 1..u32::MAX - 300, count in 1..=SOURCES) {
            let tried: Vec<u32> = core::iter::successors(Some(pool(own, first, count)), |pool| pool.next())
                .map(|pool| u32::from_be_bytes(pool.address()))
                .collect();
            prop_assert_eq!(tried.len() as u32, u32::from(count).min(TRIES));
            for (place, address) in tried.iter().enumerate() {
                let own = (first..first + u32::from(count)).contains(address);
                prop_assert!(own && !tried[..place].contains(address));
            }
        }
    }
}
