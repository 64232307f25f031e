//! Searches for an external port: tries the candidates in turn, and where none is free chooses one that a flow has to give.
//!
//! The flow cache tells of most candidates without a look-up in a hash who has them. All the same a search of all of them finds most of
//! what it reads in no cache, and takes some ten µs: one that was in vain is remembered for a moment, so that whoever asks again and again
//! is refused by one look ([`in_vain`]).

use core::{ffi::c_void, ptr};

use aya_ebpf::{bindings::__sk_buff, helpers::bpf_loop};
use forwarder_common::{
    abi::{FlowState, Tuple, port_use},
    decide::ports::{Candidates, EXHAUSTED, eviction_rank, range_for, retry_class},
    flow::{FlowKey, outbound_reply},
    wire::l4::Proto,
};

use crate::{
    kernel::{
        atomic::add64,
        clock::now,
        maps::{FLOW_SLOTS, OPENING, PORT_RETRIES, PORTS_EXHAUSTED, REPLY, SEARCH, config},
        scratch::{EXHAUSTED_PLACES, OTHERS, Other, Search, Victim},
        sock::host_uses,
        values,
    },
    table::{evict, lookup, mapping, slot},
};

/// What stands in `PORTS_EXHAUSTED` if a search for the flow of `tuple`, an outbound one, is in vain: a keyed hash of whose it is and what
/// for (endpoint, destination, the NAT's address, the range that begins with `first_port`, the way in which a port is taken), and above it
/// when, jiffies.
#[inline(always)]
fn in_vain(tuple: &Tuple, nat_addr: [u8; 4], first_port: u16, kind: u32) -> u64 {
    let [to, behind] = [tuple.daddr, nat_addr].map(u32::from_ne_bytes);
    let ports = u64::from(u16::from_ne_bytes(tuple.dport)) | u64::from(first_port) << 16;
    let proto = tuple.proto.wrapping_add((kind as u8) << 6);
    let key = FlowKey::new(u64::from(to) | u64::from(behind) << 32, ports, tuple.ifindex, proto);
    u64::from(lookup::key_hash(&key)) | u64::from(now()) << 32
}

/// Where it stands.
#[inline(always)]
fn exhausted(in_vain: u64) -> Option<*mut u64> {
    PORTS_EXHAUSTED.get_ptr_mut(in_vain as u32 % EXHAUSTED_PLACES as u32)
}

/// After so many failed attempts a port serves for which a closed or half-open flow has to be ended. Nearly all are taken then;
/// and under a flood towards one server it need not look at all candidates to find an old flow.
const ENOUGH: u32 = 24;

/// A lower rank goes first, whatever the shares are.
const LASTING: u32 = eviction_rank(FlowState::OneWay, false, u32::MAX);

/// The search that this CPU is at.
#[inline(always)]
fn search() -> Option<&'static mut Search> {
    // SAFETY: this CPU's element, which lives as long as the programs; nobody else uses it while the program runs.
    SEARCH.get_ptr_mut(0).map(|search| unsafe { &mut *search })
}

