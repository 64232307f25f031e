//! Endpoint-independent mappings: one external port for all destinations of a socket inside (RFC 4787 REQ-1).
//!
//! A mapping lives while a flow uses it. Who may use a port is one word per port, in an array whose elements are never
//! recycled: so many flows share it, or it belongs to a mapping, which so many flows use. It changes by compare-and-exchange,
//! so that of two CPUs one gets the port. The last flow of a mapping turns the word into one that nobody acquires, removes the
//! mapping from both maps, and only then frees the port: whoever holds a port finds no older mapping of it.
//!
//! Flows of a mapping claim their tuples in the index like all others: the mapping decides which port, the index keeps two
//! conversations apart.

use aya_ebpf::bindings::BPF_NOEXIST;
use forwarder_common::{
    abi::{External, Internal, Mapping, PortUse, SLOT_NONE, Tuple, port_use},
    decide::ports,
    flow::slot::held,
    wire::l4::Proto,
};

use crate::{
    kernel::{
        argument::given,
        atomic::{fetch_add32, replace32},
        clock::now,
        maps::{EXTERNAL, FLOW_SLOTS, MAPPINGS, PORT_USE, config},
        values,
    },
    table::lookup,
};

/// How often a word is tried again that another CPU changed.
const ATTEMPTS: u32 = 4;

/// The element of `PORT_USE` for an external port.
#[inline(always)]
fn element(proto: u8, port: [u8; 2]) -> Option<*mut PortUse> {
    let config = config()?;
    let class = if proto == Proto::Tcp as u8 {
        0
    } else if proto == Proto::Udp as u8 {
        1
    } else {
        2_u32
    };
    let (min, max) = (config.nat_port_min, config.nat_port_max);
    let place = ports::place(u16::from_be_bytes(port), min, max);
    PORT_USE.get_ptr_mut(class.wrapping_mul(ports::count(min, max)).wrapping_add(place))
}

/// Takes the port of `reply`, a candidate, in the way `kind` (see [`port_use`]), for the flow in slot `slot`.
#[inline(always)]
pub(crate) fn take(kind: u32, reply: &Tuple, slot: u32) -> bool {
    kind == u32::from(port_use::BY_TUPLE) || fwd_port_take(kind, reply, slot) != 0
}

/// As [`take`]; 1 if it could.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_port_take(kind: u32, reply: *const Tuple, slot: u32) -> u32 {
    let Some(reply) = given(reply) else { return 0 };
    let Some(element) = element(reply.proto, reply.dport) else { return 0 };
    // SAFETY: an element of the map.
    let (word, addr, last) = unsafe { (&raw mut (*element).word, &raw mut (*element).addr, &raw mut (*element).slot) };
    if kind == u32::from(port_use::SHARED) {
        if is_revoked(element) || !more(word, 0) {
            return 0;
        }
    } else if replace32(word, 0, PortUse::LAST) {
        // SAFETY: the port is ours, and nobody reads the address before the mapping is published.
        unsafe {
            addr.write_volatile(reply.daddr);
            (&raw mut (*element).revoked).write_volatile(0);
        }
    } else {
        return 0;
    }
    // SAFETY: an aligned word; the last one counts.
    unsafe { last.write_volatile(slot) };
    1
}

/// How long a port that is shared is kept from others after it was revoked, seconds: longer than the expiry timer takes to come by.
const REVOKED_SECONDS: u32 = 4;

/// Whether nobody else may share a port: it is to become another's.
#[inline(always)]
fn is_revoked(element: *mut PortUse) -> bool {
    let Some(config) = config() else { return false };
    // SAFETY: fields of an element of the map.
    unsafe {
        let since = u32::from_ne_bytes((&raw const (*element).addr).read_volatile());
        let lapsed = now().wrapping_sub(since) > config.hz.wrapping_mul(REVOKED_SECONDS);
        (&raw const (*element).revoked).read_volatile() != 0 && !lapsed
    }
}

