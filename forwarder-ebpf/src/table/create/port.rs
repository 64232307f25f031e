//! Claims an external port for a flow that is being made.

use forwarder_common::{
    abi::{FlowSlot, Tuple, port_use},
    flow::slot::held,
    wire::l4::has_ports,
};

use crate::{
    kernel::{
        maps::OPENING,
        packet::skb::Skb,
        scratch::{KEEPS_OR_NONE, scratch},
        slots,
        sock::host_uses_either,
    },
    table::{
        create::{
            address_only::fwd_host_protocol_known,
            search::{self, fwd_port_search, fwd_port_vacate, reply},
        },
        lookup,
        making::Making,
        mapping,
    },
};

/// Set in the result of [`claim`] when it succeeded.
const CLAIMED: u32 = 1 << 31;
/// What [`claim`] returns if no port is free: one may be taken over. What [`take_over`] returns if another CPU was faster.
pub(crate) const SHORT: u32 = 1;

global_fn! {
    /// See [`claim`].
    pub(crate) fn fwd_port_claim(skb: Skb, slot: Making) -> u32 = claim;
    /// See [`claim_vacated`].
    fn fwd_port_claim_vacated(skb: Skb, slot: Making, wanted: u32) -> u32 = claim_vacated;
    /// See [`claim_mapping`].
    fn fwd_mapping_claim(skb: Skb, slot: Making) -> u32 = claim_mapping;
    /// See [`publish`].
    fn fwd_port_publish(skb: Skb, slot: Making, taken: u32) -> u32 = publish;
    /// See [`hold`].
    fn fwd_port_hold(slot: Making, taken: u32) -> u32 = hold;
}

/// Claims an external port for the flow that is being made in `slot`. Returns it (host byte order) and [`CLAIMED`]; the slot then
/// knows of what it holds. Otherwise [`SHORT`], or 0 if there is none at all.
#[inline(always)]
fn claim(skb: Skb, slot: Making) -> u32 {
    let (Some(opening), Some(out)) = (scratch(&OPENING), slot.outbound()) else { return 0 };
    if !has_ports(out.tuple.proto) {
        return claim_address_only(slot, opening.endpoint);
    }
    if opening.keeps != 0 {
        let port = opening.keeps as u16;
        if keep(slot, port) {
            return claimed(slot, port, port_use::BY_TUPLE.into());
        }
        if opening.inbound != 0 || opening.keeps & KEEPS_OR_NONE != 0 {
            return 0;
        }
    }
    let mut kind = opening.port_use;
    if kind == u32::from(port_use::MAPPING) {
        let found = fwd_mapping_claim(skb, slot);
        if found & CLAIMED != 0 || found == STUCK {
            return found & !STUCK;
        }
        if found == CLASH {
            kind = port_use::SHARED.into();
        }
    }
    match fwd_port_search(skb, slot, kind) {
        0 => SHORT,
        port if kind == u32::from(port_use::MAPPING) => fwd_port_publish(skb, slot, kind << 16 | port),
        port => claimed(slot, port as u16, kind),
    }
}

/// Takes the port over that the search has found, from the flow that has it. The result is that of [`claim`].
#[inline(always)]
pub(crate) fn take_over(skb: Skb, slot: Making) -> u32 {
    match fwd_port_vacate(slot) {
        0 => 0,
        search::LOST => SHORT,
        wanted => fwd_port_claim_vacated(skb, slot, wanted),
    }
}

/// Claims the port that was vacated for the flow that is being made in `slot`: see [`search::vacate`]. The result is that of
/// [`claim`].
#[inline(always)]
fn claim_vacated(skb: Skb, slot: Making, wanted: u32) -> u32 {
    let (kind, port) = (wanted >> 16 & 0xff, wanted as u16);
    match reply(slot, port) {
        Some(reply) if search::take(kind, reply, slot.index()) => fwd_port_publish(skb, slot, wanted),
        _ => SHORT,
    }
}

/// Claims the very port of a host's socket, or a published one: no other counts it, for mappings leave to the host what the host uses, and
/// keep off what is published.
#[inline(always)]
fn keep(slot: Making, port: u16) -> bool {
    reply(slot, port).is_some_and(|reply| lookup::fwd_insert(reply, slot.index()))
}

