//! Makes a flow: takes a slot, claims an external port, publishes the tuples.
//!
//! Claim first: inserting the reply's tuple with `BPF_NOEXIST` is the atomic claim of the port. Then the outbound tuple, the
//! same way: of two CPUs with the first packets of one flow, one wins, and the other finds the winner's mapping.

use core::{ffi::c_void, ptr};

use aya_ebpf::{
    bindings::{
        __sk_buff, BPF_F_CURRENT_NETNS, BPF_NOEXIST, bpf_sock_tuple, bpf_sock_tuple__bindgen_ty_1,
        bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1,
    },
    helpers::{bpf_loop, bpf_sk_lookup_udp, bpf_sk_release, bpf_skc_lookup_tcp},
};
use forwarder_common::{
    abi::{FlowHalf, FlowState, Tuple, flow_kind, meta},
    flow::{hash, outbound_reply},
    ports::{Candidates, EXHAUSTED, retry_class},
    verdict::DropReason,
    wire::l4::{Proto, has_ports},
};

use crate::{
    atomic::{add64, fetch_add32, replace32},
    flow::{best_effort, evict, life, now, store},
    maps::{ENDPOINT_FLOWS, FLOW_ALLOC, FLOW_FREE, FLOW_INDEX, FLOW_SLOTS, OPENING, PORT_RETRIES, config},
};

/// Everything about a flow to be made, decided before: element 0 of the map `OPENING`.
#[repr(C)]
pub(crate) struct Opening {
    /// Out to where, behind which address, by which interface.
    pub(crate) nat_addr: [u8; 4],
    pub(crate) uplink: u32,
    pub(crate) next_hop: [u8; 4],
    pub(crate) mtu: u32,
    /// The endpoint: 0 for the host itself.
    pub(crate) endpoint: u32,
    pub(crate) endpoint_mtu: u32,
    pub(crate) macs: [u8; 12],
    pub(crate) counters: u32,
    pub(crate) counters_out: u32,
    pub(crate) counters_in: u32,
    /// Flags of the first segment.
    pub(crate) tcp_flags: u32,
}

/// What the probing of ports works with.
#[repr(C)]
struct Probe {
    skb: *mut __sk_buff,
    candidates: Candidates,
    /// The slot that is being made: its outbound half is filled.
    slot: u32,
    /// The port that was claimed, host byte order; 0 for none.
    claimed: u32,
    /// A candidate whose flow may be ended for its port, plus one; 0 for none. A closed flow's comes first.
    reclaimable: u32,
    /// Whether that one is closed.
    closed: u32,
    /// The endpoint's block of counters, and how many pending flows it has.
    counters: u32,
    pending: u32,
    /// Attempts that failed.
    retries: u32,
}

/// Makes the flow of `tuple` that was prepared in the map `OPENING`. Returns its slot, or the code of a [`DropReason`] with
/// [`FAILED`] set.
///
/// A global function: the verifier looks at it once, not at each call.
#[inline(never)]
#[unsafe(no_mangle)]
pub(crate) extern "C" fn fwd_flow_open(skb: *mut __sk_buff, tuple: *const Tuple) -> u64 {
    // SAFETY: the verifier checks that callers pass a whole tuple; it may be null as far as it knows.
    let (Some(tuple), Some(opening)) = (unsafe { tuple.as_ref() }, OPENING.get_ptr(0)) else {
        return FAILED | DropReason::Contended as u64;
    };
    // SAFETY: this CPU's element; nobody else writes it while the program runs.
    match try_open(skb, tuple, unsafe { &*opening }) {
        Ok(slot) => {
            store::hint(hash(tuple), slot);
            slot.into()
        }
        Err(reason) => FAILED | reason as u64,
    }
}

/// Set in the result of [`fwd_flow_open`] when it failed.
pub(crate) const FAILED: u64 = 1 << 32;

