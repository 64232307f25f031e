//! Searches for an external port: tries the candidates in turn, and as a last resort takes one from a flow that has to give it.

use core::{ffi::c_void, ptr};

use aya_ebpf::{bindings::__sk_buff, helpers::bpf_loop};
use forwarder_common::{
    abi::Tuple,
    flow::outbound_reply,
    ports::{Candidates, EXHAUSTED, retry_class},
};

use crate::{
    atomic::add64,
    flow::{evict, host_uses, life, mapping, store},
    maps::{FLOW_SLOTS, PORT_RETRIES, REPLY},
};

/// What the probing of ports works with.
#[repr(C)]
pub(super) struct Probe {
    pub(super) skb: *mut __sk_buff,
    pub(super) candidates: Candidates,
    /// The slot that is being made: its outbound half is filled.
    pub(super) slot: u32,
    /// The port that was claimed, host byte order; 0 for none.
    pub(super) claimed: u32,
    /// Of the candidates whose flow may be ended for its port the one that is worth least, plus one; 0 for none.
    pub(super) reclaimable: u32,
    /// What that one is worth; see [`forwarder_common::flow::worth`].
    pub(super) worth: u32,
    /// The endpoint's block of counters, and how many pending flows it has.
    pub(super) counters: u32,
    pub(super) pending: u32,
    /// Attempts that failed.
    pub(super) retries: u32,
    /// How the port is taken; see [`forwarder_common::abi::port_use`].
    pub(super) kind: u32,
}

/// After so many failed attempts a port serves for which a closed or half-open flow has to be ended. Nearly all are taken then;
/// and under a flood towards one server it need not look at all candidates to find an old flow.
const ENOUGH: u32 = 24;

/// Tries the candidates in turn; as a last resort takes over the port of a closed flow, or else that of the longest idle half-open
/// one, of the same endpoint or of one that has about as many of them or more.
#[inline(always)]
pub(super) fn claim_port(probe: &mut Probe) {
    let probe = ptr::from_mut(probe);
    // SAFETY: `probe` lives on this stack until the loop is over, and nobody else uses it meanwhile.
    unsafe {
        bpf_loop((*probe).candidates.count(), try_candidate as *mut c_void, probe.cast(), 0);
        if (*probe).claimed != 0 || (*probe).reclaimable == 0 {
            return;
        }
        let port = (*probe).candidates.nth((*probe).reclaimable.wrapping_sub(1));
        let wanted = u32::from(port) | (*probe).kind << 16;
        if fwd_port_reclaim((*probe).slot, wanted, (*probe).counters, (*probe).pending) != 0 {
            (*probe).claimed = port.into();
        }
    }
}

/// One attempt: returns 1 to stop probing.
#[inline(never)]
unsafe extern "C" fn try_candidate(attempt: u32, probe: *mut Probe) -> i64 {
    // SAFETY: `bpf_loop` passes the pointer that `claim_port` gave it.
    unsafe {
        let port = (*probe).candidates.nth(attempt);
        let wanted = u32::from(port) | (*probe).kind << 16;
        (*probe).retries = attempt;
        let found = fwd_port_try((*probe).skb, (*probe).slot, wanted, (*probe).counters, (*probe).pending);
        if found == TAKEN {
            (*probe).claimed = port.into();
            return 1;
        }
        if found == 0 {
            return 0;
        }
        let worth = (found >> 32) as u32;
        if worth <= (*probe).worth {
            (*probe).worth = worth;
            (*probe).reclaimable = attempt.wrapping_add(1);
        }
        i64::from(attempt >= ENOUGH)
    }
}

/// What [`fwd_port_try`] returns if it took the port: no flow is in state 0xff.
const TAKEN: u64 = u64::MAX;

/// Takes the port in the low 16 bits of `wanted`, in the way that stands above them (see [`forwarder_common::abi::port_use`]), for the flow in slot
/// `index`. Returns [`TAKEN`], or what [`evict::fwd_reclaimable`] says of the flow that has the port.
///
/// A global function: the verifier looks at it once, not with each state that the search can be in.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_port_try(skb: *mut __sk_buff, index: u32, wanted: u32, counters: u32, pending: u32) -> u64 {
    let (kind, port) = (wanted >> 16 & 0xff, wanted as u16);
    let Some(reply) = reply(index, port) else { return 0 };
    if host_uses(skb, reply) {
        return 0;
    }
    if take(kind, reply, index) {
        return TAKEN;
    }
    evict::fwd_reclaimable(mapping::holder(kind, reply), counters, pending)
}

/// Ends the flow that has the port in `wanted`, if it still has to give it, and takes the port: 1 if it did. The arguments are
/// those of [`fwd_port_try`].
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_port_reclaim(index: u32, wanted: u32, counters: u32, pending: u32) -> u32 {
    let (kind, port) = (wanted >> 16 & 0xff, wanted as u16);
    let Some(reply) = reply(index, port) else { return 0 };
    let holder = mapping::holder(kind, reply);
    let found = evict::fwd_reclaimable(holder, counters, pending);
    u32::from(found != 0 && life::fwd_flow_end(holder, found as u32) != 0 && take(kind, reply, index))
}

/// Counts how long the search for the port that was `claimed`, 0 for none, has taken. Returns 0.
///
/// A global function: the verifier looks at it once, not with each number of retries that it knows.
#[inline(never)]
#[unsafe(no_mangle)]
pub(super) extern "C" fn fwd_count_retries(claimed: u32, retries: u32) -> u32 {
    let class = if claimed == 0 { EXHAUSTED } else { retry_class(retries) };
    if let Some(counter) = PORT_RETRIES.get_ptr_mut(class) {
        add64(counter, 1);
    }
    0
}

/// Takes the port of `reply` in the way `kind` and puts the tuple into the index, both or neither.
#[inline(always)]
fn take(kind: u32, reply: &Tuple, slot: u32) -> bool {
    if !mapping::take(kind, reply) {
        return false;
    }
    if store::insert(reply, slot) {
        return true;
    }
    mapping::untake(kind, reply);
    false
}

/// What replies look like if the flow in slot `index` gets `port` (host byte order). In a map, not on the stack: each call
/// overwrites it.
#[inline(always)]
pub(super) fn reply(index: u32, port: u16) -> Option<&'static Tuple> {
    let (slot, scratch) = (FLOW_SLOTS.get_ptr(index)?, REPLY.get_ptr_mut(0)?);
    // SAFETY: the outbound half was filled by `fill`, on this CPU, and nobody else writes it.
    let out = unsafe { &(*slot).out };
    let reply = outbound_reply(&out.tuple, out.out_if, out.addr, port.to_be_bytes());
    // SAFETY: this CPU's element, which lives as long as the programs.
    unsafe {
        *scratch = reply;
        Some(&*scratch)
    }
}