/// Claims the answers to a protocol without ports for the flow of `endpoint` (0 for the host) in `slot`: one endpoint, or the host, may
/// speak it with a destination. The result is that of [`claim`], with port 0.
#[inline(always)]
fn claim_address_only(slot: Making, endpoint: u32) -> u32 {
    let Some(reply) = reply(slot, 0) else { return 0 };
    if endpoint != 0 && fwd_host_protocol_known(reply) {
        return 0;
    }
    if keep(slot, 0) { claimed(slot, 0, port_use::BY_TUPLE.into()) } else { SHORT }
}

/// What [`claim_mapping`] returns where the mapping is of no use: a socket of the host, or a flow from before mappings were asked
/// for, has the very conversation.
const CLASH: u32 = 1;
/// What it returns if in addition the maps did not take back what was acquired: no flow is to be made.
const STUCK: u32 = 2;

/// Claims the port of the socket's mapping for the flow in `slot`, if it has one: the result is that of [`claim`].
/// Otherwise 0, [`CLASH`] or [`STUCK`].
#[inline(always)]
fn claim_mapping(skb: Skb, slot: Making) -> u32 {
    let port = mapping::fwd_mapping_find(slot);
    if port == 0 {
        return 0;
    }
    let Some(reply) = reply(slot, port as u16) else { return 0 };
    if !host_uses_either(skb, reply) && lookup::fwd_insert(reply, slot.index()) {
        return claimed(slot, port as u16, port_use::MAPPING.into());
    }
    if give_back(slot, reply, held::PORT) { CLASH } else { STUCK }
}

/// Publishes the mapping of the port in the low 16 bits of `taken`, which was taken for the flow in `slot` in the way that stands
/// above them, where it is to be one. The result is that of [`claim`], or 0.
#[inline(always)]
fn publish(skb: Skb, slot: Making, taken: u32) -> u32 {
    let (kind, port) = (taken >> 16 & 0xff, taken as u16);
    if kind != u32::from(port_use::MAPPING) || mapping::fwd_mapping_publish(slot, port.into()) {
        return claimed(slot, port, kind);
    }
    // Another CPU has mapped the socket meanwhile: theirs counts.
    let Some(reply) = reply(slot, port) else { return 0 };
    if !give_back(slot, reply, held::INBOUND | held::PORT) {
        return 0;
    }
    let found = fwd_mapping_claim(skb, slot);
    if found & CLAIMED != 0 { found } else { 0 }
}

/// Notes in `slot`, which is being made, what was claimed for it: external port `port` (host byte order), in the way `kind`. The
/// result is that of [`claim`].
#[inline(always)]
fn claimed(slot: Making, port: u16, kind: u32) -> u32 {
    fwd_port_hold(slot, kind << 16 | u32::from(port))
}

/// As [`claimed`], the way above the port.
#[inline(always)]
fn hold(slot: Making, taken: u32) -> u32 {
    let (kind, port) = (taken >> 16 & 0xff, taken as u16);
    let (Some(reply), Some(FlowSlot { outbound, shared, .. })) = (reply(slot, port), slot.fill()) else {
        return 0;
    };
    let Some(place) = slots::slot(slot.index()) else { return 0 };
    place.inbound().tuple().write(*reply);
    let counted = if kind == u32::from(port_use::BY_TUPLE) { 0 } else { held::PORT };
    outbound.port = reply.dport;
    shared.port_use = kind as u8;
    shared.held = held::INBOUND | counted;
    CLAIMED | u32::from(port)
}

/// Gives back what was claimed for the flow with `reply` in `slot`. What the maps do not take back now stays with the slot: then the
/// result is false, and no flow is to be made of it.
#[inline(always)]
fn give_back(slot: Making, reply: &Tuple, held: u32) -> bool {
    let tuple =
        lookup::remove(reply, slot.index(), (held & held::INBOUND) >> held::INBOUND_SHIFT) << held::INBOUND_SHIFT;
    let port = mapping::fwd_port_release(held::PORT, reply.proto.into(), u16::from_be_bytes(reply.dport).into());
    let left = tuple | port;
    if left == 0 {
        return true;
    }
    if let Some(FlowSlot { inbound, shared, .. }) = slot.fill() {
        inbound.tuple = *reply;
        shared.held = left;
    }
    false
}