#[inline(always)]
fn try_open(skb: *mut __sk_buff, tuple: &Tuple, opening: &Opening) -> Result<u32, DropReason> {
    let Some(config) = config() else { return Err(DropReason::NoEndpoint) };
    let index = take_slot(opening)?;
    let word = fill(index, tuple, opening).ok_or(DropReason::TableFull)?;
    let seed = config.seed ^ opening.endpoint.wrapping_mul(0x9e37_79b1);
    let port = u16::from_be_bytes(tuple.sport);
    let mut probe = Probe {
        skb,
        candidates: Candidates::new(config.nat_port_min, config.nat_port_max, port, seed, hash(tuple) ^ config.seed),
        slot: index,
        claimed: 0,
        reclaimable: 0,
        closed: 0,
        counters: opening.counters,
        pending: evict::pending(opening.counters),
        retries: 0,
    };
    if !has_ports(tuple.proto) {
        probe.claimed = fwd_claim_portless(index);
    } else {
        claim_port(&mut probe);
        count_retries(if probe.claimed == 0 { EXHAUSTED } else { retry_class(probe.retries) });
    }
    if probe.claimed == 0 {
        give_back(index);
        return Err(if has_ports(tuple.proto) { DropReason::PortsExhausted } else { DropReason::Ambiguous });
    }
    let reply = outbound_reply(tuple, opening.uplink, opening.nat_addr, (probe.claimed as u16).to_be_bytes());
    publish(index, word, tuple, &reply, opening)
}

/// Claims the answers to a protocol without ports for the flow in slot `index`: one endpoint, or the host, may speak it with a
/// destination. Returns 0 if another does, otherwise port 0 with a bit above it.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_claim_portless(index: u32) -> u32 {
    let Some(reply) = reply(index, 0) else { return 0 };
    if insert(&reply, index) { 1 << 16 } else { 0 }
}

/// Takes a slot that nobody uses, if need be after evicting a pending flow.
#[inline(always)]
fn take_slot(opening: &Opening) -> Result<u32, DropReason> {
    let (Some(alloc), Some(config)) = (FLOW_ALLOC.get_ptr_mut(0), config()) else { return Err(DropReason::TableFull) };
    // SAFETY: the element of the map.
    let (next_unused, established) = unsafe { (&raw mut (*alloc).next_unused, (*alloc).established) };
    if established >= config.max_flows {
        return Err(DropReason::TableFull);
    }
    if opening.endpoint != 0
        && let Some(flows) = ENDPOINT_FLOWS.get_ptr(opening.counters)
    {
        // SAFETY: an aligned word of a map value.
        let own = unsafe { (&raw const (*flows).established).read_volatile() };
        if own as i32 >= config.max_flows_per_endpoint as i32 {
            return Err(DropReason::EndpointFull);
        }
    }
    // SAFETY: an aligned word.
    if unsafe { next_unused.read_volatile() } < config.slots {
        let index = fetch_add32(next_unused, 1);
        if index < config.slots {
            return Ok(index);
        }
        // SAFETY: as above; another CPU took the last one, and none is beyond.
        unsafe { next_unused.write_volatile(config.slots) };
    }
    if let Some(index) = take_freed() {
        return Ok(index);
    }
    // Another CPU may take what was freed for us: once more, then.
    if evict::fwd_flow_evict(opening.counters) != 0
        && let Some(index) = take_freed()
    {
        return Ok(index);
    }
    evict::fwd_flow_evict(opening.counters);
    take_freed().ok_or(DropReason::TableFull)
}

#[inline(always)]
fn take_freed() -> Option<u32> {
    FLOW_FREE.pop().ok().flatten()
}

#[inline(always)]
fn give_back(index: u32) {
    best_effort(FLOW_FREE.push(&index, 0));
}

/// An MTU as a flow holds it: no IPv4 packet is longer.
#[inline(always)]
pub(crate) fn stored_mtu(mtu: u32) -> u16 {
    if mtu > u32::from(u16::MAX) { u16::MAX } else { mtu as u16 }
}

