//! Whether a reply may come in by the interface where it does.

use forwarder_common::decide::forward;

use crate::kernel::{packet::skb::Skb, records, slots};

/// Whether a packet that arrives by an uplink is believed to be a reply of the flow in slot `index`: mostly the uplink is the flow's own, or
/// that by which replies came before.
#[inline(always)]
pub(crate) fn may_arrive(skb: Skb, index: u32) -> bool {
    let Some(slot) = slots::slot(index) else { return false };
    slot.arrives_by().read() == skb.ifindex() || fwd_may_arrive(index, skb.ifindex())
}

global_fn! {
    /// See [`ask`].
    fn fwd_may_arrive(index: u32, ifindex: u32) -> bool = ask;
}

/// Asks whether a reply of the flow in slot `index` may come in by `ifindex`. If so, the next ones there are not asked for.
#[inline(always)]
fn ask(index: u32, ifindex: u32) -> bool {
    let Some(slot) = slots::slot(index) else { return false };
    let (Some(leaves), Some(arrives)) = (records::uplink(slot.uplink().read()), records::uplink(ifindex)) else {
        return false;
    };
    // What is for the host itself its kernel checks.
    let is_ipv6 = slot.outbound().tuple().read().family != 0;
    let may = slot.endpoint().read() == 0 || forward::may_arrive(leaves.flags, arrives.flags, is_ipv6);
    if may {
        slot.arrives_by().write(ifindex);
    }
    may
}
