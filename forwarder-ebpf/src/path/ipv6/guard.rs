//! What has to do with an endpoint's address, and with no flow: it does not come in from outside, and does not leave. What the host does with
//! its own IPv6 is its own affair.
//!
//! Addresses that are not translated do come in and leave: to be of a flow, as any other. What the programs have no flows for is left to the
//! kernel, whose rules let in what answers.

use forwarder_common::{
    abi::Addr,
    decide::route,
    types::verdict::DropReason,
    wire::{
        ipv6::{self, field},
        packet::{L3_OFF, PacketBytes as _},
    },
};

use super::answer::fwd_may_answer6;
use crate::{
    kernel::{
        counters::{self, Amount},
        packet::{bytes::Bytes, skb::Skb},
        records,
    },
    path::{
        apply::Action,
        at_uplink,
        networks::{any_routed_v6, in_fwd_network_v6, routed_v6},
    },
};

global_fn! {
    /// Whether a packet of IPv6 that arrives by an uplink with a link-layer header, or (`leaves`) is on its way out by it, may do so: it was
    /// counted if not.
    pub(super) fn fwd_guard6(skb: Skb, leaves: bool) -> bool = passes;
    /// See [`has_routed`].
    fn fwd_has_routed6(skb: Skb, is_source: bool) -> bool = has_routed;
}

/// What becomes of a packet that arrives by an uplink with a link-layer header, and would be of a flow, of which there is none: the host's, or
/// refused for `reason` if it is for an endpoint whose address is not translated.
#[inline(always)]
pub(super) fn of_no_flow(skb: Skb, reason: DropReason) -> Action {
    if refuses(skb, reason) { Action::DROP } else { Action::NEXT }
}

/// As [`of_no_flow`]: whether it is refused, and was counted.
#[inline(always)]
pub(super) fn refuses(skb: Skb, reason: DropReason) -> bool {
    let refused = any_routed_v6() && fwd_has_routed6(skb, false);
    if refused {
        at_uplink::count_here(skb, L3_OFF, reason.into());
    }
    refused
}

/// Whether a packet on its way out by an uplink with a link-layer header has the address of an endpoint which is not translated.
#[inline(always)]
pub(super) fn leaves_as_it_is(skb: Skb) -> bool {
    any_routed_v6() && fwd_has_routed6(skb, true)
}

/// Whether the source of a packet, or its destination, is the address of an endpoint which is not translated.
#[inline(always)]
fn has_routed(skb: Skb, is_source: bool) -> bool {
    let off = if is_source { field::SRC } else { field::DST };
    routed_v6(address(&skb.headers(), L3_OFF, off)).is_some()
}

#[inline(always)]
fn passes(skb: Skb, leaves: bool) -> bool {
    let bytes = skb.headers();
    let action = if leaves { to_uplink::<L3_OFF>(skb, &bytes) } else { from_uplink::<L3_OFF>(skb, &bytes) };
    !action.is_drop()
}

/// A packet that arrives by an uplink, its network header at `L3`: the host's, unless it has the address of an endpoint at either end.
#[inline(always)]
pub(crate) fn from_uplink<const L3: usize>(skb: Skb, bytes: &Bytes) -> Action {
    let destination = address(bytes, L3, field::DST);
    let reason = if in_fwd_network_v6(destination) && routed_v6(destination).is_none() {
        DropReason::DirectToEndpoint
    } else if in_fwd_network_v6(address(bytes, L3, field::SRC)) {
        DropReason::Martian
    } else {
        return Action::NEXT;
    };
    at_uplink::drop(skb, L3, reason)
}

/// A packet on its way out by an uplink, its network header at `L3`: none of an endpoint leaves untranslated, unless its network is routed,
/// and none to a group.
#[inline(always)]
pub(crate) fn to_uplink<const L3: usize>(skb: Skb, bytes: &Bytes) -> Action {
    let source = address(bytes, L3, field::SRC);
    if !in_fwd_network_v6(source) {
        return Action::NEXT;
    }
    let to_group = ipv6::is_multicast(address(bytes, L3, field::DST));
    if !to_group
        && let Some((endpoint, host_veth)) = routed_v6(source)
        && route::may_leave_v6(endpoint, host_veth, skb.came_in_by())
    {
        return Action::NEXT;
    }
    let reason = if to_group { DropReason::MulticastOutside } else { DropReason::Untranslated };
    let Amount { packets, bytes } = Amount::whole(skb, L3);
    counters::fwd_count_at_uplink(skb.ifindex(), true, reason.into(), packets, bytes);
    Action::DROP
}

/// Whether a packet that the kernel sends into a network, and that came in by `ingress`, is for an endpoint that leaves by that uplink, or by any
/// whose conversations are answered there. Whether it answers what the endpoint has said, the kernel knows, which translated it.
#[inline(always)]
pub(crate) fn is_from_uplink(skb: Skb, bytes: &Bytes, ingress: u32) -> bool {
    let Some(host_veth) = records::host_veth_at(address(bytes, L3_OFF, field::DST)) else { return false };
    let Some(endpoint) = records::endpoint(host_veth) else { return false };
    if endpoint.network != skb.ifindex() {
        return false;
    }
    match route::bound_to(endpoint) {
        0 => (endpoint.uplink == ingress || records::is_guarded(ingress)) && fwd_may_answer6(skb, ingress),
        only => only == ingress,
    }
}

/// Whether a packet that the kernel sends into a network is for a group.
#[inline(always)]
pub(crate) fn is_to_group(bytes: &Bytes) -> bool {
    ipv6::is_multicast(address(bytes, L3_OFF, field::DST))
}

/// An address in the header at `l3`. That of nobody, if it is not there: the kernel drops such a packet.
#[inline(always)]
fn address(bytes: &Bytes, l3: usize, off: usize) -> Addr {
    bytes.load::<16>(l3.wrapping_add(off)).unwrap_or_default()
}
