//! What a packet of IPv6 to a neighbour speaks of.

use forwarder_common::{
    abi::neighbour_key,
    decide::{
        icmp_error::ipv6::is_translated,
        policy::{conversation::Part, protocol},
    },
    types::{
        direction::Direction,
        verdict::{Code, DropReason, Verdict},
    },
    wire::{
        ethernet, icmpv6,
        ipv6::{self, field},
        packet::{L3_OFF, PacketBytes as _},
    },
};

use super::{
    icmp_error,
    read::{HEADERS, fwd_read6},
};
use crate::{
    kernel::{
        maps::{PACKET6, SPOKEN},
        packet::{anywhere::Anywhere, skb::Skb},
        records,
        scratch::{IcmpError6, Packet6, Spoken, scratch},
    },
    path::policy::{
        is_asked,
        neighbours::{Kept, fwd_policy_judge, weigh},
    },
};

/// Of a later fragment.
const LATER: Code = Verdict::Dropped(DropReason::Fragment).code();
/// Of a protocol without ports.
const WITHOUT_PORTS: Code = Verdict::Dropped(DropReason::Protocol).code();
/// Of a message that is no echo request.
const MESSAGE: Code = Verdict::Dropped(DropReason::IcmpType).code();

global_fn! {
    /// See [`between`].
    fn fwd_policy_between6(skb: Skb, peer: u32) -> Result<(), Code> = judged;
    /// See [`name`].
    fn fwd_policy_name6(skb: Skb) -> Result<(), Code> = name;
    /// See [`name_message`].
    fn fwd_policy_message6(skb: Skb) -> Result<(), Code> = name_message;
    /// See [`link_peer`].
    fn fwd_policy_link_peer(skb: Skb) -> u32 = link_peer;
}

/// Whether a packet of IPv6 that left a namespace may go to the neighbour behind `peer`.
#[inline(always)]
pub(super) fn between(skb: Skb, peer: u32) -> Result<(), Code> {
    if is_asked() { fwd_policy_between6(skb, peer) } else { Ok(()) }
}

#[inline(always)]
fn judged(skb: Skb, peer: u32) -> Result<(), Code> {
    let kept = Kept::of(skb.ifindex(), peer);
    if !kept.is_at_all() {
        return Ok(());
    }
    weigh(skb, HEADERS, kept);
    let said = match fwd_policy_name6(skb) {
        Ok(()) => fwd_policy_judge(skb.ifindex(), peer),
        broken => broken,
    };
    kept.settle(said)
}

/// Whether a packet that is left to the bridge may go where that takes it: by an address of the link it would reach a neighbour past the rules.
#[inline(always)]
pub(super) fn on_link(skb: Skb) -> Result<(), Code> {
    let peer = if is_asked() { fwd_policy_link_peer(skb) } else { 0 };
    if peer == 0 { Ok(()) } else { fwd_policy_between6(skb, peer) }
}

/// The host-side veth of the neighbour whose hardware address a packet has that is for an address of the link; 0 if there is none. Which
/// address of the link is whose, nobody knows; the bridge goes by the hardware address.
#[inline(always)]
fn link_peer(skb: Skb) -> u32 {
    let bytes = Anywhere(skb);
    let (Ok(dst), Ok(mac)) = (bytes.load::<16>(L3_OFF.wrapping_add(field::DST)), bytes.load::<6>(ethernet::field::DST))
    else {
        return 0;
    };
    let Some(endpoint) = records::endpoint(skb.ifindex()) else { return 0 };
    if !ipv6::is_link_local(dst) {
        return 0;
    }
    records::host_veth_at(neighbour_key(endpoint.network, mac)).unwrap_or(0)
}

/// Tells in the map `SPOKEN` of which conversation the packet is, and its part in it.
#[inline(always)]
fn name(skb: Skb) -> Result<(), Code> {
    let read = fwd_read6(skb, L3_OFF as u32, Direction::Outbound, skb.ifindex());
    let (Some(Spoken { conversation, part, tcp_flags, .. }), Some(packet)) = (scratch(&SPOKEN), scratch(&PACKET6))
    else {
        return Err(DropReason::Contended.into());
    };
    conversation.src = packet.src;
    conversation.dst = packet.dst;
    conversation.sport = packet.tuple.sport;
    conversation.dport = packet.tuple.dport;
    conversation.proto = protocol(packet.number);
    conversation.query = 0;
    conversation._pad = [0; 2];
    *tcp_flags = packet.tcp_flags.into();
    *part = match read {
        Ok(()) => Part::with(conversation.proto, packet.tcp_flags, packet.icmp_type, true),
        Err(LATER) => Part::Aside,
        Err(WITHOUT_PORTS) => Part::Speaks,
        Err(MESSAGE) => return fwd_policy_message6(skb),
        Err(code) => return Err(code),
    } as u32;
    Ok(())
}

/// The same of ICMPv6 that is no echo request: an error is of the conversation of what it embeds, which went the other way.
#[inline(always)]
fn name_message(skb: Skb) -> Result<(), Code> {
    let (Some(Packet6 { upper_off, dst, .. }), Some(Spoken { conversation, part, .. })) =
        (scratch(&PACKET6), scratch(&SPOKEN))
    else {
        return Err(DropReason::Contended.into());
    };
    let (off, bytes) = (*upper_off as usize, Anywhere(skb));
    let [kind] = bytes.load::<1>(off)?;
    if kind == icmpv6::kind::ECHO_REPLY {
        let id = bytes.load::<2>(off.wrapping_add(icmpv6::field::REST))?;
        (conversation.sport, conversation.dport) = (id, id);
        *part = Part::Answers as u32;
        return Ok(());
    }
    *part = Part::with_message(kind) as u32;
    if !is_translated(kind) || icmp_error::fwd_icmp6_error_read(skb, L3_OFF as u32).is_err() {
        return Ok(());
    }
    let Some(IcmpError6 { embedded, .. }) = icmp_error::error() else { return Ok(()) };
    // It stands where the ends of the answer to the embedded packet do by now.
    if !ipv6::is_same(conversation.dst, *dst) {
        return Ok(());
    }
    conversation.src = embedded.ip.dst;
    conversation.sport = embedded.l4.dst_port;
    conversation.dport = embedded.l4.src_port;
    conversation.proto = protocol(embedded.upper.proto);
    *part = Part::Tells as u32;
    Ok(())
}
