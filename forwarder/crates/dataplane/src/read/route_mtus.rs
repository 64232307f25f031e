//! The MTUs that routes ask for, as the programs know them.

use std::collections::BTreeMap;

use aya::maps::lpm_trie::Key;
use forwarder_common::abi::ROUTE_INTERFACE_BITS;
use ipnet::Ipv4Net;

use crate::{Dataplane, object::maps};
use fwd_base::{Context as _, Result};

impl Dataplane {
    /// The MTU by interface and prefix, bytes; see [`fwd_plan::route_mtus`].
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn route_mtus(&self) -> Result<BTreeMap<(u32, Ipv4Net), u32>> {
        let mut mtus = BTreeMap::new();
        for entry in self.route_trie(maps::ROUTE_MTUS)?.iter() {
            let (key, mtu) = entry.doing("read", maps::ROUTE_MTUS)?;
            let length = key.prefix_len().saturating_sub(ROUTE_INTERFACE_BITS);
            let [ifindex, addr] = key.data();
            if let Ok(prefix) = Ipv4Net::new(addr.to_ne_bytes().into(), u8::try_from(length).unwrap_or(u8::MAX)) {
                mtus.insert((ifindex, prefix), mtu);
            }
        }
        Ok(mtus)
    }

    /// Replaces what they know by `wanted`, writing only what differs.
    ///
    /// # Errors
    /// The map cannot be read or written.
    pub fn set_route_mtus(&self, wanted: &BTreeMap<(u32, Ipv4Net), u32>) -> Result<()> {
        let known = self.route_mtus()?;
        let mut trie = self.route_trie(maps::ROUTE_MTUS)?;
        let key = |(ifindex, prefix): &(u32, Ipv4Net)| {
            let length = ROUTE_INTERFACE_BITS + u32::from(prefix.prefix_len());
            Key::new(length, [*ifindex, u32::from_ne_bytes(prefix.network().octets())])
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
