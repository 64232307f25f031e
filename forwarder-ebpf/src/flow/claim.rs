//! Makes a flow: takes a slot, claims an external port, publishes the tuples.
//!
//! Claim first: inserting the reply's tuple with `BPF_NOEXIST` is the atomic claim of the port. Then the outbound tuple, the
//! same way: of two CPUs with the first packets of one flow, one wins, and the other finds the winner's mapping.

use aya_ebpf::bindings::__sk_buff;
use forwarder_common::{
    abi::{FlowHalf, FlowState, Tuple, flow_kind, meta, port_use},
    ports::Candidates,
    verdict::DropReason,
    wire::l4::has_ports,
};

use crate::{
    atomic::{fetch_add32, replace32},
    flow::{
        best_effort, evict, host_uses, life, mapping, now,
        search::{Probe, claim_port, fwd_count_retries, reply},
        store,
    },
    maps::{ENDPOINT_FLOWS, FLOW_ALLOC, FLOW_FREE, FLOW_INDEX, FLOW_SLOTS, OPENING, config},
};

/// Everything about a flow to be made, decided before: element 0 of the map `OPENING`.
#[repr(C)]
pub(crate) struct Opening {
    /// Out to where, behind which address, by which interface.
    pub(crate) nat_addr: [u8; 4],
    pub(crate) uplink: u32,
    pub(crate) next_hop: [u32; 4],
    /// See [`FlowHalf::hop`].
    pub(crate) hop: [u8; 12],
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
    /// See [`port_use`].
    pub(crate) port_use: u32,
    /// Not 0 for a flow that begins from outside.
    pub(crate) inbound: u32,
    /// Not 0 for a socket of the host that keeps its port.
    pub(crate) keeps: u32,
}

/// Makes the flow of `tuple` that was prepared in the map `OPENING`. Returns its slot, or the code of a [`DropReason`] with
/// [`FAILED`] set.
///
/// Three global functions one after the other, not one that calls them: the stacks of all callers together are 512 bytes.
#[inline(always)]
pub(crate) fn open(skb: *mut __sk_buff, tuple: &Tuple) -> u64 {
    let taken = fwd_slot_take(tuple);
    let (index, word) = (taken as u32, (taken >> 32) as u32);
    if word == 0 {
        return FAILED | taken;
    }
    let claimed = fwd_port_claim(skb, index);
    if claimed == 0 {
        let reason = if has_ports(tuple.proto) { DropReason::PortsExhausted } else { DropReason::Ambiguous };
        return FAILED | reason as u64;
    }
    fwd_flow_publish(tuple, index, word, claimed)
}

/// Set in the result of [`open`] when it failed.
pub(crate) const FAILED: u64 = 1 << 32;

/// Takes a slot and fills it but for the port. Returns the slot and, in the high word, its word; or the code of a
/// [`DropReason`].
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_slot_take(tuple: *const Tuple) -> u64 {
    // SAFETY: the verifier checks that callers pass a whole tuple; it may be null as far as it knows.
    let (Some(tuple), Some(opening)) = (unsafe { tuple.as_ref() }, OPENING.get_ptr(0)) else {
        return DropReason::Contended as u64;
    };
    // SAFETY: this CPU's element; nobody else writes it while the program runs.
    let opening = unsafe { &*opening };
    match take_slot(opening) {
        Ok(index) => match fill(index, tuple, opening) {
            Some(word) => u64::from(index) | u64::from(word) << 32,
            None => DropReason::TableFull as u64,
        },
        Err(reason) => reason as u64,
    }
}

/// Claims an external port for the flow that is being made in slot `index`. Returns it (host byte order), above its 16
/// bits how it is held (see [`port_use`]), and [`CLAIMED`]; 0, and gives the slot back, if there is none.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_port_claim(skb: *mut __sk_buff, index: u32) -> u32 {
    let (Some(config), Some(opening), Some(slot)) = (config(), OPENING.get_ptr(0), FLOW_SLOTS.get_ptr(index)) else {
        return 0;
    };
    // SAFETY: this CPU's element, and the slot that it is filling.
    let (opening, tuple) = unsafe { (&*opening, &(*slot).out.tuple) };
    let seed = config.seed ^ opening.endpoint.wrapping_mul(0x9e37_79b1);
    let port = u16::from_be_bytes(tuple.sport);
    let mut probe = Probe {
        skb,
        candidates: Candidates::new(
            config.nat_port_min,
            config.nat_port_max,
            port,
            seed,
            store::hash(tuple) ^ config.seed,
        ),
        slot: index,
        claimed: 0,
        reclaimable: 0,
        worth: u32::MAX,
        counters: opening.counters,
        pending: evict::pending(opening.counters),
        retries: 0,
        kind: opening.port_use,
    };
    if !has_ports(tuple.proto) {
        return claim_portless(index);
    }
    if opening.keeps != 0 {
        keep(&mut probe, port);
    }
    if probe.claimed == 0 && !mapped(&mut probe) {
        claim_port(&mut probe);
        if probe.claimed != 0 && !publish_mapping(&mut probe) {
            mapped(&mut probe);
        }
    }
    fwd_count_retries(probe.claimed, probe.retries);
    if probe.claimed == 0 {
        give_back(index);
        return 0;
    }
    CLAIMED | probe.kind << 16 | probe.claimed
}

