//! From the fast path to the slow one.

use forwarder_common::{
    abi::{Hook, SLOW_PATH_IPV6, SLOW_PATH_IPV6_SLOW, feature},
    types::verdict::DropReason,
    wire::ethernet::ethertype,
};

use crate::{
    kernel::{
        maps::config,
        packet::{ethertype, skb::Skb},
        redirect,
    },
    path::{apply::Action, at_ns, vlan},
};

/// Goes on in the program of the slow path. A program of its own: the fast path alone needs fewer registers and a smaller stack,
/// and each is verified by itself. The control plane fills the map before it attaches anything; the kernel empties it when nothing
/// holds it any more, pin or program's loader. Then nothing of a namespace passes; what is the host's at an uplink does.
#[inline(always)]
pub(crate) fn tail_call(skb: Skb, hook: Hook) -> Action {
    redirect::slow_path(skb, hook as u32);
    match hook {
        Hook::FromNs => {
            at_ns::count_here(skb, DropReason::Contended.into());
            Action::DROP
        }
        Hook::FromUplink => Action::NEXT,
        Hook::ToUplink => vlan::leaves(skb),
    }
}

/// Whether some network has IPv6, so that its programs are loaded.
#[inline(always)]
pub(crate) fn has_ipv6() -> bool {
    matches!(config(), Some(config) if config.features & feature::IPV6 != 0)
}

/// Goes on in the slow path of IPv6. Comes back if it is not there.
#[inline(always)]
pub(crate) fn tail_call_ipv6_slow(skb: Skb, hook: Hook) {
    redirect::slow_path(skb, SLOW_PATH_IPV6_SLOW.wrapping_add(hook as u32));
}

/// Goes on with a frame of IPv6 in the program of the hook for it, if some network has IPv6. Comes back with all others.
#[inline(always)]
pub(crate) fn tail_call_ipv6(skb: Skb, hook: Hook) {
    let bytes = skb.linear();
    if skb.vlan_present() == 0 && ethertype(&bytes) == ethertype::IPV6 && has_ipv6() {
        redirect::slow_path(skb, SLOW_PATH_IPV6.wrapping_add(hook as u32));
    }
}