/// Of a port in the way `kind` that several flows use, has those of the endpoint with the flow in slot `holder` end when the expiry timer
/// comes by; the port is `reply`'s. False if one flow uses it, or the newcomer may share it.
#[inline(always)]
pub(crate) fn revoke(kind: u32, holder: u32, reply: &Tuple) -> bool {
    if kind != u32::from(port_use::MAPPING) {
        return false;
    }
    let (Some(element), Some(slot)) = (element(reply.proto, reply.dport), values::slot(holder)) else {
        return false;
    };
    // SAFETY: elements of the maps.
    unsafe {
        let word = (&raw const (*element).word).read_volatile();
        if word & !PortUse::EXCLUSIVE <= 1 {
            return false;
        }
        if word & PortUse::EXCLUSIVE == 0 {
            (&raw mut (*element).addr).write_volatile(now().to_ne_bytes());
        }
        (&raw mut (*element).revoked).write_volatile(slot.endpoint());
    }
    true
}

/// Whether a flow of `endpoint`, which counts itself at its external port, has to leave it.
#[inline(always)]
pub(crate) fn has_to_leave(endpoint: u32, proto: u8, port: [u8; 2]) -> bool {
    let Some(element) = element(proto, port) else { return false };
    // SAFETY: an aligned word of a map value.
    endpoint != 0 && unsafe { (&raw const (*element).revoked).read_volatile() } == endpoint
}

/// One more flow for a port that is shared (`kind` 0), or that belongs to a living mapping (`kind` [`PortUse::EXCLUSIVE`]).
#[inline(always)]
fn more(word: *mut u32, kind: u32) -> bool {
    let mut attempt = 0_u32;
    while attempt < ATTEMPTS {
        // SAFETY: an aligned word of a map value.
        let found = unsafe { word.read_volatile() };
        let ours = found & PortUse::EXCLUSIVE == kind && found != PortUse::EXCLUSIVE;
        if !ours {
            return false;
        }
        if replace32(word, found, found.wrapping_add(1)) {
            return true;
        }
        attempt = attempt.wrapping_add(1);
    }
    false
}

/// Gives back what [`take`] took a moment ago: no mapping of it was published.
#[inline(always)]
pub(crate) fn untake(kind: u32, reply: &Tuple) {
    if kind == u32::from(port_use::BY_TUPLE) {
        return;
    }
    let Some(element) = element(reply.proto, reply.dport) else { return };
    // SAFETY: an element of the map.
    let word = unsafe { &raw mut (*element).word };
    // Another CPU may have taken the port for that of an older mapping: it notices, and gives it back.
    if fetch_add32(word, u32::MAX) == PortUse::LAST {
        replace32(word, PortUse::EXCLUSIVE, 0);
    }
}

/// Gives back what a flow holds of a port (host byte order): its part in the use ([`held::PORT`]), and, if it was the last of a
/// mapping, the mapping ([`held::MAPPING`]). Returns what could not be done, and is to be done again.
#[inline(never)]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn fwd_port_release(held: u32, proto: u32, port: u32) -> u32 {
    let (proto, port) = (proto as u8, (port as u16).to_be_bytes());
    let Some(element) = element(proto, port) else { return 0 };
    // SAFETY: an element of the map.
    let (word, addr) = unsafe { (&raw mut (*element).word, &raw const (*element).addr) };
    if held & held::PORT != 0 && fetch_add32(word, u32::MAX) != PortUse::LAST {
        return 0;
    }
    // Nobody acquires the mapping any more, and nobody else ends it.
    // SAFETY: as above; the address stands still while the port belongs to a mapping.
    let external = External { addr: unsafe { addr.read_volatile() }, port, proto, _pad: 0 };
    if !unmap(&external) {
        return held::MAPPING;
    }
    replace32(word, PortUse::EXCLUSIVE, 0);
    0
}

/// Removes the mapping of an external socket; false if that could not be done.
#[inline(always)]
fn unmap(external: &External) -> bool {
    let Some(mapping) = EXTERNAL.get_ptr(external) else { return true };
    // SAFETY: the element is removed below, by this CPU. Not copied: the stack is short.
    let internal = unsafe { &(*mapping).internal };
    // A mapping that lost against another CPU's was never published: then the entry is that one's.
    let ours = mapped_port(internal) == u32::from(u16::from_be_bytes(external.port));
    // What says whose it is goes last.
    (!ours || lookup::is_gone(MAPPINGS.remove(internal))) && lookup::is_gone(EXTERNAL.remove(external))
}

