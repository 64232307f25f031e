//! Packets from outside that begin a flow: to a published port, or where a network lets anyone write to its mapped ports (RFC 4787 REQ-8).

use forwarder_common::{
    abi::{External, FlowState, FlowVersion, SLOT_NONE, Tuple, feature},
    decide::{
        unsolicited::{self, publish},
        validate::is_martian_source,
    },
    types::{
        direction::Direction,
        verdict::{Code, DropReason},
    },
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
    path::{networks::in_fwd_network, published, route::inbound},
    table::{lookup, slot, usage::is_published},
};

/// A packet from outside with `tuple` that belongs to no flow: if it is for a published port, or for a mapping that lets anyone in
/// (RFC 4787 REQ-8), makes the flow. Returns its slot and version; or no version, and [`Code::PASS`], because the packet is the host's, or the
/// code of the reason to drop it.
#[inline(always)]
pub(crate) fn open(skb: Skb, tuple: &Tuple, tcp_flags: u8) -> (u32, FlowVersion) {
    fwd_open_inbound(skb, tuple, tcp_flags.into())
}

#[inline(always)]
fn open_if_it_may(skb: Skb, tuple: &Tuple, tcp_flags: u32) -> (u32, FlowVersion) {
    const BEGINS: u32 = feature::EIF | feature::PUBLISH;
    if in_fwd_network(tuple.saddr) {
        return none(DropReason::Martian.into());
    }
    if config().is_none_or(|config| config.features & BEGINS == 0) {
        return none(Code::PASS);
    }
    let how = begins(skb, tuple, tcp_flags);
    match how {
        NOBODYS => return none(Code::PASS),
        FORBIDDEN => return none(DropReason::NotPublishedTo.into()),
        _ => {}
    }
    let Some(out) = scratch(&INBOUND) else { return none(Code::PASS) };
    let opened = inbound::open_inbound(skb, out, how);
    match fwd_opened_for(tuple, opened.slot()) {
        (_, version) if version.is_none() => none(opened.refusal(how == MAPPED)),
        found => found,
    }
}

/// No flow, for the reason with this code.
#[inline(always)]
const fn none(code: Code) -> (u32, FlowVersion) {
    (code.raw(), FlowVersion::NONE)
}

/// What [`begins`] says: the packet is for no endpoint.
const NOBODYS: u64 = 0;
/// It is for a mapping: the flow gets the port of that.
const MAPPED: u64 = 1;
/// It is for a published port that its sender may not use.
const FORBIDDEN: u64 = 2;

global_fn! {
    /// See [`open`].
    fn fwd_open_inbound(skb: Skb, tuple: &Tuple, tcp_flags: u32) -> (u32, FlowVersion) = open_if_it_may;
    /// See [`opened_for`].
    fn fwd_opened_for(tuple: &Tuple, slot: u32) -> (u32, FlowVersion) = opened_for;
    /// See [`for_mapping`].
    fn fwd_for_mapping(skb: Skb, tuple: &Tuple) -> bool = for_mapping;
    /// See [`for_publication`].
    fn fwd_for_publication(skb: Skb, tuple: &Tuple, at_all: bool) -> u64 = for_publication;
}

/// The flow that was opened in `slot` for a packet from outside with `tuple`, if that is its flow; otherwise the mapping has changed
/// meanwhile, nobody needs the flow, and there is no version. If none was opened, that which another CPU opened.
#[inline(always)]
fn opened_for(tuple: &Tuple, slot: u32) -> (u32, FlowVersion) {
    let Some(out) = scratch(&INBOUND) else { return (SLOT_NONE, FlowVersion::NONE) };
    if slot == SLOT_NONE {
        return lookup::fwd_indexed(Direction::Inbound, tuple, lookup::hash(tuple));
    }
    let found = lookup::matches(Direction::Inbound, slot, tuple);
    if !found.is_none() {
        return (slot, found);
    }
    let version = lookup::matches(Direction::Outbound, slot, out);
    if version.state() as u8 == FlowState::HalfOpen as u8 {
        slot::fwd_flow_end(slot, version);
    }
    (SLOT_NONE, FlowVersion::NONE)
}

/// Whether a packet from outside with `tuple` may begin a flow; its outbound tuple is then in the map `INBOUND`. [`NOBODYS`], [`MAPPED`],
/// [`FORBIDDEN`], or the socket of the host that it was sent to, as [`inbound::external`] has it, which is a published one.
#[inline(always)]
fn begins(skb: Skb, tuple: &Tuple, tcp_flags: u32) -> u64 {
    if !unsolicited::may_begin(tuple.proto, tcp_flags as u8) || is_martian_source(tuple.saddr) {
        return NOBODYS;
    }
    if is_published(tuple.proto, u16::from_ne_bytes(tuple.dport)) {
        let mut found = fwd_for_publication(skb, tuple, false);
        if found == NOBODYS {
            found = fwd_for_publication(skb, tuple, true);
        }
        if found != NOBODYS {
            return found;
        }
    }
    if fwd_for_mapping(skb, tuple) { MAPPED } else { NOBODYS }
}

/// Whether the packet is for a port that is published at its very destination, or (`at_all`) at all addresses of the host: as [`begins`].
///
/// What the host itself has begun stays its own; but who listens there later does not take a published port away.
#[inline(always)]
fn for_publication(skb: Skb, tuple: &Tuple, at_all: bool) -> u64 {
    let Some(out) = scratch(&INBOUND) else { return NOBODYS };
    let Some((publication, endpoint)) = published::find(skb, tuple, at_all) else { return NOBODYS };
    let elsewhere = !unsolicited::may_come_by(skb.ifindex(), endpoint);
    if skb.is_for_many() || elsewhere || fwd_host_converses(skb, tuple) {
        return NOBODYS;
    }
    // From the host's own address comes what a namespace has sent to it: then there is the flow of that, for which was asked who may.
    if tuple.saddr == tuple.daddr {
        if lookup::slot_of(Direction::Inbound, &tuple.answer(tuple.ifindex)) == SLOT_NONE {
            return NOBODYS;
        }
    } else if !published::admits(publication, tuple.saddr) {
        return FORBIDDEN;
    }
    *out = unsolicited::outbound(tuple, &publish::internal(publication, tuple, endpoint));
    inbound::external(tuple)
}

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
