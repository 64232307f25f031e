//! The addresses of the host, as the programs know them.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
};

use aya::maps::{HashMap, MapData};
use forwarder_common::abi::{Addr, feature};

use crate::{Dataplane, object::maps, read::field};
use fwd_base::{Context as _, Result};

impl Dataplane {
    fn address_map(&self) -> Result<HashMap<MapData, Addr, u32>> {
        HashMap::try_from(self.map(maps::HOST_ADDRESSES)?).doing("open", maps::HOST_ADDRESSES)
    }

    /// The interface of each address.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn host_addresses(&self) -> Result<BTreeMap<IpAddr, u32>> {
        let mut addresses = BTreeMap::new();
        for entry in self.address_map()?.iter() {
            let (address, ifindex) = entry.doing("read", maps::HOST_ADDRESSES)?;
            addresses.insert(Ipv6Addr::from(address).to_canonical(), ifindex);
        }
        Ok(addresses)
    }

    /// Whether they ask what addresses the host has: where ports are published at all of these, and where multicast passes, of which the host's own
    /// may come back.
    ///
    /// # Errors
    /// The settings cannot be read.
    pub fn asks_for_host_addresses(&self) -> Result<bool> {
        Ok(self.config()?.features & (feature::PUBLISH | feature::MULTICAST) != 0)
    }

    /// Replaces what they know by `wanted`, writing only what differs.
    ///
    /// # Errors
    /// The map cannot be read or written, or has no room for so many.
    pub fn set_host_addresses(&self, wanted: &BTreeMap<IpAddr, u32>) -> Result<()> {
        let known = self.host_addresses()?;
        let mut map = self.address_map()?;
        for address in known.keys().filter(|address| !wanted.contains_key(address)) {
            map.remove(&field::address(*address)).doing("write", maps::HOST_ADDRESSES)?;
        }
        for (address, ifindex) in wanted.iter().filter(|(address, ifindex)| known.get(address) != Some(ifindex)) {
            map.insert(&field::address(*address), ifindex, 0).doing("write", maps::HOST_ADDRESSES)?;
        }
        Ok(())
    }
}