/// Set in the result of [`fwd_port_claim`] when it succeeded.
const CLAIMED: u32 = 1 << 31;

/// Claims the very port of a host's socket: no other counts it, for mappings leave to the host what the host uses.
#[inline(always)]
fn keep(probe: &mut Probe, port: u16) {
    if let Some(reply) = reply(probe.slot, port)
        && store::insert(reply, probe.slot)
    {
        probe.claimed = port.into();
        probe.kind = port_use::PLAIN.into();
    }
}

/// Claims the port of the socket's mapping, if it has one. Where a socket of the host, or a flow from before mappings were
/// asked for, has the very conversation, this one gets a port of its own.
#[inline(always)]
fn mapped(probe: &mut Probe) -> bool {
    if probe.kind != u32::from(port_use::MAPPING) {
        return false;
    }
    let port = mapping::fwd_mapping_find(probe.slot);
    if port == 0 {
        return false;
    }
    let Some(reply) = reply(probe.slot, port as u16) else { return false };
    if !host_uses(probe.skb, reply) && store::insert(reply, probe.slot) {
        probe.claimed = port;
        return true;
    }
    mapping::fwd_port_release(probe.kind, reply.proto.into(), port);
    probe.kind = port_use::SHARED.into();
    false
}

/// Publishes the mapping of the port that was claimed, where it is to be one. False, and the port is given back, if another
/// CPU has mapped the socket meanwhile.
#[inline(always)]
fn publish_mapping(probe: &mut Probe) -> bool {
    if probe.kind != u32::from(port_use::MAPPING) || mapping::fwd_mapping_publish(probe.slot, probe.claimed) != 0 {
        return true;
    }
    let Some(reply) = reply(probe.slot, probe.claimed as u16) else { return true };
    store::remove(reply, probe.slot);
    mapping::fwd_port_release(probe.kind, reply.proto.into(), probe.claimed);
    probe.claimed = 0;
    false
}

/// Claims the answers to a protocol without ports for the flow in slot `index`: one endpoint, or the host, may speak it with a
/// destination. The result is that of [`fwd_port_claim`], with port 0.
#[inline(always)]
fn claim_portless(index: u32) -> u32 {
    if let Some(reply) = reply(index, 0)
        && store::insert(reply, index)
    {
        return CLAIMED;
    }
    give_back(index);
    0
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
    // SAFETY: the slot is in no index and in no queue: nobody else writes it, and readers see that it is free.
    unsafe {
        let shared = &raw mut (*slot).shared;
        (*slot).out = FlowHalf {
            tuple: *tuple,
            addr: opening.nat_addr,
            port: [0, 0],
            mtu: stored_mtu(opening.mtu),
            out_if: opening.uplink,
            hop: opening.hop,
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
        (*shared).next_hop = opening.next_hop;
        (*shared).tcp_flags = [opening.tcp_flags as u8, 0];
        (*shared).syn_at = 0;
        (*shared).handshake_rtt = 0;
        (*shared).kind = if opening.endpoint == 0 {
            flow_kind::HOST
        } else if opening.inbound == 0 {
            flow_kind::ENDPOINT
        } else {
            flow_kind::INBOUND
        };
        Some(meta::pack(meta::generation((*shared).meta), FlowState::Opening))
    }
}

/// Makes the flow in slot `index` visible: the reply's half, the state, the outbound tuple. `claimed` is what
/// [`fwd_port_claim`] returned; the result is that of [`open`].
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn fwd_flow_publish(tuple: *const Tuple, index: u32, word: u32, claimed: u32) -> u64 {
    // SAFETY: the verifier checks that callers pass a whole tuple; it may be null as far as it knows.
    let (Some(tuple), Some(opening)) = (unsafe { tuple.as_ref() }, OPENING.get_ptr(0)) else {
        return FAILED | DropReason::Contended as u64;
    };
    // SAFETY: this CPU's element; nobody else writes it while the program runs.
    match publish(index, word, tuple, claimed, unsafe { &*opening }) {
        Ok(slot) => slot.into(),
        Err(reason) => FAILED | reason as u64,
    }
}

#[inline(always)]
fn publish(index: u32, word: u32, tuple: &Tuple, claimed: u32, opening: &Opening) -> Result<u32, DropReason> {
    let kind = claimed >> 16 & 0xff;
    let (Some(slot), Some(alloc), Some(reply)) =
        (FLOW_SLOTS.get_ptr_mut(index), FLOW_ALLOC.get_ptr_mut(0), reply(index, claimed as u16))
    else {
        return Err(DropReason::TableFull);
    };
    // SAFETY: as in `fill`: the slot is still free for every reader until its word, stored last, publishes it. Volatile
    // stores stay behind those before them, and the insertion below is a full barrier.
    let current = unsafe {
        (*slot).back.tuple = *reply;
        (*slot).out.port = reply.dport;
        (*slot).shared.port_use = kind as u8;
        let current = &raw mut (*slot).shared.meta;
        current.write_volatile(word);
        current
    };
    if !store::insert(tuple, index) {
        // Another CPU made this flow meanwhile: theirs counts. Nobody else changes the word of a flow that is being made.
        let freed = meta::pack(meta::generation(word).wrapping_add(1), FlowState::Free);
        replace32(current, word, freed);
        store::remove(reply, index);
        mapping::fwd_port_release(kind, reply.proto.into(), (claimed as u16).into());
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