/// Searches for a free port for the flow that is being made in slot `index`, and takes it in the way `kind`. Returns it (host byte order),
/// or 0: then [`fwd_port_vacate`] may help.
#[inline(never)]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn fwd_port_search(skb: *mut __sk_buff, index: u32, kind: u32) -> u32 {
    let (Some(config), Some(opening), Some(slot), Some(search)) =
        (config(), OPENING.get_ptr(0), FLOW_SLOTS.get_ptr(index), search())
    else {
        return 0;
    };
    // SAFETY: this CPU's element, and the slot that it is filling.
    let (opening, tuple) = unsafe { (&*opening, &(*slot).outbound.tuple) };
    let (seed, port) = (config.seed ^ opening.endpoint.wrapping_mul(0x9e37_79b1), u16::from_be_bytes(tuple.sport));
    let spread = lookup::hash(tuple) ^ config.seed;
    let is_port = tuple.proto == Proto::Tcp as u8 || tuple.proto == Proto::Udp as u8;
    let (min, max) = range_for(is_port, port, config.nat_port_min, config.nat_port_max);
    search.candidates = Candidates::new(min, max, port, seed, spread);
    search.slot = index;
    search.kind = kind;
    search.endpoint = opening.endpoint;
    search.counters = opening.counters;
    search.pending = evict::pending(opening.counters);
    search.shares.begin(opening.endpoint);
    search.victim = Search::NOBODY;
    search.count = 0;
    search.in_vain = in_vain(tuple, opening.nat_addr, min, kind);
    // SAFETY: an aligned word of a map value.
    let known = exhausted(search.in_vain).is_some_and(|word| unsafe { word.read_volatile() } == search.in_vain);
    // The first candidate is tried in any case: mostly nobody else gets the port that is a socket's own.
    let candidates = if known { 1 } else { search.candidates.count() };
    let mut walk = Walk { skb, found: 0, retries: 0 };
    let walk = ptr::from_mut(&mut walk);
    // SAFETY: `walk` lives on this stack until the loop is over, and nobody else uses it meanwhile.
    unsafe {
        bpf_loop(candidates, try_candidate as *mut c_void, walk.cast(), 0);
        if known {
            // One candidate is no sample of who has how many.
            search.victim = Search::NOBODY;
            search.count = 0;
        }
        fwd_count_retries((*walk).found, (*walk).retries);
        (*walk).found
    }
}

/// How far the search has come. `bpf_loop` takes it on the stack only.
#[repr(C)]
struct Walk {
    skb: *mut __sk_buff,
    /// The port that was taken, host byte order; 0 for none.
    found: u32,
    /// Attempts that failed.
    retries: u32,
}

/// One attempt: returns 1 to stop.
#[inline(never)]
unsafe extern "C" fn try_candidate(attempt: u32, walk: *mut Walk) -> i64 {
    // SAFETY: `bpf_loop` passes the pointer that `fwd_port_search` gave it.
    unsafe {
        (*walk).retries = attempt;
        let result = fwd_port_try((*walk).skb, attempt);
        if result & TAKEN != 0 {
            (*walk).found = result & 0xffff;
        }
        (result != 0).into()
    }
}

/// What [`fwd_port_vacate`] returns if it was too late.
pub(crate) const LOST: u32 = 1 << 31;

/// What [`fwd_port_try`] returns, beside the port, if it took it.
const TAKEN: u32 = 1 << 16;
/// What it returns if the search may stop without.
const STOP: u32 = 1 << 17;

/// Tries the candidate number `attempt` of this CPU's search. Returns [`TAKEN`] and the port, [`STOP`], or 0.
///
/// A global function: the verifier looks at it once, not with each state that the search can be in.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_port_try(skb: *mut __sk_buff, attempt: u32) -> u32 {
    let Some(search) = search() else { return STOP };
    let port = search.candidates.nth(attempt);
    let Some(reply) = reply(search.slot, port) else { return STOP };
    let holder = mapping::fwd_port_holder(search.kind, reply);
    if holder == lookup::VACANT {
        let taken = !host_uses(skb, reply) && take(search.kind, reply, search.slot);
        return if taken { TAKEN | u32::from(port) } else { 0 };
    }
    note(search, holder, port.into());
    // Of those that the shares decide about, as many as there are have to be seen.
    let decided = search.victim.rank < LASTING || search.victim.rank != u32::MAX && search.count == 0;
    let enough = attempt >= ENOUGH && decided;
    if enough { STOP } else { 0 }
}

/// Notes who has a candidate, and whether the flow may be ended for it.
#[inline(always)]
fn note(search: &mut Search, holder: u32, port: u32) {
    let Some(slot) = values::slot(holder) else { return };
    let (version, endpoint) = (slot.version(), slot.endpoint());
    if !version.is_flow() {
        return;
    }
    search.shares.note(endpoint);
    let state = version.state();
    if version.is_pending() {
        let closed = matches!(state, FlowState::Closing);
        let rank = eviction_rank(state, endpoint == search.endpoint, now().wrapping_sub(slot.last_seen()));
        if rank <= search.victim.rank
            && (closed || evict::has_to_go(version, slot.counters(), search.counters, search.pending))
        {
            search.victim = Victim { rank, slot: holder, version, port };
        }
        return;
    }
    // What the host itself speaks stays.
    if endpoint != 0
        && endpoint != search.endpoint
        && let Some(other) = search.others.get_mut(search.count as usize & (OTHERS as usize - 1))
        && search.count < OTHERS
    {
        *other = Other { slot: holder, port };
        search.count = search.count.wrapping_add(1);
    }
}

