//! The MTUs that routes ask for, as the programs know them.

use std::collections::BTreeMap;

use aya::maps::lpm_trie::Key;
use ipnet::Ipv4Net;

use crate::{Dataplane, object::maps};
use fwd_base::{Context as _, Result};

impl Dataplane {
    /// The MTU by prefix, bytes; see [`fwd_plan::route_mtus`].
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn route_mtus(&self) -> Result<BTreeMap<Ipv4Net, u32>> {
        let mut mtus = BTreeMap::new();
        for entry in self.trie(maps::ROUTE_MTUS)?.iter() {
            let (key, mtu) = entry.doing("read", maps::ROUTE_MTUS)?;
            if let Ok(prefix) = Ipv4Net::new(key.data().into(), u8::try_from(key.prefix_len()).unwrap_or(u8::MAX)) {
                mtus.insert(prefix, mtu);
            }
        }
        Ok(mtus)
    }

    /// Replaces what they know by `wanted`, writing only what differs.
    ///
    /// # Errors
    /// The map cannot be read or written.
    pub fn set_route_mtus(&self, wanted: &BTreeMap<Ipv4Net, u32>) -> Result<()> {
        let known = self.route_mtus()?;
        let mut trie = self.trie(maps::ROUTE_MTUS)?;
        let key = |prefix: &Ipv4Net| Key::new(prefix.prefix_len().into(), prefix.network().octets());
        for prefix in known.keys().filter(|prefix| !wanted.contains_key(prefix)) {
            trie.remove(&key(prefix)).doing("write", maps::ROUTE_MTUS)?;
        }
        for (prefix, mtu) in wanted.iter().filter(|(prefix, mtu)| known.get(prefix) != Some(mtu)) {
            trie.insert(&key(prefix), mtu, 0).doing("write", maps::ROUTE_MTUS)?;
        }
        Ok(())
    }
}
