//! Claims an external port for a flow that is being made.

use aya_ebpf::bindings::__sk_buff;
use forwarder_common::{
    abi::{Tuple, port_use},
    flow::slot::held,
    wire::l4::has_ports,
};

use crate::{
    kernel::{
        maps::{FLOW_SLOTS, OPENING},
        sock::host_uses,
    },
    table::{
        create::search::{self, fwd_port_search, fwd_port_vacate, reply},
        lookup, mapping,
    },
};

/// Set in the result of [`fwd_port_claim`] when it succeeded.
const CLAIMED: u32 = 1 << 31;
/// What [`fwd_port_claim`] returns if no port is free: one may be taken over. What [`take_over`] returns if another CPU was faster.
pub(crate) const SHORT: u32 = 1;

/// Claims an external port for the flow that is being made in slot `index`. Returns it (host byte order) and [`CLAIMED`]; the slot then
/// knows of what it holds. Otherwise [`SHORT`], or 0 if there is none at all.
#[inline(never)]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn fwd_port_claim(skb: *mut __sk_buff, index: u32) -> u32 {
    let (Some(opening), Some(slot)) = (OPENING.get_ptr(0), FLOW_SLOTS.get_ptr(index)) else { return 0 };
    // SAFETY: this CPU's element, and the slot that it is filling.
    let (opening, proto, port) = unsafe { (&*opening, (*slot).outbound.tuple.proto, (*slot).outbound.tuple.sport) };
    let port = u16::from_be_bytes(port);
    if !has_ports(proto) {
        return claim_address_only(index);
    }
    if opening.keeps != 0 && keep(index, port) {
        return claimed(index, port, port_use::BY_TUPLE.into());
    }
    let mut kind = opening.port_use;
    if kind == u32::from(port_use::MAPPING) {
        let found = fwd_mapping_claim(skb, index);
        if found & CLAIMED != 0 || found == STUCK {
            return found & !STUCK;
        }
        if found == CLASH {
            kind = port_use::SHARED.into();
        }
    }
    match fwd_port_search(skb, index, kind) {
        0 => SHORT,
        port => fwd_port_publish(skb, index, kind << 16 | port),
    }
}

/// Takes the port over that the search has found, from the flow that has it. The result is that of [`fwd_port_claim`].
#[inline(always)]
pub(crate) fn take_over(skb: *mut __sk_buff, index: u32) -> u32 {
    match fwd_port_vacate(index) {
        0 => 0,
        search::LOST => SHORT,
        wanted => fwd_port_claim_vacated(skb, index, wanted),
    }
}

/// Claims the port that was vacated for the flow that is being made in slot `index`: see [`fwd_port_vacate`]. The result is that of
/// [`fwd_port_claim`].
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_port_claim_vacated(skb: *mut __sk_buff, index: u32, wanted: u32) -> u32 {
    let (kind, port) = (wanted >> 16 & 0xff, wanted as u16);
    match reply(index, port) {
        Some(reply) if search::take(kind, reply, index) => fwd_port_publish(skb, index, wanted),
        _ => SHORT,
    }
}

/// Claims the very port of a host's socket: no other counts it, for mappings leave to the host what the host uses.
#[inline(always)]
fn keep(index: u32, port: u16) -> bool {
    reply(index, port).is_some_and(|reply| lookup::insert(reply, index))
}

/// Claims the answers to a protocol without ports for the flow in slot `index`: one endpoint, or the host, may speak it with a
/// destination. The result is that of [`fwd_port_claim`], with port 0.
#[inline(always)]
fn claim_address_only(index: u32) -> u32 {
    if keep(index, 0) { claimed(index, 0, port_use::BY_TUPLE.into()) } else { 0 }
}

/// What [`fwd_mapping_claim`] returns where the mapping is of no use: a socket of the host, or a flow from before mappings were asked
/// for, has the very conversation.
const CLASH: u32 = 1;
/// What it returns if in addition the maps did not take back what was acquired: no flow is to be made.
const STUCK: u32 = 2;

/// Claims the port of the socket's mapping for the flow in slot `index`, if it has one: the result is that of [`fwd_port_claim`].
/// Otherwise 0, [`CLASH`] or [`STUCK`].
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_mapping_claim(skb: *mut __sk_buff, index: u32) -> u32 {
    let port = mapping::fwd_mapping_find(index);
    if port == 0 {
        return 0;
    }
    let Some(reply) = reply(index, port as u16) else { return 0 };
    if !host_uses(skb, reply) && lookup::insert(reply, index) {
        return claimed(index, port as u16, port_use::MAPPING.into());
    }
    if give_back(index, reply, held::PORT) { CLASH } else { STUCK }
}

/// Publishes the mapping of the port in the low 16 bits of `taken`, which was taken for the flow in slot `index` in the way that stands
/// above them, where it is to be one. The result is that of [`fwd_port_claim`], or 0.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_port_publish(skb: *mut __sk_buff, index: u32, taken: u32) -> u32 {
    let (kind, port) = (taken >> 16 & 0xff, taken as u16);
    if kind != u32::from(port_use::MAPPING) || mapping::fwd_mapping_publish(index, port.into()) != 0 {
        return claimed(index, port, kind);
    }
    // Another CPU has mapped the socket meanwhile: theirs counts.
    let Some(reply) = reply(index, port) else { return 0 };
    if !give_back(index, reply, held::INBOUND | held::PORT) {
        return 0;
    }
    let found = fwd_mapping_claim(skb, index);
    if found & CLAIMED != 0 { found } else { 0 }
}

/// Notes in slot `index`, which is being made, what was claimed for it: external port `port` (host byte order), in the way `kind`. The
/// result is that of [`fwd_port_claim`].
#[inline(always)]
fn claimed(index: u32, port: u16, kind: u32) -> u32 {
    fwd_port_hold(index, kind << 16 | u32::from(port))
}

/// As [`claimed`], the way above the port.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_port_hold(index: u32, taken: u32) -> u32 {
    let (kind, port) = (taken >> 16 & 0xff, taken as u16);
    let (Some(slot), Some(reply)) = (FLOW_SLOTS.get_ptr_mut(index), reply(index, port)) else { return 0 };
    let counted = if kind == u32::from(port_use::BY_TUPLE) { 0 } else { held::PORT };
    // SAFETY: nobody else reads or writes a slot that is being made.
    unsafe {
        (*slot).inbound.tuple = *reply;
        (*slot).outbound.port = reply.dport;
        (*slot).shared.port_use = kind as u8;
        (*slot).shared.held = held::INBOUND | counted;
    }
    CLAIMED | u32::from(port)
}

/// Gives back what was claimed for the flow with `reply` in slot `index`. What the maps do not take back now stays with the slot: then the
/// result is false, and no flow is to be made of it.
#[inline(always)]
fn give_back(index: u32, reply: &Tuple, held: u32) -> bool {
    let tuple = lookup::remove(reply, index, (held & held::INBOUND) >> held::INBOUND_SHIFT) << held::INBOUND_SHIFT;
    let port = mapping::fwd_port_release(held::PORT, reply.proto.into(), u16::from_be_bytes(reply.dport).into());
    let left = tuple | port;
    if left == 0 {
        return true;
    }
    if let Some(slot) = FLOW_SLOTS.get_ptr_mut(index) {
        // SAFETY: as in `claimed`.
        unsafe {
            (*slot).inbound.tuple = *reply;
            (*slot).shared.held = left;
        }
    }
    false
}