/// Ends the flow with the lowest eviction rank among those that have to give their port to the one that is being made in slot `index`,
/// after
/// [`fwd_port_search`] found none that is free. Returns the port, and above its 16 bits how it is to be taken; 0 if nobody has to;
/// [`LOST`] if the flow is another one by now.
///
/// Called by [`super::create::open`] itself: the stacks of all callers together are 512 bytes.
#[inline(never)]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn fwd_port_vacate(index: u32) -> u32 {
    let Some(search) = search() else { return 0 };
    let mut number = 0;
    while number < OTHERS {
        if number < search.count {
            fwd_port_consider(number);
        }
        number = number.wrapping_add(1);
    }
    let Victim { slot: holder, version, port, .. } = search.victim;
    if version.is_none() {
        if let Some(place) = exhausted(search.in_vain) {
            // Of the moment in which the search began: who was refused without one adds nothing to it.
            // SAFETY: an aligned word of a map value.
            unsafe {
                if place.read_volatile() != search.in_vain {
                    place.write_volatile(search.in_vain);
                }
            }
        }
        return 0;
    }
    let (kind, Some(reply)) = (search.kind, reply(index, port as u16)) else { return 0 };
    // The holder is only a candidate: by now its slot may be another flow's.
    if !mapping::holds(kind, holder, reply) {
        return LOST;
    }
    if kind != u32::from(port_use::BY_TUPLE) && mapping::revoke(kind, holder, reply) {
        // Several flows use it: it is free when the expiry timer has come by.
        return 0;
    }
    if slot::fwd_flow_end(holder, version.raw()) == 0 { LOST } else { port | kind << 16 }
}

/// Considers a flow of this CPU's search that is established or one-way. Returns 0.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_port_consider(number: u32) -> u32 {
    let Some(search) = search() else { return 0 };
    let Some(Other { slot: holder, port }) = search.others.get(number as usize & (OTHERS as usize - 1)).copied() else {
        return 0;
    };
    let Some(slot) = values::slot(holder) else { return 0 };
    let (version, endpoint) = (slot.version(), slot.endpoint());
    let state = version.state();
    let rank = eviction_rank(state, false, now().wrapping_sub(slot.last_seen()));
    if rank < search.victim.rank && search.shares.gives_way(state, endpoint) {
        search.victim = Victim { rank, slot: holder, version, port };
    }
    0
}

/// Takes the port of `reply` in the way `kind` and puts the tuple into the index, both or neither.
#[inline(always)]
pub(crate) fn take(kind: u32, reply: &Tuple, slot: u32) -> bool {
    if !mapping::take(kind, reply, slot) {
        return false;
    }
    if lookup::insert(reply, slot) {
        return true;
    }
    mapping::untake(kind, reply);
    false
}

/// What replies look like if the flow in slot `index` gets `port` (host byte order). In a map, not on the stack: each call
/// overwrites it.
#[inline(always)]
pub(crate) fn reply(index: u32, port: u16) -> Option<&'static Tuple> {
    let (slot, scratch) = (FLOW_SLOTS.get_ptr(index)?, REPLY.get_ptr_mut(0)?);
    // SAFETY: the outbound half was filled, on this CPU, and nobody else writes it.
    let out = unsafe { &(*slot).outbound };
    let reply = outbound_reply(&out.tuple, out.out_if, out.addr, port.to_be_bytes());
    // SAFETY: this CPU's element, which lives as long as the programs.
    unsafe {
        *scratch = reply;
        Some(&*scratch)
    }
}

/// Counts how long the search for a port has taken that was `found`, 0 for none. Returns 0.
///
/// A global function: the verifier looks at it once, not with each number of retries that it knows.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_count_retries(found: u32, retries: u32) -> u32 {
    let class = if found == 0 { EXHAUSTED } else { retry_class(retries) };
    if let Some(counter) = PORT_RETRIES.get_ptr_mut(class) {
        add64(counter, 1);
    }
    0
}
