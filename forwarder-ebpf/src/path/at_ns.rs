//! What becomes of a packet that left a namespace and is not sent by the uplink, and how it is counted.

use forwarder_common::{
    abi::Tuple,
    types::verdict::{Code, DropReason, PuntReason, Verdict},
    wire::{ethernet, ipv4, packet::L3_OFF},
};

use crate::{
    kernel::{
        counters::{self, Amount},
        packet::skb::Skb,
        records,
    },
    path::{
        apply::Action,
        bridgeless, multicast, policy, rate,
        route::{self, Resolution, prohibited},
        validate,
    },
};

#[inline(always)]
pub(crate) fn drop(skb: Skb, reason: DropReason) -> Action {
    count_here(skb, reason.into());
    Action::DROP
}

#[inline(always)]
pub(crate) fn punt(skb: Skb, reason: PuntReason) -> Action {
    refuse(skb, reason.into())
}

/// What is not sent at all, for the reason with this code: dropped, or left to the kernel, and so to the bridge, unless it would learn somebody
/// else's MAC from it.
#[inline(always)]
pub(crate) fn refuse(skb: Skb, code: Code) -> Action {
    Action::from_tc_action(fwd_refuse(skb, code))
}

/// Counts the verdict with this code, a drop, or a punt that was validated.
#[inline(always)]
pub(crate) fn counted(skb: Skb, code: Code) -> Action {
    Action::from_tc_action(fwd_unsent(skb, code))
}

global_fn! {
    /// See [`refuse`].
    fn fwd_refuse(skb: Skb, code: Code) -> i32 = refused;
    /// See [`counted`].
    fn fwd_unsent(skb: Skb, code: Code) -> i32 = unsent;
    /// See [`deliver`].
    fn fwd_deliver(skb: Skb, peer: u32, headers: u32) -> i32 = delivered;
}

#[inline(always)]
fn refused(skb: Skb, code: Code) -> i32 {
    let code = if code.is_drop() { code } else { validate::fwd_validate_punt(skb, code) };
    let action = unsent(skb, code);
    if multicast::is_for_group(code) { Action::GROUP.to_tc_action() } else { action }
}

#[inline(always)]
fn unsent(skb: Skb, code: Code) -> i32 {
    count_here(skb, code);
    if code.is_drop() { Action::DROP } else { bridgeless::to_kernel(skb) }.to_tc_action()
}

#[inline(always)]
pub(crate) fn count_here(skb: Skb, code: Code) {
    let amount = Amount::whole(skb, L3_OFF);
    counters::fwd_count_at_endpoint(skb.ifindex(), code, amount.packets, amount.bytes);
}

/// A packet that cannot be translated, for the reason with this code: it may still go to a neighbour or to the host.
#[inline(always)]
pub(crate) fn without_ports(skb: Skb, ip: &ipv4::Header, reason: Code) -> Action {
    deliver_or_refuse(skb, route::resolve(skb, &Tuple::without_ports(ip, skb.ifindex()), Err(reason), 0))
}

/// What is not sent by the uplink: delivered to a neighbour, punted or dropped.
#[inline(always)]
pub(crate) fn deliver_or_refuse(skb: Skb, resolution: Resolution) -> Action {
    let code = match resolution {
        Resolution::Neighbour(peer) => match policy::ipv4::between(skb, peer) {
            Ok(()) => return deliver(skb, peer, 2 * ipv4::MIN_LEN),
            Err(denied) => denied,
        },
        Resolution::Refused(code) => code,
        // Whoever comes here has looked for that.
        Resolution::Flow(_) => DropReason::Contended.into(),
    };
    if code == DropReason::UplinkUnguarded.into() {
        count_here(skb, code);
        return prohibited::refuse(skb);
    }
    refuse(skb, code)
}

/// From namespace to namespace of one network, or of two that reach each other: switched, not routed, so the TTL stays. Each segment
/// repeats so many bytes of `headers`.
#[inline(always)]
pub(crate) fn deliver(skb: Skb, peer: u32, headers: usize) -> Action {
    Action::from_tc_action(fwd_deliver(skb, peer, headers as u32))
}

#[inline(always)]
fn delivered(skb: Skb, peer: u32, headers: u32) -> i32 {
    let Some(endpoint) = records::endpoint(peer) else { return unsent(skb, DropReason::NoEndpoint.into()) };
    let (mac, counters, mtu) = (endpoint.mac, endpoint.counters, endpoint.mtu);
    let segments = skb.segments(L3_OFF.wrapping_add(headers as usize));
    let Amount { bytes, .. } = Amount::whole(skb, L3_OFF);
    if skb.gso_size() == 0 && bytes > mtu {
        return fwd_refuse(skb, PuntReason::TooBig.into());
    }
    if let Err(reason) = skb.headers().store(ethernet::field::DST, mac) {
        return unsent(skb, reason.into());
    }
    let amount = Amount { packets: segments, bytes };
    counters::fwd_count_at_endpoint(skb.ifindex(), Code::FORWARDED, amount.packets, amount.bytes);
    counters::count(counters, Verdict::Delivered, amount);
    rate::into_neighbour_slowly(skb, counters, peer).to_tc_action()
}
