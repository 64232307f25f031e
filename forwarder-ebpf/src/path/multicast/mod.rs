//! Multicast between a network and its uplink (`--multicast`): a copy of what a namespace sends to a group leaves by the uplink, and a copy of what
//! arrives there for one goes to the bridge, which gives it to all namespaces. The packet itself goes the way that it would go anyway.
//!
//! A program of its own, to which the slow paths go on: they are as large as the verifier takes. A copy is made of the packet as it stands,
//! so it is changed, copied, and changed back. The programs at the egress of where a copy goes run meanwhile: nothing is kept in maps
//! of this CPU.

mod inward;
mod limit;
mod outward;

use forwarder_common::{
    abi::{SLOW_PATH_MULTICAST, TracePoint, feature},
    decide::multicast::hears,
    types::verdict::{Code, PuntReason, Verdict},
    wire::ethernet::ethertype,
};

use crate::{
    kernel::{
        maps::config,
        packet::{ethertype, skb::Skb},
        records, redirect, trace,
    },
    path::apply::Action,
};

/// What is left to the bridge because it is for a group.
const MULTICAST: Code = Verdict::Punted(PuntReason::Multicast).code();

/// Whether some network has it.
#[inline(always)]
fn any() -> bool {
    config().is_some_and(|config| config.features & feature::MULTICAST != 0)
}

/// Whether a packet of a namespace that was judged with this code goes on in the program of groups.
#[inline(always)]
pub(crate) fn is_for_group(code: Code) -> bool {
    code == MULTICAST && any()
}

/// What becomes of a packet that arrived by an uplink with a link-layer header, and was to be treated so.
#[inline(always)]
pub(crate) fn arrives(skb: Skb, action: Action) -> Action {
    if action.is_next() && any() && skb.is_for_many() { Action::GROUP } else { action }
}

/// What a slow path returns that has decided so: what is for a group goes on in the program for that. Where it is not there, the packet goes on alone.
#[inline(always)]
pub(crate) fn finish(skb: Skb, action: Action) -> i32 {
    let action = action.to_tc_action();
    if action != Action::GROUP.to_tc_action() {
        return action;
    }
    redirect::slow_path(skb, SLOW_PATH_MULTICAST);
    Action::NEXT.to_tc_action()
}

/// Whether what the host sends into a network by its bridge for a group may come in, having come by `ingress`.
#[inline(always)]
pub(crate) fn comes_in(skb: Skb, ingress: u32) -> bool {
    let is_ipv6 = ethertype(&skb.linear()) == ethertype::IPV6;
    records::network(skb.ifindex()).is_some_and(|network| hears(network, ingress, is_ipv6))
}

/// Tells of a copy that was dropped: the packet itself goes on, and has a record of its own.
#[inline(always)]
fn tell(skb: Skb, point: TracePoint, copied: Result<(), Code>) {
    if let Err(code) = copied {
        trace::tc(skb, point, |_| {
            trace::verdict(code);
            Action::DROP.to_tc_action()
        });
    }
}

/// Copies a packet for a group to where it passes. What the program returns: the packet itself goes on.
#[inline(always)]
pub(crate) fn pass(skb: Skb) -> i32 {
    match records::endpoint(skb.ifindex()) {
        Some(endpoint) => {
            let copied = outward::copy(skb, endpoint);
            // Only now: the copy has been told of.
            tell(skb, TracePoint::ToUplink, copied);
            trace::tc(skb, TracePoint::FromNs, |_| {
                trace::verdict(MULTICAST);
                Action::NEXT.to_tc_action()
            })
        }
        None => {
            let copied = inward::copy(skb);
            tell(skb, TracePoint::FromUplink, copied);
            trace::tc(skb, TracePoint::FromUplink, |_| Action::NEXT.to_tc_action())
        }
    }
}
