//! Packets of a namespace that are larger than their way out takes. The kernel cuts them or tells their sender, if by itself it would send them
//! the same way; otherwise it must not see them, and the sender is told here: see [`forwarder_common::decide::icmp_error::notice`].

use forwarder_common::{
    abi::FlowVersion,
    decide::icmp_error::notice::{self, Told},
    types::{
        direction::Direction,
        verdict::{Code, DropReason, PuntReason},
    },
    wire::packet::L3_OFF,
};

use crate::{
    kernel::{
        counters::{self, Amount},
        maps::NOTICE,
        packet::skb::Skb,
        scratch::scratch,
    },
    path::{
        apply::Action,
        at_ns,
        route::{self, prohibited::ends},
    },
    table::lookup,
};

/// Where the packet begins.
const ETHERNET: u32 = L3_OFF as u32;

/// A packet of the flow in `slot`, whose version was `version`.
#[inline(always)]
pub(crate) fn outbound(skb: Skb, slot: u32, version: FlowVersion) -> Action {
    if route::refresh::fwd_kernel_agrees(skb, slot) {
        return at_ns::punt(skb, PuntReason::TooBig);
    }
    let Amount { packets, bytes } = Amount::whole(skb, L3_OFF);
    let code = if fwd_tell_too_big(skb, slot, version) {
        PuntReason::TooBig.into()
    } else {
        Code::from(DropReason::Untranslated)
    };
    counters::fwd_count_at_endpoint(skb.ifindex(), code, packets, bytes);
    if code.is_drop() { Action::DROP } else { Action::device(skb.ifindex()) }
}

global_fn! {
    /// See [`tell`].
    fn fwd_tell_too_big(skb: Skb, slot: u32, version: FlowVersion) -> bool = tell;
}

/// Makes of the packet what its sender is to be told. Whether it is that now.
#[inline(always)]
fn tell(skb: Skb, slot: u32, version: FlowVersion) -> bool {
    let (Some(notice), Some(hit)) = (scratch(&NOTICE), lookup::copy(Direction::Outbound, slot, version)) else {
        return false;
    };
    let Some(ends) = ends(skb) else { return false };
    if !skb.copy(ETHERNET, &mut notice.embedded, notice::EMBEDDED as u32) || !notice::may_tell(&notice.embedded) {
        return false;
    }
    notice.complete(&ends, Told::TooBig(hit.mtu));
    skb.cut(notice::LEN as u32) && skb.write(0, notice.as_frame())
}
