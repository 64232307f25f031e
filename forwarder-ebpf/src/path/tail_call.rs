//! From the fast path to the slow one.

use forwarder_common::{
    abi::{Hook, SLOW_PATH_IPV6, feature},
    types::verdict::DropReason,
};

use crate::{
    kernel::{maps::config, packet::skb::Skb, redirect},
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

/// Goes on with IPv6 of a namespace in a program of its own, which is loaded with the first network that has IPv6.
#[inline(always)]
pub(crate) fn tail_call_ipv6(skb: Skb) -> Action {
    let is_loaded = matches!(config(), Some(config) if config.features & feature::IPV6 != 0);
    if !is_loaded {
        return at_ns::drop(skb, DropReason::Ipv6);
    }
    redirect::slow_path(skb, SLOW_PATH_IPV6);
    at_ns::drop(skb, DropReason::Contended)
}
