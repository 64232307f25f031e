//! Endpoint-independent mappings: one external port for all destinations of a socket inside (RFC 4787 REQ-1).
//!
//! A mapping lives while a flow uses it. Who may use a port is one word per port, in an array whose elements are never
//! recycled: so many flows share it, or it belongs to a mapping, which so many flows use. It changes by compare-and-exchange,
//! so that of two CPUs one gets the port. The last flow of a mapping turns the word into one that nobody acquires, removes the
//! mapping from both maps, and only then frees the port: whoever holds a port finds no older mapping of it.
//!
//! Flows of a mapping claim their tuples in the index like all others: the mapping decides which port, the index keeps two
//! conversations apart.

use aya_ebpf::bindings::{__sk_buff, BPF_NOEXIST};
use forwarder_common::{
    abi::{External, FlowState, Internal, Mapping, PortUse, SLOT_NONE, Tuple, endpoint_flags, port_use},
    wire::l4::{Proto, tcp_flag},
};

use crate::{
    atomic::{fetch_add32, replace32},
    flow::{best_effort, host_uses, life, store},
    maps::{ENDPOINTS, EXTERNAL, FLOW_INDEX, FLOW_SLOTS, INBOUND, MAPPINGS, PORT_USE, config},
    route,
    skb::Skb,
};

/// How often a word is tried again that another CPU changed.
const ATTEMPTS: u32 = 4;

/// The element of `PORT_USE` for a port of the NAT range.
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
    let (min, max) = (u32::from(config.nat_port_min), u32::from(config.nat_port_max));
    let size = max.wrapping_sub(min).wrapping_add(1);
    let offset = u32::from(u16::from_be_bytes(port)).wrapping_sub(min);
    PORT_USE.get_ptr_mut(class.wrapping_mul(size).wrapping_add(offset))
}

/// Takes the port of `reply`, a candidate, in the way `kind` (see [`port_use`]).
#[inline(always)]
pub(crate) fn take(kind: u32, reply: &Tuple) -> bool {
    kind == u32::from(port_use::PLAIN)
        || fwd_port_take(
            kind,
            reply.proto.into(),
            u16::from_be_bytes(reply.dport).into(),
            u32::from_ne_bytes(reply.daddr),
        ) != 0
}

