//! What arrives for an address behind which namespaces appear, and which the host does not have (`--announce`). The kernel answers for it by neighbour
//! discovery, as a proxy: it alone can have the card take the questions, which go to a group of their own for each address (RFC 4291 §2.7.1).

use forwarder_common::{
    types::verdict::DropReason,
    wire::{
        icmpv6, ipv6,
        l4::has_ports,
        ndisc,
        packet::{L3_OFF, PacketBytes as _},
    },
};

use crate::{
    kernel::{
        fib::fwd_is_own6,
        maps::PACKET6,
        packet::skb::Skb,
        records::{announced_with, any_announced},
        scratch::scratch,
    },
    path::{apply::Action, at_uplink::drop},
};

global_fn! {
    /// See [`is_for_announced`].
    fn fwd_is_for_announced6(skb: Skb) -> bool = is_for_announced;
}

/// What becomes of a packet that arrived by an uplink with a link-layer header, and was to be treated so: what is left to the kernel for an announced
/// address is dropped.
#[inline(always)]
pub(super) fn kept_from_host(skb: Skb, action: Action) -> Action {
    if action.is_next() && any_announced() && fwd_is_for_announced6(skb) {
        drop(skb, L3_OFF, DropReason::Announced)
    } else {
        action
    }
}

/// Whether a packet is for such an address, and not the host's after all, which may have got it meanwhile. What neighbours ask is the kernel's (RFC 4861
/// §7.2.8).
#[inline(always)]
fn is_for_announced(skb: Skb) -> bool {
    const NEXT_HEADER: usize = L3_OFF.wrapping_add(ipv6::field::NEXT_HEADER);
    let bytes = skb.headers();
    let Some(packet) = scratch(&PACKET6) else { return false };
    let Ok(destination) = bytes.load::<16>(L3_OFF.wrapping_add(ipv6::field::DST)) else { return false };
    packet.to = ipv6::of_words(ipv6::words(destination));
    if announced_with(&packet.to).is_none() {
        return false;
    }
    let (next, kind) = (bytes.load::<1>(NEXT_HEADER), bytes.load::<1>(L3_OFF.wrapping_add(ipv6::LEN)));
    let (Ok([next]), Ok([kind])) = (next, kind) else { return false };
    is_refused(next, kind) && !fwd_is_own6(skb, skb.ifindex())
}

/// Whether a packet, behind whose header stands a header with this number that begins with the byte `kind`, is one that programs translate, or a question.
/// Protocols without ports, and errors about them, are the kernel's to translate: for the host itself it takes none of them.
#[inline(always)]
const fn is_refused(next: u8, kind: u8) -> bool {
    const FIRST_QUERY: u8 = 128;
    if next == icmpv6::PROTO { kind >= FIRST_QUERY && !ndisc::is_discovery(kind) } else { has_ports(next) }
}
