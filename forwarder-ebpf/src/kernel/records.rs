//! The records of networks, endpoints, uplinks and mappings, by reference.
//!
//! A record is replaced as a whole, and the kernel frees it after a grace period (`BPF_F_NO_PREALLOC`): whoever looked one up may read it
//! until the program ends, and reads the old one or the new one, never both.

use aya_ebpf::btf_maps::HashMap;
use forwarder_common::abi::{Addr, Endpoint, Network, Uplink, mapped};

use super::{
    maps::{ADDRESSES, ENDPOINTS, NETWORKS, UPLINKS},
    shared::Shared,
};

/// The record of `key`.
#[inline(always)]
pub(crate) fn record<K, V, const ENTRIES: usize, const FLAGS: usize>(
    hash: &'static HashMap<K, V, ENTRIES, FLAGS>,
    key: &K,
) -> Option<&'static V> {
    // SAFETY: see the head of this file.
    hash.get_ptr(key).map(|record| unsafe { &*record })
}

/// The endpoint behind a host-side veth.
#[inline(always)]
pub(crate) fn endpoint(host_veth: u32) -> Option<&'static Endpoint> {
    record(&ENDPOINTS, &host_veth)
}

/// The network with this bridge.
#[inline(always)]
pub(crate) fn network(bridge: u32) -> Option<&'static Network> {
    record(&NETWORKS, &bridge)
}

/// The uplink that is this interface.
#[inline(always)]
pub(crate) fn uplink(ifindex: u32) -> Option<&'static Uplink> {
    record(&UPLINKS, &ifindex)
}

/// The host-side veth of the endpoint with address `addr`.
#[inline(always)]
pub(crate) fn host_veth_of(addr: [u8; 4]) -> Option<u32> {
    host_veth_at(mapped(addr))
}

/// The host-side veth of the endpoint with this address of either family.
#[inline(always)]
pub(crate) fn host_veth_at(addr: Addr) -> Option<u32> {
    Shared::value(&ADDRESSES, &addr).map(Shared::read)
}