/// Writes everything but the claimed port. Returns the word of the slot while the flow is being made.
#[inline(always)]
fn fill(index: u32, tuple: &Tuple, opening: &Opening) -> Option<u32> {
    let slot = FLOW_SLOTS.get_ptr_mut(index)?;
    let now = now();
    let [h0, h1, h2, h3] = opening.next_hop;
    // SAFETY: the slot is in no index and in no queue: nobody else writes it, and readers see that it is free.
    unsafe {
        let shared = &raw mut (*slot).shared;
        (*slot).out = FlowHalf {
            tuple: *tuple,
            addr: opening.nat_addr,
            port: [0, 0],
            mtu: stored_mtu(opening.mtu),
            out_if: opening.uplink,
            hop: [h0, h1, h2, h3, 0, 0, 0, 0, 0, 0, 0, 0],
            counters: opening.counters as u16,
            uplink_counters: opening.counters_out as u16,
            packets: 0,
            bytes: 0,
        };
        (*slot).back = FlowHalf {
            tuple: Tuple::default(),
            addr: tuple.saddr,
            port: tuple.sport,
            mtu: stored_mtu(opening.endpoint_mtu),
            out_if: opening.endpoint,
            hop: opening.macs,
            counters: opening.counters as u16,
            uplink_counters: opening.counters_in as u16,
            packets: 0,
            bytes: 0,
        };
        (*shared).last_seen = now;
        (*shared).created = now;
        (*shared).route_checked = now;
        (*shared).endpoint = opening.endpoint;
        (*shared).counters = opening.counters;
        (*shared).tcp_flags = [opening.tcp_flags as u8, 0];
        (*shared).kind = if opening.endpoint == 0 { flow_kind::HOST } else { flow_kind::ENDPOINT };
        Some(meta::pack(meta::generation((*shared).meta), FlowState::Opening))
    }
}

/// Tries the candidates in turn; as a last resort takes over the port of a closed flow, or else of a half-open one of the same
/// endpoint or of one that has more of them.
#[inline(always)]
fn claim_port(probe: &mut Probe) {
    let probe = ptr::from_mut(probe);
    // SAFETY: `probe` lives on this stack until the loop is over, and nobody else uses it meanwhile.
    unsafe {
        bpf_loop((*probe).candidates.count(), try_candidate as *mut c_void, probe.cast(), 0);
        if (*probe).claimed != 0 || (*probe).reclaimable == 0 {
            return;
        }
        let port = (*probe).candidates.nth((*probe).reclaimable.wrapping_sub(1));
        let Some(reply) = reply((*probe).slot, port) else { return };
        let Some(holder) = FLOW_INDEX.get_ptr(&reply) else { return };
        let holder = holder.read_volatile();
        let Some(word) = reclaimable_word(holder, (*probe).counters, (*probe).pending) else { return };
        if life::fwd_flow_end(holder, word) != 0 && insert(&reply, (*probe).slot) {
            (*probe).claimed = port.into();
        }
    }
}

#[inline(always)]
fn count_retries(class: u32) {
    if let Some(counter) = PORT_RETRIES.get_ptr_mut(class) {
        add64(counter, 1);
    }
}

/// One attempt: returns 1 to stop probing.
#[inline(never)]
unsafe extern "C" fn try_candidate(attempt: u32, probe: *mut Probe) -> i64 {
    // SAFETY: `bpf_loop` passes the pointer that `claim_port` gave it.
    unsafe {
        let port = (*probe).candidates.nth(attempt);
        let Some(reply) = reply((*probe).slot, port) else { return 1 };
        (*probe).retries = attempt;
        if host_uses((*probe).skb, &reply) {
            return 0;
        }
        if insert(&reply, (*probe).slot) {
            (*probe).claimed = port.into();
            return 1;
        }
        if (*probe).closed == 0
            && let Some(holder) = FLOW_INDEX.get_ptr(&reply)
            && let Some(word) = reclaimable_word(holder.read_volatile(), (*probe).counters, (*probe).pending)
        {
            let closed = u32::from(FlowState::of(word) as u8 == FlowState::Closing as u8);
            if closed != 0 || (*probe).reclaimable == 0 {
                (*probe).reclaimable = attempt.wrapping_add(1);
                (*probe).closed = closed;
            }
        }
        0
    }
}

/// What replies look like if the flow in slot `index` gets `port` (host byte order).
#[inline(always)]
fn reply(index: u32, port: u16) -> Option<Tuple> {
    let slot = FLOW_SLOTS.get_ptr(index)?;
    // SAFETY: the outbound half was filled by `fill`, on this CPU, and nobody else writes it.
    let out = unsafe { &(*slot).out };
    Some(outbound_reply(&out.tuple, out.out_if, out.addr, port.to_be_bytes()))
}

