//! The records of networks, endpoints, uplinks and mappings.
//!
//! A record is replaced as a whole. But since Linux 6.1 (commit 0fd7c5d43339) the memory of one that is replaced or removed may be given to
//! another record of its map at once, without a grace period: what a look-up returned may be of two records, if one was removed and another
//! put in at that very moment. It stays memory of the map until the program ends, and any bits are valid in it. So what is taken from a
//! record by reference concerns the packet at hand alone. What lasts, a flow and its route, is made of [`copies`](endpoint_copy), which two
//! look-ups have returned alike.

use aya_ebpf::btf_maps::HashMap;
use forwarder_common::abi::{Addr, Endpoint, Network, NetworkPair, Uplink, feature, mapped, uplink_flags};

use super::{
    maps::{ADDRESSES, ANNOUNCED, ENDPOINT, ENDPOINTS, NETWORKS, REACHES, UPLINKS, config},
    scratch::scratch,
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

global_fn! {
    /// See [`copy_endpoint`].
    fn fwd_endpoint_copy(host_veth: u32) -> bool = copy_endpoint;
}

/// A copy of that record, in the map `ENDPOINT`, until the next one is asked for; none if it changes at this moment.
#[inline(always)]
pub(crate) fn endpoint_copy(host_veth: u32) -> Option<&'static Endpoint> {
    if fwd_endpoint_copy(host_veth) { scratch(&ENDPOINT).map(|copy| &*copy) } else { None }
}

/// Copies the record of the endpoint behind `host_veth` into the map `ENDPOINT`. Whether it is one record.
#[inline(always)]
fn copy_endpoint(host_veth: u32) -> bool {
    let (Some(first), Some(copy)) = (Shared::value(&ENDPOINTS, &host_veth), Shared::own(&ENDPOINT, 0)) else {
        return false;
    };
    let mut word = 0;
    while word < ENDPOINT_WORDS {
        copy.nth_double_word(word).write(first.nth_double_word(word).read());
        word = word.wrapping_add(1);
    }
    let Some(again) = Shared::value(&ENDPOINTS, &host_veth) else { return false };
    // One word after the other: LLVM would load all of them first, for which the stack is too short.
    word = 0;
    while word < ENDPOINT_WORDS {
        if copy.nth_double_word(word).read() != again.nth_double_word(word).read() {
            return false;
        }
        word = word.wrapping_add(1);
    }
    true
}

/// Words of 64 bits in the record of an endpoint.
const ENDPOINT_WORDS: usize = size_of::<Endpoint>() / 8;
const _: () = assert!(size_of::<Endpoint>() == 8 * ENDPOINT_WORDS && align_of::<Endpoint>() == 8);

/// The bridge of the network of the endpoint behind `host_veth`.
#[inline(always)]
pub(crate) fn network_of(host_veth: u32) -> Option<u32> {
    Shared::value(&ENDPOINTS, &host_veth).map(|endpoint| endpoint.network().read())
}

/// The network with this bridge.
#[inline(always)]
pub(crate) fn network(bridge: u32) -> Option<&'static Network> {
    record(&NETWORKS, &bridge)
}

/// Whether the networks with the bridges `from` and `to` have allowed each other.
#[inline(always)]
pub(crate) fn reaches(from: u32, to: u32) -> bool {
    record(&REACHES, &NetworkPair { from, to }).is_some()
}

/// What a flow takes from the record of an uplink: its address, and its blocks of counters for what arrives and what leaves.
pub(crate) type UplinkCopy = ([u8; 4], u32, u32);

/// That of the uplink that is this interface; none if the record changes at this moment.
#[inline(always)]
pub(crate) fn uplink_copy(ifindex: u32) -> Option<UplinkCopy> {
    let read = || {
        let uplink = Shared::value(&UPLINKS, &ifindex)?;
        Some((uplink.v4().read(), uplink.counters_in().read(), uplink.counters_out().read()))
    };
    let first = read()?;
    (read()? == first).then_some(first)
}

shared_fields! {
    Endpoint {
        /// The network's bridge.
        network: u32 = network;
    }
    Uplink {
        /// Its address.
        v4: [u8; 4] = v4;
        /// Block of counters for what arrives.
        counters_in: u32 = counters_in;
        /// Block of counters for what leaves.
        counters_out: u32 = counters_out;
        /// See [`uplink_flags`].
        flags: u32 = flags;
    }
}

/// Whether this interface has the record of an uplink, with the programs that guard it.
#[inline(always)]
pub(crate) fn is_guarded(ifindex: u32) -> bool {
    Shared::value(&UPLINKS, &ifindex).is_some_and(|uplink| uplink.flags().read() & uplink_flags::GUARDED != 0)
}

/// The uplink that is this interface.
#[inline(always)]
pub(crate) fn uplink(ifindex: u32) -> Option<&'static Uplink> {
    record(&UPLINKS, &ifindex)
}

/// Whether programs answer for some address that the host does not have.
#[inline(always)]
pub(crate) fn any_announced() -> bool {
    config().is_some_and(|config| config.features & feature::ANNOUNCED != 0)
}

/// The interface at which programs answer for `addr`, because the host does not have it.
#[inline(always)]
pub(crate) fn announced_at(addr: [u8; 4]) -> Option<u32> {
    announced_with(&mapped(addr))
}

/// The same of an address of either family in a map: it needs no room on the stack.
#[inline(always)]
pub(crate) fn announced_with(addr: &Addr) -> Option<u32> {
    if any_announced() { Some(Shared::value(&ANNOUNCED, addr)?.read()) } else { None }
}

/// The host-side veth of the endpoint with address `addr`.
#[inline(always)]
pub(crate) fn host_veth_of(addr: [u8; 4]) -> Option<u32> {
    host_veth_at(mapped(addr))
}

/// The host-side veth of the endpoint with this address of either family.
#[inline(always)]
pub(crate) fn host_veth_at(addr: Addr) -> Option<u32> {
    host_veth_with(&addr)
}

/// The same, of an address in a map: it needs no room on the stack.
#[inline(always)]
pub(crate) fn host_veth_with(addr: &Addr) -> Option<u32> {
    Shared::value(&ADDRESSES, addr).map(Shared::read)
}
