//! Packets from outside that begin a flow: to a published port, or where a network lets anyone write to its mapped ports (RFC 4787 REQ-8).

use forwarder_common::{
    abi::{External, FlowState, SLOT_NONE, Tuple, feature},
    decide::{
        unsolicited::{self, publish},
        validate::is_martian_source,
    },
    types::direction::Direction,
};

use crate::{
    kernel::{
        devices,
        maps::{EXTERNAL, INBOUND, config},
        packet::skb::Skb,
        records,
        scratch::scratch,
        shared::Shared,
        sock::{fwd_host_converses, fwd_host_uses},
    },
    path::{published, route::inbound},
    table::{lookup, slot, usage::is_published},
};

/// A packet from outside with `tuple` that belongs to no flow: if it is for a published port, or for a mapping that lets anyone in
/// (RFC 4787 REQ-8), makes the flow. Returns its slot, or 0: the packet is the host's. Of a published port that is none, a packet for
/// which no flow can be made has [`REFUSED`] and the code of the reason to drop it.
#[inline(always)]
pub(crate) fn open(skb: Skb, tuple: &Tuple, tcp_flags: u8) -> u32 {
    const BEGINS: u32 = feature::EIF | feature::PUBLISH;
    if config().is_none_or(|config| config.features & BEGINS == 0) {
        return SLOT_NONE;
    }
    let how = fwd_unsolicited(skb, tuple, tcp_flags.into());
    if how == NOBODYS {
        return SLOT_NONE;
    }
    let Some(out) = scratch(&INBOUND) else { return SLOT_NONE };
    let opened = inbound::open_inbound(skb, out, how);
    match fwd_opened_for(tuple, opened.slot()) {
        SLOT_NONE if how != MAPPED && opened.is_dropped() => REFUSED | opened.code().raw(),
        slot => slot,
    }
}

/// Set beside a code in what [`open`] returns.
pub(crate) const REFUSED: u32 = 1 << 31;

/// What [`begins`] says: the packet is for no endpoint.
const NOBODYS: u64 = 0;
/// It is for a mapping: the flow gets the port of that.
const MAPPED: u64 = 1;

global_fn! {
    /// See [`opened_for`].
    fn fwd_opened_for(tuple: &Tuple, slot: u32) -> u32 = opened_for;
    /// See [`begins`].
    fn fwd_unsolicited(skb: Skb, tuple: &Tuple, tcp_flags: u32) -> u64 = begins;
    /// See [`for_publication`].
    fn fwd_for_publication(skb: Skb, tuple: &Tuple, at_all: bool) -> bool = for_publication;
}

/// The slot of a flow that was opened for a packet from outside with `tuple`, if that is its flow; otherwise the mapping has changed
/// meanwhile, nobody needs the flow, and the result is 0. If none was opened, the slot of that which another CPU opened.
#[inline(always)]
fn opened_for(tuple: &Tuple, slot: u32) -> u32 {
    let Some(out) = scratch(&INBOUND) else { return SLOT_NONE };
    if slot == SLOT_NONE {
        return lookup::slot_of(Direction::Inbound, tuple);
    }
    if !lookup::matches(Direction::Inbound, slot, tuple).is_none() {
        return slot;
    }
    let version = lookup::matches(Direction::Outbound, slot, out);
    if version.state() as u8 == FlowState::HalfOpen as u8 {
        slot::fwd_flow_end(slot, version);
    }
    SLOT_NONE
}

/// Whether a packet from outside with `tuple` may begin a flow; its outbound tuple is then in the map `INBOUND`. [`NOBODYS`], [`MAPPED`],
/// or the socket of the host that it was sent to, as [`inbound::external`] has it, which is a published one.
#[inline(always)]
fn begins(skb: Skb, tuple: &Tuple, tcp_flags: u32) -> u64 {
    if !unsolicited::may_begin(tuple.proto, tcp_flags as u8) || is_martian_source(tuple.saddr) {
        return NOBODYS;
    }
    if is_published(tuple.proto, u16::from_ne_bytes(tuple.dport))
        && (fwd_for_publication(skb, tuple, false) || fwd_for_publication(skb, tuple, true))
    {
        return inbound::external(tuple);
    }
    if for_mapping(skb, tuple) { MAPPED } else { NOBODYS }
}

/// Whether the packet is for a port that is published at its very destination, or (`at_all`) at all addresses of the host.
///
/// What the host itself has begun stays its own; but who listens there later does not take a published port away.
#[inline(always)]
fn for_publication(skb: Skb, tuple: &Tuple, at_all: bool) -> bool {
    let Some(out) = scratch(&INBOUND) else { return false };
    let Some((publication, endpoint)) = published::find(skb, tuple, at_all) else { return false };
    let to_many = matches!(skb.pkt_type(), BROADCAST | MULTICAST);
    if to_many || endpoint.uplink != skb.ifindex() || fwd_host_converses(skb, tuple) {
        return false;
    }
    // From the host's own address comes what a namespace has sent to it: then there is the flow of that.
    if tuple.saddr == tuple.daddr && lookup::slot_of(Direction::Inbound, &tuple.answer(tuple.ifindex)) == SLOT_NONE {
        return false;
    }
    *out = unsolicited::outbound(tuple, &publish::internal(&publication, tuple, endpoint));
    true
}

// PACKET_* (include/uapi/linux/if_packet.h): the frame was sent to others as well, perhaps to a directed broadcast.
const BROADCAST: u32 = 1;
const MULTICAST: u32 = 2;

/// Whether the packet is for a mapping that lets anyone in.
///
/// Nothing is let in that a socket of the host would get: here the look-up finds those bound to the uplink, too.
#[inline(always)]
fn for_mapping(skb: Skb, tuple: &Tuple) -> bool {
    let (Some(config), Some(out)) = (config(), scratch(&INBOUND)) else { return false };
    if config.features & feature::EIF == 0 {
        return false;
    }
    let external = External { addr: tuple.daddr, port: tuple.dport, proto: tuple.proto, _pad: 0 };
    // It may be recycled meanwhile: what is made of it is compared with `tuple` at the end.
    let Some(mapping) = Shared::value(&EXTERNAL, &external) else { return false };
    let internal = mapping.internal().read();
    let Some(endpoint) = records::endpoint(internal.endpoint) else { return false };
    let is_open = unsolicited::is_open(endpoint.flags, &internal, skb.ifindex());
    if !is_open || !devices::fwd_is_there(internal.endpoint) || fwd_host_uses(skb, tuple) {
        return false;
    }
    *out = unsolicited::outbound(tuple, &internal);
    true
}