/// Takes a port (host byte order) in the way `kind`; a mapping's is one of external address `addr`. Returns 1 if it could.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_port_take(kind: u32, proto: u32, port: u32, addr: u32) -> u32 {
    let Some(element) = element(proto as u8, (port as u16).to_be_bytes()) else { return 0 };
    // SAFETY: an element of the map.
    let (word, owner) = unsafe { (&raw mut (*element).word, &raw mut (*element).addr) };
    if kind == u32::from(port_use::SHARED) {
        return more(word, 0).into();
    }
    if !replace32(word, 0, PortUse::LAST) {
        return 0;
    }
    // SAFETY: the port is ours, and nobody reads the address before the mapping is published.
    unsafe { owner.write_volatile(addr.to_ne_bytes()) };
    1
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
    if kind == u32::from(port_use::PLAIN) {
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

/// Gives back what [`take`] or [`fwd_mapping_find`] took. The last flow of a mapping ends it.
///
/// A global function: the verifier looks at it once, not at each call.
#[inline(never)]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn fwd_port_release(kind: u32, proto: u32, port: u32) -> u32 {
    if kind == u32::from(port_use::PLAIN) {
        return 0;
    }
    let (proto, port) = (proto as u8, (port as u16).to_be_bytes());
    let Some(element) = element(proto, port) else { return 0 };
    // SAFETY: an element of the map.
    let (word, addr) = unsafe { (&raw mut (*element).word, &raw const (*element).addr) };
    if fetch_add32(word, u32::MAX) != PortUse::LAST {
        return 0;
    }
    // Nobody acquires the mapping any more, and nobody else ends it.
    // SAFETY: as above; the address stands still while the port belongs to a mapping.
    let external = External { addr: unsafe { addr.read_volatile() }, port, proto, _pad: 0 };
    if let Some(mapping) = EXTERNAL.get_ptr(&external) {
        // SAFETY: the element is removed below, by this CPU. Not copied: the stack is short.
        let internal = unsafe { &(*mapping).internal };
        // A mapping that lost against another CPU's was never published: then the entry is that one's.
        if mapped_port(internal) == u32::from(u16::from_be_bytes(port)) {
            best_effort(MAPPINGS.remove(internal));
        }
        best_effort(EXTERNAL.remove(&external));
    }
    replace32(word, PortUse::EXCLUSIVE, 0);
    1
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
    let out = unsafe { &(*slot).out };
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
            fwd_port_release(port_use::MAPPING.into(), internal.proto.into(), port);
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

/// The slot of the flow that stands in the way of a new one which would take the port of `reply` in the way `kind`; 0 for
/// none.
#[inline(always)]
pub(crate) fn holder(kind: u32, reply: &Tuple) -> u32 {
    fwd_port_holder(kind, reply)
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_port_holder(kind: u32, reply: *const Tuple) -> u32 {
    // SAFETY: the verifier checks that callers pass a whole tuple; it may be null as far as it knows.
    let Some(reply) = (unsafe { reply.as_ref() }) else { return SLOT_NONE };
    if kind != u32::from(port_use::MAPPING) {
        return match FLOW_INDEX.get_ptr(reply) {
            // SAFETY: an aligned word of a map value.
            Some(holder) => unsafe { holder.read_volatile() },
            None => SLOT_NONE,
        };
    }
    let Some(element) = element(reply.proto, reply.dport) else { return SLOT_NONE };
    // SAFETY: an element of the map.
    let word = unsafe { (&raw const (*element).word).read_volatile() };
    let external = External { addr: reply.daddr, port: reply.dport, proto: reply.proto, _pad: 0 };
    // A mapping of several flows does not end with one of them.
    if word != PortUse::LAST {
        return SLOT_NONE;
    }
    let Some(mapping) = EXTERNAL.get_ptr(&external) else { return SLOT_NONE };
    // SAFETY: an aligned word of a map value. Elements may be recycled: the slot is only a candidate.
    let index = unsafe { (&raw const (*mapping).slot).read_volatile() };
    let Some(slot) = FLOW_SLOTS.get_ptr(index) else { return SLOT_NONE };
    // SAFETY: fields of the slot.
    let (port, kind) = unsafe { ((*slot).out.port, (*slot).shared.port_use) };
    if port == reply.dport && kind == port_use::MAPPING { index } else { SLOT_NONE }
}

/// A packet from outside with `tuple` that belongs to no flow: if it is for a mapping that lets anyone in (RFC 4787 REQ-8),
/// makes the flow. Returns its slot, or 0.
#[inline(always)]
pub(crate) fn unsolicited(skb: Skb, tuple: &Tuple, tcp_flags: u8) -> u32 {
    if fwd_unsolicited(skb.ptr(), tuple, tcp_flags.into()) == 0 {
        return SLOT_NONE;
    }
    let Some(out) = INBOUND.get_ptr(0) else { return SLOT_NONE };
    // SAFETY: this CPU's element, which `fwd_unsolicited` wrote.
    let out = unsafe { &*out };
    let slot = route::open_inbound(skb, out);
    if slot == SLOT_NONE { SLOT_NONE } else { fwd_opened_for(tuple, slot) }
}

/// The slot of a flow that was opened for a packet from outside with `tuple`, if that is its flow; otherwise the mapping has changed
/// meanwhile, nobody needs the flow, and the result is 0.
///
/// A global function: the verifier looks at it once, not at each way that leads to it.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_opened_for(tuple: *const Tuple, slot: u32) -> u32 {
    // SAFETY: as in `fwd_unsolicited`.
    let (Some(tuple), Some(out)) = (unsafe { tuple.as_ref() }, INBOUND.get_ptr(0)) else { return SLOT_NONE };
    if store::matches::<true>(slot, tuple) != 0 {
        return slot;
    }
    // SAFETY: this CPU's element, which `fwd_unsolicited` wrote.
    let word = store::matches::<false>(slot, unsafe { &*out });
    if FlowState::of(word) as u8 == FlowState::HalfOpen as u8 {
        life::fwd_flow_end(slot, word);
    }
    SLOT_NONE
}

/// Whether a packet from outside with `tuple` may begin a flow; its outbound tuple is then in the map `INBOUND`.
///
/// TCP is let in by a SYN only, and nothing that a socket of the host would get: here the look-up finds those bound to the
/// uplink, too.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_unsolicited(skb: *mut __sk_buff, tuple: *const Tuple, tcp_flags: u32) -> u32 {
    // SAFETY: the verifier checks that callers pass a whole tuple; it may be null as far as it knows.
    let (Some(tuple), Some(out)) = (unsafe { tuple.as_ref() }, INBOUND.get_ptr_mut(0)) else { return 0 };
    let opens = tcp_flags & u32::from(tcp_flag::SYN | tcp_flag::ACK | tcp_flag::RST) == u32::from(tcp_flag::SYN);
    if tuple.proto != Proto::Udp as u8 && !(tuple.proto == Proto::Tcp as u8 && opens) {
        return 0;
    }
    let external = External { addr: tuple.daddr, port: tuple.dport, proto: tuple.proto, _pad: 0 };
    let Some(mapping) = EXTERNAL.get_ptr(&external) else { return 0 };
    // SAFETY: an element of the map. It may be recycled meanwhile: what is made of it is compared with `tuple` at the end.
    let internal = unsafe { (*mapping).internal };
    let Some(endpoint) = ENDPOINTS.get_ptr(&internal.endpoint) else { return 0 };
    // SAFETY: records are replaced as a whole, and freed after a grace period: BPF_F_NO_PREALLOC.
    let open_to_all = unsafe { (*endpoint).flags } & endpoint_flags::NAT_EIF != 0;
    if !open_to_all || internal.uplink != tuple.ifindex || host_uses(skb, tuple) {
        return 0;
    }
    // SAFETY: this CPU's element.
    unsafe {
        *out = Tuple {
            saddr: internal.addr,
            daddr: tuple.saddr,
            sport: internal.port,
            dport: tuple.sport,
            ifindex: internal.endpoint,
            proto: tuple.proto,
            query: tuple.query,
            _pad: 0,
        };
    }
    1
}
