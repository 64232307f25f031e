//! From the fast path to the slow one.

use forwarder_common::{abi::Hook, types::verdict::DropReason};

use crate::{
    kernel::{packet::skb::Skb, redirect},
    path::{apply::Action, at_ns, vlan},
};

/// Goes on in the program of the slow path. A program of its own: the fast path alone needs fewer registers and a smaller stack,
/// and each is verified by itself. The control plane fills the map before it attaches anything; the kernel empties it when nothing
/// holds it any more, pin or program's loader. Then nothing of a namespace passes; what is the host's at an uplink does.
#[inline(always)]
pub(crate) fn tail_call(skb: Skb, hook: Hook) -> Action {
    redirect::slow_path(skb, hook);
    match hook {
        Hook::FromNs => {
            at_ns::count_here(skb, DropReason::Contended.into());
            Action::DROP
        }
        Hook::FromUplink => Action::NEXT,
        Hook::ToUplink => vlan::leaves(skb),
    }
}
