//! The MTUs that routes ask for, as the programs know them.

use std::{collections::BTreeMap, net::IpAddr};

use aya::maps::lpm_trie::Key;
use forwarder_common::{
    abi::{ROUTE_INTERFACE_BITS, ROUTE_OF_IPV6},
    wire::ipv6,
};
use ipnet::IpNet;

use crate::{Dataplane, object::maps};
use fwd_base::{Context as _, Result};

/// A route as the programs look it up: its interface and first address, as words of memory, and the length of the prefix.
fn words_of((ifindex, prefix): &(u32, IpNet)) -> ([u32; 5], u32) {
    let (interface, [a, b, c, d]) = match prefix {
        IpNet::V4(prefix) => (*ifindex, [u32::from_ne_bytes(prefix.network().octets()), 0, 0, 0]),
        IpNet::V6(prefix) => (*ifindex | ROUTE_OF_IPV6, ipv6::words(prefix.network().octets())),
    };
    ([interface, a, b, c, d], ROUTE_INTERFACE_BITS + u32::from(prefix.prefix_len()))
}

/// The route that stands there so.
fn route_of([interface, first, rest @ ..]: [u32; 5], length: u32) -> Option<(u32, IpNet)> {
    let [second, third, fourth] = rest;
    let address = match interface & ROUTE_OF_IPV6 {
        0 => IpAddr::from(first.to_ne_bytes()),
        _ => IpAddr::from(ipv6::of_words([first, second, third, fourth])),
    };
    let length = u8::try_from(length.checked_sub(ROUTE_INTERFACE_BITS)?).ok()?;
    Some((interface & !ROUTE_OF_IPV6, IpNet::new(address, length).ok()?))
}

impl Dataplane {
    /// The MTU by interface and prefix, bytes; see [`fwd_plan::route_mtus`].
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn route_mtus(&self) -> Result<BTreeMap<(u32, IpNet), u32>> {
        let mut mtus = BTreeMap::new();
        for entry in self.route_trie(maps::ROUTE_MTUS)?.iter() {
            let (key, mtu) = entry.doing("read", maps::ROUTE_MTUS)?;
            mtus.extend(route_of(key.data(), key.prefix_len()).map(|route| (route, mtu)));
        }
        Ok(mtus)
    }

    /// Replaces what they know by `wanted`, writing only what differs.
    ///
    /// # Errors
    /// The map cannot be read or written.
    pub fn set_route_mtus(&self, wanted: &BTreeMap<(u32, IpNet), u32>) -> Result<()> {
        let known = self.route_mtus()?;
        let mut trie = self.route_trie(maps::ROUTE_MTUS)?;
        let key = |route: &(u32, IpNet)| {
            let (words, length) = words_of(route);
            Key::new(length, words)
        };
        for prefix in known.keys().filter(|prefix| !wanted.contains_key(prefix)) {
            trie.remove(&key(prefix)).doing("write", maps::ROUTE_MTUS)?;
        }
        for (prefix, mtu) in wanted.iter().filter(|(prefix, mtu)| known.get(prefix) != Some(mtu)) {
            trie.insert(&key(prefix), mtu, 0).doing("write", maps::ROUTE_MTUS)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_of_both_families_are_read_as_they_were_written() {
        for text in ["0.0.0.0/0", "203.0.113.0/24", "203.0.113.1/32", "::/0", "2001:db8::/32", "2001:db8::1/128"] {
            let prefix: IpNet = text.parse().expect("a prefix");
            let (words, length) = words_of(&(7, prefix));
            assert_eq!(route_of(words, length), Some((7, prefix)), "{text}");
        }
    }
}