/// The word of the flow in slot `index` if an endpoint with block `counters` and `pending` pending flows may have its port.
#[inline(always)]
fn reclaimable_word(index: u32, counters: u32, pending: u32) -> Option<u32> {
    let slot = FLOW_SLOTS.get_ptr_mut(index)?;
    // SAFETY: an element of the map.
    let (word, theirs) = unsafe { ((&raw const (*slot).shared.meta).read_volatile(), (*slot).shared.counters) };
    let closed = FlowState::of(word) as u8 == FlowState::Closing as u8;
    (closed || evict::has_to_go(word, theirs, counters, pending)).then_some(word)
}

/// Puts a tuple into the index unless it is there.
#[inline(always)]
fn insert(tuple: &Tuple, slot: u32) -> bool {
    FLOW_INDEX.insert(tuple, &slot, BPF_NOEXIST.into()).is_ok()
}

/// Whether a socket of the host would get the packet with tuple `reply`: listening, connected, or waiting out its time. A
/// socket bound to the uplink is not found: `to_uplink` resolves that clash.
#[inline(always)]
fn host_uses(skb: *mut __sk_buff, reply: &Tuple) -> bool {
    let mut tuple = bpf_sock_tuple {
        __bindgen_anon_1: bpf_sock_tuple__bindgen_ty_1 {
            ipv4: bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1 {
                saddr: u32::from_ne_bytes(reply.saddr),
                daddr: u32::from_ne_bytes(reply.daddr),
                sport: u16::from_ne_bytes(reply.sport),
                dport: u16::from_ne_bytes(reply.dport),
            },
        },
    };
    let size = size_of::<bpf_sock_tuple__bindgen_ty_1__bindgen_ty_1>() as u32;
    let netns = i64::from(BPF_F_CURRENT_NETNS) as u64;
    // SAFETY: `tuple` is initialised for `size` bytes; a socket that is found is released.
    unsafe {
        let socket = if reply.proto == Proto::Tcp as u8 {
            bpf_skc_lookup_tcp(skb.cast(), &raw mut tuple, size, netns, 0)
        } else if reply.proto == Proto::Udp as u8 {
            bpf_sk_lookup_udp(skb.cast(), &raw mut tuple, size, netns, 0)
        } else {
            return false;
        };
        if socket.is_null() {
            return false;
        }
        bpf_sk_release(socket.cast());
        true
    }
}

/// Makes the flow visible: the reply's half, the state, the outbound tuple.
#[inline(always)]
fn publish(index: u32, word: u32, tuple: &Tuple, reply: &Tuple, opening: &Opening) -> Result<u32, DropReason> {
    let (Some(slot), Some(alloc)) = (FLOW_SLOTS.get_ptr_mut(index), FLOW_ALLOC.get_ptr_mut(0)) else {
        return Err(DropReason::TableFull);
    };
    // SAFETY: as in `fill`: the slot is still free for every reader until its word, stored last, publishes it. Volatile
    // stores stay behind those before them, and the insertion below is a full barrier.
    let current = unsafe {
        (*slot).back.tuple = *reply;
        (*slot).out.port = reply.dport;
        let current = &raw mut (*slot).shared.meta;
        current.write_volatile(word);
        current
    };
    if !insert(tuple, index) {
        // Another CPU made this flow meanwhile: theirs counts. Nobody else changes the word of a flow that is being made.
        let freed = meta::pack(meta::generation(word).wrapping_add(1), FlowState::Free);
        replace32(current, word, freed);
        best_effort(FLOW_INDEX.remove(reply));
        give_back(index);
        let Some(theirs) = FLOW_INDEX.get_ptr(tuple) else { return Err(DropReason::Contended) };
        // SAFETY: an aligned word of a map value.
        return Ok(unsafe { theirs.read_volatile() });
    }
    if opening.endpoint == 0 {
        // SAFETY: the element of the map.
        let host_flows = unsafe { &raw mut (*alloc).host_flows };
        fetch_add32(host_flows, 1);
    }
    // Counted first: once the flow can be ended, its end is taken off.
    if !has_ports(tuple.proto) {
        // SAFETY: as above.
        let portless = unsafe { &raw mut (*alloc).portless };
        fetch_add32(portless, 1);
    }
    life::count(opening.counters, FlowState::Opening, FlowState::HalfOpen);
    replace32(current, word, meta::pack(meta::generation(word), FlowState::HalfOpen));
    Ok(index)
}
