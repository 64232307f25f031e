//! What the senders of packets are told here, because the kernel must not see them, or would send them: see
//! [`forwarder_common::decide::icmp_error::notice::ipv6`].

use forwarder_common::{
    decide::icmp_error::notice::ipv6::{self as notice, Told, off},
    types::verdict::{DropReason, PuntReason},
    wire::{ethernet, packet::L3_OFF},
};

use crate::{
    kernel::{maps::NOTICE6, packet::skb::Skb, records, scratch::scratch, slots},
    path::{apply::Action, at_ns},
};

/// A packet that the host would send by an interface that no program guards. It is not sent in any case.
#[inline(always)]
pub(super) fn prohibited(skb: Skb) -> Action {
    at_ns::count_here(skb, DropReason::UplinkUnguarded.into());
    if fwd_is_told6(skb) && fwd_tell6(skb, 0) { Action::device(skb.ifindex()) } else { Action::DROP }
}

/// A packet of the flow in `slot` that is larger than its way takes. The kernel keeps to no MTU that a route asks for without a lock, and tells those
/// senders alone whom nothing can be told here.
#[inline(always)]
pub(super) fn too_big(skb: Skb, slot: u32) -> Action {
    let mtu = slots::slot(slot).map_or(0, |slot| slot.outbound().mtu().read());
    if mtu == 0 || !fwd_is_told6(skb) {
        return at_ns::punt(skb, PuntReason::TooBig);
    }
    at_ns::count_here(skb, PuntReason::TooBig.into());
    if fwd_tell6(skb, mtu.into()) { Action::device(skb.ifindex()) } else { Action::DROP }
}

global_fn! {
    /// See [`is_told`].
    fn fwd_is_told6(skb: Skb) -> bool = is_told;
    /// See [`tell`].
    fn fwd_tell6(skb: Skb, mtu: u32) -> bool = tell;
}

/// Whether the sender of a packet is told about it, of which the beginning stands in the map `NOTICE6` then.
#[inline(always)]
fn is_told(skb: Skb) -> bool {
    let Some(notice) = scratch(&NOTICE6) else { return false };
    let copied = skb.copy(L3_OFF as u32, &mut notice.embedded, notice::EMBEDDED as u32);
    copied && notice::may_tell(&notice.embedded)
}

/// Makes of the packet what its sender is to be told: that no more than `mtu` bytes get through, or, where that is 0, nothing. Whether it is that
/// now.
#[inline(always)]
fn tell(skb: Skb, mtu: u32) -> bool {
    let (Some(notice), Some(endpoint)) = (scratch(&NOTICE6), records::endpoint(skb.ifindex())) else { return false };
    let Some(network) = records::network(endpoint.network) else { return false };
    notice.complete(&network.gateway_v6, if mtu == 0 { Told::Prohibited } else { Told::TooBig(mtu as u16) });
    let Some(source) = notice.source() else { return false };
    skb.cut(notice::LEN as u32)
        && skb.write(ethernet::field::DST as u32, &endpoint.mac)
        && skb.write(ethernet::field::SRC as u32, &endpoint.gateway_mac)
        && skb.write(off::HEAD, &notice.head)
        && skb.write(off::SRC, &network.gateway_v6)
        && skb.write(off::DST, source)
        && skb.write(off::MESSAGE, &notice.message)
        && skb.write(off::EMBEDDED, &notice.embedded)
}
