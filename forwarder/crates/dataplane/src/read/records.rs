//! Records of networks, uplinks and endpoints in the pinned maps.

mod networks;

use std::collections::HashSet;

use aya::{Pod, maps::MapError};
use forwarder_common::abi::{
    self, Addr, COUNTER_BLOCKS, Endpoint, FLUSH_SLICE, Uplink, Withdrawn, feature, host_veth_place, mapped,
    neighbour_key,
};

use crate::{
    Dataplane,
    object::{
        maps::{self, MapOf},
        programs,
    },
    read::batch,
};
use fwd_base::{Context as _, Error, Kind, Result};

/// Blocks of `COUNTERS` are numbered from here: block 0 takes what belongs to nobody.
const FIRST_BLOCK: u32 = 1;
/// How many blocks interfaces can have.
pub const INTERFACE_BLOCKS: usize = (COUNTER_BLOCKS - FIRST_BLOCK) as usize;

impl Dataplane {
    /// Every entry, in no order.
    pub(crate) fn entries<K: Pod, V: Pod>(&self, name: MapOf<K, V>) -> Result<Vec<(K, V)>> {
        let mut all = Vec::new();
        self.each_entry(name, |key, value| all.push((*key, *value)))?;
        Ok(all)
    }

    /// Reads every entry, in no order, one after another; one may be met twice.
    pub(crate) fn each_entry<K: Pod, V: Pod>(&self, name: MapOf<K, V>, mut read: impl FnMut(&K, &V)) -> Result<()> {
        let data = self.map_data(name)?;
        match batch::each(&data, &mut read) {
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP)) => {
                let all = self.hash(name)?;
                all.iter().try_for_each(|entry| entry.map(|(key, value)| read(&key, &value))).doing("read", name)
            }
            done => done.doing("read", name),
        }
    }

    fn all<V: Pod>(&self, name: MapOf<u32, V>) -> Result<Vec<(u32, V)>> {
        let mut records = self.entries(name)?;
        // Records are large: each is moved once.
        records.sort_by_cached_key(|(ifindex, _)| *ifindex);
        // One that changed meanwhile may have been met twice.
        records.dedup_by_key(|(ifindex, _)| *ifindex);
        Ok(records)
    }

    /// The value of `key`, if there is one.
    pub(crate) fn one<K: Pod, V: Pod>(&self, name: MapOf<K, V>, key: &K) -> Result<Option<V>> {
        match self.hash(name)?.get(key, 0) {
            Ok(value) => Ok(Some(value)),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(error).doing("read", name),
        }
    }

    pub(crate) fn put<K: Pod, V: Pod>(&self, name: MapOf<K, V>, key: &K, value: &V) -> Result<()> {
        self.hash(name)?.insert(key, value, 0).doing("write", name)
    }

    /// Removes a key, which may be absent.
    pub(crate) fn forget<K: Pod, V: Pod>(&self, name: MapOf<K, V>, key: &K) -> Result<()> {
        absent_or(self.hash(name)?.remove(key)).doing("write", name)
    }

    /// Every endpoint with the ifindex of its host-side veth, in that order.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn endpoints(&self) -> Result<Vec<(u32, Endpoint)>> {
        self.all(maps::ENDPOINTS)
    }

    /// The endpoint whose host-side veth is `ifindex`, if it is registered.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn endpoint(&self, ifindex: u32) -> Result<Option<Endpoint>> {
        steady(|| self.one(maps::ENDPOINTS, &ifindex))
    }

    /// Registers an endpoint: from now on its packets are forwarded.
    ///
    /// # Errors
    /// A map cannot be written.
    pub fn put_endpoint(&self, ifindex: u32, endpoint: &Endpoint) -> Result<()> {
        // Before there are flows.
        self.note_host_veth(endpoint.counters, ifindex)?;
        self.announce(Some((ifindex, endpoint)))?;
        self.put(maps::ENDPOINTS, &ifindex, endpoint)?;
        // Who had the place before is found in the hash.
        self.array(maps::HOST_VETHS)?.set(host_veth_place(ifindex), &ifindex, 0).doing("write", maps::HOST_VETHS)?;
        for addr in addresses(endpoint) {
            self.put(maps::ADDRESSES, &addr, &ifindex)?;
        }
        Ok(())
    }

    /// Removes an endpoint and ends its flows, before its address can be given to another.
    ///
    /// # Errors
    /// A map cannot be written.
    pub fn remove_endpoint(&self, ifindex: u32) -> Result<()> {
        let record = self.endpoint(ifindex)?;
        self.forget_device(ifindex)?;
        // Before the record: until it is gone, nobody is given its block of counters, and the next `down` comes back to it.
        self.flush(ifindex, Withdrawn::default())?;
        self.forget(maps::ENDPOINTS, &ifindex)?;
        self.end_limits(record.as_ref())?;
        self.end_policy(record.as_ref())?;
        let mut host_veths = self.array(maps::HOST_VETHS)?;
        if host_veths.get(&host_veth_place(ifindex), 0).doing("read", maps::HOST_VETHS)? == ifindex {
            host_veths.set(host_veth_place(ifindex), &0, 0).doing("write", maps::HOST_VETHS)?;
        }
        if let Some(endpoint) = record {
            for addr in addresses(&endpoint) {
                self.forget(maps::ADDRESSES, &addr)?;
            }
            self.forget_metadata(endpoint.metadata)?;
        }
        self.follow_announced()
    }

    /// Ends the flows of the endpoint with host-side veth `ifindex`: all, or those that began by ports that are `withdrawn`.
    pub(crate) fn flush(&self, ifindex: u32, withdrawn: Withdrawn) -> Result<()> {
        if !self.is_loaded() {
            return Ok(());
        }
        let end = self.slots_used()?;
        let mut first = 0;
        while first < end {
            let mut packet = [0; 64];
            packet[14..18].copy_from_slice(&ifindex.to_ne_bytes());
            packet[18..22].copy_from_slice(&first.to_ne_bytes());
            packet[22..34].copy_from_slice(&withdrawn.bytes());
            self.run(programs::FLUSH, &packet)?;
            first = first.saturating_add(FLUSH_SLICE);
        }
        Ok(())
    }

    /// How many sockets inside have an external port for all destinations (endpoint-independent mapping).
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn mappings(&self) -> Result<usize> {
        let map = self.hash(maps::MAPPINGS)?;
        map.keys().try_fold(0, |count, key| key.map(|_| count + 1)).doing("read", maps::MAPPINGS)
    }

    /// Tells the programs whether to look for published ports.
    pub(crate) fn set_publishing(&self, publishing: bool) -> Result<()> {
        let mut config = self.config()?;
        let others = config.features & !feature::PUBLISH;
        config.features = others | if publishing { feature::PUBLISH } else { 0 };
        self.set_config(&config)
    }

    /// Every uplink with its ifindex.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn uplinks(&self) -> Result<Vec<(u32, Uplink)>> {
        self.all(maps::UPLINKS)
    }

    /// Registers an uplink.
    ///
    /// # Errors
    /// A map cannot be written.
    pub fn put_uplink(&self, ifindex: u32, uplink: &Uplink) -> Result<()> {
        self.put(maps::UPLINKS, &ifindex, uplink)?;
        self.update_transit()
    }

    /// Removes an uplink.
    ///
    /// # Errors
    /// A map cannot be written.
    pub fn remove_uplink(&self, ifindex: u32) -> Result<()> {
        self.forget_device(ifindex)?;
        self.forget(maps::UPLINKS, &ifindex)?;
        self.update_transit()
    }

    /// The smallest blocks of counters that nobody has, `least` to `most` of them; they are set to zero.
    ///
    /// # Errors
    /// There are not so many, or a map cannot be read.
    pub fn free_counters(&self, least: usize, most: usize) -> Result<Vec<u32>> {
        let endpoints = self.entries(maps::ENDPOINTS)?;
        let mut used: HashSet<u32> = endpoints.iter().map(|(_, endpoint)| endpoint.counters).collect();
        used.extend(self.networks()?.iter().map(|(_, network)| network.counters));
        used.extend(self.uplinks()?.iter().flat_map(|(_, uplink)| [uplink.counters_in, uplink.counters_out]));
        let free: Vec<u32> = (FIRST_BLOCK..COUNTER_BLOCKS).filter(|block| !used.contains(block)).take(most).collect();
        if free.len() < least {
            let why = format!("all {COUNTER_BLOCKS} blocks of counters are in use");
            return Err(Error::new(Kind::Failed, "register", "one more endpoint", why)
                .remedy("take down endpoints that are not needed"));
        }
        self.reset_counters(&free)?;
        self.reset_endpoint_flows(&free)?;
        Ok(free)
    }
}