/// The port of a socket's mapping, host byte order; 0 for none.
#[inline(always)]
fn mapped_port(internal: &Internal) -> u32 {
    match MAPPINGS.get_ptr(internal) {
        // SAFETY: an aligned word of a map value.
        Some(port) => unsafe { port.read_volatile() },
        None => 0,
    }
}

/// The socket inside of the flow that is being made in slot `index`.
#[inline(always)]
fn internal(index: u32) -> Option<Internal> {
    let slot = FLOW_SLOTS.get_ptr(index)?;
    // SAFETY: the outbound half was filled by this CPU, and nobody else writes it.
    let out = unsafe { &(*slot).outbound };
    Some(Internal {
        addr: out.tuple.saddr,
        nat_addr: out.addr,
        endpoint: out.tuple.ifindex,
        uplink: out.out_if,
        port: out.tuple.sport,
        proto: out.tuple.proto,
        _pad: 0,
    })
}

/// Acquires the mapping for the flow that is being made in slot `index`. Returns its port, host byte order; 0 for none.
#[inline(never)]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn fwd_mapping_find(index: u32) -> u32 {
    let Some(internal) = internal(index) else { return 0 };
    let mut attempt = 0_u32;
    while attempt < 2 {
        let port = mapped_port(&internal);
        if port == 0 {
            return 0;
        }
        let Some(element) = element(internal.proto, (port as u16).to_be_bytes()) else { return 0 };
        // SAFETY: an element of the map.
        if more(unsafe { &raw mut (*element).word }, PortUse::EXCLUSIVE) {
            if mapped_port(&internal) == port {
                return port;
            }
            // It ended meanwhile, and the port is another mapping's.
            fwd_port_release(held::PORT, internal.proto.into(), port);
        }
        attempt = attempt.wrapping_add(1);
    }
    0
}

/// Publishes the mapping to `port` (host byte order), which the flow in slot `index` has taken. Returns 0 if another CPU
/// published one for the same socket.
#[inline(never)]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn fwd_mapping_publish(index: u32, port: u32) -> u32 {
    let Some(internal) = internal(index) else { return 0 };
    let bytes = (port as u16).to_be_bytes();
    let external = External { addr: internal.nat_addr, port: bytes, proto: internal.proto, _pad: 0 };
    let mapping = Mapping { internal, slot: index };
    if EXTERNAL.insert(&external, &mapping, 0).is_err() {
        return 0;
    }
    MAPPINGS.insert(&internal, &port, BPF_NOEXIST.into()).is_ok().into()
}

/// Whether the flow in slot `index` has the port of `reply` in the way `kind`. The caller read its version before, and ends it only if the
/// version is still the same.
#[inline(always)]
pub(crate) fn holds(kind: u32, index: u32, reply: &Tuple) -> bool {
    let Some(slot) = values::slot(index) else { return false };
    let used = slot.port_use();
    if kind == u32::from(port_use::MAPPING) || used == port_use::MAPPING {
        used != port_use::BY_TUPLE && slot.external_port() == reply.dport && slot.proto() == reply.proto
    } else {
        lookup::has(index, reply)
    }
}

/// The slot of the flow that stands in the way of a new one which would take the port of `reply` in the way `kind`;
/// [`lookup::VACANT`] if none does. It is only a candidate.
#[inline(never)]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn fwd_port_holder(kind: u32, reply: *const Tuple) -> u32 {
    let Some(reply) = given(reply) else { return SLOT_NONE };
    if kind == u32::from(port_use::BY_TUPLE) {
        return lookup::holder(reply);
    }
    let Some(element) = element(reply.proto, reply.dport) else { return SLOT_NONE };
    // SAFETY: an element of the map.
    let (word, last) =
        unsafe { ((&raw const (*element).word).read_volatile(), (&raw const (*element).slot).read_volatile()) };
    if kind == u32::from(port_use::SHARED) && word & PortUse::EXCLUSIVE == 0 {
        return if is_revoked(element) { SLOT_NONE } else { lookup::holder(reply) };
    }
    if word == 0 { lookup::VACANT } else { last }
}
