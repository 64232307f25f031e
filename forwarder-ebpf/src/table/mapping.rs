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
        clock::now,
        maps::{EXTERNAL, MAPPINGS, PORT_USE, config},
        records::record,
        shared::Shared,
        slots,
    },
    table::{lookup, making::Making},
};

/// How often a word is tried again that another CPU changed.
const ATTEMPTS: u32 = 4;

global_fn! {
    /// See [`take_counted`].
    fn fwd_port_take(kind: u32, reply: &Tuple, slot: u32) -> bool = take_counted;
    /// See [`release`].
    pub(crate) fn fwd_port_release(held: u32, proto: u32, port: u32) -> u32 = release;
    /// See [`find`].
    pub(crate) fn fwd_mapping_find(slot: Making) -> u32 = find;
    /// See [`publish`].
    pub(crate) fn fwd_mapping_publish(slot: Making, port: u32) -> bool = publish;
    /// See [`port_holder`].
    pub(crate) fn fwd_port_holder(kind: u32, reply: &Tuple) -> u32 = port_holder;
}

/// The element of `PORT_USE` for an external port.
#[inline(always)]
fn element(proto: u8, port: [u8; 2]) -> Option<Shared<PortUse>> {
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
    Shared::element(&PORT_USE, class.wrapping_mul(ports::count(min, max)).wrapping_add(place))
}

/// Takes the port of `reply`, a candidate, in the way `kind` (see [`port_use`]), for the flow in slot `slot`.
#[inline(always)]
pub(crate) fn take(kind: u32, reply: &Tuple, slot: u32) -> bool {
    kind == u32::from(port_use::BY_TUPLE) || fwd_port_take(kind, reply, slot)
}

/// As [`take`], of a port whose flows are counted.
#[inline(always)]
fn take_counted(kind: u32, reply: &Tuple, slot: u32) -> bool {
    let Some(element) = element(reply.proto, reply.dport) else { return false };
    if kind == u32::from(port_use::SHARED) {
        if is_revoked(element) || !more(element.word(), 0) {
            return false;
        }
    } else if element.word().replace(0, PortUse::LAST) {
        // The port is ours, and nobody reads the address before the mapping is published.
        element.addr().write(reply.daddr);
        element.revoked().write(0);
    } else {
        return false;
    }
    // The last one counts.
    element.slot().write(slot);
    true
}

/// How long a port that is shared is kept from others after it was revoked, seconds: longer than the expiry timer takes to come by.
const REVOKED_SECONDS: u32 = 4;

/// Whether nobody else may share a port: it is to become another's.
#[inline(always)]
fn is_revoked(element: Shared<PortUse>) -> bool {
    let Some(config) = config() else { return false };
    let since = u32::from_ne_bytes(element.addr().read());
    let lapsed = now().wrapping_sub(since) > config.hz.wrapping_mul(REVOKED_SECONDS);
    element.revoked().read() != 0 && !lapsed
}

/// Of a port in the way `kind` that several flows use, has those of the endpoint with the flow in slot `holder` end when the expiry timer
/// comes by; the port is `reply`'s. False if one flow uses it, or the newcomer may share it.
#[inline(always)]
pub(crate) fn revoke(kind: u32, holder: u32, reply: &Tuple) -> bool {
    if kind != u32::from(port_use::MAPPING) {
        return false;
    }
    let (Some(element), Some(slot)) = (element(reply.proto, reply.dport), slots::slot(holder)) else {
        return false;
    };
    let word = element.word().read();
    if word & !PortUse::EXCLUSIVE <= 1 {
        return false;
    }
    if word & PortUse::EXCLUSIVE == 0 {
        element.addr().write(now().to_ne_bytes());
    }
    element.revoked().write(slot.endpoint().read());
    true
}

/// Whether a flow of `endpoint`, which counts itself at its external port, has to leave it.
#[inline(always)]
pub(crate) fn has_to_leave(endpoint: u32, proto: u8, port: [u8; 2]) -> bool {
    let Some(element) = element(proto, port) else { return false };
    endpoint != 0 && element.revoked().read() == endpoint
}

