//! In the place of the ports of a bridge, for networks without them (`--bridge none`). The bridge itself stays, as the interface by which the host is in
//! the network: what a namespace leaves to the kernel arrives there, and what the kernel sends by it goes to the host-side veth that the hardware address
//! names. Neighbours get packets straight, as ever; who asks for one is told the gateway's hardware address.

use forwarder_common::{
    abi::{Addr, Endpoint, feature, neighbour_key},
    decide::bridgeless::{is_answered, is_bridgeless},
    types::verdict::DropReason,
    wire::{
        ethernet,
        ipv6::mac_of_link_local,
        packet::{L3_OFF, PacketBytes as _},
    },
};

use crate::{
    kernel::{
        counters::{self, Amount},
        devices,
        maps::config,
        packet::skb::Skb,
        records, redirect,
    },
    path::apply::Action,
};

global_fn! {
    /// See [`switch`].
    fn fwd_bridgeless_switch(skb: Skb) -> i32 = switch;
}

/// Whether some network is without a bridge.
#[inline(always)]
fn any() -> bool {
    config().is_some_and(|config| config.features & feature::NO_BRIDGE != 0)
}

/// On to the kernel with a packet that left a namespace: by its host-side veth, as a port of the bridge or not.
#[inline(always)]
pub(super) fn to_kernel(skb: Skb) -> Action {
    if !any() {
        return Action::NEXT;
    }
    // Of a host-side veth that is no port the kernel would take what comes by it for a router's.
    let Some(endpoint) = records::endpoint(skb.ifindex()) else { return Action::DROP };
    if is_bridgeless(endpoint.flags) {
        Action::from_tc_action(redirect::inward(endpoint.network))
    } else {
        Action::NEXT
    }
}

/// On with a packet that the kernel may send into a network by its bridge.
#[inline(always)]
pub(super) fn into_network(skb: Skb) -> Action {
    if any() { Action::from_tc_action(fwd_bridgeless_switch(skb)) } else { Action::NEXT }
}

/// To the host-side veth of the endpoint with the hardware address that the frame has; there is nobody else in the network.
#[inline(always)]
fn switch(skb: Skb) -> i32 {
    let bridge = skb.ifindex();
    match records::network(bridge) {
        Some(network) if is_bridgeless(network.flags) => {}
        _ => return Action::NEXT.to_tc_action(),
    }
    let host_veth = match skb.headers().load::<6>(ethernet::field::DST) {
        Ok(mac) => records::host_veth_at(neighbour_key(bridge, mac)).unwrap_or(0),
        Err(_) => 0,
    };
    // The number of the bridge may have been another's when that was noted.
    let is_in_network = host_veth != 0 && records::network_of(host_veth) == Some(bridge);
    if is_in_network && devices::fwd_is_there(host_veth) {
        return redirect::device(host_veth);
    }
    let Amount { packets, bytes } = Amount::whole(skb, L3_OFF);
    counters::fwd_count_at_network(bridge, DropReason::NoBridge.into(), packets, bytes);
    Action::DROP.to_tc_action()
}

/// Whether the gateway answers `endpoint`, who asks for the hardware address of `addr`, for a neighbour: see [`is_answered`].
#[inline(always)]
pub(super) fn answers_for(skb: Skb, endpoint: &Endpoint, addr: Addr) -> bool {
    if !is_bridgeless(endpoint.flags) {
        return false;
    }
    let Some(host_veth) = records::host_veth_at(key_of(endpoint.network, addr)) else { return false };
    let Some(theirs) = records::network_of(host_veth) else { return false };
    is_answered(endpoint, skb.ifindex(), host_veth, theirs)
}

/// By which the endpoint with `addr` in a network is found: of an address of the link, the hardware address that it is made of.
#[inline(always)]
pub(super) fn key_of(network: u32, addr: Addr) -> Addr {
    match mac_of_link_local(addr) {
        Some(mac) => neighbour_key(network, mac),
        None => addr,
    }
}