/// What was to be removed may be absent.
pub(crate) fn absent_or(removed: Result<(), MapError>) -> Result<(), MapError> {
    match removed {
        Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(nix::libc::ENOENT) => Ok(()),
        result => result,
    }
}

/// The addresses of an endpoint.
fn addresses(endpoint: &Endpoint) -> impl Iterator<Item = Addr> {
    let v4 = (endpoint.v4 != [0; 4]).then(|| mapped(endpoint.v4));
    let v6 = (endpoint.v6 != [0; 16]).then_some(endpoint.v6);
    // Addresses of the link are whosever: who has one is found by the hardware address. So is everybody where no bridge knows who has which.
    let by_mac = v6.is_some() || endpoint.flags & abi::endpoint_flags::NO_BRIDGE != 0;
    let on_link = by_mac.then(|| neighbour_key(endpoint.network, endpoint.mac));
    v4.into_iter().chain(v6).chain(on_link)
}

/// How often something is read that others change meanwhile.
const ATTEMPTS: usize = 8;

/// What `read` returns twice in a row: the kernel copies a value without a lock, and gives the memory of one that is removed to another
/// at once (since Linux 6.1), so that a copy may be of two.
///
/// # Errors
/// Those of `read`.
pub(crate) fn steady<V: PartialEq>(read: impl Fn() -> Result<Option<V>>) -> Result<Option<V>> {
    let mut before = read()?;
    for _ in 1..ATTEMPTS {
        let now = read()?;
        if now == before {
            break;
        }
        before = now;
    }
    Ok(before)
}