/// One more flow for a port that is shared (`kind` 0), or that belongs to a living mapping (`kind` [`PortUse::EXCLUSIVE`]).
#[inline(always)]
fn more(word: Shared<u32>, kind: u32) -> bool {
    let mut attempt = 0_u32;
    while attempt < ATTEMPTS {
        let found = word.read();
        let ours = found & PortUse::EXCLUSIVE == kind && found != PortUse::EXCLUSIVE;
        if !ours {
            return false;
        }
        if word.replace(found, found.wrapping_add(1)) {
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
    // Another CPU may have taken the port for that of an older mapping: it notices, and gives it back.
    if element.word().fetch_add(u32::MAX) == PortUse::LAST {
        element.word().replace(PortUse::EXCLUSIVE, 0);
    }
}

/// Gives back what a flow holds of a port (host byte order): its part in the use ([`held::PORT`]), and, if it was the last of a
/// mapping, the mapping ([`held::MAPPING`]). Returns what could not be done, and is to be done again.
#[inline(always)]
fn release(held: u32, proto: u32, port: u32) -> u32 {
    let (proto, port) = (proto as u8, (port as u16).to_be_bytes());
    let Some(element) = element(proto, port) else { return 0 };
    if held & held::PORT != 0 && element.word().fetch_add(u32::MAX) != PortUse::LAST {
        return 0;
    }
    // Nobody acquires the mapping any more, and nobody else ends it: the address stands still.
    let external = External { addr: element.addr().read(), port, proto, _pad: 0 };
    if !unmap(&external) {
        return held::MAPPING;
    }
    element.word().replace(PortUse::EXCLUSIVE, 0);
    0
}

/// Removes the mapping of an external socket; false if that could not be done.
#[inline(always)]
fn unmap(external: &External) -> bool {
    // Not copied: the stack is short. It is removed below, by this CPU.
    let Some(Mapping { internal, .. }) = record(&EXTERNAL, external) else { return true };
    // A mapping that lost against another CPU's was never published: then the entry is that one's.
    let ours = mapped_port(internal) == u32::from(u16::from_be_bytes(external.port));
    // What says whose it is goes last.
    (!ours || lookup::is_gone(MAPPINGS.remove(internal))) && lookup::is_gone(EXTERNAL.remove(external))
}

/// The port of a socket's mapping, host byte order; 0 for none.
#[inline(always)]
fn mapped_port(internal: &Internal) -> u32 {
    Shared::value(&MAPPINGS, internal).map_or(0, Shared::read)
}

/// The socket inside of the flow that is being made in `slot`.
#[inline(always)]
fn internal(slot: Making) -> Option<Internal> {
    let out = slot.outbound()?;
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

/// Acquires the mapping for the flow that is being made in `slot`. Returns its port, host byte order; 0 for none.
#[inline(always)]
fn find(slot: Making) -> u32 {
    let Some(internal) = internal(slot) else { return 0 };
    let mut attempt = 0_u32;
    while attempt < 2 {
        let port = mapped_port(&internal);
        if port == 0 {
            return 0;
        }
        let Some(element) = element(internal.proto, (port as u16).to_be_bytes()) else { return 0 };
        if more(element.word(), PortUse::EXCLUSIVE) {
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

/// Publishes the mapping to `port` (host byte order), which the flow in `slot` has taken; false if another CPU published one
/// for the same socket.
#[inline(always)]
fn publish(slot: Making, port: u32) -> bool {
    let Some(internal) = internal(slot) else { return false };
    let bytes = (port as u16).to_be_bytes();
    let external = External { addr: internal.nat_addr, port: bytes, proto: internal.proto, _pad: 0 };
    let mapping = Mapping { internal, slot: slot.index() };
    EXTERNAL.insert(&external, &mapping, 0).is_ok() && MAPPINGS.insert(&internal, &port, BPF_NOEXIST.into()).is_ok()
}

/// Whether the flow in slot `index` has the port of `reply` in the way `kind`. The caller read its version before, and ends it only if the
/// version is still the same.
#[inline(always)]
pub(crate) fn holds(kind: u32, index: u32, reply: &Tuple) -> bool {
    let Some(slot) = slots::slot(index) else { return false };
    let used = slot.port_use().read();
    if kind == u32::from(port_use::MAPPING) || used == port_use::MAPPING {
        used != port_use::BY_TUPLE && slot.external_port().read() == reply.dport && slot.proto().read() == reply.proto
    } else {
        lookup::has(index, reply)
    }
}

/// The slot of the flow that stands in the way of a new one which would take the port of `reply` in the way `kind`;
/// [`lookup::VACANT`] if none does. It is only a candidate.
#[inline(always)]
fn port_holder(kind: u32, reply: &Tuple) -> u32 {
    if kind == u32::from(port_use::BY_TUPLE) {
        return lookup::holder(reply);
    }
    let Some(element) = element(reply.proto, reply.dport) else { return SLOT_NONE };
    let (word, last) = (element.word().read(), element.slot().read());
    if kind == u32::from(port_use::SHARED) && word & PortUse::EXCLUSIVE == 0 {
        return if is_revoked(element) { SLOT_NONE } else { lookup::holder(reply) };
    }
    if word == 0 { lookup::VACANT } else { last }
}
