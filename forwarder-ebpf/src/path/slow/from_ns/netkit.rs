//! A packet that leaves a namespace by a netkit pair (drivers/net/netkit.c). The program runs while the end inside sends, and not when the
//! host receives: earlier than at the ingress of a veth, and without the queue between the two. What the kernel does to a packet on the way
//! to that ingress has not been done yet:
//!
//! - The interface by which it comes in is noted nowhere (`skb->skb_iif`). So it is stamped here, for the programs that meet it again
//!   at the uplink: see [`Skb::came_in_by`].
//! - Nobody has looked which protocol the frame says that it is (`eth_type_trans`): `skb->protocol` is what the sender has told, and a packet
//!   socket tells anything. The kernel goes by it, here and when the bridge has the packet.
//! - `redirect_peer` is for the ingress alone: who sends to a neighbour redirects to the host's end of its pair.

use forwarder_common::types::verdict::DropReason;

use super::from_ns;
use crate::{
    kernel::packet::{ethertype, skb::Skb},
    path::{apply::Action, at_ns::drop},
};

/// A packet that the end inside of a netkit pair sends.
#[inline(always)]
pub(crate) fn from_netkit(skb: Skb) -> Action {
    skb.stamp();
    if skb.protocol().to_ne_bytes() != ethertype(&skb.linear()) {
        return drop(skb, DropReason::EtherType);
    }
    from_ns(skb)
}
